//! Host calls that fail on demand.
//!
//! Every function of the ABI answers with a [`Status`], and a module has to live with each of them. Here a call is made
//! to fail without doing anything: the nth call of a function, each call of it, or calls drawn by a seed. The same
//! seed over the same requests fails the same calls.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Status;
use crate::abi::FUNCTIONS;
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

/// A function that the ABI does not have, so that no call of it can ever fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFunction(String);

impl fmt::Display for UnknownFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the host has no function `{}`; write its name as in the ABI, such as `proxy_log`", self.0)
    }
}

impl std::error::Error for UnknownFunction {}

/// The names of all functions that a module can call, those of WASI without their module. Not every version of the ABI has
/// each.
#[must_use]
pub const fn functions() -> &'static [&'static str] {
    FUNCTIONS
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
    function: &'static str,
    nth: Option<u64>,
    status: Status,
    /// Whether it ever struck.
    struck: bool,
}

#[derive(Debug)]
struct Chance {
    random: Random,
    one_in: u64,
    status: Status,
}

impl Faults {
    /// Makes each call of a function fail from now on, but for those that [`Faults::fail_nth`] names.
    ///
    /// # Errors
    /// If there is no such function.
    pub fn fail(&self, function: &str, status: Status) -> Result<(), UnknownFunction> {
        self.add(function, None, status)
    }

    /// Makes the nth call of a function fail, counted from when faults were last cleared; the first call is 1.
    ///
    /// # Errors
    /// If there is no such function.
    pub fn fail_nth(&self, function: &str, nth: u64, status: Status) -> Result<(), UnknownFunction> {
        self.add(function, Some(nth), status)
    }

    fn add(&self, function: &str, nth: Option<u64>, status: Status) -> Result<(), UnknownFunction> {
        let known = FUNCTIONS.iter().find(|known| **known == function);
        let function = *known.ok_or_else(|| UnknownFunction(function.to_owned()))?;
        self.lock().rules.push(Rule { function, nth, status, struck: false });
        Ok(())
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

    /// The first fault that was asked for by name and never struck: its function, and which call it was to be, if not each.
    pub fn idle(&self) -> Option<(&'static str, Option<u64>)> {
        self.lock().rules.iter().find(|rule| !rule.struck).map(|rule| (rule.function, rule.nth))
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
        let named = rules.name(function, nth);
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

impl Rules {
    /// The status of the rule for this call. One that names the call goes before one for each.
    fn name(&mut self, function: &str, nth: u64) -> Option<Status> {
        [Some(nth), None].into_iter().find_map(|wanted| {
            let mut rules = self.rules.iter_mut();
            let rule = rules.find(|rule| rule.function == function && rule.nth == wanted)?;
            rule.struck = true;
            Some(rule.status)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_call_fails_and_its_neighbours_do_not() {
        let faults = Faults::default();
        faults.fail_nth("proxy_log", 2, Status::InternalFailure).unwrap();
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
        faults.fail("proxy_log", Status::NotFound).unwrap();
        assert_eq!(faults.strike("proxy_log"), Some(Status::NotFound));
        assert_eq!(faults.strike("proxy_log"), Some(Status::NotFound));
        faults.clear();
        assert_eq!(faults.strike("proxy_log"), None);
        assert!(faults.injected().is_empty());
    }

    #[test]
    fn a_function_that_there_is_not_cannot_fail() {
        let faults = Faults::default();
        let unknown = faults.fail("proxy_get_shared_date", Status::NotFound).unwrap_err();
        assert!(unknown.to_string().contains("`proxy_get_shared_date`"), "{unknown}");
        assert!(faults.fail_nth("env.proxy_log", 1, Status::NotFound).is_err());
        assert!(faults.fail("fd_write", Status::NotFound).is_ok());
    }

    #[test]
    fn a_fault_that_never_strikes_is_idle() {
        let faults = Faults::default();
        for nth in [1, 3] {
            faults.fail_nth("proxy_log", nth, Status::Empty).unwrap();
        }
        assert_eq!(faults.idle(), Some(("proxy_log", Some(1))));
        assert_eq!(faults.strike("proxy_log"), Some(Status::Empty));
        assert_eq!(faults.idle(), Some(("proxy_log", Some(3))));
        faults.strike("proxy_log");
        faults.strike("proxy_log");
        assert_eq!(faults.idle(), None);
    }

    #[test]
    fn a_fault_for_one_call_goes_before_one_for_each() {
        let faults = Faults::default();
        faults.fail("proxy_log", Status::NotFound).unwrap();
        faults.fail_nth("proxy_log", 2, Status::Empty).unwrap();
        let struck: Vec<_> = (0..3).map(|_| faults.strike("proxy_log")).collect();
        assert_eq!(struck, [Some(Status::NotFound), Some(Status::Empty), Some(Status::NotFound)]);
        assert_eq!(faults.idle(), None);
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
