//! What the VMs of one proxy have in common: clock, log, shared data, statistics, faults and settings.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::clusters::Clusters;
use crate::faults::Faults;
use crate::metrics::Stats;
use crate::properties::{Attributes, Plugin};
use crate::random::Random;
use crate::schedule::{self, Race};
use crate::shared::{Listener, SharedData, SharedQueues};
use crate::vm::Vm;

/// How many log lines are kept: the oldest are forgotten, so that long runs need no more memory.
const REMEMBERED_LINES: usize = 65_536;

/// How many bytes the messages of the lines may have together.
const REMEMBERED_BYTES: usize = 64 * 1024 * 1024;

/// The levels of log lines, with the numbers of the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogLevel {
    /// 0
    Trace,
    /// 1
    Debug,
    /// 2
    Info,
    /// 3
    Warn,
    /// 4
    Error,
    /// 5
    Critical,
}

impl LogLevel {
    /// The level of a number, if it is one.
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            4 => Self::Error,
            5 => Self::Critical,
            _ => return None,
        })
    }

    pub(crate) const fn number(self) -> u32 {
        self as u32
    }
}

/// Where a VM runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Thread {
    /// The main thread, whose VM sees no requests.
    Main,
    /// The throwaway VM that tries a new configuration.
    Canary,
    /// A worker, counted from zero.
    Worker(usize),
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("main"),
            Self::Canary => f.write_str("canary"),
            Self::Worker(number) => write!(f, "worker {number}"),
        }
    }
}

/// A line that the module logged, or the host about the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When, by the proxy's clock, since 1970.
    pub at: Duration,
    /// Where.
    pub thread: Thread,
    /// How urgent.
    pub level: LogLevel,
    /// The text; bytes that are no UTF-8 are replaced.
    pub message: String,
}

/// What the host does when the VM has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailurePolicy {
    /// Every request is answered with 503 (`FAIL_CLOSED`, Envoy's default).
    Closed,
    /// Every request that comes later goes through without the filter (`FAIL_OPEN`). Those that the VM had when it failed
    /// are answered with 503 all the same: so it is in Envoy 1.40.0, unless the older `fail_open: true` is used instead.
    Open,
    /// As closed, but a request that comes at least a second after the VM was loaded last makes a new one
    /// (`FAIL_RELOAD`).
    Reload,
}

/// What a proxy is told when it is made.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) vm_id: Vec<u8>,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) plugin: Plugin,
    /// What surrounds a stream that says nothing else.
    pub(crate) attributes: Attributes,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) failure_policy: FailurePolicy,
    pub(crate) reload_backoff: Duration,
    pub(crate) drain_time: Duration,
    pub(crate) allow_on_headers_stop_iteration: bool,
    pub(crate) buffer_limit: usize,
    pub(crate) fuel: u64,
    pub(crate) memory_limit: usize,
    pub(crate) log_level: LogLevel,
}

#[derive(Debug, Default)]
struct Log {
    written: u64,
    lines: VecDeque<LogLine>,
    /// Of all messages together.
    bytes: usize,
}

impl Log {
    fn push(&mut self, line: LogLine) {
        self.written = self.written.saturating_add(1);
        self.bytes = self.bytes.saturating_add(line.message.len());
        self.lines.push_back(line);
        while self.lines.len() > REMEMBERED_LINES || (self.bytes > REMEMBERED_BYTES && self.lines.len() > 1) {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(oldest.message.len());
        }
    }
}

/// Handles on everything the VMs of a proxy share.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) settings: Arc<Settings>,
    pub(crate) data: SharedData,
    pub(crate) queues: SharedQueues,
    pub(crate) stats: Stats,
    pub(crate) clusters: Clusters,
    pub(crate) faults: Faults,
    /// Nanoseconds since 1970.
    now: Arc<AtomicU64>,
    log: Arc<Mutex<Log>>,
    random: Arc<Mutex<Random>>,
    posts: Arc<Mutex<VecDeque<(Listener, u32)>>>,
    vms: Arc<Mutex<BTreeMap<u64, Weak<Mutex<Vm>>>>>,
    next_vm: Arc<AtomicU64>,
    /// The race that is on, if one is.
    race: Arc<Mutex<Option<Arc<Race>>>>,
}

impl Environment {
    pub(crate) fn new(settings: Settings, faults: Faults, now: Duration, seed: u64) -> Self {
        Self {
            settings: Arc::new(settings),
            data: SharedData::default(),
            queues: SharedQueues::default(),
            stats: Stats::default(),
            clusters: Clusters::default(),
            faults,
            now: Arc::new(AtomicU64::new(nanos(now))),
            log: Arc::default(),
            random: Arc::new(Mutex::new(Random::new(seed))),
            posts: Arc::default(),
            vms: Arc::default(),
            next_vm: Arc::new(AtomicU64::new(1)),
            race: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.now.load(Ordering::SeqCst))
    }

    /// Time never goes back.
    pub(crate) fn set_now(&self, now: Duration) {
        self.now.fetch_max(nanos(now), Ordering::SeqCst);
    }

    pub(crate) fn write_log(&self, thread: Thread, level: LogLevel, message: &[u8]) {
        let message = String::from_utf8_lossy(message).into_owned();
        lock(&self.log).push(LogLine { at: self.now(), thread, level, message });
    }

    pub(crate) fn log(&self) -> Vec<LogLine> {
        lock(&self.log).lines.iter().cloned().collect()
    }

    pub(crate) fn take_log(&self) -> Vec<LogLine> {
        let mut log = lock(&self.log);
        log.bytes = 0;
        std::mem::take(&mut log.lines).into()
    }

    /// How many lines there have ever been.
    pub(crate) fn log_position(&self) -> u64 {
        lock(&self.log).written
    }

    /// The lines since a position, as far as they are still there.
    pub(crate) fn log_since(&self, position: u64) -> Vec<LogLine> {
        let log = lock(&self.log);
        let new = usize::try_from(log.written.saturating_sub(position)).unwrap_or(usize::MAX);
        log.lines.iter().skip(log.lines.len().saturating_sub(new)).cloned().collect()
    }

    pub(crate) fn fill_random(&self, bytes: &mut [u8]) {
        lock(&self.random).fill(bytes);
    }

    pub(crate) fn new_vm_number(&self) -> u64 {
        self.next_vm.fetch_add(1, Ordering::SeqCst)
    }

    /// Makes a VM known, so that news of queues reaches it.
    pub(crate) fn enlist(&self, number: u64, vm: &Arc<Mutex<Vm>>) {
        let mut vms = lock(&self.vms);
        vms.retain(|_, vm| vm.strong_count() > 0);
        vms.insert(number, Arc::downgrade(vm));
    }

    /// Notes that a queue has a new item, for its listener to be told later, on its own thread.
    pub(crate) fn post(&self, listener: Listener, token: u32) {
        lock(&self.posts).push_back((listener, token));
    }

    pub(crate) fn begin_race(&self, race: Arc<Race>) {
        *lock(&self.race) = Some(race);
    }

    pub(crate) fn end_race(&self) {
        *lock(&self.race) = None;
    }

    /// In a race, one thread does not touch what belongs to another, and time stands still.
    pub(crate) fn is_racing(&self) -> bool {
        lock(&self.race).is_some()
    }

    /// A module is about to call a host function.
    pub(crate) fn cross(&self, thread: Thread, function: &str) {
        if let Thread::Worker(who) = thread
            && schedule::is_crossing(function)
        {
            let race = lock(&self.race).clone();
            if let Some(race) = race {
                race.pass(who);
            }
        }
    }

    /// Tells listeners of new items. No VM may be locked by the caller. In a race it waits until that is over.
    pub(crate) fn deliver_posts(&self) {
        if self.is_racing() {
            return;
        }
        loop {
            let post = lock(&self.posts).pop_front();
            let Some((listener, token)) = post else { return };
            let vm = lock(&self.vms).get(&listener.vm).and_then(Weak::upgrade);
            if let Some(vm) = vm {
                lock(&vm).queue_ready(listener.context, token);
            }
        }
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A panic elsewhere (in a test's own closure) leaves nothing half-written here, so the lock may be taken over.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
