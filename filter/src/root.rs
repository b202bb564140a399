//! The root context: one configuration in one worker, what it puts in force, and the callbacks that change it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use bartizan_engine::pipeline::Engine;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::configure::{Problem, configure};
use crate::following::{Following, Serving, TICK};
use crate::host::{self, Level};
use crate::http::Filter;
use crate::metrics::Metrics;
use crate::signature::Signatures;

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
}

thread_local! {
    /// The root contexts of this VM: the answer of a call comes with the number of one.
    static ROOTS: RefCell<Vec<(u32, Weak<RefCell<Inner>>)>> = const { RefCell::new(Vec::new()) };
    /// The root context that shows what it follows. One that was replaced goes on until its streams have ended.
    static SHOWN: Cell<Option<u32>> = const { Cell::new(None) };
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        let inner = Inner { serving: Serving::Closed, metrics: None, following: None };
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
        if self.inner.try_borrow().is_ok_and(|inner| inner.following.is_some()) {
            let _ = host::set_tick_period(0);
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
    if let Some(following) = &mut inner.following {
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
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let Ok(mut inner) = self.inner.try_borrow_mut() else { return true };
        let metrics = Metrics::of_vm();
        inner.metrics = Some(metrics.clone());
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
                let followed = inner.following.is_some();
                inner.serving =
                    configured.active.map_or(Serving::Closed, |(active, _)| Serving::Policy(active));
                inner.following = configured.following;
                if let Some(following) = &mut inner.following {
                    following.resume();
                    let has_source = following.has_source();
                    inner.serve();
                    // One that only watches the time leaves the gauges to one that follows.
                    if has_source || SHOWN.get().is_none() {
                        SHOWN.set(Some(self.id));
                    }
                    if let Err(status) = host::set_tick_period(TICK) {
                        let text = format!(
                            "bartizan: the proxy gives no ticks (status {}); this worker does not follow until there is another plugin configuration",
                            status.0
                        );
                        host::log(Level::Error, &text);
                    }
                } else if followed {
                    let _ = host::set_tick_period(0);
                }
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
                true
            }
        }
    }

    fn on_tick(&mut self) {
        let Ok(mut inner) = self.inner.try_borrow_mut() else { return };
        if let Some(following) = &mut inner.following {
            let shown = SHOWN.get().unwrap_or(self.id);
            SHOWN.set(Some(shown));
            following.tick(shown == self.id);
            inner.serve();
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let (serving, metrics) = match self.inner.try_borrow() {
            Ok(inner) => (inner.serving.clone(), inner.metrics.clone()),
            Err(_) => (Serving::Closed, None),
        };
        Some(Box::new(Filter::new(serving, metrics)))
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
