//! The way of a stream through the filter, as Envoy's filter manager walks it.
//!
//! There is one filter in the chain; behind it are the router (upstream) and the connection manager (the client). The
//! functions have the names of what they do in `source/common/http/filter_manager.cc` of Envoy: frames are brought to
//! the filter, its answer decides whether they go on, and continuing sends on what was held. What the filter itself adds
//! stands in `callbacks.rs`, and how a stream ends in `endings.rs`.

mod callbacks;
mod endings;

use self::callbacks::Answered;
use crate::environment::{LogLevel, nanos};
use crate::exchange::{Exchange, Frame, Half, Iteration, Origin, Reply, Side};
use crate::headers::HeaderMap;
use crate::vm::{Context, Vm};

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
}
