//! Users with passwords.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TokenSource;
use crate::forms::Named;
use crate::text::{BundleFile, ClaimPath, HeaderName, Name, Scheme};

/// Users with passwords (RFC 7617), kept as bcrypt hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// A name for these users.
    pub name: Name,
    /// A file with the users: YAML if it ends in `.yaml` or `.yml`, else lines of `name:hash` as `htpasswd -B` writes them.
    pub users: BundleFile,
    /// What the challenge calls the place; browsers show it.
    #[serde(default = "realm")]
    pub realm: Name,
    /// How many passwords each worker of the proxy verifies per second; beyond it requests are answered with 503. Who was
    /// verified before is remembered and needs none. It is 2 if that fits into about half a second, else 1; more than fits
    /// is refused: 10 at a cost of 8, 2 at 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub checks_per_second: Option<u32>,
    /// Whether upstream still sees name and password.
    #[serde(default)]
    pub forward_credentials: bool,
    /// What upstream is told about the identity.
    #[serde(default)]
    pub forward: UserForward,
}

/// What upstream is told about a user with a password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserForward {
    /// Request headers, each with what it carries: `sub`, `roles` or `permissions`. What a client sends under these names
    /// is removed.
    pub headers: Named<HeaderName, ClaimPath>,
}

fn realm() -> Name {
    Name::known("api")
}

/// Where names and passwords are, and nowhere else: `authorization: Basic ...`.
#[must_use]
pub fn in_authorization() -> Vec<TokenSource> {
    vec![TokenSource::Header { header: HeaderName::known("authorization"), scheme: Some(Scheme::basic()) }]
}
