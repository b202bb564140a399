//! The callouts that one VM has under way.
//!
//! Sources: `httpCall`, `grpcCall`, `grpcStream`, `grpcSend`, `grpcClose`, `grpcCancel` and the wrappers that deliver,
//! in Envoy's `common/wasm/context.cc`; the tokens in `include/proxy-wasm/wasm.h` of proxy-wasm-cpp-host; the way
//! failures look in `source/common/http/async_client_impl.cc`, `source/common/router/router.cc` and
//! `source/common/grpc/async_client_impl.cc` of Envoy.
//!
//! Statuses, tokens, headers and texts were compared with Envoy 1.40.0.
//!
//! What surprises people:
//!
//! - A **time-out is a response**. The router inside of Envoy's client answers 504 with `upstream request timeout`, and 503
//!   if it cannot connect or the connection breaks early. Only a break behind the headers of the response makes a
//!   call fail, which the module sees as a response without headers.
//! - A gRPC call that fails inside of Envoy gives no token, and yet `proxy_on_grpc_close` comes with one.
//! - A bare cluster name for gRPC that happens to be a protobuf message, such as `early` or `h404`, is read as one. It
//!   has no target then, and Envoy aborts ("panic: unset oneof"). This host answers `BadArgument`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::answer::{Answer, Step};
use super::{Call, CallKind, Clusters, grpc};
use crate::Status;
use crate::headers::{HeaderKind, HeaderMap};
use crate::pairs::Pairs;

pub(super) const CONNECTION_FAILED: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
pub(super) const CONNECTION_BROKE: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
const TIMED_OUT: &str = "upstream request timeout";
const NO_HEALTHY_HOST: &str = "no healthy upstream";

/// How many calls one VM may have under way. Envoy's circuit breakers end it at some point too; without an end a module that
/// calls twice on each answer would fill the memory.
pub(crate) const MOST_CALLS: usize = 4096;

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

/// Something that must be told to a module now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The root context that made the call.
    pub context: u32,
    /// The token of the call.
    pub token: u32,
    /// What happened.
    pub event: Event,
}

/// What happens to a callout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A response to an HTTP call (`proxy_on_http_call_response`).
    HttpResponse {
        /// The headers, with `:status`.
        headers: HeaderMap,
        /// The body.
        body: Vec<u8>,
        /// The trailers, if there are any.
        trailers: Option<HeaderMap>,
    },
    /// An HTTP call failed: `proxy_on_http_call_response` with zero headers, zero body and zero trailers, while
    /// `proxy_get_status` gives `BrokenConnection` and `reset`.
    HttpFailure,
    /// `proxy_on_grpc_receive_initial_metadata`, for streams only.
    GrpcInitialMetadata(HeaderMap),
    /// `proxy_on_grpc_receive`. For a unary call it is the good end too.
    GrpcMessage(Vec<u8>),
    /// `proxy_on_grpc_receive_trailing_metadata`, for streams only.
    GrpcTrailingMetadata(HeaderMap),
    /// `proxy_on_grpc_close`, while `proxy_get_status` gives both. A unary call that went well has none.
    GrpcClose {
        /// The gRPC status.
        status: u32,
        /// The text that goes with it.
        message: Vec<u8>,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Callouts {
    clusters: Clusters,
    /// The token handed out last, for each kind: they start at 0, 1 and 2 and go up by four.
    last: [u32; 3],
    open: BTreeMap<u32, Open>,
    /// Events by time and, at one time, in the order in which they came about.
    agenda: BTreeMap<(Duration, u64), (Delivery, After)>,
    planned: u64,
}

/// A call that the host still knows.
#[derive(Debug)]
struct Open {
    context: u32,
    cluster: Vec<u8>,
    headers: HeaderMap,
    /// When the last step planned so far takes place; the answers of a stream follow each other.
    until: Duration,
    metadata_sent: bool,
    /// The module said that it has no more messages.
    local_closed: bool,
    /// The upstream's end is planned: nothing that the module sends matters any more.
    remote_ending: bool,
    remote_closed: bool,
}

/// What becomes of the call behind a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It goes on.
    Stay,
    /// It is forgotten.
    Forget,
    /// It is forgotten if the module closed its side, otherwise it stays until the module does.
    RemoteClosed,
}

impl Callouts {
    /// A VM without calls, in an Envoy with these clusters.
    pub const fn new(clusters: Clusters) -> Self {
        Self { clusters, last: [0, 1, 2], open: BTreeMap::new(), agenda: BTreeMap::new(), planned: 0 }
    }

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
        let (at, event) = match (step, deadline) {
            (Some((at, _)), Some(deadline)) if deadline < at => (deadline, http_local_reply(504, TIMED_OUT)),
            (None, Some(deadline)) => (deadline, http_local_reply(504, TIMED_OUT)),
            (None, None) => {
                self.remember(token, context, call.cluster, HeaderMap::new(HeaderKind::Request), now);
                return Ok(token);
            }
            (Some((at, step)), _) => (at, http_event(step, at.saturating_sub(now))),
        };
        self.remember(token, context, call.cluster, HeaderMap::new(HeaderKind::Request), at);
        self.plan(at, context, token, event, After::Forget);
        Ok(token)
    }

    /// Starts a unary gRPC call for a root context and gives its token. `service` names the cluster, bare or as a
    /// serialised `envoy.config.core.v3.GrpcService` with an `envoy_grpc` target.
    ///
    /// # Errors
    /// [`Status::ParseFailure`] if the bytes are no message and no cluster either. [`Status::BadArgument`] if the message
    /// has another target: this host has no Google client, and without any target Envoy itself would abort.
    /// [`Status::InternalFailure`] if the message names an unknown cluster, or the cluster has no healthy host; the
    /// module is told of the end all the same, with a token that it never got.
    #[expect(clippy::too_many_arguments, reason = "the arguments of the host function, one by one")]
    pub fn grpc_call(
        &mut self,
        context: u32,
        service: &[u8],
        service_name: &[u8],
        method_name: &[u8],
        metadata: &[(Vec<u8>, Vec<u8>)],
        message: &[u8],
        timeout_milliseconds: u32,
        now: Duration,
    ) -> Result<u32, Status> {
        let cluster = self.grpc_cluster(service)?;
        let token = self.next(CallKind::Grpc);
        let headers = grpc::request_headers(service_name, method_name, metadata);
        let timeout = (timeout_milliseconds > 0).then(|| Duration::from_millis(timeout_milliseconds.into()));
        let seen = Call {
            kind: CallKind::Grpc,
            headers: headers.clone(),
            body: message.to_vec(),
            trailers: Pairs::new(),
            end_of_stream: true,
            timeout,
            at: now,
            number: 0,
        };
        let answer = self.ask_grpc(context, token, &cluster, seen, now)?;
        let deadline = timeout.map(|timeout| now.saturating_add(timeout));
        let end =
            grpc::unary_end(answer, now).filter(|(at, _)| deadline.is_none_or(|deadline| *at <= deadline));
        let end = end.or_else(|| {
            let message = grpc::with_details(TIMED_OUT.as_bytes(), "response_timeout");
            deadline.map(|at| (at, Event::GrpcClose { status: grpc::UNAVAILABLE, message }))
        });
        self.remember(token, context, &cluster, headers, end.as_ref().map_or(now, |(at, _)| *at));
        if let Some((at, event)) = end {
            self.plan(at, context, token, event, After::Forget);
        }
        Ok(token)
    }

    /// Opens a gRPC stream for a root context and gives its token. `service` as for [`Self::grpc_call`].
    ///
    /// # Errors
    /// As for [`Self::grpc_call`].
    pub fn grpc_stream(
        &mut self,
        context: u32,
        service: &[u8],
        service_name: &[u8],
        method_name: &[u8],
        metadata: &[(Vec<u8>, Vec<u8>)],
        now: Duration,
    ) -> Result<u32, Status> {
        let cluster = self.grpc_cluster(service)?;
        let token = self.next(CallKind::GrpcStream);
        let headers = grpc::request_headers(service_name, method_name, metadata);
        let seen = stream_call(headers.clone(), &[], false, now);
        let answer = self.ask_grpc(context, token, &cluster, seen, now)?;
        self.remember(token, context, &cluster, headers, now);
        self.plan_stream(token, answer, now);
        Ok(token)
    }

    /// Sends a message on a stream. Behind the upstream's end it is lost without an error.
    ///
    /// # Errors
    /// [`Status::BadArgument`] if the token is not a stream's, [`Status::NotFound`] if the stream is not known.
    pub fn grpc_send(&mut self, token: u32, message: &[u8], end: bool, now: Duration) -> Result<(), Status> {
        if kind_of(token) != Some(CallKind::GrpcStream) {
            return Err(Status::BadArgument);
        }
        let open = self.open.get(&token).ok_or(Status::NotFound)?;
        if open.remote_ending {
            return Ok(());
        }
        let seen = stream_call(open.headers.clone(), message, end, now);
        if let Some(answer) = self.clusters.ask(&open.cluster.clone(), seen) {
            self.plan_stream(token, answer, now);
        }
        Ok(())
    }

    /// Ends a call: a unary call is cancelled, of a stream the module's own side is closed.
    ///
    /// # Errors
    /// [`Status::BadArgument`] if the token is no gRPC call's, [`Status::NotFound`] if the call is not known.
    pub fn grpc_close(&mut self, token: u32, now: Duration) -> Result<(), Status> {
        match kind_of(token) {
            Some(CallKind::Grpc) => self.cancel(token),
            Some(CallKind::GrpcStream) => {
                let open = self.open.get_mut(&token).ok_or(Status::NotFound)?;
                if open.remote_closed {
                    self.open.remove(&token);
                    return Ok(());
                }
                let first = !std::mem::replace(&mut open.local_closed, true);
                if first && !open.remote_ending {
                    let (cluster, headers) = (open.cluster.clone(), open.headers.clone());
                    if let Some(answer) = self.clusters.ask(&cluster, stream_call(headers, &[], true, now)) {
                        self.plan_stream(token, answer, now);
                    }
                }
                Ok(())
            }
            _ => Err(Status::BadArgument),
        }
    }

    /// Gives a call up: the module hears no more of it.
    ///
    /// # Errors
    /// As for [`Self::grpc_close`].
    pub fn grpc_cancel(&mut self, token: u32) -> Result<(), Status> {
        match kind_of(token) {
            Some(CallKind::Grpc | CallKind::GrpcStream) => self.cancel(token),
            _ => Err(Status::BadArgument),
        }
    }

    /// Gives up all calls of a root context, as Envoy does when the context is destroyed.
    pub fn forget_context(&mut self, context: u32) {
        self.open.retain(|_, open| open.context != context);
        self.agenda.retain(|_, (delivery, _)| delivery.context != context);
    }

    /// What has happened until now, in order. Each thing is given once.
    pub fn due(&mut self, now: Duration) -> Vec<Delivery> {
        std::iter::from_fn(|| self.next_delivery(now)).collect()
    }

    /// The first thing that has happened until now. What the module does about it may undo the next: a caller that
    /// delivers takes them one by one.
    pub fn next_delivery(&mut self, now: Duration) -> Option<Delivery> {
        let entry = self.agenda.first_entry().filter(|entry| entry.key().0 <= now)?;
        let (delivery, after) = entry.remove();
        match after {
            After::Stay => {}
            After::Forget => drop(self.open.remove(&delivery.token)),
            After::RemoteClosed => {
                if let Some(open) = self.open.get_mut(&delivery.token) {
                    open.remote_closed = true;
                    if open.local_closed {
                        self.open.remove(&delivery.token);
                    }
                }
            }
        }
        Some(delivery)
    }

    /// When the next thing happens, if anything is planned.
    pub fn next_due(&self) -> Option<Duration> {
        self.agenda.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many things have happened until now that the module has not been told.
    pub fn count_due(&self, now: Duration) -> usize {
        self.agenda.keys().take_while(|(at, _)| *at <= now).count()
    }

    /// How many calls are under way, or wait for the module to close them.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no call is under way.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn cancel(&mut self, token: u32) -> Result<(), Status> {
        self.open.remove(&token).ok_or(Status::NotFound)?;
        self.agenda.retain(|_, (delivery, _)| delivery.token != token);
        Ok(())
    }

    fn next(&mut self, kind: CallKind) -> u32 {
        let [http, grpc, stream] = &mut self.last;
        let last = match kind {
            CallKind::Http => http,
            CallKind::Grpc => grpc,
            CallKind::GrpcStream => stream,
        };
        *last = last.wrapping_add(4);
        *last
    }

    fn remember(&mut self, token: u32, context: u32, cluster: &[u8], headers: HeaderMap, until: Duration) {
        let open = Open {
            context,
            cluster: cluster.to_vec(),
            headers,
            until,
            metadata_sent: false,
            local_closed: false,
            remote_ending: false,
            remote_closed: false,
        };
        self.open.insert(token, open);
    }

    fn plan(&mut self, at: Duration, context: u32, token: u32, event: Event, after: After) {
        self.planned = self.planned.wrapping_add(1);
        self.agenda.insert((at, self.planned), (Delivery { context, token, event }, after));
    }

    /// The cluster that a gRPC service names. A bare name is tried only if the bytes are no protobuf message, which
    /// is the order in Envoy.
    fn grpc_cluster(&self, service: &[u8]) -> Result<Vec<u8>, Status> {
        if self.open.len() >= MOST_CALLS {
            return Err(Status::InternalFailure);
        }
        match grpc::service(service) {
            Some(target) => target.ok_or(Status::BadArgument),
            None if self.clusters.contains(service) => Ok(service.to_vec()),
            None => Err(Status::ParseFailure),
        }
    }

    /// Asks a cluster; if the call fails inside of Envoy, plans the close that the module gets nevertheless.
    fn ask_grpc(
        &mut self,
        context: u32,
        token: u32,
        cluster: &[u8],
        seen: Call,
        now: Duration,
    ) -> Result<Answer, Status> {
        let stream = seen.kind == CallKind::GrpcStream;
        let message = match self.clusters.ask(cluster, seen) {
            Some(answer) if !answer.immediate => return Ok(answer),
            Some(_) if stream => {
                // Envoy tells these two in the middle of the host call; here they come behind it.
                let trailers = grpc::trailers_only(grpc::UNAVAILABLE, NO_HEALTHY_HOST.as_bytes(), &[]);
                let initial = Event::GrpcInitialMetadata(HeaderMap::new(HeaderKind::Response));
                self.plan(now, context, token, initial, After::Stay);
                self.plan(now, context, token, Event::GrpcTrailingMetadata(trailers), After::Stay);
                grpc::with_details(NO_HEALTHY_HOST.as_bytes(), "no_healthy_upstream")
            }
            Some(_) => grpc::with_details(NO_HEALTHY_HOST.as_bytes(), "no_healthy_upstream"),
            None => b"Cluster not available".to_vec(),
        };
        let close = Event::GrpcClose { status: grpc::UNAVAILABLE, message };
        self.plan(now, context, token, close, After::Forget);
        Err(Status::InternalFailure)
    }

    /// Plans what an upstream does on a stream, behind what it does already.
    fn plan_stream(&mut self, token: u32, answer: Answer, now: Duration) {
        let Some(open) = self.open.get_mut(&token) else { return };
        let context = open.context;
        let mut at = open.until.max(now);
        let mut events = Vec::new();
        for (delay, step) in answer.steps {
            if open.remote_ending {
                break;
            }
            at = at.saturating_add(delay);
            for (event, after) in grpc::stream_events(step, &mut open.metadata_sent) {
                open.remote_ending |= after == After::RemoteClosed;
                events.push((at, event, after));
            }
        }
        open.until = at;
        for (at, event, after) in events {
            self.plan(at, context, token, event, after);
        }
    }
}

fn kind_of(token: u32) -> Option<CallKind> {
    match token & 3 {
        0 => Some(CallKind::Http),
        1 => Some(CallKind::Grpc),
        2 => Some(CallKind::GrpcStream),
        _ => None,
    }
}

fn stream_call(headers: HeaderMap, message: &[u8], end_of_stream: bool, at: Duration) -> Call {
    Call {
        kind: CallKind::GrpcStream,
        headers,
        body: message.to_vec(),
        trailers: Pairs::new(),
        end_of_stream,
        timeout: None,
        at,
        number: 0,
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
