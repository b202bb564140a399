//! What a limit is.

use serde::{Deserialize, Serialize};

/// A rate limit: one key, and one or more token buckets that must all have a token left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitPlan {
    /// The name in the policy: part of slot names and of `RateLimit` headers.
    pub id: String,
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
    /// Whose budget it is.
    pub key: LimitKey,
    /// The buckets, one to four.
    pub windows: Vec<WindowPlan>,
    /// How many keys are told apart at least; a power of two. See `limits/table.rs` for what happens beyond.
    pub slots: u32,
    /// Which response headers tell the client of it.
    pub headers: LimitHeaders,
}

/// Which families of response headers a limit is told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitHeaders {
    /// `RateLimit` and `RateLimit-Policy`.
    pub ratelimit: bool,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
    pub x_ratelimit: bool,
}

/// Whose budget a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKey {
    /// The client address (IPv6: its /64), charged before authentication.
    Address,
    /// The verified subject of the identity, charged after authentication. One issuer's subjects are
    /// another budget than another issuer's.
    Subject,
    /// One budget for everybody, charged last, so that a request which another limit or the want of a token
    /// refuses does not use it up.
    Everybody,
}

/// A token bucket: `count` tokens trickle in per `period_ms`, at most `burst` are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowPlan {
    /// Tokens per period, at least one.
    pub count: u32,
    /// Length of the period in milliseconds, at least one.
    pub period_ms: u64,
    /// Capacity of the bucket, at least one.
    pub burst: u32,
}
