//! Many suites at once, in threads.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bartizan_host::Module;

use crate::agreement::Sight;
use crate::deployment::Signatures;
use crate::driver::{self, Driver, Moment, Ran, Verdict};
use crate::expand::{Concrete, Run, Target};
use crate::format::Http;
use crate::native::{self, Native, Traced};
use crate::simulated::{self, Settings, Simulated};
use crate::suite::{Loaded, Prepared};

/// Runs that one proxy does at most before another thread may take over the rest of a suite. Below this the start of
/// a proxy would cost more than the second core gains.
const PORTION: usize = 60;

/// Where runs happen.
#[derive(Debug, Clone)]
pub enum Place {
    /// In the engine.
    Native,
    /// Through the module in a simulated Envoy.
    Simulated(Simulation),
}

/// A module, and in which ways it is run.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// The module.
    pub module: Module,
    /// The signature paths, for suites whose policy reads tokens; others run once.
    pub signatures: Vec<Signatures>,
    /// The versions of HTTP. A case for another one runs over that.
    pub protocols: Vec<Http>,
}

impl Simulation {
    /// A module from a file, run once with each case: over HTTP/1.1, with the signature path that it chooses itself.
    ///
    /// # Errors
    /// If there is no module, or none that Envoy would take; the message has the remedy.
    pub fn load(wasm: &Path) -> Result<Self, String> {
        let module = simulated::load(wasm)?;
        Ok(Self { module, signatures: vec![Signatures::Auto], protocols: vec![Http::V1] })
    }
}

/// What to run, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only runs whose label contains this.
    pub filter: Option<String>,
    /// What the worker of each request is drawn from.
    pub seed: u64,
    /// How many threads; at least one.
    pub threads: usize,
    /// Whether runs that pass are traced as well.
    pub traced: bool,
    /// Whether what came back is kept for comparison with another place.
    pub compared: bool,
}

impl Default for Options {
    /// Everything, on all cores.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { filter: None, seed: 0, threads, traced: false, compared: false }
    }
}

/// A run that is over.
#[derive(Debug, Clone)]
pub struct Outcome<'a> {
    /// The suite of the run.
    pub suite: &'a Loaded,
    /// The run.
    pub run: &'a Run,
    /// Where it happened.
    pub target: Target,
    /// Who checked signatures; nothing natively.
    pub signatures: Option<Signatures>,
    /// What it came to.
    pub verdict: Verdict,
    /// How many requests were sent.
    pub requests: u32,
    /// How long it took.
    pub took: Duration,
    /// What the engine considered natively, for one request after the other, if that was asked for; as far as
    /// [`native::trace`] can tell.
    pub traced: Vec<Traced>,
    /// What came back, for one request after the other, if that was asked for.
    pub sights: Vec<Sight>,
}

/// What a session came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs, those that were left out not counted.
    pub runs: usize,
    /// Runs in which everything was as expected.
    pub passed: usize,
    /// Runs in which something was not.
    pub failed: usize,
    /// Runs that could not be done.
    pub errors: usize,
    /// Runs that were left out, by the reason that the case gives.
    pub skipped: BTreeMap<String, usize>,
    /// Requests.
    pub requests: u64,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome<'_>) {
        self.requests = self.requests.saturating_add(outcome.requests.into());
        match &outcome.verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::Error(_) => self.errors += 1,
            Verdict::Skipped(why) => {
                *self.skipped.entry(why.clone()).or_default() += 1;
                return;
            }
        }
        self.runs += 1;
    }
}

/// Runs all cases of some suites. `each` is called when a run is over, from any thread; runs end in no certain order.
pub fn run(
    suites: &[Loaded],
    place: &Place,
    options: &Options,
    each: &(dyn Fn(Outcome<'_>) + Sync),
) -> Tally {
    let session = Session { place, options, each, tally: Mutex::default() };
    let prepared: Vec<Result<Prepared, String>> = suites.iter().map(Loaded::prepare).collect();
    let mut portions: VecDeque<Portion<'_>> = VecDeque::new();
    // The number of a run does not depend on what else is run, so that one alone gets what it got among others.
    let mut number = 0_u32;
    for (suite, prepared) in suites.iter().zip(&prepared) {
        let mut runs = Vec::new();
        for run in &suite.runs {
            number = number.saturating_add(1);
            if options.filter.as_ref().is_none_or(|text| run.label().contains(text.as_str())) {
                runs.push((number, run));
            }
        }
        for way in place.ways(prepared.as_ref().ok()) {
            let mine: Vec<_> = runs.iter().copied().filter(|(_, run)| way.takes(run, place)).collect();
            portions.extend(mine.chunks(PORTION).map(|runs| Portion {
                suite,
                prepared,
                way,
                runs: runs.to_vec(),
            }));
        }
    }
    let portions = Mutex::new(portions);
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let Some(portion) = lock(&portions).pop_front() else { return };
                    session.work(&portion);
                }
            });
        }
    });
    session.tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// One way to run a case.
#[derive(Debug, Clone, Copy)]
struct Way {
    target: Target,
    signatures: Option<Signatures>,
}

impl Way {
    /// Whether this way is the one for a run. A run for one version of HTTP that nobody asked for goes the last way: there
    /// it runs over its own.
    fn takes(self, run: &Run, place: &Place) -> bool {
        let Place::Simulated(simulation) = place else { return true };
        let Some(only) = run.only.as_ref().and_then(|only| only.http) else { return true };
        self.target == Target::Simulated(only)
            || (!simulation.protocols.contains(&only)
                && simulation.protocols.last().copied() == self.target.http())
    }
}

impl Place {
    fn ways(&self, prepared: Option<&Prepared>) -> Vec<Way> {
        match self {
            Self::Native => vec![Way { target: Target::Native, signatures: None }],
            Self::Simulated(simulation) => {
                // Where nobody signs anything there is one path.
                let signed = prepared.is_some_and(|prepared| !prepared.plan.authentication.jwt.is_empty());
                let auto = [Signatures::Auto];
                let paths = if signed { simulation.signatures.as_slice() } else { &auto };
                let ways = paths.iter().flat_map(|&signatures| {
                    simulation.protocols.iter().map(move |&http| Way {
                        target: Target::Simulated(http),
                        signatures: Some(signatures),
                    })
                });
                ways.collect()
            }
        }
    }
}

/// Some runs of one suite.
struct Portion<'a> {
    suite: &'a Loaded,
    prepared: &'a Result<Prepared, String>,
    way: Way,
    runs: Vec<(u32, &'a Run)>,
}

struct Session<'a> {
    place: &'a Place,
    options: &'a Options,
    each: &'a (dyn Fn(Outcome<'_>) + Sync),
    tally: Mutex<Tally>,
}

impl Session<'_> {
    fn work(&self, portion: &Portion<'_>) {
        let prepared = portion.prepared.as_ref();
        // One driver for each version of HTTP, for a case may be for one alone.
        let mut drivers: BTreeMap<Option<Http>, Result<Box<dyn Driver>, String>> = BTreeMap::new();
        let mut tracer = None;
        for (number, run) in &portion.runs {
            let http = run.only.as_ref().and_then(|only| only.http).or(portion.way.target.http());
            let http = http.filter(|_| portion.way.target != Target::Native);
            let driver = drivers.entry(http).or_insert_with(|| {
                let prepared = prepared.map_err(Clone::clone)?;
                self.driver(prepared, portion.way, http)
            });
            let started = Instant::now();
            let (mut traced, mut sights) = (Vec::new(), Vec::new());
            let (target, ran) = match (driver, prepared) {
                (Ok(driver), Ok(prepared)) => {
                    let began = driver.now();
                    let mut look = |moment: &Moment<'_>| {
                        if self.options.compared {
                            let Concrete { wire, expect } = moment.concrete;
                            sights.push(Sight::of(wire, expect, moment.observed));
                        }
                    };
                    let mut ran = driver::watch(driver.as_mut(), run, *number, &prepared.mint, &mut look);
                    let failed = matches!(ran.verdict, Verdict::Failed(_));
                    let skipped = matches!(ran.verdict, Verdict::Skipped(_));
                    if failed || (self.options.traced && !skipped) {
                        traced = trace(&mut tracer, prepared, run, *number, began);
                        // What comes after a failure was never sent.
                        traced.truncate(usize::try_from(ran.requests).unwrap_or(usize::MAX));
                        explain(&mut ran, &traced);
                    }
                    (driver.target(), ran)
                }
                (Err(why), _) => {
                    (portion.way.target, Ran { verdict: Verdict::Error(why.clone()), requests: 0 })
                }
                (_, Err(why)) => {
                    (portion.way.target, Ran { verdict: Verdict::Error(why.clone()), requests: 0 })
                }
            };
            if !self.options.traced {
                traced.clear();
            }
            let outcome = Outcome {
                suite: portion.suite,
                run,
                target,
                signatures: portion.way.signatures,
                verdict: ran.verdict,
                requests: ran.requests,
                took: started.elapsed(),
                traced,
                sights,
            };
            lock(&self.tally).count(&outcome);
            (self.each)(outcome);
        }
    }

    fn driver(&self, prepared: &Prepared, way: Way, http: Option<Http>) -> Result<Box<dyn Driver>, String> {
        match (self.place, http) {
            (Place::Simulated(simulation), Some(http)) => {
                let signatures = way.signatures.unwrap_or(Signatures::Auto);
                let settings = Settings { signatures, http, seed: self.options.seed };
                Ok(Box::new(Simulated::start(&simulation.module, prepared, settings)?))
            }
            _ => Ok(Box::new(engine(prepared)?)),
        }
    }
}

fn engine(prepared: &Prepared) -> Result<Native, String> {
    Native::of(prepared).map_err(|error| format!("the engine does not take the plan: {error}"))
}

/// What the engine considers natively for a run that began at this moment. Nothing, if it cannot.
fn trace(
    tracer: &mut Option<Native>,
    prepared: &Prepared,
    run: &Run,
    number: u32,
    began: Duration,
) -> Vec<Traced> {
    if tracer.is_none() {
        *tracer = engine(prepared).ok();
    }
    let Some(native) = tracer else { return Vec::new() };
    native::trace(native, run, number, began, &prepared.mint).unwrap_or_default()
}

/// Adds to a failure what the engine considered for the request that failed, which was the last.
fn explain(ran: &mut Ran, traced: &[Traced]) {
    if let Verdict::Failed(failure) = &mut ran.verdict {
        let last = usize::try_from(ran.requests).ok().and_then(|count| count.checked_sub(1));
        failure.explanation = last.and_then(|last| traced.get(last)).cloned();
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
