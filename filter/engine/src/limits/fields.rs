//! What a client is told of its budget.

use std::rc::Rc;

use super::bucket::{Bucket, Level};
use super::plan::LimitHeaders;
use crate::headers::Edit;

const SECOND: u64 = 1_000_000_000;

/// What of the response headers is the same in every response: laid out when the plan is loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    limit: Rc<str>,
    policy: Box<str>,
    count: Box<str>,
    headers: LimitHeaders,
}

impl Fixed {
    pub(super) fn new(limit: &Rc<str>, bucket: &Bucket, headers: LimitHeaders) -> Self {
        Self {
            limit: limit.clone(),
            policy: format!("\"{limit}\";q={};w={}", bucket.count, bucket.period_s).into(),
            count: bucket.count.to_string().into(),
            headers,
        }
    }
}

/// The state of one limit after a decision, for response headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
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

    /// Whether a client is told of this limit at all.
    pub(super) fn is_told(&self) -> bool {
        self.fixed.headers.ratelimit || self.fixed.headers.x_ratelimit
    }

    /// Whether this limit is told in a family of headers in which `other` is not.
    fn adds_to(&self, other: &Self) -> bool {
        let (mine, others) = (self.fixed.headers, other.fixed.headers);
        (mine.ratelimit && !others.ratelimit) || (mine.x_ratelimit && !others.x_ratelimit)
    }

    fn tell(&self, headers: LimitHeaders, make: &mut dyn FnMut(Edit<&str>)) {
        let Fixed { limit, policy, count, .. } = &*self.fixed;
        let (mut remaining, mut reset) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (remaining, reset) = (remaining.format(self.remaining), reset.format(self.reset_s));
        if headers.ratelimit {
            make(Edit::Set("ratelimit", &["\"", limit, "\";r=", remaining, ";t=", reset].concat()));
            make(Edit::Set("ratelimit-policy", policy));
        }
        if headers.x_ratelimit {
            make(Edit::Set("x-ratelimit-limit", count));
            make(Edit::Set("x-ratelimit-remaining", remaining));
            make(Edit::Set("x-ratelimit-reset", reset));
        }
    }

    /// Seconds after which a refused client may find a token (RFC 9110, section 10.2.3).
    pub(super) fn retry_after(&self) -> u64 {
        self.retry_s
    }
}

/// What the client is told of all limits that its request was charged to: in each family of headers, the tightest
/// limit that uses it. Clients read one family, and would take one that comes and goes for no limit at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The tightest of all.
    pub(super) first: Option<Report>,
    /// The tightest in the family that the first does not use.
    second: Option<Report>,
}

impl Told {
    /// Takes in a limit that let the request through.
    pub(super) fn add(&mut self, level: Report) {
        if !level.is_told() {
            return;
        }
        let Some(first) = &mut self.first else {
            self.first = Some(level);
            return;
        };
        let looser = if level.is_tighter_than(first) { std::mem::replace(first, level) } else { level };
        // Another limit may be the first now, and miss another family.
        let before = self.second.take().filter(|second| second.adds_to(first));
        let looser = Some(looser).filter(|looser| looser.adds_to(first));
        self.second = match (before, looser) {
            (Some(before), Some(looser)) if looser.is_tighter_than(&before) => Some(looser),
            (before, looser) => before.or(looser),
        };
    }

    /// Takes in the limit that refuses the request. What is left of others is no answer to `too many requests`; and
    /// of a limit that is not spoken of, the client learns when to come back and nothing else.
    pub(super) fn refuse(&mut self, level: Report) {
        *self = Self { first: level.is_told().then_some(level), second: None };
    }

    /// Makes the edits that tell the client: `RateLimit` and `RateLimit-Policy` of the IETF draft
    /// draft-ietf-httpapi-ratelimit-headers-10, and the `X-RateLimit-*` that most clients read today, as the
    /// policy chose. Times are in seconds from now.
    pub fn tell(&self, make: &mut dyn FnMut(Edit<&str>)) {
        let Some(first) = &self.first else { return };
        let told = first.fixed.headers;
        first.tell(told, make);
        if let Some(second) = &self.second {
            let LimitHeaders { ratelimit, x_ratelimit } = second.fixed.headers;
            let rest = LimitHeaders {
                ratelimit: ratelimit && !told.ratelimit,
                x_ratelimit: x_ratelimit && !told.x_ratelimit,
            };
            second.tell(rest, make);
        }
    }
}
