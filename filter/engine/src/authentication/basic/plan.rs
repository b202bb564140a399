//! Users with passwords.

use serde::{Deserialize, Serialize};

/// One list of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicPlan {
    /// The name in the policy.
    pub name: String,
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
    /// What the challenge calls the place: visible ASCII without `"` and `\`.
    pub realm: String,
    /// The users' names, each once, without colons and control characters.
    pub users: Vec<String>,
    /// The bcrypt hash of each user's password: `$2a$`, `$2b$` or `$2y$`, at a cost of 4 to 12.
    pub hashes: Vec<String>,
    /// The roles of each user.
    pub roles: Vec<Vec<String>>,
    /// The permissions of each user.
    pub permissions: Vec<Vec<String>>,
    /// How many passwords a worker verifies per second, 1 to 100, and no more than [`super::most_per_second`] of the highest
    /// cost.
    pub checks_per_second: u32,
    /// Whether upstream still sees the credentials.
    pub forward_credentials: bool,
    /// What upstream is told: lower-case header name, and `sub`, `roles` or `permissions`.
    pub forward_claims: Vec<(String, String)>,
}
