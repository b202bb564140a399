//! A worker that follows a bundle source: asks, loads, and puts in force.

use std::rc::Rc;

use bartizan_engine::delivery::follower::Request;
use bartizan_engine::delivery::record::Mark;
use bartizan_engine::delivery::{Failure, Fault, Follower, InForce, Outcome};
use bartizan_engine::envelope::Vouched;

use crate::config::BeforeFirst;
use crate::configure::Deployment;
use crate::host::{self, Buffer, Level, Map};
use crate::metrics::{Event, Gauge, Metrics};
use crate::proxy::Proxy;
use crate::root::Active;
use crate::signature::Signatures;

/// What new requests are judged by.
#[derive(Clone)]
pub(crate) enum Serving {
    /// A policy.
    Policy(Rc<Active>),
    /// None: every request is refused.
    Closed,
    /// None yet, and the operator wants requests to go through until there is one.
    Open,
}

/// A bundle and what it says of itself.
struct Bundle {
    active: Rc<Active>,
    about: InForce,
}

/// What becomes of the bundle of a configuration.
pub(crate) enum Bootstrap {
    /// There is none, or it cannot be looked at again.
    None,
    /// It has expired. What comes must follow it all the same.
    Expired(Mark),
    /// It is in force.
    Good(Rc<Active>, InForce),
    /// It is too early for it, or the proxy did not do what it needs.
    Waiting(Box<Vouched>),
}

/// See the module.
pub(crate) struct Following {
    /// Without a source there is only the time to be judged.
    follower: Option<Follower>,
    deployment: Deployment,
    metrics: Rc<Metrics>,
    bundle: Option<Bundle>,
    /// The bundle of the configuration, if it could not come into force yet.
    waiting: Option<Vouched>,
    /// When this worker began to follow, and when a poll was good, in seconds since 1970.
    since: Option<u64>,
    succeeded: Option<u64>,
    /// Requests go through until a bundle was in force anywhere.
    open: bool,
    expired: bool,
    /// The code of what was last told about a bundle that another worker has accepted and this one could not take.
    told: Option<&'static str>,
}

/// A bundle that was loaded, and who vouches for it.
struct Loaded {
    bundle: Bundle,
    signers: String,
}

/// Time, in milliseconds since 1970.
fn now() -> Option<u64> {
    host::now().ok().map(|nanoseconds| nanoseconds / 1_000_000)
}

/// Envoy, for shared data only.
fn shared() -> Proxy {
    Proxy::new(Signatures::Wasm)
}

impl Following {
    pub(crate) fn new(
        follower: Option<Follower>,
        deployment: Deployment,
        metrics: Rc<Metrics>,
        bootstrap: Bootstrap,
        before_first: BeforeFirst,
    ) -> Self {
        metrics.define_following();
        let allow = before_first == BeforeFirst::Allow;
        let mut follower = follower;
        let (bundle, waiting, open) = match bootstrap {
            Bootstrap::None => (None, None, allow),
            Bootstrap::Expired(mark) => {
                follower = follower.map(|follower| follower.after(mark));
                (None, None, allow)
            }
            Bootstrap::Good(active, about) => (Some(Bundle { active, about }), None, false),
            // That it cannot be used now is no reason to let requests through.
            Bootstrap::Waiting(vouched) => (None, Some(*vouched), false),
        };
        let (since, succeeded, told) = (None, None, None);
        Self { follower, deployment, metrics, bundle, waiting, since, succeeded, open, expired: false, told }
    }

    /// Puts in force what another worker has accepted before: a VM that comes back, or a new configuration, does not go back
    /// to the bundle it was configured with.
    pub(crate) fn resume(&mut self) {
        let Some(now) = now() else { return self.close() };
        if let Some(follower) = &mut self.follower {
            let (picked, ever) = follower.resume(&mut shared(), now, self.bundle.as_ref().map(mark));
            if ever {
                self.close();
            }
            self.take(picked);
        }
        self.judge_time(now / 1_000);
    }

    /// What requests are judged by from now on.
    pub(crate) fn serving(&self) -> Serving {
        match &self.bundle {
            Some(bundle) if self.expired && bundle.about.refuse_when_expired => Serving::Closed,
            Some(bundle) => Serving::Policy(bundle.active.clone()),
            None if self.open => Serving::Open,
            None => Serving::Closed,
        }
    }

    /// Whether newer bundles come from somewhere.
    pub(crate) fn has_source(&self) -> bool {
        self.follower.is_some()
    }

    /// From now on no request goes through without a policy.
    fn close(&mut self) {
        self.open = false;
    }

    /// What is done twice a second. `shows` says whether to show it in metrics.
    pub(crate) fn tick(&mut self, shows: bool) {
        let Some(now) = now() else { return };
        self.wait_for_it(now / 1_000);
        let Some(follower) = &mut self.follower else {
            self.judge_time(now / 1_000);
            if shows {
                self.metrics.show(Gauge::Expired, u64::from(self.expired));
            }
            return;
        };
        let tick = follower.tick(&mut shared(), now, self.bundle.as_ref().map(mark));
        let state = tick.state.unwrap_or_default();
        self.succeeded = state.succeeded.or(self.succeeded);
        if tick.ever {
            self.close();
        }
        self.take(tick.picked);
        self.judge_time(now / 1_000);
        if shows {
            self.show(now / 1_000);
        }
        if let Some(request) = tick.ask {
            self.metrics.count(Event::Poll);
            self.send(&request, now);
        }
    }

    /// The bundle of the configuration may come into force later: its time comes, or the proxy does what it did not do before.
    /// Meanwhile an older one may be in force.
    fn wait_for_it(&mut self, now: u64) {
        let Some(vouched) = &self.waiting else { return };
        let waits = InForce::of(vouched.about(), vouched.digest()).mark;
        let is_overtaken =
            |bundle: &Bundle| mark(bundle).name != waits.name || mark(bundle).revision >= waits.revision;
        if self.bundle.as_ref().is_some_and(is_overtaken) {
            self.waiting = None;
        } else if vouched.in_time(now).is_ok()
            && Deployment::is_ready()
            && let Some(vouched) = self.waiting.take()
        {
            match self.load(vouched) {
                Ok(loaded) => self.put_in_force(loaded, false),
                Err(problem) => {
                    let stays = self.what_stays();
                    let text =
                        format!("bartizan: {} cannot come into force: {problem}; {stays}", name(&waits));
                    host::log(Level::Error, &text);
                }
            }
        }
    }

    fn show(&mut self, now: u64) {
        if let Some(bundle) = &self.bundle {
            self.metrics.show(Gauge::Revision, bundle.about.mark.revision);
        }
        self.metrics.show(Gauge::Expired, u64::from(self.expired));
        if let Some(succeeded) = self.succeeded {
            self.metrics.show(Gauge::LastSuccess, succeeded);
        }
        // What never was good is as old as the wait for it.
        let since = *self.since.get_or_insert(now);
        // A time to come is one of a clock that was wrong.
        let good = self.succeeded.filter(|good| *good <= now);
        self.metrics.show(Gauge::AgeSeconds, now.saturating_sub(good.unwrap_or(since)));
    }

    /// An expired bundle stays in force or refuses everything, as it says itself. The clock is looked at here, so that
    /// requests need not.
    fn judge_time(&mut self, now: u64) {
        let Some(Bundle { about, .. }) = &self.bundle else {
            self.expired = false;
            return;
        };
        let expired = about.expires.is_some_and(|expires| now >= expires);
        if expired && !self.expired {
            let what =
                if about.refuse_when_expired { "every request is refused" } else { "it stays in force" };
            let text =
                format!("bartizan: {} has expired; {what} until there is a newer one", name(&about.mark));
            host::log(Level::Error, &text);
        }
        self.expired = expired;
    }

    /// Takes over what another worker has accepted.
    fn take(&mut self, picked: Option<Result<Vouched, Failure>>) {
        let loaded = match picked {
            None => return,
            Some(Ok(vouched)) => {
                self.load(vouched).map_err(|problem| Failure::new(Fault::DoesNotLoad, problem))
            }
            Some(Err(failure)) => Err(failure),
        };
        match loaded {
            Ok(loaded) => self.put_in_force(loaded, true),
            Err(failure) => {
                if self.told != Some(failure.kind.code()) {
                    self.told = Some(failure.kind.code());
                    let remedy = failure.kind.remedy();
                    let text = format!(
                        "bartizan: a bundle that another worker has accepted cannot be taken over: {failure}; {remedy}; {}",
                        self.what_stays()
                    );
                    host::log(Level::Error, &text);
                }
                self.metrics.count(Event::Refused(failure.kind));
            }
        }
    }

    fn load(&self, vouched: Vouched) -> Result<Loaded, String> {
        let about = InForce::of(vouched.about(), vouched.digest());
        let (plan, signers) = vouched.into_parts();
        let active = Rc::new(self.deployment.load(plan)?);
        Ok(Loaded { bundle: Bundle { active, about }, signers: signers.join(" and ") })
    }

    fn put_in_force(&mut self, loaded: Loaded, was_fetched: bool) {
        let Loaded { bundle, signers } = loaded;
        let from = match &self.follower {
            Some(follower) if was_fetched => format!(", from {}", follower.source()),
            _ => String::new(),
        };
        let text = format!("bartizan: {} is in force, signed by {signers}{from}", name(&bundle.about.mark));
        self.bundle = Some(bundle);
        self.told = None;
        self.close();
        host::log(Level::Info, &text);
    }

    fn what_stays(&self) -> String {
        match (&self.bundle, self.open) {
            (Some(bundle), _) => format!("{} stays in force", name(&bundle.about.mark)),
            (None, true) => "every request goes through until there is a bundle".to_owned(),
            (None, false) => "every request is refused until there is a bundle".to_owned(),
        }
    }

    fn send(&mut self, request: &Request, now: u64) {
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let timeout = u32::try_from(request.timeout).unwrap_or(u32::MAX);
        match host::http_call(&request.cluster, &headers, timeout) {
            Ok(token) => {
                if let Some(follower) = &mut self.follower {
                    follower.sent(token);
                }
            }
            Err(status) => {
                let Some(follower) = &mut self.follower else { return };
                let outcome = follower.not_sent(&mut shared(), now, status.0);
                self.conclude(outcome, now);
            }
        }
    }

    /// The answer of a call. `whole` is false if the connection broke.
    pub(crate) fn answered(&mut self, token: u32, whole: bool, size: usize) {
        // Without a time nothing can be judged: there is another poll.
        let Some(now) = now() else {
            if let Some(follower) = &mut self.follower {
                follower.release(&mut shared());
            }
            return;
        };
        let map = if whole { host::header_map(Map::CallResponse).unwrap_or_default() } else { Vec::new() };
        let headers = host::pairs(&map).unwrap_or_default();
        let mine = self.bundle.as_ref().map(|bundle| bundle.about.mark.clone());
        let deployment = &self.deployment;
        let Some(follower) = &mut self.follower else { return };
        let outcome = follower.answered(
            &mut shared(),
            now,
            mine.as_ref(),
            token,
            &headers,
            size,
            &mut || host::buffer(Buffer::CallResponseBody, size).ok(),
            &mut |admitted| {
                let about = InForce::of(admitted.about(), admitted.digest());
                let signers = admitted.signers().join(" and ");
                let active = Rc::new(deployment.load(admitted.into_plan())?);
                Ok(Loaded { bundle: Bundle { active, about }, signers })
            },
        );
        self.conclude(outcome, now);
        self.judge_time(now / 1_000);
    }

    fn conclude(&mut self, outcome: Outcome<Loaded>, now: u64) {
        let again = match outcome {
            Outcome::Ignored => false,
            Outcome::Ask(request) => {
                self.send(&request, now);
                false
            }
            Outcome::Unchanged { again } => again,
            Outcome::Changed { loaded, again } => {
                self.metrics.count(Event::Change);
                self.put_in_force(loaded, true);
                again
            }
            Outcome::Failed { failure, news } => {
                self.metrics.count(Event::Refused(failure.kind));
                if news {
                    let remedy = failure.kind.remedy();
                    let stays = self.what_stays();
                    let text =
                        format!("bartizan: the bundle source answered with {failure}; {remedy}; {stays}");
                    host::log(Level::Error, &text);
                }
                false
            }
        };
        if again {
            host::log(Level::Info, "bartizan: the bundle source answers again");
        }
    }
}

/// Others need not wait until a lease has run out that nobody has any more.
impl Drop for Following {
    fn drop(&mut self) {
        if let Some(follower) = self.follower.as_mut().filter(|follower| follower.is_asking()) {
            follower.release(&mut shared());
        }
    }
}

fn mark(bundle: &Bundle) -> &Mark {
    &bundle.about.mark
}

fn name(mark: &Mark) -> String {
    format!("bundle `{}` revision {}", mark.name, mark.revision)
}
