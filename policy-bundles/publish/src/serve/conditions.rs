//! The two conditions of a request: what the client has (RFC 9110, section 13.1.2), and how long it would wait for
//! something else (RFC 7240, section 4.3). Whatever cannot be read is as if it were not there, as both documents ask.

use std::time::Duration;

use http::HeaderMap;
use http::header::IF_NONE_MATCH;

/// Whether the client says that it has this entity tag, compared weakly.
pub(super) fn has(headers: &HeaderMap, etag: &[u8]) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|value| tags(value.as_bytes()).any(|tag| tag == b"*" || tag == etag))
}

/// The entity tags of a list. Ours are hexadecimal digits in quotes, so a comma within a tag need not be understood.
fn tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(|tag| {
        let tag = tag.trim_ascii();
        tag.strip_prefix(b"W/").unwrap_or(tag)
    })
}

/// How many seconds the client would wait: the first `wait` counts.
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    preferences.find_map(|preference| {
        // Parameters of a preference follow a semicolon; `wait` has none.
        let preference = preference.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("wait") {
            return None;
        }
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        // Digits alone: `parse` would also take a sign.
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        Some(Duration::from_secs(if digits { value.parse().unwrap_or(u64::from(u32::MAX)) } else { 0 }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn what_the_client_has() {
        for (values, has_it) in [
            (&["\"a\""][..], true),
            (&["*"], true),
            (&["W/\"a\""], true),
            (&["\"b\", \"a\""], true),
            (&["\"b\",W/\"a\""], true),
            (&["\"b\"", "\"a\""], true),
            (&[], false),
            (&[""], false),
            (&["\"b\""], false),
            (&["a"], false),
            (&["\"A\""], false),
        ] {
            assert_eq!(has(&headers("if-none-match", values), b"\"a\""), has_it, "{values:?}");
        }
    }

    #[test]
    fn how_long_it_would_wait() {
        for (values, seconds) in [
            (&["wait=10"][..], Some(10)),
            (&["respond-async, Wait = \"10\""], Some(10)),
            (&["respond-async", "wait=10;x=1"], Some(10)),
            (&["wait=10", "wait=20"], Some(10)),
            (&["wait=99999999999999999999"], Some(u64::from(u32::MAX))),
            (&["wait=-1"], Some(0)),
            (&["wait=+1"], Some(0)),
            (&["wait=1.5"], Some(0)),
            (&["wait="], Some(0)),
            (&["wait"], None),
            (&["waits=10"], None),
            (&[], None),
        ] {
            assert_eq!(wait(&headers("prefer", values)), seconds.map(Duration::from_secs), "{values:?}");
        }
    }
}
