//! What servers answer that the filter asks by itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::JwkEntry;

/// The answers of the servers behind the clusters of a policy: by cluster, and by path with its query. Those of a path come one after
/// the other, and then the last one again and again.
pub type Remotes = BTreeMap<String, BTreeMap<String, Vec<RemoteAnswer>>>;

/// One answer.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoteAnswer {
    /// The status.
    #[serde(default = "ok")]
    pub status: u16,
    /// Headers, beside `content-type: application/json` where there is a body.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A key set of test keys, as the body.
    #[serde(default)]
    pub jwks: Option<Vec<JwkEntry>>,
    /// JSON, as the body.
    #[serde(default)]
    pub json: Option<Value>,
    /// Any text, as the body.
    #[serde(default)]
    pub text: Option<String>,
}

const fn ok() -> u16 {
    200
}
