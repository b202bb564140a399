//! HTTP calls: when a call is answered, and by whom.
//!
//! A **time-out is a response**, which surprises people. The router inside of Envoy's client answers 504 with `upstream
//! request timeout`, and 503 if it cannot connect or the connection breaks early. Only a break behind the headers of the
//! response makes a call fail, which the module sees as a response without headers.

use std::time::Duration;

use super::answer::Step;
use super::callouts::{After, CONNECTION_BROKE, CONNECTION_FAILED, Callouts, Event, MOST_CALLS, TIMED_OUT};
use super::{Call, CallKind, grpc};
use crate::Status;
use crate::headers::{HeaderKind, HeaderMap};

/// The arguments of `proxy_http_call`.
#[derive(Debug, Clone, Copy)]
pub struct HttpCall<'a> {
    /// The name of the cluster.
    pub cluster: &'a [u8],
    /// The headers; `:method`, `:path` and `:authority` must be there.
    pub headers: &'a [(Vec<u8>, Vec<u8>)],
    /// The body; an empty one is none.
    pub body: &'a [u8],
    /// The trailers; none is none.
    pub trailers: &'a [(Vec<u8>, Vec<u8>)],
    /// How long to wait; zero is for ever. Envoy reads the number as a signed one.
    pub timeout_milliseconds: u32,
}

impl Callouts {
    /// Starts an HTTP call for a root context and gives its token.
    ///
    /// # Errors
    /// [`Status::BadArgument`] for a time-out above 2³¹-1, a cluster that there is not, or a missing pseudo-header.
    /// [`Status::InternalFailure`] if the cluster has no healthy host, or 4096 calls are under way; the module hears no
    /// more of that call.
    pub fn http_call(&mut self, context: u32, call: HttpCall<'_>, now: Duration) -> Result<u32, Status> {
        let milliseconds = i32::try_from(call.timeout_milliseconds).map_err(|_| Status::BadArgument)?;
        if !self.clusters.contains(call.cluster) {
            return Err(Status::BadArgument);
        }
        if self.open.len() >= MOST_CALLS {
            return Err(Status::InternalFailure);
        }
        let pairs = call.headers.iter().map(|(name, value)| (name, value));
        let mut headers = HeaderMap::from_pairs(HeaderKind::Request, pairs);
        if [":path", ":method", ":authority"].iter().any(|name| headers.get(name).is_none()) {
            return Err(Status::BadArgument);
        }
        if !call.body.is_empty() {
            headers.set("content-length", call.body.len().to_string());
        }
        let token = self.next(CallKind::Http);
        let timeout = (milliseconds > 0).then(|| Duration::from_millis(milliseconds.unsigned_abs().into()));
        let seen = Call {
            kind: CallKind::Http,
            headers,
            body: call.body.to_vec(),
            trailers: call.trailers.to_vec(),
            end_of_stream: true,
            timeout,
            at: now,
            number: 0,
        };
        let answer = self.clusters.ask(call.cluster, seen).ok_or(Status::BadArgument)?;
        if answer.immediate {
            return Err(Status::InternalFailure);
        }
        let deadline = timeout.map(|timeout| now.saturating_add(timeout));
        // The first step decides: a response is one piece here.
        let step = answer.steps.into_iter().next().map(|(delay, step)| (now.saturating_add(delay), step));
        let told = match (step, deadline) {
            (Some((at, _)), Some(deadline)) if deadline < at => {
                Some((deadline, http_local_reply(504, TIMED_OUT)))
            }
            (Some((at, step)), _) => Some((at, http_event(step, at.saturating_sub(now)))),
            (None, deadline) => deadline.map(|deadline| (deadline, http_local_reply(504, TIMED_OUT))),
        };
        self.remember(token, context, call.cluster, HeaderMap::new(HeaderKind::Request), now);
        if let Some((at, event)) = told {
            self.plan(at, context, token, event, After::Forget);
        }
        Ok(token)
    }
}

/// What Envoy's client answers in the place of an upstream.
fn http_local_reply(status: u16, text: &str) -> Event {
    let headers = [
        (":status", status.to_string()),
        ("content-length", text.len().to_string()),
        ("content-type", "text/plain".to_owned()),
    ];
    let headers = HeaderMap::from_pairs(HeaderKind::Response, headers);
    Event::HttpResponse { headers, body: text.into(), trailers: None }
}

/// What an upstream sent, with the header that Envoy's router adds to say how long it took, in milliseconds.
fn http_event(step: Step, took: Duration) -> Event {
    let (mut headers, body, trailers) = match step {
        Step::Refuse => return http_local_reply(503, CONNECTION_FAILED),
        Step::Reset => return http_local_reply(503, CONNECTION_BROKE),
        Step::ResetAfterHeaders => return Event::HttpFailure,
        Step::Response { headers, body, trailers } => (headers, body, trailers),
        // A gRPC upstream, seen as HTTP: a body in a frame, or headers with a status.
        Step::Metadata(headers) => (headers, Vec::new(), None),
        Step::Message(message) => {
            let size = u32::try_from(message.len()).unwrap_or(u32::MAX);
            let body = [&[0], &size.to_be_bytes()[..], &message].concat();
            (grpc::response_headers(), body, None)
        }
        Step::Close { status, message, metadata } => {
            let mut headers = grpc::response_headers();
            grpc::add_status(&mut headers, status, &message, &metadata);
            (headers, Vec::new(), None)
        }
    };
    headers.set("x-envoy-upstream-service-time", took.as_millis().to_string());
    Event::HttpResponse { headers, body, trailers }
}
