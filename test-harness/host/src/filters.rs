//! The way of a stream through the filter, as Envoy's filter manager walks it.
//!
//! There is one filter in the chain; behind it are the router (upstream) and the connection manager (the client). The
//! functions have the names of what they do in `source/common/http/filter_manager.cc` of Envoy: frames are brought to
//! the filter, its answer decides whether they go on, and continuing sends on what was held. What the filter
//! itself adds stands in `Context::decodeHeaders` and its kin in `common/wasm/context.cc`, and in `CHECK_FAIL` and
//! `convertVmCallResult...` of `src/context.cc` in proxy-wasm-cpp-host.

use crate::environment::{LogLevel, nanos};
use crate::exchange::{Exchange, Frame, Half, Iteration, Origin, Rendered, Reply, Side, status_of};
use crate::headers::HeaderMap;
use crate::vm::{Called, Context, Vm};

/// What the filter answered, in the numbers of the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    Continue,
    Stop,
    StopAllBuffer,
    StopAllWatermark,
    StopBuffer,
    StopWatermark,
    StopNoBuffer,
}

impl Vm {
    /// A new stream under a root context. `filtered` says whether the filter is in the chain.
    pub(crate) fn open(&mut self, root: u32, filtered: bool, origin: Origin) -> u32 {
        let id = self.allocate_context();
        let limit = self.store.data().env.settings.buffer_limit;
        let exchange = Box::new(Exchange::new(filtered, limit, origin));
        self.store.data_mut().contexts.insert(id, Context::Stream { root, exchange });
        id
    }

    fn now(&self) -> u64 {
        nanos(self.store.data().env.now())
    }

    fn half(&mut self, id: u32, side: Side) -> Option<&mut Half> {
        Some(self.store.data_mut().exchange_mut(id)?.half_mut(side))
    }

    pub(crate) fn exchange(&self, id: u32) -> Option<&Exchange> {
        self.store.data().exchange(id)
    }

    fn exchange_mut(&mut self, id: u32) -> Option<&mut Exchange> {
        self.store.data_mut().exchange_mut(id)
    }

    /// Headers arrive (`decodeHeaders`, `encodeHeaders`).
    pub(crate) fn headers(&mut self, id: u32, side: Side, headers: HeaderMap, end: bool) {
        let Some(half) = self.half(id, side) else { return };
        half.headers = Some(headers);
        half.source_ended = end;
        half.filter_saw_end = end;
        let answered = self.filter_headers(id, side, end);
        if self.is_over(id, side) {
            return self.send_prepared(id);
        }
        let Some(half) = self.half(id, side) else { return };
        half.iteration = match answered {
            Answered::Continue => {
                if std::mem::replace(&mut half.headers_continued, true) {
                    let message = "the module continued a stream and then returned Continue for the same headers; Envoy \
                                   sends them on twice, and the request goes upstream twice";
                    self.store.data().log(LogLevel::Error, message.as_bytes());
                }
                return self.forward_headers(id, side, end);
            }
            Answered::StopAllBuffer => Iteration::StopAllBuffer,
            Answered::StopAllWatermark => Iteration::StopAllWatermark,
            _ => Iteration::StopSingle,
        };
    }

    /// A piece of body arrives.
    pub(crate) fn data(&mut self, id: u32, side: Side, piece: Vec<u8>, end: bool) {
        if self.is_over(id, side) {
            return;
        }
        let Some(half) = self.half(id, side) else { return };
        if half.reading_stopped {
            half.unread.push_back(Frame::Data(piece, end));
            return;
        }
        half.received = half.received.saturating_add(piece.len() as u64);
        half.source_ended |= end;
        self.pass_data(id, side, piece, end, true);
    }

    /// Trailers arrive; they end this half.
    pub(crate) fn trailers(&mut self, id: u32, side: Side, trailers: HeaderMap) {
        if self.is_over(id, side) {
            return;
        }
        let Some(half) = self.half(id, side) else { return };
        if half.reading_stopped {
            half.unread.push_back(Frame::Trailers(trailers));
            return;
        }
        half.source_ended = true;
        half.trailers = Some(trailers);
        self.pass_trailers(id, side, true);
    }

    fn pass_data(&mut self, id: u32, side: Side, piece: Vec<u8>, end: bool, at_filter: bool) {
        if !at_filter {
            return self.forward_data(id, side, &piece, end);
        }
        let Some(half) = self.half(id, side) else { return };
        if half.iteration.stops_all() {
            let streaming = half.iteration == Iteration::StopAllWatermark;
            return self.hold(id, side, &piece, streaming);
        }
        if half.filter_saw_end {
            return;
        }
        half.filter_saw_end = end && half.trailers.is_none();
        let end_for_filter = half.filter_saw_end;
        let answered = self.filter_data(id, side, piece, end_for_filter);
        if self.is_over(id, side) {
            return self.send_prepared(id);
        }
        let Some(half) = self.half(id, side) else { return };
        let piece = std::mem::take(&mut half.piece);
        // The filter has added trailers, which go on behind this piece without coming to the filter.
        let trailers = end && half.trailers.is_some();
        match answered {
            Answered::Continue if half.iteration == Iteration::StopSingle => {
                self.hold(id, side, &piece, false);
                self.go_on(id, side);
            }
            Answered::Continue => {
                self.forward_data(id, side, &piece, end && !trailers);
                if trailers {
                    self.forward_trailers(id, side);
                }
            }
            Answered::StopBuffer | Answered::StopWatermark => {
                half.iteration = Iteration::StopSingle;
                self.hold(id, side, &piece, answered == Answered::StopWatermark);
            }
            _ => {
                half.iteration = Iteration::StopSingle;
                // An empty buffer, so that continuing ends the stream with an empty frame.
                if half.source_ended && half.trailers.is_none() && half.held.is_none() {
                    half.held = Some(Vec::new());
                }
            }
        }
    }

    fn pass_trailers(&mut self, id: u32, side: Side, at_filter: bool) {
        if !at_filter {
            return self.forward_trailers(id, side);
        }
        let Some(half) = self.half(id, side) else { return };
        if half.iteration.stops_all() {
            return;
        }
        let answered = self.filter_trailers(id, side);
        if self.is_over(id, side) {
            return self.send_prepared(id);
        }
        let Some(half) = self.half(id, side) else { return };
        match (answered, half.iteration) {
            (Answered::Continue, Iteration::StopSingle) => self.go_on(id, side),
            (Answered::Continue, _) => self.forward_trailers(id, side),
            _ => half.iteration = Iteration::StopSingle,
        }
    }

    /// The module asked to continue (`continueDecoding`, `continueEncoding`).
    ///
    /// Envoy does so even if the callback that asks has not been heard yet: the headers go on, and then count
    /// as paused or not as the callback says. Seen in Envoy 1.40.0.
    pub(crate) fn resume(&mut self, id: u32, side: Side) {
        let Some(half) = self.half(id, side) else { return };
        if half.iteration == Iteration::Continue && !half.in_call {
            let what = if side == Side::Request { "request" } else { "response" };
            let message =
                format!("the module continued a {what} of stream {id} that is not paused; nothing happens");
            self.store.data().log(LogLevel::Debug, message.as_bytes());
            return;
        }
        self.go_on(id, side);
    }

    /// Sends on what was held (`commonContinue`).
    fn go_on(&mut self, id: u32, side: Side) {
        if self.is_over(id, side) {
            return;
        }
        let Some(half) = self.half(id, side) else { return };
        half.from_current = half.iteration.stops_all();
        half.iteration = Iteration::Continue;
        if !half.headers_continued {
            half.headers_continued = true;
            let end = half.source_ended && half.held.is_none() && half.trailers.is_none();
            self.forward_headers(id, side, end);
        }
        let Some(half) = self.half(id, side) else { return };
        let had_trailers = half.trailers.is_some();
        let at_filter = half.from_current;
        if let Some(held) = half.held.take() {
            let end = half.source_ended && !had_trailers;
            self.pass_data(id, side, held, end, at_filter);
        }
        if had_trailers && !self.is_over(id, side) {
            self.pass_trailers(id, side, at_filter);
        }
        let Some(half) = self.half(id, side) else { return };
        half.from_current = false;
        half.reading_stopped = false;
        while let Some(frame) =
            self.half(id, side).filter(|half| !half.reading_stopped).and_then(|half| half.unread.pop_front())
        {
            match frame {
                Frame::Data(piece, end) => self.data(id, side, piece, end),
                Frame::Trailers(trailers) => self.trailers(id, side, trailers),
            }
        }
    }

    /// Keeps a piece. More than the limit is an error (413, or 500 for a response), or, with a watermark, the reason to
    /// read no more (`requestDataTooLarge`, `responseDataTooLarge`). A buffer may be filled to its limit.
    fn hold(&mut self, id: u32, side: Side, piece: &[u8], streaming: bool) {
        let Some(exchange) = self.exchange_mut(id) else { return };
        let limit = exchange.buffer_limit;
        let half = exchange.half_mut(side);
        let held = half.held.get_or_insert_default();
        let fitted = held.len() <= limit;
        held.extend_from_slice(piece);
        if !fitted || held.len() <= limit {
            return;
        }
        if streaming {
            half.reading_stopped = true;
            return;
        }
        let (status, text, details) = match side {
            Side::Request => (413, "Payload Too Large", "request_payload_too_large"),
            Side::Response => (500, "Internal Server Error", "response_payload_too_large"),
        };
        self.local_reply(id, Reply::of_host(status, text, details));
    }

    fn filter_headers(&mut self, id: u32, side: Side, end: bool) -> Answered {
        if side == Side::Request {
            self.create(id);
        }
        let Some(exchange) = self.exchange_mut(id).filter(|exchange| exchange.hears(side)) else {
            return Answered::Continue;
        };
        exchange.end_told = end;
        let half = exchange.half_mut(side);
        half.shows_headers = true;
        half.in_call = true;
        let count = half.headers.as_ref().map_or(0, HeaderMap::len);
        let callback =
            if side == Side::Request { "proxy_on_request_headers" } else { "proxy_on_response_headers" };
        let answered = self.ask(id, callback, &[id, narrow(count), end.into()], Answered::StopAllWatermark);
        let allowed = self.store.data().env.settings.allow_on_headers_stop_iteration;
        let answered = match answered {
            Ok(1) if allowed => Answered::Stop,
            // Unless the plugin may stop the headers alone, it stops everything.
            Ok(1 | 4) => Answered::StopAllWatermark,
            Ok(3) => Answered::StopAllBuffer,
            // 2 is "continue and end the stream" in the ABI, which Envoy does not do.
            Ok(0 | 2) => Answered::Continue,
            Ok(_) => Answered::StopAllWatermark,
            Err(answered) => answered,
        };
        self.called(id, side, |half| half.shows_headers &= answered != Answered::Continue);
        answered
    }

    fn filter_data(&mut self, id: u32, side: Side, piece: Vec<u8>, end: bool) -> Answered {
        let Some(half) = self.half(id, side) else { return Answered::Continue };
        half.piece = piece;
        let Some(exchange) = self.exchange_mut(id).filter(|exchange| exchange.hears(side)) else {
            return Answered::Continue;
        };
        exchange.end_told = end;
        let half = exchange.half_mut(side);
        half.in_call = true;
        if half.buffering {
            let piece = std::mem::take(&mut half.piece);
            self.hold(id, side, &piece, false);
            if self.exchange(id).is_none_or(|exchange| exchange.destroyed) {
                return Answered::StopBuffer;
            }
        }
        let Some(half) = self.half(id, side) else { return Answered::Continue };
        half.shows_piece = true;
        let size = narrow(half.body().len());
        let callback = if side == Side::Request { "proxy_on_request_body" } else { "proxy_on_response_body" };
        let answered = match self.ask(id, callback, &[id, size, end.into()], Answered::StopNoBuffer) {
            Ok(0) => Answered::Continue,
            Ok(1) => Answered::StopBuffer,
            Ok(2) => Answered::StopWatermark,
            Ok(_) => Answered::StopNoBuffer,
            Err(answered) => answered,
        };
        self.called(id, side, |half| {
            half.buffering = answered == Answered::StopBuffer;
            half.shows_piece &= answered != Answered::Continue;
        });
        answered
    }

    fn filter_trailers(&mut self, id: u32, side: Side) -> Answered {
        let Some(exchange) = self.exchange_mut(id).filter(|exchange| exchange.hears(side)) else {
            return Answered::Continue;
        };
        let half = exchange.half_mut(side);
        half.shows_trailers = true;
        half.in_call = true;
        let count = half.trailers.as_ref().map_or(0, HeaderMap::len);
        let callback =
            if side == Side::Request { "proxy_on_request_trailers" } else { "proxy_on_response_trailers" };
        let answered = match self.ask(id, callback, &[id, narrow(count)], Answered::Stop) {
            Ok(0) => Answered::Continue,
            Ok(_) => Answered::Stop,
            Err(answered) => answered,
        };
        self.called(id, side, |half| half.shows_trailers &= answered != Answered::Continue);
        answered
    }

    /// Calls the module for a stream. `Ok` is what it returned, `Err` what follows from a reply that it sent, or from a VM
    /// that has failed, before or in this call: a 503 (`CHECK_FAIL_HTTP`), with `FAIL_OPEN` too, which is asked only when
    /// a stream begins.
    fn ask(
        &mut self,
        id: u32,
        callback: &'static str,
        arguments: &[u32],
        closed: Answered,
    ) -> Result<u32, Answered> {
        let called = self.call(id, callback, arguments);
        let answer = match called {
            Called::Absent => Ok(0),
            // A module that sent a response is stopped, whatever it returns.
            Called::Returned(_) if self.store.data().stop_iteration => Err(closed),
            Called::Returned(number) => Ok(number),
            Called::Failed => {
                self.fail(id);
                Err(closed)
            }
        };
        self.run_after();
        answer
    }

    /// The filter has returned.
    fn called(&mut self, id: u32, side: Side, note: impl FnOnce(&mut Half)) {
        if let Some(half) = self.half(id, side) {
            half.in_call = false;
            note(half);
        }
    }

    /// Makes the context known to the module (`onCreate`).
    fn create(&mut self, id: u32) {
        let root = self.store.data().root_of(id);
        let Some(exchange) = self.exchange_mut(id).filter(|exchange| exchange.filtered && !exchange.created)
        else {
            return;
        };
        exchange.created = true;
        // What the module asks for here counts as asked for in the callback for headers, which follows.
        exchange.request.in_call = true;
        if self.failed.is_none() {
            self.call(id, "proxy_on_context_create", &[id, root]);
            self.run_after();
        }
    }

    /// Answers with 503, once, because the VM has failed (`failStream`).
    fn fail(&mut self, id: u32) {
        let Some(exchange) = self.exchange_mut(id).filter(|exchange| !exchange.failed) else { return };
        exchange.failed = true;
        self.local_reply(id, Reply::of_host(503, "", "wasm_fail_stream"));
    }

    /// Answers the client instead of upstream (`sendLocalReply`).
    ///
    /// Before there is a response, the reply goes through the filter's own response callbacks: at once, or, while
    /// the filter handles the request, when it returns. A response that the filter still holds is replaced without
    /// asking the filter again. If headers have gone out, only a reset is left.
    pub(crate) fn local_reply(&mut self, id: u32, reply: Reply) {
        let Some(exchange) = self.exchange_mut(id).filter(|exchange| !exchange.destroyed) else { return };
        let in_request = exchange.request.in_call;
        if in_request {
            exchange.request.aborted = true;
        } else if exchange.response.in_call {
            exchange.response.aborted = true;
        }
        exchange.details.clone_from(&reply.details);
        if exchange.response.sent.headers.is_some() {
            return self.reset(id);
        }
        let rendered = exchange.render(reply);
        if exchange.response.headers.is_some() {
            exchange.local_reply = true;
            exchange.response.sent.headers = Some(rendered.headers);
            exchange.response.sent.body = rendered.body;
            return self.finish(id);
        }
        if in_request {
            exchange.prepared.get_or_insert(rendered);
        } else {
            self.send_through_chain(id, rendered);
        }
    }

    fn send_prepared(&mut self, id: u32) {
        let prepared = self.exchange_mut(id).and_then(|exchange| exchange.prepared.take());
        if let Some(rendered) = prepared {
            self.send_through_chain(id, rendered);
        }
    }

    fn send_through_chain(&mut self, id: u32, rendered: Rendered) {
        let Some(exchange) = self.exchange_mut(id) else { return };
        exchange.local_reply = true;
        let Rendered { headers, body } = rendered;
        // Known while the filter sees the reply, as the status of upstream's answer would be.
        exchange.upstream_code = status_of(&headers);
        let end = body.is_empty();
        self.headers(id, Side::Response, headers, end);
        if !end {
            self.data(id, Side::Response, body, true);
        }
    }

    fn forward_headers(&mut self, id: u32, side: Side, end: bool) {
        let now = self.now();
        if let (Side::Request, Some(exchange)) = (side, self.exchange_mut(id)) {
            exchange.times.sent_upstream = Some(now);
        }
        let Some(half) = self.half(id, side) else { return };
        half.sent.headers.clone_from(&half.headers);
        half.sent.ended = end;
        if end && side == Side::Response {
            self.finish(id);
        }
    }

    fn forward_data(&mut self, id: u32, side: Side, piece: &[u8], end: bool) {
        let Some(half) = self.half(id, side) else { return };
        half.sent.body.extend_from_slice(piece);
        half.sent.ended = end;
        if end && side == Side::Response {
            self.finish(id);
        }
    }

    fn forward_trailers(&mut self, id: u32, side: Side) {
        let Some(half) = self.half(id, side) else { return };
        half.sent.trailers.clone_from(&half.trailers);
        half.sent.ended = true;
        if side == Side::Response {
            self.finish(id);
        }
    }

    /// Whether frames of this half no longer count.
    fn is_over(&self, id: u32, side: Side) -> bool {
        self.exchange(id).is_none_or(|exchange| exchange.destroyed || exchange.half(side).aborted)
    }

    /// The response is complete.
    fn finish(&mut self, id: u32) {
        let Some(exchange) = self.exchange_mut(id) else { return };
        exchange.response.sent.ended = true;
        let request = &mut exchange.request.sent;
        request.reset = request.headers.is_some() && !request.ended;
        self.destroy(id);
    }

    /// The stream ends without a complete response: the client went away, or there is nothing else left to do.
    pub(crate) fn reset(&mut self, id: u32) {
        let Some(exchange) = self.exchange_mut(id).filter(|exchange| !exchange.destroyed) else { return };
        exchange.response.sent.reset = true;
        let request = &mut exchange.request.sent;
        request.reset = request.headers.is_some();
        self.destroy(id);
    }

    /// The module closed the stream (`closeStream`).
    pub(crate) fn close(&mut self, id: u32) {
        let Some(exchange) = self.exchange_mut(id) else { return };
        if exchange.details.is_empty() {
            "wasm_close_stream".clone_into(&mut exchange.details);
        }
        self.reset(id);
    }

    /// The filter's last callbacks: the access log first, then the end (`doDeferredStreamDestroy` in Envoy's
    /// `common/http/conn_manager_impl.cc`, `Context::log` and `Context::onDestroy`).
    fn destroy(&mut self, id: u32) {
        let now = self.now();
        let Some(exchange) = self.exchange_mut(id).filter(|exchange| !exchange.destroyed) else { return };
        exchange.destroyed = true;
        exchange.times.ended = Some(now);
        exchange.prepared = None;
        if !exchange.filtered || !exchange.created {
            return;
        }
        exchange.logging = true;
        self.call(id, "proxy_on_log", &[id]);
        self.run_after();
        if let Some(exchange) = self.exchange_mut(id) {
            exchange.logging = false;
        }
        self.call(id, "proxy_on_done", &[id]);
        self.run_after();
        self.call(id, "proxy_on_delete", &[id]);
        self.run_after();
    }

    /// Forgets a stream that is over, and gives what there is to know of it.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Exchange> {
        match self.store.data_mut().contexts.remove(&id)? {
            Context::Stream { exchange, .. } => Some(*exchange),
            Context::Root(_) => None,
        }
    }
}

impl Exchange {
    /// Whether the module is called for this half. A stream that was answered because the VM failed is not shown
    /// to the module again.
    const fn hears(&self, side: Side) -> bool {
        self.filtered && self.created && (matches!(side, Side::Request) || !self.failed)
    }
}

impl Reply {
    /// A reply that Envoy itself sends.
    pub(crate) fn of_host(status: u32, body: &str, details: &str) -> Self {
        Self {
            status,
            details: details.to_owned(),
            body: body.into(),
            headers: Vec::new(),
            grpc_status: None,
        }
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
