//! One worker that follows a bundle source, together with the others.

use super::answer::Asked;
use super::failure::{Failure, Fault};
use super::manifest::Blob;
use super::record::{Accepted, Broken, Digest, Lease, Mark, Slots, State};
use super::schedule;
use super::source::{ARTIFACT, MANIFEST, Place, Source};
use crate::envelope::key::sha256;
use crate::envelope::payload::{About, WhenExpired};
use crate::envelope::{self, Trust, Vouched};
use crate::host::Host;

/// How much longer than an answer may take a lease lasts, in milliseconds.
const GRACE: u64 = 1_000;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The proxy's cluster.
    pub cluster: String,
    /// All headers.
    pub headers: Vec<(&'static str, String)>,
    /// How long the answer may take.
    pub timeout: u64,
}

/// What there is to do at a tick.
#[derive(Debug, Default)]
pub struct Tick {
    /// How following goes; nothing if the proxy did not say.
    pub state: Option<State>,
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
    /// The bytes that did not come into force here, and when to try again.
    pub(super) tried: Option<(Digest, u64)>,
}

/// What is asked just now.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) token: Option<u32>,
    pub(super) asked: Asked,
    pub(super) until: u64,
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
        Self { source, trust, slots, agent, holder: drawn, dice: drawn | 1, pending: None, tried: None }
    }

    /// Where bundles come from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What another worker has accepted, if it is to come into force here; and whether a bundle of this source ever was in force
    /// anywhere, as far as anybody knows. Under a trust that is new, that is what was accepted under another, if this one
    /// vouches for it too.
    pub fn resume(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        mine: Option<&Mark>,
    ) -> (Option<Result<Vouched, Failure>>, bool) {
        let (Ok((state, version)), Ok((floor, written))) = (self.slots.state(host), self.slots.floor(host))
        else {
            return (None, true);
        };
        let state = state.unwrap_or_default();
        if state.accepted.is_some() {
            let slots = self.slots.clone();
            return (self.pick(host, now, mine, &slots, state, version), true);
        }
        let home = floor.and_then(|floor| Slots::at(&floor.home, &self.source.id()));
        let picked = home.and_then(|slots| {
            let (state, version) = slots.state(host).ok()?;
            // Why it cannot be taken over is no news: there is another trust.
            self.pick(host, now, mine, &slots, state?, version)?.ok().map(Ok)
        });
        (picked, written.is_some())
    }

    /// What there is to do now, in milliseconds since 1970, with what is in force here.
    pub fn tick(&mut self, host: &mut dyn Host, now: u64, mine: Option<&Mark>) -> Tick {
        let Ok((state, version)) = self.slots.state(host) else { return Tick::default() };
        let state = state.unwrap_or_default();
        let slots = self.slots.clone();
        let picked = self.pick(host, now, mine, &slots, state.clone(), version);
        let ask = self.poll(host, now, &state);
        Tick { state: Some(state), picked, ask }
    }

    /// What was accepted, if it is newer than what is in force here. Shared data is not believed: the artifact is
    /// judged as if it had just come, but for the time. It was in time when it came into force.
    fn pick(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        mine: Option<&Mark>,
        slots: &Slots,
        state: State,
        version: Option<u32>,
    ) -> Option<Result<Vouched, Failure>> {
        let accepted = state.accepted.clone()?;
        if mine.is_some_and(|mine| mine.name != accepted.mark.name || mine.revision >= accepted.mark.revision)
        {
            return None;
        }
        if self.tried.is_some_and(|(bytes, again)| {
            bytes == accepted.bytes && !schedule::due(again, now, self.source.interval)
        }) {
            return None;
        }
        self.tried = Some((accepted.bytes, now.saturating_add(self.source.interval)));
        let bytes = match slots.bytes(host, accepted.second) {
            Ok((Some(bytes), _)) if sha256(&bytes) == accepted.bytes.0 => bytes,
            found => {
                let detail = match found {
                    Ok((None, _)) => "what another worker has accepted is not in shared data",
                    Ok(_) => "what is in shared data is not what another worker has accepted",
                    Err(Broken) => "shared data cannot be read",
                };
                if found.is_ok() && accepted.tag.is_some() {
                    // Whoever asks next asks for all of it.
                    let mut repaired = state;
                    repaired.accepted = Some(Accepted { tag: None, ..accepted });
                    let _ = slots.set_state(host, repaired, version);
                }
                return Some(Err(Failure::new(Fault::NotShared, detail)));
            }
        };
        let vouched = envelope::vouch(&bytes, &self.trust, mine.map(Mark::current));
        Some(vouched.map_err(Failure::from).and_then(|vouched| {
            if InForce::of(vouched.about(), vouched.digest()).mark == accepted.mark {
                return Ok(vouched);
            }
            Err(Failure::new(Fault::NotShared, "what is in shared data is not what it is said to be"))
        }))
    }

    /// A request, if it is time and no other worker asks.
    fn poll(&mut self, host: &mut dyn Host, now: u64, state: &State) -> Option<Request> {
        let interval = self.source.interval;
        if self.pending.as_ref().is_some_and(|pending| self.is_held(pending.until, now)) {
            return None;
        }
        self.pending = None;
        if !schedule::due(state.next, now, interval) {
            return None;
        }
        let (lease, version) = self.slots.lease(host).ok()?;
        if lease.is_some_and(|lease| self.is_held(lease.until, now)) {
            return None;
        }
        let until = self.until(now);
        if self.slots.set_lease(host, &Lease::new(until, self.holder), version) != Ok(true) {
            return None;
        }
        // Another worker may have asked and been answered since the state was read.
        let state = match self.slots.state(host) {
            Ok((state, _)) => state.unwrap_or_default(),
            Err(Broken) => return self.give_up(host),
        };
        if !schedule::due(state.next, now, interval) {
            return self.give_up(host);
        }
        let (asked, request) = match &self.source.place {
            Place::Path(path) => {
                let tag = state.accepted.and_then(|accepted| accepted.tag);
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
        self.pending = Some(Pending { token: None, asked, until, blob: None });
        Some(request)
    }

    fn give_up<T>(&mut self, host: &mut dyn Host) -> Option<T> {
        self.release(host);
        None
    }

    /// Until when a lease that is taken now lasts.
    pub(super) fn until(&self, now: u64) -> u64 {
        now.saturating_add(self.source.patience()).saturating_add(GRACE)
    }

    /// Whether a lease holds. One that lasts longer than any of this source comes from a clock that was wrong.
    fn is_held(&self, until: u64, now: u64) -> bool {
        until > now && until <= self.until(now)
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
