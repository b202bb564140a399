//! From a plugin configuration to an engine, once per worker and configuration.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;

use bartizan_engine::host::{Host, Loaded, Stored};
use bartizan_engine::pipeline::{Engine, Surroundings};
use bartizan_engine::plan::Plan;
use bartizan_engine::reason::Reason;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::config::{Configuration, SignatureSetting};
use crate::host::{self, Buffer, Level};
use crate::http::Filter;
use crate::proxy::Proxy;
use crate::self_test;
use crate::signature::Signatures;

/// Where the workers keep the number that spreads keys over slots.
const SEED_SLOT: &str = "seed";

/// Everything that requests of one worker share.
pub(crate) struct Active {
    pub(crate) engine: RefCell<Engine>,
    pub(crate) hold_headers: bool,
    pub(crate) signatures: Signatures,
}

/// Counters of refusals, one per reason: their number and names are fixed, whatever clients send.
#[derive(Default)]
pub(crate) struct Counters {
    refused: RefCell<Vec<(Reason, u32)>>,
}

impl Counters {
    /// The counters of this VM. Envoy gives a further id each time a name is defined, and keeps all of them as
    /// long as the VM lives: so they are defined once and not with each configuration.
    fn of_vm() -> Rc<Self> {
        thread_local! {
            static COUNTERS: Rc<Counters> = Rc::default();
        }
        COUNTERS.with(|counters| {
            counters.define();
            counters.clone()
        })
    }

    /// Defines those that are not there yet.
    fn define(&self) {
        let Ok(mut refused) = self.refused.try_borrow_mut() else { return };
        for &reason in Reason::ALL {
            if refused.iter().all(|(known, _)| *known != reason)
                && let Ok(id) = host::define_counter(&format!("bartizan.refused.{}", reason.code()))
            {
                refused.push((reason, id));
            }
        }
    }

    pub(crate) fn refused(&self, reason: Reason) {
        let Ok(refused) = self.refused.try_borrow() else { return };
        if let Some((_, id)) = refused.iter().find(|(r, _)| *r == reason) {
            host::count(*id);
        }
    }
}

/// The root context. Without an active engine every request is refused.
#[derive(Default)]
pub(crate) struct Root {
    active: Option<Rc<Active>>,
    counters: Option<Rc<Counters>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        self.counters = Some(Counters::of_vm());
        match configure(size) {
            Ok(Some(active)) => {
                {
                    let engine = active.engine.borrow();
                    let by = match active.signatures {
                        Signatures::Host => "the proxy",
                        Signatures::Wasm => "the filter",
                    };
                    host::log(
                        Level::Info,
                        &format!(
                            "bartizan: bundle `{}` revision {} is in force, signatures are checked by {by}",
                            engine.name(),
                            engine.revision()
                        ),
                    );
                }
                self.active = Some(Rc::new(active));
                true
            }
            Ok(None) => {
                host::log(
                    Level::Error,
                    "bartizan: there is no `plan` in the plugin configuration, so every request is refused; \
                     put the output of `bartizan build --inline` there",
                );
                self.active = None;
                true
            }
            // Whatever was in force stays in force; Envoy refuses the configuration.
            Err(Problem::Configuration(problem)) => {
                host::log(
                    Level::Error,
                    &format!("bartizan: the plugin configuration cannot be used: {problem}"),
                );
                false
            }
            Err(Problem::Proxy(problem)) => {
                host::log(
                    Level::Error,
                    &format!(
                        "bartizan: the plugin configuration cannot be used here, so every request is refused \
                         until there is another: {problem}"
                    ),
                );
                self.active = None;
                true
            }
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Filter::new(self.active.clone(), self.counters.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Why a configuration cannot be used.
enum Problem {
    /// Every VM finds this, the canary first: nothing is put in force.
    Configuration(String),
    /// The proxy failed in this VM. The canary may have taken the configuration, and then it is in force: Envoy runs
    /// a worker that refuses it without the filter (a null handle in `PluginConfig::createContext`). So it is taken,
    /// and every request is refused.
    Proxy(String),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::Configuration(problem)
    }
}

fn configure(size: usize) -> Result<Option<Active>, Problem> {
    if size == 0 {
        return Ok(None);
    }
    let bytes = host::buffer(Buffer::PluginConfiguration, size)
        .map_err(|status| Problem::Proxy(format!("it cannot be read (status {})", status.0)))?;
    let configuration: Configuration<'_> = serde_json::from_slice(&bytes)
        .map_err(|e| format!("{e}; it is JSON with `plan` and `settings`, see `bartizan build --inline`"))?;
    let Some(plan) = configuration.plan else { return Ok(None) };
    let plan = Plan::parse(plan.get().as_bytes()).map_err(|e| format!("plan: {e}"))?;
    let settings = configuration.settings;
    let signatures = match settings.signatures {
        SignatureSetting::Wasm => Signatures::Wasm,
        _ if self_test::passes() => Signatures::Host,
        SignatureSetting::Auto => Signatures::Wasm,
        SignatureSetting::Host => {
            return Err(Problem::Configuration(
                "settings.signatures: the proxy's `verify_signature` is missing or failed its self-test; \
                        set `auto` to fall back to the filter's own"
                    .into(),
            ));
        }
    };
    let secret = |name: &str| std::env::var(name).ok().map(String::into_bytes);
    let surroundings = Surroundings {
        secret: &secret,
        seed: seed().map_err(Problem::Proxy)?,
        peer_appended: settings.peer_appended,
    };
    let engine = Engine::load(plan, &surroundings).map_err(|e| format!("plan: {e}"))?;
    Ok(Some(Active { engine: RefCell::new(engine), hold_headers: settings.hold_headers, signatures }))
}

/// The seed all workers share. Whoever comes first makes it up: creating a slot is atomic, and who loses
/// the race reads what the winner wrote.
fn seed() -> Result<[u64; 2], String> {
    let mut proxy = Proxy::new(Signatures::Wasm);
    let mut bytes = Vec::new();
    for _ in 0..3 {
        match proxy.load(SEED_SLOT, &mut bytes) {
            Loaded::Present(_) => {
                let halves: Vec<u64> =
                    bytes.chunks_exact(8).filter_map(|c| c.try_into().ok()).map(u64::from_le_bytes).collect();
                return <[u64; 2]>::try_from(halves).map_err(|_| "the shared seed is not one".into());
            }
            Loaded::Absent => {
                // The standard library keys its hashers from the host's random numbers.
                let fresh: Vec<u8> =
                    (0..2).flat_map(|_| RandomState::new().build_hasher().finish().to_le_bytes()).collect();
                if proxy.store(SEED_SLOT, &fresh, None) == Stored::Failed {
                    break;
                }
            }
            Loaded::Failed => break,
        }
    }
    Err("the proxy's shared data cannot be used; give the plugin's `vm_config` a `vm_id`".into())
}
