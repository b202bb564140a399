//! One Envoy: its workers, its configuration, its clock.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clusters::Clusters;
use crate::environment::{Environment, FailurePolicy, LogLevel, LogLine, Settings, Thread, lock, nanos};
use crate::exchange::{Origin, Report};
use crate::faults::Faults;
use crate::message::{Protocol, Request};
use crate::metrics::Stats;
use crate::module::Module;
use crate::properties::{Attributes, Connection, ConnectionState, Node, Plugin};
use crate::random::Random;
use crate::schedule::Race;
use crate::shared::{SharedData, SharedQueues};
use crate::stream::{Answer, Stream};
use crate::vm::Vm;

/// When simulated time begins: 1 January 2026, 00:00 UTC.
const DAWN: Duration = Duration::from_secs(1_767_225_600);

/// How many answers of callouts may come at one moment, or to one waiting request: a module that calls out again and again
/// ends there.
pub(crate) const MOST_ANSWERS: u64 = 20_000;

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
        for line in self.log.iter().filter(|line| line.level >= LogLevel::Warn) {
            write!(f, "; {}", line.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// What a proxy is made of, before it starts.
#[derive(Debug, Clone)]
pub struct Builder {
    module: Module,
    settings: Settings,
    configuration: Vec<u8>,
    workers: usize,
    now: Duration,
    seed: u64,
}

impl Builder {
    /// The plugin configuration, as the module gets it.
    #[must_use]
    pub fn configuration(mut self, configuration: impl Into<Vec<u8>>) -> Self {
        self.configuration = configuration.into();
        self
    }

    /// How many worker threads there are; at least one.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// The `vm_id`, which is the name space of shared data and queues. Empty if not given, as in Envoy.
    #[must_use]
    pub fn vm_id(mut self, vm_id: impl Into<Vec<u8>>) -> Self {
        self.settings.vm_id = vm_id.into();
        self.settings.plugin.vm_id = String::from_utf8_lossy(&self.settings.vm_id).into_owned();
        self
    }

    /// The configuration of the VM (`vm_config.configuration`).
    #[must_use]
    pub fn vm_configuration(mut self, configuration: impl Into<Vec<u8>>) -> Self {
        self.settings.vm_configuration = configuration.into();
        self
    }

    /// The name of the plugin.
    #[must_use]
    pub fn plugin_name(mut self, name: impl Into<String>) -> Self {
        self.settings.plugin.name = name.into();
        self
    }

    /// The root id of the plugin.
    #[must_use]
    pub fn root_id(mut self, root_id: impl Into<String>) -> Self {
        self.settings.plugin.root_id = root_id.into();
        self
    }

    /// The node that this Envoy is.
    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        self.settings.plugin.node = node;
        self
    }

    /// What surrounds each stream that says nothing else: connection, route, cluster. If not given, there is a plain
    /// connection from `127.0.0.1:50000` to `127.0.0.1:10000` and nothing else.
    #[must_use]
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.settings.attributes = attributes;
        self
    }

    /// An environment variable that the module sees.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.variables.push((name.into(), value.into()));
        self
    }

    /// What becomes of requests when the VM has failed. [`FailurePolicy::Closed`] if not given.
    #[must_use]
    pub const fn failure_policy(mut self, policy: FailurePolicy) -> Self {
        self.settings.failure_policy = policy;
        self
    }

    /// How long [`FailurePolicy::Reload`] waits at least; one second if not given. Envoy adds up to half as much
    /// again, drawn for each request (`JitteredLowerBoundBackOffStrategy`); so does this host, by its seed.
    #[must_use]
    pub const fn reload_backoff(mut self, least: Duration) -> Self {
        self.settings.reload_backoff = least;
        self
    }

    /// How long a configuration that was replaced lives on for its streams (`--drain-time-s`); ten minutes if not
    /// given, as in Envoy.
    #[must_use]
    pub const fn drain_time(mut self, time: Duration) -> Self {
        self.settings.drain_time = time;
        self
    }

    /// Whether pausing in the callback for headers leaves the body callbacks alone. Without it (Envoy's default)
    /// such a pause stops everything until the module continues.
    #[must_use]
    pub const fn allow_on_headers_stop_iteration(mut self, allow: bool) -> Self {
        self.settings.allow_on_headers_stop_iteration = allow;
        self
    }

    /// The most that is buffered of a body (`per_connection_buffer_limit_bytes`); one mebibyte if not given.
    #[must_use]
    pub const fn buffer_limit(mut self, bytes: usize) -> Self {
        self.settings.buffer_limit = bytes;
        self
    }

    /// How much fuel one callback may use, about one unit for each instruction of wasm, before it is taken for a
    /// callback that never returns. Two thousand million if not given: seconds at most. What it makes the host do has a limit of
    /// the same size, where a host call counts as a thousand instructions and a byte that it copies as eight.
    #[must_use]
    pub const fn fuel(mut self, fuel: u64) -> Self {
        self.settings.fuel = fuel;
        self
    }

    /// The most linear memory a VM may have: beyond it the module cannot grow its memory. One gibibyte if not given; in
    /// Envoy it is what V8 gives, four.
    #[must_use]
    pub const fn memory_limit(mut self, bytes: usize) -> Self {
        self.settings.memory_limit = bytes;
        self
    }

    /// The level that `proxy_get_log_level` gives. All lines are kept whatever it is.
    #[must_use]
    pub const fn log_level(mut self, level: LogLevel) -> Self {
        self.settings.log_level = level;
        self
    }

    /// When simulated time begins, since 1970.
    #[must_use]
    pub const fn now(mut self, now: Duration) -> Self {
        self.now = now;
        self
    }

    /// What everything drawn by chance is drawn from.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts the proxy: a canary that tries the configuration, then the VM of the main thread, then the workers'.
    ///
    /// # Errors
    /// If the canary cannot be started or refuses the configuration: Envoy would not take the listener.
    pub fn start(self) -> Result<Proxy, Refused> {
        let env = Environment::new(self.settings, self.now, self.seed);
        let threads = std::iter::once(Thread::Main).chain((0..self.workers).map(Thread::Worker));
        let core = Core {
            module: self.module,
            jitter: Mutex::new(Random::new(self.seed)),
            draining: Mutex::default(),
            configuration: Mutex::new(None),
            slots: threads
                .map(|thread| Mutex::new(Slot { thread, plugin: None, loaded: env.now() }))
                .collect(),
            env,
        };
        let proxy = Proxy { core: Arc::new(core) };
        proxy.configure(self.configuration)?;
        Ok(proxy)
    }
}

/// What all handles on a proxy share.
pub(crate) struct Core {
    module: Module,
    pub(crate) env: Environment,
    configuration: Mutex<Option<Vec<u8>>>,
    /// The main thread first, then the workers.
    slots: Vec<Mutex<Slot>>,
    jitter: Mutex<Random>,
    /// What was replaced, and until when it lives.
    draining: Mutex<Vec<(Duration, Loaded)>>,
}

/// What one thread has of the plugin.
struct Slot {
    thread: Thread,
    /// `None` after a configuration that the canary took and this thread could not: Envoy then runs without
    /// the filter on this thread (`PluginConfig::createContext` with a null handle).
    plugin: Option<Loaded>,
    /// When the VM was loaded last, or was tried to be.
    loaded: Duration,
}

#[derive(Clone)]
struct Loaded {
    vm: Arc<Mutex<Vm>>,
    root: u32,
}

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
        Builder {
            module: module.clone(),
            settings: Settings {
                vm_id: Vec::new(),
                vm_configuration: Vec::new(),
                plugin: Plugin::default(),
                attributes: Attributes {
                    connection: Some(Connection::new(
                        1,
                        (Ipv4Addr::LOCALHOST, 50_000).into(),
                        (Ipv4Addr::LOCALHOST, 10_000).into(),
                    )),
                    ..Attributes::default()
                },
                variables: Vec::new(),
                failure_policy: FailurePolicy::Closed,
                reload_backoff: Duration::from_secs(1),
                drain_time: Duration::from_secs(600),
                allow_on_headers_stop_iteration: false,
                buffer_limit: 1024 * 1024,
                fuel: 2_000_000_000,
                memory_limit: 1024 * 1024 * 1024,
                log_level: LogLevel::Info,
            },
            configuration: Vec::new(),
            workers: 1,
            now: DAWN,
            seed: 0,
        }
    }

    /// Replaces the plugin configuration, as an update of the listener does.
    ///
    /// A canary tries it first. Then each thread gets a new root context, in the VM it has or, if that has failed, in
    /// a new one; streams keep the root context they began with. It goes on, ticks included, until the old listener
    /// has drained: then what is left of its streams is reset, and it is told that it is done. So it was seen
    /// in Envoy 1.40.0. The configuration that is already in force changes nothing, as Envoy finds the plugin by it.
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
        let position = core.env.log_position();
        let canary = core
            .load(Thread::Canary, &configuration)
            .map_err(|why| Refused { why, log: core.env.log_since(position) })?;
        // Calls that fail inside of Envoy do so before the canary is gone.
        lock(&canary.vm).deliver();
        drop(canary);
        *lock(&core.configuration) = Some(configuration.clone());
        for slot in &core.slots {
            let mut slot = lock(slot);
            let old = slot.plugin.take();
            let kept = old.as_ref().map(|old| &old.vm).filter(|vm| lock(vm).failed.is_none());
            let new = match kept {
                Some(vm) => lock(vm).start(&configuration).map(|root| Loaded { vm: vm.clone(), root }),
                None => core.load(slot.thread, &configuration),
            };
            slot.loaded = core.env.now();
            slot.plugin = core.note(slot.thread, new);
            if let Some(old) = old {
                let until = core.env.now().saturating_add(core.env.settings.drain_time);
                lock(&core.draining).push((until, old));
            }
        }
        core.env.deliver_posts();
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

impl Core {
    /// A new VM with the plugin in it.
    fn load(&self, thread: Thread, configuration: &[u8]) -> Result<Loaded, String> {
        let vm = Vm::new(&self.module, &self.env, thread)?;
        let root = lock(&vm).start(configuration)?;
        Ok(Loaded { vm, root })
    }

    /// Moves time step by step, and says how many answers of callouts came on the way. A module that calls out again on
    /// each answer, and is answered at once, would keep time from moving; it is left alone after as many as no module
    /// needs.
    pub(crate) fn advance_to(&self, until: Duration) -> u64 {
        if self.env.is_racing() {
            return 0;
        }
        let (mut all, mut at_once, mut rounds) = (0_u64, 0_u64, 0_u32);
        loop {
            self.env.deliver_posts();
            let vms = self.vms();
            let event = vms.iter().filter_map(|(_, vm)| lock(vm).next_event()).min();
            let drained = lock(&self.draining).iter().map(|(until, _)| *until).min();
            let next = [event, drained].into_iter().flatten().min();
            let Some(due) = next.filter(|due| *due <= until) else { break };
            if due > self.env.now() {
                (at_once, rounds) = (0, 0);
            }
            rounds = rounds.saturating_add(1);
            if rounds > 1000 || at_once > MOST_ANSWERS {
                let message =
                    b"the module calls out without end, and time does not get on; give the answers a latency";
                self.env.write_log(Thread::Main, LogLevel::Error, message);
                break;
            }
            self.env.set_now(due);
            let drained: Vec<_> = lock(&self.draining).extract_if(.., |(until, _)| *until <= due).collect();
            for (_, old) in drained {
                lock(&old.vm).drain(old.root);
            }
            for (_, vm) in vms {
                let mut vm = lock(&vm);
                let delivered = vm.deliver();
                (all, at_once) = (all.saturating_add(delivered), at_once.saturating_add(delivered));
                if vm.next_tick().is_some_and(|tick| tick <= due) {
                    vm.tick();
                }
            }
        }
        self.env.set_now(until);
        all
    }

    fn note(&self, thread: Thread, loaded: Result<Loaded, String>) -> Option<Loaded> {
        if let Err(why) = &loaded {
            self.env.write_log(
                thread,
                LogLevel::Critical,
                format!("the plugin did not load: {why}").as_bytes(),
            );
        }
        loaded.ok()
    }

    fn vms(&self) -> Vec<(Thread, Arc<Mutex<Vm>>)> {
        let slots = self.slots.iter().map(lock);
        slots.filter_map(|slot| Some((slot.thread, slot.plugin.as_ref()?.vm.clone()))).collect()
    }

    fn worker(&self, number: usize) -> Option<&Mutex<Slot>> {
        self.slots.get(number.saturating_add(1))
    }

    /// The plugin for a new stream on a worker; a failed VM is loaded anew if the policy says so and the time has come
    /// (`PluginConfig::maybeReloadHandleIfNeeded` in Envoy's `common/wasm/wasm.cc`).
    fn plugin(&self, number: usize) -> Option<Loaded> {
        let mut slot = lock(self.worker(number)?);
        let plugin = slot.plugin.clone()?;
        let settings = &self.env.settings;
        if settings.failure_policy != FailurePolicy::Reload || lock(&plugin.vm).failed.is_none() {
            return Some(plugin);
        }
        let least = settings.reload_backoff;
        let extra = lock(&self.jitter).below(nanos(least) / 2);
        let wait = least.saturating_add(Duration::from_nanos(extra));
        let now = self.env.now();
        if now.saturating_sub(slot.loaded) < wait {
            return Some(plugin);
        }
        slot.loaded = now;
        let configuration = lock(&self.configuration).clone().unwrap_or_default();
        let loaded = self.load(slot.thread, &configuration);
        if let Some(new) = self.note(slot.thread, loaded) {
            slot.plugin = Some(new.clone());
            return Some(new);
        }
        Some(plugin)
    }
}

/// A worker thread of a proxy.
#[derive(Clone)]
pub struct Worker {
    core: Arc<Core>,
    number: usize,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Worker {
    /// A new stream on a connection of its own, to be walked step by step.
    pub fn open(&self) -> Stream {
        let attributes = self.core.env.settings.attributes.clone();
        self.open_on(attributes, ConnectionState::default(), Protocol::default())
    }

    /// A new stream with these surroundings. Streams of one connection have its state in common.
    pub fn open_on(&self, attributes: Attributes, connection: ConnectionState, protocol: Protocol) -> Stream {
        let started = nanos(self.core.env.now());
        let origin = Origin { attributes, connection, protocol, started };
        let plugin = self.core.plugin(self.number);
        let open = self.core.env.settings.failure_policy == FailurePolicy::Open;
        match plugin {
            Some(Loaded { vm, root }) => {
                let filtered = {
                    let vm = lock(&vm);
                    !(open && vm.failed.is_some())
                };
                Stream::open(self.core.clone(), vm, root, filtered, origin)
            }
            None => Stream::unfiltered(self.core.clone(), origin),
        }
    }

    /// Sends a request, lets upstream answer it, and gives what the client gets.
    ///
    /// While the module holds the stream and waits for callouts, time moves on to their answers, for five
    /// minutes at most. For nothing else does it move.
    pub fn send(&self, request: Request) -> Answer {
        let attributes =
            request.attributes.clone().unwrap_or_else(|| self.core.env.settings.attributes.clone());
        self.open_on(attributes, request.connection.clone(), request.protocol).run(request)
    }

    /// Why the VM of this worker has failed, if it has.
    pub fn failure(&self) -> Option<String> {
        let vm = lock(self.core.worker(self.number)?).plugin.as_ref()?.vm.clone();
        lock(&vm).failed.clone()
    }
}
