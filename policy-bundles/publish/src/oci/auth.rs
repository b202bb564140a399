//! What a registry asks for with 401: `www-authenticate` (RFC 9110, section 11), and the token flow of the distribution project.

use std::collections::BTreeMap;

use serde_json::Value;

use super::member;

/// What the answer with 401 asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password.
    Basic,
    /// A token, to be had from a server.
    Bearer { realm: String, service: Option<String> },
}

/// The first challenge of an answer that we can meet; tokens rather than passwords.
pub(super) fn challenge<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let mut parameters = parameters(rest);
            if let Some(realm) = parameters.remove("realm") {
                return Some(Challenge::Bearer { realm, service: parameters.remove("service") });
            }
        }
    }
    basic
}

/// `name="value",name=value`; what does not read so ends the list.
fn parameters(mut rest: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim().trim_start_matches(',').trim().to_ascii_lowercase();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => match unquoted(quoted) {
                Some(read) => read,
                None => break,
            },
            None => {
                let (value, after) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        found.entry(name).or_insert(value);
        rest = after;
    }
    found
}

/// A quoted string after its opening quote, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

/// The address to ask for a token that may do no more than is needed, whatever the challenge suggests.
pub(super) fn token_url(realm: &str, service: Option<&str>, repository: &str, actions: &str) -> String {
    let mut url = realm.to_owned();
    let mut sign = if realm.contains('?') { '&' } else { '?' };
    if let Some(service) = service {
        url = format!("{url}{sign}service={}", encoded(service));
        sign = '&';
    }
    format!("{url}{sign}scope={}", encoded(&format!("repository:{repository}:{actions}")))
}

/// RFC 3986, section 2.3: everything else is percent-encoded.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

/// The token of an answer, if it can stand in a header.
pub(super) fn token(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let token = member(&answer, "token").as_str().or_else(|| member(&answer, "access_token").as_str())?;
    // RFC 6750, section 2.1.
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    (!token.is_empty() && token.bytes().all(sane)).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
    }

    #[test]
    fn challenges_are_read() {
        let read = |headers: &[&'static str]| challenge(headers.iter().copied());
        assert_eq!(read(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        assert_eq!(read(&["basic"]), Some(Challenge::Basic));
        let both =
            &["Basic realm=\"x\"", "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:*\""];
        assert_eq!(read(both), bearer("https://a/t", Some("s")));
        assert_eq!(
            read(&["BEARER Service=s, Realm=\"https://a/t?x=\\\"1,2\""]),
            bearer("https://a/t?x=\"1,2", Some("s"))
        );
        assert_eq!(read(&["Bearer realm=https://a/t"]), bearer("https://a/t", None));
        for none in
            [&[][..], &["Negotiate"], &["Bearer"], &["Bearer service=\"s\""], &["Bearer realm=\"open"], &[""]]
        {
            assert_eq!(read(none), None, "{none:?}");
        }
    }

    #[test]
    fn tokens_are_asked_for_and_read() {
        assert_eq!(
            token_url("https://a/t", Some("r&x=1"), "p/edge", "pull,push"),
            "https://a/t?service=r%26x%3D1&scope=repository%3Ap%2Fedge%3Apull%2Cpush"
        );
        assert_eq!(
            token_url("https://a/t?x=1", None, "e", "pull"),
            "https://a/t?x=1&scope=repository%3Ae%3Apull"
        );
        assert_eq!(token(br#"{"token": "a.b-c", "access_token": "x"}"#).as_deref(), Some("a.b-c"));
        assert_eq!(token(br#"{"access_token": "x=="}"#).as_deref(), Some("x=="));
        for none in
            [&b""[..], b"{}", b"{\"token\": \"\"}", b"{\"token\": \"a\\r\\nx: y\"}", b"{\"token\": 1}"]
        {
            assert_eq!(token(none), None);
        }
    }
}
