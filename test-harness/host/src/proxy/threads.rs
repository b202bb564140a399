//! What all handles on a proxy share: what each thread has of the plugin, what drains, and how time moves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::environment::{Environment, FailurePolicy, LogLevel, Thread, lock, nanos};
use crate::module::Module;
use crate::random::Random;
use crate::vm::Vm;

/// How many answers of callouts may come at one moment, or to one waiting request: a module that calls out again and again
/// ends there.
pub(crate) const MOST_ANSWERS: u64 = 20_000;

/// What all handles on a proxy share.
pub(crate) struct Core {
    pub(super) module: Module,
    pub(crate) env: Environment,
    pub(super) configuration: Mutex<Option<Vec<u8>>>,
    /// The main thread first, then the workers.
    pub(super) slots: Vec<Mutex<Slot>>,
    pub(super) jitter: Mutex<Random>,
    /// What was replaced, on which thread, and until when it lives.
    pub(super) draining: Mutex<Vec<(Duration, Thread, Loaded)>>,
    /// Each configuration that a canary has tried, and why it was refused if it was. Envoy tries none twice, be the answer
    /// yes or no (`plugin_canary_cache_` in `src/wasm.cc` of proxy-wasm-cpp-host).
    pub(super) tried: Mutex<BTreeMap<Key, Result<(), String>>>,
}

/// By what Envoy knows a configuration again: its SHA-256.
pub(super) type Key = [u8; 32];

pub(super) fn key(configuration: &[u8]) -> Key {
    let digest = ring::digest::digest(&ring::digest::SHA256, configuration);
    digest.as_ref().try_into().unwrap_or_default()
}

/// What one thread has of the plugin.
pub(super) struct Slot {
    pub(super) thread: Thread,
    /// `None` after a configuration that the canary took and this thread could not: Envoy then runs without
    /// the filter on this thread (`PluginConfig::createContext` with a null handle).
    pub(super) plugin: Option<Loaded>,
    /// When the VM was loaded last, or was tried to be.
    pub(super) loaded: Duration,
}

#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) vm: Arc<Mutex<Vm>>,
    pub(super) root: u32,
    /// Of the configuration.
    key: Key,
}

impl Loaded {
    fn start(vm: Arc<Mutex<Vm>>, configuration: &[u8]) -> Result<Self, String> {
        let root = lock(&vm).start(configuration)?;
        Ok(Self { vm, root, key: key(configuration) })
    }
}

impl Core {
    /// A new VM with the plugin in it.
    pub(super) fn load(&self, thread: Thread, configuration: &[u8]) -> Result<Loaded, String> {
        let vm = Vm::new(&self.module, &self.env, thread)?;
        Loaded::start(vm, configuration)
    }

    /// What a thread has for a configuration: what it still has from when that was in force before, or a new root context
    /// in the VM that it has, or that in a new VM.
    pub(super) fn plugin_for(
        &self,
        thread: Thread,
        old: Option<&Loaded>,
        configuration: &[u8],
    ) -> Result<Loaded, String> {
        let key = key(configuration);
        let is_again = |(_, of, loaded): &mut (Duration, Thread, Loaded)| {
            *of == thread && loaded.key == key && lock(&loaded.vm).failed.is_none()
        };
        let again = lock(&self.draining).extract_if(.., is_again).next();
        if let Some((.., loaded)) = again {
            return Ok(loaded);
        }
        match old.map(|old| &old.vm).filter(|vm| lock(vm).failed.is_none()) {
            Some(vm) => Loaded::start(vm.clone(), configuration),
            None => self.load(thread, configuration),
        }
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
            let drained = lock(&self.draining).iter().map(|(until, ..)| *until).min();
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
            let drained: Vec<_> = lock(&self.draining).extract_if(.., |(until, ..)| *until <= due).collect();
            for (.., old) in drained {
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

    pub(super) fn note(&self, thread: Thread, loaded: Result<Loaded, String>) -> Option<Loaded> {
        if let Err(why) = &loaded {
            self.env.write_log(
                thread,
                LogLevel::Critical,
                format!("the plugin did not load: {why}").as_bytes(),
            );
        }
        loaded.ok()
    }

    pub(super) fn vms(&self) -> Vec<(Thread, Arc<Mutex<Vm>>)> {
        let slots = self.slots.iter().map(lock);
        slots.filter_map(|slot| Some((slot.thread, slot.plugin.as_ref()?.vm.clone()))).collect()
    }

    pub(super) fn worker(&self, number: usize) -> Option<&Mutex<Slot>> {
        self.slots.get(number.saturating_add(1))
    }

    /// The plugin for a new stream on a worker; a failed VM is loaded anew if the policy says so and the time has come
    /// (`PluginConfig::maybeReloadHandleIfNeeded` in Envoy's `common/wasm/wasm.cc`).
    pub(super) fn plugin(&self, number: usize) -> Option<Loaded> {
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
