//! When to ask again.

/// The longest that is waited for anything, in milliseconds: a day.
pub const LONGEST: u64 = 86_400_000;

/// Where nothing was ever fetched, the first waits are short: requests are refused until there is something.
const EAGER: u64 = 1_000;

/// After so many failures waits grow no more.
const MOST_DOUBLINGS: u32 = 10;

/// How often to ask, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The longest time between two good answers.
    pub refresh: u64,
    /// The shortest time between two attempts.
    pub min_refresh: u64,
}

impl Pace {
    /// Milliseconds until the next attempt after a good one. `max_age` is what the server says in seconds: it can shorten the
    /// time and not lengthen it, for the operator has said how long a key that was taken away may still be believed.
    #[must_use]
    pub fn after_success(self, max_age: Option<u64>, dice: u64) -> u64 {
        let said = max_age.map_or(self.refresh, |seconds| seconds.saturating_mul(1_000));
        early(said.min(self.refresh).max(self.min_refresh), self.min_refresh, dice)
    }

    /// Milliseconds until the next attempt after `troubles` bad ones in a row. `succeeded` says whether there is content.
    #[must_use]
    pub fn after_failure(self, troubles: u32, succeeded: bool, dice: u64) -> u64 {
        let (base, longest, least) = if succeeded {
            (self.min_refresh, self.refresh, self.min_refresh)
        } else {
            (EAGER, self.min_refresh.max(EAGER), 0)
        };
        let doublings = troubles.saturating_sub(1).min(MOST_DOUBLINGS);
        early(base.saturating_mul(1 << doublings).min(longest), least, dice)
    }
}

/// Up to a tenth earlier, so that proxies that were started together do not ask together; but not below the least.
fn early(wait: u64, least: u64, dice: u64) -> u64 {
    wait.saturating_sub(dice % (wait / 10).saturating_add(1)).max(least)
}

/// Whether it is time for what was planned `wait` milliseconds ahead. A time that is further ahead comes from a clock that
/// was wrong.
#[must_use]
pub const fn due(next: u64, now: u64, wait: u64) -> bool {
    now >= next || next.saturating_sub(now) > wait
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACE: Pace = Pace { refresh: 600_000, min_refresh: 30_000 };

    #[test]
    fn a_server_may_ask_to_be_asked_sooner_and_no_later() {
        for (max_age, wait) in [
            (None, 600_000),
            (Some(3_600), 600_000),
            (Some(300), 300_000),
            (Some(10), 30_000),
            (Some(0), 30_000),
            (Some(u64::MAX), 600_000),
        ] {
            assert_eq!(PACE.after_success(max_age, 0), wait, "{max_age:?}");
        }
    }

    #[test]
    fn a_server_in_trouble_is_asked_more_rarely() {
        let waits = |succeeded| (1..8).map(|n| PACE.after_failure(n, succeeded, 0)).collect::<Vec<_>>();
        assert_eq!(waits(true), [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
        assert_eq!(waits(false), [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    }

    proptest! {
        #[test]
        fn no_wait_is_out_of_bounds(
            refresh in 1_000_u64..=LONGEST, min in 1_000_u64..=LONGEST, troubles: u32, age: Option<u64>, dice: u64,
        ) {
            let pace = Pace { refresh, min_refresh: min.min(refresh) };
            let good = pace.after_success(age, dice);
            prop_assert!(good >= pace.min_refresh && good <= refresh);
            let bad = pace.after_failure(troubles, true, dice);
            prop_assert!(bad >= pace.min_refresh && bad <= refresh);
            let first = pace.after_failure(troubles, false, dice);
            prop_assert!((900..=pace.min_refresh.max(1_000)).contains(&first));
            let now = dice >> 16;
            prop_assert!(due(now, now, good) && !due(now + good, now, good) && due(now + good + 1, now, good));
        }
    }
}
