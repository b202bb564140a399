//! Host calls that fail while a policy is loaded.
//!
//! The canary, the main thread and each worker load it, one after the other, and a call may fail for any of them. Where a
//! worker does not take a configuration that the canary took, Envoy runs that worker without the filter
//! (`PluginConfig::createContext`), so whatever fails: either the update is refused and the old policy is in force
//! everywhere, or each worker has the new one or refuses everything.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use bartizan_host::faults::Faults;
use bartizan_host::{Builder, Module, Outcome, Proxy, Request, Status, Thread};
use serde_json::json;

use crate::artifacts;
use crate::policy::{Policy, anew};

/// Workers.
pub(crate) const WORKERS: usize = 2;

/// Of a function that is called more often, only so many calls fail in turn.
const CALLS: u64 = 24;

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Updates in which calls failed.
    pub updates: usize,
    /// Starts in which calls failed.
    pub starts: usize,
    /// The functions that failed.
    pub functions: BTreeSet<&'static str>,
    /// Updates that were refused.
    pub refused: usize,
    /// Workers that refused everything afterwards.
    pub closed: usize,
}

impl Tally {
    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "updates: {}, and {} starts, with failed calls of {} functions: {} refused, {} workers refused everything, none was left unguarded",
            self.updates,
            self.starts,
            self.functions.len(),
            self.refused,
            self.closed
        )
    }
}

/// Two policies, told apart by what they set on responses.
fn marked(mark: &str, signatures: &str) -> Result<String> {
    let bundle = format!(
        "apiVersion: bartizan/v1\nname: {mark}\n\
         authentication: {{jwt: [{{name: a, issuer: 'https://a.example/', algorithms: [HS256], keys: {{secret: {{env: A}}}}}}]}}\n\
         limits: {{few: {{key: client.address, rate: 1000/1m}}}}\n\
         routes:\n  - {{path: /open, access: public, limits: [few]}}\n  - {{path: /closed, access: authenticated}}\n\
         headers: {{response: {{set: {{x-policy: {mark}}}}}}}\n"
    );
    let settings = json!({"hold_headers": true, "signatures": signatures});
    Ok(Policy::compile(&bundle, &[])?.configuration(&settings))
}

/// Configurations that no VM can use.
fn unusable(good: &str) -> [String; 3] {
    [
        good.replace(r#""env":"A""#, r#""env":"ELSEWHERE""#),
        good.replace("hold_headers", "hold_header"),
        "{".into(),
    ]
}

/// Artifacts that no VM can use: by nobody, by too few, for nobody.
fn badly_signed(good: &str) -> [String; 3] {
    [
        good.replace(r#""sig":""#, r#""sig":"AAAA"#),
        good.replace(r#""threshold":2"#, r#""threshold":3"#),
        good.replace(r#""trust""#, r#""trusted""#),
    ]
}

/// Lets each call fail in turn, with each of these statuses.
///
/// # Errors
/// With the first fault that leaves a worker unguarded, or under another policy than it should be.
pub fn run(module: &Module, statuses: &[Status]) -> Result<Tally> {
    let mut tally = Tally::default();
    for signatures in ["auto", "host"] {
        let policies = [marked("p0", signatures)?, marked("p1", signatures)?];
        run_with(module, statuses, &policies, &unusable, &mut tally)
            .with_context(|| format!("with `signatures: {signatures}`"))?;
    }
    let signed = [artifacts::configuration("p0", "auto")?, artifacts::configuration("p1", "auto")?];
    run_with(module, statuses, &signed, &badly_signed, &mut tally).context("with signed artifacts")?;
    Ok(tally)
}

fn run_with(
    module: &Module,
    statuses: &[Status],
    good: &[String; 2],
    unusable: &dyn Fn(&str) -> [String; 3],
    tally: &mut Tally,
) -> Result<()> {
    let marks = ["p0", "p1"];
    let configuration = |mark: usize| good.get(mark).map(String::as_str).context("there are two policies");
    let builder = Proxy::builder(module).variable("A", "0123456789abcdef0123456789abcdef").workers(WORKERS);
    let builder =
        builder.vm_id("updates").allow_on_headers_stop_iteration(true).drain_time(std::time::Duration::ZERO);
    let proxy = builder.clone().configuration(configuration(0)?).start()?;
    starts(&builder, &called(&proxy)?, statuses, good, unusable, tally)?;
    let mut number = 0;
    let mut update = |configuration: &str| {
        number += 1;
        proxy.configure(anew(configuration, number))
    };
    let mut current = 0;
    let before = called(&proxy)?;
    update(configuration(1)?)?;
    let functions = calls(before, called(&proxy)?)?;
    update(configuration(0)?)?;
    for &(function, count) in &functions {
        tally.functions.insert(function);
        for nth in chosen(count) {
            for &status in statuses {
                let next = 1 - current;
                match nth {
                    0 => proxy.faults().fail(function, status),
                    nth => proxy.faults().fail_nth(function, nth, status),
                }?;
                let taken = update(configuration(next)?);
                proxy.faults().clear();
                proxy.advance(std::time::Duration::from_secs(1));
                tally.updates += 1;
                tally.refused += usize::from(taken.is_err());
                let wanted = if taken.is_ok() { next } else { current };
                let mark = marks.get(wanted).copied().unwrap_or_default();
                let closed = guarded(&proxy, mark, taken.is_ok()).with_context(|| {
                    let which =
                        if nth == 0 { "each call".to_owned() } else { format!("call {nth} of {count}") };
                    format!(
                        "faults while a policy is loaded: `{function}`, {which}: {status}; the update was {}",
                        if taken.is_ok() { "taken" } else { "refused" }
                    )
                })?;
                tally.closed += closed;
                // A thread that has refused everything is well again with the next policy.
                if closed > 0 {
                    update(configuration(1 - wanted)?).context("an update that nothing disturbs")?;
                    proxy.advance(std::time::Duration::from_secs(1));
                    let mark = marks.get(1 - wanted).copied().unwrap_or_default();
                    ensure!(guarded(&proxy, mark, false)? == 0, "a worker is not well again");
                    current = 1 - wanted;
                } else {
                    current = wanted;
                }
            }
        }
    }
    for bad in unusable(configuration(current)?) {
        ensure!(bad != configuration(current)? && update(&bad).is_err(), "the canary refuses what is bad");
        for (function, nth, status) in functions.iter().flat_map(|&(function, count)| {
            chosen(count).flat_map(move |nth| statuses.iter().map(move |&status| (function, nth, status)))
        }) {
            match nth {
                0 => proxy.faults().fail(function, status),
                nth => proxy.faults().fail_nth(function, nth, status),
            }?;
            let taken = update(&bad).is_ok();
            proxy.faults().clear();
            proxy.advance(std::time::Duration::from_secs(1));
            tally.updates += 1;
            tally.refused += usize::from(!taken);
            // Nobody can be under a policy that cannot be used, so who took it refuses everything.
            let mark = if taken { "none" } else { marks.get(current).copied().unwrap_or_default() };
            tally.closed += guarded(&proxy, mark, taken).with_context(|| {
                format!("an update that cannot be used, and `{function}`, call {nth}, answers {status}")
            })?;
            if taken {
                update(configuration(current)?).context("an update that nothing disturbs")?;
                proxy.advance(std::time::Duration::from_secs(1));
            }
        }
    }
    Ok(())
}

/// Lets each call fail in turn while all VMs are new: none but the canary may refuse, and each that is asked for the first
/// time could take itself for it.
fn starts(
    builder: &Builder,
    called: &BTreeMap<&'static str, u64>,
    statuses: &[Status],
    good: &[String; 2],
    unusable: &dyn Fn(&str) -> [String; 3],
    tally: &mut Tally,
) -> Result<()> {
    let [good, _] = good;
    // The canary, the main thread and the workers call alike.
    let vms = u64::try_from(WORKERS)?.saturating_add(2);
    for (function, each) in called.iter().filter(|(name, _)| name.starts_with("proxy_")) {
        for nth in chosen(each.saturating_mul(vms)) {
            for &status in statuses {
                for (bad, configuration) in
                    std::iter::once((false, good)).chain(unusable(good).iter().map(|bad| (true, bad)))
                {
                    // What is left (`Problem` in filter/src/root.rs): a canary that sees no configuration judges none.
                    if bad && *function == "proxy_get_buffer_bytes" && nth == 1 {
                        continue;
                    }
                    let faults = Faults::default();
                    match nth {
                        0 => faults.fail(function, status),
                        nth => faults.fail_nth(function, nth, status),
                    }?;
                    let builder = builder.clone().faults(faults.clone());
                    let started = builder.configuration(configuration.as_str()).start();
                    faults.clear();
                    tally.starts += 1;
                    let Ok(proxy) = started else {
                        tally.refused += 1;
                        continue;
                    };
                    let mark = if bad { "none" } else { "p0" };
                    tally.closed += guarded(&proxy, mark, true).with_context(|| {
                        let what = if bad { "cannot be used" } else { "is good" };
                        format!("a start with what {what}, while `{function}`, call {nth}, answers {status}")
                    })?;
                }
            }
        }
    }
    Ok(())
}

/// Checks that each worker is guarded by a policy, and gives how many refuse everything, where that may be.
pub(crate) fn guarded(proxy: &Proxy, mark: &str, may_be_closed: bool) -> Result<usize> {
    let mut closed = 0;
    for number in 0..WORKERS {
        let worker = proxy.worker(number);
        if let Some(failure) = worker.failure() {
            bail!("trap in worker {number}: {failure}");
        }
        let refused = worker.send(Request::get("/closed"));
        ensure!(
            refused.upstream().is_none() && refused.status() >= 400,
            "BREAK-IN: worker {number} has no filter: {} to a request without a token",
            refused.status()
        );
        let open = worker.send(Request::get("/open"));
        ensure!(open.outcome() == Outcome::Complete, "worker {number} leaves requests hanging");
        let by = open.header("x-policy").map(String::from_utf8_lossy);
        match (open.status(), by.as_deref()) {
            (200, Some(by)) if by == mark => {}
            (503, None) if may_be_closed => closed += 1,
            (status, by) => bail!("worker {number} answers {status} under {by:?} and not under {mark}"),
        }
    }
    Ok(closed)
}

/// Which functions a worker has called how often.
fn called(proxy: &Proxy) -> Result<BTreeMap<&'static str, u64>> {
    let worker = proxy.root_reports().into_iter().find(|(thread, _)| *thread == Thread::Worker(0));
    worker.map(|(_, report)| report.host_calls).context("there is a worker")
}

/// Which functions are called how often when a policy is loaded, from what a worker had called before and after.
fn calls(
    before: BTreeMap<&str, u64>,
    after: BTreeMap<&'static str, u64>,
) -> Result<Vec<(&'static str, u64)>> {
    let others = u64::try_from(WORKERS)?.saturating_add(1);
    let calls = after.into_iter().filter(|(name, _)| name.starts_with("proxy_"));
    let calls = calls.map(|(name, after)| {
        // The canary is a new VM and calls what this worker called when it was new; the others call less.
        let first = before.get(name).copied().unwrap_or(0);
        (name, first.saturating_add(after.saturating_sub(first).saturating_mul(others)))
    });
    Ok(calls.filter(|(_, count)| *count > 0).collect())
}

/// Which calls fail in turn: each (0), and all or some of them one by one, the last among them.
fn chosen(count: u64) -> impl Iterator<Item = u64> {
    let step = count.div_ceil(CALLS).max(1);
    (0..=count).filter(move |nth| *nth <= 1 || *nth == count || nth.is_multiple_of(step))
}
