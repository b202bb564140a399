//! What anybody may send much of, before a key has signed anything.

use super::*;

/// `bytes` of short members, in lines of 16 KB.
fn members(bytes: usize) -> Vec<String> {
    let names: Vec<String> = (0..bytes / 5).map(|n| format!("a{n:03x}")).collect();
    names.chunks(3_000).map(|line| line.join(",")).collect()
}

fn send(input: &str, more: &[(&str, String)], target: &str) -> Result<(), (Reason, String)> {
    let more: Pairs<'_> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
    get(&messages(&[]), target, &more, input, "sig1=:AAAA:", CREATED).map(drop)
}

fn covering(components: &[String]) -> String {
    format!("sig1=({}){PARAMETERS}", components.join(" "))
}

#[test]
fn fields_of_signatures_are_bounded() {
    let long = members(9_000).concat();
    let (reason, detail) = send(&long, &[], "/").unwrap_err();
    assert_eq!((reason, detail.contains("8192 bytes")), (Reason::SignatureInvalid, true), "{detail}");
    let (input, _) = signed_request("", &[("\"@method\"", "GET")], PARAMETERS);
    let (_, detail) = send(&input, &[("signature", long)], "/").unwrap_err();
    assert!(detail.contains("8192 bytes"), "{detail}");
}

#[test]
fn parts_that_are_covered_are_few() {
    for (part, fine) in [("\"x\";key=\"a00N\"", "key"), ("\"@query-param\";name=\"pN\"", "over this")] {
        let parts =
            |count: usize| (0..count).map(|n| part.replace('N', &format!("{n:x}"))).collect::<Vec<_>>();
        let lines: Vec<_> = members(12_000).into_iter().map(|line| ("x", line)).collect();
        let query: Vec<String> = (0..16).map(|n| format!("p{n:x}=1")).collect();
        let target = format!("/?{}", query.join("&"));
        let (reason, detail) = send(&covering(&parts(16)), &lines, &target).unwrap_err();
        assert_eq!((reason, detail.contains(fine)), (Reason::SignatureInvalid, true), "{detail}");
        let (_, detail) = send(&covering(&parts(17)), &lines, &target).unwrap_err();
        assert!(detail.contains("more than 16"), "{detail}");
    }
}

#[test]
fn what_is_covered_is_not_made_much_more_of() {
    let lines: Vec<_> = (0..3).map(|_| ("x", "y".repeat(15_000))).collect();
    let once = covering(&["\"x\"".to_owned()]);
    assert_eq!(send(&once, &lines, "/").unwrap_err().1, Problem::Forged.to_string());
    let twice = covering(&["\"x\"".to_owned(), "\"x\";bs".to_owned()]);
    let (_, detail) = send(&twice, &lines, "/").unwrap_err();
    assert!(detail.contains("65536 bytes"), "{detail}");
}

#[test]
fn details_are_short() {
    let much = "z".repeat(6_000);
    for input in [
        covering(&[format!("\"{much}\"")]),
        covering(&[format!("\"x\";key=\"{much}\"")]),
        covering(&[format!("\"x\";{much}")]),
        format!("sig1=();{much}"),
    ] {
        let (_, detail) = send(&input, &[("x", "a=1".to_owned())], "/").unwrap_err();
        assert!(detail.len() < 200, "{detail}");
    }
}
