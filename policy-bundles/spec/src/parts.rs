//! Parts of a bundle that other teams write: what the bundle says of each, and the whole of `part.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::authorization::Role;
use crate::bundle::ApiVersion;
use crate::forms::Named;
use crate::limits::Limit;
use crate::path::PathTemplate;
use crate::routes::Route;
use crate::text::{Host, LimitName, Name, PartDirectory, RoleName};
use crate::units::Size;

/// A part of a bundle: where it lies, what it may touch, and what it may do there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartOfBundle {
    /// Its name: the roles and limits of the part begin with it and a slash, and its permissions with it.
    pub name: Name,
    /// Its directory, by default `parts/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PartDirectory>,
    /// What belongs to it. Roots of two parts never overlap.
    pub root: Root,
    /// What its routes may do that they may not do otherwise.
    #[serde(default)]
    pub allow: Vec<Allowance>,
    /// Limits of the bundle that its routes may name anywhere. Those in the `defaults`, and those of a route of the bundle
    /// whose requests it takes, it may name in any case.
    #[serde(default)]
    pub limits: Vec<LimitName>,
    /// The largest body that its routes may accept.
    #[serde(default = "max_body")]
    pub max_body: Size,
}

/// The default of `max_body`.
#[must_use]
pub fn max_body() -> Size {
    Size::kib(64)
}

/// What belongs to a part: every path at or below one of these, on any of the hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Paths without parameters; `/shop` stands for itself and for everything below it.
    #[schemars(length(min = 1, max = 64))]
    pub paths: Vec<PathTemplate>,
    /// The hosts, if not all. Routes of the part that name no host get these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub hosts: Option<Vec<Host>>,
}

/// What routes of a part may do only if the bundle allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Allowance {
    /// `access: public`.
    Public,
    /// To inspect less than the defaults of the bundle.
    Uninspected,
    /// Bodies that are passed on unread.
    Opaque,
}

/// A part: what a team adds to a bundle, inside of its root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The version of the policy language.
    #[serde(rename = "apiVersion")]
    pub api_version: ApiVersion,
    /// The name under which the bundle lists this part.
    pub name: Name,
    /// What the part is for, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Roles, by the name that tokens carry: `NAME/role`.
    #[serde(default)]
    pub roles: Named<RoleName, Role>,
    /// Rate limits, by name: `NAME/limit`. They come on top of those in the `defaults` of the bundle.
    #[serde(default)]
    pub limits: Named<LimitName, Limit>,
    /// The routes.
    #[schemars(length(min = 1))]
    pub routes: Vec<Route>,
}
