//! The table of what a server of keys can get wrong: what is sent around keys that must never be believed, and the kind that
//! must be told of it.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;

use super::post::{KEYS, jwks};
use crate::bundles::server::{Behaviour, Then, answer};

/// The most bytes of a key set in this table.
pub(super) const MAX_SIZE: usize = 16 * 1024;

/// The key that stands in what is bad.
pub(super) const BAD: &str = "es256-stranger";

const JSON: &str = "application/json";

/// What happens at the server.
pub(super) enum Act {
    Behave(Behaviour),
    /// It is gone.
    Close,
}

/// One row.
pub(super) struct Row {
    pub(super) what: &'static str,
    /// The kind that is told where keys are there.
    pub(super) kind: &'static str,
    /// Whether the issuer says where its keys are.
    pub(super) is_discovered: bool,
    pub(super) act: Act,
}

/// All of them.
pub(super) fn rows() -> Result<Vec<Row>> {
    let good = jwks(&[BAD])?;
    let text = String::from_utf8(good.clone())?;
    let private = text.replacen("\"x\"", "\"d\": \"AAAA\", \"x\"", 1);
    let twice = String::from_utf8(jwks(&["es256-0", BAD])?)?.replacen("es256-0", BAD, 1);
    let padded = [good.clone(), vec![b' '; MAX_SIZE]].concat();
    let deep = format!("{{\"keys\": {}{}}}", "[".repeat(4_000), "]".repeat(4_000));
    let mut rows = vec![
        row("half a key set, as a whole answer", "malformed", of(good.split_at(good.len() / 2).0)),
        row("200 with nothing", "malformed", of(b"")),
        row("JSON that is no key set", "malformed", of(b"{}")),
        row("two documents", "malformed", of(&[good.clone(), good.clone()].concat())),
        row("bytes that are not UTF-8", "malformed", of(&[0xff, 0xfe, 0x00])),
        row("lists in lists, 4000 deep", "malformed", of(deep.as_bytes())),
        row("a key set with a private half", "malformed", of(private.as_bytes())),
        row("two keys of one name", "malformed", of(twice.as_bytes())),
        row("HTML that says it is JSON", "malformed", of(b"<!doctype html><title>It works</title>")),
        row("HTML", "wrong-content-type", typed("text/html; charset=utf-8", &good)),
        row("no content type", "wrong-content-type", headed("200 OK", &[], &good)),
        row(
            "content-encoding: gzip",
            "content-encoded",
            headed("200 OK", &[("content-type", JSON), ("content-encoding", "gzip")], &good),
        ),
        row("larger than `max_size`, with its length", "oversized", of(&padded)),
        row("larger than `max_size`, chunked", "oversized", {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {JSON}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
                padded.len()
            );
            sent([head.as_bytes(), &padded, b"\r\n0\r\n\r\n"].concat(), Then::Close)
        }),
        row(
            "301 to where the keys are",
            "redirected",
            headed(
                "301 Moved Permanently",
                &[("location", "https://issuer.test/keys2"), ("content-type", JSON)],
                &good,
            ),
        ),
        row(
            "307 to itself",
            "redirected",
            headed("307 Temporary Redirect", &[("location", "https://issuer.test/keys")], &good),
        ),
        row(
            "304 although nobody asked",
            "not-modified-unasked",
            headed("304 Not Modified", &[("etag", "\"x\"")], b""),
        ),
    ];
    for (status, kind) in [
        ("204 No Content", "unexpected-status"),
        ("401 Unauthorized", "unauthorized"),
        ("403 Forbidden", "unauthorized"),
        ("404 Not Found", "not-found"),
        ("429 Too Many Requests", "unexpected-status"),
        ("500 Internal Server Error", "server-error"),
        ("503 Service Unavailable", "server-error"),
    ] {
        rows.push(row(status, kind, headed(status, &[("content-type", JSON)], &good)));
    }
    let whole = answer("200 OK", &[("content-type", JSON)], &good);
    let (head, half) =
        (whole.split_at(whole.len() - good.len()).0.to_vec(), whole.split_at(whole.len() / 2).0.to_vec());
    rows.extend([
        row("nobody listens", "server-error", Act::Close),
        row("closed without a byte", "server-error", sent(Vec::new(), Then::Close)),
        row(
            "a head that breaks off",
            "server-error",
            sent(b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec(), Then::Close),
        ),
        row("what is not HTTP", "server-error", sent(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), Then::Hold)),
        row("a body that breaks off", "no-answer", sent(half.clone(), Then::Close)),
        row("no answer for longer than `timeout`", "timeout", sent(Vec::new(), Then::Hold)),
        row("a head that trickles", "timeout", sent(Vec::new(), Then::Trickle(whole))),
        // Envoy tells a timeout after the head as a connection that broke.
        row("a body that trickles", "no-answer", sent(head, Then::Trickle(good.clone()))),
        row("half a body, and then nothing", "no-answer", sent(half, Then::Hold)),
        row("a chunked body without end", "no-answer", {
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: {JSON}\r\ntransfer-encoding: chunked\r\n\r\n");
            sent(head.into_bytes(), Then::Endless)
        }),
    ]);
    for (what, kind, document) in [
        (
            "a document of another issuer",
            "wrong-issuer",
            document("https://other.test/", "https://issuer.test/keys"),
        ),
        (
            "keys at another origin",
            "foreign-keys",
            document("https://issuer.test/", "https://evil.test/keys"),
        ),
        ("keys without TLS", "foreign-keys", document("https://issuer.test/", "http://issuer.test/keys")),
        ("a document that is none", "discovery-malformed", b"[]".to_vec()),
    ] {
        let documents = BTreeMap::from([(DOCUMENT.to_owned(), document), (KEYS.to_owned(), good.clone())]);
        rows.push(Row { what, kind, is_discovered: true, act: Act::Behave(Behaviour::Documents(documents)) });
    }
    Ok(rows)
}

/// Where the discovery document is.
const DOCUMENT: &str = "/.well-known/openid-configuration";

/// A server that has these keys, and says so in the discovery document.
pub(super) fn discovered(names: &[&str]) -> Result<Behaviour> {
    let document = document("https://issuer.test/", "https://issuer.test/keys");
    Ok(Behaviour::Documents(BTreeMap::from([
        (DOCUMENT.to_owned(), document),
        (KEYS.to_owned(), jwks(names)?),
    ])))
}

fn document(issuer: &str, at: &str) -> Vec<u8> {
    json!({"issuer": issuer, "jwks_uri": at}).to_string().into_bytes()
}

const fn row(what: &'static str, kind: &'static str, act: Act) -> Row {
    Row { what, kind, is_discovered: false, act }
}

fn of(body: &[u8]) -> Act {
    typed(JSON, body)
}

fn typed(media_type: &str, body: &[u8]) -> Act {
    headed("200 OK", &[("content-type", media_type)], body)
}

fn headed(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Act {
    Act::Behave(Behaviour::answer(status, headers, body))
}

const fn sent(bytes: Vec<u8>, then: Then) -> Act {
    Act::Behave(Behaviour::Send(bytes, then))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_there_twice() {
        let rows = rows().unwrap();
        let names: std::collections::BTreeSet<_> = rows.iter().map(|row| row.what).collect();
        assert_eq!(names.len(), rows.len());
        assert!(rows.len() >= 30, "{}", rows.len());
    }
}
