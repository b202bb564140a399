//! The callouts that one VM has under way.
//!
//! Sources: `httpCall`, `grpcCall`, `grpcStream`, `grpcSend`, `grpcClose`, `grpcCancel` and the wrappers that deliver,
//! in Envoy's `common/wasm/context.cc`; the tokens in `include/proxy-wasm/wasm.h` of proxy-wasm-cpp-host; the way
//! failures look in `source/common/http/async_client_impl.cc`, `source/common/router/router.cc` and
//! `source/common/grpc/async_client_impl.cc` of Envoy.
//!
//! Statuses, tokens, headers and texts were compared with Envoy 1.40.0.
//!
//! How each kind begins and ends stands in `http_calls.rs` and `grpc_calls.rs`; here is what they have in common: what is
//! under way, and what is planned for when.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CallKind, Clusters};
use crate::Status;
use crate::headers::HeaderMap;

pub(super) const CONNECTION_FAILED: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
pub(super) const CONNECTION_BROKE: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
pub(super) const TIMED_OUT: &str = "upstream request timeout";

/// How many calls one VM may have under way. Envoy's circuit breakers end it at some point too; without an end a module that
/// calls twice on each answer would fill the memory.
pub(crate) const MOST_CALLS: usize = 4096;

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
    pub(super) clusters: Clusters,
    /// The token handed out last, for each kind: they start at 0, 1 and 2 and go up by four.
    last: [u32; 3],
    pub(super) open: BTreeMap<u32, Open>,
    /// Events by time and, at one time, in the order in which they came about.
    agenda: BTreeMap<(Duration, u64), (Delivery, After)>,
    planned: u64,
}

/// A call that the host still knows.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) context: u32,
    pub(super) cluster: Vec<u8>,
    pub(super) headers: HeaderMap,
    /// When the last step of a stream planned so far takes place; its answers follow each other.
    pub(super) until: Duration,
    pub(super) metadata_sent: bool,
    /// The module said that it has no more messages.
    pub(super) local_closed: bool,
    /// The upstream's end is planned: nothing that the module sends matters any more.
    pub(super) remote_ending: bool,
    pub(super) remote_closed: bool,
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

    pub(super) fn cancel(&mut self, token: u32) -> Result<(), Status> {
        self.open.remove(&token).ok_or(Status::NotFound)?;
        self.agenda.retain(|_, (delivery, _)| delivery.token != token);
        Ok(())
    }

    pub(super) fn next(&mut self, kind: CallKind) -> u32 {
        let [http, grpc, stream] = &mut self.last;
        let last = match kind {
            CallKind::Http => http,
            CallKind::Grpc => grpc,
            CallKind::GrpcStream => stream,
        };
        *last = last.wrapping_add(4);
        *last
    }

    pub(super) fn remember(
        &mut self,
        token: u32,
        context: u32,
        cluster: &[u8],
        headers: HeaderMap,
        now: Duration,
    ) {
        let open = Open {
            context,
            cluster: cluster.to_vec(),
            headers,
            until: now,
            metadata_sent: false,
            local_closed: false,
            remote_ending: false,
            remote_closed: false,
        };
        self.open.insert(token, open);
    }

    pub(super) fn plan(&mut self, at: Duration, context: u32, token: u32, event: Event, after: After) {
        self.planned = self.planned.wrapping_add(1);
        self.agenda.insert((at, self.planned), (Delivery { context, token, event }, after));
    }
}

pub(super) fn kind_of(token: u32) -> Option<CallKind> {
    match token & 3 {
        0 => Some(CallKind::Http),
        1 => Some(CallKind::Grpc),
        2 => Some(CallKind::GrpcStream),
        _ => None,
    }
}
