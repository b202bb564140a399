//! What a client is told of its budget.

use std::fmt::Write as _;
use std::rc::Rc;

use super::bucket::{Bucket, Level};
use crate::headers::Edit;

const SECOND: u64 = 1_000_000_000;

/// The response headers, in the order they are set: `RateLimit` and `RateLimit-Policy` of the IETF draft
/// draft-ietf-httpapi-ratelimit-headers-10, and the `X-RateLimit-*` that most clients read today. Times are in
/// seconds from now.
const NAMES: [&str; 5] =
    ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];

/// What of these headers is the same in every response: laid out when the plan is loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    names: [Rc<str>; NAMES.len()],
    limit: Rc<str>,
    policy: Rc<str>,
    count: Rc<str>,
}

impl Fixed {
    pub(super) fn new(limit: &Rc<str>, bucket: &Bucket) -> Self {
        Self {
            names: NAMES.map(Rc::from),
            limit: limit.clone(),
            policy: format!("\"{limit}\";q={};w={}", bucket.count, bucket.period_s).into(),
            count: bucket.count.to_string().into(),
        }
    }
}

/// The state of one limit after a decision, for response headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    fixed: Rc<Fixed>,
    pub(super) remaining: u64,
    reset_s: u64,
    retry_s: u64,
}

impl Report {
    pub(super) fn new(fixed: &Rc<Fixed>, level: Level) -> Self {
        Self {
            fixed: fixed.clone(),
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

    /// The edits that tell the client.
    pub fn edits(&self) -> impl Iterator<Item = Edit> {
        let Fixed { names, limit, policy, count } = &*self.fixed;
        let mut line = String::with_capacity(96);
        let _ = write!(line, "\"{limit}\";r={};t={}", self.remaining, self.reset_s);
        let [ratelimit, ratelimit_policy, x_limit, x_remaining, x_reset] = names.clone();
        [
            Edit::Set(ratelimit, line.as_str().into()),
            Edit::Set(ratelimit_policy, policy.clone()),
            Edit::Set(x_limit, count.clone()),
            Edit::Set(x_remaining, number(&mut line, self.remaining)),
            Edit::Set(x_reset, number(&mut line, self.reset_s)),
        ]
        .into_iter()
    }

    /// Seconds after which a refused client may find a token (RFC 9110, section 10.2.3).
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        self.retry_s
    }
}

fn number(line: &mut String, number: u64) -> Rc<str> {
    line.clear();
    let _ = write!(line, "{number}");
    line.as_str().into()
}
