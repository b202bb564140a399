//! Roles, and who may use a route.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{Grant, Requirement, RoleName};

/// A role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Role {
    /// Roles whose permissions this one has too.
    pub inherits: Vec<RoleName>,
    /// Permissions this role grants.
    pub permissions: Vec<Grant>,
}

/// Who may use a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Access {
    /// Everybody. A token is neither needed nor checked.
    Public,
    /// Everybody with a valid token.
    Authenticated,
    /// Whoever holds this permission.
    Permission(Requirement),
    /// Whoever holds all of these permissions.
    All(#[schemars(length(min = 1))] Vec<Requirement>),
    /// Whoever holds at least one of these permissions.
    Any(#[schemars(length(min = 1))] Vec<Requirement>),
}
