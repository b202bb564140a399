//! Header edits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms::Named;
use crate::text::{HeaderName, HeaderValue};

/// Header edits on requests and responses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Headers {
    /// A ready-made set of response headers. `response` comes on top of it and wins.
    pub profile: HeaderProfile,
    /// Edits on requests, as upstream gets them.
    pub request: HeaderEdits,
    /// Edits on responses, refusals included.
    pub response: HeaderEdits,
}

/// A ready-made set of response headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeaderProfile {
    /// Everything a browser can be told to lock, and `server` and `x-powered-by` removed.
    Strict,
    /// What matters for an API that no browser renders, and `server` and `x-powered-by` removed.
    Api,
    /// Nothing.
    #[default]
    None,
}

/// Edits, made in this order: remove, set, add.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderEdits {
    /// Headers that are taken away.
    pub remove: Vec<HeaderName>,
    /// Headers and the one value they shall have.
    pub set: Named<HeaderName, HeaderValue>,
    /// Headers and a value that is added to whatever is there.
    pub add: Named<HeaderName, HeaderValue>,
}
