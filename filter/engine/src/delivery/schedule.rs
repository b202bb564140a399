//! When to ask again.

use super::failure::Kind;

/// After so many failures waits grow no more: 2^5 is over half an hour for an interval of a minute.
const MOST_DOUBLINGS: u32 = 5;

/// No wait grows beyond this, in milliseconds, unless the interval itself is longer.
const LONGEST: u64 = 300_000;

/// Where nothing was ever fetched, the first waits are short: requests may be refused until there is a bundle.
const EAGER: u64 = 1_000;

/// How a poll went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// How many polls in a row the server was in trouble, this one included.
    pub troubles: u32,
    /// Whether a poll was ever good.
    pub succeeded: bool,
}

/// Counts troubles in a row. Where no poll was ever good, whatever goes wrong counts: there the first waits are short.
#[must_use]
pub const fn troubles(before: u32, kind: Kind, succeeded: bool) -> u32 {
    if !succeeded || kind.is_trouble() { before.saturating_add(1) } else { 0 }
}

/// Milliseconds until the next poll: the interval, doubled with each trouble after the first, less up to a tenth, so that
/// proxies that were started together do not ask together.
#[must_use]
pub const fn wait(interval: u64, past: Past, dice: u64) -> u64 {
    let wait = if past.succeeded {
        let longest = if interval > LONGEST { interval } else { LONGEST };
        grown(interval, past.troubles, longest)
    } else if past.troubles == 0 || interval < EAGER {
        interval
    } else {
        grown(EAGER, past.troubles, interval)
    };
    wait.saturating_sub(dice % (wait / 10 + 1))
}

const fn grown(base: u64, troubles: u32, longest: u64) -> u64 {
    let doublings = troubles.saturating_sub(1);
    let doublings = if doublings > MOST_DOUBLINGS { MOST_DOUBLINGS } else { doublings };
    let grown = base.saturating_mul(1 << doublings);
    if grown > longest { longest } else { grown }
}

/// Whether it is time for what was planned `wait` milliseconds ahead. A time that is further ahead comes from a clock that
/// was wrong.
#[must_use]
pub const fn due(next: u64, now: u64, wait: u64) -> bool {
    now >= next || next.saturating_sub(now) > wait
}

/// The longest wait of an interval.
#[must_use]
pub const fn longest(interval: u64) -> u64 {
    grown(interval, u32::MAX, if interval > LONGEST { interval } else { LONGEST })
}

#[cfg(test)]
mod tests {
    use super::super::failure::Fault;
    use super::*;
    use crate::envelope;
    use proptest::prelude::*;

    fn waits(interval: u64, succeeded: bool) -> Vec<u64> {
        (0..8).map(|troubles| wait(interval, Past { troubles, succeeded }, 0)).collect()
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        assert_eq!(
            waits(30_000, true),
            [30_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000, 300_000]
        );
        assert_eq!(waits(500, true), [500, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000]);
        assert_eq!(waits(86_400_000, true), [86_400_000; 8], "never rarer than it is asked for");
        assert_eq!(waits(30_000, false), [30_000, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(waits(500, false), [500; 8]);
    }

    #[test]
    fn only_a_server_in_trouble_is_spared() {
        assert_eq!(troubles(3, Kind::Fault(Fault::Timeout), true), 4);
        assert_eq!(troubles(u32::MAX, Kind::Fault(Fault::Timeout), true), u32::MAX);
        assert_eq!(troubles(3, Kind::Fault(Fault::NotFound), true), 0);
        assert_eq!(troubles(3, Kind::Fault(Fault::NotFound), false), 4, "nothing was ever fetched");
        assert_eq!(troubles(3, Kind::Artifact(envelope::Kind::TooFewSignatures), true), 0);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_it_should_be_nor_much_shorter(
            interval in 500_u64..=86_400_000, troubles in any::<u32>(), succeeded: bool, dice: u64,
        ) {
            let past = Past { troubles, succeeded };
            let wait = wait(interval, past, dice);
            prop_assert!(wait <= interval.max(LONGEST));
            let least = if succeeded { interval / 10 * 9 } else { 450 };
            prop_assert!(wait >= least);
            if troubles <= 1 {
                prop_assert!(wait <= interval);
            }
            // What was planned is due when its time has come, and not before, wherever the clock stands.
            let now = dice >> 16;
            prop_assert!(wait <= longest(interval));
            prop_assert!(due(now, now, wait));
            prop_assert!(!due(now + wait, now, wait));
            prop_assert!(due(now + wait, now + wait, wait));
            prop_assert!(due(now + wait + 1, now, wait), "a clock was set back");
            prop_assert!(due(u64::MAX, now, longest(interval)));
        }
    }
}
