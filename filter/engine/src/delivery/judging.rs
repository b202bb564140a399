//! What an answer leads to: more to ask, another bundle, or nothing.

use super::answer::{self, Answer, Asked};
use super::failure::{Failure, Fault, Kind};
use super::follower::{Follower, InForce, Outcome, Pending, Request};
use super::manifest;
use super::record::{Accepted, Broken, Digest, Floor, Lease, Mark, State};
use super::schedule::{self, Past};
use super::source::{Place, is_digest};
use crate::envelope::key::sha256;
use crate::envelope::{self, Admitted};
use crate::host::Host;

/// How often it is tried to write what others write at the same time.
const TRIES: usize = 4;

/// What an answer leads to when nothing goes wrong.
enum Next<T> {
    Ask(Request),
    Done(Option<T>, bool),
    /// Another worker goes on.
    Lost,
}

impl Follower {
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
            Ok(Next::Lost) => Outcome::Ignored,
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
            (Asked::Manifest, _) => return self.manifest(host, now, mine, &body),
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
    fn manifest<T>(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        mine: Option<&Mark>,
        bytes: &[u8],
    ) -> Result<Next<T>, Failure> {
        let Place::Oci { repository, reference } = &self.source.place else {
            return Err(Failure::new(Fault::ManifestInvalid, "nobody asked for a manifest"));
        };
        let digest = digest_of(bytes);
        if is_digest(reference) && *reference != digest {
            let detail = format!("the manifest is {digest}; the reference is {reference}");
            return Err(Failure::new(Fault::DigestMismatch, detail));
        }
        let (state, _) = self.slots.state(host).map_err(not_shared)?;
        let accepted = state.and_then(|state| state.accepted);
        if accepted.is_some_and(|known| {
            known.tag.is_some_and(|tag| tag == digest) && Some(&known.mark) == mine && !known.torn
        }) {
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
            return Ok(Next::Lost);
        }
        self.pending = Some(Pending {
            token: None,
            asked: Asked::Blob,
            until: self.patient(now),
            lease: until,
            blob: Some((blob, digest)),
        });
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
        let raw = Digest(sha256(bytes));
        let mut loaded = None;
        for _ in 0..TRIES {
            let (state, state_version) = self.slots.state(host).map_err(not_shared)?;
            let mut state = state.unwrap_or_default();
            let again = state.wrong.is_some();
            let before = state.accepted.clone();
            let same = before.clone().filter(|before| before.bytes == raw && Some(&before.mark) == mine);
            if let Some(same) = same.filter(|same| !same.torn) {
                // What is in force here, from a server that does not tag, or tags anew.
                state.accepted = Some(Accepted { tag: tag.clone(), ..same });
                self.succeed(&mut state, now);
                if self.slots.set_state(host, state, state_version).map_err(not_shared)? {
                    return Ok(Next::Done(None, again));
                }
                continue;
            }
            let (floor, floor_version) = self.slots.floor(host).map_err(not_shared)?;
            let current = self.newest(self.least(mine), floor.as_ref());
            let admitted = envelope::admit(bytes, &self.trust, now / 1_000, current.map(Mark::current))?;
            let mark = InForce::of(admitted.about(), admitted.digest()).mark;
            let signers = admitted.signers().to_vec();
            if mine != Some(&mark) && loaded.is_none() {
                let made = load(admitted).map_err(|problem| Failure::new(Fault::DoesNotLoad, problem))?;
                loaded = Some(made);
            }
            // Never into the slot that those who come back read.
            let second = match &floor {
                Some(floor) if floor.home == self.slots.id() => !floor.second,
                _ => before.is_some_and(|before| !before.second),
            };
            let (_, version) = self.slots.bytes(host, second).map_err(not_shared)?;
            if !self.slots.set_bytes(host, second, bytes, version).map_err(not_shared)? {
                continue;
            }
            let home = self.slots.id().to_owned();
            let here = Floor { mark: mark.clone(), home, bytes: raw, second, signers };
            if floor.as_ref() != Some(&here)
                && !self.slots.set_floor(host, &here, floor_version).map_err(not_shared)?
            {
                continue;
            }
            state.accepted = Some(Accepted { mark, bytes: raw, second, tag: tag.clone(), torn: false });
            self.succeed(&mut state, now);
            if self.slots.set_state(host, state, state_version).map_err(not_shared)? {
                self.tried.clear();
                return Ok(Next::Done(loaded, again));
            }
        }
        Err(Failure::new(Fault::NotShared, "other workers wrote at the same time"))
    }

    /// What an artifact must follow: the newer of what is in force here (or must be followed), and of what was ever accepted from this source by
    /// keys that are enough for this trust too.
    fn newest<'m>(&self, mine: Option<&'m Mark>, floor: Option<&'m Floor>) -> Option<&'m Mark> {
        let floor = floor.filter(|floor| self.counts(floor)).map(|floor| &floor.mark);
        match (mine, floor) {
            (Some(mine), Some(floor)) if floor.name == mine.name && floor.revision > mine.revision => {
                Some(floor)
            }
            (Some(mine), _) => Some(mine),
            (None, floor) => floor,
        }
    }

    fn succeed(&mut self, state: &mut State, now: u64) {
        state.succeeded = Some(now / 1_000);
        state.troubles = 0;
        state.wrong = None;
        self.plan(now, state);
    }

    /// When to ask again.
    fn plan(&mut self, now: u64, state: &mut State) {
        // xorshift64: it spreads, and decides nothing.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let past = Past { troubles: state.troubles, succeeded: state.succeeded.is_some() };
        state.wait = schedule::wait(self.source.interval, past, self.dice >> 16);
        state.next = now.saturating_add(state.wait);
        self.quiet = (state.next, state.wait);
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
            let Ok((state, version)) = self.slots.state(host) else {
                self.plan(now, &mut State::default());
                break;
            };
            let mut state = state.unwrap_or_default();
            news = state.wrong.as_deref() != Some(kind.code());
            state.troubles = schedule::troubles(state.troubles, kind, state.succeeded.is_some());
            state.wrong = Some(kind.code().to_owned());
            self.plan(now, &mut state);
            if self.slots.set_state(host, state, version) != Ok(false) {
                break;
            }
        }
        news
    }

    pub(super) fn end<T>(
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
