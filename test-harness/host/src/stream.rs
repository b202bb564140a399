//! Streams as tests walk them.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::environment::{LogLevel, Thread, lock, nanos};
use crate::exchange::{
    CLIENT_GONE, Exchange, Iteration, Origin, Reply, Report, Side, UPSTREAM_GONE, status_of,
};
use crate::headers::{HeaderKind, HeaderMap};
use crate::message::{Protocol, Request, Response, Seen, map};
use crate::pairs::Pairs;
use crate::proxy::{Core, MOST_ANSWERS};
use crate::vm::Vm;

/// How long a request waits for callouts, in simulated time: as long as Envoy lets a stream be idle.
const PATIENCE: Duration = Duration::from_secs(300);

/// How a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The client has a complete response.
    Complete,
    /// The stream was broken off.
    Reset,
    /// Nothing more will come by itself: the module paused and has not continued.
    Hangs,
}

/// What came of a stream.
#[derive(Debug, Clone)]
pub struct Answer {
    outcome: Outcome,
    exchange: Exchange,
    upstream: Option<Seen>,
}

impl Answer {
    /// How the stream stands.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The status that the client got; zero if none.
    pub fn status(&self) -> u16 {
        let status = self.header(":status").and_then(|status| std::str::from_utf8(status).ok());
        status.and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The first value of a response header.
    pub fn header(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.headers()?.get(name)
    }

    /// The response headers that the client got.
    pub const fn headers(&self) -> Option<&HeaderMap> {
        self.exchange.response.sent.headers.as_ref()
    }

    /// The response body that the client got.
    pub fn body(&self) -> &[u8] {
        &self.exchange.response.sent.body
    }

    /// The response trailers that the client got.
    pub const fn trailers(&self) -> Option<&HeaderMap> {
        self.exchange.response.sent.trailers.as_ref()
    }

    /// What upstream saw, if the request got there.
    pub const fn upstream(&self) -> Option<&Seen> {
        self.upstream.as_ref()
    }

    /// Whether the proxy answered and not upstream.
    pub const fn is_local_reply(&self) -> bool {
        self.exchange.local_reply
    }

    /// The response code details that an access log would show.
    pub fn details(&self) -> &str {
        &self.exchange.details
    }

    /// What the stream cost.
    pub const fn report(&self) -> &Report {
        &self.exchange.report
    }
}

/// A stream in the proxy. One that is dropped before it ended is reset, as by a client that goes away.
pub struct Stream {
    core: Arc<Core>,
    place: Place,
}

enum Place {
    /// In a VM, under this context.
    Vm(Arc<Mutex<Vm>>, u32),
    /// On a thread without the plugin.
    Bare(Box<Exchange>),
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    pub(crate) fn open(
        core: Arc<Core>,
        vm: Arc<Mutex<Vm>>,
        root: u32,
        filtered: bool,
        origin: Origin,
    ) -> Self {
        let id = lock(&vm).open(root, filtered, origin);
        Self { core, place: Place::Vm(vm, id) }
    }

    pub(crate) fn unfiltered(core: Arc<Core>, origin: Origin) -> Self {
        let limit = core.env.settings.buffer_limit;
        Self { core, place: Place::Bare(Box::new(Exchange::new(false, limit, origin))) }
    }

    /// The client sends headers. `end` says that nothing follows.
    ///
    /// Frames that cannot follow what was sent are not sent, here and below: a codec would never let them through.
    pub fn request_headers(&mut self, headers: &Pairs, end: bool) {
        if self.look(|exchange| exchange.request.headers.is_some()) {
            return;
        }
        self.headers(Side::Request, map(HeaderKind::Request, headers), end);
    }

    /// The client sends a piece of the body.
    pub fn request_body(&mut self, piece: impl Into<Vec<u8>>, end: bool) {
        if self.goes_on(Side::Request) {
            self.data(Side::Request, piece.into(), end);
        }
    }

    /// The client sends trailers, which end the request.
    pub fn request_trailers(&mut self, trailers: &Pairs) {
        if self.goes_on(Side::Request) {
            self.trailers(Side::Request, map(HeaderKind::RequestTrailers, trailers));
        }
    }

    /// Upstream answers. Nothing happens if a local reply has taken the place of its answer, if there has been an answer
    /// already, or if the request never got there.
    pub fn response_headers(&mut self, headers: &Pairs, end: bool) {
        let expected = self.look(|exchange| {
            exchange.request.sent.headers.is_some()
                && exchange.response.headers.is_none()
                && !exchange.local_reply
        });
        if expected {
            let now = nanos(self.core.env.now());
            let headers = map(HeaderKind::Response, headers);
            let code = status_of(&headers);
            self.note(|exchange| {
                "via_upstream".clone_into(&mut exchange.details);
                exchange.upstream_code = code;
                exchange.times.upstream_done = end.then_some(now);
            });
            self.headers(Side::Response, headers, end);
        }
    }

    /// Upstream sends a piece of the response's body.
    pub fn response_body(&mut self, piece: impl Into<Vec<u8>>, end: bool) {
        if self.upstream_speaks() {
            let now = nanos(self.core.env.now());
            self.note(|exchange| exchange.times.upstream_done = end.then_some(now));
            self.data(Side::Response, piece.into(), end);
        }
    }

    /// Upstream sends trailers, which end the response.
    pub fn response_trailers(&mut self, trailers: &Pairs) {
        if self.upstream_speaks() {
            let now = nanos(self.core.env.now());
            self.note(|exchange| exchange.times.upstream_done = Some(now));
            self.trailers(Side::Response, map(HeaderKind::ResponseTrailers, trailers));
        }
    }

    /// The client goes away.
    pub fn reset(&mut self) {
        if self.is_over() {
            return;
        }
        self.note(|exchange| {
            exchange.flags |= CLIENT_GONE;
            "downstream_remote_disconnect".clone_into(&mut exchange.details);
        });
        self.end();
    }

    fn end(&mut self) {
        self.with(|vm, id| vm.reset(id), |exchange| exchange.response.sent.reset = true);
    }

    /// Upstream goes away: a 503 if there was no answer yet, otherwise the end of the stream
    /// (`UpstreamRequest::onResetStream` and `Filter::onUpstreamReset` in Envoy's `common/router`).
    pub fn upstream_reset(&mut self) {
        let reached = self.look(|exchange| exchange.request.sent.headers.is_some() && !exchange.local_reply);
        if !reached {
            return;
        }
        if self.look(|exchange| exchange.response.headers.is_some()) {
            self.note(|exchange| exchange.flags |= UPSTREAM_GONE);
            return self.end();
        }
        self.note(|exchange| exchange.flags |= UPSTREAM_GONE);
        let reply = Reply::of_host(
            503,
            "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
            "upstream_reset_before_response_started{connection_termination}",
        );
        self.with(
            |vm, id| vm.local_reply(id, reply.clone()),
            |exchange| {
                let rendered = exchange.render(reply.clone());
                exchange.local_reply = true;
                exchange.response.sent.headers = Some(rendered.headers);
                exchange.response.sent.body = rendered.body;
                exchange.response.sent.ended = true;
            },
        );
    }

    /// Whether the stream is over.
    pub fn is_over(&self) -> bool {
        self.look(|exchange| {
            exchange.destroyed || exchange.response.sent.ended || exchange.response.sent.reset
        })
    }

    /// Whether the module holds the request back.
    pub fn request_is_paused(&self) -> bool {
        self.look(|exchange| !exchange.destroyed && exchange.request.iteration != Iteration::Continue)
    }

    /// Whether the module holds the response back.
    pub fn response_is_paused(&self) -> bool {
        self.look(|exchange| !exchange.destroyed && exchange.response.iteration != Iteration::Continue)
    }

    /// How the stream stands now.
    pub fn answer(&self) -> Answer {
        let exchange =
            self.view(Exchange::clone).unwrap_or_else(|| Exchange::new(false, 0, Origin::default()));
        let outcome = if exchange.response.sent.reset {
            Outcome::Reset
        } else if exchange.response.sent.ended {
            Outcome::Complete
        } else {
            Outcome::Hangs
        };
        let sent = &exchange.request.sent;
        let upstream = sent.headers.clone().map(|headers| Seen {
            headers,
            body: sent.body.clone(),
            trailers: sent.trailers.clone(),
            complete: sent.ended,
            reset: sent.reset,
        });
        Answer { outcome, exchange, upstream }
    }

    /// Sends a request frame by frame, and upstream's answer when upstream has the request.
    pub(crate) fn run(mut self, request: Request) -> Answer {
        let head = request.is_head();
        let Request { headers, pieces, trailers, protocol, upstream, .. } = request;
        self.request_headers(&headers, pieces.is_empty() && trailers.is_empty());
        for (piece, end) in frames(pieces, protocol, !trailers.is_empty()) {
            self.request_body(piece, end);
        }
        if !trailers.is_empty() {
            self.request_trailers(&trailers);
        }
        self.wait(|exchange| exchange.request.sent.ended);
        if !self.is_over() && self.look(|exchange| exchange.request.sent.ended) {
            self.respond(upstream, head);
            self.wait(|_| false);
        }
        self.answer()
    }

    /// Lets the answers of callouts come until the stream is over, or as far as it should be.
    fn wait(&self, far_enough: impl Fn(&Exchange) -> bool) {
        let until = self.core.env.now().saturating_add(PATIENCE);
        let mut answers = 0_u64;
        while answers <= MOST_ANSWERS {
            // What is due at this moment comes in any case.
            let came = self.core.advance_to(self.core.env.now());
            answers = answers.saturating_add(came);
            if self.is_over() || self.look(&far_enough) || self.core.env.is_racing() {
                return;
            }
            let next = match &self.place {
                Place::Vm(vm, _) => lock(vm).next_delivery(),
                Place::Bare(_) => None,
            };
            let Some(next) = next.filter(|next| *next <= until) else { return };
            let came = self.core.advance_to(next);
            answers = answers.saturating_add(came);
        }
        let message =
            b"a request waited for more answers of callouts than any module needs, and was left waiting";
        self.core.env.write_log(Thread::Main, LogLevel::Error, message);
    }

    fn respond(&mut self, response: Response, head: bool) {
        let Response { headers, pieces, trailers, protocol } = response;
        let bodiless = head || (pieces.is_empty() && trailers.is_empty());
        self.response_headers(&headers, bodiless);
        if bodiless {
            return;
        }
        for (piece, end) in frames(pieces, protocol, !trailers.is_empty()) {
            self.response_body(piece, end);
        }
        if !trailers.is_empty() {
            self.response_trailers(&trailers);
        }
    }

    fn upstream_speaks(&self) -> bool {
        self.goes_on(Side::Response) && self.look(|exchange| !exchange.local_reply)
    }

    /// Whether the source has begun this half and not ended it.
    fn goes_on(&self, side: Side) -> bool {
        self.look(|exchange| exchange.half(side).headers.is_some() && !exchange.half(side).source_done)
    }

    fn headers(&mut self, side: Side, headers: HeaderMap, end: bool) {
        self.note(|exchange| exchange.half_mut(side).source_done = end);
        self.with(
            |vm, id| vm.headers(id, side, headers.clone(), end),
            |exchange| {
                let half = exchange.half_mut(side);
                half.headers = Some(headers.clone());
                half.sent.headers = Some(headers.clone());
                half.sent.ended = end;
            },
        );
    }

    fn data(&mut self, side: Side, piece: Vec<u8>, end: bool) {
        self.note(|exchange| exchange.half_mut(side).source_done = end);
        self.with(
            |vm, id| vm.data(id, side, piece.clone(), end),
            |exchange| {
                let sent = &mut exchange.half_mut(side).sent;
                sent.body.extend_from_slice(&piece);
                sent.ended |= end;
            },
        );
    }

    fn trailers(&mut self, side: Side, trailers: HeaderMap) {
        self.note(|exchange| exchange.half_mut(side).source_done = true);
        self.with(
            |vm, id| vm.trailers(id, side, trailers.clone()),
            |exchange| {
                let sent = &mut exchange.half_mut(side).sent;
                sent.trailers = Some(trailers.clone());
                sent.ended = true;
            },
        );
    }

    fn with(&mut self, in_vm: impl FnOnce(&mut Vm, u32), bare: impl FnOnce(&mut Exchange)) {
        match &mut self.place {
            Place::Vm(vm, id) => in_vm(&mut lock(vm), *id),
            Place::Bare(exchange) => bare(exchange),
        }
        self.core.env.deliver_posts();
    }

    fn look(&self, look: impl FnOnce(&Exchange) -> bool) -> bool {
        self.view(look).unwrap_or_default()
    }

    /// The context lives as long as this handle, so there is always something to see.
    fn view<T>(&self, look: impl FnOnce(&Exchange) -> T) -> Option<T> {
        match &self.place {
            Place::Vm(vm, id) => lock(vm).exchange(*id).map(look),
            Place::Bare(exchange) => Some(look(exchange)),
        }
    }

    fn note(&mut self, note: impl FnOnce(&mut Exchange)) {
        match &mut self.place {
            Place::Vm(vm, id) => {
                lock(vm).store.data_mut().exchange_mut(*id).map(note);
            }
            Place::Bare(exchange) => note(exchange),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Place::Vm(vm, id) = &self.place {
            let mut vm = lock(vm);
            vm.reset(*id);
            vm.remove(*id);
        }
        self.core.env.deliver_posts();
    }
}

/// The pieces of a body with the mark of the end where the protocol puts it. Trailers carry the end themselves.
fn frames(pieces: Vec<Vec<u8>>, protocol: Protocol, trailers: bool) -> Vec<(Vec<u8>, bool)> {
    let last = pieces.len().saturating_sub(1);
    let marks = protocol == Protocol::Http2 && !trailers;
    let empty = pieces.is_empty();
    let mut frames: Vec<(Vec<u8>, bool)> =
        pieces.into_iter().enumerate().map(|(index, piece)| (piece, marks && index == last)).collect();
    if protocol == Protocol::Http1 && !trailers && !empty {
        // The codec has nothing to hand over for an empty piece but the end.
        frames.retain(|(piece, _)| !piece.is_empty());
        frames.push((Vec::new(), true));
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_where_the_protocol_puts_it() {
        let pieces = || vec![b"a".to_vec(), b"b".to_vec()];
        let ends = |protocol, trailers| {
            frames(pieces(), protocol, trailers)
                .into_iter()
                .map(|(piece, end)| (piece.len(), end))
                .collect::<Vec<_>>()
        };
        assert_eq!(ends(Protocol::Http1, false), [(1, false), (1, false), (0, true)]);
        assert_eq!(ends(Protocol::Http2, false), [(1, false), (1, true)]);
        assert_eq!(ends(Protocol::Http1, true), [(1, false), (1, false)]);
        assert_eq!(ends(Protocol::Http2, true), [(1, false), (1, false)]);
        assert_eq!(frames(vec![Vec::new()], Protocol::Http1, false), [(Vec::new(), true)]);
    }
}
