//! What stands behind the proxy: a server that answers with what it received, or with what a case told it to.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::message::Headers;

/// The header by which a case finds its answer, and its record here.
pub const CASE_HEADER: &str = "x-bartizan-case";

/// What upstream saw of one request, up to now.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query, as they arrived.
    pub path: String,
    /// The host or authority.
    pub host: String,
    /// The headers, in order.
    pub headers: Headers,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// The trailers, in order.
    pub trailers: Headers,
    /// Whether the end of the request came.
    pub whole: bool,
}

/// A record that grows while its request arrives. Whoever sends a request may break it off, and the server then
/// drops what handles it: what is written down at the end would be lost.
type Record = Arc<Mutex<Seen>>;

/// What upstream answers to one case.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers; beside them there are only `date` and the framing.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

/// A running upstream. It ends when this is dropped.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    requests: AtomicU64,
    cases: Mutex<HashMap<String, Case>>,
}

#[derive(Default)]
struct Case {
    answer: Option<Answer>,
    seen: Vec<Record>,
    /// Closed until the answers are released.
    gate: Option<Arc<Semaphore>>,
}

impl Upstream {
    /// Starts a server for HTTP/1.1 and HTTP/2 on a free port of the loopback.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests it received since it started.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Lays down what the requests of a case are answered with, and begins to record them.
    pub fn expect(&self, case: &str, answer: Answer) {
        self.shared.cases().insert(case.to_owned(), Case { answer: Some(answer), ..Case::default() });
    }

    /// Begins to record the requests of a case, and keeps the answers back, which are echoes, until they are released.
    pub fn hold(&self, case: &str) {
        let gate = Some(Arc::new(Semaphore::new(0)));
        self.shared.cases().insert(case.to_owned(), Case { gate, ..Case::default() });
    }

    /// Lets the answers of a case go, those to come too.
    pub fn release(&self, case: &str) {
        if let Some(gate) = self.shared.cases().get(case).and_then(|case| case.gate.as_ref()) {
            gate.close();
        }
    }

    /// How many requests of a case have come.
    #[must_use]
    pub fn count(&self, case: &str) -> usize {
        self.shared.cases().get(case).map_or(0, |case| case.seen.len())
    }

    /// Ends the record of a case and returns it: each request from the moment its head arrived.
    #[must_use]
    pub fn take(&self, case: &str) -> Vec<Seen> {
        let records = self.shared.cases().remove(case).unwrap_or_default().seen;
        records.iter().map(|record| locked(record).clone()).collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn cases(&self) -> MutexGuard<'_, HashMap<String, Case>> {
        locked(&self.cases)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let some connections end first.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
        tokio::spawn(async move {
            // A connection that breaks is the proxy's or the client's doing; the client's side reports it.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: http::Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let case = request.headers().get(CASE_HEADER).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (head, body) = request.into_parts();
    let record = Arc::new(Mutex::new(begin(&head)));
    let (mut answer, mut gate) = (None, None);
    if let Some(name) = case
        && let Some(case) = shared.cases().get_mut(&name)
    {
        case.seen.push(Arc::clone(&record));
        answer.clone_from(&case.answer);
        gate.clone_from(&case.gate);
    }
    read(body, &record).await;
    if let Some(gate) = gate {
        // Nobody adds permits: this ends when the gate is closed for good, which lets everybody pass.
        let _ = gate.acquire().await;
    }
    Ok(match answer {
        Some(answer) => reply(answer.status, &answer.headers, answer.body),
        None => echo(&locked(&record)),
    })
}

/// What the head of a request tells.
fn begin(head: &http::request::Parts) -> Seen {
    let host =
        head.headers.get(http::header::HOST).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    Seen {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        host: host.or_else(|| head.uri.authority().map(ToString::to_string)).unwrap_or_default(),
        headers: list(&head.headers),
        ..Seen::default()
    }
}

/// Writes down what follows the head, piece by piece.
async fn read(mut body: Incoming, record: &Record) {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return };
        let mut seen = locked(record);
        if let Some(piece) = frame.data_ref() {
            seen.body.extend_from_slice(piece);
        } else if let Some(trailers) = frame.trailers_ref() {
            seen.trailers = list(trailers);
        }
    }
    locked(record).whole = true;
}

fn list(headers: &http::HeaderMap) -> Headers {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

fn reply(status: u16, headers: &Headers, body: Vec<u8>) -> http::Response<Full<Bytes>> {
    let mut response = http::Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    for (name, value) in headers {
        let name = http::HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Answers with what was received. Like many a real server it says more about itself than it should, so
/// that one sees the proxy take it away.
fn echo(seen: &Seen) -> http::Response<Full<Bytes>> {
    let mut received = BTreeMap::from([
        ("method", json!(seen.method)),
        ("path", json!(seen.path)),
        ("host", json!(seen.host)),
        ("headers", pairs(&seen.headers)),
    ]);
    if !seen.body.is_empty() {
        received.insert("body", text(&seen.body));
    }
    if !seen.trailers.is_empty() {
        received.insert("trailers", pairs(&seen.trailers));
    }
    let headers = [("content-type", "application/json"), ("server", "echo/1.0"), ("x-powered-by", "echo")];
    let headers = headers.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).to_vec();
    let mut body = serde_json::to_vec_pretty(&received).unwrap_or_default();
    body.push(b'\n');
    reply(200, &headers, body)
}

fn pairs(headers: &Headers) -> Value {
    headers.iter().map(|(name, value)| json!([text(name), text(value)])).collect()
}

/// Text as a string, anything else as `{"base64": ...}`.
fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({"base64": BASE64_STANDARD.encode(bytes)}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Protocol, send};
    use crate::message::{Body, Request};

    #[tokio::test]
    async fn echoes_over_both_protocols() {
        let upstream = Upstream::start().await.unwrap();
        for protocol in Protocol::ALL {
            let mut request = Request::new("POST", "/a/b?c=d").header("x-raw", b"\xff").header("x-two", "1");
            request.headers.push((b"x-two".to_vec(), b"2".to_vec()));
            request.body = Body::Pieces {
                pieces: vec![b"ab".to_vec(), b"\xfe".to_vec()],
                sized: false,
                trailers: vec![(b"x-end".to_vec(), b"yes".to_vec())],
            };
            let response = send(upstream.address(), None, protocol, &request).await.unwrap();
            assert_eq!(response.status, 200, "{protocol}");
            let body: Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(body["path"], "/a/b?c=d");
            assert_eq!(body["host"], "api.example.com");
            assert_eq!(body["body"], json!({"base64": "YWL+"}));
            assert_eq!(body["trailers"], json!([["x-end", "yes"]]));
            let headers = body["headers"].as_array().unwrap();
            assert!(headers.contains(&json!(["x-raw", {"base64": "/w=="}])));
            assert!(headers.contains(&json!(["x-two", "1"])) && headers.contains(&json!(["x-two", "2"])));
        }
        assert_eq!(upstream.requests(), 2);
    }

    #[tokio::test]
    async fn a_case_gets_its_own_answer_and_record() {
        let upstream = Upstream::start().await.unwrap();
        let headers = vec![(b"x-a".to_vec(), b"1".to_vec())];
        upstream.expect("7", Answer { status: 204, headers, body: Vec::new() });
        let request = Request::new("GET", "/x").header(CASE_HEADER, "7");
        let response = send(upstream.address(), None, Protocol::Http1, &request).await.unwrap();
        assert_eq!((response.status, response.header("x-a")), (204, Some("1")));
        assert_eq!(response.header("server"), None);
        assert_eq!(upstream.take("7").len(), 1);
        assert!(upstream.take("7").is_empty());
    }

    #[tokio::test]
    async fn an_answer_is_held_until_it_is_released() {
        let upstream = Upstream::start().await.unwrap();
        upstream.hold("7");
        let (address, request) = (upstream.address(), Request::new("GET", "/x").header(CASE_HEADER, "7"));
        let asking = tokio::spawn(async move { send(address, None, Protocol::Http1, &request).await });
        while upstream.count("7") == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert!(!asking.is_finished());
        upstream.release("7");
        assert_eq!(asking.await.unwrap().unwrap().status, 200);
    }

    /// A request that breaks off is recorded as far as it came.
    #[tokio::test]
    async fn what_breaks_off_is_recorded_too() {
        use tokio::io::AsyncWriteExt as _;
        let upstream = Upstream::start().await.unwrap();
        upstream.expect("7", Answer::default());
        let mut stream = tokio::net::TcpStream::connect(upstream.address()).await.unwrap();
        let head = format!("POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n{CASE_HEADER}: 7\r\n\r\nabc");
        stream.write_all(head.as_bytes()).await.unwrap();
        drop(stream);
        let seen = loop {
            let seen: Vec<Seen> = {
                let cases = upstream.shared.cases();
                cases["7"].seen.iter().map(|record| locked(record).clone()).collect()
            };
            if seen.iter().any(|seen| !seen.body.is_empty()) {
                break seen;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        };
        let [seen] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!((seen.path.as_str(), seen.body.as_slice(), seen.whole), ("/x", &b"abc"[..], false));
    }
}
