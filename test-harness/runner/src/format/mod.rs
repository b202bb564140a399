//! What people write in a `*.cases.yaml` file.
//!
//! Strict at every level: an unknown field is an error with file, line and field. [`Suite::parse`] checks
//! the whole file; requests and expectations are templates until [`crate::expand`] has filled in rows.

mod body;
mod certificate;
mod expect;
mod factor;
mod octets;
mod only;
mod placeholder;
mod proof;
mod remote;
mod request;
mod sign;
mod simulate;
mod text_or_map;
mod token;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

pub use body::{Body, Framing};
pub use certificate::Certificate;
pub use expect::{Decision, Expect, HeaderMatch, ProxyAnswer, Upstream};
pub use factor::{Code, basic};
pub use octets::{Count, Octets};
pub use only::{Http, Only, Place, Places};
pub use proof::Proof;
pub use remote::{RemoteAnswer, Remotes};
pub use request::{Answer, HeaderLines, Request};
pub use sign::{Instead, Sign, SignTamper};
pub use simulate::{Fault, FaultStatus, Simulate, WORKERS};
pub use token::{Tamper, Token};

/// Why a case file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseError {
    /// File, with line and column where they are known.
    pub place: String,
    /// What is wrong and what to do about it.
    pub problem: String,
}

impl CaseError {
    /// A problem at a place.
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for CaseError {}

/// A file of cases that share one bundle.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// The bundle: a directory relative to this file, or written here.
    pub bundle: BundleSource,
    /// Whose keys the issuers have.
    #[serde(default)]
    pub keys: Keys,
    /// Variables of the environment that the bundle names, beside those with the mint's secrets.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What shares the state of limits.
    #[serde(default)]
    pub state: State,
    /// What the servers answer that the filter asks by itself. Without it, keys that are fetched are as if they came with the
    /// bundle. With it, each case begins with a proxy that has fetched nothing, and no case runs in a real Envoy.
    #[serde(default)]
    pub remote: Remotes,
    /// Defaults under every case's request.
    #[serde(default)]
    pub request: Request,
    /// The cases, in the order they run.
    pub cases: Vec<Case>,
}

/// Where the bundle is.
#[derive(Debug, Clone, PartialEq)]
pub enum BundleSource {
    /// A directory with a `bundle.yaml`, relative to the case file.
    Directory(String),
    /// Written in the case file.
    Inline(InlineBundle),
}

/// A bundle written in a case file.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InlineBundle {
    /// The text of `bundle.yaml`.
    pub text: String,
    /// Other files of the bundle, by path.
    #[serde(default)]
    pub files: BTreeMap<String, FileText>,
}

/// A file of an inline bundle.
#[derive(Debug, Clone, PartialEq)]
pub enum FileText {
    /// Its text.
    Text(String),
    /// A JWK set of test keys.
    Jwks(JwksFile),
}

/// A JWK set made of test keys.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwksFile {
    /// The keys, in order.
    pub jwks: Vec<JwkEntry>,
}

/// One test key of a JWK set.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwkEntry {
    /// The test key: `rs256-0`, `es256-1`, `rs256-stranger`.
    pub key: String,
    /// Members to set; `null` takes one away.
    #[serde(default)]
    pub with: serde_json::Map<String, Value>,
}

/// Whose keys the issuers of the plan have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// The mint's: the runner replaces the key sets of the plan, so that a bundle with real keys can be tested.
    #[default]
    Test,
    /// Those the bundle names.
    Bundle,
}

/// What shares the state of limits when the suite runs in a real proxy. Natively every case has its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All cases: budgets are kept apart by the address and the subject that are unique to each.
    #[default]
    Suite,
    /// Nothing: a budget that everybody shares is spent, so every case needs a proxy state of its own.
    Case,
}

/// One case, or a table of cases with the same shape.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What is shown, as a sentence; unique in the file.
    #[schemars(length(min = 1))]
    pub name: String,
    /// For an allowing case: the name of the refusing case that differs least from it.
    #[serde(default)]
    pub near: Option<String>,
    /// Where alone the case runs, and why.
    #[serde(default)]
    pub only: Option<Only>,
    /// The request, over the suite's defaults.
    #[serde(default)]
    pub request: Request,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expect,
    /// Runs the case once for each row, `${name}` replaced by the row's value.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub rows: Vec<Row>,
    /// Several requests one after the other, instead of one.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub steps: Vec<Step>,
}

/// One line of a table: values by name, and `expect` if it differs from the case's.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Row {
    /// What must come of this row.
    #[serde(default)]
    pub expect: Option<Expect>,
    /// The values; each must be used by the request or the expectation.
    #[serde(flatten)]
    pub values: BTreeMap<String, Value>,
}

/// One request of several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// How often the request is sent; each must meet the expectation.
    #[serde(default = "once")]
    pub repeat: NonZeroU32,
    /// How long to wait before, `1s`, `250ms`.
    #[serde(default)]
    pub wait: Option<String>,
    /// The request, over the case's.
    #[serde(default)]
    pub request: Request,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expect,
}

const fn once() -> NonZeroU32 {
    NonZeroU32::MIN
}

impl Suite {
    /// Reads a case file. `file` is its name in error messages.
    ///
    /// # Errors
    /// With line and column, for anything the format does not know.
    pub fn parse(text: &str, file: &str) -> Result<Self, CaseError> {
        read(text, file)
    }
}

impl Request {
    /// Reads one request, as `bartizan explain --request` takes it.
    ///
    /// # Errors
    /// With line and column, for anything the format does not know.
    pub fn parse(text: &str, file: &str) -> Result<Self, CaseError> {
        read(text, file)
    }
}

/// The JSON Schema of the format, as `test-harness/cases/case.schema.json` has it.
#[must_use]
pub fn schema() -> String {
    let schema = schemars::schema_for!(Suite);
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(text: &str, file: &str) -> Result<T, CaseError> {
    // `y` and `no` are words, as in YAML 1.2.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error
            .location()
            .map_or_else(|| file.to_owned(), |at| format!("{file}:{}:{}", at.line(), at.column()));
        let problem = error.without_snippet().to_string();
        let problem = problem.lines().next().unwrap_or_default();
        // The place says it already.
        let problem = problem.rsplit_once(" at line ").map_or(problem, |(before, _)| before);
        CaseError::new(place, problem)
    })
}

text_or_map::text_or_map!(BundleSource, InlineBundle, "a directory, or {text, files}", {
    text => |text| Ok(BundleSource::Directory(text)),
    map => |map| Ok(BundleSource::Inline(map)),
});

text_or_map::text_or_map!(FileText, JwksFile, "the text of a file, or {jwks: [..]}", {
    text => |text| Ok(FileText::Text(text)),
    map => |map| Ok(FileText::Jwks(map)),
});

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str =
        "bundle: x\ncases:\n  - name: a\n    request: {path: /a}\n    expect: route-unknown\n";

    #[test]
    fn a_small_suite_reads() {
        let suite = Suite::parse(SMALL, "s.cases.yaml").unwrap();
        assert_eq!(suite.bundle, BundleSource::Directory("x".into()));
        assert_eq!(suite.cases.len(), 1);
    }

    #[test]
    fn an_unknown_field_names_file_line_and_field() {
        for (from, to, line) in [
            ("bundle: x", "bundle: x\nbundel: y", 2),
            ("request: {path: /a}", "request: {pth: /a}", 4),
            ("request: {path: /a}", "request: {token: {algo: none}}", 4),
            ("request: {path: /a}", "request: {body: {jsn: 1}}", 4),
            ("expect: route-unknown", "expect: {sttus: 404}", 5),
            ("expect: route-unknown", "expect: {upstream: {pth: /}}", 5),
        ] {
            let error = Suite::parse(&SMALL.replace(from, to), "s.cases.yaml").unwrap_err();
            assert!(error.place.starts_with(&format!("s.cases.yaml:{line}:")), "{error}");
            assert!(error.problem.contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn a_step_that_sends_nothing_is_refused() {
        let text = SMALL.replace("expect: route-unknown", "steps: [{repeat: 0}]");
        let error = Suite::parse(&text, "s").unwrap_err();
        assert!(error.place.starts_with("s:5:"), "{error}");
        assert!(error.problem.contains("nonzero"), "{error}");
    }

    #[test]
    fn a_key_written_twice_is_refused() {
        let twice = SMALL.replace("bundle: x", "bundle: x\nbundle: y");
        assert!(Suite::parse(&twice, "s").is_err());
    }

    #[test]
    fn an_unknown_decision_is_refused() {
        let error = Suite::parse(&SMALL.replace("route-unknown", "root-unknown"), "s").unwrap_err();
        assert!(error.problem.contains("root-unknown"), "{error}");
    }
}
