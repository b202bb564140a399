//! Requests and responses as the clients and servers here hold them: bytes, in the order of the wire.

/// Header names and values as they are on the wire: repeated, ordered, and not always UTF-8.
pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// A request to send.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The method, sent as it is.
    pub method: String,
    /// The target, sent as it is: path and query.
    pub path: Vec<u8>,
    /// The host, `None` to send none.
    pub host: Option<Vec<u8>>,
    /// Headers beyond the host and the framing.
    pub headers: Headers,
    /// The body.
    pub body: Body,
}

/// How a body is sent.
#[derive(Debug, Clone, Default)]
pub enum Body {
    /// No body and nothing said about one.
    #[default]
    None,
    /// One piece with its length declared.
    Sized(Vec<u8>),
    /// Several pieces, flushed apart; chunked over HTTP/1.1, data frames over HTTP/2.
    Pieces {
        /// The pieces.
        pieces: Vec<Vec<u8>>,
        /// Whether the length is declared in advance. A length and trailers exclude each other in HTTP/1.1.
        sized: bool,
        /// Trailers after the last piece.
        trailers: Headers,
    },
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, path: impl AsRef<[u8]>) -> Self {
        Self {
            method: method.to_owned(),
            path: path.as_ref().to_vec(),
            host: Some(b"api.example.com".to_vec()),
            ..Self::default()
        }
    }

    /// The same request with one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// The same request with a body of a content type.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut request = self.header("content-type", content_type);
        request.body = Body::Sized(body.into());
        request
    }

    /// The same request with a bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }
}

/// A response as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Headers,
    /// The body, framing removed.
    pub body: Vec<u8>,
    /// The trailers, names in lower case.
    pub trailers: Headers,
}

impl Response {
    /// The first value of a header, where it is UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))?;
        std::str::from_utf8(value).ok()
    }

    /// The stable reason of a refusal, from its problem document.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        if !self.header("content-type")?.starts_with("application/problem+json") {
            return None;
        }
        let problem: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(problem.get("reason")?.as_str()?.to_owned())
    }
}
