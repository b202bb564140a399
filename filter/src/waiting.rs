//! Streams that wait for content of a feed: which they are, how many there may be, and when they are judged again.
//!
//! Envoy wakes nobody: a stream is judged again when the answer of a call of this worker has come, or at a tick that finds
//! that an attempt of another worker has ended. While somebody waits, ticks come more often. This is the one place that
//! decides how often they come.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use bartizan_engine::pipeline::{Haste, Wait};

use crate::fetching::Fetching;
use crate::host::{self, Level};
use crate::http::Stream;
use crate::metrics::Metrics;
use crate::root::Active;

/// How often each worker looks whether there is something new, in milliseconds.
const TICK: u32 = 500;

/// The same while a request waits, and for the first time.
const SOON: u32 = 20;

/// The most streams that are judged again in one callback, and how soon the next are, in milliseconds. Envoy acts on them when
/// the callback has returned; answering one calls the filter, and only when that has returned, inside of it, comes the next: each
/// lies on the stack above the one before.
const AT_ONCE: usize = 16;
const NEXT: u32 = 1;

/// The most streams of a root context that wait. Each holds what Envoy has buffered of its request.
const MOST: usize = 128;

/// The most of them that wait for one feed of a policy that has several: an issuer whose server is slow takes no places from the
/// others.
const MOST_OF_ONE: usize = MOST / 2;

struct Waiter {
    context: u32,
    stream: Weak<RefCell<Stream>>,
    active: Rc<Active>,
    wait: Wait,
    /// In milliseconds since 1970, and how far ahead that was.
    until: u64,
}

impl Waiter {
    /// Whether an attempt has ended since it began to wait, or it has waited long enough. Without a time nobody waits.
    fn is_over(&self, now: Option<u64>) -> bool {
        let late =
            now.is_none_or(|now| now >= self.until || self.until.saturating_sub(now) > self.wait.patience);
        late || self.active.engine.try_borrow().is_ok_and(|engine| {
            let feed = engine.feeds().get(self.wait.feed);
            feed.is_none_or(|feed| feed.state().attempts != self.wait.attempts)
        })
    }
}

/// What the streams of a root context and its ticks have in common.
pub(crate) struct Keeper {
    /// The root context.
    root: u32,
    pub(crate) fetching: Fetching,
    metrics: RefCell<Option<Rc<Metrics>>>,
    waiters: RefCell<Vec<Waiter>>,
    /// Whether there is something to look for at all.
    looks: Cell<bool>,
    /// Whether somebody could be judged again who was not yet.
    behind: Cell<bool>,
    period: Cell<u32>,
}

fn now() -> Option<u64> {
    host::now().ok().map(|nanoseconds| nanoseconds / 1_000_000)
}

impl Keeper {
    pub(crate) fn new(root: u32) -> Rc<Self> {
        Rc::new(Self {
            root,
            fetching: Fetching::default(),
            metrics: RefCell::default(),
            waiters: RefCell::default(),
            looks: Cell::default(),
            behind: Cell::default(),
            period: Cell::default(),
        })
    }

    pub(crate) fn use_metrics(&self, metrics: Rc<Metrics>) {
        if let Ok(mut mine) = self.metrics.try_borrow_mut() {
            *mine = Some(metrics);
        }
    }

    pub(crate) fn metrics(&self) -> Option<Rc<Metrics>> {
        self.metrics.try_borrow().ok()?.clone()
    }

    /// Begins or ends looking for news. What has never been fetched is asked for soon.
    pub(crate) fn look(&self, looks: bool, soon: bool) -> Result<(), host::Status> {
        let before = self.looks.replace(looks);
        if looks && soon && !before {
            host::set_tick_period(SOON)?;
            self.period.set(SOON);
            return Ok(());
        }
        self.pace()
    }

    /// Asks for ticks as often as they are needed.
    pub(crate) fn pace(&self) -> Result<(), host::Status> {
        let somebody = self.waiters.try_borrow().is_ok_and(|waiters| !waiters.is_empty());
        let period = match (somebody, self.looks.get()) {
            (true, _) if self.behind.get() => NEXT,
            (true, _) => SOON,
            (false, true) => TICK,
            (false, false) => 0,
        };
        if self.period.get() != period {
            host::set_tick_period(period)?;
            self.period.set(period);
        }
        Ok(())
    }

    /// Lets a stream wait. `Err` says why it cannot.
    pub(crate) fn admit(
        &self,
        stream: &Weak<RefCell<Stream>>,
        context: u32,
        active: &Rc<Active>,
        wait: Wait,
    ) -> Result<(), Haste> {
        let now = now().ok_or(Haste::Never)?;
        let mut waiters = self.waiters.try_borrow_mut().map_err(|_| Haste::Never)?;
        let feeds = active.engine.try_borrow().map_err(|_| Haste::Never)?.feeds().len();
        let alike =
            waiters.iter().filter(|other| other.wait.feed == wait.feed && Rc::ptr_eq(&other.active, active));
        if waiters.len() >= MOST || (feeds > 1 && alike.count() >= MOST_OF_ONE) {
            return Err(Haste::Full);
        }
        let until = now.saturating_add(wait.patience);
        waiters.push(Waiter { context, stream: stream.clone(), active: active.clone(), wait, until });
        drop(waiters);
        // Without ticks nobody would ever judge it again, if another worker asks.
        self.pace().map_err(|_| {
            self.forget(context);
            Haste::Never
        })
    }

    /// A stream has gone, or waits no longer.
    pub(crate) fn forget(&self, context: u32) {
        if let Ok(mut waiters) = self.waiters.try_borrow_mut() {
            waiters.retain(|waiter| waiter.context != context);
        }
    }

    /// The policies for which somebody waits.
    pub(crate) fn awaited(&self) -> Vec<Rc<Active>> {
        let mut all: Vec<Rc<Active>> = Vec::new();
        for waiter in self.waiters.try_borrow().iter().flat_map(|waiters| waiters.iter()) {
            if !all.iter().any(|other| Rc::ptr_eq(other, &waiter.active)) {
                all.push(waiter.active.clone());
            }
        }
        all
    }

    /// Judges again whoever has waited for what has happened by now.
    pub(crate) fn resume(&self) {
        let now = now();
        let ready: Vec<(u32, Weak<RefCell<Stream>>)> = {
            let Ok(waiters) = self.waiters.try_borrow() else { return };
            let mut ready = waiters.iter().filter(|waiter| waiter.is_over(now));
            let first = ready.by_ref().take(AT_ONCE);
            let first = first.map(|waiter| (waiter.context, waiter.stream.clone())).collect();
            self.behind.set(ready.next().is_some());
            first
        };
        for (context, stream) in &ready {
            self.forget(*context);
            let Some(held) = stream.upgrade() else { continue };
            let Ok(mut waiting) = held.try_borrow_mut() else { continue };
            match host::act_for(*context) {
                Ok(()) => waiting.resume(),
                Err(status) => {
                    let text =
                        format!("bartizan: the proxy does not know a waiting request (status {})", status.0);
                    host::log(Level::Error, &text);
                }
            }
        }
        if !ready.is_empty() {
            let _ = host::act_for(self.root);
        }
        if self.pace().is_err() {
            host::log(Level::Error, "bartizan: the proxy gives no ticks");
        }
    }
}
