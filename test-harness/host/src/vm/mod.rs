//! One VM: an instance of the module, its contexts, and the calls into it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wasmtime::{Func, Store, StoreLimits, StoreLimitsBuilder, Trap, Val};

use crate::Status;
use crate::abi::{self, ALLOCATORS, CALLBACKS, Guest, Overworked};
use crate::clusters::{Callouts, Delivery, Event};
use crate::environment::{Environment, LogLevel, Thread};
use crate::exchange::{Exchange, Reply, Report, Side};
use crate::headers::HeaderMap;
use crate::metrics::Metrics;
use crate::module::{AbiVersion, Module, line};
use crate::properties::{self, Prototypes, Scope, StreamScope};
use crate::shared::Listener;

/// How many elements the tables of a module may have: many more than any compiler asks for.
const MOST_TABLE_ELEMENTS: usize = 10_000_000;

/// How many callbacks may stand upon each other.
const MOST_DEPTH: u32 = 100;

/// What a module has asked for and gets when its callback has returned.
pub(crate) enum After {
    Continue(u32, Side),
    Close(u32),
    Reply(u32, Box<Reply>),
    /// A root context that was asked to finish has said that it is done.
    Delete(u32),
}

/// A root context: one configuration in one VM.
#[derive(Debug, Default)]
pub(crate) struct Root {
    tick: Option<Tick>,
    /// `proxy_on_done` said "not yet"; the module will call `proxy_done`.
    finishing: bool,
    /// What `proxy_get_status` gives.
    status: (u32, Vec<u8>),
    pub(crate) prototypes: Prototypes,
}

#[derive(Debug, Clone, Copy)]
struct Tick {
    period: Duration,
    next: Duration,
}

pub(crate) enum Context {
    Root(Root),
    Stream { root: u32, exchange: Box<Exchange> },
}

/// What came of a callout, while the module is told.
#[derive(Debug, Default)]
struct Delivered {
    root: u32,
    http: Option<(HeaderMap, Vec<u8>, Option<HeaderMap>)>,
    initial_metadata: Option<HeaderMap>,
    trailing_metadata: Option<HeaderMap>,
    message: Option<Vec<u8>>,
}

/// What host functions work on.
pub(crate) struct State {
    pub(crate) env: Environment,
    pub(crate) thread: Thread,
    number: u64,
    pub(crate) guest: Option<Guest>,
    pub(crate) contexts: BTreeMap<u32, Context>,
    next_context: u32,
    current: u32,
    /// Set by `proxy_set_effective_context`; zero if not.
    pub(crate) effective: u32,
    pub(crate) after: VecDeque<After>,
    /// A local response was sent in this callback, whatever it returns.
    pub(crate) stop_iteration: bool,
    pub(crate) metrics: Metrics,
    pub(crate) callouts: Callouts,
    delivered: Delivered,
    /// The plugin configuration, while a callback runs that may read it.
    configuration: Option<Vec<u8>>,
    /// What callbacks of root contexts cost.
    report: Report,
    /// What the host still does for this callback, see `abi::cost`.
    pub(crate) work: u64,
    limits: StoreLimits,
    /// How many callbacks stand upon each other, each called for what the one below asked for.
    depth: u32,
    /// The module initializes itself and may do little else.
    pub(crate) initializing: bool,
}

impl State {
    /// The context that host functions work for.
    pub(crate) fn context(&self) -> u32 {
        if self.effective != 0 && self.contexts.contains_key(&self.effective) {
            self.effective
        } else {
            self.current
        }
    }

    pub(crate) fn exchange(&self, context: u32) -> Option<&Exchange> {
        match self.contexts.get(&context)? {
            Context::Stream { exchange, .. } => Some(exchange),
            Context::Root(_) => None,
        }
    }

    pub(crate) fn exchange_mut(&mut self, context: u32) -> Option<&mut Exchange> {
        match self.contexts.get_mut(&context)? {
            Context::Stream { exchange, .. } => Some(exchange),
            Context::Root(_) => None,
        }
    }

    /// The root of a context, which is itself for a root.
    pub(crate) fn root_of(&self, context: u32) -> u32 {
        match self.contexts.get(&context) {
            Some(Context::Stream { root, .. }) => *root,
            _ => context,
        }
    }

    fn root_mut(&mut self, context: u32) -> Option<&mut Root> {
        match self.contexts.get_mut(&context)? {
            Context::Root(root) => Some(root),
            Context::Stream { .. } => None,
        }
    }

    pub(crate) fn count_call(&mut self, name: &'static str) {
        let current = self.current;
        let report = match self.contexts.get_mut(&current) {
            Some(Context::Stream { exchange, .. }) => &mut exchange.report,
            _ => &mut self.report,
        };
        *report.host_calls.entry(name).or_default() += 1;
    }

    pub(crate) fn log(&self, level: LogLevel, message: &[u8]) {
        self.env.write_log(self.thread, level, message);
    }

    /// Environment variables as `NAME=value` with a NUL behind.
    pub(crate) fn variables(&self) -> Vec<Vec<u8>> {
        self.env
            .settings
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}\0").into_bytes())
            .collect()
    }

    pub(crate) fn configuration_or_vm(&self) -> &[u8] {
        self.configuration.as_deref().unwrap_or(&self.env.settings.vm_configuration)
    }

    /// Who hears of a queue: the root context, whoever registers it (`registerSharedQueue` in `src/context.cc`).
    pub(crate) fn listener(&self) -> Listener {
        Listener { vm: self.number, context: self.root_of(self.context()) }
    }

    /// Ticks belong to the root context. A period of zero stops them; setting a period starts it anew
    /// (`Wasm::setTimerPeriod` in Envoy's `common/wasm/wasm.cc`).
    pub(crate) fn set_tick(&mut self, period: Duration) {
        let now = self.env.now();
        let root = self.root_of(self.context());
        if let Some(root) = self.root_mut(root) {
            root.tick = (!period.is_zero()).then_some(Tick { period, next: now.saturating_add(period) });
        }
    }

    /// `proxy_done`: only a root context that answered "not yet" to `proxy_on_done` may call it.
    pub(crate) fn done(&mut self) -> Result<(), Status> {
        let context = self.context();
        let root = self.root_mut(context).filter(|root| root.finishing).ok_or(Status::NotFound)?;
        root.finishing = false;
        self.after.push_back(After::Delete(context));
        Ok(())
    }

    /// What came of a callout, if it is the caller's own.
    fn delivered(&self) -> Option<&Delivered> {
        Some(&self.delivered).filter(|delivered| delivered.root == self.root_of(self.context()))
    }

    /// The status of the last callout that failed or closed: of the root context, where callouts arrive.
    pub(crate) fn status(&self) -> (u32, Vec<u8>) {
        match self.contexts.get(&self.root_of(self.context())) {
            Some(Context::Root(root)) => root.status.clone(),
            _ => (0, Vec::new()),
        }
    }

    /// A property.
    pub(crate) fn property(&self, path: &[u8]) -> Result<Vec<u8>, Status> {
        let stream = self.exchange(self.context()).map(|exchange| StreamScope {
            attributes: &exchange.attributes,
            progress: exchange,
            filter_state: &exchange.filter_state,
        });
        properties::get(path, Scope { plugin: &self.env.settings.plugin, stream })
    }

    /// What was declared in a context. Declarations of streams are kept and have no effect.
    pub(crate) fn prototypes_mut(&mut self, context: u32) -> Option<&mut Prototypes> {
        Some(match self.contexts.get_mut(&context)? {
            Context::Root(root) => &mut root.prototypes,
            Context::Stream { exchange, .. } => &mut exchange.prototypes,
        })
    }

    pub(crate) fn set_property(&mut self, path: &[u8], value: &[u8]) -> Result<(), Status> {
        let context = self.context();
        let root = self.root_of(context);
        let declared =
            self.root_mut(root).map(|root| std::mem::take(&mut root.prototypes)).unwrap_or_default();
        let set = match self.exchange_mut(context) {
            Some(exchange) => exchange.filter_state.set_property(path, value, &declared),
            None => Err(Status::NotFound),
        };
        if let Some(root) = self.root_mut(root) {
            root.prototypes = declared;
        }
        set
    }

    /// A header map to read.
    pub(crate) fn map(&self, map: u32) -> Option<&HeaderMap> {
        match map {
            4 => return self.delivered()?.initial_metadata.as_ref(),
            5 => return self.delivered()?.trailing_metadata.as_ref(),
            6 => return self.delivered()?.http.as_ref().map(|(headers, ..)| headers),
            7 => return self.delivered()?.http.as_ref()?.2.as_ref(),
            _ => {}
        }
        let exchange = self.exchange(self.context())?;
        if map == 2 && exchange.logging {
            return exchange.logged_response();
        }
        let (request, response) = (&exchange.request, &exchange.response);
        let (map, shown) = match map {
            0 => (&request.headers, request.shows_headers || exchange.logging),
            // The access log has no request trailers.
            1 => (&request.trailers, request.shows_trailers && !exchange.logging),
            2 => (&response.headers, response.shows_headers),
            3 => (&response.trailers, response.shows_trailers || exchange.logging),
            _ => return None,
        };
        map.as_ref().filter(|_| shown)
    }

    /// A header map to change. What came of a callout can only be read.
    pub(crate) fn map_mut(&mut self, map: u32) -> Option<&mut HeaderMap> {
        let context = self.context();
        let exchange = self.exchange_mut(context)?;
        match map {
            1 => exchange.add_trailers(Side::Request),
            3 => exchange.add_trailers(Side::Response),
            _ => {}
        }
        let (request, response) = (&mut exchange.request, &mut exchange.response);
        let (map, shown) = match map {
            0 => (&mut request.headers, request.shows_headers),
            1 => (&mut request.trailers, request.shows_trailers),
            2 => (&mut response.headers, response.shows_headers),
            3 => (&mut response.trailers, response.shows_trailers),
            _ => return None,
        };
        map.as_mut().filter(|_| shown)
    }

    /// The first value of a header, with the statuses of `getHeaderMapValue`.
    pub(crate) fn header(&self, map: u32, name: &[u8]) -> Result<Vec<u8>, Status> {
        let Some(map) = self.map(map) else {
            let logging = self.exchange(self.context()).is_some_and(|exchange| exchange.logging);
            return Err(if logging { Status::NotFound } else { Status::BadArgument });
        };
        map.get(name).map(<[u8]>::to_vec).ok_or(Status::NotFound)
    }

    /// A buffer to read. Bodies that are not there are empty, as in Envoy; other absent buffers are `NotFound`.
    pub(crate) fn buffer(&self, buffer: u32) -> Result<&[u8], Status> {
        let exchange = self.exchange(self.context());
        match buffer {
            0 => Ok(exchange.map(|exchange| exchange.request.body()).unwrap_or_default()),
            1 => Ok(exchange.map(|exchange| exchange.response.body()).unwrap_or_default()),
            // TCP connections and call data: there are none, which Envoy shows as empty.
            2 | 3 | 8 => Ok(&[]),
            4 => {
                let http = self.delivered().and_then(|delivered| delivered.http.as_ref());
                http.map(|(_, body, _)| body.as_slice()).ok_or(Status::NotFound)
            }
            5 => Ok(self.delivered().and_then(|delivered| delivered.message.as_deref()).unwrap_or_default()),
            6 => Ok(&self.env.settings.vm_configuration),
            7 => self.configuration.as_deref().ok_or(Status::NotFound),
            _ => Err(Status::BadArgument),
        }
    }

    /// A buffer to change: only bodies can be.
    pub(crate) fn buffer_mut(&mut self, buffer: u32) -> Option<&mut Vec<u8>> {
        let context = self.context();
        let exchange = self.exchange_mut(context)?;
        match buffer {
            0 => exchange.request.body_mut(),
            1 => exchange.response.body_mut(),
            _ => None,
        }
    }
}

/// What came of calling into the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Called {
    /// The module does not export the callback.
    Absent,
    /// It returned this; zero where it returns nothing.
    Returned(u32),
    /// The VM has failed, now or earlier.
    Failed,
}

/// A VM.
pub(crate) struct Vm {
    pub(crate) store: Store<State>,
    callbacks: BTreeMap<&'static str, Func>,
    pub(crate) failed: Option<String>,
    abi: AbiVersion,
    fuel: u64,
}

impl Vm {
    /// Instantiates a module and runs its initialization. The error says why that failed.
    pub(crate) fn new(
        module: &Module,
        env: &Environment,
        thread: Thread,
    ) -> Result<Arc<Mutex<Self>>, String> {
        let number = env.new_vm_number();
        let fuel = env.settings.fuel;
        let limits = StoreLimitsBuilder::new()
            .memory_size(env.settings.memory_limit)
            .table_elements(MOST_TABLE_ELEMENTS)
            .build();
        let state = State {
            env: env.clone(),
            thread,
            number,
            guest: None,
            contexts: BTreeMap::new(),
            next_context: 1,
            current: 0,
            effective: 0,
            after: VecDeque::new(),
            stop_iteration: false,
            metrics: Metrics::new(env.stats.clone()),
            callouts: Callouts::new(env.clusters.clone()),
            delivered: Delivered::default(),
            configuration: None,
            report: Report::default(),
            work: fuel,
            limits,
            depth: 0,
            initializing: false,
        };
        let mut store = Store::new(module.ready().module().engine(), state);
        store.limiter(|state| &mut state.limits);
        let run = |error: wasmtime::Error| format!("cannot be instantiated: {}", explain(&error, fuel));
        store.set_fuel(fuel).map_err(run)?;
        let instance = module.ready().instantiate(&mut store).map_err(run)?;
        let mut callbacks = BTreeMap::new();
        for (name, ..) in CALLBACKS {
            if let Some(function) = instance.get_func(&mut store, name) {
                callbacks.insert(*name, function);
            }
        }
        let allocate = ALLOCATORS.iter().find_map(|name| callbacks.get(name)).ok_or("has no allocator")?;
        let allocate = allocate.typed::<u32, u32>(&store).map_err(run)?;
        let memory = instance.get_memory(&mut store, "memory").ok_or("has no memory")?;
        store.data_mut().guest = Some(Guest { memory, allocate });
        let mut vm = Self { store, callbacks, failed: None, abi: module.abi(), fuel };
        // `WasmBase::getFunctions` and `WasmBase::startVm`.
        let reactor = vm.callbacks.contains_key("_initialize");
        let starts: &[(&'static str, &[u32])] =
            if reactor { &[("_initialize", &[]), ("main", &[0, 0])] } else { &[("_start", &[])] };
        vm.store.data_mut().initializing = true;
        for (start, arguments) in starts {
            if vm.call(0, start, arguments) == Called::Failed {
                return Err(vm.failed.unwrap_or_default());
            }
        }
        vm.store.data_mut().initializing = false;
        let vm = Arc::new(Mutex::new(vm));
        env.enlist(number, &vm);
        Ok(vm)
    }

    /// Makes a root context, starts the VM for it and configures it (`WasmBase::start` and `configure`).
    pub(crate) fn start(&mut self, configuration: &[u8]) -> Result<u32, String> {
        let id = self.allocate_context();
        self.store.data_mut().contexts.insert(id, Context::Root(Root::default()));
        self.store.data_mut().configuration = Some(configuration.to_vec());
        self.call(id, "proxy_on_context_create", &[id, 0]);
        self.store.data_mut().configuration = None;
        self.run_after();
        let size = u32::try_from(self.store.data().env.settings.vm_configuration.len()).unwrap_or(u32::MAX);
        let started = self.call(id, "proxy_on_vm_start", &[id, size]);
        self.run_after();
        self.accepted(started, "proxy_on_vm_start")?;
        let size = u32::try_from(configuration.len()).unwrap_or(u32::MAX);
        self.store.data_mut().configuration = Some(configuration.to_vec());
        let configured = self.call(id, "proxy_on_configure", &[id, size]);
        self.store.data_mut().configuration = None;
        self.run_after();
        self.accepted(configured, "proxy_on_configure")?;
        Ok(id)
    }

    fn accepted(&self, called: Called, callback: &str) -> Result<(), String> {
        match called {
            Called::Returned(0) => Err(format!("refused by the module: `{callback}` returned false")),
            Called::Absent | Called::Returned(_) => Ok(()),
            Called::Failed => Err(self.failed.clone().unwrap_or_default()),
        }
    }

    /// The end of a root context: asked whether it is done, and deleted as soon as it is (`startShutdown`).
    pub(crate) fn shut_down(&mut self, root: u32) {
        let done = self.call(root, "proxy_on_done", &[root]);
        if done == Called::Returned(0) {
            if let Some(root) = self.store.data_mut().root_mut(root) {
                root.finishing = true;
            }
            self.run_after();
        } else {
            self.run_after();
            self.delete_root(root);
        }
    }

    /// The end of a root context that a newer configuration replaced: its streams are reset, then it is shut down.
    pub(crate) fn drain(&mut self, old: u32) {
        let of_old = |context: &Context| matches!(context, Context::Stream { root, .. } if *root == old);
        let contexts = &self.store.data().contexts;
        let streams: Vec<u32> = contexts.iter().filter(|(_, one)| of_old(one)).map(|(id, _)| *id).collect();
        for stream in streams {
            self.reset(stream);
        }
        self.shut_down(old);
    }

    pub(crate) fn delete_root(&mut self, root: u32) {
        self.call(root, "proxy_on_delete", &[root]);
        self.store.data_mut().contexts.remove(&root);
        self.store.data_mut().callouts.forget_context(root);
        self.run_after();
    }

    /// A number for a new context; numbers are not used again.
    pub(crate) fn allocate_context(&mut self) -> u32 {
        let state = self.store.data_mut();
        let id = state.next_context;
        state.next_context = id.wrapping_add(1).max(1);
        id
    }

    /// When the next tick of this VM is due.
    pub(crate) fn next_tick(&self) -> Option<Duration> {
        let roots = self.store.data().contexts.values();
        roots
            .filter_map(|context| match context {
                Context::Root(root) => root.tick.map(|tick| tick.next),
                Context::Stream { .. } => None,
            })
            .min()
    }

    /// Ticks each root context whose time has come, once. The next tick is a period after this one.
    pub(crate) fn tick(&mut self) {
        let now = self.store.data().env.now();
        let due = |context: &Context| matches!(context, Context::Root(Root { tick: Some(tick), .. }) if tick.next <= now);
        let contexts = &self.store.data().contexts;
        let roots: Vec<u32> =
            contexts.iter().filter(|(_, context)| due(context)).map(|(id, _)| *id).collect();
        for id in roots {
            if let Some(tick) = self.store.data_mut().root_mut(id).and_then(|root| root.tick.as_mut()) {
                tick.next = now.saturating_add(tick.period);
            }
            self.call(id, "proxy_on_tick", &[id]);
            self.run_after();
        }
    }

    /// A queue that this VM registered has a new item.
    pub(crate) fn queue_ready(&mut self, context: u32, token: u32) {
        if self.store.data().contexts.contains_key(&context) {
            self.call(context, "proxy_on_queue_ready", &[context, token]);
            self.run_after();
        }
    }

    /// When something is due in this VM: a tick, or the answer of a callout.
    pub(crate) fn next_event(&self) -> Option<Duration> {
        [self.next_tick(), self.next_delivery()].into_iter().flatten().min()
    }

    /// When the next answer of a callout is due.
    pub(crate) fn next_delivery(&self) -> Option<Duration> {
        self.store.data().callouts.next_due()
    }

    /// Tells the module what has come of its callouts until now, one by one, and says of how many. What it calls out
    /// meanwhile waits for the next round.
    pub(crate) fn deliver(&mut self) -> u64 {
        let now = self.store.data().env.now();
        let mut count = 0;
        for _ in 0..self.store.data().callouts.count_due(now) {
            let Some(delivery) = self.store.data_mut().callouts.next_delivery(now) else { break };
            self.tell(delivery);
            count += 1;
        }
        count
    }

    fn tell(&mut self, delivery: Delivery) {
        let Delivery { context, token, event } = delivery;
        let state = self.store.data_mut();
        let Some(root) = state.root_mut(context) else { return };
        let count = |map: &HeaderMap| u32::try_from(map.len()).unwrap_or(u32::MAX);
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut delivered = Delivered { root: context, ..Delivered::default() };
        let mut broken = false;
        let (callback, arguments) = match event {
            Event::HttpResponse { headers, body, trailers } => {
                let counts = [count(&headers), size(&body), trailers.as_ref().map_or(0, count)];
                delivered.http = Some((headers, body, trailers));
                ("proxy_on_http_call_response", [&[context, token], &counts[..]].concat())
            }
            Event::HttpFailure => {
                root.status = (Status::BrokenConnection.code(), b"reset".to_vec());
                broken = true;
                ("proxy_on_http_call_response", vec![context, token, 0, 0, 0])
            }
            Event::GrpcInitialMetadata(metadata) => {
                let arguments = vec![context, token, count(&metadata)];
                delivered.initial_metadata = Some(metadata);
                ("proxy_on_grpc_receive_initial_metadata", arguments)
            }
            Event::GrpcMessage(message) => {
                let arguments = vec![context, token, size(&message)];
                delivered.message = Some(message);
                ("proxy_on_grpc_receive", arguments)
            }
            Event::GrpcTrailingMetadata(metadata) => {
                let arguments = vec![context, token, count(&metadata)];
                delivered.trailing_metadata = Some(metadata);
                ("proxy_on_grpc_receive_trailing_metadata", arguments)
            }
            Event::GrpcClose { status, message } => {
                root.status = (status, message);
                broken = true;
                ("proxy_on_grpc_close", vec![context, token, status])
            }
        };
        state.delivered = delivered;
        self.call(context, callback, &arguments);
        let state = self.store.data_mut();
        state.delivered = Delivered::default();
        // The number stays, the text does not.
        if let Some(root) = state.root_mut(context).filter(|_| broken) {
            root.status.1.clear();
        }
        self.run_after();
    }

    /// The bytes of linear memory.
    pub(crate) fn memory(&self) -> usize {
        self.store.data().guest.as_ref().map_or(0, |guest| guest.memory.data_size(&self.store))
    }

    /// What root contexts have cost so far.
    pub(crate) fn root_report(&self) -> Report {
        self.store.data().report.clone()
    }

    /// Calls a callback for a context, with the fuel of one callback.
    pub(crate) fn call(&mut self, context: u32, name: &'static str, arguments: &[u32]) -> Called {
        if self.failed.is_some() {
            return Called::Failed;
        }
        let Some(function) = self.callbacks.get(name).copied() else { return Called::Absent };
        let count = abi::callback(name, self.abi).map_or(0, |(parameters, _)| parameters);
        let arguments: Vec<Val> =
            arguments.iter().take(count).map(|value| Val::I32(value.cast_signed())).collect();
        let returns = abi::callback(name, self.abi).is_some_and(|(_, results)| results == 1);
        let mut results = if returns { vec![Val::I32(0)] } else { Vec::new() };
        let state = self.store.data_mut();
        let before = (state.current, state.effective);
        (state.current, state.effective) = (context, 0);
        state.work = self.fuel;
        // Refilling cannot fail: the engine is made with fuel.
        let called = self
            .store
            .set_fuel(self.fuel)
            .and_then(|()| function.call(&mut self.store, &arguments, &mut results));
        let used = self.fuel.saturating_sub(self.store.get_fuel().unwrap_or(0));
        let state = self.store.data_mut();
        (state.current, state.effective) = before;
        match state.exchange_mut(context) {
            Some(exchange) => exchange.report.callbacks.push((name, used)),
            // A VM lives long: its own callbacks are counted and not listed one by one.
            None => match state.report.callbacks.iter_mut().find(|(known, _)| *known == name) {
                Some((_, fuel)) => *fuel = fuel.saturating_add(used),
                None => state.report.callbacks.push((name, used)),
            },
        }
        match called {
            Ok(()) => Called::Returned(results.first().and_then(Val::i32).map_or(0, i32::cast_unsigned)),
            Err(error) => {
                let message = format!("`{name}` failed: {}", explain(&error, self.fuel));
                self.store.data().log(LogLevel::Critical, message.as_bytes());
                self.failed = Some(message);
                Called::Failed
            }
        }
    }

    /// Does what the module asked for in the callbacks that have returned.
    pub(crate) fn run_after(&mut self) {
        let state = self.store.data_mut();
        state.stop_iteration = false;
        if state.depth == MOST_DEPTH {
            let message = "a module that answers one stream from within another, over and over, was not heard; Envoy would \
                           run out of stack";
            state.after.clear();
            return state.log(LogLevel::Error, message.as_bytes());
        }
        state.depth += 1;
        self.run_all_after();
        let state = self.store.data_mut();
        state.depth = state.depth.saturating_sub(1);
    }

    fn run_all_after(&mut self) {
        while let Some(action) = self.store.data_mut().after.pop_front() {
            match action {
                After::Continue(context, side) => self.resume(context, side),
                After::Close(context) => self.close(context),
                After::Reply(context, reply) => self.local_reply(context, *reply),
                After::Delete(root) => self.delete_root(root),
            }
        }
    }
}

/// Why the module stopped, in one line.
fn explain(error: &wasmtime::Error, fuel: u64) -> String {
    if error.downcast_ref::<Overworked>().is_some() {
        return format!(
            "it made the host do more than {fuel} units of fuel are worth and may never return; raise the limit if it \
             needs more"
        );
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            format!(
                "it ran for more than {fuel} units of fuel and may never return; raise the limit if it needs more"
            )
        }
        Some(trap) => trap.to_string(),
        None => line(error),
    }
}
