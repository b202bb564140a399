//! Requests without end, in flat memory.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bartizan_cases::chance::Chance;
use bartizan_cases::format::Token;
use bartizan_host::{Module, Proxy, Request, Response};
use serde_json::json;

use crate::memory;
use crate::policy::{Policy, library, usual};

/// How many clients there are, each with an address and a token.
const CLIENTS: u8 = 50;

/// How much more of the process may be resident in the end than after the first tenth: what allocators keep in reserve.
const SLACK: u64 = 8 << 20;

/// After how many requests tokens are renewed: before they expire, for the clock moves a minute with every thousand.
const TOKENS_LAST: u64 = 500_000;

const READING: &str =
    r#"{"sensor_id":"s-1","timestamp":"2026-01-01T10:00:00Z","temperature":21.5,"humidity":40}"#;
const BAD_READING: &str =
    r#"{"sensor_id":"s-1","timestamp":"2026-01-01T10:00:00Z","temperature":121.5,"humidity":40}"#;

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Requests sent.
    pub requests: u64,
    /// Requests let through.
    pub admitted: u64,
    /// Linear memory of all VMs, which is the same after a tenth and in the end.
    pub linear: usize,
    /// How long it took.
    pub time: Duration,
}

/// Sends requests of many kinds from many clients to the policy `iot-gateway`.
///
/// # Errors
/// If one traps or hangs or is judged wrongly, or if the linear memory grows.
pub fn run(module: &Module, requests: u64, seed: u64) -> Result<Tally> {
    let policy = library("iot-gateway")?;
    let proxy = policy.proxy(module, &usual()).workers(2).start()?;
    let mut tokens = Vec::new();
    let mut chance = Chance::new(seed);
    let mut tally = Tally::default();
    let started = Instant::now();
    let mut before = None;
    for number in 0..requests {
        if number == requests / 10 {
            before = Some((proxy.memory(), memory::resident()?));
        }
        if number.is_multiple_of(TOKENS_LAST) {
            tokens = mint(&policy, &proxy)?;
        }
        if number.is_multiple_of(1000) {
            // Budgets fill again.
            proxy.advance(Duration::from_secs(60));
            drop(proxy.take_log());
        }
        let (request, wanted) = request(&mut chance, &tokens);
        let answer = proxy.worker(chance.below(2)).send(request);
        let status = answer.status();
        ensure!(
            status == wanted || status == 429,
            "request {number} with seed {seed} got {status} and not {wanted}: {}",
            String::from_utf8_lossy(answer.body())
        );
        ensure!(
            answer.upstream().is_some() == (status == 200),
            "request {number}: {status}, and upstream saw it"
        );
        tally.admitted += u64::from(status == 200);
    }
    tally.time = started.elapsed();
    tally.requests = requests;
    let (linear, resident) = before.context("no requests")?;
    memory::check_linear(&linear, &proxy.memory(), 0)?;
    tally.linear = memory::linear(&proxy.memory());
    let now = memory::resident()?;
    ensure!(
        now <= resident.saturating_add(SLACK),
        "the process has grown from {} to {} between the first tenth and the end",
        memory::mib(resident),
        memory::mib(now)
    );
    Ok(tally)
}

/// One token for each client.
fn mint(policy: &Policy, proxy: &Proxy) -> Result<Vec<String>> {
    let now = proxy.now().as_secs();
    let token = |client: u8| {
        // The policy wants tokens that live for a day at most.
        let claims = [("exp".to_owned(), json!("+24h"))].into();
        let token =
            Token { alg: Some("ES256".into()), roles: Some(json!(["operator"])), claims, ..Token::default() };
        policy.token(&token, now, &format!("client-{client}"))
    };
    (0..CLIENTS).map(token).collect()
}

/// A request and the status that it gets as long as there is budget.
fn request(chance: &mut Chance, tokens: &[String]) -> (Request, u16) {
    let client = chance.below(tokens.len());
    let address = [10, 0, 0, u8::try_from(client).unwrap_or(0)];
    let token = format!("Bearer {}", tokens.get(client).map_or("", String::as_str));
    let with_token = |request: Request| request.header("authorization", &token);
    let telemetry = |body: &str| {
        let request =
            with_token(Request::post("/api/v1/telemetry")).header("content-type", "application/json");
        request.body(body)
    };
    let (request, status) = match chance.below(10) {
        0 => (Request::get("/healthz"), 200),
        1 | 2 => (with_token(Request::get("/api/v1/sensors?page=2")), 200),
        3 => (with_token(Request::get("/api/v1/sensors/sensor-7/telemetry")), 200),
        4 => (Request::get("/api/v1/sensors"), 401),
        5 => (with_token(Request::new("DELETE", "/api/v1/users/7")), 403),
        6 => (telemetry(READING), 200),
        7 => (telemetry(BAD_READING), 400),
        8 => (with_token(Request::get("/api/v1/sensors?q=%27%20OR%201=1--")), 403),
        _ => (Request::get("/nothing/here"), 404),
    };
    let upstream = Response::new(200).header("server", "upstream").body("hello");
    let request = request.peer((address, 50_000)).header("x-auth-subject", "mallory").upstream(upstream);
    (request, status)
}
