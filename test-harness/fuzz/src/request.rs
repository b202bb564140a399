//! Whole requests through the module: nothing traps, nothing hangs, and the decision is that of the engine.
//!
//! An input is up to four requests with `---` in a line between them. Each is written like a request of HTTP/1.1, and what
//! HTTP does not say begins with `@`:
//!
//! ```text
//! POST /items/7?x=1
//! authorization: Bearer {writer}
//! content-type: application/json
//! @http 2
//! @chunks 3 5
//! @trailer x: y
//! @peer 203.0.113.9
//!
//! {"name": "a"}
//! ```

use std::cell::RefCell;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use bartizan_cases::mint::keys::{KeyName, Slot};
use bartizan_engine::authentication::plan::Algorithm;
use bartizan_engine::headers::Edit;
use bartizan_engine::host::testing::TestHost;
use bartizan_engine::pipeline::Engine;
use bartizan_host::{Answer, HeaderKind, HeaderMap, Module, Outcome, Protocol, Proxy, Request};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::fixture::{self, Judged, Lines, NOW_S, PLAN, SECRET};

/// The most requests of one input.
const REQUESTS: usize = 4;

/// Where the built module is: `BARTIZAN_WASM`, or what `make wasm` leaves.
pub fn module_path() -> PathBuf {
    std::env::var_os("BARTIZAN_WASM").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/bartizan.wasm")),
        PathBuf::from,
    )
}

static MODULE: LazyLock<Module> = LazyLock::new(|| {
    let path = module_path();
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run `make wasm`", path.display()));
    Module::load_cached(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
});

/// The module in a proxy, and the engine beside it.
struct Both {
    proxy: Proxy,
    engine: Engine,
}

const VM_ID: &str = "fuzz";

impl Both {
    fn new() -> Self {
        let configuration = serde_json::json!({ "plan": *PLAN }).to_string();
        let proxy = Proxy::builder(&MODULE)
            .vm_id(VM_ID)
            .variable(SECRET.0, String::from_utf8_lossy(SECRET.1))
            .allow_on_headers_stop_iteration(true)
            .now(Duration::from_secs(NOW_S))
            .configuration(configuration)
            .start();
        let proxy = proxy.unwrap_or_else(|refused| panic!("the module refuses the plan: {refused}"));
        Self { proxy, engine: fixture::engine() }
    }
}

thread_local! {
    static BOTH: RefCell<Both> = RefCell::new(Both::new());
}

/// Any bytes as a few requests.
pub fn run(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    BOTH.with_borrow_mut(|both| {
        // Nothing is spent yet, here and there.
        both.proxy.shared_data().forget(VM_ID.as_bytes());
        let mut host = TestHost::default();
        let mut accepted = false;
        for written in text.split("\n---\n").take(REQUESTS) {
            accepted |= compare(both, &mut host, &Written::read(written));
        }
        drop(both.proxy.take_log());
        accepted
    })
}

/// Sends a request both ways. True if it was let through.
fn compare(both: &mut Both, host: &mut TestHost, written: &Written) -> bool {
    // What the module sees is Envoy's header map, in which some lines are joined.
    let map = HeaderMap::from_pairs(HeaderKind::Request, written.head.iter().map(|(n, v)| (n, v)));
    host.peer = Some(written.peer);
    let frames = written.frames();
    let frames: Vec<(&[u8], bool)> = frames.iter().map(|(piece, end)| (piece.as_slice(), *end)).collect();
    let trailers = !written.trailers.is_empty();
    let judged = fixture::send_to(&mut both.engine, host, &map.as_pairs().to_vec(), &frames, trailers);
    let answer = both.proxy.worker(0).send(written.request());
    if let Some(why) = both.proxy.worker(0).failure() {
        panic!("the module fell over: {why}\n{written:?}");
    }
    assert_ne!(answer.outcome(), Outcome::Hangs, "the request hangs: {written:?}");
    agree(written, &map, &judged, &answer);
    judged.outcome.is_ok()
}

fn agree(written: &Written, map: &HeaderMap, judged: &Judged, answer: &Answer) {
    let head = written.head.iter().any(|(name, value)| name == b":method" && value == b"HEAD");
    match &judged.outcome {
        Err(refusal) => {
            let told = (answer.status(), String::from_utf8_lossy(answer.body()).into_owned());
            let problem = if head { String::new() } else { refusal.problem() };
            assert_eq!(told, (refusal.reason.status(), problem), "{refusal:?} {written:?}");
            for (name, value) in &refusal.headers {
                assert_eq!(answer.header(name), Some(value.as_bytes()), "{name}: {written:?}");
            }
            let complete = answer.upstream().is_some_and(|seen| seen.complete);
            assert!(!complete, "what is refused got to upstream: {written:?}");
            assert_eq!(answer.upstream().is_some(), judged.opened, "{written:?}");
        }
        Ok(_) => {
            assert_eq!(answer.status(), 200, "let through by the engine: {written:?}");
            let seen = answer.upstream().unwrap_or_else(|| panic!("upstream saw nothing: {written:?}"));
            let mut expected = map.clone();
            judged.edits.iter().for_each(|edit| apply(edit.borrowed(), &mut expected));
            assert_eq!(seen.headers, expected, "{written:?}");
            assert!(seen.complete, "{written:?}");
            assert_eq!(seen.body, written.body.concat(), "{written:?}");
            assert!(seen.trailers.as_ref().is_none_or(|map| map.as_pairs().is_empty()), "{written:?}");
        }
    }
    for edit in &judged.response {
        if let Edit::Set(name, value) = edit {
            assert_eq!(answer.header(&**name), Some(value.as_bytes()), "{name}: {written:?}");
        }
    }
}

fn apply(edit: Edit<&str>, map: &mut HeaderMap) {
    match edit {
        Edit::Remove(name) => drop(map.remove(name)),
        Edit::Set(name, value) => map.set(name, value),
        Edit::Add(name, value) => map.add(name, value),
    }
}

/// A request as an input describes it.
#[derive(Debug)]
struct Written {
    head: Lines,
    body: Vec<Vec<u8>>,
    trailers: Lines,
    http: Protocol,
    peer: IpAddr,
}

impl Written {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").map_or((text, None), |(head, body)| (head, Some(body)));
        let mut lines = head.lines();
        let (method, path) = lines.next().unwrap_or_default().split_once(' ').unwrap_or(("GET", "/"));
        let mut written = Self {
            head: fixture::line(method, with_tokens(path).as_bytes()),
            body: Vec::new(),
            trailers: Vec::new(),
            http: Protocol::Http1,
            peer: IpAddr::from([192, 0, 2, 1]),
        };
        let mut sizes = Vec::new();
        for line in lines {
            match line.strip_prefix('@').map(|line| line.split_once(' ').unwrap_or((line, ""))) {
                Some(("http", "2")) => written.http = Protocol::Http2,
                Some(("chunks", list)) => {
                    sizes = list.split(' ').filter_map(|size| size.parse().ok()).collect()
                }
                Some(("trailer", line)) => written.trailers.push(header(line)),
                Some(("peer", peer)) => written.peer = peer.parse().unwrap_or(written.peer),
                Some(_) => {}
                None => written.put(header(line)),
            }
        }
        if let Some(body) = body {
            written.body = cut(body.as_bytes(), &sizes);
        }
        written
    }

    /// Adds a header. What every request has is replaced, and other pseudo-headers; `host` is `:authority`.
    fn put(&mut self, (name, value): (Vec<u8>, Vec<u8>)) {
        let name = if name == b"host" { b":authority".to_vec() } else { name };
        let once = name.starts_with(b":") || name == b"x-forwarded-for";
        match self.head.iter_mut().find(|(other, _)| once && *other == name) {
            Some((_, present)) => *present = value,
            None => self.head.push((name, value)),
        }
    }

    fn request(&self) -> Request {
        let mut request = Request::new("", "").protocol(self.http).peer((self.peer, 50_000));
        for (name, value) in &self.head {
            request = request.header(name, value);
        }
        for piece in &self.body {
            request = request.body(piece.clone());
        }
        for (name, value) in &self.trailers {
            request = request.trailer(name, value);
        }
        request
    }

    /// The frames of the body as Envoy brings them: with HTTP/1.1 the end comes behind the last piece, with HTTP/2
    /// in it, and trailers carry it themselves.
    fn frames(&self) -> Vec<(Vec<u8>, bool)> {
        let trailers = !self.trailers.is_empty();
        let last = self.body.len().saturating_sub(1);
        let marks = self.http == Protocol::Http2 && !trailers;
        let pieces = self.body.iter().enumerate();
        let mut frames: Vec<_> = pieces.map(|(at, piece)| (piece.clone(), marks && at == last)).collect();
        if self.http == Protocol::Http1 && !trailers && !frames.is_empty() {
            frames.retain(|(piece, _)| !piece.is_empty());
            frames.push((Vec::new(), true));
        }
        frames
    }
}

fn header(line: &str) -> (Vec<u8>, Vec<u8>) {
    let colon = line.bytes().skip(1).position(|b| b == b':').map_or(line.len(), |at| at + 1);
    let (name, value) = line.split_at_checked(colon).unwrap_or((line, ""));
    let value = value.strip_prefix(':').unwrap_or_default().trim_start_matches(' ');
    (name.to_ascii_lowercase().into_bytes(), with_tokens(value).into_bytes())
}

fn cut(body: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut rest = body;
    for size in sizes.iter().take(16) {
        let (piece, after) = rest.split_at_checked(*size).unwrap_or((rest, &[]));
        pieces.push(piece.to_vec());
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(rest.to_vec());
    }
    pieces
}

/// Tokens by the name that inputs give them.
static TOKENS: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let claims = |issuer: &str, exp: u64, more: &str| {
        format!(r#"{{"iss":"https://{issuer}.example/","aud":"fuzz","exp":{exp},"sub":"me"{more}}}"#)
    };
    let local = |exp, more: &str| {
        let token = fixture::signed(br#"{"alg":"HS256"}"#, claims("local", exp, more).as_bytes());
        String::from_utf8(token).expect("a token is text")
    };
    let key = KeyName { algorithm: Algorithm::ES256, slot: Slot::First };
    let header = format!(r#"{{"alg":"ES256","kid":"{key}"}}"#);
    let payload = claims("corp", 4_102_444_800, "");
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = key.sign(Algorithm::ES256, input.as_bytes()).expect("the test key signs");
    vec![
        ("{local}", local(4_102_444_800, "")),
        ("{writer}", local(4_102_444_800, r#","realm":{"roles":["writer"]}"#)),
        ("{seven}", local(4_102_444_800, r#","permissions":["items:read:7","items:write:7"]"#)),
        ("{expired}", local(NOW_S - 1000, "")),
        ("{corp}", format!("{input}.{}", URL_SAFE_NO_PAD.encode(&signature))),
        ("{forged}", format!("{input}.{}", URL_SAFE_NO_PAD.encode([7; 64]))),
    ]
});

fn with_tokens(text: &str) -> String {
    let mut text = text.to_owned();
    for (mark, token) in TOKENS.iter() {
        if text.contains(mark) {
            text = text.replacen(mark, token, 2);
        }
    }
    text
}
