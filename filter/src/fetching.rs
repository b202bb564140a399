//! Feeds of the policies in force: asks, takes over, logs and counts. What it means is the engine's.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;

use bartizan_engine::feeds::{Arrived, Failure, Fetcher, Look, Outcome, Request};
use bartizan_engine::host::Now;
use bartizan_engine::pipeline::Engine;

use crate::host::{self, Buffer, Level, Map};
use crate::metrics::{Feed, FeedGauge, Metrics};
use crate::proxy::Proxy;
use crate::root::Active;
use crate::signature::Signatures;

/// Envoy, for shared data only.
fn shared() -> Proxy {
    Proxy::new(Signatures::Wasm)
}

fn now() -> Option<Now> {
    host::now().ok().map(Now::from_nanos)
}

/// Gives a new engine what was fetched before: a new bundle, and a VM that comes back, have it from the first request on.
/// Nothing is sent.
pub(crate) fn resume(engine: &mut Engine) {
    if engine.feeds().is_empty() {
        return;
    }
    engine.draw(RandomState::new().build_hasher().finish());
    let metrics = Metrics::of_vm();
    metrics.define_feeds();
    for feed in 0..engine.feeds().len() {
        look(engine, feed, &metrics);
    }
}

/// Takes over what another worker has fetched.
fn look(engine: &mut Engine, feed: usize, metrics: &Metrics) {
    match engine.look(feed, &mut shared()) {
        Look::Nothing => {}
        Look::Taken => taken(engine, feed),
        Look::Refused(failure) => {
            metrics.count_feed(Feed::Refused(failure.kind));
            log(
                Level::Error,
                engine,
                feed,
                &told("that another worker has fetched cannot be used", &failure),
            );
        }
    }
}

fn told(what: &str, failure: &Failure) -> String {
    format!("{what}: {failure}; {}", failure.kind.remedy())
}

/// Says that other content is in force, and what of it is of no use; or that there is nothing in it to use.
fn taken(engine: &Engine, feed: usize) {
    if let Some(lack) = engine.feeds().get(feed).and_then(Fetcher::lack) {
        log(Level::Error, engine, feed, &told("are withdrawn", lack));
        return;
    }
    let left_out = engine.left_out(feed);
    if left_out == 0 {
        log(Level::Info, engine, feed, "are in use");
    } else {
        let what = format!(
            "are in use without {left_out} of their entries: an entry revokes nothing if it names an issuer that the policy does not \
             have, or goes by `jti`, `sid` or a time of issue where a method takes no tokens; name whom to refuse under `subjects`"
        );
        log(Level::Error, engine, feed, &what);
    }
}

fn log(level: Level, engine: &Engine, feed: usize, what: &str) {
    if let Some(fetcher) = engine.feeds().get(feed) {
        host::log(level, &format!("bartizan: {fetcher} {what}"));
    }
}

/// Counts an attempt that was good and gave nothing to use.
fn count_lack(engine: &Engine, feed: usize, metrics: &Metrics) {
    if let Some(lack) = engine.feeds().get(feed).and_then(Fetcher::lack) {
        metrics.count_feed(Feed::Refused(lack.kind));
    }
}

/// A request that was sent.
struct Call {
    token: u32,
    active: Rc<Active>,
    feed: usize,
}

/// The requests of one root context that are under way.
#[derive(Default)]
pub(crate) struct Fetching {
    calls: RefCell<Vec<Call>>,
}

impl Fetching {
    /// What is done at a tick for a policy.
    pub(crate) fn tick(&self, active: &Rc<Active>, metrics: &Metrics) {
        let Some(now) = now() else { return };
        let Ok(mut engine) = active.engine.try_borrow_mut() else { return };
        for feed in 0..engine.feeds().len() {
            look(&mut engine, feed, metrics);
            self.poll(active, &mut engine, feed, now, metrics);
        }
    }

    /// Asks for a feed at once, because somebody waits for it.
    pub(crate) fn ask(&self, active: &Rc<Active>, feed: usize, metrics: &Metrics) {
        let Some(now) = now() else { return };
        let Ok(mut engine) = active.engine.try_borrow_mut() else { return };
        self.poll(active, &mut engine, feed, now, metrics);
    }

    fn poll(&self, active: &Rc<Active>, engine: &mut Engine, feed: usize, now: Now, metrics: &Metrics) {
        if let Some(request) = engine.poll(feed, &mut shared(), now) {
            if request.for_unknown {
                metrics.count_feed(Feed::ForUnknown);
            }
            self.send(active, engine, feed, &request, now, metrics);
        }
    }

    fn send(
        &self,
        active: &Rc<Active>,
        engine: &mut Engine,
        feed: usize,
        request: &Request,
        now: Now,
        metrics: &Metrics,
    ) {
        metrics.count_feed(Feed::Fetch);
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let timeout = u32::try_from(request.timeout).unwrap_or(u32::MAX);
        match host::http_call(&request.cluster, &headers, timeout) {
            Ok(token) => {
                engine.sent(feed, token);
                if let Ok(mut calls) = self.calls.try_borrow_mut() {
                    calls.push(Call { token, active: active.clone(), feed });
                }
            }
            Err(status) => {
                let outcome = engine.not_sent(feed, &mut shared(), now, status.0);
                self.conclude(active, engine, feed, outcome, now, metrics);
            }
        }
    }

    /// The answer of a call, if it is one of these; `whole` is false if the connection broke.
    pub(crate) fn answered(&self, token: u32, whole: bool, size: usize, metrics: &Metrics) -> bool {
        let call = self.calls.try_borrow_mut().ok().and_then(|mut calls| {
            let at = calls.iter().position(|call| call.token == token)?;
            Some(calls.swap_remove(at))
        });
        let Some(Call { active, feed, .. }) = call else { return false };
        let Ok(mut engine) = active.engine.try_borrow_mut() else { return true };
        // Without a time nothing can be judged: there is another attempt.
        let Some(now) = now() else {
            engine.release(&mut shared());
            return true;
        };
        let map = if whole { host::header_map(Map::CallResponse).unwrap_or_default() } else { Vec::new() };
        let headers = host::pairs(&map).unwrap_or_default();
        let body = &mut || host::buffer(Buffer::CallResponseBody, size).ok();
        let arrived = Arrived { headers: &headers, size, body };
        let outcome = engine.answered(feed, &mut shared(), now, token, arrived);
        self.conclude(&active, &mut engine, feed, outcome, now, metrics);
        true
    }

    fn conclude(
        &self,
        active: &Rc<Active>,
        engine: &mut Engine,
        feed: usize,
        outcome: Outcome,
        now: Now,
        metrics: &Metrics,
    ) {
        let again = match outcome {
            Outcome::Ignored => false,
            Outcome::Ask(request) => {
                self.send(active, engine, feed, &request, now, metrics);
                false
            }
            Outcome::Unchanged { again } => {
                count_lack(engine, feed, metrics);
                again
            }
            Outcome::Changed { again } => {
                metrics.count_feed(Feed::Change);
                count_lack(engine, feed, metrics);
                taken(engine, feed);
                again
            }
            Outcome::Failed { failure, news, alone } => {
                metrics.count_feed(Feed::Refused(failure.kind));
                if alone {
                    metrics.count_feed(Feed::Change);
                }
                if news || alone {
                    let has = engine.feeds().get(feed).is_some_and(Fetcher::has_content);
                    let stays = if alone {
                        "what was fetched is in use in this worker only"
                    } else if has {
                        "what was fetched before stays in use"
                    } else {
                        "requests that need it are refused until it is there"
                    };
                    let text = format!("{}; {stays}", told("cannot be fetched", &failure));
                    log(Level::Error, engine, feed, &text);
                }
                false
            }
        };
        if again {
            log(Level::Info, engine, feed, "can be fetched again");
        }
    }

    /// Shows how old the content of a policy is, and how much is missing.
    pub(crate) fn show(active: &Active, metrics: &Metrics) {
        let (Some(now), Ok(engine)) = (now(), active.engine.try_borrow()) else { return };
        let ages = engine.feeds().iter().filter_map(Fetcher::good);
        let oldest = ages.map(|at| (now.nanos() / 1_000_000).saturating_sub(at) / 1_000).max();
        let has = |fetcher: &&Fetcher| fetcher.has_content() && fetcher.lack().is_none();
        let missing = engine.feeds().len().saturating_sub(engine.feeds().iter().filter(has).count());
        metrics.show_feed(FeedGauge::Age, oldest.unwrap_or(0));
        metrics.show_feed(FeedGauge::Missing, u64::try_from(missing).unwrap_or(u64::MAX));
    }
}

/// Others need not wait until a lease has run out that nobody has any more.
impl Drop for Active {
    fn drop(&mut self) {
        if let Ok(mut engine) = self.engine.try_borrow_mut() {
            engine.release(&mut shared());
        }
    }
}
