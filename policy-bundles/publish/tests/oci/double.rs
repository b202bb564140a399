//! A registry that stands in for a real one, over real sockets: it keeps what it is given, writes down what it is asked, and
//! does something else where a test says so.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bartizan_engine::envelope::key::{hex, sha256};

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&sha256(bytes)))
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.target.contains(part)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status, headers and a body.
    With(u16, Vec<(String, String)>, Vec<u8>),
    /// Nothing: the connection is closed.
    Close,
    /// Nothing, for as long as this.
    Sleep(Duration),
    /// These bytes.
    Raw(Vec<u8>),
}

/// A reply with a status, headers and a body.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Reply::With(status, headers.collect(), body.to_vec())
}

type Hook = Box<dyn Fn(&Asked) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
struct Kept {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, Vec<u8>>,
    asked: Vec<Asked>,
}

/// The registry. Its thread ends with the process.
pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    hook: Arc<Mutex<Option<Hook>>>,
}

impl Double {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let double =
            Self { address: listener.local_addr().unwrap(), kept: Arc::default(), hook: Arc::default() };
        let (kept, hook) = (Arc::clone(&double.kept), Arc::clone(&double.hook));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, hook) = (Arc::clone(&kept), Arc::clone(&hook));
                std::thread::spawn(move || serve(stream, &kept, &hook));
            }
        });
        double
    }

    /// Does something else for some requests.
    pub(crate) fn when(&self, hook: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }

    /// What it was asked since the last time, and forgets it.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.kept.lock().unwrap().asked)
    }

    /// The same as text: `HEAD manifests/v1`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let short = |asked: &Asked| {
            let target = asked.target.split('?').next().unwrap();
            format!("{} {}", asked.method, target.strip_prefix("/v2/edge/").unwrap_or(target))
        };
        self.asked().iter().map(short).collect()
    }

    pub(crate) fn manifest(&self, which: &str) -> Option<Vec<u8>> {
        self.kept.lock().unwrap().manifests.get(which).cloned()
    }

    pub(crate) fn put(&self, tag: &str, manifest: &[u8], blob: &[u8]) {
        let mut kept = self.kept.lock().unwrap();
        kept.manifests.insert(tag.to_owned(), manifest.to_vec());
        kept.manifests.insert(digest(manifest), manifest.to_vec());
        kept.blobs.insert(digest(blob), blob.to_vec());
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Kept>, hook: &Mutex<Option<Hook>>) {
    let Some(asked) = read(&mut stream) else { return };
    kept.lock().unwrap().asked.push(asked.clone());
    let special = hook.lock().unwrap().as_ref().and_then(|hook| hook(&asked));
    let reply = special.unwrap_or_else(|| answer(&asked, &mut kept.lock().unwrap()));
    match reply {
        Reply::Close => {}
        Reply::Sleep(time) => std::thread::sleep(time),
        Reply::Raw(bytes) => drop(stream.write_all(&bytes)),
        Reply::With(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
            if !headers.iter().any(|(name, _)| name == "content-length") {
                head += &format!("content-length: {}\r\n", body.len());
            }
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            let _ = stream.write_all(format!("{head}\r\n").as_bytes());
            if asked.method != "HEAD" {
                let _ = stream.write_all(&body);
            }
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        all.extend_from_slice(&byte);
    }
    let head = String::from_utf8(all).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers: Vec<_> = lines
        .map(|line| line.split_once(": ").unwrap_or((line, "")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some(Asked { method, target, headers, body })
}

/// What a registry does.
fn answer(asked: &Asked, kept: &mut Kept) -> Reply {
    let none = || reply(404, &[], b"{\"errors\":[{\"code\":\"UNKNOWN\",\"message\":\"not known\"}]}");
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let Some(what) = path.strip_prefix("/v2/edge/") else { return none() };
    let upload = "blobs/uploads/";
    match (asked.method.as_str(), what) {
        ("POST", what) if what == upload => {
            reply(202, &[("location", "/v2/edge/blobs/uploads/1?_state=x")], b"")
        }
        ("PUT", "blobs/uploads/1") => {
            let is = digest(&asked.body);
            if query != format!("_state=x&digest={}", is.replace(':', "%3A")) {
                return reply(400, &[], b"{\"errors\":[{\"code\":\"DIGEST_INVALID\",\"message\":\"no\"}]}");
            }
            kept.blobs.insert(is.clone(), asked.body.clone());
            reply(201, &[("location", &format!("/v2/edge/blobs/{is}")), ("docker-content-digest", &is)], b"")
        }
        ("GET" | "HEAD", what) if what.starts_with("blobs/") => what
            .strip_prefix("blobs/")
            .and_then(|digest| kept.blobs.get(digest))
            .map_or_else(none, |blob| reply(200, &[("content-type", "application/octet-stream")], blob)),
        ("PUT", what) if what.starts_with("manifests/") => {
            let (is, tag) = (digest(&asked.body), what.strip_prefix("manifests/").unwrap());
            kept.manifests.insert(tag.to_owned(), asked.body.clone());
            kept.manifests.insert(is.clone(), asked.body.clone());
            reply(201, &[("docker-content-digest", &is)], b"")
        }
        ("GET" | "HEAD", what) if what.starts_with("manifests/") => what
            .strip_prefix("manifests/")
            .and_then(|tag| kept.manifests.get(tag))
            .map_or_else(none, |manifest| {
                let kind = "application/vnd.oci.image.manifest.v1+json";
                reply(200, &[("content-type", kind), ("docker-content-digest", &digest(manifest))], manifest)
            }),
        _ => reply(405, &[], b""),
    }
}
