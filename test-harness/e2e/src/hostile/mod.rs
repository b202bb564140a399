//! Hostile input: whatever a client sends, the proxy answers, never with a server error, and lives.

mod json;
pub mod mutate;

pub use json::{Documents, documents};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bartizan_cases::chance::Chance;
use bartizan_cases::format::Token;
use serde_json::json;

use crate::client::{self, Protocol, h1, h2};
use crate::config;
use crate::deploy::{Guard, Policy, Post, Signatures, Stage};
use crate::message::{Request, Response};
use mutate::Attempt;

/// Connections in use at the same time.
const CONNECTIONS: usize = 24;

/// How long an answer may take. A request whose end never comes is cut off by us long before Envoy would.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the requests were answered, and how.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answers by status; connections closed and streams reset instead of an answer.
    pub outcomes: BTreeMap<String, usize>,
    /// Refusals by their reason.
    pub reasons: BTreeMap<String, usize>,
    /// What must not happen, with the request that made it happen.
    pub failures: Vec<String>,
}

/// What the policy is called in Envoy.
const NAME: &str = "hostile";

/// The bundle that hostile input is sent to. No budget of it runs out, so one post serves every kind of input.
///
/// # Errors
/// When it does not compile.
pub fn post() -> Result<Post> {
    let directory: PathBuf = config::root()?.join("test-harness/e2e/bundles/hostile");
    Ok(Post::new(NAME, Policy::compile(&directory)?, Signatures::Auto))
}

/// Sends mutated requests and checks that each is answered, that no answer is a server error, and that
/// the proxy is unharmed.
///
/// # Errors
/// With the first requests that broke something.
pub async fn mutated(stage: &mut Stage, count: usize, seed: u64) -> Result<Tally> {
    let guard = stage.guard(NAME)?.clone();
    let originals = Arc::new(originals(&guard)?);
    let tally = Arc::new(Mutex::new(Tally::default()));
    let next = Arc::new(AtomicUsize::new(0));
    let address = guard.address;
    let workers = (0..CONNECTIONS).map(|_| {
        let (originals, tally, next) = (Arc::clone(&originals), Arc::clone(&tally), Arc::clone(&next));
        tokio::spawn(async move {
            let mut line = Line { address, http1: None, http2: None };
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                // Each request has a seed of its own, so that it can be repeated alone.
                let mut chance =
                    Chance::new(seed.wrapping_add(number as u64).wrapping_mul(0x2545_F491_4F6C_DD1D));
                let original = originals.get(chance.below(originals.len())).cloned().unwrap_or_default();
                let http2 = chance.once_in(3);
                let attempt = mutate::attempt(original, &mut chance);
                // What the HTTP/2 client cannot say goes over HTTP/1.1: everything is sent.
                let protocol = match &attempt {
                    Attempt::Whole(request) if http2 && h2::sayable(request).is_ok() => Protocol::Http2,
                    _ => Protocol::Http1,
                };
                let outcome = line.send(&attempt, protocol).await;
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                tally.count(&outcome, &attempt, number, protocol);
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await?;
    }
    stage.unharmed().await?;
    // It still does its work: a good request passes, a bad one does not.
    let good = originals.first().context("no requests to mutate")?;
    let response = client::send(address, None, Protocol::Http1, good).await?;
    ensure!(response.status == 200, "afterwards a good request is answered with {}", response.status);
    let response = client::send(address, None, Protocol::Http1, &Request::new("GET", "/things/1")).await?;
    ensure!(
        (400..500).contains(&response.status),
        "afterwards a bad request is answered with {}",
        response.status
    );
    let tally = std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
    if !tally.failures.is_empty() {
        let shown: Vec<_> = tally.failures.iter().take(10).map(String::as_str).collect();
        bail!(
            "{} of {count} requests broke something (seed {seed}):\n{}",
            tally.failures.len(),
            shown.join("\n")
        );
    }
    Ok(tally)
}

/// Good requests for every room: without a mutation each is let through.
fn originals(guard: &Guard) -> Result<Vec<Request>> {
    let mut requests = Vec::new();
    let thing = json!({"name": "lamp-7", "size": 20.5, "when": "2026-01-01T00:00:00Z", "tags": ["a", "b"], "note": "on"});
    for alg in ["RS256", "ES256"] {
        let token = Token { alg: Some(alg.to_owned()), roles: Some(json!(["writer"])), ..Token::default() };
        let token = guard.mint("mallory", &token)?;
        let good = |request: Request| {
            request.header("x-forwarded-for", "192.0.2.7").header("user-agent", "curl/8.5")
        };
        let mut own = vec![
            good(Request::new("GET", "/things/lamp-7?verbose=1")).bearer(&token),
            good(Request::new("DELETE", "/things/lamp-7")).bearer(&token),
            good(Request::new("GET", "/files/a/b/c.txt")).bearer(&token),
            good(Request::new("GET", "/things/lamp-7"))
                .header("cookie", format!("theme=dark; session={token}")),
            good(Request::new("GET", format!("/things/lamp-7?access_token={token}"))),
            good(Request::new("POST", "/things")).bearer(&token).body("application/json", thing.to_string()),
            good(Request::new("POST", "/json")).bearer(&token).body("application/json", thing.to_string()),
            good(Request::new("POST", "/things"))
                .bearer(&token)
                .body("application/x-www-form-urlencoded", "name=lamp-7&note=a+b%20c"),
            good(Request::new("PUT", "/blobs"))
                .bearer(&token)
                .body("image/png", b"\x89PNG\r\n\x1a\n".to_vec()),
        ];
        requests.append(&mut own);
        requests.push(good(Request::new("GET", "/open")));
    }
    Ok(requests)
}

/// One client's connections, made anew when the server closes them.
struct Line {
    address: SocketAddr,
    http1: Option<h1::Connection>,
    http2: Option<h2::Connection>,
}

enum Outcome {
    Answered(Response),
    Closed(String),
    Hangs,
}

impl Line {
    async fn send(&mut self, attempt: &Attempt, protocol: Protocol) -> Outcome {
        let result = tokio::time::timeout(PATIENCE, async {
            match (attempt, protocol) {
                (Attempt::Raw(bytes), _) => self.raw(bytes).await,
                (Attempt::Whole(request), Protocol::Http1) => self.over_http1(request).await,
                (Attempt::Whole(request), Protocol::Http2) => self.over_http2(request).await,
            }
        });
        match result.await {
            Ok(outcome) => outcome,
            Err(_) => {
                (self.http1, self.http2) = (None, None);
                Outcome::Hangs
            }
        }
    }

    async fn over_http1(&mut self, request: &Request) -> Outcome {
        // A kept connection may have been closed in the meantime, for an early refusal or a malformed head:
        // a request that finds it so has a second chance on a fresh one.
        for fresh in [false, true] {
            let mut connection = match self.http1.take().filter(|_| !fresh) {
                Some(connection) => connection,
                None => match client::connect(self.address, None).await {
                    Ok(stream) => h1::Connection::new(stream),
                    Err(error) => return Outcome::Closed(format!("{error:#}")),
                },
            };
            match connection.exchange(request).await {
                Ok(response) => {
                    // After an early refusal the rest of the body is still on its way: not a line to keep.
                    let close =
                        response.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
                    if !close && response.status < 400 {
                        self.http1 = Some(connection);
                    }
                    return Outcome::Answered(response);
                }
                Err(error) if fresh => return Outcome::Closed(format!("{error:#}")),
                Err(_) => {}
            }
        }
        Outcome::Closed("no connection".to_owned())
    }

    async fn over_http2(&mut self, request: &Request) -> Outcome {
        for fresh in [false, true] {
            let mut connection = match self.http2.take().filter(|_| !fresh) {
                Some(connection) => connection,
                None => match client::connect(self.address, None).await {
                    Ok(stream) => match h2::Connection::new(stream).await {
                        Ok(connection) => connection,
                        Err(error) => return Outcome::Closed(format!("{error:#}")),
                    },
                    Err(error) => return Outcome::Closed(format!("{error:#}")),
                },
            };
            match connection.exchange(request).await {
                Ok(response) => {
                    self.http2 = Some(connection);
                    return Outcome::Answered(response);
                }
                Err(error) if fresh => return Outcome::Closed(format!("{error:#}")),
                Err(_) => {}
            }
        }
        Outcome::Closed("no connection".to_owned())
    }

    async fn raw(&mut self, bytes: &[u8]) -> Outcome {
        let exchange = async {
            let mut connection = h1::Connection::new(client::connect(self.address, None).await?);
            let (sender, receiver) = connection.halves();
            let sending = async {
                sender.send_raw(bytes).await?;
                // The end of the stream is all that ends some of these.
                sender.finish().await
            };
            let (_, received) = tokio::join!(sending, receiver.receive("GET"));
            received
        };
        match exchange.await {
            Ok(response) => Outcome::Answered(response),
            Err(error) => Outcome::Closed(format!("{error:#}")),
        }
    }
}

impl Tally {
    fn count(&mut self, outcome: &Outcome, attempt: &Attempt, number: usize, protocol: Protocol) {
        let name = match outcome {
            Outcome::Answered(response) => response.status.to_string(),
            Outcome::Closed(_) if protocol == Protocol::Http2 => "stream reset (HTTP/2)".to_owned(),
            Outcome::Closed(_) => "connection closed (half requests)".to_owned(),
            Outcome::Hangs => "hangs".to_owned(),
        };
        *self.outcomes.entry(name).or_default() += 1;
        let wrong = match outcome {
            Outcome::Answered(response) => {
                if let Some(reason) = response.reason() {
                    *self.reasons.entry(reason).or_default() += 1;
                }
                (response.status >= 500).then(|| {
                    let body: String = String::from_utf8_lossy(&response.body).chars().take(200).collect();
                    format!("answered with {} {body}", response.status)
                })
            }
            // Envoy's codec answers a malformed HTTP/1.1 head, and resets an HTTP/2 stream.
            Outcome::Closed(why) if protocol == Protocol::Http1 && matches!(attempt, Attempt::Whole(_)) => {
                Some(format!("not answered: {why}"))
            }
            Outcome::Closed(_) => None,
            Outcome::Hangs => Some("hangs".to_owned()),
        };
        if let Some(wrong) = wrong {
            let shown: String = format!("{attempt:?}").chars().take(600).collect();
            self.failures.push(format!("#{number} over {protocol}: {wrong}: {shown}"));
        }
    }

    /// The tally as one line.
    #[must_use]
    pub fn line(&self) -> String {
        let list = |counts: &BTreeMap<String, usize>| {
            counts.iter().map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join(", ")
        };
        format!("{}\n    reasons: {}", list(&self.outcomes), list(&self.reasons))
    }
}
