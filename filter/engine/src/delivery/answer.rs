//! What an HTTP answer of a bundle source says.

use super::failure::{Failure, Fault};
use super::source::{ARTIFACT, MANIFEST};

/// The longest entity tag that is kept and sent back.
const MAX_TAG: usize = 256;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// An artifact, if it is another than the one that is known, or in any case.
    Artifact {
        /// Whether an entity tag was sent.
        conditional: bool,
    },
    /// A manifest of a registry.
    Manifest,
    /// What a manifest names.
    Blob,
}

/// An answer whose body may be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing has changed.
    NotModified,
    /// The body is what was asked for. The entity tag is one that can be sent back.
    Body(Option<String>),
}

/// Judges the headers of an answer.
///
/// # Errors
/// When it is not what was asked for.
pub fn judge(headers: &[(&[u8], &[u8])], asked: Asked) -> Result<Answer, Failure> {
    if headers.is_empty() {
        return Err(Failure::new(Fault::NoAnswer, "the connection broke"));
    }
    let status = one(headers, ":status").and_then(|status| str::from_utf8(status).ok()?.parse().ok());
    let status: u16 =
        status.ok_or_else(|| Failure::new(Fault::UnexpectedStatus, "an answer without status"))?;
    let fault = match status {
        200 => return body(headers, asked),
        304 if asked == (Asked::Artifact { conditional: true }) => return Ok(Answer::NotModified),
        304 => Fault::NotModifiedWithoutBundle,
        300..=399 => Fault::Redirected,
        401 | 403 => Fault::Unauthorized,
        404 | 410 => Fault::NotFound,
        504 => Fault::Timeout,
        500..=599 => Fault::ServerError,
        _ => Fault::UnexpectedStatus,
    };
    Err(Failure::new(fault, format!("status {status}")))
}

fn body(headers: &[(&[u8], &[u8])], asked: Asked) -> Result<Answer, Failure> {
    let encodings =
        all(headers, "content-encoding").filter(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    if let Some(coding) = encodings.into_iter().next() {
        return Err(Failure::new(Fault::ContentEncoded, format!("`content-encoding: {}`", quoted(coding))));
    }
    let expected: &[&str] = match asked {
        Asked::Artifact { .. } => &[ARTIFACT, "application/json"],
        Asked::Manifest => &[MANIFEST],
        // A blob is known by its digest, and registries give them any type.
        Asked::Blob => &[],
    };
    if !expected.is_empty() {
        let found = one(headers, "content-type");
        let bare = found.map(|found| found.split(|b| *b == b';').next().unwrap_or_default().trim_ascii());
        if !bare
            .is_some_and(|bare| expected.iter().any(|wanted| bare.eq_ignore_ascii_case(wanted.as_bytes())))
        {
            let found = match found {
                Some(found) => format!("`content-type: {}`", quoted(found)),
                None => "no `content-type`, or several".to_owned(),
            };
            let detail = format!("{found}; expected `{}`", expected.join("` or `"));
            return Err(Failure::new(Fault::WrongContentType, detail));
        }
    }
    let tag = one(headers, "etag").filter(|tag| is_tag(tag));
    Ok(Answer::Body(tag.and_then(|tag| str::from_utf8(tag).ok()).map(str::to_owned)))
}

/// An entity tag (RFC 9110, section 8.8.3) that is short and ASCII.
pub(crate) fn is_tag(tag: &[u8]) -> bool {
    let opaque = tag.strip_prefix(b"W/").unwrap_or(tag);
    let inner = opaque.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    tag.len() <= MAX_TAG
        && inner.is_some_and(|inner| inner.iter().all(|b| b.is_ascii_graphic() && *b != b'"'))
}

pub(crate) fn all<'h>(
    headers: &'h [(&'h [u8], &'h [u8])],
    name: &'static str,
) -> impl Iterator<Item = &'h [u8]> {
    headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| *value)
}

/// The value of a header that is there once.
pub(crate) fn one<'h>(headers: &'h [(&'h [u8], &'h [u8])], name: &'static str) -> Option<&'h [u8]> {
    let mut values = all(headers, name);
    values.next().filter(|_| values.next().is_none())
}

/// A value for a log line: [`Failure`] replaces what is not printable, and this keeps it short.
pub(crate) fn quoted(value: &[u8]) -> String {
    String::from_utf8_lossy(value.get(..64).unwrap_or(value)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEW: Asked = Asked::Artifact { conditional: false };
    const KNOWN: Asked = Asked::Artifact { conditional: true };

    fn code(headers: &[(&str, &str)], asked: Asked) -> Result<Answer, &'static str> {
        let headers: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        judge(&headers, asked).map_err(|failure| failure.kind.code())
    }

    #[test]
    fn each_status_has_its_kind() {
        for (status, asked, kind) in [
            ("304", NEW, "not-modified-without-bundle"),
            ("304", Asked::Manifest, "not-modified-without-bundle"),
            ("304", Asked::Blob, "not-modified-without-bundle"),
            ("301", KNOWN, "redirected"),
            ("307", KNOWN, "redirected"),
            ("401", KNOWN, "unauthorized"),
            ("403", KNOWN, "unauthorized"),
            ("404", KNOWN, "not-found"),
            ("410", KNOWN, "not-found"),
            ("504", KNOWN, "timeout"),
            ("500", KNOWN, "server-error"),
            ("503", KNOWN, "server-error"),
            ("599", KNOWN, "server-error"),
            ("204", KNOWN, "unexpected-status"),
            ("206", KNOWN, "unexpected-status"),
            ("100", KNOWN, "unexpected-status"),
            ("400", KNOWN, "unexpected-status"),
            ("429", KNOWN, "unexpected-status"),
            ("600", KNOWN, "unexpected-status"),
            ("2OO", KNOWN, "unexpected-status"),
            ("", KNOWN, "unexpected-status"),
        ] {
            assert_eq!(code(&[(":status", status)], asked), Err(kind), "{status}");
        }
        assert_eq!(code(&[], KNOWN), Err("no-answer"));
        assert_eq!(code(&[("a", "b")], KNOWN), Err("unexpected-status"));
        assert_eq!(code(&[(":status", "200"), (":status", "200")], KNOWN), Err("unexpected-status"));
        assert_eq!(code(&[(":status", "304")], KNOWN), Ok(Answer::NotModified));
    }

    #[test]
    fn the_body_must_be_of_the_type_that_was_asked_for() {
        let with = |kind: &str, asked| code(&[(":status", "200"), ("content-type", kind)], asked);
        for kind in [ARTIFACT, "application/json", "Application/JSON; charset=utf-8", "application/json ;x"] {
            assert_eq!(with(kind, NEW), Ok(Answer::Body(None)), "{kind}");
        }
        for kind in ["text/html", "", "application/jsonx", "text/plain; application/json", MANIFEST] {
            assert_eq!(with(kind, NEW), Err("wrong-content-type"), "{kind}");
        }
        assert_eq!(with(MANIFEST, Asked::Manifest), Ok(Answer::Body(None)));
        assert_eq!(with("application/json", Asked::Manifest), Err("wrong-content-type"));
        assert_eq!(with("application/octet-stream", Asked::Blob), Ok(Answer::Body(None)));
        assert_eq!(code(&[(":status", "200")], Asked::Blob), Ok(Answer::Body(None)));
        assert_eq!(code(&[(":status", "200")], NEW), Err("wrong-content-type"));
        let twice = [(":status", "200"), ("content-type", ARTIFACT), ("content-type", "text/html")];
        assert_eq!(code(&twice, NEW), Err("wrong-content-type"));
    }

    #[test]
    fn nothing_is_decoded() {
        let with = |coding: &str, asked| {
            code(&[(":status", "200"), ("content-type", ARTIFACT), ("content-encoding", coding)], asked)
        };
        assert_eq!(with("identity", NEW), Ok(Answer::Body(None)));
        for coding in ["gzip", "identity, gzip", "br", ""] {
            assert_eq!(with(coding, NEW), Err("content-encoded"), "{coding}");
            assert_eq!(with(coding, Asked::Blob), Err("content-encoded"), "{coding}");
        }
    }

    #[test]
    fn only_a_tag_that_can_be_sent_back_is_kept() {
        let with = |tag: &str| code(&[(":status", "200"), ("content-type", ARTIFACT), ("etag", tag)], NEW);
        for tag in ["\"a\"", "W/\"a-b\"", "\"\""] {
            assert_eq!(with(tag), Ok(Answer::Body(Some(tag.to_owned()))));
        }
        for tag in [
            "a",
            "",
            "\"",
            "\"a\"b\"",
            "\"a b\"",
            "\"\u{e4}\"",
            "w/\"a\"",
            &format!("\"{}\"", "a".repeat(300)),
        ] {
            assert_eq!(with(tag), Ok(Answer::Body(None)), "{tag}");
        }
    }

    proptest! {
        #[test]
        fn any_headers_are_judged(
            headers in proptest::collection::vec((
                prop_oneof![Just(&b":status"[..]), Just(&b"content-type"[..]), Just(&b"etag"[..]), Just(&b"x"[..])],
                proptest::collection::vec(any::<u8>(), 0..100),
            ), 0..6),
        ) {
            let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|(n, v)| (*n, v.as_slice())).collect();
            if let Err(failure) = judge(&headers, NEW) {
                prop_assert!(!failure.detail.chars().any(char::is_control));
            }
        }
    }
}
