//! Where bundles come from, as it is written in the plugin configuration.

use std::fmt;

use serde::Deserialize;

use crate::envelope::dsse::MAX_ENVELOPE_BYTES;
use crate::envelope::key::sha256;
use crate::plan::PlanError;

/// The media type of an artifact.
pub const ARTIFACT: &str = "application/vnd.dsse.envelope.v1+json";

/// The media type of an OCI manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The longest name, path or credential.
const MAX_TEXT: usize = 2048;

/// A bundle source, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourcePlan {
    /// A path on a web server.
    pub http: Option<HttpPlan>,
    /// A tag or digest in an OCI registry.
    pub oci: Option<OciPlan>,
    /// Where the value of the `authorization` header is.
    pub authorization: Option<Variable>,
    /// The time between two polls.
    pub interval_ms: Option<u64>,
    /// How long an answer may take.
    pub timeout_ms: Option<u64>,
    /// How long the server may wait for something new.
    pub wait_ms: Option<u64>,
    /// The largest answer.
    pub max_bytes: Option<u64>,
}

/// A path on a web server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpPlan {
    /// The proxy's cluster.
    pub cluster: String,
    /// The `host` header.
    pub authority: String,
    /// Where the artifact is.
    pub path: String,
}

/// A tag or digest in an OCI registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OciPlan {
    /// The proxy's cluster.
    pub cluster: String,
    /// The `host` header.
    pub authority: String,
    /// The name of the repository.
    pub repository: String,
    /// A tag, or `sha256:` and 64 hexadecimal digits.
    pub reference: String,
}

/// An environment variable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub env: String,
}

/// A bundle source that makes sense.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// The proxy's cluster.
    pub cluster: String,
    /// The `host` header.
    pub authority: String,
    /// What is asked for there.
    pub place: Place,
    /// The value of the `authorization` header.
    pub authorization: Option<String>,
    /// Milliseconds between two polls.
    pub interval: u64,
    /// Milliseconds that an answer may take.
    pub timeout: u64,
    /// Seconds that the server may wait for something new; zero says not to.
    pub wait: u64,
    /// The largest answer.
    pub max_bytes: usize,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A path.
    Path(String),
    /// A tag or digest.
    Oci {
        /// The name of the repository.
        repository: String,
        /// A tag or a digest.
        reference: String,
    },
}

impl Source {
    /// Reads a source. `variable` gives the values of environment variables.
    ///
    /// # Errors
    /// When something is missing, malformed or out of range.
    pub fn load(plan: &SourcePlan, variable: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<Self, PlanError> {
        let (at, cluster, authority, place) = match (&plan.http, &plan.oci) {
            (Some(http), None) => {
                ("http", &http.cluster, &http.authority, Place::Path(path("http.path", &http.path)?))
            }
            (None, Some(oci)) => {
                let repository = repository(&oci.repository)?;
                let place = Place::Oci { repository, reference: reference(&oci.reference)? };
                ("oci", &oci.cluster, &oci.authority, place)
            }
            _ => return Err(PlanError::new("", "give either `http` or `oci`")),
        };
        let number = |name: &str, value: Option<u64>, least: u64, most: u64, usual: u64| {
            let value = value.unwrap_or(usual);
            if (least..=most).contains(&value) {
                return Ok(value);
            }
            Err(PlanError::new(name, format!("{value}; give {least} to {most}")))
        };
        let wait = match plan.wait_ms {
            None | Some(0) => 0,
            Some(_) if plan.oci.is_some() => {
                return Err(PlanError::new("wait_ms", "registries do not wait; leave it out"));
            }
            some => number("wait_ms", some, 1_000, 600_000, 0)? / 1_000,
        };
        let most = MAX_ENVELOPE_BYTES as u64;
        let max_bytes = number("max_bytes", plan.max_bytes, 1, most, 4 * 1024 * 1024)?;
        Ok(Self {
            cluster: word(&format!("{at}.cluster"), cluster)?,
            authority: word(&format!("{at}.authority"), authority)?,
            place,
            authorization: plan.authorization.as_ref().map(|from| credential(from, variable)).transpose()?,
            interval: number("interval_ms", plan.interval_ms, 500, 86_400_000, 30_000)?,
            timeout: number("timeout_ms", plan.timeout_ms, 100, 60_000, 5_000)?,
            wait,
            max_bytes: usize::try_from(max_bytes).unwrap_or(MAX_ENVELOPE_BYTES),
        })
    }

    /// The longest that one question may take, in milliseconds.
    #[must_use]
    pub const fn patience(&self) -> u64 {
        self.timeout.saturating_add(self.wait.saturating_mul(1_000))
    }

    /// Tells sources apart, however often and with which credentials they are asked.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        let (kind, first, second) = match &self.place {
            Place::Path(path) => ("http", path, ""),
            Place::Oci { repository, reference } => ("oci", repository, reference.as_str()),
        };
        // None of them has a line break.
        let text = [kind, &self.cluster, &self.authority, first, second].join("\n");
        sha256(text.as_bytes())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, authority, place, .. } = self;
        match place {
            // A query may hold a credential.
            Place::Path(path) => write!(f, "{authority}{}", path.split('?').next().unwrap_or_default())?,
            Place::Oci { repository, reference } if is_digest(reference) => {
                write!(f, "{authority}/{repository}@{reference}")?;
            }
            Place::Oci { repository, reference } => write!(f, "{authority}/{repository}:{reference}")?,
        }
        write!(f, " by cluster `{cluster}`")
    }
}

/// Without the credential.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

fn word(place: &str, text: &str) -> Result<String, PlanError> {
    if text.is_empty() || text.len() > MAX_TEXT || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(PlanError::new(place, "give a name of printable ASCII characters without blanks"));
    }
    Ok(text.to_owned())
}

fn path(place: &str, text: &str) -> Result<String, PlanError> {
    let path = word(place, text)?;
    if !path.starts_with('/') || path.contains('#') {
        return Err(PlanError::new(place, "give a path that begins with `/`, without a fragment"));
    }
    Ok(path)
}

/// OCI distribution specification 1.1, "Pulling manifests".
fn repository(text: &str) -> Result<String, PlanError> {
    let component = |part: &str| {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        edge(part.bytes().next()) && edge(part.bytes().next_back()) && part.bytes().all(good)
    };
    if text.len() > 255 || !text.split('/').all(component) {
        let problem = "not the name of a repository; write it like `policies/edge`";
        return Err(PlanError::new("oci.repository", problem));
    }
    Ok(text.to_owned())
}

fn reference(text: &str) -> Result<String, PlanError> {
    let first = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let rest = |b: u8| first(b) || matches!(b, b'.' | b'-');
    let tag = text.len() <= 128 && text.bytes().next().is_some_and(first) && text.bytes().all(rest);
    if !tag && !is_digest(text) {
        let problem =
            "neither a tag nor a digest; write it like `stable` or `sha256:<64 hexadecimal digits>`";
        return Err(PlanError::new("oci.reference", problem));
    }
    Ok(text.to_owned())
}

/// Whether it is `sha256:` and 64 lower-case hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The problem never quotes the value: it is a secret.
fn credential(from: &Variable, variable: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<String, PlanError> {
    let problem =
        |what: &str| PlanError::new("authorization.env", format!("`{}` {what}", from.env.escape_debug()));
    let value = variable(&from.env)
        .ok_or_else(|| problem("is not set; set it, and name it in `vm_config.environment_variables`"))?;
    let good = |b: &u8| b.is_ascii_graphic() || *b == b' ';
    if value.is_empty() || value.len() > MAX_TEXT || !value.iter().all(good) || value.first() == Some(&b' ') {
        return Err(problem("is not the value of an `authorization` header"));
    }
    String::from_utf8(value).map_err(|_| problem("is not the value of an `authorization` header"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn load(written: Value) -> Result<Source, String> {
        let plan: SourcePlan = serde_json::from_value(written).map_err(|e| e.to_string())?;
        let variable = |name: &str| match name {
            "TOKEN" => Some(b"Bearer a".to_vec()),
            "TWO" => Some(b"Bearer a\r\nx: y".to_vec()),
            "EMPTY" => Some(Vec::new()),
            _ => None,
        };
        Source::load(&plan, &variable).map_err(|e| e.to_string())
    }

    fn http() -> Value {
        json!({"cluster": "bundles", "authority": "bundles.internal", "path": "/edge.bundle"})
    }

    fn oci(reference: &str) -> Value {
        json!({"cluster": "r", "authority": "r:5000", "repository": "policies/edge", "reference": reference})
    }

    #[test]
    fn what_is_not_said_has_a_usual_value() {
        let source = load(json!({"http": http()})).unwrap();
        assert_eq!(
            (source.interval, source.timeout, source.wait, source.max_bytes),
            (30_000, 5_000, 0, 4 << 20)
        );
        assert_eq!(source.to_string(), "bundles.internal/edge.bundle by cluster `bundles`");
        let all = json!({"http": http(), "authorization": {"env": "TOKEN"}, "interval_ms": 500, "timeout_ms": 100,
                         "wait_ms": 1999, "max_bytes": 16_777_216});
        let source = load(all).unwrap();
        assert_eq!((source.wait, source.patience()), (1, 1_100));
        assert_eq!(source.authorization.as_deref(), Some("Bearer a"));
        assert!(!format!("{source:?}").contains("Bearer"));
        let digest = format!("sha256:{}", "0f".repeat(32));
        assert!(load(json!({"oci": oci(&digest)})).unwrap().to_string().contains("policies/edge@sha256:0f"));
        assert!(load(json!({"oci": oci("stable")})).unwrap().to_string().contains("policies/edge:stable"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let with = |member: &str, value: Value| {
            let mut all = json!({"http": http()});
            all[member] = value;
            all
        };
        let inside = |member: &str, value: &str| {
            let mut all = json!({"http": http()});
            all["http"][member] = json!(value);
            all
        };
        let repository = |name: &str| {
            let mut all = json!({"oci": oci("stable")});
            all["oci"]["repository"] = json!(name);
            all
        };
        for (written, said) in [
            (json!({}), "either `http` or `oci`"),
            (json!({"http": http(), "oci": oci("stable")}), "either `http` or `oci`"),
            (with("intervall_ms", json!(5)), "unknown field"),
            (with("interval_ms", json!(499)), "interval_ms: 499; give 500 to 86400000"),
            (with("interval_ms", json!(-1)), "invalid value"),
            (with("timeout_ms", json!(60_001)), "timeout_ms: 60001"),
            (with("wait_ms", json!(999)), "wait_ms: 999"),
            (with("max_bytes", json!(16_777_217)), "max_bytes: 16777217"),
            (with("max_bytes", json!(0)), "max_bytes: 0"),
            (with("authorization", json!({"env": "NONE"})), "authorization.env: `NONE` is not set"),
            (with("authorization", json!({"env": "TWO"})), "`TWO` is not the value"),
            (with("authorization", json!({"env": "EMPTY"})), "`EMPTY` is not the value"),
            (with("authorization", json!("Bearer a")), "invalid type"),
            (inside("cluster", ""), "http.cluster:"),
            (inside("authority", "a b"), "http.authority:"),
            (inside("authority", "a\r\nb: c"), "http.authority:"),
            (inside("path", "edge"), "http.path:"),
            (inside("path", "/a#b"), "http.path:"),
            (inside("path", "/a b"), "http.path:"),
            (repository("Policies"), "oci.repository:"),
            (repository("a//b"), "oci.repository:"),
            (repository("../a"), "oci.repository:"),
            (json!({"oci": oci("")}), "oci.reference:"),
            (json!({"oci": oci("a/b")}), "oci.reference:"),
            (json!({"oci": oci("sha256:00")}), "oci.reference:"),
            (json!({"oci": oci("stable"), "wait_ms": 5000}), "wait_ms: registries"),
        ] {
            let refused = load(written.clone()).map(drop);
            assert!(refused.as_ref().is_err_and(|e| e.contains(said)), "{written}: {refused:?}, not {said}");
        }
    }

    #[test]
    fn sources_are_told_apart_by_where_they_are() {
        let id = |written: Value| load(written).unwrap().id();
        let one = id(json!({"http": http()}));
        assert_eq!(one, id(json!({"http": http(), "interval_ms": 500, "authorization": {"env": "TOKEN"}})));
        let mut others = vec![one, id(json!({"oci": oci("stable")})), id(json!({"oci": oci("beta")}))];
        for member in ["cluster", "authority", "path"] {
            let mut all = json!({"http": http()});
            all["http"][member] = json!("/else");
            others.push(id(all));
        }
        others.sort_unstable();
        others.dedup();
        assert_eq!(others.len(), 6);
    }
}
