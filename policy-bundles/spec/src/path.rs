//! Path templates.

use std::fmt;
use std::str::FromStr;

use crate::text::{Problem, text_type};

text_type! {
    /// A path: `/a/{id}` matches one segment, `/files/{rest...}` one or more at the end.
    PathTemplate, "bartizan-path", r"^/", ["/api/v1/devices/{id}", "/files/{rest...}"]
}

/// The most segments of a path template.
const MAX_SEGMENTS: usize = 64;

/// The most bytes of a path template.
const MAX_BYTES: usize = 2048;

/// One segment of a path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Matches itself.
    Literal(String),
    /// Matches one segment.
    Parameter(String),
    /// Matches one or more segments at the end.
    Rest(String),
}

/// A path template that intake can match: every literal is in the canonical form that requests are brought
/// into, so a template that could never match is refused here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    text: String,
    segments: Vec<Segment>,
}

impl PathTemplate {
    /// The template as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments, in order. The root has none; a trailing slash is an empty literal at the end.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names of the parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) | Segment::Rest(name) => Some(name.as_str()),
        })
    }
}

impl FromStr for PathTemplate {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let Some(relative) = text.strip_prefix('/') else {
            return Err(Problem::new(
                format!("the path `{text}` does not start with a slash"),
                format!("write `/{text}`; hosts go to `hosts`"),
            ));
        };
        if text.len() > MAX_BYTES {
            return Err(Problem::new("the path is too long", format!("the most is {MAX_BYTES} bytes")));
        }
        let mut segments = Vec::new();
        if !relative.is_empty() {
            let count = relative.split('/').count();
            if count > MAX_SEGMENTS {
                return Err(Problem::new(
                    format!("the path has {count} segments"),
                    format!("the most is {MAX_SEGMENTS}"),
                ));
            }
            for (index, written) in relative.split('/').enumerate() {
                segments.push(segment(text, written, index.saturating_add(1) == count)?);
            }
        }
        let template = Self { text: text.to_owned(), segments };
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = template.parameters().find(|name| !seen.insert(*name)) {
            return Err(Problem::new(
                format!("the path has the parameter `{{{twice}}}` twice"),
                "give each parameter a name of its own",
            ));
        }
        Ok(template)
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn segment(path: &str, written: &str, last: bool) -> Result<Segment, Problem> {
    if let Some(inner) = written.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
        return parameter(inner, last);
    }
    if let Some(name) = written.strip_prefix(':') {
        return Err(Problem::new(
            format!("`{written}` is not how a parameter is written"),
            format!("write `{{{name}}}`"),
        ));
    }
    if written.contains(['{', '}']) {
        return Err(Problem::new(
            format!("`{written}` mixes text and a parameter in one segment"),
            "a parameter is a whole segment: `/files/{name}`",
        ));
    }
    if written.contains('*') {
        return Err(Problem::new(
            format!("`{written}` is not a wildcard"),
            "write `{name}` for one segment, or `{rest...}` for all that follow",
        ));
    }
    if written.is_empty() && !last {
        return Err(Problem::new(
            format!("the path `{path}` has an empty segment"),
            "requests with doubled slashes never match; write a single slash",
        ));
    }
    literal(path, written)?;
    Ok(Segment::Literal(written.to_owned()))
}

fn parameter(inner: &str, last: bool) -> Result<Segment, Problem> {
    let (name, rest) = match inner.strip_suffix("...") {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !plain || !starts || name.len() > 64 {
        return Err(Problem::new(
            format!("`{{{inner}}}` is not a parameter"),
            "a parameter's name has letters, digits and `_`, and starts with a letter: `{device_id}`",
        ));
    }
    if rest && !last {
        return Err(Problem::new(
            format!("`{{{inner}}}` is not at the end of the path"),
            "what matches all that follows can only be the last segment",
        ));
    }
    Ok(if rest { Segment::Rest(name.to_owned()) } else { Segment::Parameter(name.to_owned()) })
}

/// A literal must be as a canonical request path has it (RFC 3986, sections 3.3 and 6.2.2), or it would
/// never match and the route would silently guard nothing.
fn literal(path: &str, written: &str) -> Result<(), Problem> {
    if written == "." || written == ".." {
        return Err(Problem::new(
            format!("the path `{path}` has the dot segment `{written}`"),
            "requests are matched after dot segments are resolved; write the path without them",
        ));
    }
    let mut bytes = written.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'?' | b'#' => {
                return Err(Problem::new(
                    format!("the path `{path}` has a query or a fragment"),
                    "routes match the path only; remove what starts with `?` or `#`",
                ));
            }
            b';' | b'\\' => {
                return Err(Problem::new(
                    format!("the path `{path}` has a `{}`", char::from(byte)),
                    "requests with such paths are refused as ambiguous; remove it",
                ));
            }
            b'%' => {
                let hex = (bytes.next(), bytes.next());
                let value = match hex {
                    (Some(high), Some(low)) => upper_hex(high).zip(upper_hex(low)).map(|(h, l)| h << 4 | l),
                    _ => None,
                };
                if value.is_none_or(|v| v < 0x20 || v == 0x7f || is_unreserved(v) || b"/\\%;".contains(&v)) {
                    return Err(Problem::new(
                        format!("the path `{path}` has a percent-encoding that no canonical path has"),
                        "write letters, digits and `-._~` plainly, and use upper-case hexadecimal digits",
                    ));
                }
            }
            _ if is_unreserved(byte) || b"!$&'()+,=:@".contains(&byte) => {}
            _ => {
                let character = String::from_utf8_lossy(&[byte]).into_owned();
                let character = if byte.is_ascii() { character } else { "a non-ASCII character".to_owned() };
                return Err(Problem::new(
                    format!("the path `{path}` has {character:?}, which no path can have unencoded"),
                    "percent-encode it, with upper-case hexadecimal digits: a space is `%20`, a bracket `%5B`",
                ));
            }
        }
    }
    Ok(())
}

fn upper_hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_taken_apart() {
        let path: PathTemplate = "/api/{id}/x/{rest...}".parse().unwrap();
        assert_eq!(path.segments().len(), 4);
        assert_eq!(path.parameters().collect::<Vec<_>>(), ["id", "rest"]);
        assert!("/".parse::<PathTemplate>().unwrap().segments().is_empty());
        assert_eq!("/a/".parse::<PathTemplate>().unwrap().segments().len(), 2);
        assert!("/caf%C3%A9/a%20b".parse::<PathTemplate>().is_ok());
    }

    #[test]
    fn templates_that_could_never_match_are_refused() {
        for path in [
            "",
            "api",
            "/a//b",
            "/a/../b",
            "/./a",
            "/a?b=c",
            "/a#b",
            "/a;v=1",
            "/a\\b",
            "/a%2Fb",
            "/%61",
            "/%c3%a9",
            "/a b",
            "/café",
            "/{id}.json",
            "/{}",
            "/{1}",
            "/{a}/{a}",
            "/{rest...}/x",
            "/:id",
            "/*",
            "/a%",
            "/a%2",
            "/%00",
        ] {
            let problem = path.parse::<PathTemplate>().unwrap_err();
            assert!(!problem.help.is_empty(), "{path}");
        }
    }
}
