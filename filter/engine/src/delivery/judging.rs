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
                    let here = Floor { mark: mark.clone(), home: self.slots.id().to_owned() };
                    if floor.as_ref() != Some(&here)
                        && !self.slots.set_floor(host, &here, floor_version).map_err(not_shared)?
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
        floor: Option<&'m Floor>,
    ) -> Option<&'m Mark> {
        let floor = floor
            .map(|floor| &floor.mark)
            .filter(|floor| self.trust.name().is_none_or(|name| name == floor.name));
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
