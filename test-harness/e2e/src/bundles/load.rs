//! Requests that show by which policy each of their phases was judged, and a steady load of them.
//!
//! The policy of a revision adds a header to requests and another to responses that name it, and takes only a body that names
//! it. So an exchange has three witnesses: what upstream got, what became of the body, and what the client got. If they
//! name two policies, the decision was mixed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::task::JoinSet;

use super::make::{MARK, mark};
use crate::client::{Protocol, connect, h1, h2};
use crate::message::{Request, Response};

/// Connections of the load, for each protocol.
const CONNECTIONS: usize = 2;

/// The pause between the requests of a connection: a load, and not a flood.
const PAUSE: Duration = Duration::from_millis(4);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// The body that only the policy of a revision takes.
pub(crate) fn body(revision: u64) -> String {
    format!("{{\"mark\":\"{}\"}}", mark(revision))
}

/// A request whose body only the policy of a revision takes.
pub(crate) fn saying(revision: u64) -> Request {
    Request::new("POST", "/post").body("application/json", body(revision))
}

/// The revision by which an exchange was judged, in all of its phases; `said` is the one that the body names.
///
/// # Errors
/// When the witnesses disagree, or the answer is none of a policy.
pub(crate) fn judged_by(response: &Response, said: Option<u64>) -> Result<u64> {
    let shown = response.header(MARK).with_context(|| format!("no policy marked {}", text(response)))?;
    let revision = shown.strip_prefix('r').and_then(|number| number.parse().ok());
    let revision: u64 = revision.with_context(|| format!("a policy marked `{shown}`"))?;
    if said.is_some_and(|said| said != revision) {
        let reason = response.reason();
        ensure!(
            response.status == 400 && reason.as_deref() == Some("body-schema"),
            "mixed: the body says {said:?}, the response was marked by revision {revision}: {}",
            text(response)
        );
        return Ok(revision);
    }
    ensure!(response.status == 200, "revision {revision} refused what it takes: {}", text(response));
    let echo: Value = serde_json::from_slice(&response.body).context("upstream's echo")?;
    let headers = echo.get("headers").and_then(Value::as_array).context("upstream's echo has headers")?;
    let got: Vec<_> = headers
        .iter()
        .filter(|header| header.get(0).and_then(Value::as_str) == Some(MARK))
        .filter_map(|header| header.get(1)?.as_str())
        .collect();
    ensure!(got == [shown], "mixed: the response was marked `{shown}`, and upstream got {got:?}");
    Ok(revision)
}

fn text(response: &Response) -> String {
    format!("{} {}", response.status, String::from_utf8_lossy(&response.body))
}

/// What came of a load.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) requests: usize,
    /// Of these, bodies that were refused, as they named another revision than the one that judged.
    pub(crate) refused: usize,
    /// The longest that one took.
    pub(crate) slowest: Duration,
}

/// A load that is under way.
pub(crate) struct Load {
    done: Arc<AtomicBool>,
    /// The revision that the bodies name.
    said: Arc<AtomicU64>,
    clients: JoinSet<Result<Tally>>,
}

impl Load {
    /// Begins to send, over both protocols.
    pub(crate) fn begin(address: SocketAddr, revision: u64) -> Self {
        let (done, said) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(revision)));
        let mut clients = JoinSet::new();
        for protocol in Protocol::ALL {
            for _ in 0..CONNECTIONS {
                clients.spawn(client(address, protocol, Arc::clone(&done), Arc::clone(&said)));
            }
        }
        Self { done, said, clients }
    }

    /// Names another revision in bodies from now on.
    pub(crate) fn say(&self, revision: u64) {
        self.said.store(revision, Ordering::Relaxed);
    }

    /// Whether a client has ended, which it only does when something is wrong.
    pub(crate) fn broken(&mut self) -> bool {
        self.clients.len() < CONNECTIONS * Protocol::ALL.len() || self.clients.try_join_next().is_some()
    }

    /// Ends it.
    ///
    /// # Errors
    /// With the first exchange that failed or was mixed.
    pub(crate) async fn end(mut self) -> Result<Tally> {
        self.done.store(true, Ordering::Relaxed);
        let mut tally = Tally::default();
        while let Some(client) = self.clients.join_next().await {
            let part = client??;
            tally.requests += part.requests;
            tally.refused += part.refused;
            tally.slowest = tally.slowest.max(part.slowest);
        }
        Ok(tally)
    }
}

/// A connection over either protocol.
pub(crate) enum Line {
    Http1(h1::Connection),
    Http2(h2::Connection),
}

impl Line {
    async fn open(address: SocketAddr, protocol: Protocol) -> Result<Self> {
        let stream = connect(address, None).await?;
        Ok(match protocol {
            Protocol::Http1 => Self::Http1(h1::Connection::new(stream)),
            Protocol::Http2 => Self::Http2(h2::Connection::new(stream).await?),
        })
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: &Request) -> Result<Response> {
        let exchange = async {
            match self {
                Self::Http1(line) => line.exchange(request).await,
                Self::Http2(line) => line.exchange(request).await,
            }
        };
        tokio::time::timeout(ANSWER, exchange).await.context("no answer")?
    }
}

async fn client(
    address: SocketAddr,
    protocol: Protocol,
    done: Arc<AtomicBool>,
    said: Arc<AtomicU64>,
) -> Result<Tally> {
    let mut line = Line::open(address, protocol).await?;
    let (mut tally, mut last) = (Tally::default(), 0);
    while !done.load(Ordering::Relaxed) {
        let said = (tally.requests % 2 == 1).then(|| said.load(Ordering::Relaxed));
        let request = said.map_or_else(|| Request::new("GET", "/open"), saying);
        let place = || format!("after {} requests over {protocol}", tally.requests);
        let began = Instant::now();
        let response = line.exchange(&request).await.with_context(place)?;
        let revision = judged_by(&response, said).with_context(place)?;
        // A connection stays with its worker, and a worker never goes back.
        ensure!(revision >= last, "{}: revision {revision} after {last}", place());
        last = revision;
        tally.requests += 1;
        tally.slowest = tally.slowest.max(began.elapsed());
        tally.refused += usize::from(response.status == 400);
        // A body that is refused before the last of it has come ends its connection in HTTP/1.1.
        if response.header("connection") == Some("close") {
            line = Line::open(address, protocol).await?;
            last = 0;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, shown: &str, got: &str) -> Response {
        let headers = vec![
            (MARK.into(), shown.into()),
            (b"content-type".to_vec(), b"application/problem+json".to_vec()),
        ];
        let body = match status {
            200 => serde_json::json!({"headers": [["host", "a"], [MARK, got]]}),
            _ => serde_json::json!({"reason": got}),
        };
        Response { status, headers, body: body.to_string().into_bytes(), ..Response::default() }
    }

    #[test]
    fn a_mixed_decision_is_told() {
        assert_eq!(judged_by(&response(200, "r7", "r7"), None).unwrap(), 7);
        assert_eq!(judged_by(&response(200, "r7", "r7"), Some(7)).unwrap(), 7);
        assert_eq!(judged_by(&response(400, "r8", "body-schema"), Some(7)).unwrap(), 8);
        for (status, shown, got, said) in [
            // Upstream got another mark than the client; the body of another policy was taken; one's own was refused.
            (200, "r8", "r7", None),
            (200, "r8", "r8", Some(7)),
            (400, "r7", "body-schema", Some(7)),
            (400, "r8", "body-malformed", Some(7)),
            (503, "r8", "no-policy", None),
            (200, "bad", "bad", None),
        ] {
            assert!(
                judged_by(&response(status, shown, got), said).is_err(),
                "{status} {shown} {got} {said:?}"
            );
        }
    }
}
