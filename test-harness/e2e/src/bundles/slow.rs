//! Requests that span a change of the policy: their head is judged before it, their body or their answer after it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;

use super::crew::Crew;
use super::load::{body, judged_by};
use super::make::{MARK, mark};
use crate::client::{connect, h1};
use crate::envoy::Envoy;
use crate::message::{Body, Request};
use crate::upstream::{CASE_HEADER, Upstream};

/// How long a request may take to reach upstream.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a head may take to reach the filter. Too short a pause makes fewer requests span a change, and no wrong ones.
const PAUSE: Duration = Duration::from_millis(30);

/// Connections that are used for nothing else.
pub(crate) struct Slow {
    address: SocketAddr,
    prefix: String,
    /// None once a connection of them has ended.
    bodies: Option<Crew>,
    answers: Crew,
    http2: h2::client::SendRequest<Bytes>,
}

/// Requests that have begun.
pub(crate) struct Begun {
    revision: u64,
    case: String,
    bodies: Crew,
    http2: Http2,
}

struct Http2 {
    answer: h2::client::ResponseFuture,
    stream: h2::SendStream<Bytes>,
}

impl Slow {
    pub(crate) async fn new(envoy: &Envoy, address: SocketAddr, prefix: &str) -> Result<Self> {
        let bodies = Some(Crew::assemble(envoy, address, prefix).await?);
        let answers = Crew::assemble(envoy, address, prefix).await?;
        let (http2, connection) = h2::client::handshake(connect(address, None).await?).await?;
        // It ends by itself when the last sender is gone.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { address, prefix: prefix.to_owned(), bodies, answers, http2 })
    }

    /// Begins requests under a revision that every worker enforces: through each worker one whose body does not end yet
    /// and one whose answer is held back by upstream, and one over HTTP/2 whose body does not end.
    pub(crate) async fn begin(&mut self, envoy: &Envoy, upstream: &Upstream, revision: u64) -> Result<Begun> {
        let case = format!("slow-{revision}");
        upstream.hold(&case);
        let mut request = Request::new("POST", "/post").header("content-type", "application/json");
        request.body = Body::Pieces { pieces: Vec::new(), sized: false, trailers: Vec::new() };
        let (begin, _) = halves(revision);
        let mut bodies = match self.bodies.take() {
            Some(bodies) => bodies,
            None => Crew::assemble(envoy, self.address, &self.prefix).await?,
        };
        for (_, connection) in bodies.members() {
            let (sender, _) = connection.halves();
            sender.send_raw(&[h1::head(&request), chunk(&begin)].concat()).await?;
        }
        let held = Request::new("GET", "/open").header(CASE_HEADER, &case);
        for (_, connection) in self.answers.members() {
            connection.halves().0.send(&held).await?;
        }
        let head =
            http::Request::post("http://api.example.com/post").header("content-type", "application/json");
        let mut sender = self.http2.clone().ready().await?;
        let (answer, mut stream) = sender.send_request(head.body(())?, false)?;
        stream.send_data(Bytes::from(begin), false)?;
        let started = Instant::now();
        while upstream.count(&case) < self.answers.len() {
            ensure!(started.elapsed() < PATIENCE, "upstream got {} requests", upstream.count(&case));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(PAUSE).await;
        Ok(Begun { revision, case, bodies, http2: Http2 { answer, stream } })
    }

    /// Ends them, now that every worker enforces another revision. Returns how many there were, and how many of these
    /// the first revision judged from the head to the end.
    ///
    /// # Errors
    /// When one was judged by two policies.
    pub(crate) async fn end(&mut self, upstream: &Upstream, begun: Begun) -> Result<(usize, usize)> {
        let Begun { revision, case, mut bodies, mut http2 } = begun;
        let (mut requests, mut spanned) = (0, 0);
        let mut count = |by: u64| {
            requests += 1;
            spanned += usize::from(by == revision);
        };
        let (_, end) = halves(revision);
        let mut ended = false;
        for (worker, connection) in bodies.members() {
            let (sender, receiver) = connection.halves();
            sender.send_raw(&[chunk(&end), b"0\r\n\r\n".to_vec()].concat()).await?;
            let response = within(receiver.receive("POST")).await?;
            // A body that is refused before the last of it has come ends its connection.
            ended |= response.header("connection") == Some("close");
            count(judged_by(&response, Some(revision)).with_context(|| format!("a slow body, {worker}"))?);
        }
        self.bodies = (!ended).then_some(bodies);
        upstream.release(&case);
        for (worker, connection) in self.answers.members() {
            let response = within(connection.halves().1.receive("GET")).await?;
            count(judged_by(&response, None).with_context(|| format!("a slow answer, {worker}"))?);
        }
        let _ = upstream.take(&case);
        http2.stream.send_data(Bytes::from(end), true)?;
        let answer = within(async { Ok(http2.answer.await?) }).await?;
        let shown = answer.headers().get(MARK).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let takes = shown == mark(revision);
        ensure!(
            takes == (answer.status() == 200),
            "mixed over HTTP/2: the body says {revision}, the answer is {} of `{shown}`",
            answer.status()
        );
        count(if takes { revision } else { 0 });
        Ok((requests, spanned))
    }
}

/// The body that only a revision takes, in two pieces.
fn halves(revision: u64) -> (Vec<u8>, Vec<u8>) {
    let body = body(revision).into_bytes();
    let (begin, end) = body.split_at(body.len() / 2);
    (begin.to_vec(), end.to_vec())
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

async fn within<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, answer).await.context("no answer to a slow request")?
}
