//! How gRPC looks on its way through Envoy's client: the target of a call, and what each step of an upstream becomes.
//!
//! Source: `source/common/grpc/async_client_impl.cc` in Envoy (`onHeaders`, `onTrailers`, `streamError` of a stream;
//! `onRemoteClose` of a unary request).

use std::time::Duration;

use super::answer::{Answer, Step};
use super::callouts::{After, CONNECTION_BROKE, CONNECTION_FAILED, Event};
use crate::headers::{HeaderKind, HeaderMap};
use crate::protobuf;

const CANCELED: u32 = 1;
const UNKNOWN: u32 = 2;
const INTERNAL: u32 = 13;
pub(super) const UNAVAILABLE: u32 = 14;

pub(super) fn request_headers(service: &[u8], method: &[u8], metadata: &[(Vec<u8>, Vec<u8>)]) -> HeaderMap {
    let path = [&b"/"[..], service, b"/", method].concat();
    let mut headers =
        HeaderMap::from_pairs(HeaderKind::Request, [(":method", &b"POST"[..]), (":path", &path)]);
    for (name, value) in metadata {
        headers.add(name, value);
    }
    headers
}

/// The target of a serialised `GrpcService`: `None` if the bytes are no such message, `Some(None)` if the message
/// has no `envoy_grpc` target.
pub(super) fn service(bytes: &[u8]) -> Option<Option<Vec<u8>>> {
    let fields = protobuf::fields(bytes)?;
    let mut target = None;
    for (number, value) in fields {
        match (number, value) {
            // envoy_grpc: its name and authority are texts.
            (1, protobuf::Value::Bytes(message)) => {
                let fields = protobuf::fields(message)?;
                protobuf::text(&fields, 2)?;
                target = Some(protobuf::text(&fields, 1)?.as_bytes().to_vec());
            }
            // google_grpc is the other arm of the same oneof.
            (2, protobuf::Value::Bytes(message)) => {
                protobuf::fields(message)?;
                target = None;
            }
            // timeout, initial_metadata and retry_policy are messages, so they must read as such.
            (3 | 5 | 6, protobuf::Value::Bytes(message)) => drop(protobuf::fields(message)?),
            _ => {}
        }
    }
    Some(target)
}

/// The end of a unary call, and when it comes. Metadata is not shown to the module, and of several messages the
/// last counts.
pub(super) fn unary_end(answer: Answer, now: Duration) -> Option<(Duration, Event)> {
    let mut at = now;
    let mut response = None;
    for (delay, step) in answer.steps {
        at = at.saturating_add(delay);
        let (status, message) = match step {
            Step::Metadata(_) => continue,
            Step::Message(message) => {
                response = Some(message);
                continue;
            }
            Step::Close { status: 0, .. } => match response {
                Some(message) => return Some((at, Event::GrpcMessage(message))),
                None => (INTERNAL, Vec::new()),
            },
            Step::Close { status, message, .. } => (status, message),
            Step::Response { headers, .. } => (not_grpc(&headers), Vec::new()),
            Step::Refuse => (UNAVAILABLE, CONNECTION_FAILED.into()),
            Step::Reset if response.is_none() => (UNAVAILABLE, CONNECTION_BROKE.into()),
            Step::Reset | Step::ResetAfterHeaders => (INTERNAL, Vec::new()),
        };
        return Some((at, Event::GrpcClose { status, message }));
    }
    None
}

/// What a module hears of one step on a stream.
pub(super) fn stream_events(step: Step, metadata_sent: &mut bool) -> Vec<(Event, After)> {
    let started = std::mem::replace(metadata_sent, true);
    let initial = |headers| (Event::GrpcInitialMetadata(headers), After::Stay);
    let trailing = |trailers| (Event::GrpcTrailingMetadata(trailers), After::Stay);
    let close = |status, message: &[u8]| {
        (Event::GrpcClose { status, message: message.to_vec() }, After::RemoteClosed)
    };
    // An end without anything before it comes as headers only: the initial metadata is empty then, and the
    // trailing metadata has the headers of the response.
    let end = |status, message: &[u8], metadata: &[(Vec<u8>, Vec<u8>)]| {
        if started {
            let mut trailers = HeaderMap::new(HeaderKind::ResponseTrailers);
            add_status(&mut trailers, status, message, metadata);
            return vec![trailing(trailers), close(status, message)];
        }
        let trailers = trailers_only(status, message, metadata);
        vec![initial(HeaderMap::new(HeaderKind::Response)), trailing(trailers), close(status, message)]
    };
    let broken = |status| {
        let trailers = HeaderMap::new(HeaderKind::ResponseTrailers);
        let mut events = vec![trailing(trailers), close(status, b"")];
        if !started {
            events.insert(0, initial(response_headers()));
        }
        events
    };
    match step {
        Step::Metadata(headers) if !started => vec![initial(headers)],
        Step::Metadata(_) => Vec::new(),
        Step::Message(message) if started => vec![(Event::GrpcMessage(message), After::Stay)],
        Step::Message(message) => {
            vec![initial(response_headers()), (Event::GrpcMessage(message), After::Stay)]
        }
        Step::Close { status, message, metadata } => end(status, &message, &metadata),
        Step::Refuse => end(UNAVAILABLE, CONNECTION_FAILED.as_bytes(), &[]),
        Step::Reset if !started => end(UNAVAILABLE, CONNECTION_BROKE.as_bytes(), &[]),
        Step::Reset | Step::ResetAfterHeaders => broken(INTERNAL),
        Step::Response { headers, .. } => {
            let status = not_grpc(&headers);
            let trailers = HeaderMap::new(HeaderKind::ResponseTrailers);
            vec![initial(headers), trailing(trailers), close(status, b"")]
        }
    }
}

/// The gRPC status of an upstream that does not speak gRPC: `Canceled` for an HTTP error, `Unknown` if the status
/// is good but the one of gRPC is missing.
fn not_grpc(headers: &HeaderMap) -> u32 {
    if headers.get(":status") == Some(b"200") { UNKNOWN } else { CANCELED }
}

pub(super) fn response_headers() -> HeaderMap {
    HeaderMap::from_pairs(HeaderKind::Response, [(":status", "200"), ("content-type", "application/grpc")])
}

pub(super) fn add_status(
    headers: &mut HeaderMap,
    status: u32,
    message: &[u8],
    metadata: &[(Vec<u8>, Vec<u8>)],
) {
    headers.add("grpc-status", status.to_string());
    if !message.is_empty() {
        headers.add("grpc-message", message);
    }
    for (name, value) in metadata {
        headers.add(name, value);
    }
}

pub(super) fn trailers_only(status: u32, message: &[u8], metadata: &[(Vec<u8>, Vec<u8>)]) -> HeaderMap {
    let mut headers = HeaderMap::from_pairs(
        HeaderKind::ResponseTrailers,
        [(":status", "200"), ("content-type", "application/grpc")],
    );
    add_status(&mut headers, status, message, metadata);
    headers
}
