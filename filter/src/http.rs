//! One request, from headers to response.

use std::rc::Rc;

use bartizan_engine::headers::Edit;
use bartizan_engine::host::Now;
use bartizan_engine::pipeline::{Engine, Exchange, Step};
use bartizan_engine::reason::Reason;
use bartizan_engine::refusal::Refusal;
use bartizan_engine::trace::Trace;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::following::Serving;
use crate::host::{self, Buffer, Level, Map};
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::root::Active;

/// The filter of one stream. It keeps the policy it began with to the end.
pub(crate) struct Filter {
    active: Option<Rc<Active>>,
    /// There is no policy yet, and the operator wants requests to go through until there is one.
    open: bool,
    metrics: Option<Rc<Metrics>>,
    exchange: Exchange,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was let through yet.
    Held,
    /// The headers went upstream.
    Open,
    /// An answer of ours was sent: there must never be a second one.
    Answered,
}

impl Filter {
    pub(crate) fn new(serving: Serving, metrics: Option<Rc<Metrics>>) -> Self {
        let (active, open) = match serving {
            Serving::Policy(active) => (Some(active), false),
            Serving::Closed => (None, false),
            Serving::Open => (None, true),
        };
        Self { active, open, metrics, exchange: Exchange::default(), state: State::Held }
    }

    /// Does what the engine said. `fresh` is true in the headers callback.
    fn follow(&mut self, step: Step, fresh: bool) -> Action {
        match step {
            Step::Continue => self.open(),
            // Without the flag of Envoy that this setting speaks of, a pause on headers never ends: let them
            // go and keep back the body alone.
            Step::Hold if fresh && !self.active.as_ref().is_some_and(|a| a.hold_headers) => self.open(),
            Step::Hold => Action::Pause,
            Step::Refuse(refusal) => self.refuse(&refusal),
        }
    }

    /// Makes the edits, once, and lets the request go on.
    fn open(&mut self) -> Action {
        for edit in self.exchange.take_edits() {
            if make(Map::Request, edit.borrowed()).is_err() {
                // A request that would reach upstream with the client's own identity headers, or under
                // another path than was judged, does not reach it.
                return self.refuse(&Refusal::new(Reason::NoPolicy, "the proxy refused a header edit"));
            }
        }
        self.state = State::Open;
        Action::Continue
    }

    fn refuse(&mut self, refusal: &Refusal) -> Action {
        if self.state == State::Answered {
            return Action::Pause;
        }
        self.state = State::Answered;
        let reason = refusal.reason;
        if let Some(metrics) = &self.metrics {
            metrics.refused(reason);
        }
        if host::logs(Level::Debug) {
            let by = self.active.as_ref().and_then(|active| {
                let engine = active.engine.try_borrow().ok()?;
                Some(format!(" by `{}` revision {}", engine.name(), engine.revision()))
            });
            let (by, code) = (by.unwrap_or_default(), reason.code());
            host::log(Level::Debug, &format!("bartizan: refused{by}, {code}: {}", refusal.detail));
        }
        let mut headers = vec![("content-type", "application/problem+json"), ("cache-control", "no-store")];
        headers.extend(refusal.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let details = concat_details(reason);
        if let Err(status) = host::reply(reason.status(), &details, &headers, &refusal.problem()) {
            host::log(
                Level::Error,
                &format!("bartizan: the proxy did not send a refusal (status {})", status.0),
            );
            // Nothing else would ever end the stream: the client would wait, and its request stay in memory.
            if let Err(status) = host::close_stream() {
                host::log(
                    Level::Error,
                    &format!("bartizan: the proxy did not close a refused stream (status {})", status.0),
                );
            }
        }
        Action::Pause
    }

    fn without_policy(&mut self) -> Action {
        if self.open { Action::Continue } else { self.refuse(&no_policy()) }
    }

    /// Hands the engine what came after the headers.
    fn more(
        &mut self,
        judge: impl FnOnce(&Engine, &mut Exchange, &mut dyn FnMut() -> Option<Vec<u8>>) -> Step,
    ) -> Action {
        if self.state == State::Answered {
            return Action::Pause;
        }
        let Some(active) = self.active.clone() else { return self.without_policy() };
        let Ok(engine) = active.engine.try_borrow() else { return self.refuse(&no_policy()) };
        let step =
            judge(&engine, &mut self.exchange, &mut || host::buffer(Buffer::RequestBody, usize::MAX).ok());
        drop(engine);
        self.follow(step, false)
    }
}

impl Context for Filter {}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let Some(active) = self.active.clone() else { return self.without_policy() };
        let (Ok(map), Ok(now)) = (host::header_map(Map::Request), host::now()) else {
            return self.refuse(&Refusal::new(Reason::NoPolicy, "the proxy gave no headers or no time"));
        };
        let Some(pairs) = host::pairs(&map) else {
            return self.refuse(&Refusal::new(Reason::NoPolicy, "the proxy's header map is malformed"));
        };
        let Ok(mut engine) = active.engine.try_borrow_mut() else { return self.refuse(&no_policy()) };
        let mut proxy = Proxy::new(active.signatures);
        let step = engine.request_head(
            &mut self.exchange,
            &pairs,
            end_of_stream,
            Now::from_nanos(now),
            &mut proxy,
            &mut Trace::off(),
        );
        drop(engine);
        self.follow(step, true)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        self.more(|engine, exchange, bytes| {
            engine.request_body(exchange, size, end_of_stream, bytes, &mut Trace::off())
        })
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let action =
            self.more(|engine, exchange, bytes| engine.request_trailers(exchange, bytes, &mut Trace::off()));
        // Nobody judges trailers, and some servers put them among the headers: an identity header would get
        // there after the client's copies were removed. A recipient may discard them (RFC 9110, section 6.5.1).
        if self.state == State::Open && drop_trailers().is_none() {
            return self.refuse(&Refusal::new(Reason::NoPolicy, "the proxy did not drop the trailers"));
        }
        action
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let Some(active) = self.active.clone() else { return Action::Continue };
        let Ok(engine) = active.engine.try_borrow() else { return Action::Continue };
        engine.response_edits(&self.exchange, &mut |edit| {
            if let Err(status) = make(Map::Response, edit) {
                host::log(
                    Level::Error,
                    &format!("bartizan: a response header was not set (status {})", status.0),
                );
            }
        });
        Action::Continue
    }
}

/// Takes every trailer away; `None` if the proxy did not do it.
fn drop_trailers() -> Option<()> {
    let map = host::header_map(Map::RequestTrailers).ok()?;
    for (name, _) in host::pairs(&map)? {
        host::remove_header(Map::RequestTrailers, std::str::from_utf8(name).ok()?).ok()?;
    }
    Some(())
}

fn no_policy() -> Refusal {
    Refusal::new(Reason::NoPolicy, "no plan is in force")
}

/// What access logs show as `%RESPONSE_CODE_DETAILS%`.
fn concat_details(reason: Reason) -> String {
    format!("bartizan_{}", reason.code())
}

fn make(map: Map, edit: Edit<&str>) -> Result<(), host::Status> {
    match edit {
        Edit::Remove(name) => host::remove_header(map, name),
        Edit::Set(name, value) => host::set_header(map, name, value),
        Edit::Add(name, value) => host::add_header(map, name, value),
    }
}
