//! Content types: parsed strictly, because two parsers that read one differently read two bodies.

/// A parsed content type. Names are compared without regard to case, so nothing is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MediaType<'a> {
    main: &'a str,
    sub: &'a str,
    charset: Option<&'a str>,
}

impl<'a> MediaType<'a> {
    /// Parses a `Content-Type` value (RFC 9110, section 8.3.1). `None` if it is not one, if a parameter
    /// is repeated (which of the two would the application believe?), or if it has more than eight.
    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
        let (essence, mut rest) = match text.find(';') {
            Some(at) => (text.get(..at)?, text.get(at..)?),
            None => (text, ""),
        };
        let (main, sub) = essence.trim_end_matches([' ', '\t']).split_once('/')?;
        if !is_token(main) || !is_token(sub) {
            return None;
        }
        let mut charset = None;
        let mut seen: [&str; 8] = [""; 8];
        let mut count = 0;
        while let Some(after) = rest.strip_prefix(';') {
            let after = after.trim_start_matches([' ', '\t']);
            // RFC 9110, section 5.6.6, allows empty parameters.
            if after.is_empty() || after.starts_with(';') {
                rest = after;
                continue;
            }
            let (name, after) = after.split_once('=')?;
            let (value, after) = parameter_value(after)?;
            if !is_token(name) || seen.iter().take(count).any(|s| s.eq_ignore_ascii_case(name)) {
                return None;
            }
            *seen.get_mut(count)? = name;
            count += 1;
            if name.eq_ignore_ascii_case("charset") {
                charset = Some(value);
            }
            rest = after.trim_start_matches([' ', '\t']);
        }
        rest.is_empty().then_some(Self { main, sub, charset })
    }

    /// Whether text in this type is UTF-8: said so, said to be US-ASCII, or not said at all.
    pub(super) fn is_utf8(&self) -> bool {
        self.charset.is_none_or(|c| {
            ["utf-8", "utf8", "us-ascii"].iter().any(|accepted| c.eq_ignore_ascii_case(accepted))
        })
    }

    /// How closely it fits a pattern `type/subtype`, `type/*+suffix`, `type/*` or `*/*`; zero is not.
    pub(super) fn fit(&self, pattern: &str) -> u8 {
        let Some((main, sub)) = pattern.split_once('/') else { return 0 };
        if main == "*" {
            return u8::from(sub == "*");
        }
        if !main.eq_ignore_ascii_case(self.main) {
            return 0;
        }
        if sub == "*" {
            return 2;
        }
        if let Some(suffix) = sub.strip_prefix("*+") {
            let ends = self.sub.rsplit_once('+').is_some_and(|(_, s)| s.eq_ignore_ascii_case(suffix));
            return if ends { 3 } else { 0 };
        }
        if sub.eq_ignore_ascii_case(self.sub) { 4 } else { 0 }
    }
}

/// Whether a pattern for media types is one that [`MediaType::fit`] understands.
pub(super) fn is_pattern(pattern: &str) -> bool {
    let Some((main, sub)) = pattern.split_once('/') else { return false };
    if main == "*" {
        return sub == "*";
    }
    let sub = if sub == "*" { "x" } else { sub.strip_prefix("*+").unwrap_or(sub) };
    is_token(main) && is_token(sub) && !sub.contains('*')
}

fn parameter_value(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find('"')?;
        let value = quoted.get(..end)?;
        // An escape inside a quoted string is legal and nobody sends one; parsers disagree about it.
        let plain = value.bytes().all(|b| b != b'\\' && (b == b'\t' || (b' '..0x7f).contains(&b)));
        return if plain { Some((value, quoted.get(end + 1..)?)) } else { None };
    }
    let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
    let value = text.get(..end)?;
    if is_token(value) { Some((value, text.get(end..)?)) } else { None }
}

/// A `token` of RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(value: &str, pattern: &str) -> u8 {
        MediaType::parse(value.as_bytes()).map_or(0, |m| m.fit(pattern))
    }

    #[test]
    fn reads_types_and_their_charset() {
        for good in [
            "application/json",
            "Application/JSON ; charset=\"UTF-8\"",
            "application/json;charset=utf-8;",
            "application/json; profile=x; ; charset=us-ascii",
        ] {
            let parsed = MediaType::parse(good.as_bytes()).unwrap();
            assert!(parsed.is_utf8(), "{good}");
            assert_eq!(parsed.fit("application/json"), 4, "{good}");
        }
        assert!(!MediaType::parse(b"application/json; charset=utf-16").unwrap().is_utf8());
        assert!(!MediaType::parse(b"application/json; charset=\"\"").unwrap().is_utf8());
    }

    #[test]
    fn refuses_what_two_parsers_could_read_differently() {
        for bad in [
            "",
            "json",
            "/json",
            "application/",
            "application/json, text/plain",
            "application/json charset=utf-8",
            "application/json; charset=utf-8; Charset=utf-16",
            "application/json; charset",
            "application/json; charset =utf-8",
            "application/json; charset=\"utf-8",
            "application/json; charset=\"utf\\-8\"",
            "application/json; a=1 b=2",
            "application/json\u{e9}",
            "application /json",
            "a/b;a=1;b=1;c=1;d=1;e=1;f=1;g=1;h=1;i=1",
        ] {
            assert_eq!(MediaType::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(MediaType::parse(b"application/json\xff"), None);
    }

    #[test]
    fn the_closest_pattern_fits_best() {
        let patterns = ["application/problem+json", "application/*+json", "application/*", "*/*"];
        let fits = patterns.map(|p| fit("application/problem+json", p));
        assert_eq!(fits, [4, 3, 2, 1]);
        assert_eq!(fit("application/json", "application/*+json"), 0);
        assert_eq!(fit("text/json", "application/*"), 0);
        assert!(patterns.iter().all(|p| is_pattern(p)));
        for bad in ["json", "*/json", "a/*b", "a/", "a/*+", "a b/c"] {
            assert!(!is_pattern(bad), "{bad}");
        }
    }
}
