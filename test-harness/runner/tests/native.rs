//! Every case that can, run in the engine alone.

use std::path::PathBuf;

use bartizan_cases::expand::Target;
use bartizan_cases::native::{self, Native};
use bartizan_cases::suite::load_all;

fn run_all(place: &str) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(place);
    let suites = load_all(&root).unwrap_or_default();
    assert!(!suites.is_empty(), "the files do not read; the test `files` says why");
    // For work on one suite: BARTIZAN_CASES=tokens runs what has that in its file name.
    let wanted = std::env::var("BARTIZAN_CASES").unwrap_or_default();
    let (mut ran, mut failed) = (0, Vec::new());
    for suite in suites.iter().filter(|suite| suite.file.contains(&wanted)) {
        let prepared = match suite.prepare() {
            Ok(prepared) => prepared,
            Err(problem) => {
                failed.push(problem);
                continue;
            }
        };
        let mut native = match Native::new(prepared.plan.clone(), &prepared.secrets) {
            Ok(native) => native,
            Err(problem) => {
                failed.push(format!("{}: the engine does not take the plan: {problem}", suite.file));
                continue;
            }
        };
        for run in suite.runs.iter().filter(|run| run.runs_on(Target::Native)) {
            ran += 1;
            match native::run(&mut native, run, ran, &prepared.mint) {
                Ok(wrong) if wrong.is_empty() => {}
                Ok(wrong) => failed.push(format!("{}\n    {}", run.label(), wrong.join("\n    "))),
                Err(problem) => failed.push(format!("{}\n    {problem}", run.label())),
            }
        }
    }
    println!("{place}: {ran} runs");
    assert!(failed.is_empty(), "{} of {ran} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(ran > 0 || !wanted.is_empty(), "nothing ran");
}

#[test]
fn the_behaviour_cases_hold() {
    run_all("test-harness/cases");
}

#[test]
fn the_cases_of_the_library_hold() {
    run_all("policy-bundles/library");
}
