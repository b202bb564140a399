//! The engine alone, compiled as the filter is: what a request costs inside of it, without Envoy around.
//!
//! `run.mjs` puts a plan into the buffer and calls `load`, then credentials and calls `run`.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made ends")]

use std::cell::RefCell;

use bartizan_engine::host::{Now, testing::TestHost};
use bartizan_engine::pipeline::{Engine, Exchange, Step, Surroundings};
use bartizan_engine::plan::Plan;
use bartizan_engine::trace::Trace;

/// Within the times of all credentials of `run.mjs`.
const NOW: Now = Now::from_secs(1_800_000_000);

/// The secret of its tokens.
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Where the next input of this size is to be written.
#[unsafe(no_mangle)]
pub extern "C" fn buffer(size: usize) -> *mut u8 {
    BUFFER.with_borrow_mut(|buffer| {
        *buffer = vec![0; size];
        buffer.as_mut_ptr()
    })
}

/// Loads the plan in the buffer.
#[unsafe(no_mangle)]
pub extern "C" fn load() {
    let plan = Plan::parse(&BUFFER.take()).unwrap();
    let secret = |_: &str| Some(SECRET.to_vec());
    let surroundings =
        Surroundings { secret: &secret, seed: [1, 2], peer_appended: false, peer_verified: false };
    ENGINE.set(Some(Engine::load(plan, &surroundings).unwrap()));
}

/// Sends requests, with the headers in the buffer in turn: each on a line, its name, a space, its value. Answers how many
/// were let through.
#[unsafe(no_mangle)]
pub extern "C" fn run(public: bool, requests: usize) -> usize {
    let text = BUFFER.with_borrow(|buffer| String::from_utf8(buffer.clone())).unwrap();
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let path: &[u8] = if public { b"/public" } else { b"/guarded" };
    let mut host = TestHost::with_peer("127.0.0.1");
    ENGINE.with_borrow_mut(|engine| {
        let engine = engine.as_mut().unwrap();
        let sent = lines.iter().cycle().take(requests);
        let let_through = sent.filter(|(name, value)| {
            let headers: [(&[u8], &[u8]); 6] = [
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":authority", b"api.example.com"),
                (b":path", path),
                (b"user-agent", b"bench"),
                (name.as_bytes(), value.as_bytes()),
            ];
            let mut exchange = Exchange::default();
            let step = engine.request_head(&mut exchange, &headers, true, NOW, &mut host, &mut Trace::off());
            step == Step::Continue
        });
        let_through.count()
    })
}
