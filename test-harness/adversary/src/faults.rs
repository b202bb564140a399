//! Host calls that fail, on every kind of request.
//!
//! Each kind is sent once undisturbed. Then again and again: each function it calls fails, each call of it in turn and all of them,
//! with each status. What is allowed may become refused; what is refused stays refused; and what reaches upstream is
//! what would have reached it, edits and all.

use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::{Context as _, Result, bail, ensure};
use bartizan_cases::chance::Chance;
use bartizan_host::faults::UnknownFunction;
use bartizan_host::{Answer, LogLevel, Module, Proxy, Status, Worker};
use serde_json::json;

use crate::kinds::{self, Kind};
use crate::memory;
use crate::observe::{Difference, Observed, Reached};
use crate::policy::{Policy, VM_ID};
use crate::script::Script;

/// What a host answers that did nothing and says otherwise. No module can see that; it must still not trap.
const LIE: Status = Status::Ok;

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Kinds of requests.
    pub kinds: usize,
    /// Requests in which calls failed.
    pub requests: u64,
    /// Calls that failed.
    pub faults: u64,
    /// The functions that failed.
    pub functions: BTreeSet<&'static str>,
    /// Requests that went through all the same.
    pub unharmed: u64,
    /// Requests that were refused or broken off instead.
    pub refused: u64,
    /// Responses that lack an edit, of which the log tells.
    pub responses: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.kinds += other.kinds;
        self.requests += other.requests;
        self.faults += other.faults;
        self.functions.extend(other.functions);
        self.unharmed += other.unharmed;
        self.refused += other.refused;
        self.responses += other.responses;
        self
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self, how: &str) -> String {
        format!(
            "faults, {how}: {} kinds of requests, {} functions, {} requests with {} failed calls: {} as ever, {} refused instead, {} responses without an edit and the log says so; \
             nothing let in, no trap, no hang",
            self.kinds,
            self.functions.len(),
            self.requests,
            self.faults,
            self.unharmed,
            self.refused,
            self.responses
        )
    }
}

/// How the proxy is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Headers are held until the body is judged.
    Holding,
    /// Envoy lets headers go ahead.
    Streaming,
}

struct Bench {
    policy: Policy,
    proxy: Proxy,
    worker: Worker,
    next: u32,
    tally: Tally,
}

/// Lets each call fail in turn.
///
/// # Errors
/// With the first fault that breaks something.
pub fn each(module: &Module, setup: Setup, kinds: &[Kind], statuses: &[Status]) -> Result<Tally> {
    let mut bench = Bench::new(module, setup)?;
    for kind in kinds {
        bench.kind(kind, statuses).with_context(|| format!("faults, {setup:?}: {}", kind.name))?;
    }
    bench.tally.kinds = if setup == Setup::Holding { kinds.len() } else { 0 };
    Ok(bench.tally)
}

/// How many requests of each kind are drawn from.
const POOL: u32 = 6;

/// Lets calls fail by a seed, several in one request, and looks at the memory.
///
/// # Errors
/// With the first seed that breaks something, or if memory grows.
pub fn drawn(module: &Module, setup: Setup, seeds: Range<u64>) -> Result<Tally> {
    let mut bench = Bench::new(module, setup)?;
    let kinds = kinds::all();
    // The same requests again and again: caches are full after the first round, and memory may not grow any more.
    let mut pool = Vec::new();
    for kind in &kinds {
        let (undisturbed, _) = bench.undisturbed(kind)?;
        for _ in 0..POOL {
            pool.push((kind, bench.script(kind)?, undisturbed.clone()));
        }
    }
    for (kind, script, _) in &pool {
        drop(bench.send(kind, script, |_| Ok(()))?);
    }
    let many = seeds.end.saturating_sub(seeds.start) >= 1000;
    let quarter = seeds.start.saturating_add(seeds.end.saturating_sub(seeds.start) / 4);
    let mut before = Vec::new();
    for seed in seeds {
        if seed == quarter {
            before = bench.proxy.memory();
        }
        let mut chance = Chance::new(seed);
        let (kind, script, wanted) = chance.pick(&pool).context("there are requests")?;
        let status = *chance.pick(&Status::ALL).context("there are statuses")?;
        let one_in = u64::try_from(chance.between(2, 30))?;
        let strike = |proxy: &Proxy| {
            proxy.faults().fail_by_seed(seed, one_in, status);
            Ok(())
        };
        bench.strike(kind, script, wanted, status, strike).with_context(|| {
            format!(
                "faults, {setup:?}, seed {seed}: {}, one call in {one_in}: {status}; \
                 to see it again: bartizan-adversary faults --drawn --seed {seed} --seeds 1",
                kind.name
            )
        })?;
    }
    if many {
        memory::check_linear(&before, &bench.proxy.memory(), 0)?;
    }
    bench.tally.kinds = if setup == Setup::Holding { kinds.len() } else { 0 };
    Ok(bench.tally)
}

impl Bench {
    fn new(module: &Module, setup: Setup) -> Result<Self> {
        let policy = kinds::policy()?;
        let holding = setup == Setup::Holding;
        let settings = json!({"hold_headers": holding, "signatures": "auto"});
        let proxy = policy.proxy(module, &settings).allow_on_headers_stop_iteration(holding).start()?;
        Ok(Self { worker: proxy.worker(0), policy, proxy, next: 0, tally: Tally::default() })
    }

    /// Lets every call of a kind of request fail.
    fn kind(&mut self, kind: &Kind, statuses: &[Status]) -> Result<()> {
        let (undisturbed, calls) = self.undisturbed(kind)?;
        for (function, count) in calls {
            if !kind.functions.is_empty() && !kind.functions.contains(&function) {
                continue;
            }
            for nth in 0..=count {
                for &status in statuses {
                    let strike = |proxy: &Proxy| match nth {
                        0 => proxy.faults().fail(function, status),
                        nth => proxy.faults().fail_nth(function, nth, status),
                    };
                    let which = if nth == 0 { "each".to_owned() } else { format!("number {nth}") };
                    let script = self.script(kind)?;
                    self.strike(kind, &script, &undisturbed, status, strike)
                        .with_context(|| format!("`{function}` ({which} of {count} calls): {status}"))?;
                }
            }
        }
        Ok(())
    }

    /// What happens to a kind of request when nothing fails, and which functions it calls how often.
    fn undisturbed(&mut self, kind: &Kind) -> Result<(Observed, Vec<(&'static str, u64)>)> {
        let script = self.script(kind)?;
        let answer = self.send(kind, &script, |_| Ok(()))?;
        let observed = Observed::new(&answer, script.number);
        ensure!(observed.passed() == kind.allowed, "undisturbed, `{}` comes to {observed:#?}", kind.name);
        let spoofed = observed.upstream.as_ref().is_some_and(Reached::is_spoofed);
        ensure!(!spoofed, "undisturbed, upstream believes `{}`: {observed:#?}", kind.name);
        // WASI has no statuses of this kind.
        let calls = answer.report().host_calls.iter().map(|(name, count)| (*name, *count));
        Ok((observed, calls.filter(|(name, _)| name.starts_with("proxy_")).collect()))
    }

    /// A request of a kind that nobody has sent before.
    fn script(&mut self, kind: &Kind) -> Result<Script> {
        self.next = self.next.saturating_add(1);
        kind.script(&self.policy, self.next, self.proxy.now().as_secs())
    }

    fn strike(
        &mut self,
        kind: &Kind,
        script: &Script,
        wanted: &Observed,
        status: Status,
        strike: impl Fn(&Proxy) -> Result<(), UnknownFunction>,
    ) -> Result<()> {
        let answer = self.send(kind, script, strike)?;
        let faults = self.proxy.faults().injected();
        self.proxy.faults().clear();
        let log = self.proxy.take_log();
        if let Some(failure) = self.worker.failure() {
            bail!("trap: {failure}");
        }
        self.tally.requests += 1;
        self.tally.faults += u64::try_from(faults.len())?;
        self.tally.functions.extend(faults.iter().map(|fault| fault.function));
        if status == LIE {
            return Ok(());
        }
        let observed = Observed::new(&answer, script.number);
        let dumb = |name| faults.iter().any(|fault| fault.function == name);
        if dumb("proxy_send_local_response") && dumb("proxy_close_stream") {
            // Neither an answer nor an end: the stream hangs, and there is nothing else that a module could do.
            observed.is_part_of(wanted)?;
            self.tally.refused += 1;
            return Ok(());
        }
        match observed.compare(wanted)? {
            Difference::None => self.tally.unharmed += 1,
            Difference::Refused => self.tally.refused += 1,
            Difference::Response => {
                let told = log.iter().any(|line| line.level >= LogLevel::Error) || dumb("proxy_log");
                ensure!(told, "the client got another response, and the log does not say why: {observed:#?}");
                self.tally.responses += 1;
            }
        }
        Ok(())
    }

    /// Sends a request, with calls that fail.
    fn send(
        &self,
        kind: &Kind,
        script: &Script,
        strike: impl Fn(&Proxy) -> Result<(), UnknownFunction>,
    ) -> Result<Answer> {
        // Or the floors of full slots would reach from one request to another.
        self.proxy.shared_data().forget(VM_ID);
        for _ in 0..kind.before {
            drop(script.play(&self.worker));
        }
        strike(&self.proxy)?;
        Ok(script.play(&self.worker).answer())
    }
}
