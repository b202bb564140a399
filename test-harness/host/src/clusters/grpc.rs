//! How gRPC looks on its way through Envoy's client: the target of a call, and what each step of an upstream becomes.
//!
//! Source: `source/common/grpc/async_client_impl.cc` in Envoy (`onHeaders`, `onTrailers`, `streamError` of a stream;
//! `onRemoteClose` of a unary request). All ends were compared with Envoy 1.40.0 over HTTP/1.1, where a break in the
//! middle of a chunked body has `protocol_error` in its details; here it is `connection_termination`.

use std::time::Duration;

use super::answer::{Answer, Step};
use super::callouts::{After, CONNECTION_BROKE, CONNECTION_FAILED, Event};
use crate::headers::{HeaderKind, HeaderMap};
use crate::protobuf;

const UNKNOWN: u32 = 2;
const INTERNAL: u32 = 13;
pub(super) const UNAVAILABLE: u32 = 14;

const VIA_UPSTREAM: &str = "via_upstream";
const REFUSED: &str = "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}";
const RESET: &str = "upstream_reset_before_response_started{connection_termination}";
const RESET_LATE: &str = "upstream_reset_after_response_started{connection_termination}";

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

/// What one step of an upstream means to a gRPC call.
#[derive(Default)]
struct Heard {
    initial: Option<HeaderMap>,
    messages: Vec<Vec<u8>>,
    end: Option<End>,
}

/// The end of a gRPC call.
struct End {
    trailing: HeaderMap,
    status: u32,
    message: Vec<u8>,
    details: &'static str,
}

impl End {
    /// The text that `proxy_get_status` gives: Envoy adds its response code details to the message.
    fn text(&self) -> Vec<u8> {
        with_details(&self.message, self.details)
    }
}

/// A message with Envoy's response code details, as Envoy 1.40.0 puts them together.
pub(super) fn with_details(message: &[u8], details: &str) -> Vec<u8> {
    if message.is_empty() {
        return details.into();
    }
    [message, b"{", details.as_bytes(), b"}"].concat()
}

/// The end of a unary call, and when it comes. Metadata is not shown to the module, and of several messages the
/// last counts.
pub(super) fn unary_end(answer: Answer, now: Duration) -> Option<(Duration, Event)> {
    let (mut at, mut started, mut response) = (now, false, None);
    for (delay, step) in answer.steps {
        at = at.saturating_add(delay);
        let heard = hear(step, &mut started);
        response = heard.messages.into_iter().next_back().or(response);
        let Some(end) = heard.end else { continue };
        let event = match response {
            Some(message) if end.status == 0 => Event::GrpcMessage(message),
            None if end.status == 0 => Event::GrpcClose { status: INTERNAL, message: Vec::new() },
            _ => Event::GrpcClose { status: end.status, message: end.text() },
        };
        return Some((at, event));
    }
    None
}

/// What a module hears of one step on a stream.
pub(super) fn stream_events(step: Step, started: &mut bool) -> Vec<(Event, After)> {
    let heard = hear(step, started);
    let mut events = Vec::new();
    events.extend(heard.initial.map(|headers| (Event::GrpcInitialMetadata(headers), After::Stay)));
    events.extend(heard.messages.into_iter().map(|message| (Event::GrpcMessage(message), After::Stay)));
    if let Some(end) = heard.end {
        let close = Event::GrpcClose { status: end.status, message: end.text() };
        events.push((Event::GrpcTrailingMetadata(end.trailing), After::Stay));
        events.push((close, After::RemoteClosed));
    }
    events
}

fn hear(step: Step, started: &mut bool) -> Heard {
    let first = !std::mem::replace(started, true);
    match step {
        Step::Metadata(headers) => Heard { initial: first.then_some(headers), ..Heard::default() },
        Step::Message(message) => {
            Heard { initial: first.then(response_headers), messages: vec![message], end: None }
        }
        Step::Close { status, message, metadata } => end(first, status, message, &metadata, VIA_UPSTREAM),
        Step::Refuse => end(first, UNAVAILABLE, CONNECTION_FAILED.into(), &[], REFUSED),
        Step::Reset if first => end(first, UNAVAILABLE, CONNECTION_BROKE.into(), &[], RESET),
        Step::Reset | Step::ResetAfterHeaders => {
            let initial = first.then(response_headers);
            Heard { initial, messages: Vec::new(), end: Some(bare(INTERNAL, RESET_LATE)) }
        }
        Step::Response { headers, body, trailers } => response(first, headers, &body, trailers),
    }
}

/// An end. One without anything before it comes as headers only: the initial metadata is empty then, and the
/// trailing metadata has the headers of the response.
fn end(
    first: bool,
    status: u32,
    message: Vec<u8>,
    metadata: &[(Vec<u8>, Vec<u8>)],
    details: &'static str,
) -> Heard {
    let mut trailing = HeaderMap::new(HeaderKind::ResponseTrailers);
    if first {
        trailing = trailers_only(status, &message, metadata);
    } else {
        add_status(&mut trailing, status, &message, metadata);
    }
    let initial = first.then(|| HeaderMap::new(HeaderKind::Response));
    Heard { initial, messages: Vec::new(), end: Some(End { trailing, status, message, details }) }
}

/// An end that no trailers came with.
fn bare(status: u32, details: &'static str) -> End {
    End { trailing: HeaderMap::new(HeaderKind::ResponseTrailers), status, message: Vec::new(), details }
}

/// A whole HTTP response to a gRPC call: gRPC written by hand, or an upstream that does not speak it.
fn response(first: bool, headers: HeaderMap, body: &[u8], trailers: Option<HeaderMap>) -> Heard {
    let code =
        headers.get(":status").and_then(|code| std::str::from_utf8(code).ok()?.parse().ok()).unwrap_or(0);
    let headers_only = body.is_empty() && trailers.is_none();
    let empty = first.then(|| HeaderMap::new(HeaderKind::Response));
    if headers_only && (code == 200 || headers.get("grpc-status").is_some()) {
        let trailing = HeaderMap::from_pairs(HeaderKind::ResponseTrailers, headers.iter());
        return Heard { initial: empty, messages: Vec::new(), end: Some(written(trailing)) };
    }
    if code != 200 {
        let end = bare(status_of_http(code), VIA_UPSTREAM);
        return Heard { initial: empty, messages: Vec::new(), end: Some(end) };
    }
    let (messages, whole) = frames(body);
    let end = match trailers {
        _ if !whole => bare(INTERNAL, VIA_UPSTREAM),
        Some(trailers) => written(trailers),
        None => bare(UNKNOWN, VIA_UPSTREAM),
    };
    Heard { initial: first.then_some(headers), messages, end: Some(end) }
}

/// The end that trailers tell of; without a status in them it is `Unknown`, and with one that is none, -1.
fn written(trailing: HeaderMap) -> End {
    let status = trailing.get("grpc-status").map_or(UNKNOWN, |status| {
        let number = std::str::from_utf8(status).ok().and_then(|text| text.parse().ok());
        number.filter(|number| *number <= 16).unwrap_or(u32::MAX)
    });
    let message = trailing.get("grpc-message").unwrap_or_default().to_vec();
    End { trailing, status, message, details: VIA_UPSTREAM }
}

/// The messages in a body, and whether it is made of frames. A frame that is compressed is none to Envoy either; one
/// that is cut off is not noticed.
fn frames(mut body: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut messages = Vec::new();
    while let Some((&flags, rest)) = body.split_first() {
        if flags != 0 {
            return (messages, false);
        }
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { break };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((message, rest)) = rest.split_at_checked(length) else { break };
        messages.push(message.to_vec());
        body = rest;
    }
    (messages, true)
}

/// The gRPC status that an HTTP status stands for (`Grpc::Utility::httpToGrpcStatus`).
pub(crate) const fn status_of_http(code: u16) -> u32 {
    match code {
        400 => INTERNAL,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
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
