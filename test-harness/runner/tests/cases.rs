//! Every case, in the engine alone and through the built module in a simulated Envoy.
//!
//! The module is `dist/bartizan.wasm`, or `$BARTIZAN_WASM`; without it the simulated half fails.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bartizan_cases::agreement::{Agreement, Record};
use bartizan_cases::deployment::Signatures;
use bartizan_cases::driver::Verdict;
use bartizan_cases::format::Http;
use bartizan_cases::session::{self, Options, Outcome, Place, Simulation};
use bartizan_cases::suite::{Loaded, load_all};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn suites() -> Vec<Loaded> {
    let (mut suites, mut wrong) = (Vec::new(), Vec::<String>::new());
    for place in ["test-harness/cases", "policy-bundles/library"] {
        match load_all(&root().join(place)) {
            Ok(mut loaded) => suites.append(&mut loaded),
            Err(errors) => wrong.extend(errors.iter().map(ToString::to_string)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    suites
}

/// For work on one suite: BARTIZAN_CASES=tokens runs what has that in its file name, case or row.
fn options() -> Options {
    Options { filter: std::env::var("BARTIZAN_CASES").ok(), compared: true, ..Options::default() }
}

/// Runs everything there, and gives what came back.
fn all_pass(place: &Place) -> Record {
    let (suites, options, started) = (suites(), options(), Instant::now());
    let seen = Mutex::new((Record::default(), Vec::new()));
    let tally = session::run(&suites, place, &options, &|outcome: Outcome<'_>| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let what = match &outcome.verdict {
            Verdict::Passed => {
                seen.0.add(outcome.run, outcome.target.http(), outcome.signatures, outcome.sights);
                return;
            }
            Verdict::Skipped(why) => {
                seen.0.leave_out(outcome.run, outcome.target.http(), outcome.signatures, why);
                return;
            }
            Verdict::Failed(failure) => failure.to_string(),
            Verdict::Error(why) => why.clone(),
        };
        let signatures = outcome.signatures.map(|by| format!(", signatures {by}")).unwrap_or_default();
        let lines = what.replace('\n', "\n    ");
        seen.1.push(format!("{} ({}{signatures})\n    {lines}", outcome.run.label(), outcome.target));
    });
    let (record, mut wrong) = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    wrong.sort();
    println!(
        "{} runs, {} requests, left out {:?}, in {:.1} s",
        tally.runs,
        tally.requests,
        tally.skipped,
        started.elapsed().as_secs_f32()
    );
    assert!(wrong.is_empty(), "{} of {} went wrong:\n{}", wrong.len(), tally.runs, wrong.join("\n"));
    assert!(tally.runs > 0 || options.filter.is_some(), "nothing ran");
    record
}

#[test]
fn the_cases_hold_in_the_engine_and_through_the_module_and_both_agree() {
    let native = all_pass(&Place::Native);
    let module =
        std::env::var_os("BARTIZAN_WASM").map_or_else(|| root().join("dist/bartizan.wasm"), PathBuf::from);
    let mut simulation = Simulation::load(&module).unwrap();
    simulation.signatures = vec![Signatures::Host, Signatures::Wasm];
    simulation.protocols = vec![Http::V1, Http::V2];
    let simulated = all_pass(&Place::Simulated(simulation));
    let Agreement { runs, requests, one_sided, disagreements, .. } = native.compare(&simulated, true);
    println!("{runs} runs, {requests} requests compared, in one place only {one_sided:?}");
    let (count, some) = (disagreements.len(), disagreements.iter().take(50).cloned().collect::<Vec<_>>());
    assert!(some.is_empty(), "{count} disagreements, natively and simulated:\n{}", some.join("\n"));
}
