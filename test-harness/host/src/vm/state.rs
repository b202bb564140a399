//! What host functions work on: the contexts of a VM, and what its callbacks leave behind.

use std::collections::{BTreeMap, VecDeque};

use wasmtime::StoreLimits;

use super::deliveries::Delivered;
use super::roots::Root;
use crate::Status;
use crate::abi::Guest;
use crate::clusters::Callouts;
use crate::environment::{Environment, LogLevel, Thread};
use crate::exchange::{Exchange, Reply, Report, Side};
use crate::metrics::Metrics;
use crate::properties::{self, Prototypes, Scope, StreamScope};
use crate::shared::Listener;

/// What a module has asked for and gets when its callback has returned.
pub(crate) enum After {
    Continue(u32, Side),
    Close(u32),
    Reply(u32, Box<Reply>),
    /// A root context that was asked to finish has said that it is done.
    Delete(u32),
}

pub(crate) enum Context {
    Root(Root),
    Stream { root: u32, exchange: Box<Exchange> },
}

/// What host functions work on.
pub(crate) struct State {
    pub(crate) env: Environment,
    pub(crate) thread: Thread,
    pub(super) number: u64,
    pub(crate) guest: Option<Guest>,
    pub(crate) contexts: BTreeMap<u32, Context>,
    pub(super) next_context: u32,
    pub(super) current: u32,
    /// Set by `proxy_set_effective_context`; zero if not.
    pub(crate) effective: u32,
    pub(crate) after: VecDeque<After>,
    /// A local response was sent in this callback, whatever it returns.
    pub(crate) stop_iteration: bool,
    pub(crate) metrics: Metrics,
    pub(crate) callouts: Callouts,
    pub(super) delivered: Delivered,
    /// The plugin configuration, while a callback runs that may read it.
    pub(super) configuration: Option<Vec<u8>>,
    /// What callbacks of root contexts cost.
    pub(super) report: Report,
    /// What the host still does for this callback, see `abi::cost`.
    pub(crate) work: u64,
    pub(super) limits: StoreLimits,
    /// How many callbacks stand upon each other, each called for what the one below asked for.
    pub(super) depth: u32,
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

    pub(super) fn root_mut(&mut self, context: u32) -> Option<&mut Root> {
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
}
