//! What came of the cases, in a form that every report is made from.

use std::collections::BTreeMap;
use std::time::Duration;

use bartizan_cases::driver::{Failure, Verdict};
use bartizan_cases::expand::Run;
use bartizan_cases::format::Decision;
use serde_json::Value;

use super::found::{Home, Warning};
use super::percent::Percent;
use super::request;
use crate::output::{Outcome, count, is_hidden};

/// How the command was called.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) directory: String,
    pub(super) filter: Option<String>,
    pub(super) seed: u64,
    /// Where the cases ran, in a few words.
    pub(super) place: String,
    /// Further arguments that replay the same.
    pub(super) arguments: String,
    pub(super) coverage: bool,
    pub(super) threshold: Option<Percent>,
    /// Whether warnings are as bad as failures.
    pub(super) strict: bool,
}

/// Everything that came of a run of the command.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) settings: Settings,
    /// In the order in which they are written.
    pub(super) cases: Vec<CaseResult>,
    /// What shows less than somebody may think.
    pub(super) warnings: Vec<Warning>,
    /// Which proxies broke while cases ran, and why.
    pub(super) broken: Vec<String>,
    pub(super) took: Duration,
}

/// One case, or one row of a table.
#[derive(Debug)]
pub(super) struct CaseResult {
    /// The case file, as the screen shows it.
    pub(super) file: String,
    /// Where in it the case begins, if it was found.
    pub(super) line: Option<usize>,
    /// The name of the case; empty for a file that cannot be read.
    pub(super) case: String,
    pub(super) row: Option<String>,
    /// In which of several ways it ran, if there are several.
    pub(super) way: Option<String>,
    pub(super) status: Status,
    /// Whether the proxy answered any of its requests itself, before the filter saw it.
    pub(super) by_proxy: bool,
    pub(super) requests: u32,
    pub(super) took: Duration,
}

/// What came of a case.
#[derive(Debug)]
pub(super) enum Status {
    Passed,
    Failed(Box<Failed>),
    Error(String),
    Skipped(String),
}

/// A case that did not get what it expects.
#[derive(Debug)]
pub(super) struct Failed {
    /// Which request of several.
    pub(super) step: Option<String>,
    pub(super) request: Vec<String>,
    pub(super) expected: String,
    pub(super) got: String,
    pub(super) problems: Vec<String>,
    /// Room, place and sentence of all that the engine considered.
    pub(super) considered: Vec<[String; 3]>,
    /// What the engine tells operators of the refusal.
    pub(super) refusal: Vec<String>,
    /// What to know of what the engine considered, if it is not what happened.
    pub(super) remark: Option<&'static str>,
}

/// Whoever explains is the engine alone.
const UNEXPLAINED: &str = "not explained: the engine alone, which explains, sees no call fail and no client leave, as it is here or before";

/// Natively there is one decision, and where the case ran another one.
const UNLIKE: &str = "the engine in this command decides otherwise than the module: is that of another version? else it is a fault to report";

/// How many cases came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) errors: usize,
    pub(super) skipped: usize,
}

impl Counts {
    pub(super) fn of<'a>(cases: impl IntoIterator<Item = &'a CaseResult>) -> Self {
        let mut counts = Self::default();
        for case in cases {
            let one = match case.status {
                Status::Passed => &mut counts.passed,
                Status::Failed(_) => &mut counts.failed,
                Status::Error(_) => &mut counts.errors,
                Status::Skipped(_) => &mut counts.skipped,
            };
            *one += 1;
        }
        counts
    }

    /// Those that were not left out.
    pub(super) const fn ran(self) -> usize {
        self.passed.saturating_add(self.failed).saturating_add(self.errors)
    }

    pub(super) const fn all(self) -> usize {
        self.ran().saturating_add(self.skipped)
    }
}

impl Results {
    /// What is to be told of a run that there was not.
    pub(super) fn not_run(settings: Settings, why: String) -> Self {
        // There is nothing that could be covered or be below a threshold.
        let settings = Settings { place: "nowhere".to_owned(), coverage: false, threshold: None, ..settings };
        let (cases, warnings) = (Vec::new(), Vec::new());
        Self { settings, cases, warnings, broken: vec![why], took: Duration::ZERO }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts::of(&self.cases)
    }

    /// What is wrong with the whole run, beside what is with cases: a proxy that broke, nothing that was run.
    pub(super) fn wrong(&self) -> Vec<String> {
        let counts = self.counts();
        let nothing = (counts.ran() == 0 && self.broken.is_empty()).then(|| {
            format!(
                "no case was run: {} left out here for the reasons above, and an empty run shows nothing",
                count(counts.skipped, "case")
            )
        });
        self.broken.iter().cloned().chain(nothing).collect()
    }

    /// What passed although the filter never judged it, or not all of it: the proxy answered, as the case allows.
    pub(super) fn passed_by_proxy(&self) -> usize {
        self.cases.iter().filter(|case| case.by_proxy && matches!(case.status, Status::Passed)).count()
    }

    /// How it ended, as the exit code says it.
    pub(super) fn outcome(&self, below_threshold: bool) -> Outcome {
        let counts = self.counts();
        if counts.errors > 0 || !self.wrong().is_empty() {
            Outcome::NotRun
        } else if counts.failed > 0 || self.refused_warnings() > 0 || below_threshold {
            Outcome::Problems
        } else {
            Outcome::Fine
        }
    }

    /// How many warnings are as bad as failures.
    pub(super) fn refused_warnings(&self) -> usize {
        if self.settings.strict { self.warnings.len() } else { 0 }
    }

    pub(super) fn requests(&self) -> u64 {
        self.cases.iter().map(|case| u64::from(case.requests)).sum()
    }

    /// The cases of each file, in order.
    pub(super) fn files(&self) -> BTreeMap<&str, Vec<&CaseResult>> {
        let mut files: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
        for case in &self.cases {
            files.entry(&case.file).or_default().push(case);
        }
        files
    }

    /// The command that runs one case as it ran here. It can be pasted into a shell.
    pub(super) fn replay(&self, case: &CaseResult) -> String {
        let Settings { directory, arguments, .. } = &self.settings;
        // What begins with a dash would be an option.
        let here = if directory.starts_with('-') { "./" } else { "" };
        let mut command = format!("bartizan test {}", quoted(&format!("{here}{directory}")));
        if !case.case.is_empty() {
            command += &option("filter", &case.case);
        }
        command + arguments
    }
}

/// An option with its value, for a shell.
pub(super) fn option(name: &str, value: &str) -> String {
    let between = if value.starts_with('-') { '=' } else { ' ' };
    format!(" --{name}{between}{}", quoted(value))
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if !text.contains(is_hidden) {
        return format!("'{}'", text.replace('\'', "'\\''"));
    }
    // Characters that steer a terminal have names in this kind of quotes alone.
    let mut word = "$'".to_owned();
    for c in text.chars() {
        match c {
            '\'' | '\\' => word.extend(['\\', c]),
            c if is_hidden(c) => word += &format!("\\u{:04x}", u32::from(c)),
            c => word.push(c),
        }
    }
    word + "'"
}

impl CaseResult {
    /// Name and row.
    pub(super) fn name(&self) -> String {
        let row = self.row.as_ref().map(|row| format!(" [{row}]")).unwrap_or_default();
        let way = self.way.as_ref().map(|way| format!(" ({way})")).unwrap_or_default();
        format!("{}{row}{way}", self.case)
    }

    /// The file, and the line if it is known.
    pub(super) fn place(&self) -> String {
        self.line.map_or_else(|| self.file.clone(), |line| format!("{}:{line}", self.file))
    }

    pub(super) fn of(
        (file, line): (String, Option<usize>),
        run: &Run,
        (verdict, requests): (Verdict, u32),
        took: Duration,
        home: &Home,
    ) -> Self {
        let status = match verdict {
            Verdict::Passed => Status::Passed,
            Verdict::Failed(failure) => Status::Failed(Box::new(Failed::of(&failure, home))),
            Verdict::Error(why) => Status::Error(why),
            Verdict::Skipped(why) => Status::Skipped(why),
        };
        let (case, row) = (run.case.clone(), run.row.clone());
        Self { file, line, case, row, way: None, status, by_proxy: false, requests, took }
    }
}

impl Failed {
    fn of(failure: &Failure, home: &Home) -> Self {
        let Failure { step, steps, turn, sent, expected, observed, problems, explanation } = failure;
        let status = expected.status.unwrap_or(match expected.decision {
            Decision::Allow => sent.answer.status,
            Decision::Refuse(reason) => reason.status(),
        });
        let expected = match expected.decision {
            Decision::Allow => format!("allow, {status}"),
            Decision::Refuse(reason) => format!("{}, {status}", reason.code()),
        };
        let problem: Option<Value> = serde_json::from_slice(&observed.body).ok();
        let reason = problem.as_ref().and_then(|p| p.get("reason")?.as_str());
        let decision = match (reason, observed.status) {
            (Some(reason), status) => format!("{reason}, {status}"),
            (None, 0) => match &observed.note {
                Some(note) => format!("no answer: {note}"),
                None => "no answer".to_owned(),
            },
            (None, status) if observed.upstream.is_some() => format!("allow, {status}"),
            (None, status) => status.to_string(),
        };
        let upstream = match &observed.upstream {
            Some(seen) => format!("upstream saw {} {}", seen.method, String::from_utf8_lossy(&seen.path)),
            None => "upstream saw nothing".to_owned(),
        };
        let natively = explanation
            .as_ref()
            .map(|explanation| explanation.refusal.as_ref().map_or("allow", |refusal| refusal.reason.code()));
        let here = reason.or(observed.upstream.as_ref().map(|_| "allow"));
        let remark = match (natively, here) {
            (None, _) => Some(UNEXPLAINED),
            (Some(natively), Some(here)) if natively != here => Some(UNLIKE),
            _ => None,
        };
        let refusal = explanation.as_ref().and_then(|explanation| explanation.refusal.as_ref());
        let mut told: Vec<String> = refusal
            .map(|refusal| format!("{}: {}", refusal.reason.code(), refusal.detail))
            .into_iter()
            .collect();
        for violation in refusal.map_or(&[][..], |refusal| refusal.violations.as_slice()) {
            told.push(format!("`{}` {}", violation.pointer, violation.detail));
        }
        let considered = explanation.iter().flat_map(|explanation| &explanation.considered);
        Self {
            step: (*steps > 1 || *turn > 1).then(|| format!("step {step} of {steps}, turn {turn}")),
            request: request::lines(sent),
            expected,
            got: format!("{decision}; {upstream}"),
            problems: problems.clone(),
            considered: considered
                .map(|c| [c.room.name().to_owned(), home.place(&c.at), c.what.clone()])
                .collect(),
            refusal: told,
            remark,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_broke_is_told_beside_what_passed() {
        let passed = CaseResult {
            file: "a".into(),
            line: None,
            case: "a".into(),
            row: None,
            way: None,
            status: Status::Passed,
            by_proxy: true,
            requests: 1,
            took: Duration::ZERO,
        };
        let broken = vec!["VM restarts: 1".to_owned()];
        let settings = Settings::default();
        let mut results =
            Results { settings, cases: vec![passed], warnings: Vec::new(), broken, took: Duration::ZERO };
        assert_eq!((results.outcome(false), results.wrong().len()), (Outcome::NotRun, 1));
        assert_eq!((results.counts().passed, results.passed_by_proxy()), (1, 1));
        results.broken.clear();
        assert_eq!((results.outcome(false), results.outcome(true)), (Outcome::Fine, Outcome::Problems));
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("my-policy/tests"), "my-policy/tests");
        assert_eq!(quoted("what it's for"), "'what it'\\''s for'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a\u{1b}[1m's \\\n"), "$'a\\u001b[1m\\'s \\\\\\u000a'");
        assert_eq!(option("filter", "-1 is refused"), " --filter='-1 is refused'");
        assert_eq!(option("filter", "one"), " --filter one");
    }
}
