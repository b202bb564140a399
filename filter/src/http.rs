//! One request, from headers to response.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use bartizan_engine::headers::Edit;
use bartizan_engine::host::Now;
use bartizan_engine::pipeline::{Engine, Exchange, Haste, Meanwhile, Step, Wait};
use bartizan_engine::reason::Reason;
use bartizan_engine::refusal::Refusal;
use bartizan_engine::trace::Trace;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::following::Serving;
use crate::host::{self, Buffer, Level, Map};
use crate::proxy::Proxy;
use crate::root::Active;
use crate::waiting::Keeper;

/// The filter of one stream.
pub(crate) struct Filter {
    /// Shared with the list of those that wait.
    stream: Rc<RefCell<Stream>>,
}

/// One stream. It keeps the policy it began with to the end.
pub(crate) struct Stream {
    context: u32,
    keeper: Rc<Keeper>,
    active: Option<Rc<Active>>,
    /// There is no policy yet, and the operator wants requests to go through until there is one.
    open: bool,
    exchange: Exchange,
    state: State,
    came: Came,
}

/// What has come behind the headers of a stream that waits.
#[derive(Debug, Clone, Copy, Default)]
struct Came {
    /// Nothing follows the headers.
    nothing: bool,
    /// So many bytes of a body.
    size: u64,
    /// Envoy was told that nobody will read them.
    passes: bool,
    /// The end of the body.
    end: bool,
    trailers: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was let through yet.
    Held,
    /// The headers are to be judged again when something has been fetched.
    Waiting,
    /// The headers went upstream.
    Open,
    /// An answer of ours was sent: there must never be a second one.
    Answered,
}

impl Filter {
    pub(crate) fn new(serving: Serving, keeper: Rc<Keeper>, context: u32) -> Self {
        let (active, open) = match serving {
            Serving::Policy(active) => (Some(active), false),
            Serving::Closed => (None, false),
            Serving::Open => (None, true),
        };
        let (exchange, state, came) = (Exchange::default(), State::Held, Came::default());
        let stream = Stream { context, keeper, active, open, exchange, state, came };
        Self { stream: Rc::new(RefCell::new(stream)) }
    }

    /// A callback that finds its stream in use could only be one inside of another, which Envoy does not do.
    fn stream(&self, callback: impl FnOnce(&mut Stream) -> Action) -> Action {
        self.stream.try_borrow_mut().map_or(Action::Pause, |mut stream| callback(&mut stream))
    }
}

/// A stream that has gone is not judged any more.
impl Drop for Filter {
    fn drop(&mut self) {
        if let Ok(stream) = self.stream.try_borrow()
            && stream.state == State::Waiting
        {
            stream.keeper.forget(stream.context);
        }
    }
}

impl Stream {
    /// Does what the engine said. `fresh` is true in the headers callback.
    fn follow(&mut self, step: Step, fresh: bool) -> Action {
        match step {
            Step::Continue => self.open(),
            // Without the flag of Envoy that this setting speaks of, a pause on headers never ends: let them
            // go and keep back the body alone.
            Step::Hold if fresh && !self.active.as_ref().is_some_and(|a| a.hold_headers) => self.open(),
            Step::Hold => Action::Pause,
            Step::Refuse(refusal) => self.refuse(&refusal),
            // The headers are judged elsewhere, and may wait there alone.
            Step::Wait(_) => self.refuse(&no_policy()),
        }
    }

    /// Judges the headers, again if it has waited.
    fn judge(&mut self, active: &Active) -> Step {
        let broken = |detail: &str| Step::Refuse(Box::new(Refusal::new(Reason::NoPolicy, detail)));
        let (Ok(map), Ok(now)) = (host::header_map(Map::Request), host::now()) else {
            return broken("the proxy gave no headers or no time");
        };
        let Some(pairs) = host::pairs(&map) else {
            return broken("the proxy's header map is malformed");
        };
        let Ok(mut engine) = active.engine.try_borrow_mut() else { return broken("no plan is in force") };
        engine.request_head(
            &mut self.exchange,
            &pairs,
            self.came.nothing,
            Now::from_nanos(now),
            &mut Proxy::new(active.signatures),
            &mut Trace::off(),
        )
    }

    /// Judges the headers, and sees to it that what is missing is asked for. `None` says that the stream waits.
    fn judge_or_wait(&mut self, active: &Rc<Active>, this: &Weak<RefCell<Self>>) -> Option<Step> {
        let wait = match self.judge(active) {
            Step::Wait(wait) => wait,
            step => return Some(step),
        };
        let haste = self.wait(active, this, wait).err()?;
        self.exchange.hurry(haste);
        Some(self.judge(active))
    }

    fn wait(&mut self, active: &Rc<Active>, this: &Weak<RefCell<Self>>, wait: Wait) -> Result<(), Haste> {
        if let Some(metrics) = self.keeper.metrics() {
            self.keeper.fetching.ask(active, wait.feed, &metrics);
        }
        let attempts = |active: &Active| {
            let engine = active.engine.try_borrow().ok()?;
            engine.feeds().get(wait.feed).map(|feed| feed.state().attempts)
        };
        // The attempt has ended already: the proxy did not send the request.
        if attempts(active) != Some(wait.attempts) {
            return Err(Haste::Over);
        }
        // Headers that are held back need a flag of Envoy that this setting speaks of.
        if !active.hold_headers {
            return Err(Haste::Never);
        }
        self.keeper.admit(this, self.context, active, wait)?;
        self.state = State::Waiting;
        Ok(())
    }

    /// A piece of the body comes while it waits.
    fn meanwhile(&mut self, size: u64, end: bool) -> Action {
        let Some(active) = self.active.clone() else { return self.without_policy() };
        let Ok(engine) = active.engine.try_borrow() else { return self.refuse(&no_policy()) };
        let meanwhile = engine.body_meanwhile(&mut self.exchange, size);
        drop(engine);
        self.came.end = end;
        match meanwhile {
            // While a body is held, the size is that of all that has come so far.
            Meanwhile::Keep => {
                self.came.size = size;
                Action::Pause
            }
            // Envoy reads no more than it may buffer, and does not refuse what is larger: it goes on after the wait.
            Meanwhile::Pass => {
                self.came.size = self.came.size.saturating_add(size);
                self.came.passes = true;
                host::stop_at_watermark();
                Action::Pause
            }
            Meanwhile::Refuse(refusal) => {
                self.keeper.forget(self.context);
                self.refuse(&refusal)
            }
        }
    }

    /// The wait is over, or something has come: whatever it is, this time it is decided.
    pub(crate) fn resume(&mut self) {
        let Some(active) = self.active.clone().filter(|_| self.state == State::Waiting) else { return };
        self.state = State::Held;
        self.exchange.hurry(Haste::Over);
        let step = match self.judge(&active) {
            Step::Refuse(refusal) => Step::Refuse(refusal),
            step => self.judge_what_came(step, &active),
        };
        if self.follow(step, false) == Action::Pause {
            return;
        }
        if self.came.trailers && drop_trailers().is_none() {
            self.refuse(&Refusal::new(Reason::NoPolicy, "the proxy did not drop the trailers"));
            return;
        }
        if let Err(status) = host::continue_request() {
            let text = format!("bartizan: the proxy did not continue a request (status {})", status.0);
            host::log(Level::Error, &text);
            self.refuse(&Refusal::new(Reason::NoPolicy, "the proxy did not continue the request"));
        }
    }

    /// Judges what came while it waited: it was buffered, and is one piece.
    fn judge_what_came(&mut self, step: Step, active: &Active) -> Step {
        let Came { size, end, trailers, .. } = self.came;
        if size == 0 && !end && !trailers {
            return step;
        }
        if self.came.passes && step == Step::Hold {
            // Who it is decides that it is to be read after all, and Envoy does not show what it has of it by now. The
            // next attempt need not wait.
            let refusal =
                Refusal::new(Reason::Busy, "the body came before it was known that it is to be read");
            return Step::Refuse(Box::new(refusal.with_header("retry-after", "1")));
        }
        let Ok(engine) = active.engine.try_borrow() else { return Step::Refuse(Box::new(no_policy())) };
        let bytes = &mut || host::buffer(Buffer::RequestBody, usize::MAX).ok();
        let (exchange, trace) = (&mut self.exchange, &mut Trace::off());
        match engine.request_body(exchange, size, end, bytes, trace) {
            Step::Refuse(refusal) => Step::Refuse(refusal),
            _ if trailers => engine.request_trailers(exchange, bytes, trace),
            step => step,
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
        if let Some(metrics) = self.keeper.metrics() {
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

    fn edit_response(&self) {
        let Some(active) = &self.active else { return };
        let Ok(engine) = active.engine.try_borrow() else { return };
        engine.response_edits(&self.exchange, &mut |edit| {
            if let Err(status) = make(Map::Response, edit) {
                host::log(
                    Level::Error,
                    &format!("bartizan: a response header was not set (status {})", status.0),
                );
            }
        });
    }
}

impl Context for Filter {}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let this = Rc::downgrade(&self.stream);
        self.stream(|stream| {
            let Some(active) = stream.active.clone() else { return stream.without_policy() };
            stream.came.nothing = end_of_stream;
            match stream.judge_or_wait(&active, &this) {
                Some(step) => stream.follow(step, true),
                None => Action::Pause,
            }
        })
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        self.stream(|stream| {
            if stream.state == State::Waiting {
                return stream.meanwhile(size, end_of_stream);
            }
            stream.more(|engine, exchange, bytes| {
                engine.request_body(exchange, size, end_of_stream, bytes, &mut Trace::off())
            })
        })
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.stream(|stream| {
            if stream.state == State::Waiting {
                stream.came.trailers = true;
                return Action::Pause;
            }
            let action = stream
                .more(|engine, exchange, bytes| engine.request_trailers(exchange, bytes, &mut Trace::off()));
            // Nobody judges trailers, and some servers put them among the headers: an identity header would get
            // there after the client's copies were removed. A recipient may discard them (RFC 9110, section 6.5.1).
            if stream.state == State::Open && drop_trailers().is_none() {
                return stream.refuse(&Refusal::new(Reason::NoPolicy, "the proxy did not drop the trailers"));
            }
            action
        })
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        // A response is never kept back.
        let _ = self.stream(|stream| {
            // The proxy has answered by itself while the stream waited, as when a body is too large.
            if stream.state == State::Waiting {
                stream.state = State::Answered;
                stream.keeper.forget(stream.context);
            }
            stream.edit_response();
            Action::Continue
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
