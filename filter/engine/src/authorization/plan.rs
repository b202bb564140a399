//! Roles, and the permissions that routes require.

use serde::{Deserialize, Serialize};

/// Roles and requirements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationPlan {
    /// The roles, inheritance already resolved.
    pub roles: Vec<RolePlan>,
    /// The distinct permissions that routes require: `type:action` or `type:action:resource`, where the
    /// resource may have `{parameter}` of the route in it. Up to 65,536.
    pub requirements: Vec<String>,
}

/// A role with everything it grants, its parents' permissions included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolePlan {
    /// The role as it stands in tokens.
    pub name: String,
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
    /// Permissions granted: `*`, `type:*`, `type:action`, `type:action:resource`; `*` may stand for any
    /// whole segment. A grant without a resource covers every resource.
    pub permissions: Vec<String>,
}
