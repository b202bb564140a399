//! API keys as plans have them.
//!
//! A table of keys may have 100,000 of them, so it is written by columns: one text, one list for each thing that
//! is known of a key, in the order of the digests.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::authentication::plan::TokenSource;

/// One table of API keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeysPlan {
    /// The name in the policy.
    pub name: String,
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
    /// Where keys are looked for. More than one key in a request is refused.
    pub from: Vec<TokenSource>,
    /// Whether upstream still gets to see the key.
    pub forward_key: bool,
    /// The environment variable of the VM that holds the pepper, at least 32 bytes. Digests are then HMAC-SHA-256 with it,
    /// otherwise SHA-256.
    pub pepper: Option<String>,
    /// The keys.
    pub keys: KeyTablePlan,
    /// Headers for upstream: lower-case name, path of an attribute (`client`, `kind`, or one of the profile's claims).
    pub forward: Vec<(String, String)>,
}

/// Keys by columns. `clients`, `profile` and `period` have an entry for each digest, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyTablePlan {
    /// The digests, 32 bytes each, ascending and each once, as one base64 text (RFC 4648, section 4, with padding).
    pub digests: String,
    /// Whose key it is, with a line break between two: 1 to 256 bytes without control characters.
    pub clients: String,
    /// What the bearer of a key may do: indices into `profiles`.
    pub profile: Vec<u32>,
    /// When a key is good: indices into `periods`.
    pub period: Vec<u32>,
    /// The distinct profiles.
    pub profiles: Vec<ProfilePlan>,
    /// The distinct periods.
    pub periods: Vec<PeriodPlan>,
}

/// What the bearer of a key is and may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfilePlan {
    /// What kind of principal it is: `device`.
    pub kind: Option<String>,
    /// Its roles.
    pub roles: Vec<String>,
    /// The permissions it has beside those of its roles.
    pub permissions: Vec<String>,
    /// Further attributes. `client` and `kind` are not among them.
    pub claims: Map<String, Value>,
}

/// When a key is good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeriodPlan {
    /// From this second since 1970 on.
    pub not_before: Option<u64>,
    /// Before this second since 1970.
    pub expires: Option<u64>,
    /// Never again.
    pub revoked: bool,
}
