//! A client certificate as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::placeholder::or_placeholder;

/// The certificate that the client presents when it connects. What is not said makes one that an authority of the test
/// signed, and that is in force until 2049.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Certificate {
    /// The subject in the form of RFC 2253, of `CN`, `C`, `O` and `OU`; `CN=client` by default.
    pub subject: Option<String>,
    /// URIs among its names.
    #[serde(deserialize_with = "or_placeholder")]
    pub uris: Vec<String>,
    /// DNS names among its names.
    #[serde(deserialize_with = "or_placeholder")]
    pub dns: Vec<String>,
    /// When it begins: `now`, `-1h`.
    pub from: Option<String>,
    /// When it ends: `+1h`, `-1s`.
    pub until: Option<String>,
    /// Whether it may issue others.
    pub authority: bool,
    /// Whether nobody trusts whoever issued it.
    pub untrusted: bool,
}
