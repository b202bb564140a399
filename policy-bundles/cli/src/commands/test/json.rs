//! The report for programs.

use serde_json::{Value, json};

use super::coverage::Coverages;
use super::found::Warning;
use super::percent::Percent;
use super::results::{CaseResult, Failed, Results, Status};
use crate::output::{Outcome, json_text};

/// The report as text.
pub(super) fn report(results: &Results, coverages: &Coverages) -> String {
    json_text(&value(results, coverages))
}

fn value(results: &Results, coverages: &Coverages) -> Value {
    let counts = results.counts();
    let settings = &results.settings;
    let below = settings.threshold.as_ref().map(|least| coverages.is_below(least));
    json!({
        "directory": settings.directory,
        "place": settings.place,
        "seed": settings.seed,
        "filter": settings.filter,
        "summary": {
            "cases": counts.all(),
            "passed": counts.passed,
            "failed": counts.failed,
            "errors": counts.errors,
            "skipped": counts.skipped,
            "passed_by_proxy": results.passed_by_proxy(),
            "warnings": results.warnings.len(),
            "requests": results.requests(),
            "seconds": results.took.as_secs_f64(),
        },
        "outcome": match results.outcome(below == Some(true)) {
            Outcome::Fine => "passed",
            Outcome::Problems => "failed",
            Outcome::NotRun | Outcome::Failed => "not_run",
        },
        "problems": results.wrong(),
        "cases": results.cases.iter().map(|case| one(results, case)).collect::<Vec<_>>(),
        "warnings": results.warnings.iter().map(warning).collect::<Vec<_>>(),
        "strict": settings.strict,
        "coverage": settings.coverage.then(|| json!({
            "percent": coverages.whole().percent(),
            "threshold": settings.threshold.as_ref().map(Percent::number),
            "below_threshold": below,
            "bundles": coverages.json(),
        })),
    })
}

fn warning(warning: &Warning) -> Value {
    let Warning { file, line, case, problem } = warning;
    let case = (!case.is_empty()).then_some(case);
    json!({"file": file, "line": line, "case": case, "problem": problem})
}

fn one(results: &Results, case: &CaseResult) -> Value {
    let (status, why) = match &case.status {
        Status::Passed => ("passed", Value::Null),
        Status::Failed(failed) => ("failed", failure(failed)),
        Status::Error(why) => ("error", json!({"problem": why})),
        Status::Skipped(why) => ("skipped", json!({"because": why})),
    };
    let wrong = matches!(case.status, Status::Failed(_) | Status::Error(_));
    json!({
        "file": case.file,
        "line": case.line,
        "case": case.case,
        "row": case.row,
        "way": case.way,
        "status": status,
        "details": why,
        "by_proxy": case.by_proxy,
        "requests": case.requests,
        "seconds": case.took.as_secs_f64(),
        "replay": wrong.then(|| results.replay(case)),
    })
}

fn failure(failed: &Failed) -> Value {
    let considered = failed.considered.iter();
    json!({
        "step": failed.step,
        "request": failed.request,
        "expected": failed.expected,
        "got": failed.got,
        "problems": failed.problems,
        "considered": considered
            .map(|[room, at, what]| json!({"room": room, "at": at, "what": what}))
            .collect::<Vec<_>>(),
        "refusal": failed.refusal,
        "remark": failed.remark,
    })
}
