//! From a plugin configuration to an engine, once per worker and configuration.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;

use bartizan_engine::envelope::{self, Trust};
use bartizan_engine::host::{Host, Loaded, Stored};
use bartizan_engine::pipeline::{Engine, Surroundings};
use bartizan_engine::plan::Plan;
use bartizan_engine::reason::Reason;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::config::{Configuration, SignatureSetting};
use crate::host::{self, Buffer, Level, Status};
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
        let first = is_first();
        match configure(size) {
            Ok((active, policy)) => {
                let by = match active.signatures {
                    Signatures::Host => "the proxy",
                    Signatures::Wasm => "the filter",
                };
                let text = format!("bartizan: {policy} is in force, tokens are checked by {by}");
                host::log(Level::Info, &text);
                self.active = Some(Rc::new(active));
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

/// Whether this VM has never been asked to configure anything.
fn is_first() -> bool {
    thread_local! {
        static ASKED: Cell<bool> = const { Cell::new(false) };
    }
    !ASKED.replace(true)
}

/// Why a configuration cannot be used.
///
/// Envoy asks the canary first, a VM of its own for each configuration. What the canary refuses is not put in force; but a
/// worker that refuses what the canary took runs without the filter (a null handle in
/// `PluginConfig::createContext`). So only a VM that may be the canary ever refuses, one that is asked for the first time,
/// and only for what every VM finds alike. All others take the configuration and refuse every request.
///
/// What is left: a proxy that does not give the canary the configuration at all, which is then not judged, and is one that
/// cannot be used, and a worker that is new.
///
/// What depends on the time is no reason to refuse either: a VM that comes back after a failure is new, and may find
/// expired what the canary did not.
enum Problem {
    /// Every VM finds this, at any time.
    Everywhere(String),
    /// The proxy failed in this VM, or it is too early or too late.
    Here(String),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::Everywhere(problem)
    }
}

const NO_POLICY: &str =
    "there is neither a `plan` nor a `bundle` in it; put the output of `bartizan build --inline` there";

/// What is to be in force, and what to call it.
fn configure(size: usize) -> Result<(Active, String), Problem> {
    if size == 0 {
        return Err(Problem::Here(NO_POLICY.into()));
    }
    let bytes = host::buffer(Buffer::PluginConfiguration, size)
        .map_err(|status| Problem::Here(format!("it cannot be read (status {})", status.0)))?;
    let configuration: Configuration<'_> = serde_json::from_slice(&bytes).map_err(|e| {
        format!("{e}; it is JSON with `settings` and `plan`, or `bundle` and `trust`, see `bartizan build --inline`")
    })?;
    // What is only wrong here and now is told last: the canary must not take what no VM can use.
    let mut here = None;
    let (plan, vouched) = policy(&configuration, &mut here)?;
    let settings = configuration.settings;
    let signatures = match settings.signatures {
        SignatureSetting::Wasm => Signatures::Wasm,
        SignatureSetting::Auto | SignatureSetting::Host if self_test::passes() => Signatures::Host,
        SignatureSetting::Auto => Signatures::Wasm,
        SignatureSetting::Host => {
            let problem = "settings.signatures: the proxy's `verify_signature` is missing or failed its self-test; \
                           set `auto` to fall back to the filter's own";
            // A function that is missing is missing everywhere; what else it answers may be otherwise elsewhere.
            if matches!(host::foreign("verify_signature", &[]), Err(Status::NOT_FOUND)) {
                return Err(Problem::Everywhere(problem.into()));
            }
            here.get_or_insert_with(|| problem.to_owned());
            Signatures::Wasm
        }
    };
    let secret = |name: &str| std::env::var(name).ok().map(String::into_bytes);
    // With a made-up seed the plan is judged and never put in force.
    let seed = seed();
    let surroundings = Surroundings {
        secret: &secret,
        seed: seed.as_ref().copied().unwrap_or_default(),
        peer_appended: settings.peer_appended,
    };
    let engine = Engine::load(plan, &surroundings).map_err(|e| format!("plan: {e}"))?;
    if let Some(problem) = here.or(seed.err()) {
        return Err(Problem::Here(problem));
    }
    let policy = format!("bundle `{}` revision {}{vouched}", engine.name(), engine.revision());
    Ok((Active { engine: RefCell::new(engine), hold_headers: settings.hold_headers, signatures }, policy))
}

/// The plan, and who vouches for it. What is wrong with it only here and now is put into `here`.
fn policy(configuration: &Configuration<'_>, here: &mut Option<String>) -> Result<(Plan, String), Problem> {
    match (configuration.plan, configuration.bundle, &configuration.trust) {
        (Some(plan), None, None) => {
            let plan = Plan::parse(plan.get().as_bytes()).map_err(|e| format!("plan: {e}"))?;
            Ok((plan, String::new()))
        }
        (None, Some(bundle), Some(trust)) => {
            let trust = Trust::load(trust).map_err(|e| format!("trust: {e}"))?;
            let told = |refused: envelope::Refused| format!("bundle: {refused}; {}", refused.kind.remedy());
            // Nothing is in force that it must follow: an operator who writes another configuration may go back.
            let vouched = envelope::vouch(bundle.get().as_bytes(), &trust, None).map_err(told)?;
            *here = match host::now() {
                Ok(nanoseconds) => vouched.in_time(nanoseconds / 1_000_000_000).map_err(told).err(),
                Err(status) => Some(format!("the time cannot be read (status {})", status.0)),
            };
            let (plan, signers) = vouched.into_parts();
            Ok((plan, format!(", signed by {},", signers.join(" and "))))
        }
        (None, None, None) => Err(Problem::Here(NO_POLICY.into())),
        (Some(_), Some(_), _) => Err("`plan` and `bundle` are both there; give one of them".to_owned())?,
        (None, Some(_), None) => {
            Err("`bundle` is there without `trust`; say in `trust` whose signatures count".to_owned())?
        }
        (_, None, Some(_)) => {
            Err("`trust` is there without `bundle`; a plan is not signed, put the artifact into `bundle`"
                .to_owned())?
        }
    }
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
