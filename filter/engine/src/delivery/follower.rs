//! One worker that follows a bundle source, together with the others.

use super::answer::{self, Answer, Asked};
use super::failure::{Failure, Fault, Kind};
use super::manifest::{self, Blob};
use super::record::{Accepted, Broken, Digest, Lease, Mark, Slots, State};
use super::schedule::{self, Past};
use super::source::{ARTIFACT, MANIFEST, Place, Source, is_digest};
use crate::envelope::key::sha256;
use crate::envelope::payload::{About, WhenExpired};
use crate::envelope::{self, Admitted, Trust, Vouched};
use crate::host::Host;

/// How much longer than an answer may take a lease lasts, in milliseconds.
const GRACE: u64 = 1_000;

/// How often it is tried to write what others write at the same time.
const TRIES: usize = 4;

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
    source: Source,
    trust: Trust,
    slots: Slots,
    agent: String,
    holder: u64,
    dice: u64,
    pending: Option<Pending>,
    /// The bytes that did not come into force here, and when to try again.
    tried: Option<(Digest, u64)>,
}

/// What is asked just now.
#[derive(Debug)]
struct Pending {
    token: Option<u32>,
    asked: Asked,
    until: u64,
    /// What the manifest named, and the manifest's digest.
    blob: Option<(Blob, String)>,
}

/// What an answer leads to when nothing goes wrong.
enum Next<T> {
    Ask(Request),
    Done(Option<T>, bool),
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
    /// anywhere, as far as anybody knows.
    pub fn resume(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        mine: Option<&Mark>,
    ) -> (Option<Result<Vouched, Failure>>, bool) {
        let (state, floor) = (self.slots.state(host), self.slots.floor(host));
        let ever = !matches!((&state, &floor), (Ok((None, None)), Ok((None, None))))
            && !matches!((&state, &floor), (Ok((Some(State { accepted: None, .. }), _)), Ok((None, None))));
        let picked = match state {
            Ok((Some(state), version)) => self.pick(host, now, mine, state, version),
            _ => None,
        };
        (picked, ever)
    }

    /// What there is to do now, in milliseconds since 1970, with what is in force here.
    pub fn tick(&mut self, host: &mut dyn Host, now: u64, mine: Option<&Mark>) -> Tick {
        let Ok((state, version)) = self.slots.state(host) else { return Tick::default() };
        let state = state.unwrap_or_default();
        let picked = self.pick(host, now, mine, state.clone(), version);
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
        let bytes = match self.slots.bytes(host, accepted.second) {
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
                    let _ = self.slots.set_state(host, repaired, version);
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
    fn until(&self, now: u64) -> u64 {
        now.saturating_add(self.source.patience()).saturating_add(GRACE)
    }

    /// Whether a lease holds. One that lasts longer than any of this source comes from a clock that was wrong.
    fn is_held(&self, until: u64, now: u64) -> bool {
        until > now && until <= self.until(now)
    }

    fn request(&self, path: String, accept: String) -> Request {
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

    /// Judges an answer: its headers, none if the connection broke; how large its body is; and the body.
    /// `load` proves that a bundle can come into force.
    #[expect(
        clippy::too_many_arguments,
        reason = "an answer has parts, and is judged against time and what is in force"
    )]
    pub fn answered<T>(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        mine: Option<&Mark>,
        token: u32,
        headers: &[(&[u8], &[u8])],
        size: usize,
        body: &mut dyn FnMut() -> Option<Vec<u8>>,
        load: &mut dyn FnMut(Admitted) -> Result<T, String>,
    ) -> Outcome<T> {
        let Some(pending) = self.pending.take_if(|pending| pending.token == Some(token)) else {
            return Outcome::Ignored;
        };
        match self.judge(host, now, mine, pending, headers, size, body, load) {
            Ok(Next::Ask(request)) => Outcome::Ask(request),
            Ok(Next::Done(loaded, again)) => self.end(host, now, Ok((loaded, again))),
            Err(failure) => self.end(host, now, Err(failure)),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "as above")]
    fn judge<T>(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        mine: Option<&Mark>,
        pending: Pending,
        headers: &[(&[u8], &[u8])],
        size: usize,
        body: &mut dyn FnMut() -> Option<Vec<u8>>,
        load: &mut dyn FnMut(Admitted) -> Result<T, String>,
    ) -> Result<Next<T>, Failure> {
        let tag = match answer::judge(headers, pending.asked)? {
            Answer::NotModified => {
                let again = self.note_success(host, now)?;
                return Ok(Next::Done(None, again));
            }
            Answer::Body(tag) => tag,
        };
        self.fits(size, &pending)?;
        let body = body().ok_or_else(|| Failure::new(Fault::NoAnswer, "the proxy did not give the body"))?;
        // What the proxy announced is not what counts.
        self.fits(body.len(), &pending)?;
        let tag = match (pending.asked, pending.blob) {
            (Asked::Manifest, _) => return self.manifest(host, now, &body),
            (Asked::Blob, Some((blob, manifest))) => {
                if digest_of(&body) != blob.digest {
                    let detail = format!("the blob is not {}", blob.digest);
                    return Err(Failure::new(Fault::DigestMismatch, detail));
                }
                Some(manifest)
            }
            _ => tag,
        };
        self.accept(host, now, mine, &body, tag, load)
    }

    /// Whether a body of this size is one that may be read.
    fn fits(&self, size: usize, pending: &Pending) -> Result<(), Failure> {
        if let Some((blob, _)) = &pending.blob
            && size != blob.size
        {
            let detail = format!("{size} bytes; the manifest says {}", blob.size);
            return Err(Failure::new(Fault::DigestMismatch, detail));
        }
        if pending.asked == Asked::Manifest && size > manifest::MAX_BYTES {
            let detail = format!("{size} bytes; the most is {}", manifest::MAX_BYTES);
            return Err(Failure::new(Fault::ManifestInvalid, detail));
        }
        if size > self.source.max_bytes {
            let detail = format!("{size} bytes; `max_bytes` is {}", self.source.max_bytes);
            return Err(Failure {
                kind: Kind::Artifact(envelope::Kind::Oversized),
                ..Failure::new(Fault::NoAnswer, detail)
            });
        }
        Ok(())
    }

    /// Asks for what a manifest names, unless that was accepted already.
    fn manifest<T>(&mut self, host: &mut dyn Host, now: u64, bytes: &[u8]) -> Result<Next<T>, Failure> {
        let Place::Oci { repository, reference } = &self.source.place else {
            return Err(Failure::new(Fault::ManifestInvalid, "nobody asked for a manifest"));
        };
        let digest = digest_of(bytes);
        if is_digest(reference) && *reference != digest {
            let detail = format!("the manifest is {digest}; the reference is {reference}");
            return Err(Failure::new(Fault::DigestMismatch, detail));
        }
        let (state, _) = self.slots.state(host).map_err(not_shared)?;
        if state
            .and_then(|state| state.accepted)
            .and_then(|accepted| accepted.tag)
            .is_some_and(|tag| tag == digest)
        {
            let again = self.note_success(host, now)?;
            return Ok(Next::Done(None, again));
        }
        let blob = manifest::read(bytes, self.source.max_bytes)?;
        let path = format!("/v2/{repository}/blobs/{}", blob.digest);
        let request = self.request(path, "*/*".to_owned());
        let until = self.until(now);
        let (lease, version) = self.slots.lease(host).map_err(not_shared)?;
        if lease.is_some_and(|lease| lease.holder != self.holder)
            || !self.slots.set_lease(host, &Lease::new(until, self.holder), version).map_err(not_shared)?
        {
            return Err(Failure::new(
                Fault::NotShared,
                "another worker asks as well; the answer came too late",
            ));
        }
        self.pending = Some(Pending { token: None, asked: Asked::Blob, until, blob: Some((blob, digest)) });
        Ok(Next::Ask(request))
    }

    /// Judges an artifact, and makes it known to the other workers: first how far back nobody may go, then the bytes,
    /// then the state. Whatever fails on the way, what was accepted before stays whole.
    fn accept<T>(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        mine: Option<&Mark>,
        bytes: &[u8],
        tag: Option<String>,
        load: &mut dyn FnMut(Admitted) -> Result<T, String>,
    ) -> Result<Next<T>, Failure> {
        let mut loaded = None;
        for _ in 0..TRIES {
            let (state, state_version) = self.slots.state(host).map_err(not_shared)?;
            let (floor, floor_version) = self.slots.floor(host).map_err(not_shared)?;
            let mut state = state.unwrap_or_default();
            let before = state.accepted.as_ref().map(|accepted| &accepted.mark);
            let current = self.newest(mine, before, floor.as_ref());
            let admitted = envelope::admit(bytes, &self.trust, now / 1_000, current.map(Mark::current))?;
            let mark = InForce::of(admitted.about(), admitted.digest()).mark;
            let raw = Digest(sha256(bytes));
            if mine != Some(&mark) && loaded.is_none() {
                let made = load(admitted).map_err(|problem| Failure::new(Fault::DoesNotLoad, problem))?;
                loaded = Some(made);
            }
            let again = state.wrong.is_some();
            self.succeed(&mut state, now);
            let whole =
                state.accepted.as_ref().filter(|a| a.mark == mark && a.bytes == raw && a.tag.is_some());
            let second = match whole {
                Some(accepted) => accepted.second,
                None => {
                    if floor.as_ref() != Some(&mark)
                        && !self.slots.set_floor(host, &mark, floor_version).map_err(not_shared)?
                    {
                        continue;
                    }
                    let second = state.accepted.as_ref().is_some_and(|accepted| !accepted.second);
                    let (_, version) = self.slots.bytes(host, second).map_err(not_shared)?;
                    if !self.slots.set_bytes(host, second, bytes, version).map_err(not_shared)? {
                        continue;
                    }
                    second
                }
            };
            state.accepted = Some(Accepted { mark, bytes: raw, second, tag: tag.clone() });
            if self.slots.set_state(host, state, state_version).map_err(not_shared)? {
                self.tried = None;
                return Ok(Next::Done(loaded, again));
            }
        }
        Err(Failure::new(Fault::NotShared, "other workers wrote at the same time"))
    }

    /// What an artifact must follow: the newest of what is in force here, what was accepted last, and what was ever accepted
    /// from this source under any trust that allows the name.
    fn newest<'m>(
        &self,
        mine: Option<&'m Mark>,
        accepted: Option<&'m Mark>,
        floor: Option<&'m Mark>,
    ) -> Option<&'m Mark> {
        let floor = floor.filter(|floor| self.trust.name().is_none_or(|name| name == floor.name));
        let marks = [mine, accepted, floor];
        let first = marks.into_iter().flatten().next()?;
        let same = marks.into_iter().flatten().filter(|mark| mark.name == first.name);
        // Of two with one revision the first counts.
        same.reduce(|newest, mark| if mark.revision > newest.revision { mark } else { newest })
    }

    fn succeed(&mut self, state: &mut State, now: u64) {
        state.succeeded = Some(now / 1_000);
        state.troubles = 0;
        state.wrong = None;
        state.next = self.next(now, state);
    }

    fn next(&mut self, now: u64, state: &State) -> u64 {
        // xorshift64: it spreads, and decides nothing.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let past = Past { troubles: state.troubles, succeeded: state.succeeded.is_some() };
        now.saturating_add(schedule::wait(self.source.interval, past, self.dice >> 16))
    }

    /// Notes that nothing has changed, and says whether the last poll went wrong.
    fn note_success(&mut self, host: &mut dyn Host, now: u64) -> Result<bool, Failure> {
        for _ in 0..TRIES {
            let (state, version) = self.slots.state(host).map_err(not_shared)?;
            let Some(mut state) = state.filter(|state| state.accepted.is_some()) else {
                let detail = "nothing has changed, but what was accepted before is not known any more";
                return Err(Failure::new(Fault::NotModifiedWithoutBundle, detail));
            };
            let again = state.wrong.is_some();
            self.succeed(&mut state, now);
            if self.slots.set_state(host, state, version).map_err(not_shared)? {
                return Ok(again);
            }
        }
        Err(Failure::new(Fault::NotShared, "other workers wrote at the same time"))
    }

    /// Notes what went wrong, and says whether that is news.
    fn note_failure(&mut self, host: &mut dyn Host, now: u64, kind: Kind) -> bool {
        let mut news = true;
        for _ in 0..TRIES {
            let Ok((state, version)) = self.slots.state(host) else { break };
            let mut state = state.unwrap_or_default();
            news = state.wrong.as_deref() != Some(kind.code());
            state.troubles = schedule::troubles(state.troubles, kind);
            state.wrong = Some(kind.code().to_owned());
            state.next = self.next(now, &state);
            if self.slots.set_state(host, state, version) != Ok(false) {
                break;
            }
        }
        news
    }

    fn end<T>(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        end: Result<(Option<T>, bool), Failure>,
    ) -> Outcome<T> {
        let outcome = match end {
            Ok((Some(loaded), again)) => Outcome::Changed { loaded, again },
            Ok((None, again)) => Outcome::Unchanged { again },
            Err(failure) => {
                let news = self.note_failure(host, now, failure.kind);
                Outcome::Failed { failure, news }
            }
        };
        self.release(host);
        outcome
    }
}

fn not_shared(_: Broken) -> Failure {
    Failure::new(Fault::NotShared, "shared data cannot be read or written")
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", envelope::key::hex(&sha256(bytes)))
}
