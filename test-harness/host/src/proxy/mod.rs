//! One Envoy: its workers, its configuration, its clock.

mod builder;
mod threads;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::builder::Builder;
pub(crate) use self::threads::{Core, MOST_ANSWERS};
pub use self::worker::Worker;
use crate::clusters::Clusters;
use crate::environment::{LogLevel, LogLine, Thread, lock};
use crate::exchange::Report;
use crate::faults::Faults;
use crate::metrics::Stats;
use crate::module::Module;
use crate::schedule::Race;
use crate::shared::{SharedData, SharedQueues};

/// A configuration that Envoy refuses. What was there before stays in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why, as far as the host can tell; the module's own words stand in the log.
    pub why: String,
    /// What the module logged about it.
    pub log: Vec<LogLine>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.why)?;
        // Why a module stopped stands in the log too.
        for line in self.log.iter().filter(|line| line.level >= LogLevel::Warn && line.message != self.why) {
            write!(f, "; {}", line.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// A simulated Envoy with one plugin in its HTTP filter chain. Clones are handles on the same proxy.
#[derive(Clone)]
pub struct Proxy {
    core: Arc<Core>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("module", &self.core.module).field("workers", &self.workers()).finish()
    }
}

impl Proxy {
    /// A proxy to be, with Envoy's defaults and one worker.
    pub fn builder(module: &Module) -> Builder {
        Builder::new(module)
    }

    /// Replaces the plugin configuration, as an update of the listener does.
    ///
    /// A canary tries it first. Then each thread gets a new root context, in the VM it has or, if that has failed, in
    /// a new one; streams keep the root context they began with. It goes on, ticks included, until the old listener
    /// has drained: then what is left of its streams is reset, and it is told that it is done. So it was seen
    /// in Envoy 1.40.0. The configuration that is already in force changes nothing, as Envoy finds the plugin by it.
    ///
    /// So it finds one that was in force before and is draining: the threads go back to the root contexts they had, which are
    /// not configured anew and now stay. No configuration is tried by a canary twice, and what one refused once stays
    /// refused. Both were seen in Envoy 1.40.0.
    ///
    /// # Errors
    /// If the canary refuses; nothing has changed then.
    pub fn configure(&self, configuration: impl Into<Vec<u8>>) -> Result<(), Refused> {
        let configuration = configuration.into();
        let core = &*self.core;
        if core.env.is_racing() {
            let why = "the configuration cannot change in the middle of a race".to_owned();
            return Err(Refused { why, log: Vec::new() });
        }
        if lock(&core.configuration).as_ref() == Some(&configuration) {
            return Ok(());
        }
        self.try_out(&configuration)?;
        *lock(&core.configuration) = Some(configuration.clone());
        for slot in &core.slots {
            let mut slot = lock(slot);
            let old = slot.plugin.take();
            let new = core.plugin_for(slot.thread, old.as_ref(), &configuration);
            slot.loaded = core.env.now();
            slot.plugin = core.note(slot.thread, new);
            if let Some(old) = old {
                let until = core.env.now().saturating_add(core.env.settings.drain_time);
                lock(&core.draining).push((until, slot.thread, old));
            }
        }
        core.env.deliver_posts();
        Ok(())
    }

    /// Asks a canary for a configuration, unless one was asked before.
    fn try_out(&self, configuration: &[u8]) -> Result<(), Refused> {
        let core = &*self.core;
        let key = threads::key(configuration);
        if let Some(tried) = lock(&core.tried).get(&key).cloned() {
            let refused = |why| Refused { why: format!("{why}, when it was tried before"), log: Vec::new() };
            return tried.map_err(refused);
        }
        let position = core.env.log_position();
        let canary = core.load(Thread::Canary, configuration);
        lock(&core.tried).insert(key, canary.as_ref().map(|_| ()).map_err(Clone::clone));
        let canary = canary.map_err(|why| Refused { why, log: core.env.log_since(position) })?;
        // Calls that fail inside of Envoy do so before the canary is gone.
        lock(&canary.vm).deliver();
        Ok(())
    }

    /// A worker, counted from zero; numbers beyond the last begin again at the first.
    pub fn worker(&self, number: usize) -> Worker {
        let number = number.checked_rem(self.workers()).unwrap_or(0);
        Worker { core: self.core.clone(), number }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.core.slots.len().saturating_sub(1)
    }

    /// The time, since 1970. It stands still until it is moved.
    pub fn now(&self) -> Duration {
        self.core.env.now()
    }

    /// Moves time, and lets happen on the way what is due, in its order: ticks and the answers of callouts, in every
    /// VM. Moving by nothing lets happen what is due now.
    pub fn advance(&self, by: Duration) {
        let core = &*self.core;
        core.advance_to(core.env.now().saturating_add(by));
    }

    /// Runs jobs at the same time, each on a worker: the first on worker 0 and so on, and again from the first if there
    /// are more jobs than workers. Gives what they give, in their order.
    ///
    /// Before each call of a module to shared data or a queue the seed decides who goes on, so that the same seed
    /// gives the same order. A job may use the worker it is given and nothing else of the proxy. Until all are done
    /// time stands still, answers of callouts and news of queues wait, and configurations are refused.
    ///
    /// A job that panics lets the others end, and then panics here.
    pub fn race<T: Send, J: FnOnce(&Worker) -> T + Send>(&self, seed: u64, jobs: Vec<J>) -> Vec<T> {
        let mut lanes: Vec<Vec<(usize, J)>> = Vec::new();
        for (place, job) in jobs.into_iter().enumerate() {
            let lane = place.checked_rem(self.workers()).unwrap_or(0);
            match lanes.get_mut(lane) {
                Some(lane) => lane.push((place, job)),
                None => lanes.push(vec![(place, job)]),
            }
        }
        let race = Arc::new(Race::new(seed, lanes.len()));
        self.core.env.begin_race(race.clone());
        let ends: Vec<std::thread::Result<Vec<(usize, T)>>> = std::thread::scope(|scope| {
            let lanes: Vec<_> = lanes
                .into_iter()
                .enumerate()
                .map(|(number, lane)| {
                    let (race, worker) = (race.clone(), self.worker(number));
                    scope.spawn(move || {
                        let _turn = race.enter(number);
                        lane.into_iter().map(|(place, job)| (place, job(&worker))).collect()
                    })
                })
                .collect();
            lanes.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        self.core.env.end_race();
        self.core.env.deliver_posts();
        let mut results = Vec::new();
        for end in ends {
            match end {
                Ok(some) => results.extend(some),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results.sort_by_key(|(place, _)| *place);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// All lines logged so far; of very many, the last 65,536, or as many as have 64 MiB.
    pub fn log(&self) -> Vec<LogLine> {
        self.core.env.log()
    }

    /// All lines logged since they were last taken, which are then forgotten.
    pub fn take_log(&self) -> Vec<LogLine> {
        self.core.env.take_log()
    }

    /// Counters, gauges and histograms.
    pub fn metrics(&self) -> &Stats {
        &self.core.env.stats
    }

    /// The clusters that callouts go to. A closure that answers for one must not use this proxy.
    pub fn clusters(&self) -> &Clusters {
        &self.core.env.clusters
    }

    /// What the VMs share.
    pub fn shared_data(&self) -> &SharedData {
        &self.core.env.data
    }

    /// The queues between VMs.
    pub fn shared_queues(&self) -> &SharedQueues {
        &self.core.env.queues
    }

    /// Host calls that are to fail.
    pub fn faults(&self) -> &Faults {
        &self.core.env.faults
    }

    /// The bytes of linear memory of each VM.
    pub fn memory(&self) -> Vec<(Thread, usize)> {
        self.core.vms().into_iter().map(|(thread, vm)| (thread, lock(&vm).memory())).collect()
    }

    /// What callbacks of root contexts have cost, for each VM: starts, configurations, ticks.
    pub fn root_reports(&self) -> Vec<(Thread, Report)> {
        self.core.vms().into_iter().map(|(thread, vm)| (thread, lock(&vm).root_report())).collect()
    }
}
