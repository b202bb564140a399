//! Header maps: what is let through has one meaning, and upstream sees no second spelling of what was judged.
//!
//! An input is lines of `name: value`, as Envoy would hand them over. `:method`, `:path` and `:authority` have defaults.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bartizan_engine::pipeline::Engine;

use crate::fixture::{self, Lines};

/// Headers that nobody but the filter may set, or that must not be there in another spelling.
const OURS: [&str; 4] = ["x-user", "x-gateway", "x-debug", "x-token"];

/// Headers that may be there once.
const ONCE: [&str; 8] = [
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "origin",
    "transfer-encoding",
    "x-forwarded-host",
];

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(fixture::engine());
}

/// Any bytes as a header map.
pub fn run(data: &[u8]) -> bool {
    let head = lines(data);
    let judged = ENGINE.with_borrow_mut(|engine| fixture::send(engine, &head, &[], false));
    let Ok(upstream) = judged.outcome else { return false };
    let mut once = BTreeSet::new();
    for (name, value) in &upstream {
        let name = std::str::from_utf8(name).expect("a name is a token");
        let text = std::str::from_utf8(value).unwrap_or_else(|_| panic!("{name}: a value that is not UTF-8"));
        assert!(!text.chars().any(|c| c.is_ascii_control() && c != '\t'), "{name}: a control character");
        let token =
            |b: u8| b.is_ascii_graphic() && !b.is_ascii_uppercase() && !b"\"(),/:;<=>?@[\\]{}".contains(&b);
        assert!(name.bytes().skip(usize::from(name.starts_with(':'))).all(token), "{name}: not a name");
        assert!(!ONCE.contains(&name) || once.insert(name), "{name}: twice");
        for own in OURS {
            let folded: String =
                name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            assert!(folded != own || name == own, "{name}: some servers read it as {own}");
        }
        assert!(
            !matches!(name, "x-original-url" | "x-rewrite-url" | "upgrade" | "x-debug"),
            "{name} goes upstream"
        );
    }
    let all = |name: &str| upstream.iter().filter(|(n, _)| n == name.as_bytes()).count();
    for name in [":method", ":path", ":authority"] {
        assert_eq!(all(name), 1, "{name}");
    }
    assert_eq!((all("x-gateway"), all("x-user")), (1, usize::from(is_me(&upstream))));
    for cookie in upstream.iter().filter(|(n, _)| n == b"cookie") {
        let token = cookie.1.split(|b| *b == b';').any(|c| c.trim_ascii().starts_with(b"session="));
        assert!(!token, "a cookie with a token goes upstream");
    }
    true
}

/// Whether the route is the one that wants an identity; then there is one.
fn is_me(upstream: &Lines) -> bool {
    fixture::value(upstream, "x-user").is_some()
        && fixture::value(upstream, ":path")
            .is_some_and(|path| path.starts_with(b"/me") || path.starts_with(b"/items"))
}

/// The header map of an input. `{token}` is a good token.
fn lines(data: &[u8]) -> Lines {
    let mut lines: Lines = Vec::new();
    for line in data.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        // A pseudo-header begins with a colon.
        let colon = line.iter().skip(1).position(|b| *b == b':').map_or(line.len(), |at| at + 1);
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, b""));
        let value = value.get(1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        lines.push((name.to_ascii_lowercase(), with_token(value)));
    }
    for (name, value) in fixture::line("GET", b"/open") {
        if !lines.iter().any(|(other, _)| *other == name) {
            lines.insert(0, (name, value));
        }
    }
    lines
}

fn with_token(value: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = b"{token}";
    match value.windows(MARK.len()).position(|window| window == MARK) {
        Some(at) => {
            let payload = br#"{"iss":"https://local.example/","aud":"fuzz","exp":4102444800,"sub":"me"}"#;
            let token = fixture::signed(br#"{"alg":"HS256"}"#, payload);
            let (before, after) = (value.get(..at), value.get(at + MARK.len()..));
            [before.unwrap_or_default(), &token, after.unwrap_or_default()].concat()
        }
        None => value.to_vec(),
    }
}
