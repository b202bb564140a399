//! Rules about case files themselves: a suite that only ever says yes proves nothing.
//!
//! What contradicts the file is an error when it is read (`wrong`); a case that shows less than it could is worth a
//! warning ([`alone`]).

use std::collections::BTreeSet;

use bartizan_engine::reason::Reason;

use crate::expand::{Run, RunStep, Target};
use crate::format::{Decision, Http, Place};

/// What an allowing case without a refusing one near it is told.
pub const ALONE: &str = "allows, and no case near it refuses: it would pass without any policy; add a case that refuses at \
                         the same method, host and path and runs wherever this one does, or name one with `near`";

/// What is wrong with the runs of one file, each with the name of its case.
pub(crate) fn wrong(runs: &[Run]) -> Vec<(&str, String)> {
    let cases: BTreeSet<&str> = runs.iter().map(|run| run.case.as_str()).collect();
    let refusing = refusing(runs);
    let mut wrong = Vec::new();
    for run in runs {
        let mut tell = |problem: String| {
            // A table says so once, and not with each row.
            if !wrong.contains(&(run.case.as_str(), problem.clone())) {
                wrong.push((run.case.as_str(), problem));
            }
        };
        match &run.near {
            Some(near) if !cases.contains(near.as_str()) => {
                tell(format!("`near: {near}` names no case of this file; name one that refuses"));
            }
            Some(near) if !refusing.contains(near.as_str()) => {
                tell(format!("`near: {near}` names a case that refuses nothing; name one that does"));
            }
            _ => {}
        }
        if run.only.as_ref().is_some_and(|only| only.because.trim().is_empty()) {
            tell("`only` has an empty `because`; say why the case runs there alone".into());
        }
        let expectations = run.steps.iter().filter_map(|step| step.expectation().ok());
        if expectations.filter_map(|expect| expect.proxy).any(|proxy| proxy.because.trim().is_empty()) {
            tell("`proxy` has an empty `because`; say why the proxy may answer by itself".into());
        }
    }
    wrong
}

/// The cases of one file that allow something while no case near them refuses: none in the same table or sequence,
/// none named by `near`, none at the same method, host and path. One that does not run wherever they run is not near: there they would stand
/// alone; one that was named has to run at one of these places. The first run of each.
#[must_use]
pub fn alone(runs: &[Run]) -> Vec<&Run> {
    let refusing: Vec<(&Run, BTreeSet<Place>, BTreeSet<String>)> = runs
        .iter()
        .filter(|run| refuses(run))
        .map(|run| (run, places(run), run.steps.iter().map(RunStep::resource).collect()))
        .collect();
    let beside = |run: &Run| {
        let here = places(run);
        refusing.iter().any(|(other, there, resources)| {
            let common = here.intersection(there).count();
            let same = || run.steps.iter().any(|step| resources.contains(&step.resource()));
            (run.near.as_ref() == Some(&other.case) && common > 0)
                || (common == here.len() && (other.case == run.case || same()))
        })
    };
    let mut told = BTreeSet::new();
    let allows = |run: &Run| decisions(run).contains(&Decision::Allow);
    runs.iter().filter(|run| allows(run) && !beside(run) && told.insert(run.case.as_str())).collect()
}

/// Where a run happens and is not left out, over whichever HTTP.
fn places(run: &Run) -> BTreeSet<Place> {
    let over = |http| [Target::Native, Target::Simulated(http), Target::Envoy(http)];
    let targets = over(Http::V1).into_iter().chain(over(Http::V2));
    targets.filter(|to| run.left_out(*to).is_none()).map(Target::place).collect()
}

/// The names of the cases that refuse something.
fn refusing(runs: &[Run]) -> BTreeSet<&str> {
    runs.iter().filter(|run| refuses(run)).map(|run| run.case.as_str()).collect()
}

fn refuses(run: &Run) -> bool {
    decisions(run).iter().any(|decision| *decision != Decision::Allow)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::parse;

    fn read(cases: &str) -> Result<Vec<Run>, Vec<String>> {
        let errors = |errors: Vec<crate::format::CaseError>| errors.iter().map(ToString::to_string).collect();
        parse(&format!("bundle: x\ncases:\n{cases}"), "s").map(|(_, runs)| runs).map_err(errors)
    }

    #[test]
    fn what_contradicts_the_file_is_an_error_with_its_line() {
        let refusing = "  - {name: no, request: {path: /n}, expect: route-unknown}\n";
        for (case, problem) in [
            ("{name: a, near: nobody}", "s:4: a: `near: nobody` names no case of this file"),
            ("{name: a, near: a}", "s:4: a: `near: a` names a case that refuses nothing"),
            ("{name: a, only: {run: native, because: ' '}}", "s:4: a: `only` has an empty `because`"),
            (
                "{name: a, request: {path: '/${t}'}, expect: {decision: path-malformed, proxy: {status: [400], because: ''}}, rows: [{t: a}, {t: b}]}",
                "s:4: a: `proxy` has an empty `because`",
            ),
        ] {
            let errors = read(&format!("{refusing}  - {case}\n")).unwrap_err();
            assert!(errors.len() == 1 && errors[0].starts_with(problem), "{case}: {errors:?}");
        }
        assert!(read(&format!("{refusing}  - {{name: a, near: 'no'}}\n")).is_ok());
    }

    #[test]
    fn an_allow_needs_a_refusal_near_it() {
        let alone = |cases: &str| {
            let runs = read(cases).unwrap();
            alone(&runs).into_iter().map(|run| run.case.clone()).collect::<Vec<_>>()
        };
        let refusing = "  - {name: no, request: {method: POST, path: /n}, expect: route-unknown}\n";
        let table = "  - {name: t, request: {path: '/${t}'}, rows: [{t: a}, {t: b}]}\n";
        assert_eq!(alone(&format!("{refusing}  - {{name: a, request: {{path: /n}}}}\n{table}")), ["a", "t"]);
        for beside in [
            "  - {name: a, near: 'no'}\n",
            "  - {name: a, request: {method: POST, path: '/n?q'}}\n",
            "  - {name: a, steps: [{}, {expect: limit-exceeded}]}\n",
            "  - {name: a, request: {path: '/${t}'}, rows: [{t: a}, {t: b, expect: route-unknown}]}\n",
        ] {
            assert!(alone(&format!("{refusing}{beside}")).is_empty(), "{beside}");
        }
        // A refusal that does not run where the case runs, or is about another host, is not near.
        let refused =
            |more: &str| format!("  - {{name: 'no', request: {{path: /n{more}}}, expect: route-unknown");
        let allow = "  - {name: a, request: {path: /n}}\n";
        let envoy = format!("{}, only: {{run: envoy, because: x}}}}\n", refused(""));
        assert_eq!(alone(&format!("{envoy}{allow}")), ["a"]);
        let named = |more: &str| alone(&format!("{envoy}  - {{name: a, near: 'no'{more}}}\n"));
        assert_eq!((named(", only: {run: native, because: x}"), named("")), (vec!["a".to_owned()], vec![]));
        assert_eq!(alone(&format!("{}}}\n{allow}", refused(", host: other"))), ["a"]);
        let http = format!("{}, only: {{http: \"1.1\", because: x}}}}\n", refused(""));
        assert!(alone(&format!("{http}{allow}")).is_empty());
        let there = "  - {name: a, request: {path: /n}, only: {run: envoy, because: x}}\n";
        assert!(alone(&format!("{envoy}{there}")).is_empty());
        // One that looks at what is seen simulated alone does not run elsewhere.
        let seen = "  - {name: 'no', request: {path: /n}, expect: {decision: route-unknown, log: [x]}}\n";
        assert_eq!(alone(&format!("{seen}{allow}")), ["a"]);
        let simulated = "  - {name: a, request: {path: /n}, only: {run: simulated, because: x}}\n";
        assert!(alone(&format!("{seen}{simulated}")).is_empty());
    }
}
