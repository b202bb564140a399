//! Clients and upstreams that go away between any two frames, and so between any two callbacks.

use anyhow::{Context as _, Result, ensure};
use bartizan_host::{Module, Outcome, Proxy};
use serde_json::json;

use crate::faults::Setup;
use crate::kinds;
use crate::memory;
use crate::observe::Observed;
use crate::policy::{Policy, VM_ID};
use crate::script::Break;

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Places at which streams were broken off: one for each kind of request, frame and side.
    pub places: usize,
    /// Streams.
    pub streams: u64,
    /// Linear memory of all VMs in the end.
    pub linear: usize,
}

/// Breaks off streams everywhere, again and again until there were so many.
///
/// # Errors
/// With the first stream that traps, hangs, or tells upstream more than it may know; or if memory grows.
pub fn run(module: &Module, setup: Setup, streams: u64) -> Result<Tally> {
    let policy = kinds::policy()?;
    let holding = setup == Setup::Holding;
    let settings = json!({"hold_headers": holding, "signatures": "auto"});
    let proxy = policy.proxy(module, &settings).allow_on_headers_stop_iteration(holding).start()?;
    let mut tally = Tally::default();
    // Known tokens, and one of each kind often enough, so that caches are full before memory is looked at.
    let scripts = scripts(&policy, &proxy)?;
    tally.places = scripts.iter().map(|(script, ..)| places(script.frames.len()).count()).sum();
    round(&proxy, &scripts, &mut tally)?;
    let before = proxy.memory();
    while tally.streams < streams {
        round(&proxy, &scripts, &mut tally)?;
    }
    memory::check_linear(&before, &proxy.memory(), 0)
        .with_context(|| format!("after {} streams that were broken off", tally.streams))?;
    tally.linear = memory::linear(&proxy.memory());
    Ok(tally)
}

type Prepared = (crate::script::Script, String, Observed);

fn scripts(policy: &Policy, proxy: &Proxy) -> Result<Vec<Prepared>> {
    let mut scripts = Vec::new();
    for (number, kind) in (1..).zip(kinds::all()) {
        proxy.shared_data().forget(VM_ID);
        let script = kind.script(policy, number, proxy.now().as_secs())?;
        let whole = Observed::new(&script.play(&proxy.worker(0)).answer(), 0);
        scripts.push((script, kind.name, whole));
    }
    Ok(scripts)
}

/// After how many frames who goes away: none has come, some, or all.
fn places(frames: usize) -> impl Iterator<Item = (usize, Break)> {
    (0..=frames).flat_map(|after| [(after, Break::Client), (after, Break::Upstream)])
}

fn round(proxy: &Proxy, scripts: &[Prepared], tally: &mut Tally) -> Result<()> {
    let worker = proxy.worker(0);
    for (script, name, whole) in scripts {
        for (after, how) in places(script.frames.len()) {
            proxy.shared_data().forget(VM_ID);
            let stream = script.play_broken(&worker, after, how);
            let seen = Observed::new(&stream.answer(), 0);
            drop(stream);
            tally.streams = tally.streams.saturating_add(1);
            let place = || format!("{name}, {how:?} gone after {after} of {} frames", script.frames.len());
            if let Some(failure) = worker.failure() {
                anyhow::bail!("{}: trap: {failure}", place());
            }
            // Upstream cannot go away from a request that is still held: that one ends with its last frame.
            ensure!(seen.outcome != Outcome::Hangs, "{}: the stream hangs", place());
            seen.is_part_of(whole).with_context(place)?;
        }
    }
    Ok(())
}
