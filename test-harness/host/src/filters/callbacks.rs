//! What the filter is asked in each callback, and what its answers mean.
//!
//! Sources: `Context::decodeHeaders` and its kin in Envoy's `common/wasm/context.cc`; `CHECK_FAIL` and
//! `convertVmCallResult...` in `src/context.cc` of proxy-wasm-cpp-host.

use crate::exchange::{Exchange, Half, Side};
use crate::headers::HeaderMap;
use crate::vm::{Called, Vm};

/// What the filter answered, in the numbers of the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    Continue,
    Stop,
    StopAllBuffer,
    StopAllWatermark,
    StopBuffer,
    StopWatermark,
    StopNoBuffer,
}

impl Vm {
    pub(super) fn filter_headers(&mut self, id: u32, side: Side, end: bool) -> Answered {
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

    pub(super) fn filter_data(&mut self, id: u32, side: Side, piece: Vec<u8>, end: bool) -> Answered {
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

    pub(super) fn filter_trailers(&mut self, id: u32, side: Side) -> Answered {
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
}

impl Exchange {
    /// Whether the module is called for this half. A stream that was answered because the VM failed is not shown
    /// to the module again.
    const fn hears(&self, side: Side) -> bool {
        self.filtered && self.created && (matches!(side, Side::Request) || !self.failed)
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
