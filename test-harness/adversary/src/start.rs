//! How fast a VM starts.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bartizan_host::{Module, Proxy};

use crate::policy::{Policy, usual};

/// The longest that a VM may take to start.
const MOST: Duration = Duration::from_millis(5);

/// How many VMs are started at once, to divide by.
const VMS: u32 = 64;

/// Starts many VMs, without and with a policy, and gives the line that says how long each took.
///
/// # Errors
/// When it takes too long or fails.
pub fn run(module: &Module, policy: &Policy) -> Result<String> {
    let workers = usize::try_from(VMS)?.saturating_sub(2); // and the canary, and the main thread
    let mut best = [Duration::MAX; 2];
    for _ in 0..3 {
        let builders = [Proxy::builder(module).configuration(""), policy.proxy(module, &usual())];
        for (builder, best) in builders.into_iter().zip(&mut best) {
            let started = Instant::now();
            let proxy = builder.workers(workers).start()?;
            *best = (*best).min(started.elapsed().checked_div(VMS).unwrap_or_default());
            drop(proxy);
        }
    }
    let [bare, with_policy] = best.map(|time| time.as_secs_f64() * 1e3);
    ensure!(
        best.iter().all(|time| *time < MOST),
        "a VM takes {bare:.2} ms to start, {with_policy:.2} ms with a policy; {MOST:?} is the most"
    );
    let compiled = module.compiled_in().as_secs_f64() * 1e3;
    Ok(format!(
        "start: a VM in {bare:.2} ms, with a policy in {with_policy:.2} ms; the module compiled, or found in the cache, in {compiled:.0} ms"
    ))
}
