use super::*;
use proptest::prelude::*;

fn written(dictionary: &Dictionary) -> String {
    let mut text = String::new();
    write_dictionary(dictionary, &mut text).unwrap();
    text
}

#[test]
fn a_signature_input_is_read_and_written_back() {
    let text = r#"sig1=("@method" "content-digest";req);created=1618884473;keyid="a\"b", b=?0, c;x"#;
    let parsed = dictionary(text.as_bytes()).unwrap();
    assert!(!parsed.repeated);
    assert_eq!(written(&parsed.value), text);
    let loose = "  a=( \"x\"  \"y\" );  p=1 ,\tb ";
    assert_eq!(written(&dictionary(loose.as_bytes()).unwrap().value), "a=(\"x\" \"y\");p=1, b");
}

#[test]
fn what_is_said_twice_is_noticed() {
    for (text, repeated) in [
        ("a=1, b=2", false),
        ("a=1, a=1", true),
        ("a;p;q", false),
        ("a;p=1;p=1", true),
        ("a=(b;x;x)", true),
        ("a=(b b)", false),
        ("a;p, b;p", false),
    ] {
        assert_eq!(dictionary(text.as_bytes()).unwrap().repeated, repeated, "{text}");
    }
    let last = dictionary(b"a=1, b=2, a=3").unwrap();
    assert_eq!(written(&last.value), "a=3, b=2", "the first place and the last value");
}

/// As many members as fit in some headers, and a hundred times more: what took seconds for each request.
#[test]
fn keys_are_told_apart_without_a_search() {
    let start = std::time::Instant::now();
    let keys: Vec<String> = (0..200_000).map(|n| format!("a{n:x}")).collect();
    let members = dictionary(keys.join(",").as_bytes()).unwrap();
    assert_eq!((members.value.len(), members.repeated), (keys.len(), false));
    let parameters = item(format!("1;{}", keys.join(";")).as_bytes()).unwrap();
    assert_eq!((parameters.value.parameters.len(), parameters.repeated), (keys.len(), false));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn base64_has_one_spelling() {
    assert_eq!(item(b":aGVsbG8=:").unwrap().value.value.as_bytes(), Some(&b"hello"[..]));
    for text in [":aGVsbG8:", ":aGVsbG9=:", ":aGVs bG8=:", ":aGVsbG8=", ":-_-_:", ":=:"] {
        assert_eq!(item(text.as_bytes()), Err(Malformed), "{text}");
    }
}

#[test]
fn numbers() {
    for (text, value) in [
        ("0", Bare::Integer(0)),
        ("-0", Bare::Integer(0)),
        ("007", Bare::Integer(7)),
        ("-999999999999999", Bare::Integer(-999_999_999_999_999)),
        ("1.5", Bare::Decimal(1500)),
        ("-0.001", Bare::Decimal(-1)),
        ("999999999999.999", Bare::Decimal(999_999_999_999_999)),
        ("@-1", Bare::Date(-1)),
    ] {
        assert_eq!(item(text.as_bytes()).unwrap().value.value, value, "{text}");
    }
    for text in
        ["", "-", "--1", "1000000000000000", "1.", "1.2345", "1000000000000.1", ".1", "+1", "@1.0", "@"]
    {
        assert_eq!(item(text.as_bytes()), Err(Malformed), "{text}");
    }
}

proptest! {
    /// What is read can be written, and is read again as the same; and that is the only spelling it has.
    #[test]
    fn there_and_back(text in "[ \"():;,=?@%a-c*0-9.\\\\\\-]{0,40}") {
        if let Ok(parsed) = dictionary(text.as_bytes()) {
            let once = written(&parsed.value);
            let again = dictionary(once.as_bytes()).unwrap();
            prop_assert!(!again.repeated);
            prop_assert_eq!(&again.value, &parsed.value);
            prop_assert_eq!(written(&again.value), once);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = (dictionary(&bytes), list(&bytes), item(&bytes));
    }
}
