//! Requests and responses as tests write them.

use std::net::SocketAddr;

use crate::headers::{HeaderKind, HeaderMap};
use crate::pairs::Pairs;
use crate::properties::{Attributes, Connection, ConnectionState};

/// How the last frame of a body comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// After the last piece comes an empty one that ends the stream, as Envoy's codec for HTTP/1.1 does when the
    /// message is complete (`onMessageCompleteBase` in `common/http/http1/codec_impl.cc`).
    #[default]
    Http1,
    /// The last piece ends the stream.
    Http2,
}

/// A request, with what upstream will answer to it.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) trailers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) protocol: Protocol,
    pub(crate) upstream: Response,
    pub(crate) attributes: Option<Attributes>,
    pub(crate) connection: ConnectionState,
}

impl Request {
    /// A request to `http://example.com` with this method and path. Nothing else is added: what a connection
    /// manager writes (`x-request-id`, `x-forwarded-proto`, `x-forwarded-for`) is for the test to write.
    pub fn new(method: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Self {
        let pseudo: [(&str, &[u8]); 4] = [
            (":authority", b"example.com"),
            (":path", path.as_ref()),
            (":method", method.as_ref()),
            (":scheme", b"http"),
        ];
        Self::of(pseudo.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect())
    }

    /// A request with these headers and no others, pseudo-headers among them: one without `:authority` can be
    /// made so.
    pub fn of(headers: Pairs) -> Self {
        Self {
            headers,
            pieces: Vec::new(),
            trailers: Vec::new(),
            protocol: Protocol::default(),
            upstream: Response::new(200),
            attributes: None,
            connection: ConnectionState::default(),
        }
    }

    /// A `GET`.
    pub fn get(path: impl AsRef<[u8]>) -> Self {
        Self::new("GET", path)
    }

    /// A `POST` without a body yet.
    pub fn post(path: impl AsRef<[u8]>) -> Self {
        Self::new("POST", path)
    }

    /// Adds a header. A pseudo-header replaces the one that is there; `host` is `:authority`.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let (mut name, value) = (name.as_ref().to_ascii_lowercase(), value.as_ref().to_vec());
        if name == b"host" {
            name = b":authority".to_vec();
        }
        match self.headers.iter_mut().find(|(other, _)| name.starts_with(b":") && *other == name) {
            Some((_, present)) => *present = value,
            None => self.headers.push((name, value)),
        }
        self
    }

    /// Adds a piece to the body. Without any piece, and without trailers, the request ends with its headers.
    #[must_use]
    pub fn body(mut self, piece: impl Into<Vec<u8>>) -> Self {
        self.pieces.push(piece.into());
        self
    }

    /// Adds a trailer.
    #[must_use]
    pub fn trailer(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.trailers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// How the client speaks. HTTP/1.1 if not given.
    #[must_use]
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The address that the client connects from, on a plain connection to `127.0.0.1:10000`.
    #[must_use]
    pub fn peer(mut self, peer: impl Into<SocketAddr>) -> Self {
        let connection = Connection::new(1, peer.into(), ([127, 0, 0, 1], 10_000).into());
        self.attributes.get_or_insert_default().connection = Some(connection);
        self
    }

    /// What surrounds the stream: connection, route, cluster. The proxy's own if not given.
    #[must_use]
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = Some(attributes);
        self
    }

    /// The state that the streams of one connection have in common. A state of its own if not given.
    #[must_use]
    pub fn connection(mut self, connection: &ConnectionState) -> Self {
        self.connection = connection.clone();
        self
    }

    /// What upstream answers when it has the whole request. An empty 200 if not given.
    #[must_use]
    pub fn upstream(mut self, response: Response) -> Self {
        self.upstream = response;
        self
    }

    pub(crate) fn is_head(&self) -> bool {
        self.headers.iter().any(|(name, value)| name == b":method" && value == b"HEAD")
    }
}

/// A response of upstream.
#[derive(Debug, Clone)]
pub struct Response {
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) trailers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) protocol: Protocol,
}

impl Response {
    /// A response with this status and nothing else.
    pub fn new(status: u16) -> Self {
        Self {
            headers: vec![(b":status".to_vec(), status.to_string().into_bytes())],
            pieces: Vec::new(),
            trailers: Vec::new(),
            protocol: Protocol::default(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Adds a piece to the body.
    #[must_use]
    pub fn body(mut self, piece: impl Into<Vec<u8>>) -> Self {
        self.pieces.push(piece.into());
        self
    }

    /// Adds a trailer.
    #[must_use]
    pub fn trailer(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.trailers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// How upstream speaks. HTTP/1.1 if not given.
    #[must_use]
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }
}

/// A request as upstream saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The headers, pseudo-headers among them.
    pub headers: HeaderMap,
    /// As much of the body as got there.
    pub body: Vec<u8>,
    /// The trailers, if there were any.
    pub trailers: Option<HeaderMap>,
    /// The request got there to its end.
    pub complete: bool,
    /// The request was broken off.
    pub reset: bool,
}

impl Seen {
    /// The first value of a header.
    pub fn header(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.headers.get(name)
    }
}

pub(crate) fn map(kind: HeaderKind, pairs: &[(Vec<u8>, Vec<u8>)]) -> HeaderMap {
    HeaderMap::from_pairs(kind, pairs.iter().map(|(name, value)| (name, value)))
}
