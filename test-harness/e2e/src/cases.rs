//! Runs behaviour cases in a real Envoy: every suite, over both protocols, with either signature path.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use bartizan_cases::agreement::Sight;
use bartizan_cases::driver::{self, Driver as _, Verdict};
use bartizan_cases::expand::Run;
use bartizan_cases::format::State;
use bartizan_cases::suite::{self, Loaded};
use tokio::sync::{RwLock, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};

use crate::client::Protocol;
use crate::config;
use crate::deploy::{Policy, Post, Signatures, Stage, Tools};
use crate::driven::{Driven, target};
use crate::pack::pack;
use crate::report::{Done, Report, UNSAYABLE};

/// Runs under way at the same time in one Envoy.
const AT_ONCE: usize = 16;

/// Policies in one Envoy at most. More would save start-ups that hardly cost anything any more, need more memory
/// and leave one core idle; a proxy that breaks then has more suites in it.
const POSTS: usize = 20;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only runs whose label contains this.
    pub only: Option<String>,
    /// The signature paths to run with.
    pub signatures: Vec<Signatures>,
    /// Whether what came back is kept for comparison with another place.
    pub compared: bool,
}

/// A run that is over.
#[derive(Debug)]
pub struct Ended {
    /// The run.
    pub run: Run,
    /// Over which protocol and signature path.
    pub way: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Requests sent.
    pub requests: usize,
    /// How long it took, waiting for other runs included.
    pub took: Duration,
    /// Its number, from which its subject and its address are made.
    pub number: u32,
    /// When it began, since 1970.
    pub began: Duration,
    /// Whether the proxy answered any of its requests itself, before the filter saw it.
    pub by_proxy: bool,
}

/// Is called when a run is over or left out, from any thread.
pub type Each = Arc<dyn Fn(Ended) + Send + Sync>;

/// Numbers that no two runs of this process share.
static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// Loads every case file of the repository.
///
/// # Errors
/// With all that is wrong in any of them.
pub fn load() -> Result<Vec<Loaded>> {
    let root = config::root()?;
    let places: [PathBuf; 2] = [root.join("test-harness/cases"), root.join("policy-bundles/library")];
    let (mut suites, mut wrong) = (Vec::new(), Vec::new());
    for place in places {
        match suite::load_all(&place) {
            Ok(mut loaded) => suites.append(&mut loaded),
            Err(errors) => wrong.extend(errors.iter().map(ToString::to_string)),
        }
    }
    if wrong.is_empty() { Ok(suites) } else { bail!("{}", wrong.join("\n")) }
}

/// A policy at its post, and the runs that are sent there.
struct Job {
    post: Post,
    /// How the report calls runs of this job, after the protocol.
    signatures: Signatures,
    compared: bool,
    /// Each round waits for the one before.
    rounds: Vec<(Protocol, Vec<Run>)>,
}

/// Runs the cases of the repository and reports.
///
/// # Errors
/// When a policy cannot be compiled, or no case is run. Cases that fail and proxies that break are in the report.
pub async fn run(options: &Options) -> Result<Report> {
    let report = run_suites(&load()?, options, &Tools::found()?, &(Arc::new(drop) as Each)).await?;
    match report.emptiness(options.only.as_deref()) {
        Some(why) => bail!(why),
        None => Ok(report),
    }
}

/// Runs the cases of some suites, and waits for the end: for programs that have nothing else to do.
///
/// # Errors
/// When a policy cannot be compiled. That every case is left out is no error here, and proxies that break are in the report.
pub fn run_and_wait(suites: &[Loaded], options: &Options, tools: &Tools, each: &Each) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run_suites(suites, options, tools, each))
}

/// Runs the cases of some suites and reports.
///
/// # Errors
/// As for [`run_and_wait`].
pub async fn run_suites(suites: &[Loaded], options: &Options, tools: &Tools, each: &Each) -> Result<Report> {
    let mut report = Report::default();
    let mut jobs = Vec::new();
    for suite in suites {
        let wanted = |run: &&Run| options.only.as_ref().is_none_or(|only| run.label().contains(only));
        let runs: Vec<Run> = suite.runs.iter().filter(wanted).cloned().collect();
        if runs.is_empty() {
            continue;
        }
        report.suites += 1;
        report.cases += runs.len();
        let policy = prepare(suite)?;
        // Where nobody signs anything there is one path.
        let signed = !policy.plan.authentication.jwt.is_empty();
        let paths: &[Signatures] = if signed { &options.signatures } else { &[Signatures::Auto] };
        for &signatures in paths {
            let mut of_suite = jobs_of(suite, &runs, &policy, signatures, (&mut report, each));
            of_suite.iter_mut().for_each(|job| job.compared = options.compared);
            jobs.append(&mut of_suite);
        }
    }
    // Two at a time: they keep two cores busy.
    let (free, quiet) = (Arc::new(Semaphore::new(2)), Quiet::default());
    let mut under_way = JoinSet::new();
    for jobs in pack(jobs, POSTS, |job| &job.post.policy.secrets) {
        let (free, quiet, tools, each) = (Arc::clone(&free), quiet.clone(), tools.clone(), Arc::clone(each));
        under_way.spawn(async move {
            let _permit = free.acquire().await;
            let mut report = Report::default();
            // What ended before something broke was judged, and is not lost.
            if let Err(error) = run_jobs(jobs, &quiet, &tools, &each, &mut report).await {
                report.broken.push(format!("{error:#}"));
            }
            report
        });
    }
    while let Some(part) = under_way.join_next().await {
        report.merge(part?);
    }
    report.failures.sort();
    Ok(report)
}

/// What there is to do for one suite with one signature path. Counts what is left out.
fn jobs_of(
    suite: &Loaded,
    runs: &[Run],
    policy: &Policy,
    signatures: Signatures,
    (report, each): (&mut Report, &Each),
) -> Vec<Job> {
    let name = format!("{}, signatures {signatures}", suite.file);
    let tls = runs.iter().any(Run::presents_certificates);
    let job = |name: String, rounds| Job {
        post: Post { tls, ..Post::new(name, policy.clone(), signatures) },
        signatures,
        compared: false,
        rounds,
    };
    let (mut rounds, mut alone) = (Vec::new(), Vec::new());
    for protocol in Protocol::ALL {
        let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
        for run in runs.iter().cloned() {
            match run.left_out(target(protocol)) {
                Some(why) => left_out.push((run, why)),
                None => chosen.push(run),
            }
        }
        for (run, why) in left_out {
            *report.skipped.entry(why.clone()).or_default() += 1;
            report.record.leave_out(&run, target(protocol).http(), Some(signatures), &why);
            let (way, verdict) = (protocol.to_string(), Verdict::Skipped(why));
            let nothing = (0, Duration::ZERO, 0, Duration::ZERO);
            let (requests, took, number, began) = nothing;
            each(Ended { run, way, verdict, requests, took, number, began, by_proxy: false });
        }
        if suite.suite.state == State::Case {
            for (number, run) in chosen.into_iter().enumerate() {
                alone.push(job(format!("{name}, {protocol}, run {number}"), vec![(protocol, vec![run])]));
            }
        } else if !chosen.is_empty() {
            rounds.push((protocol, chosen));
        }
    }
    // Nothing is put in force for nobody.
    if !rounds.is_empty() {
        alone.push(job(name, rounds));
    }
    alone
}

/// Lets runs that a slow answer could spoil have the machine for themselves.
///
/// A budget of a hundred a minute gives one back in 600 ms: a run that spends it has to be done by then. Beside
/// dozens of other runs, or an Envoy that compiles, it would not be.
#[derive(Clone, Default)]
struct Quiet(Arc<RwLock<()>>);

impl Quiet {
    /// Whether a run sends requests in a row, against the clock.
    fn wanted_by(run: &Run) -> bool {
        run.steps.iter().any(|step| step.repeat > 1)
    }
}

/// Puts the policies of some jobs in force in one Envoy, and does the jobs side by side.
async fn run_jobs(
    jobs: Vec<Job>,
    quiet: &Quiet,
    tools: &Tools,
    each: &Each,
    report: &mut Report,
) -> Result<()> {
    let posts: Vec<Post> = jobs.iter().map(|job| job.post.clone()).collect();
    let stage = {
        let _noise = quiet.0.read().await;
        Arc::new(Stage::start_with(&posts, tools).await?)
    };
    let free = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = JoinSet::new();
    for job in jobs {
        let (stage, free, quiet, each) =
            (Arc::clone(&stage), Arc::clone(&free), quiet.clone(), Arc::clone(each));
        under_way.spawn(async move { run_job(&stage, job, &free, &quiet, &each).await });
    }
    while let Some(part) = under_way.join_next().await {
        report.merge(part??);
    }
    let mut stage = Arc::into_inner(stage).context("a run is still under way")?;
    // Whatever broke the proxy is among the runs that failed.
    stage.unharmed().await?;
    stage.envoy.stop().await;
    Ok(())
}

async fn run_job(
    stage: &Arc<Stage>,
    job: Job,
    free: &Arc<Semaphore>,
    quiet: &Quiet,
    each: &Each,
) -> Result<Report> {
    let mut report = Report::default();
    let guard = Arc::new(stage.guard(&job.post.name)?.clone());
    for (protocol, runs) in job.rounds {
        let key = format!("{protocol}, signatures: {}", job.signatures);
        *report.runs.entry(key.clone()).or_default() += runs.len();
        let mut under_way = JoinSet::new();
        for run in runs {
            let (stage, guard, free) = (Arc::clone(stage), Arc::clone(&guard), Arc::clone(free));
            let quiet = quiet.clone();
            under_way.spawn(async move {
                let _permit = free.acquire().await;
                let started = Instant::now();
                let envoy = Driven::new(stage, guard, protocol);
                let in_quiet = Quiet::wanted_by(&run);
                // A driver waits for each answer: not on the threads that bring it.
                let go = || spawn_blocking(move || (run_one(envoy, &run), run));
                let done = if in_quiet {
                    let _silence = quiet.0.write().await;
                    go().await
                } else {
                    let _noise = quiet.0.read().await;
                    go().await
                };
                done.map(|(done, run)| (run, done, started.elapsed()))
            });
        }
        while let Some(joined) = under_way.join_next().await {
            let (run, done, took) = joined??;
            report.add(&run, &key, &done);
            let Done { verdict, requests, number, began, sights } = done;
            let by_proxy = sights.iter().any(|sight| sight.by_proxy);
            let (http, by) = (target(protocol).http(), Some(job.signatures));
            match &verdict {
                Verdict::Skipped(why) => report.record.leave_out(&run, http, by, why),
                Verdict::Passed if job.compared => report.record.add(&run, http, by, sights),
                _ => {}
            }
            each(Ended { run, way: key.clone(), verdict, requests, took, number, began, by_proxy });
        }
    }
    Ok(report)
}

fn run_one(mut envoy: Driven, run: &Run) -> Done {
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let (began, mint) = (envoy.now(), envoy.guard.mint.clone());
    let mut sights = Vec::new();
    let ran = driver::watch(&mut envoy, run, number, &mint, &mut |moment| {
        sights.push(Sight::of(&moment.concrete.wire, &moment.concrete.expect, moment.observed));
    });
    let verdict = if envoy.unsayable { Verdict::Skipped(UNSAYABLE.to_owned()) } else { ran.verdict };
    Done { verdict, requests: usize::try_from(ran.requests).unwrap_or(usize::MAX), number, began, sights }
}

/// The policy of a suite, with the keys that the suite asks for.
fn prepare(suite: &Loaded) -> Result<Policy> {
    let prepared = suite.prepare().map_err(|error| anyhow!("{}: {error}", suite.file))?;
    Ok(Policy { plan: prepared.plan, secrets: prepared.secrets })
}
