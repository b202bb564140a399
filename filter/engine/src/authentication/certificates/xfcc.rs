//! `x-forwarded-client-cert`, as Envoy writes it, read strictly.
//!
//! An element for each proxy, commas between; in it `Key=value` pairs, semicolons between; a value with a
//! comma, a semicolon, an equals sign or a quote is in double quotes, with a backslash before a quote.
//!
//! Each trusted hop appended one element about the certificate that it saw, so with `n` hops the client's
//! is the `n`-th from the right, and whatever stands further left came from the client. It is read from
//! the left all the same, and all of it: then no quote that a client leaves open can swallow what a proxy
//! appended, for the quote that would close it has something behind it that no quote has.

use super::x509::MAX_NAMES;

/// What one proxy says of the certificate that it saw.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'h> {
    /// All of it, as it came.
    pub(super) raw: &'h str,
    /// SHA-256 of the certificate, in hexadecimal.
    pub(super) hash: Option<&'h str>,
    /// The subject in the form of RFC 2253, with its own escapes: Envoy adds none.
    pub(super) subject: Option<&'h str>,
    pub(super) uris: Vec<&'h str>,
    pub(super) dns: Vec<&'h str>,
}

/// How many elements are read at all.
const MAX_ELEMENTS: usize = 32;

/// Why the header is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum XfccError {
    /// There is no element.
    TooFew,
    /// It is not what Envoy writes.
    Malformed(&'static str),
}

/// All elements, from the left. The lines of the header come in order.
///
/// # Errors
/// When there are none, or anything at all is malformed.
pub(super) fn read<'h>(lines: impl Iterator<Item = &'h [u8]>) -> Result<Vec<Element<'h>>, XfccError> {
    let mut elements = Vec::new();
    for line in lines {
        let line = std::str::from_utf8(line).map_err(|_| XfccError::Malformed("it is not UTF-8"))?;
        read_line(line, &mut elements)?;
    }
    if elements.is_empty() { Err(XfccError::TooFew) } else { Ok(elements) }
}

fn read_line<'h>(line: &'h str, elements: &mut Vec<Element<'h>>) -> Result<(), XfccError> {
    let mut rest = line;
    loop {
        if elements.len() >= MAX_ELEMENTS {
            return Err(XfccError::Malformed("it has more elements than any chain of proxies"));
        }
        let mut element = Seen::default();
        rest = rest.trim_start_matches([' ', '\t']);
        let begin = rest;
        loop {
            let (key, value, after) = pair(rest)?;
            element.take(key, value)?;
            match after.as_bytes().first() {
                Some(b';') => rest = after.get(1..).unwrap_or_default(),
                _ => {
                    element.element.raw =
                        begin.get(..begin.len().saturating_sub(after.len())).unwrap_or(begin);
                    rest = after.trim_start_matches([' ', '\t']);
                    break;
                }
            }
        }
        elements.push(element.element);
        match rest.split_at_checked(1) {
            None => return Ok(()),
            Some((",", after)) => rest = after,
            Some(_) => return Err(XfccError::Malformed("something follows a value")),
        }
    }
}

/// A key, its value without quotes, and what follows.
fn pair(text: &str) -> Result<(&str, &str, &str), XfccError> {
    let (key, rest) = text.split_once('=').ok_or(XfccError::Malformed("a key has no value"))?;
    if let Some(quoted) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = quoted.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let end = end.ok_or(XfccError::Malformed("a quote is not closed"))?;
        let (value, after) = quoted.split_at_checked(end).unwrap_or_default();
        return Ok((key, value, after.get(1..).unwrap_or_default()));
    }
    let end = rest.find([';', ',', '"', ' ', '\t']).unwrap_or(rest.len());
    let (value, after) = rest.split_at_checked(end).unwrap_or_default();
    Ok((key, value, after))
}

#[derive(Default)]
struct Seen<'h> {
    element: Element<'h>,
    /// Keys of which an element has one at most, and which are not kept.
    once: [bool; 2],
}

impl<'h> Seen<'h> {
    fn take(&mut self, key: &str, value: &'h str) -> Result<(), XfccError> {
        const TWICE: XfccError = XfccError::Malformed("an element names a key twice that it has once");
        let [cert, chain] = &mut self.once;
        let first = match key {
            // Envoy names itself once for each URI of its own certificate.
            "By" => true,
            "Hash" => self.element.hash.replace(value).is_none(),
            "Subject" => self.element.subject.replace(value).is_none(),
            "Cert" => !std::mem::replace(cert, true),
            "Chain" => !std::mem::replace(chain, true),
            "URI" => {
                // Envoy writes the key without a value where the certificate has no URI.
                add(&mut self.element.uris, value)?;
                true
            }
            "DNS" => {
                add(&mut self.element.dns, value)?;
                true
            }
            _ => return Err(XfccError::Malformed("an element has a key that Envoy does not write")),
        };
        if first { Ok(()) } else { Err(TWICE) }
    }
}

fn add<'h>(names: &mut Vec<&'h str>, name: &'h str) -> Result<(), XfccError> {
    if names.len() >= MAX_NAMES {
        return Err(XfccError::Malformed("an element has more names than are looked at"));
    }
    if !name.is_empty() {
        names.push(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The element that the outermost of so many hops wrote.
    fn find<'h>(lines: impl Iterator<Item = &'h [u8]>, hops: usize) -> Result<Element<'h>, XfccError> {
        let mut elements = read(lines)?;
        let wanted = elements.len().checked_sub(hops).ok_or(XfccError::TooFew)?;
        if hops == 0 { Err(XfccError::TooFew) } else { Ok(elements.swap_remove(wanted)) }
    }

    fn all(lines: &[&str], hops: usize) -> Result<(Option<String>, Vec<String>), XfccError> {
        let found = find(lines.iter().map(|line| line.as_bytes()), hops)?;
        let uris = found.uris.iter().map(|uri| (*uri).to_owned()).collect();
        Ok((found.hash.map(str::to_owned), uris))
    }

    fn hash(lines: &[&str], hops: usize) -> Result<String, XfccError> {
        all(lines, hops).map(|(hash, _)| hash.unwrap_or_default())
    }

    #[test]
    fn the_examples_of_envoys_documentation() {
        let line = r#"By=http://frontend.lyft.com;Hash=468e;Subject="/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client";URI=http://testclient.lyft.com;DNS=lyft.com;DNS=www.lyft.com"#;
        let element = find([line.as_bytes()].into_iter(), 1).unwrap();
        assert_eq!(element.hash, Some("468e"));
        assert_eq!(element.subject, Some("/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client"));
        assert_eq!(element.uris, ["http://testclient.lyft.com"]);
        assert_eq!(element.dns, ["lyft.com", "www.lyft.com"]);
        let two = "By=http://f;Hash=aa;URI=http://t,By=http://b;Hash=bb;URI=http://f";
        assert_eq!(hash(&[two], 1).as_deref(), Ok("bb"));
        assert_eq!(find([two.as_bytes()].into_iter(), 2).unwrap().raw, "By=http://f;Hash=aa;URI=http://t");
        assert_eq!(hash(&[two], 2).as_deref(), Ok("aa"));
    }

    #[test]
    fn hops_count_from_the_right_over_all_lines() {
        assert_eq!(hash(&["Hash=aa", "Hash=bb,Hash=cc"], 1).as_deref(), Ok("cc"));
        assert_eq!(hash(&["Hash=aa", "Hash=bb, Hash=cc"], 3).as_deref(), Ok("aa"));
        assert_eq!(hash(&["Hash=aa"], 2), Err(XfccError::TooFew));
        assert_eq!(hash(&[], 1), Err(XfccError::TooFew));
        assert_eq!(hash(&["Hash=aa"], 0), Err(XfccError::TooFew));
    }

    #[test]
    fn quotes_and_their_escapes() {
        let subject = |line: &str| {
            find([line.as_bytes()].into_iter(), 1).map(|e| e.subject.unwrap_or_default().to_owned())
        };
        assert_eq!(subject(r#"Subject="CN=a\"b\\";Hash=aa"#).as_deref(), Ok(r#"CN=a\"b\\"#));
        assert_eq!(subject(r#"Subject="CN=a,O=b;c";Hash=aa"#).as_deref(), Ok("CN=a,O=b;c"));
        assert_eq!(subject(r#"Hash=aa;Subject="""#).as_deref(), Ok(""));
    }

    #[test]
    fn nothing_that_a_client_writes_swallows_what_a_proxy_appends() {
        for own in
            ["Subject=\"", "Hash=ee;URI=spiffe://a/admin;Subject=\"", "Cert=\"x\\", "URI=\"", "Hash=ee;By=\""]
        {
            for appended in [
                r#",By=p;Hash=aa;Subject="CN=me";URI=spiffe://a/me"#,
                r#",Hash=aa;Subject="";URI=spiffe://a/me"#,
                ",Hash=aa;URI=spiffe://a/me",
            ] {
                let line = format!("{own}{appended}");
                match all(&[&line], 1) {
                    Err(XfccError::Malformed(_)) => {}
                    Ok(found) => {
                        assert_eq!(found, (Some("aa".into()), vec!["spiffe://a/me".into()]), "{line}")
                    }
                    Err(XfccError::TooFew) => panic!("{line}"),
                }
            }
        }
    }

    #[test]
    fn what_envoy_does_not_write() {
        for bad in [
            "",
            ",",
            "Hash=aa,",
            ",Hash=aa",
            "Hash",
            "Hash=aa;",
            "Hash=aa;;URI=a",
            "hash=aa",
            "Hash=aa;Hash=bb",
            "Subject=a;Subject=b",
            "Hash=aa;Serial=1",
            "Subject=\"a",
            "Subject=\"a\"b",
            "URI=a b",
            "Hash =aa",
            "Hash=a\"b",
            "Hash=aa; URI=a",
            "=aa",
            "Cert=a;Cert=b",
        ] {
            assert!(matches!(hash(&[bad], 1), Err(XfccError::Malformed(_))), "{bad}: {:?}", hash(&[bad], 1));
        }
        assert!(matches!(find([&b"URI=\xff"[..]].into_iter(), 1), Err(XfccError::Malformed(_))));
        let many = vec!["Hash=aa"; 33].join(",");
        assert!(hash(&[&many], 1).is_err());
    }

    proptest! {
        #[test]
        fn what_a_client_sends_never_changes_the_appended_element(own in "[ -~]{0,60}") {
            let line = format!(r#"{own},By=p;Hash=aa;Subject="CN=me";URI=spiffe://a/me"#);
            if let Ok(found) = all(&[&line], 1) {
                prop_assert_eq!(found, (Some("aa".to_owned()), vec!["spiffe://a/me".to_owned()]));
            }
        }
    }
}
