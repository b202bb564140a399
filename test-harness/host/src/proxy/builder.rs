//! What is decided before a proxy starts, and the start.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::threads::{Core, Slot};
use super::{Proxy, Refused};
use crate::environment::{Environment, FailurePolicy, LogLevel, Settings, Thread};
use crate::faults::Faults;
use crate::module::Module;
use crate::properties::{Attributes, Connection, Node, Plugin};
use crate::random::Random;

/// When simulated time begins: 1 January 2026, 00:00 UTC.
const DAWN: Duration = Duration::from_secs(1_767_225_600);

/// What a proxy is made of, before it starts.
#[derive(Debug, Clone)]
pub struct Builder {
    module: Module,
    settings: Settings,
    configuration: Vec<u8>,
    workers: usize,
    now: Duration,
    seed: u64,
    faults: Option<Faults>,
}

impl Builder {
    pub(super) fn new(module: &Module) -> Self {
        Self {
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
            faults: None,
        }
    }

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

    /// Host calls that are to fail from the first on, while the VMs start too. They are counted across all VMs: the canary
    /// calls first, then the main thread, then the workers. Proxies whose builders are clones share these faults.
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = Some(faults);
        self
    }

    /// Starts the proxy: a canary that tries the configuration, then the VM of the main thread, then the workers'.
    ///
    /// # Errors
    /// If the canary cannot be started or refuses the configuration: Envoy would not take the listener.
    pub fn start(self) -> Result<Proxy, Refused> {
        let env = Environment::new(self.settings, self.faults.unwrap_or_default(), self.now, self.seed);
        let threads = std::iter::once(Thread::Main).chain((0..self.workers).map(Thread::Worker));
        let core = Core {
            module: self.module,
            jitter: Mutex::new(Random::new(self.seed)),
            draining: Mutex::default(),
            tried: Mutex::default(),
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
