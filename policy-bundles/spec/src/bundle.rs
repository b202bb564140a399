//! The whole of `bundle.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::authentication::Authentication;
use crate::authorization::Role;
use crate::forms::Named;
use crate::headers::Headers;
use crate::intake::Intake;
use crate::limits::Limit;
use crate::network::Network;
use crate::parts::PartOfBundle;
use crate::routes::{Defaults, Route};
use crate::text::{BundleName, LabelText, LimitName, Name, RoleName};
use crate::time::Moment;

/// A policy bundle: everything Bartizan decides, in one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The version of the policy language.
    #[serde(rename = "apiVersion")]
    pub api_version: ApiVersion,
    /// The name of the bundle.
    pub name: BundleName,
    /// The revision of the bundle: a number that grows with every release.
    #[serde(default = "first_revision")]
    #[schemars(range(min = 1, max = MAX_REVISION))]
    pub revision: u64,
    /// Labels for whoever handles bundles, such as the team; they go into the artifact and decide nothing.
    #[serde(default)]
    #[schemars(extend("maxProperties" = MAX_LABELS))]
    pub labels: Named<Name, LabelText>,
    /// The moment before which filters refuse the artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Moment>,
    /// The moment from which filters refuse the artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
    /// What becomes of requests when the artifact in force expires.
    #[serde(default)]
    pub when_expired: WhenExpired,
    /// What the bundle is for, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What happens to a request that no route matches. It is refused, and this line only says so.
    #[serde(default)]
    pub default: Unmatched,
    /// Caps on the request line and headers.
    #[serde(default)]
    pub intake: Intake,
    /// Where requests may come from.
    #[serde(default)]
    pub network: Network,
    /// Who requests may come from.
    #[serde(default)]
    pub authentication: Authentication,
    /// Roles, by the name that tokens carry.
    #[serde(default)]
    pub roles: Named<RoleName, Role>,
    /// Rate limits, by name; routes say which apply to them.
    #[serde(default)]
    pub limits: Named<LimitName, Limit>,
    /// What holds for routes that do not say otherwise.
    #[serde(default)]
    pub defaults: Defaults,
    /// The routes. What no route matches is refused.
    #[schemars(length(min = 1))]
    pub routes: Vec<Route>,
    /// Header edits on requests and responses.
    #[serde(default)]
    pub headers: Headers,
    /// Parts that other teams write: routes inside of a root that this bundle gives them.
    #[serde(default)]
    #[schemars(extend("maxItems" = MAX_PARTS))]
    pub parts: Vec<PartOfBundle>,
}

/// The most labels of a bundle.
pub const MAX_LABELS: usize = 64;

/// The most parts of a bundle.
pub const MAX_PARTS: usize = 256;

/// The largest revision: a whole number that every reader of JSON reads alike.
pub const MAX_REVISION: u64 = (1 << 53) - 1;

/// The first revision of a bundle.
#[must_use]
pub fn first_revision() -> u64 {
    1
}

/// The version of the policy language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first version.
    #[serde(rename = "bartizan/v1")]
    V1,
}

/// What becomes of requests when the artifact in force expires, and nothing newer has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenExpired {
    /// It stays in force: an old policy is better than none.
    #[default]
    Keep,
    /// Every request is refused: a policy that nobody renewed is not trusted.
    Refuse,
}

/// What happens to a request that no route matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unmatched {
    /// It is refused with 404 and the reason `route-unknown`.
    #[default]
    Deny,
}
