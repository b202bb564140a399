//! The root context: one configuration in one worker, what it puts in force, and the callbacks that change it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use bartizan_engine::pipeline::Engine;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::configure::{Problem, configure};
use crate::fetching::Fetching;
use crate::following::{Following, Serving};
use crate::host::{self, Level};
use crate::http::Filter;
use crate::metrics::Metrics;
use crate::signature::Signatures;
use crate::waiting::Keeper;

/// Everything that requests of one worker share.
pub(crate) struct Active {
    pub(crate) engine: RefCell<Engine>,
    pub(crate) hold_headers: bool,
    pub(crate) signatures: Signatures,
}

/// The root context. Without an active engine every request is refused.
pub(crate) struct Root {
    id: u32,
    inner: Rc<RefCell<Inner>>,
}

struct Inner {
    serving: Serving,
    metrics: Option<Rc<Metrics>>,
    following: Option<Following>,
    keeper: Rc<Keeper>,
}

thread_local! {
    /// The root contexts of this VM: the answer of a call comes with the number of one.
    static ROOTS: RefCell<Vec<(u32, Weak<RefCell<Inner>>)>> = const { RefCell::new(Vec::new()) };
    /// The root context that shows what it follows. One that was replaced goes on until its streams have ended.
    static SHOWN: Cell<Option<u32>> = const { Cell::new(None) };
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        let inner =
            Inner { serving: Serving::Closed, metrics: None, following: None, keeper: Keeper::new(id) };
        let inner = Rc::new(RefCell::new(inner));
        ROOTS.with(|roots| {
            if let Ok(mut roots) = roots.try_borrow_mut() {
                roots.push((id, Rc::downgrade(&inner)));
            }
        });
        Self { id, inner }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Envoy keeps the timer of a root context that is gone.
        if let Ok(inner) = self.inner.try_borrow() {
            let _ = inner.keeper.look(false, false);
        }
        let id = self.id;
        let _ = ROOTS.try_with(|roots| {
            if let Ok(mut roots) = roots.try_borrow_mut() {
                roots.retain(|(other, _)| *other != id);
            }
        });
        let _ = SHOWN.try_with(|shown| {
            if shown.get() == Some(id) {
                shown.set(None);
            }
        });
    }
}

/// The answer of a call of a root context.
pub(crate) fn answered(id: u32, token: u32, whole: bool, size: usize) {
    let inner = ROOTS.with(|roots| {
        let roots = roots.try_borrow().ok()?;
        roots.iter().find(|(other, _)| *other == id).and_then(|(_, inner)| inner.upgrade())
    });
    let Some(inner) = inner else { return };
    let Ok(mut inner) = inner.try_borrow_mut() else { return };
    let (keeper, metrics) = (inner.keeper.clone(), inner.metrics.clone());
    if metrics.is_some_and(|metrics| keeper.fetching.answered(token, whole, size, &metrics)) {
        // Streams that go on call back into this root context only when this callback has returned.
        drop(inner);
        keeper.resume();
    } else if let Some(following) = &mut inner.following {
        following.answered(token, whole, size);
        inner.serve();
    }
}

impl Inner {
    /// New requests are judged by what is in force now.
    fn serve(&mut self) {
        if let Some(following) = &self.following {
            self.serving = following.serving();
        }
        if self.fetches()
            && let Some(metrics) = &self.metrics
        {
            metrics.define_feeds();
        }
    }

    /// Whether the policy in force has anything to fetch.
    fn fetches(&self) -> bool {
        match &self.serving {
            Serving::Policy(active) => {
                active.engine.try_borrow().is_ok_and(|engine| !engine.feeds().is_empty())
            }
            Serving::Closed | Serving::Open => false,
        }
    }

    /// Begins or ends looking for news, whatever they are about.
    fn look(&self) {
        if let Err(status) = self.keeper.look(self.following.is_some() || self.fetches(), self.fetches()) {
            let text = format!(
                "bartizan: the proxy gives no ticks (status {}); this worker does not follow or fetch until there is another plugin configuration",
                status.0
            );
            host::log(Level::Error, &text);
        }
    }

    /// What the policies need that are in force, or for which somebody waits.
    fn fetch(&self, shows: bool) {
        let Some(metrics) = &self.metrics else { return };
        let mut all = self.keeper.awaited();
        if let Serving::Policy(active) = &self.serving {
            if !all.iter().any(|other| Rc::ptr_eq(other, active)) {
                all.push(active.clone());
            }
            if shows && self.fetches() {
                Fetching::show(active, metrics);
            }
        }
        for active in &all {
            self.keeper.fetching.tick(active, metrics);
        }
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let Ok(mut inner) = self.inner.try_borrow_mut() else { return true };
        let metrics = Metrics::of_vm();
        inner.metrics = Some(metrics.clone());
        inner.keeper.use_metrics(metrics.clone());
        let first = is_first();
        match configure(size, &metrics) {
            Ok(configured) => {
                if let Some((_, policy)) = &configured.active {
                    let by = configured.signatures.by();
                    let text = format!("bartizan: {policy} is in force, tokens are checked by {by}");
                    host::log(Level::Info, &text);
                }
                if let Some(note) = &configured.note {
                    host::log(
                        Level::Error,
                        &format!("bartizan: the bundle in the plugin configuration is not in force: {note}"),
                    );
                }
                inner.serving =
                    configured.active.map_or(Serving::Closed, |(active, _)| Serving::Policy(active));
                inner.following = configured.following;
                if let Some(following) = &mut inner.following {
                    following.resume();
                }
                inner.serve();
                // One that only watches the time leaves the gauges to one that follows or fetches.
                let is_shown = inner.following.as_ref().is_some_and(Following::has_source) || inner.fetches();
                if is_shown || (inner.following.is_some() && SHOWN.get().is_none()) {
                    SHOWN.set(Some(self.id));
                }
                inner.look();
                true
            }
            // Whatever was in force stays in force; Envoy refuses the configuration.
            Err(Problem::Everywhere(problem)) if first => {
                let text = format!("bartizan: the plugin configuration cannot be used: {problem}");
                host::log(Level::Error, &text);
                false
            }
            Err(Problem::Everywhere(problem) | Problem::Here(problem)) => {
                let text = format!(
                    "bartizan: every request is refused until there is another plugin configuration: {problem}"
                );
                host::log(Level::Error, &text);
                inner.serving = Serving::Closed;
                inner.following = None;
                inner.look();
                true
            }
        }
    }

    fn on_tick(&mut self) {
        let Ok(mut inner) = self.inner.try_borrow_mut() else { return };
        let shown = SHOWN.get().unwrap_or(self.id);
        SHOWN.set(Some(shown));
        let shows = shown == self.id;
        if let Some(following) = &mut inner.following {
            following.tick(shows);
            inner.serve();
            inner.look();
        }
        inner.fetch(shows);
        let keeper = inner.keeper.clone();
        drop(inner);
        keeper.resume();
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        let (serving, keeper) = match self.inner.try_borrow() {
            Ok(inner) => (inner.serving.clone(), inner.keeper.clone()),
            Err(_) => (Serving::Closed, Keeper::new(self.id)),
        };
        Some(Box::new(Filter::new(serving, keeper, context)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Whether this VM has never been asked to configure anything.
fn is_first() -> bool {
    thread_local! {
        static ASKED: Cell<bool> = const { Cell::new(false) };
    }
    !ASKED.replace(true)
}
