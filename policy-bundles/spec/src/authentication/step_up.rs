//! What routes ask of an identity beyond being known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms::OneOrMany;
use crate::text::{AuthenticationWord, Name};
use crate::units::Duration;

/// How strong and how fresh an authentication must be (RFC 9470). All that is written must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepUp {
    /// The token's `acr` is one of these.
    #[serde(skip_serializing_if = "none")]
    pub acr: OneOrMany<AuthenticationWord>,
    /// The token's `amr` has all of these (RFC 8176), such as `otp`, `hwk`, `mfa`.
    #[serde(skip_serializing_if = "none")]
    pub amr: OneOrMany<AuthenticationWord>,
    /// The token's `auth_time` is at most this long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// The second factor whose code is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totp: Option<Name>,
}

fn none(words: &OneOrMany<AuthenticationWord>) -> bool {
    words.0.is_empty()
}
