//! The report for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::coverage::Coverages;
use super::results::{CaseResult, Counts, Failed, Results, Status};
use crate::output::{Outcome, count, paint, printable};

const GREEN: &str = "1;32";
const RED: &str = "1;31";
const YELLOW: &str = "1;33";

/// A line for each file (or case, if wanted), all that went wrong, what was left out, coverage, and a summary.
pub(super) fn report(results: &Results, coverages: &Coverages, verbose: bool, colour: bool) -> String {
    let mut out = String::new();
    for (file, cases) in results.files() {
        let counts = Counts::of(cases.iter().copied());
        let _ = writeln!(out, "{} {}: {}", word(counts, colour), printable(file), counted(counts));
        for case in cases.iter().filter(|case| verbose && !case.case.is_empty()) {
            let _ = writeln!(out, "  {} {}", status(&case.status, colour), printable(&case.name()));
        }
    }
    let mut told = BTreeSet::new();
    for case in &results.cases {
        match &case.status {
            Status::Failed(failed) => failure(&mut out, results, case, failed, colour),
            // What is wrong with a bundle is wrong for all cases of a file.
            Status::Error(why) if told.insert((&case.file, why)) => {
                error(&mut out, results, case, why, colour)
            }
            Status::Passed | Status::Skipped(_) | Status::Error(_) => {}
        }
    }
    warnings(&mut out, results, colour);
    skipped(&mut out, results, colour);
    if !coverages.is_empty() {
        out.push('\n');
        out += &coverages.text(colour);
    }
    summary(&mut out, results, coverages, colour);
    out
}

fn word(counts: Counts, colour: bool) -> String {
    let (word, code) = match counts {
        Counts { errors: 1.., .. } => ("ERROR  ", RED),
        Counts { failed: 1.., .. } => ("FAIL   ", RED),
        Counts { passed: 1.., .. } => ("PASS   ", GREEN),
        _ => ("SKIPPED", YELLOW),
    };
    paint(colour, code, word)
}

fn status(status: &Status, colour: bool) -> String {
    let one = |field: fn(&mut Counts) -> &mut usize| {
        let mut counts = Counts::default();
        *field(&mut counts) = 1;
        counts
    };
    let counts = match status {
        Status::Passed => one(|counts| &mut counts.passed),
        Status::Failed(_) => one(|counts| &mut counts.failed),
        Status::Error(_) => one(|counts| &mut counts.errors),
        Status::Skipped(_) => one(|counts| &mut counts.skipped),
    };
    word(counts, colour)
}

fn counted(counts: Counts) -> String {
    let mut parts = vec![format!("{} passed", counts.passed)];
    for (number, what) in [(counts.failed, "failed"), (counts.skipped, "skipped")] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    if counts.errors > 0 {
        parts.push(count(counts.errors, "error"));
    }
    parts.join(", ")
}

fn failure(out: &mut String, results: &Results, case: &CaseResult, failed: &Failed, colour: bool) {
    let place = printable(&case.place());
    let _ = writeln!(out, "\n{} {place}: {}", paint(colour, RED, "FAIL"), printable(&case.name()));
    let mut line = |head: &str, text: &str| {
        let _ = writeln!(out, "  {head:9} {}", printable(text));
    };
    if let Some(step) = &failed.step {
        line("at", step);
    }
    let mut head = "request";
    for text in &failed.request {
        line(head, text);
        head = "";
    }
    line("expected", &failed.expected);
    line("got", &failed.got);
    let mut head = "wrong";
    for problem in &failed.problems {
        line(head, problem);
        head = "";
    }
    let mut head = "decision";
    let width = failed.considered.iter().map(|[_, at, _]| at.len()).max().unwrap_or(0);
    for [room, at, what] in &failed.considered {
        line(head, &format!("{room:14} {at:width$}  {what}"));
        head = "";
    }
    let mut head = "refused";
    for told in &failed.refusal {
        line(head, told);
        head = "";
    }
    if let Some(remark) = failed.remark {
        line("note", remark);
    }
    line("replay", &results.replay(case));
}

fn error(out: &mut String, results: &Results, case: &CaseResult, why: &str, colour: bool) {
    let name = if case.case.is_empty() { String::new() } else { format!(": {}", printable(&case.name())) };
    let same = |other: &&CaseResult| {
        other.file == case.file && matches!(&other.status, Status::Error(theirs) if theirs == why)
    };
    let others = match results.cases.iter().filter(same).count().saturating_sub(1) {
        0 => String::new(),
        others => format!(", and {} more", count(others, "case")),
    };
    let _ = writeln!(out, "\n{} {}{name}{others}", paint(colour, RED, "ERROR"), printable(&case.place()));
    for text in why.lines() {
        let _ = writeln!(out, "  {}", printable(text));
    }
}

fn warnings(out: &mut String, results: &Results, colour: bool) {
    if !results.warnings.is_empty() {
        out.push('\n');
    }
    for warning in &results.warnings {
        let head = paint(colour, YELLOW, "WARNING");
        let _ = writeln!(out, "{head} {}: {}", printable(&warning.place()), printable(&warning.problem));
    }
}

fn skipped(out: &mut String, results: &Results, colour: bool) {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &results.cases {
        if let Status::Skipped(why) = &case.status {
            *reasons.entry(why).or_default() += 1;
        }
    }
    if !reasons.is_empty() {
        out.push('\n');
    }
    for (why, number) in reasons {
        let _ = writeln!(
            out,
            "{} {}: {}",
            paint(colour, YELLOW, "SKIPPED"),
            count(number, "case"),
            printable(why)
        );
    }
}

fn summary(out: &mut String, results: &Results, coverages: &Coverages, colour: bool) {
    let counts = results.counts();
    let settings = &results.settings;
    let below = settings.threshold.as_ref().filter(|least| coverages.is_below(least));
    let refused = results.refused_warnings();
    let bad = !matches!(results.outcome(below.is_some()), Outcome::Fine);
    let cases = count(counts.all(), "case");
    let seconds = results.took.as_secs_f64();
    let requests = count(usize::try_from(results.requests()).unwrap_or(usize::MAX), "request");
    for wrong in results.wrong() {
        out.push('\n');
        for text in wrong.lines() {
            let _ = writeln!(out, "{}", printable(text));
        }
    }
    let by_proxy = results.passed_by_proxy();
    if by_proxy > 0 {
        let _ = writeln!(
            out,
            "\nof {} passed, {by_proxy} had an answer that Envoy gave itself, before the filter saw the request: `proxy` allows it",
            counts.passed
        );
    }
    if refused > 0 {
        let warnings = count(refused, "warning");
        let _ = writeln!(out, "\nwith --strict a warning is as bad as a failure: {warnings}");
    }
    if let Some(least) = below {
        let _ = writeln!(
            out,
            "the coverage is {}, below the {least} that are wanted; cases for what is not covered raise it",
            coverages.whole()
        );
    }
    let (word, code) = if bad { ("FAILED", RED) } else { ("PASSED", GREEN) };
    let warnings = match results.warnings.len() {
        0 => String::new(),
        number => format!(", {}", count(number, "warning")),
    };
    let _ = writeln!(
        out,
        "{} {cases}: {}{warnings}; {requests} {}, {seconds:.1} s",
        paint(colour, code, word),
        counted(counts),
        printable(&settings.place)
    );
}
