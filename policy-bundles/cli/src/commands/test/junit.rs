//! The report for pipelines: XML as JUnit writes it, which every one of them reads.

use std::fmt::Write as _;

use super::coverage::Coverages;
use super::results::{CaseResult, Counts, Failed, Results, Status};
use crate::output::is_hidden;

pub(super) fn report(results: &Results, coverages: &Coverages) -> String {
    let mut counts = results.counts();
    let below = results.settings.threshold.as_ref().map(|least| (least, coverages.is_below(least)));
    let mut suites = String::new();
    for (file, cases) in results.files() {
        let of_file = Counts::of(cases.iter().copied());
        let seconds: f64 = cases.iter().map(|case| case.took.as_secs_f64()).sum();
        suite(&mut suites, file, of_file, seconds);
        cases.iter().for_each(|case| one(&mut suites, results, case));
        suites += "  </testsuite>\n";
    }
    if !results.warnings.is_empty() {
        warnings(&mut suites, &mut counts, results);
    }
    wrong(&mut suites, &mut counts, &results.wrong());
    if let Some((least, is_below)) = below {
        let one =
            Counts { failed: usize::from(is_below), passed: usize::from(!is_below), ..Counts::default() };
        counts.failed += one.failed;
        counts.passed += one.passed;
        suite(&mut suites, "coverage", one, 0.0);
        let name = format!("at least {least} of the rules are put to the test");
        let _ =
            writeln!(suites, "    <testcase classname=\"coverage\" name=\"{}\" time=\"0\">", escaped(&name));
        if is_below {
            let message = escaped(&coverages.whole().to_string());
            let text = escaped(&coverages.text(false));
            let _ = writeln!(suites, "      <failure message=\"{message}\">{text}</failure>");
        }
        suites += "    </testcase>\n  </testsuite>\n";
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"bartizan test\" {} time=\"{:.3}\">\n{suites}</testsuites>\n",
        numbers(counts),
        results.took.as_secs_f64()
    )
}

/// A test for each thing that is wrong with the whole run: without it a run of nothing would look fine.
fn wrong(out: &mut String, counts: &mut Counts, wrong: &[String]) {
    if wrong.is_empty() {
        return;
    }
    let own = Counts { errors: wrong.len(), ..Counts::default() };
    counts.errors += own.errors;
    suite(out, "the run", own, 0.0);
    for why in wrong {
        let (message, text) = (escaped(why.lines().next().unwrap_or_default()), escaped(why));
        let _ = writeln!(
            out,
            "    <testcase classname=\"the run\" name=\"cases were run to the end\" time=\"0\">\n      <error message=\"{message}\">{text}</error>\n    </testcase>"
        );
    }
    *out += "  </testsuite>\n";
}

/// A test for each warning; it fails if warnings are as bad as failures.
fn warnings(out: &mut String, counts: &mut Counts, results: &Results) {
    let failed = results.refused_warnings();
    let own = Counts { failed, passed: results.warnings.len().saturating_sub(failed), ..Counts::default() };
    counts.failed += own.failed;
    counts.passed += own.passed;
    suite(out, "warnings", own, 0.0);
    for warning in &results.warnings {
        let (name, problem) = (escaped(&warning.place()), escaped(&warning.problem));
        let file = escaped(&warning.file);
        let told = if results.settings.strict {
            format!("<failure message=\"{problem}\"/>")
        } else {
            format!("<system-out>warning: {problem}</system-out>")
        };
        let _ = writeln!(
            out,
            "    <testcase classname=\"warnings\" name=\"{name}\" file=\"{file}\" time=\"0\">{told}</testcase>"
        );
    }
    *out += "  </testsuite>\n";
}

fn suite(out: &mut String, name: &str, counts: Counts, seconds: f64) {
    let _ =
        writeln!(out, "  <testsuite name=\"{}\" {} time=\"{seconds:.3}\">", escaped(name), numbers(counts));
}

fn numbers(counts: Counts) -> String {
    let Counts { failed, errors, skipped, .. } = counts;
    format!("tests=\"{}\" failures=\"{failed}\" errors=\"{errors}\" skipped=\"{skipped}\"", counts.all())
}

fn one(out: &mut String, results: &Results, case: &CaseResult) {
    let name = if case.case.is_empty() { "the file can be read".to_owned() } else { case.name() };
    let line = case.line.map(|line| format!(" line=\"{line}\"")).unwrap_or_default();
    let _ = write!(
        out,
        "    <testcase classname=\"{file}\" name=\"{}\" file=\"{file}\"{line} time=\"{:.3}\"",
        escaped(&name),
        case.took.as_secs_f64(),
        file = escaped(&case.file)
    );
    let (element, message, text) = match &case.status {
        Status::Passed => {
            *out += "/>\n";
            return;
        }
        Status::Failed(failed) => {
            let message = format!("expected {}, got {}", failed.expected, failed.got);
            ("failure", message, told(failed, &results.replay(case)))
        }
        Status::Error(why) => ("error", why.lines().next().unwrap_or_default().to_owned(), why.clone()),
        Status::Skipped(why) => ("skipped", why.clone(), String::new()),
    };
    let (message, text) = (escaped(&message), escaped(&text));
    let _ = writeln!(out, ">\n      <{element} message=\"{message}\">{text}</{element}>\n    </testcase>");
}

fn told(failed: &Failed, replay: &str) -> String {
    let mut lines: Vec<String> = failed.step.iter().cloned().collect();
    lines.extend(failed.request.iter().cloned());
    lines.extend(failed.problems.iter().cloned());
    lines.extend(failed.considered.iter().map(|[room, at, what]| format!("{room}: {at} {what}")));
    lines.extend(failed.remark.iter().map(|remark| format!("note: {remark}")));
    lines.extend(failed.refusal.iter().map(|told| format!("refused: {told}")));
    lines.push(format!("replay: {replay}"));
    lines.join("\n")
}

/// A text for XML 1.0, which has no place at all for most control characters; as people see it on a screen.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            // In an attribute a line break would become a space.
            '\n' => out += "&#10;",
            '\t' => out.push(c),
            c if is_hidden(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}
