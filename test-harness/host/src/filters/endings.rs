//! How a stream ends: by a complete response, a reply of our own, or a reset.

use crate::exchange::{Exchange, Rendered, Reply, Side, status_of};
use crate::vm::{Context, Vm};

impl Vm {
    /// Answers with 503, once, because the VM has failed (`failStream`).
    pub(super) fn fail(&mut self, id: u32) {
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

    pub(super) fn send_prepared(&mut self, id: u32) {
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

    /// The response is complete.
    pub(super) fn finish(&mut self, id: u32) {
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
