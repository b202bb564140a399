//! What a policy misses and fetches: how content gets into the rooms, and when a request may wait for it.

use super::{Duty, Engine, Exchange};
use crate::authentication::Authenticator;
use crate::feeds::{self, Arrived, Fetcher, Look, Outcome, Standing};
use crate::host::{Host, Now};
use crate::intake::request::Request;
use crate::plan::RoutePlan;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::trace::Trace;
use crate::validation::body::BodyDuty;

/// Something that a credential needs and that has to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// The feed that may have it.
    pub feed: usize,
}

/// A request waits for content. Its head is to be judged again when an attempt has ended, and at the latest when `patience` is
/// over; the host then says so with [`Exchange::hurry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// For which feed.
    pub feed: usize,
    /// How many attempts had ended when it began to wait.
    pub attempts: u64,
    /// The longest that it makes sense to wait, in milliseconds.
    pub patience: u64,
}

/// What is done with a body that comes while its head waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meanwhile {
    /// It is kept whole: it will be read.
    Keep,
    /// It is held up, and will pass as it comes: nobody will read it.
    Pass,
    /// Whoever sent it, it is refused.
    Refuse(Box<Refusal>),
}

/// Why a request cannot wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// Nobody waits here.
    Never,
    /// Too many wait already.
    Full,
    /// It has waited.
    Over,
}

/// Why a request goes no further just now.
pub(super) enum Halt {
    Refuse(Refusal),
    Wait(Wait),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl Exchange {
    /// From now on the request does not wait.
    pub fn hurry(&mut self, haste: Haste) {
        self.haste = Some(haste);
    }
}

/// How much longer than an answer may take a request waits for it, in milliseconds.
const SLACK: u64 = 500;

/// Milliseconds since 1970.
const fn millis(now: Now) -> u64 {
    now.nanos() / 1_000_000
}

impl Engine {
    /// The feeds of the plan, in its order.
    #[must_use]
    pub fn feeds(&self) -> &[Fetcher] {
        &self.feeds
    }

    /// How many entries of what a feed brought are about nobody: whoever publishes them may believe otherwise.
    #[must_use]
    pub fn left_out(&self, feed: usize) -> usize {
        self.authenticator.left_out(feed)
    }

    /// Gives this worker a number that no other has drawn: by it leases are told apart.
    pub fn draw(&mut self, drawn: u64) {
        for (fetcher, number) in self.feeds.iter_mut().zip(0_u64..) {
            fetcher.draw(drawn ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
    }

    /// Takes over what was fetched by another worker or before.
    pub fn look(&mut self, feed: usize, host: &mut dyn Host) -> Look {
        let Self { feeds, authenticator, .. } = self;
        let read = &mut |content: &[u8]| authenticator.take(feed, content);
        feeds.get_mut(feed).map_or(Look::Nothing, |fetcher| fetcher.look(host, read))
    }

    /// What to ask for a feed, if it is time and no other worker asks.
    pub fn poll(&mut self, feed: usize, host: &mut dyn Host, now: Now) -> Option<feeds::Request> {
        self.feeds.get_mut(feed)?.poll(host, millis(now))
    }

    /// A request of a feed was sent.
    pub fn sent(&mut self, feed: usize, token: u32) {
        if let Some(fetcher) = self.feeds.get_mut(feed) {
            fetcher.sent(token);
        }
    }

    /// The proxy did not send a request of a feed.
    pub fn not_sent(&mut self, feed: usize, host: &mut dyn Host, now: Now, status: u32) -> Outcome {
        let fetcher = self.feeds.get_mut(feed);
        fetcher.map_or(Outcome::Ignored, |fetcher| fetcher.not_sent(host, millis(now), status))
    }

    /// Judges the answer to a request of a feed, and puts what it brings in force.
    pub fn answered(
        &mut self,
        feed: usize,
        host: &mut dyn Host,
        now: Now,
        token: u32,
        arrived: Arrived<'_>,
    ) -> Outcome {
        let Self { feeds, authenticator, .. } = self;
        let read = &mut |content: &[u8]| authenticator.take(feed, content);
        let fetcher = feeds.get_mut(feed);
        fetcher.map_or(Outcome::Ignored, |fetcher| fetcher.answered(host, millis(now), token, arrived, read))
    }

    /// Lets other workers ask: this one does not any more.
    pub fn release(&mut self, host: &mut dyn Host) {
        for fetcher in self.feeds.iter_mut().filter(|fetcher| fetcher.is_asking()) {
            fetcher.release(host);
        }
    }
}

/// Bodies of requests that wait. Nobody knows yet who sends them, so nothing is kept that could not be let through.
impl Engine {
    /// What a route will do about a body.
    pub(super) fn expect(
        &self,
        route: &RoutePlan,
        request: &Request<'_>,
        end_of_stream: bool,
    ) -> Result<BodyDuty, Refusal> {
        let headers = request.headers();
        self.validator.head(route.body, route.inspection, headers, end_of_stream, &mut Trace::off())
    }

    /// Looks at how much of a body has come while its head waits. `size` is what has come so far in all for a body that is
    /// [kept](Meanwhile::Keep), and otherwise what came just now.
    pub fn body_meanwhile(&self, exchange: &mut Exchange, size: u64) -> Meanwhile {
        let Duty::Awaited(duty, counted) = &mut exchange.duty else {
            let detail = "a body came for a request that does not wait";
            return Meanwhile::Refuse(Box::new(Refusal::new(Reason::BodyMalformed, detail)));
        };
        let passes = matches!(duty, BodyDuty::Count { .. });
        *counted = if passes { counted.saturating_add(size) } else { size };
        match self.validator.size(duty, *counted, false) {
            Ok(()) if passes => Meanwhile::Pass,
            Ok(()) => Meanwhile::Keep,
            Err(refusal) => {
                exchange.duty = Duty::Refused;
                Meanwhile::Refuse(Box::new(refusal))
            }
        }
    }
}

/// Asks who it is; if that needs something that another worker may have fetched meanwhile, once more with it.
pub(super) fn with_content<T>(
    feeds: &mut [Fetcher],
    authenticator: &mut Authenticator,
    host: &mut dyn Host,
    now: Now,
    haste: Option<Haste>,
    ask: &mut dyn FnMut(&mut Authenticator, &mut dyn Host) -> Result<T, Refusal>,
) -> Result<T, Halt> {
    let mut refusal = match ask(authenticator, host) {
        Ok(known) => return Ok(known),
        Err(refusal) => refusal,
    };
    let Some(mut missing) = authenticator.missed() else { return Err(refusal.into()) };
    // Once for each kind of content that a policy may need: who has the keys now may miss the list of what was revoked.
    for _ in 0..feeds.len() {
        let Some(fetcher) = feeds.get_mut(missing.feed) else { return Err(refusal.into()) };
        if !fetcher.look_quietly(host, &mut |content| authenticator.take(missing.feed, content)) {
            break;
        }
        refusal = match ask(authenticator, host) {
            Ok(known) => return Ok(known),
            Err(refusal) => refusal,
        };
        missing = match authenticator.missed() {
            Some(again) => again,
            None => return Err(refusal.into()),
        };
    }
    let Some(fetcher) = feeds.get_mut(missing.feed) else { return Err(refusal.into()) };
    Err(miss(fetcher, missing, refusal, haste, now))
}

/// What becomes of a request that misses something, with the refusal that it gets if nothing comes.
fn miss(fetcher: &mut Fetcher, missing: Missing, refusal: Refusal, haste: Option<Haste>, now: Now) -> Halt {
    let standing = fetcher.standing(millis(now));
    if standing == Standing::Soon {
        fetcher.want();
    }
    let seconds = match (standing, haste) {
        (Standing::Soon, None) => {
            return Halt::Wait(Wait {
                feed: missing.feed,
                attempts: fetcher.state().attempts,
                patience: fetcher.source().patience().saturating_add(SLACK),
            });
        }
        (Standing::Soon, Some(Haste::Full)) => {
            let detail = "too many requests wait for keys already";
            return Refusal::new(Reason::Busy, detail).with_header("retry-after", "1").into();
        }
        (Standing::Soon, Some(Haste::Never | Haste::Over)) => 1,
        (Standing::Later(seconds), _) => seconds,
    };
    let refusal = if refusal.reason == Reason::KeysUnavailable {
        refusal
    } else if standing == Standing::Soon || fetcher.state().troubles > 0 {
        // The key may be one that would be here if the last attempt had been good, or the next one were over. Nothing was found
        // out about the token: no challenge, or clients would throw away a good one.
        let detail = format!("{}; whether there are newer keys could not be asked", refusal.detail);
        Refusal::new(Reason::KeysUnavailable, detail)
    } else {
        // The issuer was asked, and its answer does not help: the token is refused for good.
        return refusal.into();
    };
    refusal.with_header("retry-after", seconds.to_string()).into()
}

#[cfg(test)]
#[path = "feeding_tests.rs"]
mod tests;
