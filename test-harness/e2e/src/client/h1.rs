//! HTTP/1.1 by hand: a library would refuse to send half of what a proxy must be able to refuse.

use std::io;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::Begun;
use crate::message::{Body, Headers, Request, Response};

/// The largest head or chunk line that is read at all.
const MAX_HEAD: usize = 256 * 1024;

/// A connection to a server.
pub struct Connection {
    sender: Sender,
    receiver: Receiver,
}

/// The sending half.
pub struct Sender {
    stream: OwnedWriteHalf,
}

/// The receiving half.
pub struct Receiver {
    stream: OwnedReadHalf,
    /// Read from the stream and not used up yet.
    buffer: Vec<u8>,
}

impl Connection {
    /// Speaks HTTP/1.1 over a stream.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self {
            sender: Sender { stream: writer },
            receiver: Receiver { stream: reader, buffer: Vec::with_capacity(4096) },
        }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When the connection breaks before an answer, or the answer is not HTTP/1.1.
    pub async fn exchange(&mut self, request: &Request) -> Result<Response> {
        let sending = self.sender.send(request);
        let receiving = self.receiver.receive(&request.method);
        tokio::pin!(sending, receiving);
        // A server that refuses early stops reading while the rest of the body is under way, and may close:
        // its answer counts, not the broken pipe.
        let sent = tokio::select! {
            biased;
            received = &mut receiving => return received,
            sent = &mut sending => sent,
        };
        match receiving.await {
            Ok(response) => Ok(response),
            // What was read says how it ended.
            Err(error) => Err(match sent {
                Err(sent) => error.context(format!("{sent:#}")),
                Ok(()) => error,
            }),
        }
    }

    /// The two halves, to use them by hand.
    pub fn halves(&mut self) -> (&mut Sender, &mut Receiver) {
        (&mut self.sender, &mut self.receiver)
    }
}

impl Sender {
    /// Sends a request, piece by piece.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(&mut self, request: &Request) -> Result<()> {
        let mut wire = head(request);
        match &request.body {
            Body::None => {}
            Body::Sized(body) => wire.extend_from_slice(body),
            Body::Pieces { pieces, sized, trailers } => {
                for piece in pieces {
                    self.send_raw(&wire).await?;
                    // Let the piece travel alone, so that the proxy sees it alone.
                    tokio::task::yield_now().await;
                    wire.clear();
                    if *sized {
                        wire.extend_from_slice(piece);
                    } else if !piece.is_empty() {
                        wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                        wire.extend_from_slice(piece);
                        wire.extend_from_slice(b"\r\n");
                    }
                }
                if !*sized {
                    wire.extend_from_slice(b"0\r\n");
                    write_headers(&mut wire, trailers);
                    wire.extend_from_slice(b"\r\n");
                }
            }
        }
        self.send_raw(&wire).await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await.context("the connection broke while sending")
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub async fn finish(&mut self) -> Result<()> {
        self.stream.shutdown().await.context("the connection broke while closing")
    }
}

impl Receiver {
    /// Reads the next answer; interim ones (1xx) are skipped.
    ///
    /// # Errors
    /// When the connection ends before an answer does, or the answer is not HTTP/1.1.
    pub async fn receive(&mut self, method: &str) -> Result<Response> {
        loop {
            let head = match self.take_head().await {
                Ok(head) => head,
                Err(error) if self.buffer.is_empty() => return Err(error),
                Err(error) => return Err(error.context(Begun)),
            };
            let mut response = parse_head(&head)?;
            if (100..200).contains(&response.status) {
                continue;
            }
            if method != "HEAD" && !matches!(response.status, 204 | 304) {
                self.take_body(&mut response).await.context(Begun)?;
            }
            return Ok(response);
        }
    }

    async fn take_body(&mut self, response: &mut Response) -> Result<()> {
        let chunked = response
            .header("transfer-encoding")
            .is_some_and(|v| v.to_ascii_lowercase().split(',').any(|v| v.trim() == "chunked"));
        if chunked {
            self.take_chunks(response).await?;
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().with_context(|| format!("content-length is `{length}`"))?;
            response.body = self.take(length).await?;
        } else {
            while self.fill().await? {}
            response.body = std::mem::take(&mut self.buffer);
        }
        Ok(())
    }

    async fn take_chunks(&mut self, response: &mut Response) -> Result<()> {
        loop {
            let line = self.take_until(b"\r\n").await?;
            let line = String::from_utf8_lossy(&line);
            let size = line.split(';').next().unwrap_or_default().trim();
            let size =
                usize::from_str_radix(size, 16).with_context(|| format!("a chunk of size `{size}`"))?;
            if size == 0 {
                break;
            }
            let mut chunk = self.take(size).await?;
            response.body.append(&mut chunk);
            ensure!(self.take(2).await? == b"\r\n", "a chunk is longer than it says");
        }
        loop {
            let line = self.take_until(b"\r\n").await?;
            if line.is_empty() {
                return Ok(());
            }
            response.trailers.push(parse_header(&line)?);
        }
    }

    async fn take_head(&mut self) -> Result<Vec<u8>> {
        self.take_until(b"\r\n\r\n").await
    }

    /// Takes everything before a mark, and the mark away.
    async fn take_until(&mut self, mark: &[u8]) -> Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|w| w == mark) {
                let mut taken: Vec<u8> = self.buffer.drain(..at.saturating_add(mark.len())).collect();
                taken.truncate(at);
                return Ok(taken);
            }
            ensure!(self.buffer.len() < MAX_HEAD, "a head without an end");
            if !self.fill().await? {
                return Err(ended(format!(
                    "the connection was closed with {} bytes of an unfinished answer",
                    self.buffer.len()
                )));
            }
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < length {
            if !self.fill().await? {
                return Err(ended(format!("the body ends after {} of {length} bytes", self.buffer.len())));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Reads more; `false` at the end of the stream.
    async fn fill(&mut self) -> Result<bool> {
        let read =
            self.stream.read_buf(&mut self.buffer).await.context("the connection broke while reading")?;
        Ok(read > 0)
    }
}

/// The end of a connection before that of an answer.
fn ended(why: String) -> anyhow::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, why).into()
}

/// The head of a request, framing headers included.
#[must_use]
pub fn head(request: &Request) -> Vec<u8> {
    let mut wire = [request.method.as_bytes(), b" ", &request.path, b" HTTP/1.1\r\n"].concat();
    if let Some(host) = &request.host {
        wire.extend_from_slice(&[b"host: ", host.as_slice(), b"\r\n"].concat());
    }
    write_headers(&mut wire, &request.headers);
    match &request.body {
        Body::None => {}
        Body::Sized(body) => wire.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes()),
        Body::Pieces { pieces, sized: true, .. } => {
            let length: usize = pieces.iter().map(Vec::len).sum();
            wire.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        Body::Pieces { .. } => wire.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    wire.extend_from_slice(b"\r\n");
    wire
}

fn write_headers(wire: &mut Vec<u8>, headers: &Headers) {
    for (name, value) in headers {
        wire.extend_from_slice(name);
        wire.extend_from_slice(b": ");
        wire.extend_from_slice(value);
        wire.extend_from_slice(b"\r\n");
    }
}

fn parse_head(head: &[u8]) -> Result<Response> {
    let mut lines = head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status_line = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut words = status_line.split(' ');
    let version = words.next().unwrap_or_default();
    ensure!(version.starts_with("HTTP/1."), "not an HTTP/1 answer: `{status_line}`");
    let status = words.next().unwrap_or_default();
    let status = status.parse().with_context(|| format!("the status is `{status}`"))?;
    let headers = lines.map(parse_header).collect::<Result<_>>()?;
    Ok(Response { status, headers, ..Response::default() })
}

fn parse_header(line: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut parts = line.splitn(2, |b| *b == b':');
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let value = parts.next().context("a header line without a colon")?;
    Ok((name, value.trim_ascii().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(wire: &'static [u8], method: &'static str) -> Result<Response> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(wire).await.unwrap();
        });
        let mut connection = Connection::new(TcpStream::connect(address).await.unwrap());
        let response = connection.receiver.receive(method).await;
        server.await.unwrap();
        response
    }

    #[tokio::test]
    async fn reads_a_sized_answer() {
        let response =
            answer(b"HTTP/1.1 200 OK\r\nX-A: 1\r\ncontent-length: 2\r\n\r\nokrest", "GET").await.unwrap();
        assert_eq!((response.status, response.body.as_slice()), (200, b"ok".as_slice()));
        assert_eq!(response.header("x-a"), Some("1"));
    }

    #[tokio::test]
    async fn reads_chunks_trailers_and_skips_interim_answers() {
        let wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nx-t: 1\r\n\r\n";
        let response = answer(wire, "GET").await.unwrap();
        assert_eq!(response.body, b"abcd");
        assert_eq!(response.trailers, vec![(b"x-t".to_vec(), b"1".to_vec())]);
    }

    #[tokio::test]
    async fn reads_no_body_after_head_and_until_the_end_without_a_length() {
        let response = answer(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", "HEAD").await.unwrap();
        assert!(response.body.is_empty());
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\n\r\nall of it", "GET").await.unwrap().body, b"all of it");
    }

    #[tokio::test]
    async fn tells_an_unfinished_answer_from_a_finished_one() {
        assert!(answer(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "GET").await.is_err());
        assert!(answer(b"HTTP/1.1 200 OK\r\n", "GET").await.is_err());
        assert!(answer(b"", "GET").await.is_err());
    }
}
