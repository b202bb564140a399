//! Unary gRPC calls and gRPC streams, from their beginning to their end.
//!
//! What surprises people:
//!
//! - A call that fails inside of Envoy gives no token, and yet `proxy_on_grpc_close` comes with one.
//! - A bare cluster name that happens to be a protobuf message, such as `early` or `h404`, is read as one. It has no
//!   target then, and Envoy aborts ("panic: unset oneof"). This host answers `BadArgument`.

use std::time::Duration;

use super::answer::Answer;
use super::callouts::{After, Callouts, Event, MOST_CALLS, TIMED_OUT, kind_of};
use super::{Call, CallKind, grpc};
use crate::Status;
use crate::headers::{HeaderKind, HeaderMap};
use crate::pairs::Pairs;

const NO_HEALTHY_HOST: &str = "no healthy upstream";

impl Callouts {
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
        let headers = grpc::request_headers(service_name, method_name, metadata);
        let timeout = (timeout_milliseconds > 0).then(|| Duration::from_millis(timeout_milliseconds.into()));
        let seen = Call {
            kind: CallKind::Grpc,
            headers,
            body: message.to_vec(),
            trailers: Pairs::new(),
            end_of_stream: true,
            timeout,
            at: now,
            number: 0,
        };
        let (token, answer) = self.begin(context, service, seen)?;
        let deadline = timeout.map(|timeout| now.saturating_add(timeout));
        let end =
            grpc::unary_end(answer, now).filter(|(at, _)| deadline.is_none_or(|deadline| *at <= deadline));
        let end = end.or_else(|| {
            let message = grpc::with_details(TIMED_OUT.as_bytes(), "response_timeout");
            deadline.map(|at| (at, Event::GrpcClose { status: grpc::UNAVAILABLE, message }))
        });
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
        let headers = grpc::request_headers(service_name, method_name, metadata);
        let (token, answer) = self.begin(context, service, stream_call(headers, &[], false, now))?;
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

    /// How a call begins, unary or stream: its cluster is found, a token taken, the upstream asked. Then the call is under
    /// way, and what the upstream answers is still to be planned.
    fn begin(&mut self, context: u32, service: &[u8], seen: Call) -> Result<(u32, Answer), Status> {
        let cluster = self.grpc_cluster(service)?;
        let token = self.next(seen.kind);
        let (headers, now) = (seen.headers.clone(), seen.at);
        let answer = self.ask_grpc(context, token, &cluster, seen)?;
        self.remember(token, context, &cluster, headers, now);
        Ok((token, answer))
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
    fn ask_grpc(&mut self, context: u32, token: u32, cluster: &[u8], seen: Call) -> Result<Answer, Status> {
        let (stream, now) = (seen.kind == CallKind::GrpcStream, seen.at);
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
