//! One worker that fetches a feed, together with the others.

use std::fmt;

use super::failure::{Failure, Kind};
use super::plan::{ContentKind, Place, Source};
use super::record::{Slots, State};
use super::schedule::due;
use crate::delivery::record::{Digest, Lease};
use crate::envelope::key::sha256;
use crate::host::Host;

/// The `user-agent` header.
const AGENT: &str = concat!("bartizan/", env!("CARGO_PKG_VERSION"));

/// How much longer than an answer may take a lease lasts, in milliseconds.
pub(super) const GRACE: u64 = 1_000;

/// No lease lasts longer: a timeout is at most half a minute, and each step takes its own lease.
const LONGEST_LEASE: u64 = 30_000 + GRACE;

/// How often it is tried to read or write what others write at the same time.
pub(super) const TRIES: usize = 4;

/// Takes content over, whole or not at all; the problem says what is wrong with it.
pub type Reader<'r> = &'r mut dyn FnMut(&[u8]) -> Result<(), String>;

/// A request to be sent, with a timeout in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The proxy's cluster.
    pub cluster: String,
    /// All headers.
    pub headers: Vec<(&'static str, String)>,
    /// How long the answer may take.
    pub timeout: u64,
    /// Whether it is asked because of a key that nobody knows, and not because the time has come.
    pub for_unknown: bool,
}

/// What was found in shared data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nothing new.
    Nothing,
    /// Content that the readers here have taken over.
    Taken,
    /// Content that another worker took over and the readers here do not. Told once for each content.
    Refused(Failure),
}

/// What an answer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is the answer to nothing that is still asked.
    Ignored,
    /// There is more to ask.
    Ask(Request),
    /// The attempt was good, and the content is the same. `again` says that the one before was not good.
    Unchanged {
        /// Whether it went wrong before.
        again: bool,
    },
    /// Other content was taken over.
    Changed {
        /// Whether it went wrong before.
        again: bool,
    },
    /// Nothing changes. `news` says that the last attempt did not go wrong in this way.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether to tell people.
        news: bool,
    },
}

/// What somebody may hope for who misses something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// An attempt is under way or due.
    Soon,
    /// The next is so many seconds ahead, at least one.
    Later(u64),
}

/// A worker's side of a feed.
#[derive(Debug)]
pub struct Fetcher {
    pub(super) source: Source,
    pub(super) slots: Slots,
    holder: u64,
    dice: u64,
    pub(super) pending: Option<Pending>,
    /// How it goes, as this worker saw it last.
    pub(super) state: State,
    /// The content that the readers here were given last, whether they took it or not.
    pub(super) given: Option<Digest>,
    /// Somebody misses a key since there were so many attempts.
    wanted: Option<u64>,
    /// When this worker asks again at the earliest, and how far ahead that was: what counts if it cannot be written down.
    pub(super) quiet: (u64, u64),
    /// Why content of another worker was refused, if nobody was told yet.
    untold: Option<Failure>,
}

/// What is asked just now.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) token: Option<u32>,
    pub(super) step: Step,
    /// The place that was asked.
    pub(super) place: Place,
    /// Whether an entity tag was sent.
    pub(super) conditional: bool,
    until: u64,
    pub(super) for_unknown: bool,
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The document that says where the content is.
    Document,
    /// The content.
    Content,
}

impl Fetcher {
    /// A worker that fetches. `drawn` is a number that no other worker has drawn.
    #[must_use]
    pub fn new(source: Source, drawn: u64) -> Self {
        let slots = Slots::new(&source.id());
        Self {
            source,
            slots,
            holder: drawn,
            dice: drawn | 1,
            pending: None,
            state: State::default(),
            given: None,
            wanted: None,
            quiet: (0, 0),
            untold: None,
        }
    }

    /// Takes another number, as in [`Fetcher::new`].
    pub fn draw(&mut self, drawn: u64) {
        (self.holder, self.dice) = (drawn, drawn | 1);
    }

    /// What is fetched, and from where.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// How it goes, as this worker saw it last.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Takes over what another worker has fetched, or this one in an earlier life.
    pub fn look(&mut self, host: &mut dyn Host, read: Reader<'_>) -> Look {
        match (self.look_now(host, read), self.untold.take()) {
            (Look::Nothing, Some(failure)) => Look::Refused(failure),
            (look, _) => look,
        }
    }

    /// The same for a request, which tells nobody; `true` if something was taken over. What there is to tell is told by
    /// the next look.
    pub fn look_quietly(&mut self, host: &mut dyn Host, read: Reader<'_>) -> bool {
        match self.look_now(host, read) {
            Look::Nothing => false,
            Look::Taken => true,
            Look::Refused(failure) => {
                self.untold = Some(failure);
                false
            }
        }
    }

    fn look_now(&mut self, host: &mut dyn Host, read: Reader<'_>) -> Look {
        for _ in 0..TRIES {
            let Ok((state, version)) = self.slots.state(host) else { return Look::Nothing };
            self.state = state.unwrap_or_default();
            let Some(content) = self.state.content.clone() else { return Look::Nothing };
            if self.given == Some(content.bytes) {
                return Look::Nothing;
            }
            let Ok((bytes, _)) = self.slots.content(host, content.second) else { return Look::Nothing };
            let whole = bytes
                .filter(|bytes| bytes.len() <= self.source.max_bytes && sha256(bytes) == content.bytes.0);
            if let Some(bytes) = whole {
                self.given = Some(content.bytes);
                return match read(&bytes) {
                    Ok(()) => Look::Taken,
                    Err(problem) => Look::Refused(Failure::new(Kind::Malformed, problem)),
                };
            }
            // It was replaced meanwhile, which the next look sees, or it is torn, and is to be fetched anew.
            let mut torn = self.state.clone();
            (torn.content, torn.next, torn.wait) = (None, 0, 0);
            if self.slots.set_state(host, torn, version) != Ok(false) {
                return Look::Nothing;
            }
        }
        Look::Nothing
    }

    /// Says that somebody misses a key. It is asked for with the next poll, if that may be.
    pub fn want(&mut self) {
        self.wanted = Some(self.state.attempts);
    }

    /// What somebody may hope for who misses all content, or only something in it. As good as the last look.
    #[must_use]
    pub fn standing(&self, misses_all: bool, now: u64) -> Standing {
        let (next, wait) = self.quiet;
        let may = due(next, now, wait) && (self.is_planned(now) || (!misses_all && self.may_refetch(now)));
        if self.pending.is_some() || may {
            return Standing::Soon;
        }
        let least = self.state.tried.map_or(0, |tried| tried.saturating_add(self.source.pace.min_refresh));
        let at = if misses_all || self.state.troubles > 0 { self.state.next } else { least };
        Standing::Later(at.max(next).saturating_sub(now).div_ceil(1_000).clamp(1, 3_600))
    }

    /// A request, if it is time and no other worker asks.
    pub fn poll(&mut self, host: &mut dyn Host, now: u64) -> Option<Request> {
        let patience = self.source.timeout.saturating_add(GRACE);
        if self.pending.as_ref().is_some_and(|pending| !due(pending.until, now, patience)) {
            return None;
        }
        self.pending = None;
        if !self.is_due(now) {
            return None;
        }
        let (lease, version) = self.slots.lease(host).ok()?;
        if lease.is_some_and(|lease| is_held(lease.until, now))
            || self.slots.set_lease(host, &Lease::new(self.until(now), self.holder), version) != Ok(true)
        {
            return None;
        }
        // Another worker may have asked and been answered since the state was read.
        let Ok((state, _)) = self.slots.state(host) else {
            self.release(host);
            return None;
        };
        self.state = state.unwrap_or_default();
        if !self.is_due(now) {
            self.release(host);
            return None;
        }
        let for_unknown = !self.is_planned(now);
        let step = if self.source.discovery.is_some() { Step::Document } else { Step::Content };
        Some(self.ask(step, self.source.place.clone(), for_unknown, now))
    }

    fn is_due(&self, now: u64) -> bool {
        let (next, wait) = self.quiet;
        let wanted = self.wanted == Some(self.state.attempts);
        due(next, now, wait) && (self.is_planned(now) || (wanted && self.may_refetch(now)))
    }

    /// Whether the time has come. Another policy may have planned with a longer time than this one.
    fn is_planned(&self, now: u64) -> bool {
        due(self.state.next, now, self.state.wait.min(self.source.pace.refresh))
    }

    /// Whether all workers together may ask once more before the time has come: not sooner after the last attempt than the
    /// policy says, and not at all while the server is in trouble.
    fn may_refetch(&self, now: u64) -> bool {
        let since = self.state.tried.and_then(|tried| now.checked_sub(tried));
        self.state.troubles == 0 && since.is_none_or(|since| since >= self.source.pace.min_refresh)
    }

    pub(super) fn until(&self, now: u64) -> u64 {
        now.saturating_add(self.source.timeout).saturating_add(GRACE)
    }

    /// Makes a request, and remembers that it is under way.
    pub(super) fn ask(&mut self, step: Step, place: Place, for_unknown: bool, now: u64) -> Request {
        let mut headers = vec![
            (":method", "GET".to_owned()),
            (":path", place.path.clone()),
            (":authority", place.authority.clone()),
            ("accept", self.types(step).join(", ")),
            ("user-agent", AGENT.to_owned()),
        ];
        // A tag says that nothing has changed since what lies in shared data: if that was not taken over here, it would not help.
        let known = self.state.content.as_ref().filter(|content| {
            step == Step::Content && content.place == digest_of(&place) && self.given == Some(content.bytes)
        });
        let tag = known.and_then(|content| content.tag.clone());
        let conditional = tag.is_some();
        headers.extend(tag.map(|tag| ("if-none-match", tag)));
        let request =
            Request { cluster: place.cluster.clone(), headers, timeout: self.source.timeout, for_unknown };
        let until = self.until(now);
        self.pending = Some(Pending { token: None, step, place, conditional, until, for_unknown });
        request
    }

    /// The media types of an answer.
    pub(super) const fn types(&self, step: Step) -> &'static [&'static str] {
        match (step, self.source.kind) {
            (Step::Content, ContentKind::Keys) => &["application/jwk-set+json", "application/json"],
            (Step::Document, _) | (Step::Content, ContentKind::Revocations) => &["application/json"],
        }
    }

    /// The request was sent, and the answer will come with this token.
    pub fn sent(&mut self, token: u32) {
        if let Some(pending) = &mut self.pending {
            pending.token = Some(token);
        }
    }

    /// The proxy did not send the request.
    pub fn not_sent(&mut self, host: &mut dyn Host, now: u64, status: u32) -> Outcome {
        let cluster = self.pending.take().map(|pending| pending.place.cluster).unwrap_or_default();
        let detail = format!("the proxy did not send a request to cluster `{cluster}` (status {status})");
        self.fail(host, now, Failure::new(Kind::NoCluster, detail))
    }

    /// Lets others ask, if this worker was about to.
    pub fn release(&mut self, host: &mut dyn Host) {
        self.pending = None;
        if let Ok((Some(lease), version)) = self.slots.lease(host)
            && lease.holder == self.holder
            && lease.until > 0
        {
            let _ = self.slots.set_lease(host, &Lease::new(0, self.holder), version);
        }
    }

    /// Takes a lease again for the next step; `false` if another worker has it by now.
    pub(super) fn renew(&mut self, host: &mut dyn Host, now: u64) -> bool {
        let until = self.until(now);
        let Ok((lease, version)) = self.slots.lease(host) else { return false };
        lease.is_some_and(|lease| lease.holder == self.holder)
            && self.slots.set_lease(host, &Lease::new(until, self.holder), version) == Ok(true)
    }

    /// Whether this worker waits for an answer.
    #[must_use]
    pub const fn is_asking(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether the answer of a call is for this feed.
    #[must_use]
    pub fn waits_for(&self, token: u32) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.token == Some(token))
    }

    /// xorshift64: it spreads, and decides nothing.
    pub(super) const fn dice(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice >> 16
    }
}

/// Whether a lease holds. One that lasts longer than any comes from a clock that was wrong.
const fn is_held(until: u64, now: u64) -> bool {
    until > now && until <= now.saturating_add(LONGEST_LEASE)
}

pub(super) fn digest_of(place: &Place) -> Digest {
    Digest(sha256([place.cluster.as_str(), &place.authority, &place.path].join("\n").as_bytes()))
}

impl fmt::Display for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} of `{}` from {}", self.source.what(), self.source.name, self.source.place)
    }
}
