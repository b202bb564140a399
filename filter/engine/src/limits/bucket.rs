//! One token bucket, as the generic cell rate algorithm: its whole state is the time at which it is full.
//!
//! A bucket holds `burst` tokens and gains one every `interval`. Instead of a token count and a time of
//! last use, which two workers could only update together, it keeps one number: when it will be full
//! again. Taking a token moves that time one interval on.

use super::plan::WindowPlan;

/// A token bucket's parameters, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Time for one token. Rounded up, so that no more than `count` tokens come in a period.
    interval: u64,
    /// How many tokens fit.
    burst: u64,
    /// Tokens per period and length of the period, as they were written.
    pub(super) count: u32,
    pub(super) period_s: u64,
}

/// What is left in a bucket after a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    /// Whole tokens left.
    pub(super) remaining: u64,
    /// Nanoseconds until the bucket is full.
    pub(super) full_in: u64,
    /// Nanoseconds until there is a token; zero if there is one.
    pub(super) next_in: u64,
}

impl Bucket {
    /// The bucket of a window; `None` if a number is zero or the bucket would take longer than a
    /// century to fill.
    pub(super) fn new(window: &WindowPlan) -> Option<Self> {
        const CENTURY: u64 = 100 * 366 * 86_400 * 1_000_000_000;
        if window.count == 0 || window.period_ms == 0 || window.burst == 0 {
            return None;
        }
        let period = window.period_ms.checked_mul(1_000_000)?;
        let interval = period.div_ceil(u64::from(window.count));
        let burst = u64::from(window.burst);
        let fill = interval.checked_mul(burst)?;
        (fill <= CENTURY).then_some(Self {
            interval,
            burst,
            count: window.count,
            period_s: window.period_ms.div_ceil(1000),
        })
    }

    fn fill(&self) -> u64 {
        self.interval.saturating_mul(self.burst)
    }

    /// The state as it counts at `now`. A bucket cannot lack more than all its tokens: a time further off
    /// comes from a clock that was set back or from a limit that was larger, and would lock the client out
    /// until that time.
    fn clamp(&self, full_at: u64, now: u64) -> u64 {
        full_at.clamp(now, now.saturating_add(self.fill()))
    }

    /// The latest time that a state written by an honest clock can have at `now`. What is later has to be
    /// brought down to `now + fill` and stored: clamped only when read, it would move on with the clock and
    /// the bucket would never fill. The second of slack keeps workers, who read the clock a moment apart,
    /// from shaving that moment off each other's states.
    pub(super) fn latest(&self, now: u64) -> (u64, u64) {
        const SLACK: u64 = 1_000_000_000;
        let empty = now.saturating_add(self.fill());
        (empty.saturating_add(SLACK), empty)
    }

    /// Takes one token: the new state, or `None` if there is none.
    pub(super) fn take(&self, full_at: u64, now: u64) -> Option<u64> {
        let after = self.clamp(full_at, now).saturating_add(self.interval);
        (after.saturating_sub(now) <= self.fill()).then_some(after)
    }

    /// What is left at `now`.
    pub(super) fn level(&self, full_at: u64, now: u64) -> Level {
        let full_in = self.clamp(full_at, now).saturating_sub(now);
        let free = self.fill().saturating_sub(full_in);
        let remaining = free.checked_div(self.interval).unwrap_or(0);
        let next_in = if remaining > 0 { 0 } else { self.interval.saturating_sub(free) };
        Level { remaining, full_in, next_in }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn bucket(count: u32, period_ms: u64, burst: u32) -> Bucket {
        Bucket::new(&WindowPlan { count, period_ms, burst }).unwrap()
    }

    #[test]
    fn the_burst_goes_through_and_one_more_does_not() {
        let bucket = bucket(60, 60_000, 3);
        let mut state = 0;
        for left in [2, 1, 0] {
            state = bucket.take(state, 1000 * S).unwrap();
            assert_eq!(bucket.level(state, 1000 * S).remaining, left);
        }
        assert_eq!(bucket.take(state, 1000 * S), None);
        assert_eq!(bucket.level(state, 1000 * S).next_in, S);
        assert_eq!(bucket.take(state, 1001 * S - 1), None);
        assert!(bucket.take(state, 1001 * S).is_some());
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_lock_anybody_out() {
        let bucket = bucket(60, 60_000, 3);
        let state = bucket.take(0, 5000 * S).unwrap();
        assert_eq!(bucket.take(state, 1000 * S), None, "and gives nothing away either");
        assert_eq!(bucket.level(state, 1000 * S).next_in, S);
    }

    #[test]
    fn nonsense_is_no_bucket() {
        for (count, period_ms, burst) in
            [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, u64::MAX, 1), (1, 86_400_000, u32::MAX)]
        {
            assert_eq!(Bucket::new(&WindowPlan { count, period_ms, burst }), None);
        }
    }

    proptest! {
        /// In no span of time does a bucket give out more than its burst and what trickled in.
        #[test]
        fn never_over_budget(
            count in 1u32..200, period_ms in 1u64..100_000, burst in 1u32..50,
            steps in proptest::collection::vec(0u64..20_000_000_000, 1..200),
        ) {
            let bucket = bucket(count, period_ms, burst);
            let (mut now, mut state) = (1_700_000_000 * S, 0);
            let mut admitted: Vec<u64> = Vec::new();
            for step in steps {
                now += step;
                if let Some(next) = bucket.take(state, now) {
                    state = next;
                    admitted.push(now);
                }
            }
            for (i, start) in admitted.iter().enumerate() {
                for (j, end) in admitted.iter().enumerate().skip(i) {
                    let span = u128::from(end - start);
                    let trickled = span * u128::from(count) / (u128::from(period_ms) * 1_000_000);
                    prop_assert!((j - i + 1) as u128 <= u128::from(burst) + trickled + 1);
                }
            }
        }
    }
}
