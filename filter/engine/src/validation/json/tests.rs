use super::parse::{JsonError, parse};
use super::tape::Kind;
use crate::validation::inspect::{Attack, Looking};
use crate::validation::plan::JsonLimits;

const WIDE: JsonLimits = JsonLimits {
    max_depth: 128,
    max_string_bytes: u32::MAX,
    max_key_bytes: u32::MAX,
    max_array_items: u32::MAX,
    max_object_members: u32::MAX,
    max_values: u32::MAX,
};

fn accepts(text: &[u8]) -> bool {
    parse(text, &WIDE, &Looking::default()).is_ok()
}

#[test]
fn reads_values_into_a_tape() {
    let tape = parse(br#" {"a": [1, "x\n"], "b": null} "#, &WIDE, &Looking::default()).unwrap();
    let kinds: Vec<Kind> = tape.entries.iter().map(|e| e.kind).collect();
    use Kind::{Array, Null, Number, Object, String};
    assert_eq!(kinds, [Object, String, Array, Number, String, String, Null]);
    let members: Vec<(u32, u32)> = tape.view().members(0).collect();
    assert_eq!(members, [(1, 2), (5, 6)]);
    assert_eq!(tape.view().elements(2).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(tape.view().text(tape.view().entry(4)), "x\n");
    let pointers: Vec<_> = (0..7).map(|i| tape.view().pointer(i)).collect();
    assert_eq!(pointers, ["", "/a", "/a", "/a/0", "/a/1", "/b", "/b"]);
}

#[test]
fn refuses_what_rfc_8259_refuses() {
    for bad in [
        "",
        " ",
        "nul",
        "truefalse",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "[1}",
        "{]",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "1e+",
        "-",
        "--1",
        "0x1",
        "NaN",
        "Infinity",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"a\nb\"",
        "\"\\",
        "[1]]",
        "1 2",
        "// a\n1",
        "/* */1",
        "[",
        "{",
        "{\"a\"",
        "{\"a\":",
        "[1",
        "\u{feff}1",
        "\u{b}1",
    ] {
        assert!(!accepts(bad.as_bytes()), "{bad}");
    }
    for bad in [&b"\"\xff\""[..], b"\"\xc0\xaf\"", b"\"\xed\xa0\x80\"", b"\xff\xfe1\0"] {
        assert!(!accepts(bad), "{bad:?}");
    }
}

#[test]
fn refuses_what_readers_disagree_about() {
    for bad in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#"[{"x":{"b":1,"c":2,"b":3}}]"#,
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\u0041""#,
        r#""\ud800x""#,
    ] {
        assert!(!accepts(bad.as_bytes()), "{bad}");
    }
    for good in
        [r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#, r#""\ud83d\ude00""#, "1e999999999999", "-0", "{\"\":1}"]
    {
        assert!(accepts(good.as_bytes()), "{good}");
    }
}

#[test]
fn finds_duplicates_among_names_whose_hashes_collide() {
    // FNV-1a of both is 0x5e4daa9d, found by search.
    let (one, other) = ("costarring", "liquid");
    assert_eq!(super::parse::hash(one.as_bytes()), super::parse::hash(other.as_bytes()));
    assert!(accepts(format!(r#"{{"{one}":1,"{other}":1}}"#).as_bytes()));
    assert!(!accepts(format!(r#"{{"{one}":1,"{other}":1,"{one}":1}}"#).as_bytes()));
}

#[test]
fn deep_input_is_refused_and_not_followed() {
    for opening in ["[", "{\"a\":"] {
        let deep = opening.repeat(5_000);
        let result = parse(deep.as_bytes(), &WIDE, &Looking::default());
        assert!(matches!(result, Err(JsonError::Limit { what: "nested too deep", .. })));
    }
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    assert!(accepts(deep.as_bytes()));
}

#[test]
fn every_limit_holds_to_the_byte() {
    let limits = JsonLimits {
        max_depth: 2,
        max_string_bytes: 3,
        max_key_bytes: 2,
        max_array_items: 2,
        max_object_members: 1,
        max_values: 6,
    };
    let limit = |text: &str| match parse(text.as_bytes(), &limits, &Looking::default()) {
        Ok(_) => None,
        Err(JsonError::Limit { pointer, what }) => Some((pointer, what)),
        Err(other) => panic!("{text}: {other:?}"),
    };
    for good in ["[[]]", r#""\u0061bc""#, r#"{"ab":1}"#, "[1,2]", "[[1,2],[4]]"] {
        assert_eq!(limit(good), None, "{good}");
    }
    assert_eq!(limit("[1,[[]]]"), Some(("/1/0".into(), "nested too deep")));
    assert_eq!(limit(r#"["abcd"]"#), Some(("/0".into(), "a string is too long")));
    assert_eq!(limit(r#"[{"abc":1}]"#), Some(("/0".into(), "a member name is too long")));
    assert_eq!(limit("[1,2,3]"), Some((String::new(), "an array has too many items")));
    assert_eq!(limit(r#"[{"a":1,"b":1}]"#), Some(("/0".into(), "an object has too many members")));
    assert_eq!(limit("[[1,2],[4,5]]"), Some((String::new(), "too many values")));
}

#[test]
fn every_string_and_name_is_inspected_after_decoding() {
    let all = Looking { sqli: true, xss: true, traversal: true };
    for (text, pointer, attack) in [
        (r#"{"q": ["a", "\u003cscript\u003e"]}"#, "/q/1", Attack::Xss),
        (r#"{"q": {"1' or '1'='1": 2}}"#, "/q/1' or '1'='1", Attack::Sqli),
        (r#"["..\/..\/etc\/passwd"]"#, "/0", Attack::Traversal),
        (r#""' union select password from users--""#, "", Attack::Sqli),
    ] {
        let found = parse(text.as_bytes(), &WIDE, &all).unwrap_err();
        assert_eq!(found, JsonError::Attack { pointer: pointer.into(), attack }, "{text}");
    }
}
