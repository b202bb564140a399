//! One worker that follows a bundle source, together with the others.

use std::fmt;

use super::answer::Asked;
use super::failure::{Failure, Fault};
use super::manifest::Blob;
use super::record::{Accepted, Broken, Digest, Lease, Mark, Slots, State};
use super::schedule;
use super::source::{ARTIFACT, MANIFEST, Place, Source};
use crate::envelope::payload::{About, WhenExpired};
use crate::envelope::{Trust, Vouched};
use crate::host::Host;

/// How much longer than an answer may take a lease lasts, in milliseconds.
pub(super) const GRACE: u64 = 1_000;

/// The longest lease, without that: who waits for longer renews it.
const LEASE: u64 = 5_000;

/// A lease is renewed when it has less than this left.
const RENEWED: u64 = 3_000;

/// What a worker must know of the bundle in force there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// What it is.
    pub mark: Mark,
    /// From when it is not valid any more, in seconds since 1970.
    pub expires: Option<u64>,
    /// Whether everything is refused from then on. Otherwise the bundle stays in force.
    pub refuse_when_expired: bool,
}

impl InForce {
    /// What was said of a bundle when it was signed.
    #[must_use]
    pub fn of(about: &About, digest: [u8; 32]) -> Self {
        let mark =
            Mark { name: about.plan.name.clone(), revision: about.plan.revision, digest: Digest(digest) };
        let refuse_when_expired = about.when_expired == WhenExpired::Refuse;
        Self { mark, expires: about.expires, refuse_when_expired }
    }
}

/// A request to be sent, with a timeout in milliseconds.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The proxy's cluster.
    pub cluster: String,
    /// All headers.
    pub headers: Vec<(&'static str, String)>,
    /// How long the answer may take.
    pub timeout: u64,
}

/// Without headers: one may be a credential.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// What there is to do at a tick.
#[derive(Debug, Default)]
pub struct Tick {
    /// How following goes; nothing if the proxy did not say.
    pub state: Option<State>,
    /// Whether anything was ever accepted, as far as the proxy says.
    pub ever: bool,
    /// What another worker has accepted, judged again; or why it cannot be had.
    pub picked: Option<Result<Vouched, Failure>>,
    /// What to ask.
    pub ask: Option<Request>,
}

/// What an answer came to.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It is the answer to nothing that is still asked.
    Ignored,
    /// There is more to ask.
    Ask(Request),
    /// The poll was good, and what is in force stays. `again` says that the one before was not.
    Unchanged {
        /// Whether it went wrong before.
        again: bool,
    },
    /// Another bundle was accepted, which is to come into force here now.
    Changed {
        /// What was made of it.
        loaded: T,
        /// Whether it went wrong before.
        again: bool,
    },
    /// Nothing changes. `news` says that the last poll did not go wrong in this way.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether to tell people.
        news: bool,
    },
}

/// A worker's side of following.
#[derive(Debug)]
pub struct Follower {
    pub(super) source: Source,
    pub(super) trust: Trust,
    pub(super) slots: Slots,
    agent: String,
    pub(super) holder: u64,
    pub(super) dice: u64,
    pub(super) pending: Option<Pending>,
    /// Bytes that were to come into force here, and when to try again.
    pub(super) tried: Vec<Tried>,
    /// When this worker asks again at the earliest, and how far ahead that was: what counts if it cannot be written down.
    pub(super) quiet: (u64, u64),
    /// It is written down that a bundle was in force.
    pub(super) noted: bool,
    /// What must be followed although it is not in force.
    least: Option<Mark>,
}

/// Bytes that were to come into force, and perhaps did not.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) bytes: Digest,
    pub(super) again: u64,
    pub(super) wait: u64,
}

/// What is asked just now.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) token: Option<u32>,
    pub(super) asked: Asked,
    pub(super) until: u64,
    /// Until when the lease lasts.
    pub(super) lease: u64,
    /// What the manifest named, and the manifest's digest.
    pub(super) blob: Option<(Blob, String)>,
}

impl Follower {
    /// A worker that follows. `trust_id` tells trusts apart, `agent` is for the `user-agent` header, `drawn` a number that
    /// no other worker has drawn.
    #[must_use]
    pub fn new(source: Source, trust: Trust, trust_id: &[u8], agent: &str, drawn: u64) -> Self {
        let slots = Slots::new(&source.id(), trust_id);
        let agent = agent.to_owned();
        Self {
            source,
            trust,
            slots,
            agent,
            holder: drawn,
            dice: drawn | 1,
            pending: None,
            tried: Vec::new(),
            quiet: (0, 0),
            noted: false,
            least: None,
        }
    }

    /// Follows only what may follow this, as if it were in force: a bundle of the configuration that has expired was
    /// vouched for all the same.
    #[must_use]
    pub fn after(mut self, mark: Mark) -> Self {
        self.least = Some(mark);
        self
    }

    /// What must be followed: what is in force here, or would be had it not expired.
    pub(super) fn least<'m>(&'m self, mine: Option<&'m Mark>) -> Option<&'m Mark> {
        mine.or(self.least.as_ref())
    }

    /// Where bundles come from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// A request, if it is time and no other worker asks.
    pub(super) fn poll(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        mine: Option<&Mark>,
        state: &State,
    ) -> Option<Request> {
        if let Some(pending) = &self.pending
            && !schedule::due(pending.until, now, self.source.patience().saturating_add(GRACE))
        {
            if pending.lease < pending.until && pending.lease < now.saturating_add(RENEWED) {
                self.renew(host, now);
            }
            return None;
        }
        self.pending = None;
        let (next, wait) = self.quiet;
        if !schedule::due(next, now, wait) || !self.is_due(state, now) {
            return None;
        }
        let (lease, version) = self.slots.lease(host).ok()?;
        if lease.is_some_and(|lease| Self::is_held(lease.until, now)) {
            return None;
        }
        let until = self.until(now);
        if self.slots.set_lease(host, &Lease::new(until, self.holder), version) != Ok(true) {
            return None;
        }
        // Another worker may have asked and been answered since the state was read.
        let before = state;
        let state = match self.slots.state(host) {
            Ok((state, _)) => state.unwrap_or_default(),
            Err(Broken) => return self.give_up(host),
        };
        let is_news =
            |accepted: &Accepted| Some(&accepted.mark) != before.accepted.as_ref().map(|it| &it.mark);
        if !self.is_due(&state, now) || state.accepted.as_ref().is_some_and(is_news) {
            return self.give_up(host);
        }
        let (asked, request) = match &self.source.place {
            Place::Path(path) => {
                // Who has something else in force must not be told that nothing has changed.
                let known = state.accepted.filter(|accepted| Some(&accepted.mark) == mine && !accepted.torn);
                let tag = known.and_then(|accepted| accepted.tag);
                let asked = Asked::Artifact { conditional: tag.is_some() };
                let accept = format!("{ARTIFACT}, application/json");
                let mut request = self.request(path.clone(), accept);
                if let Some(tag) = tag {
                    request.headers.push(("if-none-match", tag));
                    if self.source.wait > 0 {
                        request.headers.push(("prefer", format!("wait={}", self.source.wait)));
                    }
                }
                (asked, request)
            }
            Place::Oci { repository, reference } => {
                let path = format!("/v2/{repository}/manifests/{reference}");
                (Asked::Manifest, self.request(path, MANIFEST.to_owned()))
            }
        };
        self.pending =
            Some(Pending { token: None, asked, until: self.patient(now), lease: until, blob: None });
        Some(request)
    }

    fn is_due(&self, state: &State, now: u64) -> bool {
        schedule::due(state.next, now, state.wait.min(schedule::longest(self.source.interval)))
    }

    /// Who waits for long says so again and again: the lease of one that has vanished runs out soon.
    fn renew(&mut self, host: &mut dyn Host, now: u64) {
        let until = self.until(now);
        if let Ok((Some(lease), version)) = self.slots.lease(host)
            && lease.holder == self.holder
            && self.slots.set_lease(host, &Lease::new(until, self.holder), version) == Ok(true)
            && let Some(pending) = &mut self.pending
        {
            pending.lease = until;
        }
    }

    fn give_up<T>(&mut self, host: &mut dyn Host) -> Option<T> {
        self.release(host);
        None
    }

    /// Until when an answer to what is asked now is waited for.
    pub(super) fn patient(&self, now: u64) -> u64 {
        now.saturating_add(self.source.patience()).saturating_add(GRACE)
    }

    /// Until when a lease that is taken now lasts.
    pub(super) fn until(&self, now: u64) -> u64 {
        now.saturating_add(self.source.patience().min(LEASE)).saturating_add(GRACE)
    }

    /// Whether a lease holds. One that lasts longer than any comes from a clock that was wrong.
    const fn is_held(until: u64, now: u64) -> bool {
        until > now && until <= now.saturating_add(LEASE).saturating_add(GRACE)
    }

    pub(super) fn request(&self, path: String, accept: String) -> Request {
        let mut headers = vec![
            (":method", "GET".to_owned()),
            (":path", path),
            (":authority", self.source.authority.clone()),
            ("accept", accept),
            ("user-agent", self.agent.clone()),
        ];
        if let Some(authorization) = &self.source.authorization {
            headers.push(("authorization", authorization.clone()));
        }
        Request { cluster: self.source.cluster.clone(), headers, timeout: self.source.patience() }
    }

    /// The request was sent, and the answer will come with this token.
    pub fn sent(&mut self, token: u32) {
        if let Some(pending) = &mut self.pending {
            pending.token = Some(token);
        }
    }

    /// The proxy did not send the request.
    pub fn not_sent<T>(&mut self, host: &mut dyn Host, now: u64, status: u32) -> Outcome<T> {
        self.pending = None;
        let cluster = &self.source.cluster;
        let detail = format!("the proxy did not send a request to cluster `{cluster}` (status {status})");
        self.end(host, now, Err(Failure::new(Fault::NoCluster, detail)))
    }

    /// Lets others ask, if this worker was about to.
    pub fn release(&mut self, host: &mut dyn Host) {
        self.pending = None;
        if let Ok((Some(lease), version)) = self.slots.lease(host)
            && lease.holder == self.holder
        {
            let _ = self.slots.set_lease(host, &Lease::new(0, self.holder), version);
        }
    }

    /// Whether this worker waits for an answer.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.pending.is_some()
    }
}
