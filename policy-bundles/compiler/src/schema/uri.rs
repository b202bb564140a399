//! References between schemas: resolution as in RFC 3986, section 5.

/// A URI split into its parts, without the fragment.
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

/// Splits off the fragment, without its `#`.
pub(super) fn split_fragment(uri: &str) -> (&str, Option<&str>) {
    match uri.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (uri, None),
    }
}

/// Resolves a reference without fragment against a base (section 5.2.2).
pub(super) fn resolve(base: &str, reference: &str) -> String {
    let (base, to) = (split(base), split(reference));
    let (scheme, authority, path, query);
    if to.scheme.is_some() {
        (scheme, authority, path, query) = (to.scheme, to.authority, without_dots(to.path), to.query);
    } else if to.authority.is_some() {
        (scheme, authority, path, query) = (base.scheme, to.authority, without_dots(to.path), to.query);
    } else if to.path.is_empty() {
        let kept = to.query.or(base.query);
        (scheme, authority, path, query) = (base.scheme, base.authority, base.path.to_owned(), kept);
    } else if to.path.starts_with('/') {
        (scheme, authority, path, query) = (base.scheme, base.authority, without_dots(to.path), to.query);
    } else {
        let folder = match base.path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/"),
            None if base.authority.is_some() => "/".to_owned(),
            None => String::new(),
        };
        let merged = without_dots(&format!("{folder}{}", to.path));
        (scheme, authority, path, query) = (base.scheme, base.authority, merged, to.query);
    }
    let mut uri = String::new();
    if let Some(scheme) = scheme {
        uri.push_str(scheme);
        uri.push(':');
    }
    if let Some(authority) = authority {
        uri.push_str("//");
        uri.push_str(authority);
    }
    uri.push_str(&path);
    if let Some(query) = query {
        uri.push('?');
        uri.push_str(query);
    }
    uri
}

fn split(uri: &str) -> Parts<'_> {
    let (rest, query) = match uri.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (uri, None),
    };
    let is_scheme = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, rest),
    };
    let (authority, path) = match rest.strip_prefix("//") {
        None => (None, rest),
        Some(after) => {
            let at = after.find('/').unwrap_or(after.len());
            let (authority, path) = after.split_at(at);
            (Some(authority), path)
        }
    };
    Parts { scheme, authority, path, query }
}

/// Section 5.2.4.
fn without_dots(path: &str) -> String {
    if !path.contains('/') {
        return path.to_owned();
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." => {}
            ".." => {
                if kept.len() > 1 {
                    kept.pop();
                }
            }
            other => {
                kept.push(other);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_as_the_rfc_says() {
        // Section 5.4.
        let base = "http://a/b/c/d;p?q";
        for (reference, expected) in [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("./../g", "http://a/b/g"),
        ] {
            assert_eq!(resolve(base, reference), expected, "{reference}");
        }
        assert_eq!(resolve("bundle:///schemas/a.json", "b.json"), "bundle:///schemas/b.json");
        assert_eq!(resolve("urn:uuid:1", ""), "urn:uuid:1");
        assert_eq!(resolve("http://a", "b"), "http://a/b");
    }
}
