//! API keys: a method, and the file that it takes its keys from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TokenSource;
use crate::forms::Named;
use crate::text::{BundleFile, ClaimPath, EnvName, Grant, HeaderName, KeyHash, Name, RoleName, Subject};
use crate::time::Moment;

/// A table of API keys. The bundle has digests of them and never the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeys {
    /// A name for this table.
    pub name: Name,
    /// Where keys are looked for. A request with more than one key is refused.
    #[serde(default = "in_x_api_key")]
    #[schemars(length(min = 1, max = 8))]
    pub from: Vec<TokenSource>,
    /// The file with the digests: `keys:` and a list of entries, as `bartizan api-key new` prints them.
    pub keys: BundleFile,
    /// A secret that digests are made with, so that whoever gets hold of the bundle cannot even try out keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pepper: Option<Pepper>,
    /// Whether upstream still sees the key.
    #[serde(default)]
    pub forward_key: bool,
    /// What upstream is told about the client: `client`, `kind`, or an attribute of the entry.
    #[serde(default)]
    pub forward: ForwardAttributes,
}

/// What upstream is told about a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardAttributes {
    /// Request headers, each with the attribute it carries. What a client sends under these names is removed.
    pub headers: Named<HeaderName, ClaimPath>,
}

/// Where keys are looked for if a bundle does not say: the whole value of `x-api-key`.
#[must_use]
pub fn in_x_api_key() -> Vec<TokenSource> {
    vec![TokenSource::Header { header: HeaderName::known("x-api-key"), scheme: None }]
}

/// Where the pepper is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pepper {
    /// The environment variable of the proxy's VM that holds it: at least 32 bytes.
    pub env: EnvName,
}

/// The whole of a file with API keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// The keys. A client may have several, so that a new one is known before the old one is gone.
    #[schemars(length(min = 1))]
    pub keys: Vec<ApiKey>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// The digest of the key: what `bartizan api-key new` or `bartizan hash-key` printed.
    pub hash: KeyHash,
    /// Whose key it is: the subject of whoever sends it.
    pub client: Subject,
    /// What kind of principal it is, such as `device`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Name>,
    /// Its roles.
    #[serde(default)]
    pub roles: Vec<RoleName>,
    /// The permissions that it has beside those of its roles.
    #[serde(default)]
    pub permissions: Vec<Grant>,
    /// Further attributes, for `forward`.
    #[serde(default)]
    pub claims: Named<ClaimPath, Value>,
    /// The moment before which the key is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Moment>,
    /// The moment from which the key is not good any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
    /// Whether the key is not good at all any more. Removing the entry does the same, but operators are then told less.
    #[serde(default)]
    pub revoked: bool,
}
