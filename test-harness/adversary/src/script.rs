//! A request and its response, frame by frame, so that it can be broken off between any two.

use std::net::SocketAddr;

use bartizan_host::pairs::Pairs;
use bartizan_host::properties::{Attributes, Connection, ConnectionState};
use bartizan_host::{Protocol, Stream, Worker};

/// What one side sends next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The client's headers, and whether nothing follows.
    RequestHeaders(Pairs, bool),
    /// A piece of the client's body.
    RequestBody(Vec<u8>, bool),
    /// The client's trailers.
    RequestTrailers(Pairs),
    /// Upstream's headers.
    ResponseHeaders(Pairs, bool),
    /// A piece of upstream's body.
    ResponseBody(Vec<u8>, bool),
    /// Upstream's trailers.
    ResponseTrailers(Pairs),
}

/// How a stream is broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The client goes away.
    Client,
    /// Upstream goes away.
    Upstream,
}

/// A request with its response.
#[derive(Debug, Clone)]
pub struct Script {
    /// Which request of its kind it is.
    pub number: u32,
    /// Where the client connects from.
    pub peer: SocketAddr,
    /// How it speaks.
    pub protocol: Protocol,
    /// All frames in their order.
    pub frames: Vec<Frame>,
}

impl Script {
    /// Begins the stream.
    #[must_use]
    pub fn open(&self, worker: &Worker) -> Stream {
        let connection = Connection::new(1, self.peer, ([127, 0, 0, 1], 10_000).into());
        let attributes = Attributes { connection: Some(connection), ..Attributes::default() };
        worker.open_on(attributes, ConnectionState::default(), self.protocol)
    }

    /// Plays all frames.
    #[must_use]
    pub fn play(&self, worker: &Worker) -> Stream {
        let mut stream = self.open(worker);
        self.frames.iter().for_each(|frame| step(&mut stream, frame));
        stream
    }

    /// Plays this many frames, breaks the stream off, and plays the others too late.
    #[must_use]
    pub fn play_broken(&self, worker: &Worker, after: usize, how: Break) -> Stream {
        let mut stream = self.open(worker);
        self.frames.iter().take(after).for_each(|frame| step(&mut stream, frame));
        match how {
            Break::Client => stream.reset(),
            Break::Upstream => stream.upstream_reset(),
        }
        self.frames.iter().skip(after).for_each(|frame| step(&mut stream, frame));
        stream
    }
}

/// Brings one frame to the proxy, unless the stream is over.
pub fn step(stream: &mut Stream, frame: &Frame) {
    if stream.is_over() {
        return;
    }
    match frame {
        Frame::RequestHeaders(headers, end) => stream.request_headers(headers, *end),
        Frame::RequestBody(piece, end) => stream.request_body(piece.as_slice(), *end),
        Frame::RequestTrailers(trailers) => stream.request_trailers(trailers),
        // Upstream answers when it has the whole request.
        Frame::ResponseHeaders(headers, end) => {
            if stream.answer().upstream().is_some_and(|seen| seen.complete) {
                stream.response_headers(headers, *end);
            }
        }
        Frame::ResponseBody(piece, end) => stream.response_body(piece.as_slice(), *end),
        Frame::ResponseTrailers(trailers) => stream.response_trailers(trailers),
    }
}
