//! What came of the cases, counted and as text.

use std::collections::BTreeMap;
use std::time::Duration;

use bartizan_cases::agreement::{Record, Sight};
use bartizan_cases::driver::Verdict;
use bartizan_cases::expand::Run;

/// What was run.
#[derive(Debug, Default)]
pub struct Report {
    /// Case files.
    pub suites: usize,
    /// Cases, table rows counted apart.
    pub cases: usize,
    /// How often a case ran, by protocol and signature path.
    pub runs: BTreeMap<String, usize>,
    /// Requests sent.
    pub requests: usize,
    /// Runs that were left out, by the reason that the case or the protocol gives.
    pub skipped: BTreeMap<String, usize>,
    /// What went wrong, by case.
    pub failures: Vec<String>,
    /// Which proxies broke or did not start, and why: what they came to until then is counted all the same.
    pub broken: Vec<String>,
    /// What came back, if it was asked for.
    pub record: Record,
}

/// What one run came to.
pub(crate) struct Done {
    pub(crate) verdict: Verdict,
    /// Requests sent.
    pub(crate) requests: usize,
    /// The number of the run, and when it began.
    pub(crate) number: u32,
    pub(crate) began: Duration,
    /// What came back, request by request.
    pub(crate) sights: Vec<Sight>,
}

/// Why a run is left out that HTTP/2 cannot express.
pub(crate) const UNSAYABLE: &str = "HTTP/2 has no way to say this request";

impl Report {
    pub(crate) fn merge(&mut self, mut part: Report) {
        self.requests += part.requests;
        self.failures.append(&mut part.failures);
        self.broken.append(&mut part.broken);
        self.record.merge(part.record);
        for (all, some) in [(&mut self.runs, part.runs), (&mut self.skipped, part.skipped)] {
            for (name, count) in some {
                *all.entry(name).or_default() += count;
            }
        }
    }

    pub(crate) fn add(&mut self, run: &Run, key: &str, done: &Done) {
        self.requests += done.requests;
        let wrong = match &done.verdict {
            Verdict::Passed => return,
            Verdict::Skipped(why) => return *self.skipped.entry(why.clone()).or_default() += 1,
            Verdict::Failed(failure) => failure.problems.join("\n    "),
            Verdict::Error(why) => why.clone(),
        };
        self.failures.push(format!("{} ({key})\n    {wrong}", run.label()));
    }

    /// Why nothing was run, if nothing was: an empty run shows nothing.
    #[must_use]
    pub fn emptiness(&self, only: Option<&str>) -> Option<String> {
        // A run that nobody can say over HTTP/2 counts as begun, and sends nothing.
        if self.requests > 0 || !self.failures.is_empty() || !self.broken.is_empty() {
            return None;
        }
        if self.cases == 0 {
            let named =
                only.map(|only| format!(" has `{only}` in its file, name or row")).unwrap_or_default();
            return Some(format!("no case{named}, and an empty run shows nothing"));
        }
        let why = self.skipped.iter().map(|(why, count)| format!("{count} left out: {why}"));
        let why = why.collect::<Vec<_>>().join("; ");
        Some(format!("no case was run, of {}, and an empty run shows nothing; {why}", self.cases))
    }

    /// Whether nothing failed and nothing broke.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.broken.is_empty()
    }

    /// The report as text; the last line says whether all is well.
    #[must_use]
    pub fn text(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for failure in &self.failures {
            let _ = writeln!(text, "FAILED {failure}");
        }
        for broken in &self.broken {
            let _ = writeln!(text, "BROKEN {broken}");
        }
        for (key, count) in &self.runs {
            let _ = writeln!(text, "  {count:5} runs over {key}");
        }
        for (why, count) in &self.skipped {
            let _ = writeln!(text, "  {count:5} left out: {why}");
        }
        let total: usize = self.runs.values().sum();
        let _ = write!(
            text,
            "cases in Envoy: {} files, {} cases, {total} runs, {} requests, {} failed",
            self.suites,
            self.cases,
            self.requests,
            self.failures.len()
        );
        if !self.broken.is_empty() {
            let _ = write!(text, ", and {} of the proxies broke", self.broken.len());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use bartizan_cases::suite::{Loaded, parse};

    use crate::cases::{Options, run_and_wait};
    use crate::deploy::{Signatures, Tools};

    /// Nothing is started, so that there need be no Envoy.
    #[test]
    fn a_run_of_nothing_is_told_with_its_reasons() {
        let bundle = "{apiVersion: bartizan/v1, name: x, routes: [{path: /, access: public, limits: []}]}";
        let text = format!(
            "bundle: {{text: '{bundle}'}}\ncases: [{{name: a, only: {{run: simulated, because: time moves}}}}]\n"
        );
        for state in ["", "state: case\n"] {
            let (suite, runs) = parse(&format!("{state}{text}"), "s").unwrap();
            let (path, file, lines) = ("s".into(), "s".into(), std::collections::BTreeMap::new());
            let suites = [Loaded { path, file, suite, runs, lines }];
            let tools = Tools { module: PathBuf::from("/nonexistent"), envoy: Some("/nonexistent".into()) };
            let report = |only: Option<&str>| {
                let only = only.map(str::to_owned);
                let options = Options { only, signatures: vec![Signatures::Auto], compared: false };
                run_and_wait(&suites, &options, &tools, &(Arc::new(drop) as crate::cases::Each)).unwrap()
            };
            assert_eq!(
                report(None).emptiness(None).unwrap(),
                "no case was run, of 1, and an empty run shows nothing; 2 left out: time moves"
            );
            let other = report(Some("b")).emptiness(Some("b")).unwrap();
            assert_eq!(other, "no case has `b` in its file, name or row, and an empty run shows nothing");
        }
    }

    /// No Envoy starts, and what was told of other runs is told all the same.
    #[test]
    fn a_proxy_that_breaks_takes_no_results_with_it() {
        let bundle = "{apiVersion: bartizan/v1, name: x, routes: [{path: /, access: public, limits: []}]}";
        let text = format!(
            "bundle: {{text: '{bundle}'}}\ncases: [{{name: a}}, {{name: b, only: {{run: simulated, because: time moves}}}}]\n"
        );
        let (suite, runs) = parse(&text, "s").unwrap();
        let (path, file, lines) = ("s".into(), "s".into(), std::collections::BTreeMap::new());
        let suites = [Loaded { path, file, suite, runs, lines }];
        let tools = Tools { module: PathBuf::from("/nonexistent"), envoy: Some("/nonexistent".into()) };
        let options = Options { only: None, signatures: vec![Signatures::Auto], compared: false };
        let each = Arc::new(drop) as crate::cases::Each;
        let report = run_and_wait(&suites, &options, &tools, &each).unwrap();
        assert_eq!((report.broken.len(), report.cases, report.skipped.len()), (1, 2, 1), "{report:?}");
        assert!(!report.is_good() && report.emptiness(None).is_none());
        assert!(report.text().contains("BROKEN ") && report.text().ends_with("1 of the proxies broke"));
    }
}
