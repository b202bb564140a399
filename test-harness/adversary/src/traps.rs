//! A VM that fails, and comes back (`FAIL_RELOAD`).
//!
//! The module does not trap by itself, so the host makes it: a callback that uses more fuel than there is fails as if it
//! never returned. A body as large as the policy allows takes more of it than everything else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bartizan_host::{Answer, FailurePolicy, Module, Request, Worker};

use crate::memory;
use crate::policy::{Policy, usual};

const BUNDLE: &str = r#"
apiVersion: bartizan/v1
name: traps
limits: {few: {key: client.address, rate: 3/1h}}
routes:
  - {path: /open, methods: [GET], access: public}
  - {path: /few, methods: [GET], access: public, limits: [few]}
  - {path: /large, methods: [POST], access: public, body: {max_size: 1MiB, json: {max_array: 1000000, max_values: 1000000}}}
"#;

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// VMs that failed and came back.
    pub traps: usize,
    /// The fuel that one callback had.
    pub fuel: u64,
}

/// Makes a VM fail again and again.
///
/// # Errors
/// When it does not come back, comes back without its policy or its budgets, or takes other requests or workers with it.
pub fn run(module: &Module, traps: usize) -> Result<Tally> {
    let policy = Policy::compile(BUNDLE, &[])?;
    let fuel = fuel(module, &policy)?;
    let builder = policy.proxy(module, &usual()).workers(2).fuel(fuel);
    let proxy = builder.failure_policy(FailurePolicy::Reload).start()?;
    let (victim, other) = (proxy.worker(0), proxy.worker(1));
    // The budget of an address is used up before, and stays so.
    for _ in 0..3 {
        ensure!(few(&other).status() == 200, "a budget of three has less");
    }
    let mut before = Vec::new();
    for trap in 0..traps {
        if trap == traps / 4 {
            before = proxy.memory();
        }
        let place = || format!("trap {trap}");
        let mut flying = victim.open();
        flying.request_headers(&request_line("/large"), false);
        let broken = victim.send(large());
        ensure!(broken.status() == 503 && broken.upstream().is_none(), "{}: {}", place(), broken.status());
        ensure!(victim.failure().is_some(), "{}: the VM has not failed", place());
        flying.request_body(b"{}".as_slice(), true);
        let answer = flying.answer();
        ensure!(
            answer.status() == 503 && answer.upstream().is_none(),
            "{}: in flight: {}",
            place(),
            answer.status()
        );
        drop(flying);
        ensure!(open(&victim).status() == 503, "{}: back before a second has passed", place());
        ensure!(open(&other).status() == 200, "{}: the other worker is gone as well", place());
        proxy.advance(Duration::from_millis(1600));
        ensure!(open(&victim).status() == 200, "{}: not back after a second and a half", place());
        ensure!(few(&victim).status() == 429, "{}: the budget was forgotten", place());
        let unknown = victim.send(Request::get("/nothing"));
        ensure!(
            unknown.status() == 404 && unknown.upstream().is_none(),
            "{}: back without its policy",
            place()
        );
        drop(proxy.take_log());
    }
    memory::check_linear(&before, &proxy.memory(), 0)?;
    Ok(Tally { traps, fuel })
}

/// As much fuel as everything takes but a large body.
fn fuel(module: &Module, policy: &Policy) -> Result<u64> {
    let proxy = policy.proxy(module, &usual()).start()?;
    let answer = proxy.worker(0).send(large());
    ensure!(answer.status() == 200, "the large body is refused: {}", String::from_utf8_lossy(answer.body()));
    let of = |answer: &Answer| answer.report().callbacks.iter().map(|(_, fuel)| *fuel).max();
    let large = of(&answer).context("callbacks were called")?;
    let reports = proxy.root_reports();
    let starts = reports.iter().flat_map(|(_, report)| &report.callbacks).map(|(_, fuel)| *fuel).max();
    let starts = starts.context("callbacks were called")?;
    let middle = starts.saturating_add(large) / 2;
    ensure!(
        starts.saturating_mul(2) < large,
        "loading takes {starts} units of fuel, a large body only {large}"
    );
    Ok(middle)
}

fn open(worker: &Worker) -> Answer {
    worker.send(Request::get("/open"))
}

fn few(worker: &Worker) -> Answer {
    worker.send(Request::get("/few").peer(([10, 0, 0, 1], 50_000)))
}

fn large() -> Request {
    let body = format!("[{}1]", "1,".repeat(400_000));
    Request::post("/large").header("content-type", "application/json").body(body)
}

fn request_line(path: &str) -> bartizan_host::pairs::Pairs {
    let lines = [
        (":authority", "a"),
        (":path", path),
        (":method", "POST"),
        (":scheme", "http"),
        ("content-type", "application/json"),
    ];
    lines.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}
