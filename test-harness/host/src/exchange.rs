//! One request and its response, as the connection manager, the filter and the router hold them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::clusters::status_of_http;
use crate::headers::{HeaderKind, HeaderMap};
use crate::message::Protocol;
use crate::pairs::Pairs;
use crate::properties::{Attributes, ConnectionState, FilterState, Progress, Prototypes};

/// The two halves of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// From the client to upstream; Envoy says "decode".
    Request,
    /// From upstream to the client; Envoy says "encode".
    Response,
}

/// Whether frames pass the filter (`IterationState` in Envoy's `common/http/filter_manager.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Iteration {
    /// They pass.
    #[default]
    Continue,
    /// The filter holds what it got, and gets what follows.
    StopSingle,
    /// The filter gets nothing until it continues; too much is an error.
    StopAllBuffer,
    /// The filter gets nothing until it continues; too much stops reading.
    StopAllWatermark,
}

impl Iteration {
    pub(crate) const fn stops_all(self) -> bool {
        matches!(self, Self::StopAllBuffer | Self::StopAllWatermark)
    }
}

/// What left the proxy on one side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sent {
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) ended: bool,
    pub(crate) reset: bool,
}

/// One half of a stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Half {
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) trailers: Option<HeaderMap>,
    /// Whether the filter may still use the headers, the trailers and the piece of body that were brought to it.
    pub(crate) shows_headers: bool,
    pub(crate) shows_trailers: bool,
    pub(crate) shows_piece: bool,
    /// The piece of body that is on its way through the filter.
    pub(crate) piece: Vec<u8>,
    /// What the filter holds back, and what arrived while it stopped everything.
    pub(crate) held: Option<Vec<u8>>,
    /// The filter answered the last piece with "stop and buffer" and so sees all that is held.
    pub(crate) buffering: bool,
    /// What has not been read from the connection, because too much is held already.
    pub(crate) unread: VecDeque<Frame>,
    pub(crate) reading_stopped: bool,
    pub(crate) iteration: Iteration,
    pub(crate) headers_continued: bool,
    /// The source has sent its last frame, which may wait to be read.
    pub(crate) source_done: bool,
    /// The source has ended this half.
    pub(crate) source_ended: bool,
    /// The filter was told that this half ends.
    pub(crate) filter_saw_end: bool,
    /// Resumed frames start at this filter and not behind it.
    pub(crate) from_current: bool,
    /// A local reply took the place of this half.
    pub(crate) aborted: bool,
    /// The filter is being called for this half.
    pub(crate) in_call: bool,
    /// How many bytes of body came from the source.
    pub(crate) received: u64,
    pub(crate) sent: Sent,
}

/// A frame that waits to be read.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Data(Vec<u8>, bool),
    Trailers(HeaderMap),
}

impl Half {
    /// The filter loses sight of everything it was shown.
    pub(crate) const fn hide(&mut self) {
        self.shows_headers = false;
        self.shows_trailers = false;
        self.shows_piece = false;
    }

    /// The bytes that the body buffer shows.
    pub(crate) fn body(&self) -> &[u8] {
        if self.buffering {
            self.held.as_deref().unwrap_or_default()
        } else if self.shows_piece {
            &self.piece
        } else {
            &[]
        }
    }

    /// To ask for trailers that are not there, in order to change them, makes them, while the filter has the last piece of the
    /// body: it goes on without the mark of the end, and the trailers behind it (`getMap`, `addDecodedTrailers`).
    ///
    /// Whether a piece is the last one, Envoy sees by what it told last, of either half.
    fn add_trailers(&mut self, kind: HeaderKind, end_told: bool) {
        if !self.shows_trailers && self.shows_piece && end_told {
            self.trailers = Some(HeaderMap::new(kind));
            self.shows_trailers = true;
        }
    }

    pub(crate) fn body_mut(&mut self) -> Option<&mut Vec<u8>> {
        if self.buffering {
            self.held.as_mut()
        } else if self.shows_piece {
            Some(&mut self.piece)
        } else {
            None
        }
    }
}

/// A reply that the module asks for.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u32,
    pub(crate) details: String,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Pairs,
    pub(crate) grpc_status: Option<u32>,
}

/// A reply as it goes to the client.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// What one stream cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How often the module called each host function.
    pub host_calls: BTreeMap<&'static str, u64>,
    /// Each callback in order, with the fuel it used (about one unit for each instruction of wasm).
    pub callbacks: Vec<(&'static str, u64)>,
}

impl Report {
    /// The fuel of all callbacks together.
    pub fn fuel(&self) -> u64 {
        self.callbacks.iter().map(|(_, fuel)| fuel).sum()
    }

    /// How many host calls there were, of all kinds.
    pub fn calls(&self) -> u64 {
        self.host_calls.values().sum()
    }
}

/// When what happened to a stream, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) started: u64,
    pub(crate) sent_upstream: Option<u64>,
    pub(crate) upstream_done: Option<u64>,
    pub(crate) ended: Option<u64>,
}

/// The client went away (`CoreResponseFlag::DownstreamConnectionTermination`).
pub(crate) const CLIENT_GONE: u64 = 1 << 14;
/// Upstream went away (`CoreResponseFlag::UpstreamConnectionTermination`).
pub(crate) const UPSTREAM_GONE: u64 = 1 << 6;

/// Where a stream comes from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    pub(crate) attributes: Attributes,
    pub(crate) connection: ConnectionState,
    pub(crate) protocol: Protocol,
    /// Nanoseconds since 1970.
    pub(crate) started: u64,
}

/// A stream.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) attributes: Attributes,
    pub(crate) filter_state: FilterState,
    pub(crate) prototypes: Prototypes,
    pub(crate) protocol: Protocol,
    pub(crate) times: Times,
    /// Envoy's response flags.
    pub(crate) flags: u64,
    pub(crate) request: Half,
    pub(crate) response: Half,
    /// Whether the filter was told last that a half ends.
    pub(crate) end_told: bool,
    /// Whether the filter is in the chain at all.
    pub(crate) filtered: bool,
    /// The module knows the context.
    pub(crate) created: bool,
    pub(crate) destroyed: bool,
    /// The access log is being written.
    pub(crate) logging: bool,
    /// The VM failed while this stream was with it, and the stream was answered with 503.
    pub(crate) failed: bool,
    /// A local reply that goes out as soon as the filter returns.
    pub(crate) prepared: Option<Rendered>,
    pub(crate) local_reply: bool,
    /// The status with which upstream answered, whatever became of it.
    pub(crate) upstream_code: Option<u16>,
    /// The response code details.
    pub(crate) details: String,
    pub(crate) buffer_limit: usize,
    pub(crate) report: Report,
}

impl Exchange {
    pub(crate) fn new(filtered: bool, buffer_limit: usize, origin: Origin) -> Self {
        Self {
            attributes: origin.attributes,
            filter_state: FilterState::new(origin.connection),
            prototypes: Prototypes::default(),
            protocol: origin.protocol,
            times: Times { started: origin.started, ..Times::default() },
            flags: 0,
            request: Half::default(),
            response: Half::default(),
            end_told: false,
            filtered,
            created: false,
            destroyed: false,
            logging: false,
            failed: false,
            prepared: None,
            local_reply: false,
            upstream_code: None,
            details: String::new(),
            buffer_limit,
            report: Report::default(),
        }
    }

    pub(crate) const fn half(&self, side: Side) -> &Half {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }

    pub(crate) const fn half_mut(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// Makes the trailers that a filter wants to change, if it may.
    pub(crate) fn add_trailers(&mut self, side: Side) {
        let kind = match side {
            Side::Request => HeaderKind::RequestTrailers,
            Side::Response => HeaderKind::ResponseTrailers,
        };
        let end_told = self.end_told;
        self.half_mut(side).add_trailers(kind, end_told);
    }

    /// The response headers as the access log has them: those that went out.
    pub(crate) const fn logged_response(&self) -> Option<&HeaderMap> {
        match &self.response.sent.headers {
            Some(headers) => Some(headers),
            None => self.response.headers.as_ref(),
        }
    }

    pub(crate) fn is_head(&self) -> bool {
        self.request.headers.as_ref().and_then(|headers| headers.get(":method")) == Some(b"HEAD")
    }

    /// As `Grpc::Common::isGrpcRequestHeaders`: the content type is `application/grpc`, or continues with `+` or `;`.
    pub(crate) fn is_grpc(&self) -> bool {
        let kind = self.request.headers.as_ref().and_then(|headers| headers.get("content-type"));
        kind.and_then(|kind| kind.strip_prefix(b"application/grpc"))
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    }

    /// A reply as `Utility::prepareLocalReply` of Envoy's `common/http/utility.cc` writes it.
    pub(crate) fn render(&self, reply: Reply) -> Rendered {
        let mut headers =
            HeaderMap::from_pairs(HeaderKind::Response, [(":status", reply.status.to_string())]);
        for (name, value) in &reply.headers {
            headers.add(name, value);
        }
        let mut body = reply.body;
        if self.is_grpc() {
            headers.set(":status", "200");
            headers.set("content-type", "application/grpc");
            if headers.get("grpc-status").is_none_or(<[u8]>::is_empty) {
                let status = reply
                    .grpc_status
                    .unwrap_or_else(|| status_of_http(u16::try_from(reply.status).unwrap_or(0)));
                headers.set("grpc-status", status.to_string());
            }
            if !body.is_empty() && !self.is_head() {
                headers.set("grpc-message", percent_encode(&body));
            }
            headers.remove("content-length");
            body = Vec::new();
        } else if body.is_empty() {
            headers.remove("content-length");
            headers.remove("content-type");
        } else {
            headers.set("content-length", body.len().to_string());
            if headers.get("content-type").is_none() {
                headers.set("content-type", "text/plain");
            }
        }
        if self.is_head() {
            body = Vec::new();
        }
        Rendered { headers, body }
    }
}

impl Progress for Exchange {
    fn request_headers(&self) -> Option<&HeaderMap> {
        self.request.headers.as_ref().filter(|_| self.request.shows_headers || self.logging)
    }

    fn response_headers(&self) -> Option<&HeaderMap> {
        let lent = self.response.headers.as_ref().filter(|_| self.response.shows_headers);
        lent.or_else(|| self.logged_response().filter(|_| self.logging))
    }

    fn response_trailers(&self) -> Option<&HeaderMap> {
        self.response.trailers.as_ref().filter(|_| self.response.shows_trailers || self.logging)
    }

    fn started(&self) -> u64 {
        self.times.started
    }

    fn duration(&self) -> Option<Duration> {
        self.times.ended.map(|ended| Duration::from_nanos(ended.saturating_sub(self.times.started)))
    }

    fn protocol(&self) -> Option<&str> {
        Some(match self.protocol {
            Protocol::Http1 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2",
        })
    }

    fn bytes_received(&self) -> u64 {
        self.request.received
    }

    fn bytes_sent(&self) -> u64 {
        self.response.sent.body.len() as u64
    }

    // The router notes the status of upstream's answer before the filter sees it, the connection manager that of
    // what goes out: in the callbacks of a response the first counts, in the log the second.
    fn response_code(&self) -> Option<u16> {
        self.response.sent.headers.as_ref().and_then(status_of).or(self.upstream_code)
    }

    fn response_code_details(&self) -> Option<&str> {
        (!self.details.is_empty()).then_some(self.details.as_str())
    }

    fn response_flags(&self) -> u64 {
        self.flags
    }

    fn backend_latency(&self) -> Option<Duration> {
        let (sent, done) = (self.times.sent_upstream?, self.times.upstream_done?);
        Some(Duration::from_nanos(done.saturating_sub(sent)))
    }

    fn attempts(&self) -> Option<u32> {
        self.times.sent_upstream.map(|_| 1)
    }
}

/// The `:status` of a response.
pub(crate) fn status_of(headers: &HeaderMap) -> Option<u16> {
    std::str::from_utf8(headers.get(":status")?).ok()?.parse().ok()
}

/// `Http::Utility::PercentEncoding::encode`: control characters, `%` and what is not ASCII.
fn percent_encode(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text {
        if (b' '..b'\x7f').contains(&byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(request: &[(&str, &str)]) -> Exchange {
        let mut exchange = Exchange::new(true, 1024, Origin::default());
        let headers = request.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        exchange.request.headers = Some(HeaderMap::from_pairs(HeaderKind::Request, headers));
        exchange
    }

    fn reply(body: &str) -> Reply {
        Reply {
            status: 403,
            details: String::new(),
            body: body.into(),
            headers: Vec::new(),
            grpc_status: None,
        }
    }

    fn header(rendered: &Rendered, name: &str) -> Option<String> {
        rendered.headers.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    #[test]
    fn a_reply_with_a_body_says_how_long_it_is_and_what() {
        let rendered = exchange(&[(":method", "GET")]).render(reply("no"));
        assert_eq!(header(&rendered, "content-length").as_deref(), Some("2"));
        assert_eq!(header(&rendered, "content-type").as_deref(), Some("text/plain"));
        assert_eq!(rendered.body, b"no");
    }

    #[test]
    fn a_reply_to_head_keeps_its_headers_and_loses_its_body() {
        let rendered = exchange(&[(":method", "HEAD")]).render(reply("no"));
        assert_eq!(header(&rendered, "content-length").as_deref(), Some("2"));
        assert!(rendered.body.is_empty());
    }

    #[test]
    fn a_grpc_client_gets_the_status_in_headers() {
        let rendered = exchange(&[("content-type", "application/grpc+proto")]).render(reply("100% no"));
        assert_eq!(header(&rendered, ":status").as_deref(), Some("200"));
        assert_eq!(header(&rendered, "grpc-status").as_deref(), Some("7"));
        assert_eq!(header(&rendered, "grpc-message").as_deref(), Some("100%25 no"));
        assert!(rendered.body.is_empty());
        let near = exchange(&[("content-type", "application/grpc-web")]).render(reply("no"));
        assert_eq!(header(&near, ":status").as_deref(), Some("403"));
    }

    #[test]
    fn a_reply_without_a_body_has_neither_length_nor_type() {
        let mut empty = reply("");
        empty.headers = vec![(b"Content-Type".to_vec(), b"a/b".to_vec()), (b"x-y".to_vec(), b"z".to_vec())];
        let rendered = exchange(&[(":method", "GET")]).render(empty);
        assert_eq!(header(&rendered, "content-type"), None);
        assert_eq!(header(&rendered, "x-y").as_deref(), Some("z"));
    }
}
