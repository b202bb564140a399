//! A bundle server that does what it is told, also what no server should.
//!
//! It writes bytes to the connection by itself: a library would refuse to send half of this. Each answer has a connection
//! of its own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bartizan_engine::envelope::key::{hex, sha256};
use bartizan_publish::MEDIA_TYPE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::registry;

/// The largest head of a request that is read.
const MAX_HEAD: usize = 64 * 1024;

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Answers with an artifact and its ETag; with 304 to whom has it already.
    Publish(Vec<u8>),
    /// Answers as a registry that has this manifest, under whatever name, and this blob.
    Registry { manifest: Vec<u8>, blob: Vec<u8> },
    /// Answers with JSON by the path, and its ETag; with 304 to whom has it already, and with 404 elsewhere.
    Documents(BTreeMap<String, Vec<u8>>),
    /// Sends bytes, and then this.
    Send(Vec<u8>, Then),
    /// Does this, but not yet.
    Later(Pause, Box<Behaviour>),
}

/// How long a server thinks.
#[derive(Debug, Clone)]
pub(crate) enum Pause {
    /// So long.
    For(Duration),
    /// Until this is closed.
    Until(Arc<Semaphore>),
}

impl Pause {
    async fn pass(&self) {
        match self {
            Self::For(time) => tokio::time::sleep(*time).await,
            // Nobody adds permits: this ends when it is closed for good, which lets everybody pass.
            Self::Until(gate) => drop(gate.acquire().await),
        }
    }
}

/// What follows bytes that were sent.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    /// The end of the connection.
    Close,
    /// Nothing, for as long as the other side waits.
    Hold,
    /// These bytes, one by one with a pause.
    Trickle(Vec<u8>),
    /// Pieces of a chunked body without end.
    Endless,
}

impl Behaviour {
    /// An answer with a length.
    pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self::Send(answer(status, headers, body), Then::Close)
    }

    /// A registry with an artifact.
    pub(crate) fn registry(artifact: &[u8]) -> Self {
        let manifest = registry::manifest(artifact).to_string().into_bytes();
        Self::Registry { manifest, blob: artifact.to_vec() }
    }

    /// A 200 with the media type of an artifact.
    pub(crate) fn artifact(body: &[u8]) -> Self {
        Self::answer("200 OK", &[("content-type", MEDIA_TYPE)], body)
    }
}

/// An answer as bytes.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut wire = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in headers {
        wire.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    // RFC 9110, section 8.6: neither has a body, nor a length.
    if !status.starts_with("204") && !status.starts_with("304") {
        wire.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    wire.extend_from_slice(b"connection: close\r\n\r\n");
    wire.extend_from_slice(body);
    wire
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method and target.
    pub(crate) line: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

struct Shared {
    behaviour: Behaviour,
    asked: Vec<Asked>,
}

/// A running bundle server. It ends when this is dropped.
pub(crate) struct BundleServer {
    address: SocketAddr,
    // Keeps the port while nobody listens, so that connections are refused and nobody else gets it.
    _reserved: TcpSocket,
    shared: Arc<Mutex<Shared>>,
    accepting: Option<JoinHandle<()>>,
}

impl BundleServer {
    /// Starts a server on a free port of the loopback.
    pub(crate) fn start(behaviour: Behaviour) -> Result<Self> {
        let reserved = TcpSocket::new_v4()?;
        reserved.set_reuseport(true)?;
        reserved.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = reserved.local_addr()?;
        let shared = Arc::new(Mutex::new(Shared { behaviour, asked: Vec::new() }));
        let mut server = Self { address, _reserved: reserved, shared, accepting: None };
        server.open()?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does this from now on.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        locked(&self.shared).behaviour = behaviour;
    }

    /// The requests since this was asked last.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut locked(&self.shared).asked)
    }

    /// Breaks all connections and refuses new ones.
    pub(crate) async fn close(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
    }

    /// Takes connections again.
    pub(crate) fn open(&mut self) -> Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseport(true)?;
        socket.bind(self.address)?;
        let listener = socket.listen(128).context("the bundle server cannot listen")?;
        self.accepting = Some(tokio::spawn(accept(listener, Arc::clone(&self.shared))));
        Ok(())
    }
}

impl Drop for BundleServer {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    // Ends with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // A connection that breaks is the other side's doing, and its side tells.
            let _ = serve(stream, &shared).await;
        });
    }
}

async fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) -> Result<()> {
    stream.set_nodelay(true)?;
    let Some(asked) = read(&mut stream).await? else { return Ok(()) };
    let etag = asked.header("if-none-match").map(str::to_owned);
    let of_manifest = asked.line.contains("/manifests/");
    let path = asked.line.split_once(' ').map_or("", |(_, path)| path).to_owned();
    let mut behaviour = {
        let mut shared = locked(shared);
        shared.asked.push(asked);
        shared.behaviour.clone()
    };
    while let Behaviour::Later(pause, then) = behaviour {
        pause.pass().await;
        behaviour = *then;
    }
    let (bytes, then) = match behaviour {
        Behaviour::Publish(artifact) => (tagged(MEDIA_TYPE, &artifact, etag.as_deref()), Then::Close),
        Behaviour::Documents(documents) => {
            let found = documents.get(&path);
            let told = found.map(|document| tagged("application/json", document, etag.as_deref()));
            (told.unwrap_or_else(|| answer("404 Not Found", &[], b"")), Then::Close)
        }
        Behaviour::Registry { manifest, .. } if of_manifest => {
            (answer("200 OK", &[("content-type", registry::MANIFEST)], &manifest), Then::Close)
        }
        Behaviour::Registry { blob, .. } => {
            (answer("200 OK", &[("content-type", "application/octet-stream")], &blob), Then::Close)
        }
        Behaviour::Send(bytes, then) => (bytes, then),
        Behaviour::Later(..) => return Ok(()),
    };
    stream.write_all(&bytes).await?;
    match then {
        Then::Close => {}
        Then::Hold => gone(&mut stream).await,
        Then::Trickle(rest) => {
            for byte in rest {
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.write_all(&[byte]).await?;
            }
        }
        Then::Endless => {
            let piece = [b"10000\r\n".as_slice(), &[b'a'; 65536], b"\r\n"].concat();
            loop {
                stream.write_all(&piece).await?;
            }
        }
    }
    // Whoever closes with something unread resets, and the other side may lose what was sent.
    stream.shutdown().await?;
    gone(&mut stream).await;
    Ok(())
}

/// A document with its ETag, or that it has not changed.
fn tagged(media_type: &str, document: &[u8], etag: Option<&str>) -> Vec<u8> {
    let own = format!("\"{}\"", hex(&sha256(document)));
    let headers = [("content-type", media_type), ("etag", &own)];
    if etag == Some(own.as_str()) {
        answer("304 Not Modified", &headers, b"")
    } else {
        answer("200 OK", &headers, document)
    }
}

/// Waits until the other side has closed.
async fn gone(stream: &mut TcpStream) {
    let mut bytes = [0; 1024];
    while matches!(stream.read(&mut bytes).await, Ok(read) if read > 0) {}
}

async fn read(stream: &mut TcpStream) -> Result<Option<Asked>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Some(Asked { line, headers }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Protocol, Silence, send};
    use crate::message::Request;

    #[tokio::test]
    async fn publishes_once_and_says_not_modified_then() {
        let server = BundleServer::start(Behaviour::Publish(b"{}".to_vec())).unwrap();
        let request = Request::new("GET", "/edge.bundle");
        let first = send(server.address(), None, Protocol::Http1, &request).await.unwrap();
        assert_eq!((first.status, first.body.as_slice()), (200, b"{}".as_slice()));
        let etag = first.header("etag").unwrap().to_owned();
        let again = request.clone().header("if-none-match", &etag);
        assert_eq!(send(server.address(), None, Protocol::Http1, &again).await.unwrap().status, 304);
        server.behave(Behaviour::Publish(b"[]".to_vec()));
        assert_eq!(send(server.address(), None, Protocol::Http1, &again).await.unwrap().body, b"[]");
        let asked = server.asked();
        assert_eq!(asked.len(), 3);
        assert_eq!(asked.last().and_then(|asked| asked.header("if-none-match")), Some(etag.as_str()));
        assert_eq!(asked.first().map(|asked| asked.line.as_str()), Some("GET /edge.bundle"));
    }

    #[tokio::test]
    async fn is_away_and_comes_back_at_the_same_port() {
        let mut server = BundleServer::start(Behaviour::artifact(b"{}")).unwrap();
        let request = Request::new("GET", "/");
        for _ in 0..3 {
            assert_eq!(send(server.address(), None, Protocol::Http1, &request).await.unwrap().status, 200);
            server.close().await;
            let told = send(server.address(), None, Protocol::Http1, &request).await;
            assert!(matches!(told, Err(Silence::Unsent(_))), "{told:?}");
            server.open().unwrap();
        }
    }
}
