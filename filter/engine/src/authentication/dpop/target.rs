//! The URI that a proof was made for, and the one that it is shown at (RFC 9449, section 4.3, points 9 and 12).
//!
//! Both are brought to one form first (RFC 3986, sections 6.2.2 and 6.2.3): scheme and host in lower case, no
//! default port, and the path as intake reads it, so that what is compared is what is judged and sent on.
//! Query and fragment do not count.

use std::borrow::Cow;

use crate::intake::path;

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// An origin as people write it: `https://api.example.com`, without a path.
    pub(super) fn read(written: &str) -> Option<Self> {
        let (origin, rest) = split(written)?;
        rest.is_empty().then_some(origin)
    }

    /// The origin of a request that came for this authority, by https.
    pub(super) fn of_authority(authority: &[u8]) -> Option<Self> {
        authority_of(true, std::str::from_utf8(authority).ok()?)
    }
}

/// Whether an origin is one: `https://api.example.com:8443`, or with `http`.
#[must_use]
pub fn is_origin(written: &str) -> bool {
    Origin::read(written).is_some()
}

/// The origin and the path of `htu`; `None` if it is not an absolute URI whose path has one meaning.
pub(super) fn read(htu: &str) -> Option<(Origin, Cow<'_, str>)> {
    const MAX_BYTES: usize = 8 * 1024;
    if htu.len() > MAX_BYTES {
        return None;
    }
    let (origin, rest) = split(htu)?;
    let path = rest.find(['?', '#']).and_then(|end| rest.get(..end)).unwrap_or(rest);
    // RFC 3986, section 6.2.3: an empty path is a slash.
    let path = if path.is_empty() { Cow::Borrowed("/") } else { path::canonical(path.as_bytes()).ok()? };
    Some((origin, path))
}

fn split(uri: &str) -> Option<(Origin, &str)> {
    let (scheme, rest) = uri.split_once("://")?;
    let https = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    Some((authority_of(https, authority)?, rest))
}

fn authority_of(https: bool, authority: &str) -> Option<Origin> {
    // The colon of a port comes after the bracket of an address.
    let host_end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let colon = authority.get(host_end..)?.find(':').map(|at| at + host_end);
    let (host, port) = match colon {
        None => (authority, None),
        Some(colon) => (authority.get(..colon)?, Some(authority.get(colon + 1..)?)),
    };
    let default = if https { 443 } else { 80 };
    let port = match port {
        // RFC 3986, section 6.2.3: an empty port is the default one.
        None | Some("") => default,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
    };
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'[' | b']' | b':');
    if host.is_empty() || !host.bytes().all(fine) {
        return None;
    }
    Some(Origin { https, host: host.to_ascii_lowercase(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let (a, b) = (read(a), read(b));
        a.is_some() && a == b
    }

    #[test]
    fn one_uri_has_many_spellings() {
        let uri = "https://api.example.com/a/b";
        for other in [
            "HTTPS://API.example.com/a/b",
            "https://api.example.com:443/a/b",
            "https://api.example.com:/a/b",
            "https://api.example.com/a/b?c=d",
            "https://api.example.com/a/b#e",
            "https://api.example.com/%61/b",
            "https://api.example.com/a/./b",
            "https://api.example.com/a/c/../b",
        ] {
            assert!(same(uri, other), "{other}");
        }
        assert!(
            same("https://a", "https://a/")
                && same("https://a?x", "https://a/")
                && same("http://a:80/x", "http://a/x")
        );
        assert!(
            same("https://[::1]:8443/a", "https://[::1]:8443/a")
                && same("https://[::1]/", "https://[::1]:443")
        );
    }

    #[test]
    fn another_uri_is_another() {
        let uri = "https://api.example.com/a/b";
        for other in [
            "http://api.example.com/a/b",
            "https://api.example.com:8443/a/b",
            "https://api.example.com/a/B",
            "https://api.example.com/a",
            "https://api.example.com/a/b/",
            "https://example.com/a/b",
            "https://u@api.example.com/a/b",
            "https:///a/b",
            "https:/api.example.com/a/b",
            "//api.example.com/a/b",
            "/a/b",
            "",
            "ftp://api.example.com/a/b",
            "https://api.example.com/a%2fb",
            "https://api.example.com:443x/a/b",
            "https://api.example.com:70000/a/b",
            " https://api.example.com/a/b",
        ] {
            assert!(!same(uri, other), "{other}");
        }
    }

    #[test]
    fn origins() {
        assert_eq!(Origin::of_authority(b"API.example.com:443"), Origin::read("https://api.example.com"));
        assert_ne!(Origin::of_authority(b"api.example.com:80"), Origin::read("https://api.example.com"));
        assert_eq!(Origin::of_authority(b"\xff"), None);
        for bad in ["https://a/", "https://a?b", "a", "https://", "ftp://a", "https://a b", "https://*.a"] {
            assert!(!is_origin(bad), "{bad}");
        }
        assert!(is_origin("http://127.0.0.1:10000"));
    }
}
