//! One VM: an instance of the module, its contexts, and the calls into it.

mod deliveries;
mod roots;
mod state;
mod views;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use wasmtime::{Func, Store, StoreLimitsBuilder, Trap, Val};

use self::deliveries::Delivered;
pub(crate) use self::state::{After, Context, State};
use crate::abi::{self, ALLOCATORS, CALLBACKS, Guest, Overworked};
use crate::clusters::Callouts;
use crate::environment::{Environment, LogLevel, Thread};
use crate::exchange::Report;
use crate::metrics::Metrics;
use crate::module::{AbiVersion, Module, line};

/// How many elements the tables of a module may have: many more than any compiler asks for.
const MOST_TABLE_ELEMENTS: usize = 10_000_000;

/// How many callbacks may stand upon each other.
const MOST_DEPTH: u32 = 100;

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

    /// A number for a new context; numbers are not used again.
    pub(crate) fn allocate_context(&mut self) -> u32 {
        let state = self.store.data_mut();
        let id = state.next_context;
        state.next_context = id.wrapping_add(1).max(1);
        id
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
