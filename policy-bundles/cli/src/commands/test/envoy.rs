//! The same cases through a real Envoy, by the means of the end-to-end tests.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bartizan_cases::driver::Verdict;
use bartizan_cases::find::plain;
use bartizan_cases::native::{self, Native, Traced};
use bartizan_cases::suite::{Loaded, Prepared};
use bartizan_e2e::cases::{Each, Ended, Options, run_and_wait};
use bartizan_e2e::deploy::{Signatures, Tools};

use super::Test;
use super::coverage::Coverages;
use super::found::{self, Found};
use super::place::{self, Order};
use super::progress::Progress;
use super::results::{CaseResult, Results, Settings, option};
use crate::output::shown;

/// Runs what was found.
///
/// # Errors
/// When there is no Envoy, or it does not take a policy.
pub(super) fn run(
    test: &Test,
    mut settings: Settings,
    found: &Found,
    mut coverages: Coverages,
) -> Result<(Results, Coverages), String> {
    let envoy = binary(test.envoy_path.clone())?;
    let module = place::module(test.module.as_deref())?;
    // Envoy has another working directory in mind than people have.
    let absolute = module.canonicalize().map_err(|error| format!("{}: {error}", module.display()))?;
    settings.place = format!("through {} in {}", module.display(), envoy.display());
    settings.arguments = format!(" --envoy{}", option("envoy-path", &envoy.display().to_string()));
    if let Some(given) = &test.module {
        settings.arguments += &option("module", &given.display().to_string());
    }
    let order = Order::of(&found.suites);
    let (mut good, mut cases) = (Vec::new(), Vec::new());
    for suite in &found.suites {
        match suite.prepare() {
            Ok(prepared) => good.push((suite, prepared)),
            Err(why) => cases.extend(refused(suite, &why, test.filter.as_deref(), &order)),
        }
    }
    let suites: Vec<Loaded> = good.iter().map(|(suite, _)| (*suite).clone()).collect();
    let wanted = |run: &&bartizan_cases::expand::Run| {
        test.filter.as_ref().is_none_or(|text| run.label().contains(text.as_str()))
    };
    let started = Instant::now();
    let mut broken = Vec::new();
    if suites.iter().flat_map(|suite| &suite.runs).any(|run| wanted(&run)) {
        let options =
            Options { only: test.filter.clone(), signatures: vec![Signatures::Auto], compared: false };
        let tools = Tools { module: absolute, envoy: Some(envoy) };
        let (ended, what_broke) = all(&suites, &options, &tools, &good)?;
        broken = what_broke;
        for (ended, suite, prepared) in ended {
            let (place, line) = order.place(&ended.run);
            cases.push((place, told(ended, line, suite, prepared, &mut coverages, &settings)));
        }
    }
    cases.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.way.cmp(&other.way)));
    let mut cases: Vec<CaseResult> = cases.into_iter().map(|(_, case)| case).collect();
    cases.extend(place::unread(found));
    let warnings = found.warnings(test.filter.as_deref());
    Ok((Results { settings, cases, warnings, broken, took: started.elapsed() }, coverages))
}

/// A run with its suite.
type Of<'a> = (Ended, &'a Loaded, &'a Prepared);

/// Everything that ended, told only when all has: what is said of a run shall not slow down the next. And which proxies
/// broke; without any run that ended this is all there is to say.
fn all<'a>(
    suites: &[Loaded],
    options: &Options,
    tools: &Tools,
    good: &'a [(&'a Loaded, Prepared)],
) -> Result<(Vec<Of<'a>>, Vec<String>), String> {
    // Over two versions of HTTP.
    let progress = Arc::new(Progress::new(suites.iter().map(|suite| suite.runs.len() * 2).sum()));
    progress.say("starting Envoy");
    let ended = Arc::new(Mutex::new(Vec::new()));
    let (into, line) = (Arc::clone(&ended), Arc::clone(&progress));
    let each: Each = Arc::new(move |run: Ended| {
        line.step(!matches!(run.verdict, Verdict::Passed | Verdict::Skipped(_)));
        into.lock().unwrap_or_else(PoisonError::into_inner).push(run);
    });
    let report = run_and_wait(suites, options, tools, &each);
    progress.end();
    let broken = report.map_err(|error| format!("{error:#}"))?.broken;
    let ended = std::mem::take(&mut *ended.lock().unwrap_or_else(PoisonError::into_inner));
    let whose = |run: &Ended| good.iter().find(|(suite, _)| suite.file == run.run.file);
    let ended: Vec<Of<'a>> = ended
        .into_iter()
        .filter_map(|run| whose(&run).map(|(suite, prepared)| (run, *suite, prepared)))
        .collect();
    let ran = ended.iter().any(|(run, _, _)| !matches!(run.verdict, Verdict::Skipped(_)));
    if ran || broken.is_empty() { Ok((ended, broken)) } else { Err(broken.join("\n")) }
}

/// One result, with what the engine says of the same requests.
fn told(
    ended: Ended,
    line: Option<usize>,
    suite: &Loaded,
    prepared: &Prepared,
    coverages: &mut Coverages,
    settings: &Settings,
) -> CaseResult {
    let Ended { run, way, mut verdict, requests, took, number, began, by_proxy } = ended;
    let skipped = matches!(verdict, Verdict::Skipped(_));
    let mut traced: Vec<Traced> = match &verdict {
        Verdict::Failed(_) => considered(prepared, &run, number, began),
        _ if settings.coverage && !skipped => considered(prepared, &run, number, began),
        _ => Vec::new(),
    };
    // What comes after a failure was never sent.
    traced.truncate(requests);
    if let Verdict::Failed(failure) = &mut verdict {
        failure.explanation = requests.checked_sub(1).and_then(|last| traced.get(last)).cloned();
    }
    // What Envoy's codecs refuse never reaches the filter.
    if settings.coverage && !by_proxy {
        coverages.add(suite, &traced);
    }
    let file = plain(&suite.path).display().to_string();
    let requests = u32::try_from(requests).unwrap_or(u32::MAX);
    let mut result = CaseResult::of((file, line), &run, (verdict, requests), took, &found::home(suite));
    result.way = Some(way);
    result.by_proxy = by_proxy;
    result
}

fn considered(
    prepared: &Prepared,
    run: &bartizan_cases::expand::Run,
    number: u32,
    began: Duration,
) -> Vec<Traced> {
    let Ok(mut native) = Native::of(prepared) else { return Vec::new() };
    native::trace(&mut native, run, number, began, &prepared.mint).unwrap_or_default()
}

/// The cases of a suite whose bundle does not compile.
fn refused(suite: &Loaded, why: &str, filter: Option<&str>, order: &Order) -> Vec<(usize, CaseResult)> {
    let runs = suite.runs.iter().filter(|run| filter.is_none_or(|text| run.label().contains(text)));
    let one = |run| {
        let (place, line) = order.place(run);
        let file = plain(&suite.path).display().to_string();
        let (verdict, home) = (Verdict::Error(why.to_owned()), found::home(suite));
        (place, CaseResult::of((file, line), run, (verdict, 0), Duration::ZERO, &home))
    };
    runs.map(one).collect()
}

/// The Envoy to use.
fn binary(given: Option<PathBuf>) -> Result<PathBuf, String> {
    match given {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => Err(format!(
            "no Envoy at {}; give the path of an Envoy binary with --envoy-path FILE",
            shown(&path)
        )),
        // A checkout has one that `make setup` got; others have their own.
        None => bartizan_e2e::envoy::binary().map_err(|_| {
            "no Envoy to test with; give the path of an Envoy binary with --envoy-path FILE".to_owned()
        }),
    }
}
