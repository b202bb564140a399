//! A server over a directory of its own, and clients for it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bartizan_compiler::artifact;
use bartizan_engine::envelope::Trust;
use bartizan_engine::envelope::key::{hex, sha256};
use bartizan_publish::serve::log::Form;
use bartizan_publish::serve::{Config, Limits, Log, Server};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An envelope around something. Whether it is a bundle is not the server's business.
pub(crate) fn artifact(number: u32) -> Vec<u8> {
    artifact::envelope(format!("{{\"number\":{number}}}").as_bytes(), &[]).unwrap()
}

/// An envelope of about so many bytes.
pub(crate) fn large(bytes: usize) -> Vec<u8> {
    artifact::envelope(&vec![b'x'; bytes / 4 * 3], &[]).unwrap()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

pub(crate) fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", digest(bytes))
}

/// What a log says, for the test that reads it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

pub(crate) struct Bed {
    // The directory that is served lies in another, so that there is an outside.
    directory: TempDir,
    pub(crate) server: Server,
    pub(crate) lines: Lines,
}

impl Bed {
    pub(crate) async fn new(files: &[(&str, &[u8])], limits: Limits) -> Self {
        Self::with(files, limits, None, Form::Text).await
    }

    pub(crate) async fn with(
        files: &[(&str, &[u8])],
        limits: Limits,
        trust: Option<Trust>,
        form: Form,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let served = directory.path().join("served");
        std::fs::create_dir(&served).unwrap();
        for (name, bytes) in files {
            std::fs::write(served.join(name), bytes).unwrap();
        }
        let lines = Lines::default();
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), paths: vec![served], trust, limits };
        let server = Server::start(config, Log::new(form, Box::new(lines.clone()))).await.unwrap();
        Self { directory, server, lines }
    }

    /// A server over something that the test has made.
    pub(crate) fn of(directory: TempDir, server: Server, lines: Lines) -> Self {
        Self { directory, server, lines }
    }

    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("served").join(name)
    }

    /// Replaces a file in one step.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let (path, whole) = (self.path(name), self.path(&format!("{name}.whole")));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&whole, bytes).unwrap();
        std::fs::rename(whole, path).unwrap();
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address()).await.unwrap()
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        ask(self.server.address(), method, path, headers).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask("GET", path, headers).await
    }

    /// Asks beside the test.
    pub(crate) fn spawn(&self, path: &str, headers: &str) -> JoinHandle<Answer> {
        let (address, path, headers) = (self.server.address(), path.to_owned(), headers.to_owned());
        tokio::spawn(async move { ask(address, "GET", &path, &headers).await })
    }

    pub(crate) async fn h2(&self) -> H2 {
        let (client, connection) = h2::client::handshake(self.connect().await).await.unwrap();
        tokio::spawn(connection);
        H2(client)
    }

    /// Waits for a line of the log.
    pub(crate) async fn says(&self, what: &str) {
        for _ in 0..100 {
            if self.lines.text().contains(what) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not said: {what}\n{}", self.lines.text());
    }

    /// Waits until there are so few connections.
    pub(crate) async fn connections(&self, most: usize) {
        for _ in 0..100 {
            if self.server.connections() <= most {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} connections", self.server.connections());
    }

    /// Waits until something is served.
    pub(crate) async fn serves(&self, path: &str, status: u16, bytes: &[u8]) {
        for _ in 0..100 {
            let answer = self.get(path, "").await;
            if answer.status == status && (status != 200 || answer.body == bytes) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} is not served\n{}", self.lines.text());
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let all = rest(stream).await;
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("{method} {path}: {}", String::from_utf8_lossy(&all)));
    let (head, body) = all.split_at(end);
    let head = String::from_utf8(head.to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Answer { status, headers, body: body.strip_prefix(b"\r\n\r\n").unwrap().to_vec() }
}

/// Asks for something with a length, and keeps the connection.
pub(crate) async fn keep_alive(mut stream: TcpStream, path: &str) -> TcpStream {
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nif-none-match: *\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        got.push(byte[0]);
    }
    assert!(got.starts_with(b"HTTP/1.1 304 "), "{}", String::from_utf8_lossy(&got));
    stream
}

/// What comes until the connection ends, in whatever way.
pub(crate) async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut all)).await.unwrap();
    all
}

/// A connection of HTTP/2.
#[derive(Clone)]
pub(crate) struct H2(SendRequest<Bytes>);

impl H2 {
    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://x{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut client = self.0.clone().ready().await.unwrap();
        let (response, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
        let (head, mut body) = response.await.unwrap().into_parts();
        let mut all = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.unwrap();
            body.flow_control().release_capacity(chunk.len()).unwrap();
            all.extend_from_slice(&chunk);
        }
        let headers =
            head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Answer { status: head.status.as_u16(), headers: headers.collect(), body: all }
    }
}
