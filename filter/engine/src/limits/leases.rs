//! Tokens that a worker took ahead, so that a busy key does not cross into shared data on every request.
//!
//! A worker that meets the same key again within a second takes two tokens at once, then four, up to
//! [`MOST`], all of them charged in the shared slot at that moment, and spends them without asking. It takes
//! no more than one in [`SHARE`] of what is left: a budget that runs low, or never had so many tokens, is
//! charged one by one.
//!
//! No key gets more than its budget by this. Think of the bucket in which tokens that are lent and not yet
//! spent count as not yet taken: it is full at `v - m * interval`, where `v` is the shared time and `m` what
//! all workers hold. As long as that is not in the past, spending a token is what taking one from that bucket
//! would be; once it were in the past, a lent token would be one above the burst. So a lease shrinks as its
//! bucket fills: a worker that wrote `v` holds at most `(v - now) / interval` tokens, and drops the rest. The
//! sum of two leases keeps to the same rule, for who came second wrote a `v` that is later by all it took.
//! What is dropped was charged, so mistakes cost a client tokens and never give any.
//!
//! The price: while one worker refuses, another may still hold tokens of the same key, at most one in
//! [`SHARE`] of what was left when it took them. They are spent as soon as that worker is asked, and lost when
//! it is not asked for [`LIFE`].

use super::bucket::Bucket;
use super::table::{MAX_WINDOWS, State};

/// The most tokens taken at once.
const MOST: u64 = 32;
/// At most one in so many of the tokens left is taken ahead.
const SHARE: u64 = 64;
/// A key that is charged again within this time is busy, in nanoseconds.
const BUSY: u64 = 1_000_000_000;
/// How long a lease lasts at most: a place is not blocked for ever, and a clock that is set back and forth finds
/// no old leases.
const LIFE: u64 = 10_000_000_000;
/// Keys that a worker keeps leases for; a power of two. A key whose place is taken is charged one by one.
const PLACES: usize = 256;

/// What a worker holds for one key of one limit.
#[derive(Debug, Clone, Copy, Default)]
struct Lease {
    limit: usize,
    hash: [u64; 2],
    /// The shared state as this worker wrote it.
    state: State,
    at: u64,
    /// How many tokens were taken then; zero for a place that was never used.
    taken: u64,
    left: u64,
}

/// The leases of one worker.
#[derive(Debug)]
pub(super) struct Leases(Box<[Lease]>);

impl Leases {
    /// Makes room for leases if any limit has budgets large enough.
    pub(super) fn new(mut buckets: impl Iterator<Item = u64>) -> Self {
        let places = if buckets.any(|burst| burst >= 2 * SHARE) { PLACES } else { 0 };
        Self(vec![Lease::default(); places].into())
    }

    fn of(&mut self, limit: usize, hash: [u64; 2]) -> Option<&mut Lease> {
        let mask = self.0.len().checked_sub(1)?;
        // The low bits of the first half choose the shared slot; the high ones are as good.
        let spread = usize::try_from(hash.first()? >> 48).unwrap_or(0);
        self.0.get_mut((spread ^ limit) & mask)
    }

    /// Spends a token that was taken ahead. The state is the one in which only spent tokens are taken.
    pub(super) fn spend(
        &mut self,
        limit: usize,
        hash: [u64; 2],
        buckets: &[Bucket],
        now: u64,
    ) -> Option<State> {
        let lease = self.of(limit, hash).filter(|lease| lease.is(limit, hash))?;
        if !lease.lasts(now) {
            lease.left = 0;
            return None;
        }
        for (bucket, full_at) in buckets.iter().zip(lease.state) {
            lease.left = lease.left.min(bucket.tokens_until(full_at, now));
        }
        lease.left = lease.left.checked_sub(1)?;
        Some(without(buckets, lease.state, lease.left))
    }

    /// How many tokens to take now.
    pub(super) fn wanted(
        &mut self,
        limit: usize,
        hash: [u64; 2],
        buckets: &[Bucket],
        state: State,
        now: u64,
    ) -> u64 {
        let busy = self.of(limit, hash).filter(|lease| {
            lease.is(limit, hash) && lease.taken > 0 && now >= lease.at && now - lease.at <= BUSY
        });
        let Some(lease) = busy else { return 1 };
        let levels = buckets.iter().zip(state).map(|(bucket, full_at)| bucket.level(full_at, now).remaining);
        let spare = levels.min().unwrap_or(0) / SHARE;
        lease.taken.saturating_mul(2).min(MOST).min(spare).max(1)
    }

    /// Keeps what was taken beyond the first token, and returns the state in which only that one is taken.
    pub(super) fn keep(
        &mut self,
        limit: usize,
        hash: [u64; 2],
        buckets: &[Bucket],
        state: State,
        taken: u64,
        now: u64,
    ) -> State {
        let left = taken.saturating_sub(1);
        // Somebody else's tokens are not thrown away: two keys in one place would cost each other their budgets.
        // Who has a place of its own took more than one token only because of it.
        if let Some(lease) = self.of(limit, hash).filter(|lease| lease.is(limit, hash) || !lease.lasts(now)) {
            *lease = Lease { limit, hash, state, at: now, taken, left };
        }
        without(buckets, state, left)
    }
}

impl Lease {
    fn is(&self, limit: usize, hash: [u64; 2]) -> bool {
        self.limit == limit && self.hash == hash
    }

    /// Whether there is something left that may still be spent.
    fn lasts(&self, now: u64) -> bool {
        self.left > 0 && now >= self.at && now - self.at <= LIFE
    }
}

/// A state before so many of its tokens were taken.
fn without(buckets: &[Bucket], state: State, tokens: u64) -> State {
    let mut before: State = [0; MAX_WINDOWS];
    for ((bucket, full_at), before) in buckets.iter().zip(state).zip(&mut before) {
        *before = bucket.untaken(full_at, tokens);
    }
    before
}

#[cfg(test)]
#[path = "leases_tests.rs"]
mod tests;
