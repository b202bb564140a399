//! One worker that fetches a feed, together with the others.

use std::fmt;

use super::failure::{Failure, Kind};
use super::looking::{Look, Took};
use super::plan::{ContentKind, Place, Source};
use super::record::{Slots, State};
use super::schedule::due;
use crate::delivery::record::{Broken, Digest, Lease};
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
pub type Reader<'r> = &'r mut dyn FnMut(&[u8]) -> Result<Took, String>;

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
    /// The attempt was not good. `news` says that the last attempt did not go wrong in this way.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether to tell people.
        news: bool,
        /// Other content was taken over all the same, by this worker alone: it could not be shared.
        alone: bool,
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
    /// The content that the readers here have, and when it was last known to be what the server has.
    pub(super) taken: Option<Digest>,
    pub(super) good: Option<u64>,
    /// Why it gives them nothing that they can use.
    pub(super) lack: Option<Failure>,
    /// Shared content, and when it was good, that this worker does not go back to: what it has is newer and could not be shared.
    pub(super) passed: Option<(Digest, Option<u64>)>,
    /// What other policies fetched at the same place was looked at.
    pub(super) has_inherited: bool,
    /// Somebody misses a key since there were so many attempts.
    wanted: Option<u64>,
    /// When this worker asks again at the earliest, and how far ahead that was: what counts if it cannot be written down.
    pub(super) quiet: (u64, u64),
    /// What a request found, if nobody was told yet.
    pub(super) untold: Option<Look>,
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
        let slots = Slots::new(&source.id(), &source.place_id());
        Self {
            source,
            slots,
            holder: drawn,
            dice: drawn | 1,
            pending: None,
            state: State::default(),
            given: None,
            taken: None,
            good: None,
            lack: None,
            passed: None,
            has_inherited: false,
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

    /// Says that somebody misses a key. It is asked for with the next poll, if that may be.
    pub fn want(&mut self) {
        self.wanted = Some(self.state.attempts);
    }

    /// What somebody may hope for who misses something. As good as the last look.
    #[must_use]
    pub fn standing(&self, now: u64) -> Standing {
        let (next, wait) = self.quiet;
        let may = due(next, now, wait) && (self.is_planned(now) || self.may_refetch(now));
        if self.pending.is_some() || may {
            return Standing::Soon;
        }
        let least = self.state.tried.map_or(0, |tried| tried.saturating_add(self.source.pace.min_refresh));
        let at = self.state.next.min(least).max(next);
        Standing::Later(at.saturating_sub(now).div_ceil(1_000).clamp(1, 3_600))
    }

    /// A request, if it is time and no other worker asks.
    pub fn poll(&mut self, host: &mut dyn Host, now: u64) -> Option<Request> {
        if let Some(pending) = self.pending.as_mut().filter(|pending| now < pending.until) {
            // If the clock was set back, the proxy still counts the time of the call as it did: its answer comes.
            let patience = self.source.timeout.saturating_add(GRACE);
            pending.until = pending.until.min(now.saturating_add(patience));
            return None;
        }
        self.pending = None;
        if !self.is_due(now) {
            return None;
        }
        let (lease, version) = self.slots.lease(host).ok()?;
        if lease.is_some_and(|lease| lease.holder != self.holder && is_held(lease.until, now))
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
    /// policy says. So too while the server is in trouble, or whoever comes with a new key would wait for the end of a long
    /// pause after the server is well again.
    fn may_refetch(&self, now: u64) -> bool {
        let since = self.state.tried.and_then(|tried| now.checked_sub(tried));
        since.is_none_or(|since| since >= self.source.pace.min_refresh)
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
        // A tag says that nothing has changed since what lies in shared data: if the readers here do not have that, it would
        // not help.
        let known = self.state.content.as_ref().filter(|content| {
            step == Step::Content && content.place == digest_of(&place) && self.taken == Some(content.bytes)
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
        self.fail(host, now, Failure::new(Kind::NoCluster, detail), false)
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

    /// Whether the lease is still this worker's. Otherwise another one has asked later, and what comes here late is old.
    pub(super) fn holds(&self, host: &mut dyn Host) -> Result<bool, Broken> {
        let (lease, _) = self.slots.lease(host)?;
        Ok(lease.is_some_and(|lease| lease.holder == self.holder))
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
