//! What a client is told of its budget.

use super::bucket::{Bucket, Level};

const SECOND: u64 = 1_000_000_000;

/// The state of one limit after a decision, for response headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub(super) limit: std::rc::Rc<str>,
    pub(super) count: u32,
    pub(super) period_s: u64,
    pub(super) remaining: u64,
    pub(super) reset_s: u64,
    pub(super) retry_s: u64,
}

impl Report {
    pub(super) fn new(limit: &std::rc::Rc<str>, bucket: &Bucket, level: Level) -> Self {
        Self {
            limit: limit.clone(),
            count: bucket.count,
            period_s: bucket.period_s,
            remaining: level.remaining,
            reset_s: level.full_in.div_ceil(SECOND),
            retry_s: level.next_in.div_ceil(SECOND).max(1),
        }
    }

    /// Whether this report is the one a client should know of, rather than `other`.
    pub(super) fn is_tighter_than(&self, other: &Self) -> bool {
        (self.remaining, std::cmp::Reverse(self.reset_s))
            < (other.remaining, std::cmp::Reverse(other.reset_s))
    }

    /// The response headers: `RateLimit` and `RateLimit-Policy` of the IETF draft
    /// draft-ietf-httpapi-ratelimit-headers-10, and the `X-RateLimit-*` that most clients read today. Times
    /// are in seconds from now.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let Self { limit, count, period_s, remaining, reset_s, .. } = self;
        [
            ("ratelimit", format!("\"{limit}\";r={remaining};t={reset_s}")),
            ("ratelimit-policy", format!("\"{limit}\";q={count};w={period_s}")),
            ("x-ratelimit-limit", count.to_string()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-reset", reset_s.to_string()),
        ]
        .into_iter()
    }

    /// Seconds after which a refused client may find a token (RFC 9110, section 10.2.3).
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        self.retry_s
    }
}
