//! What an answer leads to: more to ask, other content, or nothing.

use super::answer;
use super::discovery;
use super::failure::{Failure, Kind};
use super::fetcher::{Fetcher, Outcome, Pending, Reader, Request, Step, TRIES, digest_of};
use super::record::{Content, State};
use crate::delivery::record::{Broken, Digest};
use crate::envelope::key::sha256;
use crate::host::Host;

/// An answer, as the proxy has it.
pub struct Arrived<'a> {
    /// The headers, none if the connection broke.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// How large the body is said to be.
    pub size: usize,
    /// Gives the body.
    pub body: &'a mut dyn FnMut() -> Option<Vec<u8>>,
}

/// What an answer leads to when nothing goes wrong.
enum Next {
    Ask(Request),
    /// `changed`, and whether it went wrong before.
    Done(bool, bool),
    /// Another worker has asked after this one.
    Lost,
}

impl Fetcher {
    /// Judges the answer that came with this token. `read` takes content over.
    pub fn answered(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        token: u32,
        arrived: Arrived<'_>,
        read: Reader<'_>,
    ) -> Outcome {
        let Some(pending) = self.pending.take_if(|pending| pending.token == Some(token)) else {
            return Outcome::Ignored;
        };
        // If it took too long another worker may have asked after this one, and have an answer already. That this one is not
        // put over it is certain below, where it is written down; here it is not even judged.
        if self.holds(host) == Ok(false) {
            return Outcome::Ignored;
        }
        let before = self.taken;
        match self.judge(host, now, pending, arrived, read) {
            Ok(Next::Ask(request)) => Outcome::Ask(request),
            Ok(Next::Lost) => Outcome::Ignored,
            Ok(Next::Done(changed, again)) => {
                self.release(host);
                if changed { Outcome::Changed { again } } else { Outcome::Unchanged { again } }
            }
            Err(failure) => {
                let alone = self.taken != before;
                self.fail(host, now, failure, alone)
            }
        }
    }

    fn judge(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        pending: Pending,
        arrived: Arrived<'_>,
        read: Reader<'_>,
    ) -> Result<Next, Failure> {
        let Arrived { headers, size, body } = arrived;
        let answer = answer::judge(headers, self.types(pending.step), pending.conditional)?;
        if !answer.modified {
            let confirmed = self.confirm(host, now, answer.max_age)?;
            return Ok(confirmed.map_or(Next::Lost, |again| Next::Done(false, again)));
        }
        let most = match pending.step {
            Step::Document => discovery::MAX_BYTES,
            Step::Content => self.source.max_bytes,
        };
        let fits = |size: usize| {
            if size <= most {
                return Ok(());
            }
            Err(Failure::new(Kind::Oversized, format!("{size} bytes; the most is {most}")))
        };
        fits(size)?;
        let body = body().ok_or_else(|| Failure::new(Kind::NoAnswer, "the proxy did not give the body"))?;
        // What the proxy announced is not what counts.
        fits(body.len())?;
        if let (Step::Document, Some(discovery)) = (pending.step, &self.source.discovery) {
            let place = discovery::keys_at(&body, discovery)?;
            if !self.renew(host, now) {
                return Ok(Next::Lost);
            }
            return Ok(Next::Ask(self.ask(Step::Content, place, pending.for_unknown, now)));
        }
        let bytes = Digest(sha256(&body));
        let place = digest_of(&pending.place);
        // Taken over here before others may see it: what cannot be read is never shared. What was refused before is refused again.
        let changed = self.taken != Some(bytes) && self.take(&body, bytes, Some(now), read)?;
        let content = Content { bytes, second: false, tag: answer.tag, place };
        let known = self.state.content.as_ref().map(|content| (content.bytes, self.state.succeeded));
        match self.share(host, now, &content, &body, answer.max_age) {
            Ok(shared) => Ok(shared.map_or(Next::Lost, |again| Next::Done(changed, again))),
            Err(failure) => {
                self.passed = known;
                Err(failure)
            }
        }
    }

    /// Makes content known to the other workers: first the bytes, then the state. Whatever fails on the way, what was there
    /// before stays whole. Says whether the last attempt went wrong; nothing, if the lease is another worker's by now.
    fn share(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        content: &Content,
        body: &[u8],
        max_age: Option<u64>,
    ) -> Result<Option<bool>, Failure> {
        for _ in 0..TRIES {
            let (state, version) = self.slots.state(host).map_err(not_shared)?;
            // After the state was read: whoever takes the lease from now on writes after this, or this is not written.
            if !self.holds(host).map_err(not_shared)? {
                return Ok(None);
            }
            let mut state = state.unwrap_or_default();
            let again = state.wrong.is_some();
            let same = state.content.as_ref().filter(|known| known.bytes == content.bytes);
            let second = match (same, &state.content) {
                (Some(known), _) => known.second,
                (None, Some(known)) => !known.second,
                (None, None) => false,
            };
            let is_new = same.is_none();
            if is_new {
                let (_, version) = self.slots.content(host, second).map_err(not_shared)?;
                if !self.slots.set_content(host, second, body, version).map_err(not_shared)? {
                    continue;
                }
            }
            state.content = Some(Content { second, ..content.clone() });
            self.succeed(&mut state, now, max_age);
            if self.slots.set_state(host, state.clone(), version).map_err(not_shared)? {
                self.state = state;
                self.good = Some(now);
                if is_new {
                    self.slots.set_last(host, now, body);
                }
                return Ok(Some(again));
            }
        }
        Err(Failure::new(Kind::NotShared, "other workers wrote at the same time"))
    }

    /// Notes that the content is still what the server has. The result is that of [`Fetcher::share`].
    fn confirm(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        max_age: Option<u64>,
    ) -> Result<Option<bool>, Failure> {
        for _ in 0..TRIES {
            let (state, version) = self.slots.state(host).map_err(not_shared)?;
            if !self.holds(host).map_err(not_shared)? {
                return Ok(None);
            }
            let known = state.filter(|state| {
                state.content.as_ref().is_some_and(|content| self.taken == Some(content.bytes))
            });
            let Some(mut state) = known else {
                let detail = "nothing has changed, but what was fetched before is not known any more";
                return Err(Failure::new(Kind::NotModifiedUnasked, detail));
            };
            let again = state.wrong.is_some();
            self.succeed(&mut state, now, max_age);
            if self.slots.set_state(host, state.clone(), version).map_err(not_shared)? {
                self.state = state;
                self.good = Some(now);
                return Ok(Some(again));
            }
        }
        Err(Failure::new(Kind::NotShared, "other workers wrote at the same time"))
    }

    fn succeed(&mut self, state: &mut State, now: u64, max_age: Option<u64>) {
        state.succeeded = Some(now);
        state.troubles = 0;
        state.wrong = None;
        let wait = self.source.pace.after_success(max_age, self.dice());
        self.plan(state, now, wait);
    }

    fn plan(&mut self, state: &mut State, now: u64, wait: u64) {
        state.attempts = state.attempts.wrapping_add(1);
        state.tried = Some(now);
        (state.next, state.wait) = (now.saturating_add(wait), wait);
        // A minimum, so that what cannot be written down does not make this worker ask without end.
        let least = wait.min(self.source.pace.min_refresh);
        self.quiet = (now.saturating_add(least), least);
    }

    /// Notes what went wrong, and lets others ask.
    pub(super) fn fail(&mut self, host: &mut dyn Host, now: u64, failure: Failure, alone: bool) -> Outcome {
        let mut news = true;
        let dice = self.dice();
        for _ in 0..TRIES {
            let found = self.slots.state(host);
            let broken = found.is_err();
            let (state, version) = found.unwrap_or_default();
            let mut state = state.unwrap_or_default();
            news = state.wrong.as_deref() != Some(failure.kind.code());
            state.troubles = state.troubles.saturating_add(1);
            state.wrong = Some(failure.kind.code().to_owned());
            let wait = self.source.pace.after_failure(state.troubles, state.content.is_some(), dice);
            self.plan(&mut state, now, wait);
            if broken || self.slots.set_state(host, state.clone(), version) != Ok(false) {
                self.state = state;
                break;
            }
        }
        self.release(host);
        Outcome::Failed { failure, news, alone }
    }
}

fn not_shared(_: Broken) -> Failure {
    Failure::new(Kind::NotShared, "shared data cannot be read or written")
}
