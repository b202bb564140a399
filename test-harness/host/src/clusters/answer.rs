//! What a simulated upstream does with a callout.

use std::time::Duration;

use crate::headers::{HeaderKind, HeaderMap};

/// What an upstream does, step by step. Made by one constructor and refined by the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub(super) steps: Vec<(Duration, Step)>,
    pub(super) immediate: bool,
}

/// One thing that an upstream does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A whole HTTP response. To a gRPC call it is an upstream that does not speak gRPC.
    Response {
        /// The headers, with `:status`.
        headers: HeaderMap,
        /// The body.
        body: Vec<u8>,
        /// The trailers, if there are any.
        trailers: Option<HeaderMap>,
    },
    /// The initial metadata of a gRPC stream. A message that comes without it before brings it along.
    Metadata(HeaderMap),
    /// A gRPC message.
    Message(Vec<u8>),
    /// The end of a gRPC call.
    Close {
        /// The gRPC status.
        status: u32,
        /// The text that goes with it.
        message: Vec<u8>,
        /// What the trailing metadata has besides.
        metadata: Vec<(Vec<u8>, Vec<u8>)>,
    },
    /// The upstream cannot be connected to.
    Refuse,
    /// The connection breaks before anything came back.
    Reset,
    /// Headers came back, then the connection breaks.
    ResetAfterHeaders,
}

impl Answer {
    /// An HTTP response with this status and no body, at once.
    pub fn status(status: u16) -> Self {
        let headers = HeaderMap::from_pairs(HeaderKind::Response, [(":status", status.to_string())]);
        Self::step(Step::Response { headers, body: Vec::new(), trailers: None })
    }

    /// A gRPC message and a good end, at once.
    pub fn grpc(message: impl Into<Vec<u8>>) -> Self {
        Self::step(Step::Message(message.into())).then(Duration::ZERO, Self::grpc_status(0, ""))
    }

    /// The end of a gRPC call with this status and text, at once.
    pub fn grpc_status(status: u32, message: impl Into<Vec<u8>>) -> Self {
        Self::step(Step::Close { status, message: message.into(), metadata: Vec::new() })
    }

    /// An upstream that takes the call and never says anything.
    pub const fn never() -> Self {
        Self { steps: Vec::new(), immediate: false }
    }

    /// An upstream that cannot be connected to.
    pub fn refused() -> Self {
        Self::step(Step::Refuse)
    }

    /// An upstream that breaks the connection before it answers.
    pub fn reset() -> Self {
        Self::step(Step::Reset)
    }

    /// An upstream that breaks the connection behind the headers of its answer.
    pub fn reset_after_headers() -> Self {
        Self::step(Step::ResetAfterHeaders)
    }

    /// A cluster without a healthy host: the call fails before it leaves Envoy.
    pub const fn no_healthy_host() -> Self {
        Self { steps: Vec::new(), immediate: true }
    }

    /// A single step, at once.
    pub fn step(step: Step) -> Self {
        Self { steps: vec![(Duration::ZERO, step)], immediate: false }
    }

    /// The same with a body and its `content-length`. Only for HTTP responses; others stay as they are.
    #[must_use]
    pub fn body(mut self, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        if let Some((_, Step::Response { headers, body, .. })) = self.steps.last_mut() {
            headers.set("content-length", content.len().to_string());
            *body = content;
        }
        self
    }

    /// The same with one more header, or one more entry of gRPC metadata at the end.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        match self.steps.last_mut() {
            Some((_, Step::Response { headers, .. } | Step::Metadata(headers))) => headers.add(name, value),
            Some((_, Step::Close { metadata, .. })) => {
                metadata.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
            }
            _ => {}
        }
        self
    }

    /// The same with one more trailer. Only for HTTP responses; others stay as they are.
    #[must_use]
    pub fn trailer(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        if let Some((_, Step::Response { trailers, .. })) = self.steps.last_mut() {
            trailers.get_or_insert_with(|| HeaderMap::new(HeaderKind::ResponseTrailers)).add(name, value);
        }
        self
    }

    /// The same, but the first step waits so long.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        if let Some((wait, _)) = self.steps.first_mut() {
            *wait = wait.saturating_add(delay);
        }
        self
    }

    /// This answer, and so long after its last step another one. Only gRPC streams make use of more than one end.
    #[must_use]
    pub fn then(mut self, delay: Duration, next: Self) -> Self {
        self.steps.extend(next.after(delay).steps);
        self
    }
}
