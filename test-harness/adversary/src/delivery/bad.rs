//! Bad answers.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bartizan_host::clusters::Answer;
use serde_json::Value;

use super::server::{ARTIFACT, Release, artifact, set};

/// Bad answers, and the kind that each is.
pub(super) fn bad() -> Result<Vec<(&'static str, Answer, &'static str)>> {
    let next = Release::new(3, "")?;
    let bytes = next.bytes()?;
    let half = bytes.get(..bytes.len() / 2).context("it has a half")?.to_vec();
    let html = Answer::status(200).header("content-type", "text/html").body("<html>");
    let typed = |kind: &str| Answer::status(200).header("content-type", kind).body(bytes.clone());
    let same = Release { signed: Release::new(2, "labels: {a: b}\n")?.signed, revision: 2 };
    let late = Duration::from_secs(5);
    Ok(vec![
        ("refused connections", Answer::refused(), "server-error"),
        ("broken connections", Answer::reset(), "server-error"),
        ("an answer that breaks off", Answer::reset_after_headers(), "no-answer"),
        ("silence", Answer::never(), "timeout"),
        ("a slow answer", artifact(bytes.clone()).after(late), "timeout"),
        ("no healthy host", Answer::no_healthy_host(), "no-cluster"),
        ("500", Answer::status(500), "server-error"),
        ("503", Answer::status(503), "server-error"),
        ("404", Answer::status(404), "not-found"),
        ("410", Answer::status(410), "not-found"),
        ("401", Answer::status(401), "unauthorized"),
        ("403", Answer::status(403), "unauthorized"),
        ("302", Answer::status(302).header("location", "/x"), "redirected"),
        ("204", Answer::status(204), "unexpected-status"),
        (
            "206",
            Answer::status(206).header("content-type", ARTIFACT).body(bytes.clone()),
            "unexpected-status",
        ),
        ("429", Answer::status(429), "unexpected-status"),
        ("a page", html, "wrong-content-type"),
        ("text", typed("text/plain"), "wrong-content-type"),
        ("a type with a break", typed("a\u{7f}b"), "wrong-content-type"),
        ("compression", typed(ARTIFACT).header("content-encoding", "gzip"), "content-encoded"),
        ("nothing", artifact(""), "truncated"),
        ("half of it", artifact(half), "truncated"),
        ("garbage", artifact("garbage"), "not-an-envelope"),
        ("more than may be", artifact(vec![b' '; 5 << 20]), "oversized"),
        ("another type of payload", artifact(bytes_with(&bytes, "bundle.v1", "bundle.v9")?), "wrong-type"),
        ("nobody's signature", artifact(next.changed("{", "{", &[])?), "too-few-signatures"),
        ("a stranger's signature", artifact(next.changed("{", "{", &[2])?), "too-few-signatures"),
        ("a change after signing", artifact(forged(&next)?), "too-few-signatures"),
        (
            "a blank in the payload",
            artifact(next.changed("{\"builder\":", "{ \"builder\":", &[0])?),
            "not-canonical",
        ),
        (
            "an unknown member",
            artifact(next.changed("{\"builder\":", "{\"a\":1,\"builder\":", &[0])?),
            "payload-invalid",
        ),
        ("another bundle", artifact(Release::named("other", 9, "")?.bytes()?), "wrong-name"),
        (
            "a plan of the future",
            artifact(next.changed("\"plan_version\":1", "\"plan_version\":2", &[0])?),
            "plan-version",
        ),
        ("half a plan", artifact(next.changed("\"routes\":", "\"roots\":", &[0])?), "plan-invalid"),
        ("an older revision", artifact(Release::new(1, "")?.bytes()?), "older-revision"),
        (
            "the same revision with another content",
            artifact(same.bytes()?),
            "same-revision-different-content",
        ),
        (
            "one that has expired",
            artifact(Release::new(3, "expires: 2001-01-01T00:00:00Z\n")?.bytes()?),
            "expired",
        ),
        (
            "one for later",
            artifact(Release::new(3, "not_before: 2200-01-01T00:00:00Z\n")?.bytes()?),
            "not-yet-valid",
        ),
        (
            "one without its secret",
            artifact(next.changed(r#""env":"A""#, r#""env":"B""#, &[0])?),
            "does-not-load",
        ),
    ])
}

fn bytes_with(bytes: &[u8], from: &str, to: &str) -> Result<Vec<u8>> {
    let text = String::from_utf8(bytes.to_vec())?;
    ensure!(text.contains(from), "no {from} any more");
    Ok(text.replace(from, to).into_bytes())
}

/// The payload of one release under the signature of another.
fn forged(release: &Release) -> Result<Vec<u8>> {
    let mut one: Value = serde_json::from_slice(&release.bytes()?)?;
    let other: Value = serde_json::from_slice(&Release::new(4, "")?.bytes()?)?;
    set(&mut one, "/payload", other.get("payload").cloned().unwrap_or_default());
    Ok(one.to_string().into_bytes())
}
