//! Rate limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms::OneOrMany;
use crate::units::Rate;

/// The default number of slots.
pub const DEFAULT_SLOTS: u32 = 16_384;

/// A rate limit: one budget per key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Whose budget it is.
    pub key: LimitKey,
    /// How much: one rate, or several that must all have something left.
    pub rate: OneOrMany<Rate>,
    /// How many requests may come at once, for the shortest rate. By default as many as its count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub burst: Option<u32>,
    /// How many keys are told apart: a power of two from 256 to 1048576.
    #[serde(default = "default_slots")]
    #[schemars(range(min = 256, max = 1_048_576))]
    pub slots: u32,
    /// Which response headers tell the client what is left.
    #[serde(default)]
    pub headers: LimitHeaders,
}

/// The default number of slots.
#[must_use]
pub fn default_slots() -> u32 {
    DEFAULT_SLOTS
}

/// Which response headers tell a client of a limit. `Retry-After` is on every refusal, whatever is chosen here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LimitHeaders {
    /// `RateLimit` and `RateLimit-Policy` as the IETF drafts them, and `X-RateLimit-*` as most clients read today.
    #[default]
    #[serde(rename = "both")]
    Both,
    /// `RateLimit` and `RateLimit-Policy` alone.
    #[serde(rename = "ratelimit")]
    RateLimit,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` alone.
    #[serde(rename = "x-ratelimit")]
    XRateLimit,
    /// None: the limit is not spoken of.
    #[serde(rename = "none")]
    None,
}

/// Whose budget a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LimitKey {
    /// The client address (of IPv6 the /64), charged before authentication.
    #[serde(rename = "client.address")]
    ClientAddress,
    /// The verified subject of the token, charged after authentication.
    #[serde(rename = "identity.subject")]
    IdentitySubject,
    /// One budget for everybody together.
    #[serde(rename = "everybody")]
    Everybody,
}
