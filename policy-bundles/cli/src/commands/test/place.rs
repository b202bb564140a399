//! Where the cases run: in the module that ships, in a simulated Envoy; or in the engine alone.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bartizan_cases::driver::Verdict;
use bartizan_cases::expand::Run;
use bartizan_cases::find::plain;
use bartizan_cases::session::{self, Options, Outcome, Place, Simulation};
use bartizan_cases::suite::Loaded;

use super::Test;
use super::coverage::Coverages;
use super::found::{self, Found};
use super::progress::Progress;
use super::results::{CaseResult, Results, Settings, Status, option};
use crate::output::shown;

/// What the module is called.
const MODULE: &str = "bartizan.wasm";

/// Runs what was found.
///
/// # Errors
/// When nothing can be run at all.
pub(super) fn run(
    test: &Test,
    mut settings: Settings,
    found: &Found,
    coverages: Coverages,
) -> Result<(Results, Coverages), String> {
    let all = found.suites.iter().map(|suite| suite.runs.len()).sum();
    let progress = Progress::new(all);
    let place = if test.native {
        settings.place = "in the engine alone".to_owned();
        settings.arguments = " --native".to_owned();
        Place::Native
    } else {
        let module = module(test.module.as_deref())?;
        progress.say(&format!("reading {}", shown(&module)));
        settings.place = format!("through {} in a simulated Envoy, seed {}", module.display(), test.seed);
        settings.arguments = format!(" --seed {}", test.seed);
        if let Some(given) = &test.module {
            settings.arguments += &option("module", &given.display().to_string());
        }
        Place::Simulated(Simulation::load(&module).inspect_err(|_| progress.end())?)
    };
    let options = Options {
        filter: test.filter.clone(),
        seed: test.seed,
        traced: settings.coverage,
        ..Options::default()
    };
    let collected = Mutex::new(Collected { cases: Vec::new(), coverages });
    let order = Order::of(&found.suites);
    let started = Instant::now();
    session::run(&found.suites, &place, &options, &|outcome| {
        progress.step(!matches!(outcome.verdict, Verdict::Passed | Verdict::Skipped(_)));
        collected.lock().unwrap_or_else(PoisonError::into_inner).take(outcome, &order);
    });
    progress.end();
    let took = started.elapsed();
    let Collected { mut cases, coverages } = collected.into_inner().unwrap_or_else(PoisonError::into_inner);
    cases.sort_by_key(|(place, _)| *place);
    let mut cases: Vec<CaseResult> = cases.into_iter().map(|(_, case)| case).collect();
    cases.extend(unread(found));
    let warnings = found.warnings(test.filter.as_deref());
    Ok((Results { settings, cases, warnings, broken: Vec::new(), took }, coverages))
}

/// A result for each file that could not be read.
pub(super) fn unread(found: &Found) -> impl Iterator<Item = CaseResult> {
    found.unread.iter().map(|(file, wrong)| CaseResult {
        file: file.clone(),
        line: None,
        case: String::new(),
        row: None,
        way: None,
        status: Status::Error(wrong.join("\n")),
        by_proxy: false,
        requests: 0,
        took: Duration::ZERO,
    })
}

/// Where each run stands among all, and where in its file its case begins: runs end in any order. A run is known by its
/// label; two rows that are written alike are alike.
#[derive(Debug)]
pub(super) struct Order {
    places: HashMap<String, (usize, Option<usize>)>,
}

impl Order {
    pub(super) fn of(suites: &[Loaded]) -> Self {
        let mut places = HashMap::new();
        for suite in suites {
            for run in &suite.runs {
                let number = places.len();
                places.entry(run.label()).or_insert_with(|| (number, suite.lines.get(&run.case).copied()));
            }
        }
        Self { places }
    }

    pub(super) fn place(&self, run: &Run) -> (usize, Option<usize>) {
        self.places.get(&run.label()).copied().unwrap_or((usize::MAX, None))
    }
}

struct Collected {
    cases: Vec<(usize, CaseResult)>,
    coverages: Coverages,
}

impl Collected {
    fn take(&mut self, outcome: Outcome<'_>, order: &Order) {
        let Outcome { suite, run, verdict, requests, took, traced, .. } = outcome;
        self.coverages.add(suite, &traced);
        let (place, line) = order.place(run);
        let home = found::home(suite);
        let file = plain(&suite.path).display().to_string();
        self.cases.push((place, CaseResult::of((file, line), run, (verdict, requests), took, &home)));
    }
}

/// The module to test: what was asked for, or `bartizan.wasm` beside this command or in dist/.
pub(super) fn module(given: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(given) = given {
        if given.is_file() {
            return Ok(given.to_owned());
        }
        return Err(format!("no module at {}; give the {MODULE} of a release", shown(given)));
    }
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(MODULE)));
    let places: Vec<PathBuf> = beside.into_iter().chain([Path::new("dist").join(MODULE)]).collect();
    places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
        let places: Vec<String> = places.iter().map(|place| shown(place)).collect();
        format!(
            "no module to test: neither {}; give the {MODULE} of a release with --module FILE, or test in the engine alone \
             with --native",
            places.join(" nor ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_not_there_is_an_error_with_a_remedy() {
        let error = module(Some(Path::new("/nonexistent/x.wasm"))).unwrap_err();
        assert!(error.contains("/nonexistent/x.wasm") && error.contains("of a release"), "{error}");
    }
}
