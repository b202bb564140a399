//! Runs behaviour cases in a real Envoy: every suite, over both protocols, with either signature path.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use bartizan_cases::agreement::Sight;
use bartizan_cases::driver::{Failure, Verdict};
use bartizan_cases::expand::{Run, Target};
use bartizan_cases::format::{Http, State};
use bartizan_cases::judge::judge;
use bartizan_cases::suite::{self, Loaded};
use bartizan_cases::wire::{Lines, Observed, Seen, Wire};
use tokio::sync::{RwLock, Semaphore};
use tokio::task::JoinSet;

use crate::client::{self, Protocol, h2};
use crate::config;
use crate::deploy::{self, Guard, Policy, Post, Signatures, Stage, Tools};
use crate::message::{Body, Request};
use crate::pack::pack;
use crate::report::{Done, Report, UNSAYABLE};
use crate::upstream::Answer;

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
/// When a suite cannot be put in force, the proxy breaks, or no case is run. Cases that fail are in the report.
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
/// When a suite cannot be put in force, or the proxy breaks. That every case is left out is no error here.
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
            run_jobs(jobs, &quiet, &tools, &each).await
        });
    }
    while let Some(part) = under_way.join_next().await {
        report.merge(part??);
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
    let job = |name: String, rounds| Job {
        post: Post::new(name, policy.clone(), signatures),
        signatures,
        compared: false,
        rounds,
    };
    let (mut rounds, mut alone) = (Vec::new(), Vec::new());
    for protocol in Protocol::ALL {
        let (chosen, left_out): (Vec<Run>, Vec<Run>) =
            runs.iter().cloned().partition(|run| run.runs_on(target(protocol)));
        for run in left_out {
            let why = run.only.as_ref().map(|only| only.because.clone()).unwrap_or_default();
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
async fn run_jobs(jobs: Vec<Job>, quiet: &Quiet, tools: &Tools, each: &Each) -> Result<Report> {
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
    let mut report = Report::default();
    while let Some(part) = under_way.join_next().await {
        report.merge(part??);
    }
    let mut stage = Arc::into_inner(stage).context("a run is still under way")?;
    // Whatever broke the proxy is among the runs that failed first.
    stage.unharmed().await.with_context(|| match report.failures.as_slice() {
        [] => "no run failed".to_owned(),
        failures => failures.iter().take(20).map(|failure| format!("FAILED {failure}\n")).collect(),
    })?;
    stage.envoy.stop().await;
    Ok(report)
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
                let done = if Quiet::wanted_by(&run) {
                    let _silence = quiet.0.write().await;
                    run_one(&stage, &guard, &run, protocol).await
                } else {
                    let _noise = quiet.0.read().await;
                    run_one(&stage, &guard, &run, protocol).await
                };
                (run, done, started.elapsed())
            });
        }
        while let Some(joined) = under_way.join_next().await {
            let (run, mut done, took) = joined?;
            let sights = std::mem::take(&mut done.sights);
            let by_proxy = sights.iter().any(|sight| sight.by_proxy);
            let (http, by) = (target(protocol).http(), Some(job.signatures));
            if done.unsayable {
                report.record.leave_out(&run, http, by, UNSAYABLE);
            } else if job.compared && done.wrong.is_empty() {
                report.record.add(&run, http, by, sights);
            }
            let (requests, number, began) = (done.requests, done.number, done.began);
            let verdict = done.verdict();
            report.add(&run, &key, done);
            each(Ended { run, way: key.clone(), verdict, requests, took, number, began, by_proxy });
        }
    }
    Ok(report)
}

const fn target(protocol: Protocol) -> Target {
    match protocol {
        Protocol::Http1 => Target::Envoy(Http::V1),
        Protocol::Http2 => Target::Envoy(Http::V2),
    }
}

async fn run_one(stage: &Stage, guard: &Guard, run: &Run, protocol: Protocol) -> Done {
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut done = Done { number, began, ..Done::default() };
    for (step, number_of_step) in run.steps.iter().zip(1..) {
        tokio::time::sleep(step.wait).await;
        for turn in 1..=step.repeat {
            let concrete = deploy::now()
                .and_then(|now| step.concrete(number, now, &guard.mint).map_err(|error| anyhow!(error)));
            let concrete = match concrete {
                Ok(concrete) => concrete,
                Err(error) => {
                    done.wrong.push(format!("{error:#}"));
                    return done;
                }
            };
            let request = request(&concrete.wire);
            if protocol == Protocol::Http2 && h2::sayable(&request).is_err() {
                done.unsayable = true;
                return done;
            }
            let observed = observe(stage, guard.address, &concrete.wire, &request, protocol).await;
            done.requests += 1;
            done.sights.push(Sight::of(&concrete.wire, &concrete.expect, &observed));
            let wrong = judge(&concrete, &observed, target(protocol));
            if !wrong.is_empty() {
                done.wrong.clone_from(&wrong);
                done.failure = Some(Box::new(Failure {
                    step: number_of_step,
                    steps: run.steps.len(),
                    turn,
                    sent: concrete.wire,
                    expected: concrete.expect,
                    observed,
                    problems: wrong,
                    explanation: None,
                }));
                return done;
            }
        }
    }
    done
}

async fn observe(
    stage: &Stage,
    address: SocketAddr,
    wire: &Wire,
    request: &Request,
    protocol: Protocol,
) -> Observed {
    let case = wire.number.to_string();
    let answer = Answer {
        status: wire.answer.status,
        headers: wire.answer.headers.clone(),
        body: wire.answer.body.clone(),
    };
    stage.upstream.expect(&case, answer);
    let response = client::send(address, Some(wire.peer), protocol, request).await;
    let seen = stage.upstream.take(&case);
    let twice = seen.len() > 1;
    let upstream = seen.into_iter().next().map(|seen| Seen {
        method: seen.method,
        path: seen.path.into_bytes(),
        host: seen.host.into_bytes(),
        headers: seen.headers,
        body: seen.body,
        trailers: seen.trailers,
    });
    match response {
        Ok(_) if twice => Observed::broken("upstream saw the request more than once"),
        Ok(response) => Observed {
            status: response.status,
            headers: response.headers,
            body: response.body,
            upstream,
            ..Observed::default()
        },
        Err(error) => Observed { upstream, ..Observed::broken(format!("{error:#}")) },
    }
}

/// A case's request for the clients of this crate.
fn request(wire: &Wire) -> Request {
    let trailers: Lines = wire.trailers.clone();
    let body = match &wire.body {
        None if trailers.is_empty() => Body::None,
        None => Body::Pieces { pieces: Vec::new(), sized: false, trailers },
        Some(pieces) if wire.chunked || !trailers.is_empty() => {
            Body::Pieces { pieces: pieces.clone(), sized: false, trailers }
        }
        Some(pieces) => Body::Pieces { pieces: pieces.clone(), sized: true, trailers },
    };
    Request {
        method: wire.method.clone(),
        path: wire.path.clone(),
        host: wire.host.clone(),
        headers: wire.headers.clone(),
        body,
    }
}

/// The policy of a suite, with the keys that the suite asks for.
fn prepare(suite: &Loaded) -> Result<Policy> {
    let prepared = suite.prepare().map_err(|error| anyhow!("{}: {error}", suite.file))?;
    Ok(Policy { plan: prepared.plan, secrets: prepared.secrets })
}
