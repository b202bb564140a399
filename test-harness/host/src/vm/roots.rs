//! Root contexts: their start, their ticks, their end.

use std::time::Duration;

use super::state::{After, Context, State};
use super::{Called, Vm};
use crate::Status;
use crate::properties::Prototypes;

/// A root context: one configuration in one VM.
#[derive(Debug, Default)]
pub(crate) struct Root {
    tick: Option<Tick>,
    /// `proxy_on_done` said "not yet"; the module will call `proxy_done`.
    finishing: bool,
    /// What `proxy_get_status` gives.
    pub(super) status: (u32, Vec<u8>),
    pub(super) prototypes: Prototypes,
}

#[derive(Debug, Clone, Copy)]
struct Tick {
    period: Duration,
    next: Duration,
}

impl State {
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
}

impl Vm {
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
}
