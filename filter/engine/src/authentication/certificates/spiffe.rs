//! SPIFFE ids (SPIFFE-ID, section 2), and patterns of them.
//!
//! The standard leaves one spelling: no escapes, no port, no empty segments, a trust domain in lower case.
//! So ids are compared byte by byte, and what has another spelling is no id.

/// The most bytes of an id (SPIFFE-ID, section 2.3) and of its trust domain (section 2.1).
const MAX_ID: usize = 2048;
const MAX_TRUST_DOMAIN: usize = 255;

/// The trust domain and the path of an id; the path begins with its slash, or is empty.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(super) fn read(id: &str) -> Result<(&str, &str), &'static str> {
    if id.len() > MAX_ID {
        return Err("has more than 2,048 bytes");
    }
    let rest = id.strip_prefix("spiffe://").ok_or("does not begin with `spiffe://`")?;
    let (trust_domain, path) = match rest.find('/') {
        Some(slash) => rest.split_at_checked(slash).unwrap_or((rest, "")),
        None => (rest, ""),
    };
    if trust_domain.is_empty() || trust_domain.len() > MAX_TRUST_DOMAIN {
        return Err("has no trust domain, or one of more than 255 bytes");
    }
    let in_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    if !trust_domain.bytes().all(in_domain) {
        return Err("has a trust domain that is not of lower-case letters, digits, `.`, `-` and `_`");
    }
    let in_segment = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    for segment in path.split('/').skip(1) {
        if matches!(segment, "" | "." | "..") || !segment.bytes().all(in_segment) {
            return Err("has a segment that is empty, of dots, or not of letters, digits, `.`, `-` and `_`");
        }
    }
    Ok((trust_domain, path))
}

/// An id in which a segment `*` is any one segment, and `**` at the end any one or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    trust_domain: String,
    segments: Vec<Option<String>>,
    rest: bool,
}

/// Reads a pattern.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn check_pattern(written: &str) -> Result<(), &'static str> {
    Pattern::read(written).map(|_| ())
}

impl Pattern {
    pub(super) fn read(written: &str) -> Result<Self, &'static str> {
        let (written, rest) = match written.strip_suffix("/**") {
            Some(before) => (before, true),
            None => (written, false),
        };
        // A star stands for a segment: with an `x` in its place the pattern has the form of an id. The trust domain
        // is a root of trust of its own, and is named.
        let domain_end =
            written.get(9..).and_then(|after| after.find('/')).map_or(written.len(), |at| at + 9);
        let (domain, path) = written.split_at_checked(domain_end).unwrap_or((written, ""));
        let filled: Vec<&str> =
            path.split('/').map(|segment| if segment == "*" { "x" } else { segment }).collect();
        let (trust_domain, _) = read(&format!("{domain}{}", filled.join("/")))
            .map(|(trust_domain, path)| (trust_domain.to_owned(), path.len()))?;
        let segments =
            path.split('/').skip(1).map(|s| if s == "*" { None } else { Some(s.to_owned()) }).collect();
        Ok(Self { trust_domain, segments, rest })
    }

    /// Whether an id matches, by its trust domain and path.
    pub(super) fn matches(&self, (trust_domain, path): (&str, &str)) -> bool {
        let mut segments = path.split('/').skip(1);
        let wanted = |wanted: &Option<String>| match (wanted, segments.next()) {
            (Some(wanted), Some(segment)) => wanted == segment,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        self.trust_domain == trust_domain
            && self.segments.iter().all(wanted)
            && segments.next().is_some() == self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, id: &str) -> bool {
        Pattern::read(pattern).unwrap().matches(read(id).unwrap())
    }

    #[test]
    fn ids_of_the_standard() {
        assert_eq!(
            read("spiffe://staging.example.com/payments/mysql"),
            Ok(("staging.example.com", "/payments/mysql"))
        );
        assert_eq!(read("spiffe://example.com"), Ok(("example.com", "")));
        assert_eq!(
            read("spiffe://td_1-a.b/9eebccd2-12bf-40a6-b262-65fe0487d453").map(|id| id.0),
            Ok("td_1-a.b")
        );
        for bad in [
            "",
            "spiffe:",
            "spiffe://",
            "spiffe:///a",
            "SPIFFE://a/b",
            "https://a/b",
            "spiffe://A/b",
            "spiffe://a:1/b",
            "spiffe://u@a/b",
            "spiffe://a/",
            "spiffe://a//b",
            "spiffe://a/b/",
            "spiffe://a/./b",
            "spiffe://a/..",
            "spiffe://a/%62",
            "spiffe://a/b?c",
            "spiffe://a/b#c",
            "spiffe://a/b c",
            "spiffe://a/*",
            "spiffe://ä/b",
            "spiffe://a/b~c",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(&format!("spiffe://{}/a", "d".repeat(255))).is_ok());
        assert!(read(&format!("spiffe://{}/a", "d".repeat(256))).is_err());
        assert!(read(&format!("spiffe://d/{}", "a".repeat(2037))).is_ok());
        assert!(read(&format!("spiffe://d/{}", "a".repeat(2038))).is_err());
    }

    #[test]
    fn stars_are_segments() {
        assert!(matches("spiffe://d/ns/*/sa/*", "spiffe://d/ns/prod/sa/web"));
        for other in [
            "spiffe://d/ns/prod/sa",
            "spiffe://d/ns/prod/sa/web/x",
            "spiffe://e/ns/prod/sa/web",
            "spiffe://d",
            "spiffe://d/ns/prod/xx/web",
        ] {
            assert!(!matches("spiffe://d/ns/*/sa/*", other), "{other}");
        }
        assert!(
            matches("spiffe://d/a/**", "spiffe://d/a/b") && matches("spiffe://d/a/**", "spiffe://d/a/b/c")
        );
        assert!(
            !matches("spiffe://d/a/**", "spiffe://d/a") && !matches("spiffe://d/a/**", "spiffe://d/ab/c")
        );
        assert!(matches("spiffe://d/**", "spiffe://d/x") && !matches("spiffe://d/**", "spiffe://d"));
        assert!(matches("spiffe://d", "spiffe://d") && !matches("spiffe://d", "spiffe://d/a"));
    }

    #[test]
    fn patterns_are_ids_otherwise() {
        for bad in [
            "spiffe://*/a",
            "spiffe://*.d/a",
            "spiffe://d/a*",
            "spiffe://d/**/a",
            "spiffe://d/a/",
            "*",
            "",
            "spiffe://d/***",
            "spiffe:///**",
        ] {
            assert!(Pattern::read(bad).is_err(), "{bad}");
        }
    }
}
