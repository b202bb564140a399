//! Rules about case files themselves: a suite that only ever says yes proves nothing.

use std::collections::BTreeSet;

use bartizan_engine::reason::Reason;

use crate::expand::Run;
use crate::format::Decision;

/// What is wrong with the runs of one file. Every allowing case must have a refusal near it: in the same
/// table or sequence, named by `near`, or at the same method and path.
#[must_use]
pub fn lint(runs: &[Run]) -> Vec<String> {
    let mut wrong = Vec::new();
    let refusing: Vec<&Run> =
        runs.iter().filter(|run| decisions(run).iter().any(|d| *d != Decision::Allow)).collect();
    let cases: BTreeSet<&str> = refusing.iter().map(|run| run.case.as_str()).collect();
    let resources: BTreeSet<String> =
        refusing.iter().flat_map(|run| run.steps.iter().map(crate::expand::RunStep::resource)).collect();
    let mut complained = BTreeSet::new();
    for run in runs {
        if let Some(near) = &run.near
            && !cases.contains(near.as_str())
            && complained.insert(&run.case)
        {
            wrong.push(format!("{}: `near: {near}` names no refusing case of this file", run.label()));
        }
        if let Some(only) = &run.only
            && only.because.trim().len() < 10
            && complained.insert(&run.case)
        {
            wrong.push(format!("{}: `only` needs a reason somebody can judge", run.label()));
        }
        let allows = decisions(run).contains(&Decision::Allow);
        let beside = cases.contains(run.case.as_str())
            || run.near.is_some()
            || run.steps.iter().any(|step| resources.contains(&step.resource()));
        if allows && !beside && complained.insert(&run.case) {
            wrong.push(format!(
                "{}: allows, and no case near it refuses; add one, or name it with `near`",
                run.label()
            ));
        }
    }
    wrong
}

/// The reasons that some run expects.
#[must_use]
pub fn reasons<'a>(runs: impl IntoIterator<Item = &'a Run>) -> BTreeSet<Reason> {
    let decisions = runs.into_iter().flat_map(decisions);
    decisions.filter_map(|d| if let Decision::Refuse(reason) = d { Some(reason) } else { None }).collect()
}

fn decisions(run: &Run) -> Vec<Decision> {
    run.steps.iter().filter_map(|step| step.expectation().ok()).map(|expect| expect.decision).collect()
}
