use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::list::{Asked, Revoked};
use super::*;
use crate::host::Now;

fn resolve(issuer: &str) -> Option<Called> {
    let method = match issuer {
        "corp" | "https://corp.example/" => "corp",
        "partner" | "devices" => issuer,
        _ => return None,
    };
    Some(Called::method(method, &["corp", "partner"]))
}

fn parse(text: &str) -> Result<Document, DocumentError> {
    read(text.as_bytes(), &resolve)
}

fn problem(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_example_is_read() {
    let document = parse(
        r#"{"version": 17,
            "issued_before": 100,
            "issuers": {"corp": {"issued_before": 200}, "unknown": {"issued_before": 300}},
            "tokens": ["id-1", {"jti": "id-2", "issuer": "https://corp.example/", "until": 1000}, {"jti": "id-3", "issuer": "unknown"}],
            "sessions": [{"sid": "s-1"}],
            "subjects": ["mallory", {"sub": "alice", "issued_before": 400}]}"#,
    )
    .unwrap();
    assert_eq!((document.version, document.left_out, document.list.len()), (17, 2, 7));
    let judge = |issuer, subject, jti, sid, issued_at: u64, now| {
        let asked = Asked {
            issuer,
            subject,
            sub: None,
            jti,
            sid,
            token: true,
            issued_at: Some(issued_at * 1_000_000_000),
        };
        document.list.judge(&asked, Now::from_secs(now))
    };
    assert_eq!(judge("corp", "bob", Some("id-1"), None, 500, 500), Some(Revoked::Token));
    assert_eq!(judge("corp", "bob", Some("id-2"), None, 500, 999), Some(Revoked::Token));
    assert_eq!(judge("corp", "bob", Some("id-2"), None, 500, 1000), None);
    assert_eq!(judge("partner", "bob", Some("id-2"), None, 500, 999), None);
    assert_eq!(judge("corp", "bob", Some("id-3"), None, 500, 500), None);
    assert_eq!(judge("corp", "bob", None, Some("s-1"), 500, 500), Some(Revoked::Session));
    assert_eq!(judge("corp", "mallory", None, None, 500, 500), Some(Revoked::Subject));
    assert_eq!(judge("corp", "alice", None, None, 399, 500), Some(Revoked::IssuedBefore(400)));
    assert_eq!(judge("corp", "alice", None, None, 400, 500), None);
    assert_eq!(judge("corp", "bob", None, None, 199, 500), Some(Revoked::IssuedBefore(200)));
    assert_eq!(judge("partner", "bob", None, None, 199, 500), None);
}

#[test]
fn entries_that_mean_nobody_are_left_out_and_counted() {
    let left_out = |members: &str| {
        let document = parse(&format!(r#"{{"version": 1, {members}}}"#)).unwrap();
        (document.left_out, document.list.len())
    };
    // API keys have no time of issue and no name of their own.
    assert_eq!(left_out(r#""issuers": {"devices": {"issued_before": 1}}"#), (1, 0));
    assert_eq!(left_out(r#""tokens": [{"jti": "a", "issuer": "devices"}, "b"]"#), (1, 1));
    assert_eq!(left_out(r#""sessions": [{"sid": "a", "issuer": "devices"}]"#), (1, 0));
    assert_eq!(left_out(r#""subjects": [{"sub": "a", "issuer": "devices", "issued_before": 1}]"#), (1, 0));
    // The nearest that mean somebody.
    assert_eq!(left_out(r#""subjects": [{"sub": "a", "issuer": "devices"}]"#), (0, 1));
    assert_eq!(left_out(r#""subjects": [{"sub": "a", "issuer": "corp", "issued_before": 1}]"#), (0, 1));
    assert_eq!(left_out(r#""issuers": {"corp": {"issued_before": 1}}"#), (0, 1));
}

#[test]
fn the_least_is_a_version() {
    assert_eq!(parse(r#"{"version":0}"#).unwrap().list, List::default());
    assert!(problem("{}").contains("`version` is missing"));
}

#[test]
fn what_is_malformed_is_refused_whole() {
    for text in [
        "",
        "[]",
        "1",
        "null",
        "[17]",
        r#"{"version":1}x"#,
        r#"{"version":1}{"version":2}"#,
        r#"{"version":1,}"#,
        r#"{"version":"1"}"#,
        r#"{"version":-1}"#,
        r#"{"version":1.0}"#,
        r#"{"version":9007199254740993}"#,
        r#"{"version":null}"#,
        r#"{"version":1,"version":1}"#,
        r#"{"version":1,"versio\u006e":1}"#,
        r#"{"version":1,"token":[]}"#,
        r#"{"version":1,"tokens":null}"#,
        r#"{"version":1,"tokens":{}}"#,
        r#"{"version":1,"tokens":"a"}"#,
        r#"{"version":1,"tokens":[1]}"#,
        r#"{"version":1,"tokens":[null]}"#,
        r#"{"version":1,"tokens":[["a","corp",1]]}"#,
        r#"{"version":1,"tokens":[{}]}"#,
        r#"{"version":1,"tokens":[{"sub":"a"}]}"#,
        r#"{"version":1,"tokens":[{"jti":1}]}"#,
        r#"{"version":1,"tokens":[{"jti":"a","jti":"b"}]}"#,
        r#"{"version":1,"tokens":[{"jti":"a","until":"soon"}]}"#,
        r#"{"version":1,"tokens":[{"jti":"a","until":1800000000000}]}"#,
        r#"{"version":1,"tokens":[{"jti":"a","until":null}]}"#,
        r#"{"version":1,"tokens":[{"jti":"a","issuer":null}]}"#,
        r#"{"version":1,"tokens":[{"jti":"a","issued_before":1}]}"#,
        r#"{"version":1,"tokens":[{"jti":"a","x":1}]}"#,
        r#"{"version":1,"tokens":[""]}"#,
        r#"{"version":1,"tokens":["a\nb"]}"#,
        r#"{"version":1,"sessions":[{"sid":"a","issued_before":1}]}"#,
        r#"{"version":1,"subjects":[{"sub":"a","issued_before":"x"}]}"#,
        r#"{"version":1,"issuers":[]}"#,
        r#"{"version":1,"issuers":{"corp":1}}"#,
        r#"{"version":1,"issuers":{"corp":"a"}}"#,
        r#"{"version":1,"issuers":{"corp":{}}}"#,
        r#"{"version":1,"issuers":{"corp":{"until":1}}}"#,
        r#"{"version":1,"issuers":{"corp":{"":"x","issued_before":1}}}"#,
        r#"{"version":1,"issuers":{"corp":{"issued_before":1},"corp":{"issued_before":1}}}"#,
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    // The nearest that are taken.
    for text in [
        r#" {"version":1} "#,
        r#"{"versio\u006e":1}"#,
        r#"{"version":1,"tokens":[],"sessions":[],"subjects":[],"issuers":{}}"#,
        r#"{"version":1,"tokens":["\u0061",{"jti":"a"}]}"#,
        r#"{"version":1,"subjects":[{"issued_before":0,"sub":"a"}]}"#,
        r#"{"version":1,"issuers":{"corp":{"issued_before":1}}}"#,
    ] {
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[test]
fn there_is_an_end_to_everything() {
    let issuers = |count: usize| {
        let map: serde_json::Map<String, Value> =
            (0..count).map(|n| (format!("i-{n}"), json!({"issued_before": 1}))).collect();
        json!({"version": 1, "issuers": map}).to_string()
    };
    assert!(parse(&issuers(64)).is_ok());
    assert!(problem(&issuers(65)).contains("more than 64 issuers"));
    let subjects = |count: usize| {
        let list: Vec<Value> = (0..count).map(|n| json!({"sub": "a", "issuer": format!("i-{n}")})).collect();
        json!({"version": 1, "subjects": list}).to_string()
    };
    assert!(parse(&subjects(64)).is_ok());
    assert!(problem(&subjects(65)).contains("more than 64"));
    let tokens = |count: usize| json!({"version": 1, "tokens": vec!["a"; count]}).to_string();
    assert!(parse(&tokens(MAX_NAMES)).is_ok());
    assert!(problem(&tokens(MAX_NAMES + 1)).contains("250,000"));
    let large = format!(r#"{{"version":1{}}}"#, " ".repeat(MAX_DOCUMENT_BYTES));
    assert_eq!(parse(&large), Err(DocumentError::TooLarge));
    assert!(parse(&"[".repeat(100_000)).is_err());
}

#[test]
fn messages_say_where_and_repeat_nothing() {
    let message = problem("{\"version\": 1,\n \"tokens\": [\"a\", {\"jti\": \"secret\", \"x\": 1}]}");
    assert_eq!(message, "the list is malformed at line 2, column 38: an entry has an unknown member");
}

proptest! {
    /// Whatever comes, it is refused or read, and what was read means the same after it was written again.
    #[test]
    fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, &resolve);
    }

    #[test]
    fn any_tokens_of_a_document_are_an_answer(
        words in proptest::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"version\"", "\"tokens\"", "\"subjects\"", "\"issuers\"", "\"jti\"", "\"sub\"", "\"until\"", "1", "\"a\"", "null",
        ]), 0..24),
    ) {
        let text = words.concat();
        if let Ok(document) = parse(&text) {
            prop_assert!(serde_json::from_str::<Value>(&text).unwrap().is_object());
            prop_assert!(document.version <= 1);
        }
    }
}
