//! Host calls that fail on demand.
//!
//! Every function of the ABI answers with a [`Status`], and a module has to live with each of them. Here a call is made
//! to fail without doing anything: the nth call of a function, each call of it, or calls drawn by a seed. The same
//! seed over the same requests fails the same calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Status;
use crate::random::Random;

/// A host call that was made to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    /// The function, with its name in the ABI.
    pub function: &'static str,
    /// Which call of this function it was, since faults were last cleared; the first is 1.
    pub nth: u64,
    /// What it answered.
    pub status: Status,
}

/// The faults of one proxy. Clones are handles on the same faults.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Rules>>);

#[derive(Debug, Default)]
struct Rules {
    rules: Vec<Rule>,
    chance: Option<Chance>,
    seen: Vec<(&'static str, u64)>,
    injected: Vec<Injected>,
}

#[derive(Debug)]
struct Rule {
    function: String,
    nth: Option<u64>,
    status: Status,
}

#[derive(Debug)]
struct Chance {
    random: Random,
    one_in: u64,
    status: Status,
}

impl Faults {
    /// Makes each call of a function fail from now on.
    pub fn fail(&self, function: &str, status: Status) {
        self.lock().rules.push(Rule { function: function.to_owned(), nth: None, status });
    }

    /// Makes the nth call of a function fail, counted from when faults were last cleared; the first call is 1.
    pub fn fail_nth(&self, function: &str, nth: u64, status: Status) {
        self.lock().rules.push(Rule { function: function.to_owned(), nth: Some(nth), status });
    }

    /// Makes one call in `one_in` fail, whichever function it is, drawn by a seed. Zero is taken as one.
    pub fn fail_by_seed(&self, seed: u64, one_in: u64, status: Status) {
        self.lock().chance = Some(Chance { random: Random::new(seed), one_in: one_in.max(1), status });
    }

    /// Lets every call succeed again, and counts from the beginning.
    pub fn clear(&self) {
        *self.lock() = Rules::default();
    }

    /// Which calls were made to fail since faults were last cleared.
    pub fn injected(&self) -> Vec<Injected> {
        self.lock().injected.clone()
    }

    /// Whether this call fails, and how.
    pub(crate) fn strike(&self, function: &'static str) -> Option<Status> {
        let mut rules = self.lock();
        if rules.rules.is_empty() && rules.chance.is_none() {
            return None;
        }
        let nth = match rules.seen.iter_mut().find(|(name, _)| *name == function) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                rules.seen.push((function, 1));
                1
            }
        };
        let named = rules
            .rules
            .iter()
            .find(|rule| rule.function == function && rule.nth.is_none_or(|wanted| wanted == nth))
            .map(|rule| rule.status);
        let drawn = rules.chance.as_mut().and_then(|chance| {
            let strikes = chance.random.below(chance.one_in) == 0;
            strikes.then_some(chance.status)
        });
        let status = named.or(drawn)?;
        rules.injected.push(Injected { function, nth, status });
        Some(status)
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_call_fails_and_its_neighbours_do_not() {
        let faults = Faults::default();
        faults.fail_nth("proxy_log", 2, Status::InternalFailure);
        assert_eq!(faults.strike("proxy_log"), None);
        assert_eq!(faults.strike("proxy_get_metric"), None);
        assert_eq!(faults.strike("proxy_log"), Some(Status::InternalFailure));
        assert_eq!(faults.strike("proxy_log"), None);
        let injected = Injected { function: "proxy_log", nth: 2, status: Status::InternalFailure };
        assert_eq!(faults.injected(), [injected]);
    }

    #[test]
    fn each_call_of_a_function_fails_until_faults_are_cleared() {
        let faults = Faults::default();
        faults.fail("proxy_log", Status::NotFound);
        assert_eq!(faults.strike("proxy_log"), Some(Status::NotFound));
        assert_eq!(faults.strike("proxy_log"), Some(Status::NotFound));
        faults.clear();
        assert_eq!(faults.strike("proxy_log"), None);
        assert!(faults.injected().is_empty());
    }

    #[test]
    fn a_seed_replays() {
        let run = |seed| {
            let faults = Faults::default();
            faults.fail_by_seed(seed, 3, Status::Empty);
            (0..60).map(|_| faults.strike("proxy_log").is_some()).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        assert!(run(7).contains(&true) && run(7).contains(&false));
    }
}
