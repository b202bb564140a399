//! Names of artifacts in registries: `registry.internal:5000/policies/edge:stable`, or `...@sha256:<64 hexadecimal digits>`.
//!
//! There is no registry that is meant when none is named.

use std::fmt;

/// The longest repository name that registries take.
const LONGEST: usize = 255;

/// Where an artifact is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host, and port if it has one.
    pub registry: String,
    /// The name of the repository.
    pub repository: String,
    /// Which of its artifacts.
    pub which: Which,
}

/// A tag, or the digest of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// A name that may be given to another artifact at any time.
    Tag(String),
    /// The artifact itself.
    Digest(String),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(text) | Self::Digest(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if matches!(self.which, Which::Tag(_)) { ':' } else { '@' };
        write!(f, "{}/{}{sign}{}", self.registry, self.repository, self.which)
    }
}

impl Reference {
    /// Reads a reference. Without a tag and a digest it is `latest`, as everywhere.
    ///
    /// # Errors
    /// When it is none; with what is wrong and how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!("`{text}`: {what}; write REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST")
        };
        if text.contains("://") {
            return Err(wrong("a URL"));
        }
        let (registry, rest) = text.split_once('/').ok_or_else(|| wrong("no registry in it"))?;
        if !is_host(registry) {
            return Err(wrong("it does not begin with the host of a registry"));
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        if repository.len() > LONGEST || !repository.split('/').all(is_component) {
            return Err(wrong(
                "not the name of a repository, which has lower-case letters, digits, and `.`, `_`, `-` and `/` between them",
            ));
        }
        let which = match (tag, digest) {
            (None, Some(digest)) if is_digest(digest) => Which::Digest(digest.to_owned()),
            (None, Some(_)) => {
                return Err(wrong("not a digest, which is `sha256:` and 64 hexadecimal digits"));
            }
            (Some(_), Some(_)) => return Err(wrong("a tag and a digest; a digest says it all")),
            (Some(tag), None) if is_tag(tag) => Which::Tag(tag.to_owned()),
            (Some(_), None) => {
                return Err(wrong("not a tag, which has up to 128 letters, digits, `_`, `.` and `-`"));
            }
            (None, None) => Which::Tag("latest".to_owned()),
        };
        Ok(Self { registry: registry.to_owned(), repository: repository.to_owned(), which })
    }

    /// Whether the registry is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.registry)
    }
}

/// Whether a host, with a port or without, is this machine.
pub(super) fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A host is told from the first part of a repository by a dot or a port, as everywhere; or it is this machine.
fn is_host(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<std::net::Ipv6Addr>().is_ok()
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(label)
        && port.is_none_or(is_port)
        && (host.contains('.') || port.is_some() || host == "localhost")
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// One part of the name of a repository: letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_component(text: &str) -> bool {
    let sane = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<u8>| byte.is_some_and(sane);
    ends(text.bytes().next())
        && ends(text.bytes().last())
        && text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    let mut bytes = text.bytes();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && bytes.next().is_some_and(word)
        && bytes.all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// Whether a text is a SHA-256 digest.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let tag = |text: &str| Which::Tag(text.to_owned());
        for (text, registry, repository, which) in [
            ("localhost:5000/edge:v1", "localhost:5000", "edge", tag("v1")),
            ("localhost/edge", "localhost", "edge", tag("latest")),
            (
                "r.internal/policies/edge__x/a-b.c---d:V1.2_3-",
                "r.internal",
                "policies/edge__x/a-b.c---d",
                tag("V1.2_3-"),
            ),
            ("[::1]:5000/edge:v1", "[::1]:5000", "edge", tag("v1")),
            (&format!("127.0.0.1:5000/a/b@{digest}"), "127.0.0.1:5000", "a/b", Which::Digest(digest.clone())),
        ] {
            let read = Reference::parse(text).unwrap();
            assert_eq!(
                (read.registry.as_str(), read.repository.as_str(), &read.which),
                (registry, repository, &which)
            );
            let tagged = if text.contains(':') && !text.ends_with("/edge") {
                text.to_owned()
            } else {
                format!("{text}:latest")
            };
            assert_eq!(read.to_string(), tagged);
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = format!("r.internal/{}", "a".repeat(256));
        let tag = format!("r.internal/a:{}", "a".repeat(129));
        let both = format!("r.internal/a:v1@sha256:{}", "0".repeat(64));
        let upper = format!("r.internal/a@sha256:{}", "A".repeat(64));
        for text in [
            "",
            "edge",
            "edge:v1",
            "policies/edge:v1",
            "https://r.internal/edge:v1",
            "r.internal/",
            "r.internal/:v1",
            "r.internal/Edge:v1",
            "r.internal/a//b",
            "r.internal/a/",
            "r.internal/-a",
            "r.internal/a-",
            "r.internal/a..b",
            "r.internal/a___b",
            "r.internal/a._b",
            "r.internal/../a",
            "r.internal/a:",
            "r.internal/a:.x",
            "r.internal/a:a b",
            "r.internal/a:b/c",
            "r.internal/a@md5:0",
            "r.internal/a@sha256:0",
            "r.internal:/a",
            "r.internal:0/a",
            "r.internal:99999/a",
            "r.internal:+5/a",
            "user@r.internal/a",
            "-r.internal/a",
            "r..internal/a",
            "[::1/a",
            "[x]/a",
            "[::1]5000/a",
            "r.internal/a\r\n:v1",
            "r.internal/a?x:v1",
            "r.internal/a%2e",
            &long,
            &tag,
            &both,
            &upper,
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn this_machine_is_known() {
        for (authority, loopback) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.9.9.9", true),
            ("[::1]:5000", true),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
            ("10.0.0.1:5000", false),
            ("[::2]", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(authority), loopback, "{authority}");
        }
    }
}
