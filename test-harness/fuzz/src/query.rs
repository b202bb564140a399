//! Queries: what passes is read alike by who decodes first and who splits first, and a token is taken out whole.

use std::cell::RefCell;

use bartizan_engine::intake::percent::{Plus, decode_text};
use bartizan_engine::intake::plan::IntakePlan;
use bartizan_engine::intake::query::{check, parameters};
use bartizan_engine::pipeline::Engine;

use crate::fixture;

/// Any bytes as a raw query.
pub fn run(data: &[u8]) -> bool {
    let plan = IntakePlan { max_query_parameters: 50, ..IntakePlan::default() };
    if let Ok(query) = check(data, &plan) {
        assert_eq!(query.as_bytes(), data, "a query is not rewritten");
        assert!(query.split('&').count() <= 50);
        assert!(query.bytes().all(|b| b.is_ascii_graphic() && b != b'#'), "{query}");
        for (name, value) in parameters(query) {
            for part in [name, value] {
                let decoded = decode_text(part, Plus::Space);
                let decoded = decoded.unwrap_or_else(|| panic!("`{part}` passed and is malformed"));
                assert!(!decoded.contains('\0'), "`{part}` has a NUL");
            }
        }
    }
    token(data)
}

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(fixture::engine());
}

/// On a public route nobody verifies a token, so none goes upstream; all other parameters do, as they were.
fn token(data: &[u8]) -> bool {
    let head = fixture::line("GET", &[b"/open?", data].concat());
    let judged = ENGINE.with_borrow_mut(|engine| fixture::send(engine, &head, &[], false));
    let Ok(upstream) = judged.outcome else { return false };
    let path = fixture::value(&upstream, ":path").expect("upstream gets a path");
    let path = std::str::from_utf8(path).expect("it was checked");
    let sent = std::str::from_utf8(data).expect("it was checked");
    let got = path.split_once('?').map_or("", |(_, query)| query);
    let is_token = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default();
        decode_text(name, Plus::Space).as_deref() == Some("access_token")
    };
    assert!(!got.split('&').any(|p| is_token(&p)), "a token goes upstream: {path}");
    // Where something is taken out, empty parameters go too: they say nothing.
    let kept = sent.split('&').filter(|p| !p.is_empty() && !is_token(p));
    let taken = sent.split('&').any(|p| is_token(&p));
    assert!(kept.eq(got.split('&').filter(|p| !p.is_empty())), "another query goes upstream: {path}");
    assert!(taken || got == sent, "a query without a token is rewritten: {path}");
    true
}
