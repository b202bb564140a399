//! The same cases natively, simulated and in a real Envoy: whether all three agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use bartizan_cases::agreement::{Agreement, Record};
use bartizan_cases::driver::Verdict;
use bartizan_cases::expand::{Run, Target};
use bartizan_cases::format::{Http, Place};
use bartizan_cases::session::{self, Options, Outcome, Simulation, Tally};
use bartizan_cases::suite::Loaded;

use crate::cases;
use crate::config;
use crate::deploy::Signatures;

/// Disagreements that are printed at most.
const SHOWN: usize = 100;

/// Runs the cases in all three places, compares them and prints numbers.
///
/// # Errors
/// If a case fails anywhere, or two places disagree.
pub async fn parity(only: Option<String>) -> Result<()> {
    let suites = cases::load()?;
    let options = Options { filter: only.clone(), compared: true, ..Options::default() };
    let native = everywhere(&suites, &session::Place::Native, &options, "natively")?;
    let mut simulation = Simulation::load(&config::module()?).map_err(|error| anyhow!(error))?;
    simulation.signatures = vec![Signatures::Host, Signatures::Wasm];
    simulation.protocols = vec![Http::V1, Http::V2];
    let simulated = everywhere(&suites, &session::Place::Simulated(simulation), &options, "simulated")?;
    let started = Instant::now();
    let paths = vec![Signatures::Host, Signatures::Wasm];
    let envoy = cases::run(&cases::Options { only: only.clone(), signatures: paths, compared: true }).await?;
    if !envoy.is_good() {
        bail!("{}", envoy.text());
    }
    let total: usize = envoy.runs.values().sum();
    let seconds = started.elapsed().as_secs_f32();
    println!("  in Envoy    {total:6} runs {:7} requests, in {seconds:.1} s", envoy.requests);
    let runs = suites.iter().flat_map(|suite| &suite.runs);
    let said: BTreeSet<&str> =
        runs.filter_map(|run| run.only.as_ref()).map(|only| only.because.as_str()).collect();
    let mut wrong = Vec::new();
    let mut report = |between: &str, agreement: Agreement| {
        let Agreement { runs, requests, by_proxy, one_sided, disagreements } = agreement;
        let count = disagreements.len();
        print!("  {between}: {runs} runs and {requests} requests compared, {count} disagreements");
        if by_proxy > 0 {
            print!("; {by_proxy} answered by Envoy's codecs");
        }
        println!("; {} runs in one place only", one_sided.values().sum::<usize>());
        // What cases say themselves is counted below.
        for (why, count) in one_sided.iter().filter(|(why, _)| !said.contains(why.as_str())) {
            println!("  {count:5} of them: {why}");
        }
        wrong.extend(disagreements.into_iter().map(|what| format!("{between}: {what}")));
        if runs == 0 { Err(anyhow!("{between}: nothing was compared")) } else { Ok(()) }
    };
    report("native and simulated", native.compare(&simulated, true))?;
    report("simulated and Envoy", simulated.compare(&envoy.record, false))?;
    for (why, count) in without_envoy(&suites, only.as_deref()) {
        println!("  {count:5} cases never run in Envoy: {why}");
    }
    for what in wrong.iter().take(SHOWN) {
        println!("DISAGREEMENT {what}");
    }
    println!("parity: {} cases, {} disagreements", envoy.cases, wrong.len());
    if wrong.is_empty() { Ok(()) } else { bail!("{} disagreements", wrong.len()) }
}

/// Runs all cases in one place.
fn everywhere(suites: &[Loaded], place: &session::Place, options: &Options, name: &str) -> Result<Record> {
    let started = Instant::now();
    let seen = Mutex::new((Record::default(), Vec::new()));
    let tally: Tally = session::run(suites, place, options, &|outcome: Outcome<'_>| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (label, target) = (outcome.run.label(), outcome.target);
        match outcome.verdict {
            Verdict::Passed => {
                seen.0.add(outcome.run, target.http(), outcome.signatures, outcome.sights);
            }
            Verdict::Failed(failure) => seen.1.push(format!("FAILED {label} ({target})\n{failure}")),
            Verdict::Error(why) => seen.1.push(format!("ERROR {label} ({target}): {why}")),
            Verdict::Skipped(why) => {
                seen.0.leave_out(outcome.run, target.http(), outcome.signatures, &why);
            }
        }
    });
    let (record, wrong) = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !wrong.is_empty() {
        bail!("{} of {} runs failed {name}:\n{}", wrong.len(), tally.runs, wrong.join("\n"));
    }
    let seconds = started.elapsed().as_secs_f32();
    println!("  {name:11} {:6} runs {:7} requests, in {seconds:.1} s", tally.runs, tally.requests);
    Ok(record)
}

/// The cases that no real Envoy runs, by the reason that they give.
fn without_envoy(suites: &[Loaded], only: Option<&str>) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for run in suites
        .iter()
        .flat_map(|suite| &suite.runs)
        .filter(|run| only.is_none_or(|text| run.label().contains(text)))
    {
        if let Some(why) = run.only.as_ref().filter(|_| !in_envoy(run)) {
            let places = [Target::Native, Target::Simulated(Http::V1), Target::Simulated(Http::V2)];
            let mut places: Vec<Place> =
                places.into_iter().filter(|to| run.runs_on(*to)).map(Target::place).collect();
            places.dedup();
            let places = places.iter().map(|place| place.name()).collect::<Vec<_>>().join(" and ");
            *reasons.entry(format!("{places} only, {}", why.because)).or_default() += 1;
        }
    }
    reasons
}

fn in_envoy(run: &Run) -> bool {
    [Http::V1, Http::V2].into_iter().any(|http| run.runs_on(Target::Envoy(http)))
}
