//! The case files themselves: they read, each allow has its nearest deny, and every reason is met.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bartizan_cases::lint;
use bartizan_cases::suite::{Loaded, load_all};
use bartizan_engine::reason::Reason;

/// Reasons that no case can bring about.
const NOT_FOR_CASES: [Reason; 0] = [];

fn all() -> Result<Vec<Loaded>, String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut suites = Vec::new();
    for place in ["test-harness/cases", "policy-bundles/library"] {
        suites.append(&mut load_all(&root.join(place)).map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            errors.join("\n")
        })?);
    }
    Ok(suites)
}

#[test]
fn every_allow_has_its_nearest_deny() {
    let suites = all().unwrap();
    let alone = suites.iter().flat_map(|suite| lint::alone(&suite.runs));
    let wrong: Vec<_> = alone.map(|run| format!("{}: {}", run.label(), lint::ALONE)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An empty one is refused when the file is read; ours shall have some that say something.
#[test]
fn every_exception_has_a_reason_that_somebody_can_judge() {
    let suites = all().unwrap();
    let runs = suites.iter().flat_map(|suite| &suite.runs);
    let short = runs.filter(|run| run.only.as_ref().is_some_and(|only| only.because.trim().len() < 10));
    let wrong: Vec<_> = short.map(bartizan_cases::expand::Run::label).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_reason_is_met() {
    let suites = all().unwrap();
    let met = lint::reasons(suites.iter().flat_map(|suite| &suite.runs));
    let missing: BTreeSet<_> = Reason::ALL
        .iter()
        .filter(|r| !NOT_FOR_CASES.contains(r) && !met.contains(r))
        .map(|r| r.code())
        .collect();
    assert!(missing.is_empty(), "no case expects {missing:?}");
}

#[test]
fn there_are_enough() {
    let runs: usize = all().unwrap().iter().map(|suite| suite.runs.len()).sum();
    assert!(runs >= 300, "{runs} runs");
}
