//! One line on a terminal that says how far it is. Elsewhere nothing is written.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the line is written anew, and how long a run may take without one.
const BETWEEN: Duration = Duration::from_millis(150);

#[derive(Debug)]
pub(super) struct Progress {
    shown: bool,
    all: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    done: usize,
    failed: usize,
    last: Instant,
}

impl Progress {
    pub(super) fn new(all: usize) -> Self {
        let state = State { done: 0, failed: 0, last: Instant::now() };
        Self { shown: std::io::stderr().is_terminal(), all, state: Mutex::new(state) }
    }

    /// Says what takes a while before the first case.
    pub(super) fn say(&self, what: &str) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K{what} ...");
        }
    }

    /// Counts a case.
    pub(super) fn step(&self, failed: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += 1;
        state.failed += usize::from(failed);
        if self.shown && state.last.elapsed() > BETWEEN {
            state.last = Instant::now();
            let State { done, failed, .. } = *state;
            let _ = write!(std::io::stderr(), "\r\x1b[K{done} of {} cases, {failed} not passed", self.all);
        }
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
