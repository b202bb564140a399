//! What routes ask of an identity beyond being known.

use serde::{Deserialize, Serialize};

/// How strong and how fresh an authentication must be. What is written must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepUpPlan {
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
    /// The authentication context is one of these (OpenID Connect Core, section 2, `acr`); empty asks nothing.
    pub acr: Vec<String>,
    /// The authentication used all of these methods (RFC 8176); empty asks nothing.
    pub amr: Vec<String>,
    /// The user authenticated at most so many seconds ago (`auth_time`).
    pub max_age_s: Option<u64>,
    /// The second factor: an index into [`super::super::plan::AuthenticationPlan::totp`].
    pub totp: Option<usize>,
}
