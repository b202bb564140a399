//! From a plugin configuration to an engine, once per worker and configuration.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;

use bartizan_engine::delivery::{Follower, InForce, Source};
use bartizan_engine::envelope::trust::TrustPlan;
use bartizan_engine::envelope::{self, Kind, Trust, Vouched};
use bartizan_engine::host::{Host, Loaded, Stored};
use bartizan_engine::pipeline::{Engine, Surroundings};
use bartizan_engine::plan::Plan;
use serde_json::value::RawValue;

use crate::config::{BeforeFirst, Configuration, Settings, SignatureSetting};
use crate::fetching;
use crate::following::{Bootstrap, Following};
use crate::host::{self, Buffer, Status};
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::root::Active;
use crate::self_test;
use crate::signature::Signatures;

/// Where the workers keep the number that spreads keys over slots.
const SEED_SLOT: &str = "seed";

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
pub(crate) enum Problem {
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

/// How this proxy was set up: what a policy is loaded with.
#[derive(Clone, Copy)]
pub(crate) struct Deployment {
    settings: Settings,
    signatures: Signatures,
}

impl Deployment {
    /// What is only wrong here and now is put into `here`.
    fn new(settings: Settings, here: &mut Option<String>) -> Result<Self, Problem> {
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
        Ok(Self { settings, signatures })
    }

    /// Loads a plan that is to come into force now.
    pub(crate) fn load(&self, plan: Plan) -> Result<Active, String> {
        self.judge(plan, seed()?)
    }

    /// Whether the proxy does what a plan needs to come into force.
    pub(crate) fn is_ready() -> bool {
        seed().is_ok()
    }

    fn judge(&self, plan: Plan, seed: [u64; 2]) -> Result<Active, String> {
        let surroundings = Surroundings {
            secret: &variable,
            seed,
            peer_appended: self.settings.peer_appended,
            peer_verified: self.settings.peer_verified,
        };
        let mut engine = Engine::load(plan, &surroundings).map_err(|e| format!("plan: {e}"))?;
        fetching::resume(&mut engine);
        let Self { settings, signatures } = *self;
        Ok(Active { engine: RefCell::new(engine), hold_headers: settings.hold_headers, signatures })
    }
}

fn variable(name: &str) -> Option<Vec<u8>> {
    std::env::var(name).ok().map(String::into_bytes)
}

/// What a configuration comes to.
pub(crate) struct Configured {
    /// What is in force, and what to call it.
    pub(crate) active: Option<(Rc<Active>, String)>,
    /// Why the bundle in the configuration is not in force, where others may follow.
    pub(crate) note: Option<String>,
    pub(crate) following: Option<Following>,
    pub(crate) signatures: Signatures,
}

/// What is to be in force, and what is to follow.
pub(crate) fn configure(size: usize, metrics: &Rc<Metrics>) -> Result<Configured, Problem> {
    if size == 0 {
        return Err(Problem::Here(NO_POLICY.into()));
    }
    let bytes = host::buffer(Buffer::PluginConfiguration, size)
        .map_err(|status| Problem::Here(format!("it cannot be read (status {})", status.0)))?;
    let configuration: Configuration<'_> = serde_json::from_slice(&bytes).map_err(|e| {
        format!("{e}; it is JSON with `settings` and `plan`, or `bundle` and `trust`, see `bartizan build --inline`")
    })?;
    let followed = followed(&configuration)?;
    // What is only wrong here and now is told last: the canary must not take what no VM can use.
    let (mut here, mut time) = (None, None);
    let policy = policy(&configuration, followed.is_some(), &mut time)?;
    let deployment = Deployment::new(configuration.settings, &mut here)?;
    // With a made-up seed the plan is judged and never put in force.
    let seed = seed();
    let judged = match policy {
        Some((plan, vouched, about)) => {
            let active = deployment.judge(plan, seed.as_ref().copied().unwrap_or_default())?;
            Some((Rc::new(active), vouched, about))
        }
        None => None,
    };
    if let Some(problem) = here {
        return Err(Problem::Here(problem));
    }
    let expired = matches!(&time, Some((Some(Kind::Expired), _)));
    let note = time.map(|(_, problem)| problem).or(seed.err());
    let (judged, bootstrap) = match (note.is_some(), followed.is_some(), judged) {
        (true, false, _) => return Err(Problem::Here(note.unwrap_or_default())),
        // Without the bundle of the configuration: another may come.
        (true, true, Some((.., Some(about)))) if expired => (None, Bootstrap::Expired(about.mark)),
        (true, true, Some((.., Some(_)))) => (None, waiting(&configuration)),
        (true, true, _) | (_, _, None) => (None, Bootstrap::None),
        (false, _, Some((active, text, signed))) => {
            let bootstrap = signed.map_or(Bootstrap::None, |about| Bootstrap::Good(active.clone(), about));
            (Some((active, text, ())), bootstrap)
        }
    };
    let expires = matches!(&bootstrap, Bootstrap::Good(_, about) if about.expires.is_some());
    let following = (followed.is_some() || expires).then(|| {
        let (follower, before) = followed.unzip();
        let before = before.unwrap_or(BeforeFirst::Refuse);
        Following::new(follower, deployment, metrics.clone(), bootstrap, before)
    });
    let active = judged.map(|(active, vouched, _)| {
        let policy = active
            .engine
            .try_borrow()
            .map(|engine| format!("bundle `{}` revision {}{vouched}", engine.name(), engine.revision()));
        (active, policy.unwrap_or_default())
    });
    Ok(Configured { active, note, following, signatures: deployment.signatures })
}

/// What is to be followed, and what becomes of requests before there is anything.
fn followed(configuration: &Configuration<'_>) -> Result<Option<(Follower, BeforeFirst)>, Problem> {
    let (plan, written) = match (&configuration.source, &configuration.trust) {
        (Some(source), Some(trust)) => (source, trust),
        (Some(_), None) => {
            return Err(
                "`source` is there without `trust`; say in `trust` whose signatures count".to_owned()
            )?;
        }
        (None, _) if configuration.before_first.is_some() => {
            return Err(
                "`before_first` is there without `source`; it says what holds until a bundle was fetched"
                    .to_owned(),
            )?;
        }
        (None, _) => return Ok(None),
    };
    if configuration.plan.is_some() {
        Err(
            "`plan` and `source` are both there; a plan is not signed, put an artifact into `bundle` or none"
                .to_owned(),
        )?;
    }
    let source = Source::load(plan, &variable).map_err(|e| match e.place.as_str() {
        "" => format!("source: {e}"),
        _ => format!("source.{e}"),
    })?;
    let trust_id = serde_json::to_vec(written).map_err(|e| format!("trust: {e}"))?;
    let agent = concat!("bartizan/", env!("CARGO_PKG_VERSION"));
    let drawn = RandomState::new().build_hasher().finish();
    let follower = Follower::new(source, trust(written)?, &trust_id, agent, drawn);
    Ok(Some((follower, configuration.before_first.unwrap_or(BeforeFirst::Refuse))))
}

fn trust(written: &TrustPlan) -> Result<Trust, Problem> {
    Trust::load(written).map_err(|e| Problem::Everywhere(format!("trust: {e}")))
}

/// Nothing is in force that a bundle of the configuration must follow: an operator who writes another one may go back.
fn vouch(bundle: &RawValue, written: &TrustPlan) -> Result<Result<Vouched, envelope::Refused>, Problem> {
    Ok(envelope::vouch(bundle.get().as_bytes(), &trust(written)?, None))
}

/// The bundle of the configuration once more, to be kept until it may come into force: a plan that was judged is used up.
fn waiting(configuration: &Configuration<'_>) -> Bootstrap {
    let again = configuration.bundle.zip(configuration.trust.as_ref());
    let vouched = again.and_then(|(bundle, written)| vouch(bundle, written).ok()?.ok());
    vouched.map_or(Bootstrap::None, |vouched| Bootstrap::Waiting(Box::new(vouched)))
}

/// A plan, who vouches for it, and what else was signed.
type Policy = (Plan, String, Option<InForce>);

/// Why a bundle cannot come into force now; without a kind if there was no time to judge it by.
type Untimely = (Option<Kind>, String);

/// The policy in the configuration. That it is too early or too late for it is put into `time`.
fn policy(
    configuration: &Configuration<'_>,
    is_followed: bool,
    time: &mut Option<Untimely>,
) -> Result<Option<Policy>, Problem> {
    match (configuration.plan, configuration.bundle, &configuration.trust) {
        (Some(plan), None, None) => {
            let plan = Plan::parse(plan.get().as_bytes()).map_err(|e| format!("plan: {e}"))?;
            Ok(Some((plan, String::new(), None)))
        }
        (None, Some(bundle), Some(written)) => {
            let told = |refused: envelope::Refused| format!("bundle: {refused}; {}", refused.kind.remedy());
            let vouched = vouch(bundle, written)?.map_err(told)?;
            *time = match host::now() {
                Ok(nanoseconds) => {
                    vouched.in_time(nanoseconds / 1_000_000_000).err().map(|refused| (Some(refused.kind), told(refused)))
                }
                Err(status) => Some((None, format!("the time cannot be read (status {})", status.0))),
            };
            let about = InForce::of(vouched.about(), vouched.digest());
            let (plan, signers) = vouched.into_parts();
            let text = format!(", signed by {},", signers.join(" and "));
            Ok(Some((plan, text, Some(about))))
        }
        (None, None, Some(_)) if is_followed => Ok(None),
        (None, None, None) => Err(Problem::Here(NO_POLICY.into())),
        (Some(_), Some(_), _) => Err("`plan` and `bundle` are both there; give one of them".to_owned())?,
        (None, Some(_), None) => {
            Err("`bundle` is there without `trust`; say in `trust` whose signatures count".to_owned())?
        }
        (Some(_), None, Some(_)) => {
            Err("`trust` is there without `bundle`; a plan is not signed, put the artifact into `bundle`"
                .to_owned())?
        }
        (None, None, Some(_)) => {
            Err("`trust` is there without `bundle` or `source`; put an artifact into `bundle`, or say in `source` where it is"
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
