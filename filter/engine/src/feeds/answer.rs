//! What an HTTP answer says.

use super::failure::{Failure, Kind};
use crate::delivery::answer::{all, is_tag, one, quoted};

/// An answer whose body may be looked at, or one that needs none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `false` says that nothing has changed.
    pub modified: bool,
    /// An entity tag that can be sent back.
    pub tag: Option<String>,
    /// For how many seconds the answer is fresh, if the server says so.
    pub max_age: Option<u64>,
}

/// Judges the headers of an answer. `types` are the media types that it may have, and `asked` says that an entity tag was sent.
///
/// # Errors
/// When it is not what was asked for.
pub fn judge(headers: &[(&[u8], &[u8])], types: &[&str], asked: bool) -> Result<Answer, Failure> {
    if headers.is_empty() {
        return Err(Failure::new(Kind::NoAnswer, "the connection broke"));
    }
    let status = one(headers, ":status").and_then(|status| str::from_utf8(status).ok()?.parse().ok());
    let status: u16 =
        status.ok_or_else(|| Failure::new(Kind::UnexpectedStatus, "an answer without status"))?;
    let tag = one(headers, "etag").filter(|tag| is_tag(tag));
    let tag = tag.and_then(|tag| str::from_utf8(tag).ok()).map(str::to_owned);
    let max_age = max_age(headers);
    let kind = match status {
        200 => {
            body(headers, types)?;
            return Ok(Answer { modified: true, tag, max_age });
        }
        304 if asked => return Ok(Answer { modified: false, tag, max_age }),
        304 => Kind::NotModifiedUnasked,
        300..=399 => Kind::Redirected,
        401 | 403 => Kind::Unauthorized,
        404 | 410 => Kind::NotFound,
        504 => Kind::Timeout,
        500..=599 => Kind::ServerError,
        _ => Kind::UnexpectedStatus,
    };
    Err(Failure::new(kind, format!("status {status}")))
}

fn body(headers: &[(&[u8], &[u8])], types: &[&str]) -> Result<(), Failure> {
    let mut encodings =
        all(headers, "content-encoding").filter(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    if let Some(coding) = encodings.next() {
        return Err(Failure::new(Kind::ContentEncoded, format!("`content-encoding: {}`", quoted(coding))));
    }
    let found = one(headers, "content-type");
    let bare = found.map(|found| found.split(|b| *b == b';').next().unwrap_or_default().trim_ascii());
    if bare.is_some_and(|bare| types.iter().any(|wanted| bare.eq_ignore_ascii_case(wanted.as_bytes()))) {
        return Ok(());
    }
    let found = match found {
        Some(found) => format!("`content-type: {}`", quoted(found)),
        None => "no `content-type`, or several".to_owned(),
    };
    let detail = format!("{found}; expected `{}`", types.join("` or `"));
    Err(Failure::new(Kind::WrongContentType, detail))
}

/// What `cache-control` says (RFC 9111, section 5.2.2), less the `age` that the answer has already. The least of several counts;
/// `no-store` and `no-cache` count as zero. What is malformed is not there.
fn max_age(headers: &[(&[u8], &[u8])]) -> Option<u64> {
    let number = |text: &[u8]| -> Option<u64> {
        let digits = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(text);
        if digits.is_empty() || digits.len() > 10 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        str::from_utf8(digits).ok()?.parse().ok()
    };
    let directives =
        all(headers, "cache-control").flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    let said = directives.filter_map(|directive| {
        let (name, value) = match directive.iter().position(|b| *b == b'=') {
            Some(at) => {
                let (name, rest) = directive.split_at_checked(at)?;
                (name, rest.get(1..))
            }
            None => (directive, None),
        };
        if name.eq_ignore_ascii_case(b"no-store") || name.eq_ignore_ascii_case(b"no-cache") {
            return Some(0);
        }
        if name.eq_ignore_ascii_case(b"max-age") { number(value?) } else { None }
    });
    let age = one(headers, "age").and_then(number).unwrap_or(0);
    said.min().map(|seconds| seconds.saturating_sub(age))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JSON: &[&str] = &["application/json", "application/jwk-set+json"];

    fn judged(headers: &[(&str, &str)], asked: bool) -> Result<Answer, &'static str> {
        let headers: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        judge(&headers, JSON, asked).map_err(|failure| failure.kind.code())
    }

    #[test]
    fn each_status_has_its_kind() {
        for (status, kind) in [
            ("304", "not-modified-unasked"),
            ("301", "redirected"),
            ("307", "redirected"),
            ("401", "unauthorized"),
            ("403", "unauthorized"),
            ("404", "not-found"),
            ("410", "not-found"),
            ("504", "timeout"),
            ("500", "server-error"),
            ("503", "server-error"),
            ("204", "unexpected-status"),
            ("206", "unexpected-status"),
            ("429", "unexpected-status"),
            ("2OO", "unexpected-status"),
        ] {
            assert_eq!(judged(&[(":status", status)], false), Err(kind), "{status}");
        }
        assert_eq!(judged(&[], true), Err("no-answer"));
        assert_eq!(judged(&[(":status", "200"), (":status", "200")], true), Err("unexpected-status"));
        assert!(judged(&[(":status", "304")], true).is_ok_and(|answer| !answer.modified));
    }

    #[test]
    fn the_body_must_be_json_as_it_is() {
        let with = |name: &str, value: &str| {
            judged(&[(":status", "200"), ("content-type", "application/json"), (name, value)], false)
        };
        assert!(with("x", "y").is_ok_and(|answer| answer.modified));
        assert_eq!(with("content-encoding", "gzip"), Err("content-encoded"));
        assert_eq!(with("content-type", "application/json"), Err("wrong-content-type"), "two of them");
        for kind in ["text/html", "text/plain", "", "application/jsonx", "text/plain; application/json"] {
            assert_eq!(
                judged(&[(":status", "200"), ("content-type", kind)], false),
                Err("wrong-content-type")
            );
        }
        let set = "Application/JWK-Set+json; charset=utf-8";
        assert!(judged(&[(":status", "200"), ("content-type", set)], false).is_ok());
        assert_eq!(judged(&[(":status", "200")], false), Err("wrong-content-type"));
    }

    #[test]
    fn the_shortest_age_that_is_said_counts() {
        let with = |lines: &[(&str, &str)]| {
            let mut all = vec![(":status", "200"), ("content-type", "application/json")];
            all.extend(lines);
            judged(&all, false).unwrap().max_age
        };
        for (lines, age) in [
            (&[][..], None),
            (&[("cache-control", "public, max-age=300")][..], Some(300)),
            (&[("cache-control", "max-age=\"300\"")], Some(300)),
            (&[("cache-control", "Max-Age=300"), ("cache-control", "max-age=60")], Some(60)),
            (&[("cache-control", "max-age=300"), ("age", "100")], Some(200)),
            (&[("cache-control", "max-age=300"), ("age", "1000")], Some(0)),
            (&[("cache-control", "no-store")], Some(0)),
            (&[("cache-control", "max-age=300, no-cache")], Some(0)),
            (&[("cache-control", "s-maxage=300, x-max-age=5")], None),
            (&[("cache-control", "max-age=-1, max-age=, max-age")], None),
            (&[("cache-control", "max-age=99999999999")], None),
        ] {
            assert_eq!(with(lines), age, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn any_headers_are_judged(
            headers in proptest::collection::vec((
                prop_oneof![Just(&b":status"[..]), Just(&b"content-type"[..]), Just(&b"cache-control"[..]), Just(&b"age"[..])],
                proptest::collection::vec(any::<u8>(), 0..40),
            ), 0..6),
            asked: bool,
        ) {
            let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|(n, v)| (*n, v.as_slice())).collect();
            if let Err(failure) = judge(&headers, JSON, asked) {
                prop_assert!(!failure.detail.chars().any(char::is_control));
            }
        }
    }
}
