//! Where the content of a feed comes from, and how often.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::schedule::{LONGEST, Pace};
use crate::envelope::key::sha256;
use crate::plan::PlanError;

/// The most feeds of a plan: each is looked at in shared data at every tick.
pub const MOST: usize = 64;

/// The longest name or path.
const MAX_TEXT: usize = 2048;

/// The most bytes of any content.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Content that is fetched while the plan is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedPlan {
    /// What it is called in logs: the name of the issuer whose keys it has.
    pub name: String,
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
    /// What it is.
    pub kind: ContentKind,
    /// Where it is.
    pub from: FromPlan,
    /// The longest time between two good answers, in milliseconds.
    pub refresh_ms: u64,
    /// The shortest time between two attempts, in milliseconds.
    pub min_refresh_ms: u64,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: u64,
    /// The largest answer, in bytes.
    pub max_bytes: u64,
}

/// What kind of content it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentKind {
    /// A JWK set (RFC 7517).
    Keys,
    /// A list of what was revoked.
    Revocations,
}

/// Where content is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FromPlan {
    /// At a place of its own.
    Place(PlacePlan),
    /// Where the discovery document of an issuer says (`OpenID` Connect Discovery 1.0, section 4).
    Discovery(DiscoveryPlan),
}

/// A path on a web server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacePlan {
    /// The proxy's cluster.
    pub cluster: String,
    /// The `host` header.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// An issuer that says where its keys are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoveryPlan {
    /// The proxy's cluster that reaches the issuer.
    pub cluster: String,
    /// The issuer: an `https` or `http` URL. The document must name it byte by byte.
    pub issuer: String,
    /// Where keys may be beside the issuer's own origin, and by which cluster they are reached there.
    pub keys_at: Vec<OriginPlan>,
}

/// An origin (RFC 6454) and the cluster that reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginPlan {
    /// `https://keys.example.com`, with a port if it is not the usual one.
    pub origin: String,
    /// The proxy's cluster.
    pub cluster: String,
}

/// A feed that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is called in logs.
    pub name: String,
    /// What it is.
    pub kind: ContentKind,
    /// Where the content is, or the document that says where.
    pub place: Place,
    /// What a discovery document may say, if there is one.
    pub discovery: Option<Discovery>,
    /// How often to ask.
    pub pace: Pace,
    /// Milliseconds that one answer may take.
    pub timeout: u64,
    /// The largest answer.
    pub max_bytes: usize,
    /// What its readers accept, in words that are the same for all who accept the same.
    pub accepted: String,
}

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The proxy's cluster.
    pub cluster: String,
    /// The `host` header.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// What a discovery document may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Its `issuer`.
    pub issuer: String,
    /// Origins for keys, in one form, with their clusters; the issuer's own first.
    pub origins: Vec<(String, String)>,
}

impl Source {
    /// Reads a feed of a plan.
    ///
    /// # Errors
    /// When something is malformed or out of range.
    pub fn load(plan: &FeedPlan, at: &str) -> Result<Self, PlanError> {
        let wrong =
            |member: &str, problem: &str| PlanError::new(format!("{at}.{member}"), problem.to_owned());
        let word = |member: &str, text: &str| {
            let good =
                !text.is_empty() && text.len() <= MAX_TEXT && text.bytes().all(|b| b.is_ascii_graphic());
            if good {
                return Ok(text.to_owned());
            }
            Err(wrong(member, "give a name of printable ASCII characters without blanks"))
        };
        let number = |member: &str, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                return Ok(value);
            }
            Err(wrong(member, &format!("{value}; give {least} to {most}")))
        };
        let (place, discovery) = match &plan.from {
            FromPlan::Place(place) => {
                let path = word("from.place.path", &place.path)?;
                if !path.starts_with('/') || path.contains('#') {
                    return Err(wrong(
                        "from.place.path",
                        "give a path that begins with `/`, without a fragment",
                    ));
                }
                let cluster = word("from.place.cluster", &place.cluster)?;
                let authority = word("from.place.authority", &place.authority)?;
                (Place { cluster, authority, path }, None)
            }
            FromPlan::Discovery(discovery) => {
                let cluster = word("from.discovery.cluster", &discovery.cluster)?;
                let issuer = Url::read(&discovery.issuer).filter(|url| !url.path.contains('?')).ok_or_else(|| {
                    wrong(
                        "from.discovery.issuer",
                        "not an `https` or `http` URL without query and fragment; keys are discovered for such issuers only",
                    )
                })?;
                let mut origins = vec![(issuer.origin(), cluster.clone())];
                for (index, other) in discovery.keys_at.iter().enumerate() {
                    let here = format!("from.discovery.keys_at[{index}]");
                    let url = Url::read(&other.origin).filter(|url| url.path == "/").ok_or_else(|| {
                        wrong(&format!("{here}.origin"), "not an origin such as `https://keys.example.com`")
                    })?;
                    let cluster = word(&format!("{here}.cluster"), &other.cluster)?;
                    if origins.iter().any(|(origin, _)| *origin == url.origin()) {
                        return Err(wrong(&format!("{here}.origin"), "this origin is there already"));
                    }
                    origins.push((url.origin(), cluster));
                }
                // A slash at the end of the issuer is not doubled (section 4.1).
                let path = issuer.path.strip_suffix('/').unwrap_or(&issuer.path);
                let path = format!("{path}/.well-known/openid-configuration");
                let place = Place { cluster, authority: issuer.authority, path };
                (place, Some(Discovery { issuer: discovery.issuer.clone(), origins }))
            }
        };
        let refresh = number("refresh_ms", plan.refresh_ms, 1_000, LONGEST)?;
        let min_refresh = number("min_refresh_ms", plan.min_refresh_ms, 1_000, refresh)?;
        let max_bytes = number("max_bytes", plan.max_bytes, 1, MAX_BYTES)?;
        Ok(Self {
            name: plan.name.clone(),
            kind: plan.kind,
            place,
            discovery,
            pace: Pace { refresh, min_refresh },
            timeout: number("timeout_ms", plan.timeout_ms, 100, 30_000)?,
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            accepted: String::new(),
        })
    }

    /// The longest that an attempt may take, in milliseconds: a discovered one has two steps.
    #[must_use]
    pub const fn patience(&self) -> u64 {
        if self.discovery.is_some() { self.timeout.saturating_mul(2) } else { self.timeout }
    }

    /// The same for readers who accept only this.
    #[must_use]
    pub fn accepting(self, accepted: String) -> Self {
        Self { accepted, ..self }
    }

    /// Tells feeds apart by what they fetch and what of it can be read, however often.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        let accepted = sha256(format!("{} bytes\n{}", self.max_bytes, self.accepted).as_bytes());
        sha256(&[self.place_id(), accepted].concat())
    }

    /// Tells places apart, and what is fetched there.
    #[must_use]
    pub fn place_id(&self) -> [u8; 32] {
        let kind = match self.kind {
            ContentKind::Keys => "keys",
            ContentKind::Revocations => "revocations",
        };
        let Place { cluster, authority, path } = &self.place;
        let mut lines = vec![kind, cluster.as_str(), authority.as_str(), path.as_str()];
        if let Some(discovery) = &self.discovery {
            lines.push(&discovery.issuer);
            lines.extend(discovery.origins.iter().flat_map(|(origin, cluster)| [origin.as_str(), cluster]));
        }
        // None of them has a line break.
        sha256(lines.join("\n").as_bytes())
    }

    /// What its content is, for people.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        match self.kind {
            ContentKind::Keys => "keys",
            ContentKind::Revocations => "revocations",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl fmt::Display for Place {
    /// Without the query, which may hold a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{}{path} by cluster `{}`", self.authority, self.cluster)
    }
}

/// An `https` or `http` URL, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `https` or `http`.
    pub scheme: &'static str,
    /// Host and perhaps port, as they were written.
    pub authority: String,
    /// Path and query; `/` if there is none.
    pub path: String,
}

impl Url {
    /// Reads a URL. There is none where two readers could disagree: with user information, a fragment, a backslash, or
    /// anything that is not printable ASCII.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let good = |b: u8| b.is_ascii_graphic() && !matches!(b, b'\\' | b'#' | b'"' | b'<' | b'>');
        if text.len() > MAX_TEXT || !text.bytes().all(good) {
            return None;
        }
        let (scheme, rest) = match text.split_once("://")? {
            ("https", rest) => ("https", rest),
            ("http", rest) => ("http", rest),
            _ => return None,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let (host, port) = split_port(authority)?;
        let label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(label),
        };
        let is_port = port.is_none_or(|port| {
            port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !is_host || !is_port {
            return None;
        }
        let path = match path.as_bytes().first() {
            None => "/".to_owned(),
            Some(b'?') => format!("/{path}"),
            Some(_) => path.to_owned(),
        };
        Some(Self { scheme, authority: authority.to_owned(), path })
    }

    /// The origin (RFC 6454, section 6.2), in one form: host in lower case, the scheme's own port left out.
    #[must_use]
    pub fn origin(&self) -> String {
        let (host, port) = split_port(&self.authority).unwrap_or((&self.authority, None));
        let host = host.to_ascii_lowercase();
        let usual = if self.scheme == "https" { 443 } else { 80 };
        match port.and_then(|port| port.parse::<u16>().ok()).filter(|port| *port != usual) {
            Some(port) => format!("{}://{host}:{port}", self.scheme),
            None => format!("{}://{host}", self.scheme),
        }
    }
}

/// Host and port; nothing if there are more colons than that, outside of brackets.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let after = authority.rfind(']').map_or(0, |at| at.saturating_add(1));
    let (head, tail) = authority.split_at_checked(after)?;
    match (tail.split_once(':'), head.is_empty()) {
        (None, true) => Some((tail, None)),
        (None, false) => tail.is_empty().then_some((head, None)),
        (Some((host, port)), true) => (!port.is_empty()).then_some((host, Some(port))),
        (Some((between, port)), false) => {
            (between.is_empty() && !port.is_empty()).then_some((head, Some(port)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn discovery(issuer: &str, keys_at: &[(&str, &str)]) -> FeedPlan {
        let keys_at = keys_at
            .iter()
            .map(|(origin, cluster)| OriginPlan { origin: (*origin).into(), cluster: (*cluster).into() });
        FeedPlan {
            name: "corp".into(),
            at: "bundle.yaml:1".into(),
            kind: ContentKind::Keys,
            from: FromPlan::Discovery(DiscoveryPlan {
                cluster: "idp".into(),
                issuer: issuer.into(),
                keys_at: keys_at.collect(),
            }),
            refresh_ms: 600_000,
            min_refresh_ms: 30_000,
            timeout_ms: 5_000,
            max_bytes: 65_536,
        }
    }

    #[test]
    fn a_discovery_document_lies_below_its_issuer() {
        for (issuer, authority, path) in [
            ("https://login.example.com", "login.example.com", "/.well-known/openid-configuration"),
            ("https://login.example.com/", "login.example.com", "/.well-known/openid-configuration"),
            (
                "https://a.example:8443/realms/x",
                "a.example:8443",
                "/realms/x/.well-known/openid-configuration",
            ),
            ("http://[::1]:80/realms/x/", "[::1]:80", "/realms/x/.well-known/openid-configuration"),
        ] {
            let source = Source::load(&discovery(issuer, &[]), "feeds[0]").unwrap();
            assert_eq!((source.place.authority.as_str(), source.place.path.as_str()), (authority, path));
            assert_eq!(source.patience(), 10_000);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let good = discovery("https://a.example", &[]);
        let place = |path: &str, cluster: &str| {
            let from = PlacePlan { cluster: cluster.into(), authority: "a".into(), path: path.into() };
            FeedPlan { from: FromPlan::Place(from), ..good.clone() }
        };
        for (plan, said) in [
            (discovery("login", &[]), "from.discovery.issuer"),
            (discovery("ftp://a", &[]), "from.discovery.issuer"),
            (discovery("https://a/?x", &[]), "from.discovery.issuer"),
            (discovery("https://u@a/", &[]), "from.discovery.issuer"),
            (discovery("https://a/", &[("https://b/x", "c")]), "keys_at[0].origin"),
            (discovery("https://a/", &[("https://A:443", "c")]), "keys_at[0].origin"),
            (discovery("https://a/", &[("https://b", "c d")]), "keys_at[0].cluster"),
            (place("x", "c"), "from.place.path"),
            (place("/x#y", "c"), "from.place.path"),
            (place("/x y", "c"), "from.place.path"),
            (place("/x", ""), "from.place.cluster"),
            (FeedPlan { refresh_ms: 999, ..good.clone() }, "refresh_ms: 999; give 1000 to 86400000"),
            (FeedPlan { min_refresh_ms: 600_001, ..good.clone() }, "min_refresh_ms: 600001"),
            (FeedPlan { timeout_ms: 30_001, ..good.clone() }, "timeout_ms"),
            (FeedPlan { max_bytes: 0, ..good.clone() }, "max_bytes"),
        ] {
            let refused = Source::load(&plan, "feeds[0]").map(drop).map_err(|e| e.to_string());
            assert!(refused.as_ref().is_err_and(|e| e.contains(said)), "{refused:?}, not {said}");
        }
        assert!(Source::load(&good, "feeds[0]").is_ok() && Source::load(&place("/x?y", "c"), "f").is_ok());
    }

    #[test]
    fn feeds_are_told_apart_by_what_they_fetch_and_not_by_how_often() {
        let id = |plan: &FeedPlan| Source::load(plan, "f").unwrap().id();
        let one = discovery("https://a.example", &[]);
        let often = FeedPlan { refresh_ms: 5_000, min_refresh_ms: 1_000, name: "b".into(), ..one.clone() };
        assert_eq!(id(&one), id(&often));
        let mut all = vec![id(&one), id(&discovery("https://a.example/", &[]))];
        all.push(id(&discovery("https://a.example", &[("https://b.example", "b")])));
        all.push(id(&FeedPlan { kind: ContentKind::Revocations, ..one }));
        all.push(id(&FeedPlan { max_bytes: 1, ..discovery("https://a.example", &[]) }));
        all.push(Source::load(&often, "f").unwrap().accepting("ES256".into()).id());
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn origins_have_one_form() {
        for (url, origin) in [
            ("https://A.Example:443/x", "https://a.example"),
            ("http://a.example:443", "http://a.example:443"),
            ("https://a.example?x", "https://a.example"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
            ("https://[::1]", "https://[::1]"),
        ] {
            assert_eq!(Url::read(url).map(|url| url.origin()).as_deref(), Some(origin), "{url}");
        }
        for url in [
            "https://",
            "https:///x",
            "https://a:/",
            "https://a:0/",
            "https://a:x/",
            "https://a:70000/",
            "https://a:1:2/",
            "https://a@b/",
            "https://a\\@b/",
            "https://[::1/",
            "https://[::1]x/",
            "https://a#b",
            "HTTPS://a",
            "//a",
            "a",
            "https://a b/",
            "https://\u{e4}/",
            "https://a:+1/",
        ] {
            assert_eq!(Url::read(url), None, "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_url_or_none(text in ".{0,40}", rest in "[a-z@:/\\[\\]?#.0-9]{0,20}") {
            for text in [text, format!("https://{rest}")] {
                if let Some(url) = Url::read(&text) {
                    prop_assert!(url.path.starts_with('/') && !url.authority.contains('@'));
                    prop_assert!(Url::read(&url.origin()).is_some_and(|again| again.origin() == url.origin()));
                }
            }
        }
    }
}
