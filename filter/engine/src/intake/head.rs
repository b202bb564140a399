//! Checks on the request line and the headers, and the request they make.

use std::borrow::Cow;

use super::path::{self, PathError};
use super::plan::IntakePlan;
use super::query::{self, QueryError};
use super::request::{Headers, Request};
use crate::bytes::contents;
use crate::headers::reads_as;
use crate::reason::Reason;
use crate::refusal::Refusal;

/// Headers that give a request two meanings when they come twice, each as a bit of a set.
const fn unique(name: &[u8]) -> u8 {
    match name {
        b"authorization" => 1,
        b"content-encoding" => 1 << 1,
        b"content-length" => 1 << 2,
        b"content-type" => 1 << 3,
        b"host" => 1 << 4,
        b"origin" => 1 << 5,
        b"transfer-encoding" => 1 << 6,
        b"x-forwarded-host" => 1 << 7,
        _ => 0,
    }
}

/// Headers by which frameworks let a client name another method than the one that was judged.
const OTHER_METHODS: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];

/// A request that passed, and what of its line must be rewritten for upstream.
#[derive(Debug)]
pub struct Admission<'a> {
    /// The request as later rooms see it.
    pub request: Request<'a>,
    /// The new `:path`, query included, if it is not what was sent.
    pub new_path: Option<String>,
    /// The new `:authority`, if it is not what was sent.
    pub new_authority: Option<String>,
}

/// Admits a request, or says why not.
///
/// # Errors
/// A refusal with a reason of this room.
pub fn admit<'a>(plan: &IntakePlan, headers: Headers<'a>) -> Result<Admission<'a>, Refusal> {
    let line = check_headers(plan, headers)?;
    let method = method(line.method.unwrap_or_default())?;
    let (host, new_authority) = host(line.authority.unwrap_or_default())?;
    let (raw_path, raw_query) = split_target(line.path.unwrap_or_default());
    if raw_path.len() > plan.max_path_bytes as usize
        || raw_query.is_some_and(|q| q.len() > plan.max_query_bytes as usize)
    {
        return Err(Refusal::new(Reason::UriTooLong, "the path or the query is over its cap"));
    }
    let path = path::canonical(raw_path).map_err(|e| match e {
        PathError::Malformed(why) => Refusal::new(Reason::PathMalformed, why),
        PathError::Ambiguous(why) => Refusal::new(Reason::PathAmbiguous, why),
    })?;
    let query = raw_query.map(|q| query::check(q, plan)).transpose().map_err(|e| match e {
        QueryError::Malformed(why) => Refusal::new(Reason::QueryMalformed, why),
        QueryError::TooManyParameters => Refusal::new(Reason::QueryMalformed, "too many parameters"),
    })?;
    let new_path = match &path {
        Cow::Borrowed(_) => None,
        Cow::Owned(path) => Some(match query {
            Some(query) => format!("{path}?{query}"),
            None => path.clone(),
        }),
    };
    let odd_names = line.odd_names;
    Ok(Admission {
        request: Request { method, host, path, query, headers, odd_names },
        new_path,
        new_authority,
    })
}

/// The pseudo-headers (RFC 9113, section 8.3.1; Envoy makes them for HTTP/1.1 too).
#[derive(Default)]
struct RequestLine<'a> {
    method: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    odd_names: bool,
}

/// One walk over the header map: caps, characters, repetitions, pseudo-headers.
fn check_headers<'a>(plan: &IntakePlan, headers: Headers<'a>) -> Result<RequestLine<'a>, Refusal> {
    let mut line = RequestLine::default();
    let mut seen = 0u8;
    let mut count = 0usize;
    let mut bytes = 0usize;
    let mut host = None;
    let mut other_method: Option<&[u8]> = None;
    for (name, value) in headers.iter() {
        if name.first() == Some(&b':') {
            let field = match name {
                b":method" => &mut line.method,
                b":authority" => &mut line.authority,
                b":path" => &mut line.path,
                b":scheme" | b":protocol" if value.len() <= 32 && value.iter().all(in_scheme) => continue,
                // Name and value would pass below any check and cap.
                _ => {
                    return Err(Refusal::new(
                        Reason::HeaderMalformed,
                        "an unknown or malformed pseudo-header",
                    ));
                }
            };
            if field.is_some() {
                return Err(Refusal::new(Reason::HeaderDuplicate, "a pseudo-header is repeated"));
            }
            *field = Some(value);
            continue;
        }
        count += 1;
        bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
        if value.len() > plan.max_header_value_bytes as usize {
            return Err(Refusal::new(
                Reason::HeadersTooLarge,
                format!("`{}` has {} bytes", printable(name), value.len()),
            ));
        }
        let classes = name_classes(name);
        line.odd_names |= classes & ODD != 0;
        // A field value has no control characters (RFC 9110, section 5.5), and is UTF-8: bytes that one server
        // reads as Latin-1 and another as UTF-8 have two meanings.
        let found = contents(value);
        if classes & NO_TOKEN != 0
            || found.control
            || (found.beyond_ascii && std::str::from_utf8(value).is_err())
        {
            return Err(Refusal::new(Reason::HeaderMalformed, format!("`{}`", printable(name))));
        }
        match name {
            b"host" => host = Some(value),
            // What comes after is a tunnel, and nobody here could look into it. (Envoy itself takes away what
            // asks for HTTP/2.)
            b"upgrade" => return Err(Refusal::new(Reason::HeaderMalformed, "a request to upgrade")),
            [b'x', ..] if OTHER_METHODS.iter().any(|other| reads_as(name, other)) => {
                if other_method.is_some_and(|before| before != value) {
                    return Err(Refusal::new(Reason::HeaderDuplicate, "two methods to override by"));
                }
                other_method = Some(value);
            }
            _ => {}
        }
        let bit = unique(name);
        if seen & bit != 0 {
            return Err(Refusal::new(Reason::HeaderDuplicate, format!("`{}`", printable(name))));
        }
        seen |= bit;
        if found.comma && is_joined(name, value) {
            let detail = format!("`{}`, in lines that the proxy joined", printable(name));
            return Err(Refusal::new(Reason::HeaderDuplicate, detail));
        }
    }
    if count > plan.max_headers as usize || bytes > plan.max_headers_bytes as usize {
        return Err(Refusal::new(Reason::HeadersTooLarge, format!("{count} headers, {bytes} bytes")));
    }
    if other_method.is_some_and(|other| !other.eq_ignore_ascii_case(line.method.unwrap_or_default())) {
        return Err(Refusal::new(Reason::HeaderMalformed, "a header asks for another method"));
    }
    if host.is_some_and(|host| host != line.authority.unwrap_or_default()) {
        return Err(Refusal::new(Reason::HeaderDuplicate, "`host` and `:authority` differ"));
    }
    Ok(line)
}

/// Whether a value is two of its kind. Envoy joins the lines of headers it knows with a comma before any
/// filter sees them (RFC 9110, section 5.2), so that a header sent twice arrives as one. A content type or
/// an origin has no comma of its own; credentials may (`Digest a=b, c=d`), but no second scheme.
fn is_joined(name: &[u8], value: &[u8]) -> bool {
    match name {
        b"content-type" | b"origin" => after_commas(value).next().is_some(),
        b"authorization" => after_commas(value).any(begins_credentials),
        _ => false,
    }
}

/// What follows each comma that is not inside quotes. Quotes that never close hide nothing.
fn after_commas(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut whole = Quotes::default();
    value.iter().for_each(|byte| whole.pass(*byte));
    let mut quotes = Quotes::default();
    value.iter().enumerate().filter_map(move |(at, byte)| {
        quotes.pass(*byte);
        let hidden = quotes.inside && !whole.inside;
        if *byte == b',' && !hidden { value.get(at.saturating_add(1)..) } else { None }
    })
}

/// Where in a value quoted strings are (RFC 9110, section 5.6.4).
#[derive(Default)]
struct Quotes {
    inside: bool,
    escaped: bool,
}

impl Quotes {
    fn pass(&mut self, byte: u8) {
        let escaped = std::mem::take(&mut self.escaped);
        match byte {
            b'"' if !escaped => self.inside = !self.inside,
            b'\\' if !escaped => self.escaped = self.inside,
            _ => {}
        }
    }
}

/// A scheme and something behind it (RFC 9110, section 11.4), and not a parameter with its `=`.
fn begins_credentials(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let scheme = text.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    let rest = text.get(scheme..).unwrap_or_default();
    scheme > 0
        && rest.first().is_some_and(u8::is_ascii_whitespace)
        && rest.trim_ascii_start().first().is_some_and(|b| *b != b'=')
}

/// What a scheme is made of (RFC 3986, section 3.1), and the names of protocols that there are.
fn in_scheme(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// What the bytes of a field name are, each as a bit; a field name is a token (RFC 9110, section 5.1), here in
/// lower case.
const PLAIN: u8 = 1;
/// Rare in names, and what some servers fold into `-` or `_`.
const ODD: u8 = 2;
const NO_TOKEN: u8 = 4;
static NAME_BYTES: [u8; 256] = {
    let mut classes = [NO_TOKEN; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        let class = &mut classes[byte as usize];
        *class = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => PLAIN,
            b'_' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'.' | b'^' | b'`' | b'|'
            | b'~' => ODD,
            _ => NO_TOKEN,
        };
        byte += 1;
    }
    classes
};

/// The classes of all bytes of a name; none at all is no token.
fn name_classes(name: &[u8]) -> u8 {
    let class = |byte: &u8| NAME_BYTES.get(usize::from(*byte)).copied().unwrap_or(NO_TOKEN);
    if name.is_empty() { NO_TOKEN } else { name.iter().fold(0, |all, byte| all | class(byte)) }
}

fn printable(name: &[u8]) -> String {
    name.iter().take(64).map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '?' }).collect()
}

/// A method is a token, in the upper case all methods have (RFC 9110, section 9.1).
fn method(raw: &[u8]) -> Result<&str, Refusal> {
    let fine = !raw.is_empty() && raw.len() <= 32 && raw.iter().all(|b| b.is_ascii_uppercase() || *b == b'-');
    match std::str::from_utf8(raw) {
        // CONNECT has no path, and opens a tunnel nobody could look into.
        Ok(method) if fine && method != "CONNECT" => Ok(method),
        _ => Err(Refusal::new(Reason::MethodNotAllowed, "not a method that can be routed")
            .with_header("allow", "")),
    }
}

/// The host without port in lower case, and the authority to send on if it had another spelling.
fn host(raw: &[u8]) -> Result<(Cow<'_, str>, Option<String>), Refusal> {
    let refuse = |why: &str| Refusal::new(Reason::HostMalformed, why);
    let text = std::str::from_utf8(raw).map_err(|_| refuse("not UTF-8"))?;
    if text.is_empty() || text.len() > 255 {
        return Err(refuse("empty, or longer than 255 bytes"));
    }
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(|| refuse("`[` without `]`"))?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| refuse("not an IPv6 address"))?;
            let end = address.len().saturating_add(2);
            (text.get(..end).unwrap_or(text), if port.is_empty() { None } else { Some(port) })
        }
        None => match text.find(':') {
            Some(colon) => (text.get(..colon).unwrap_or(text), text.get(colon..)),
            None => (text, None),
        },
    };
    if let Some(port) = port {
        let digits = port.strip_prefix(':').unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) || digits.parse::<u16>().is_err()
        {
            return Err(refuse("not a port"));
        }
    }
    if !name.starts_with('[') && !is_host_name(name.as_bytes()) {
        return Err(refuse("not a host name"));
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        let lower = name.to_ascii_lowercase();
        let authority = format!("{lower}{}", port.unwrap_or_default());
        return Ok((Cow::Owned(lower), Some(authority)));
    }
    Ok((Cow::Borrowed(name), None))
}

/// Labels of letters, digits, `-` and `_` with single dots between them.
fn is_host_name(name: &[u8]) -> bool {
    let mut previous = b'.';
    for &byte in name {
        let fine =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && previous != b'.');
        if !fine {
            return false;
        }
        previous = byte;
    }
    previous != b'.'
}

fn split_target(raw: &[u8]) -> (&[u8], Option<&[u8]>) {
    match raw.iter().position(|b| *b == b'?') {
        Some(mark) => {
            let (path, query) = raw.split_at_checked(mark).unwrap_or((raw, &[]));
            (path, query.get(1..))
        }
        None => (raw, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit_pairs(extra: &[(&str, &[u8])]) -> Result<(String, String, Option<String>), Reason> {
        let mut pairs: Vec<(&[u8], &[u8])> = Vec::new();
        for (name, default) in [(":method", "GET"), (":authority", "a.example"), (":path", "/x")] {
            if !extra.iter().any(|(n, _)| *n == name) {
                pairs.push((name.as_bytes(), default.as_bytes()));
            }
        }
        pairs.extend(extra.iter().map(|(n, v)| (n.as_bytes(), *v)));
        let admission = admit(&IntakePlan::default(), Headers::new(&pairs)).map_err(|r| r.reason)?;
        Ok((admission.request.host().to_owned(), admission.request.path().to_owned(), admission.new_path))
    }

    #[test]
    fn a_plain_request_is_not_rewritten() {
        assert_eq!(admit_pairs(&[]), Ok(("a.example".into(), "/x".into(), None)));
    }

    #[test]
    fn upstream_gets_the_canonical_path_with_its_query() {
        let (_, path, new) = admit_pairs(&[(":path", b"/a/../b//c?q=%41")]).unwrap();
        assert_eq!((path.as_str(), new.as_deref()), ("/b/c", Some("/b/c?q=%41")));
    }

    #[test]
    fn a_pseudo_header_that_is_empty_may_not_come_again_either() {
        for name in [":method", ":authority", ":path"] {
            assert_eq!(admit_pairs(&[(name, b""), (name, b"x")]), Err(Reason::HeaderDuplicate), "{name}");
        }
    }

    #[test]
    fn a_pseudo_header_that_nobody_knows_is_refused() {
        for name in [":", ":status", ":pa\0th", ":x-user"] {
            assert_eq!(admit_pairs(&[(name, b"\0")]), Err(Reason::HeaderMalformed), "{name:?}");
        }
        assert!(admit_pairs(&[(":scheme", b"https")]).is_ok());
        for value in [&b"ht\0tp"[..], b"http://a", &[b'a'; 33]] {
            assert_eq!(admit_pairs(&[(":scheme", value)]), Err(Reason::HeaderMalformed), "{value:?}");
        }
    }

    #[test]
    fn hosts() {
        for good in ["a", "a.example:8080", "127.0.0.1:1", "[::1]", "[::1]:80", "A.Example"] {
            assert!(admit_pairs(&[(":authority", good.as_bytes())]).is_ok(), "{good}");
        }
        for bad in [
            "", "a b", "a@b", "a:", "a:x", "a:99999", "[::1", "[x]", "a..b", ".a", "a.", "a/b", "a,b",
            "[::1]x",
        ] {
            assert_eq!(admit_pairs(&[(":authority", bad.as_bytes())]), Err(Reason::HostMalformed), "{bad}");
        }
    }

    #[test]
    fn repeated_headers_that_matter_are_refused_and_others_are_not() {
        for name in [
            "authorization",
            "content-encoding",
            "content-length",
            "content-type",
            "host",
            "origin",
            "transfer-encoding",
            "x-forwarded-host",
        ] {
            assert_eq!(admit_pairs(&[(name, b"a"), (name, b"a")]), Err(Reason::HeaderDuplicate), "{name}");
            assert!(admit_pairs(&[(name, b"a"), (":authority", b"a")]).is_ok(), "{name}");
        }
        assert!(admit_pairs(&[("accept", b"a"), ("accept", b"b")]).is_ok());
    }

    #[test]
    fn a_second_request_line_in_the_headers() {
        for name in ["x-http-method-override", "x-http-method", "x-method-override", "x_http_method.override"]
        {
            assert_eq!(admit_pairs(&[(name, b"DELETE")]), Err(Reason::HeaderMalformed), "{name}");
            assert!(admit_pairs(&[(name, b"get")]).is_ok(), "{name} says what the request line says");
        }
        let twice = [("x-http-method", &b"GET"[..]), ("x-http-method-override", b"DELETE")];
        assert_eq!(admit_pairs(&twice), Err(Reason::HeaderDuplicate));
        assert_eq!(admit_pairs(&[("host", b"b.example")]), Err(Reason::HeaderDuplicate));
        assert!(admit_pairs(&[("host", b"a.example")]).is_ok());
        assert_eq!(admit_pairs(&[("upgrade", b"websocket")]), Err(Reason::HeaderMalformed));
    }

    #[test]
    fn lines_that_the_proxy_joined_are_repeated_headers_too() {
        for (name, value) in [
            ("content-type", "application/json,application/json"),
            ("content-type", "text/plain, application/json"),
            ("content-type", "text/plain; a=\",application/json"),
            ("origin", "https://a.example,https://b.example"),
            ("authorization", "Bearer a,Bearer b"),
            ("authorization", "Basic YTpi, Bearer b"),
            ("authorization", "Bearer \",Bearer b"),
        ] {
            assert_eq!(admit_pairs(&[(name, value.as_bytes())]), Err(Reason::HeaderDuplicate), "{value}");
        }
        for (name, value) in [
            ("content-type", "multipart/form-data; boundary=\"a,b\""),
            ("authorization", "Digest username=\"Doe, Jane Q\", realm = \"x\", qop=auth"),
            ("authorization", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;date, Signature=c"),
            ("authorization", "Digest username=\"a\\\", Basic b\", realm=x"),
            ("accept", "text/html, application/json"),
            ("content-encoding", "gzip, br"),
        ] {
            assert!(admit_pairs(&[(name, value.as_bytes())]).is_ok(), "{value}");
        }
    }

    #[test]
    fn bytes_no_header_may_have() {
        for bad in [&b"a\0"[..], b"a\x01", b"a\x7f", b"\xff", b"caf\xe9"] {
            assert_eq!(admit_pairs(&[("x-a", bad)]), Err(Reason::HeaderMalformed), "{bad:?}");
        }
        assert!(admit_pairs(&[("x-a", "café\ttab".as_bytes())]).is_ok());
        assert_eq!(admit_pairs(&[("x a", b"v")]), Err(Reason::HeaderMalformed));
    }

    #[test]
    fn caps() {
        let plan = IntakePlan::default();
        let long = vec![b'a'; plan.max_header_value_bytes as usize];
        assert!(admit_pairs(&[("x-a", &long)]).is_ok());
        let longer = vec![b'a'; plan.max_header_value_bytes as usize + 1];
        assert_eq!(admit_pairs(&[("x-a", &longer)]), Err(Reason::HeadersTooLarge));
        let many: Vec<(&str, &[u8])> = vec![("x-a", b"v"); plan.max_headers as usize + 1];
        assert_eq!(admit_pairs(&many), Err(Reason::HeadersTooLarge));
        let path = format!("/{}", "a".repeat(plan.max_path_bytes as usize));
        assert_eq!(admit_pairs(&[(":path", path.as_bytes())]), Err(Reason::UriTooLong));
    }

    #[test]
    fn methods() {
        assert_eq!(admit_pairs(&[(":method", b"CONNECT")]), Err(Reason::MethodNotAllowed));
        assert_eq!(admit_pairs(&[(":method", b"get")]), Err(Reason::MethodNotAllowed));
        assert!(admit_pairs(&[(":method", b"M-SEARCH")]).is_ok());
    }
}
