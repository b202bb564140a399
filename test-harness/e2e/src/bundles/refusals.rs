//! A table of bad bundles and bad servers: none is accepted, each is counted and told by its kind, what was in force stays
//! in force in every worker, and the next good revision is taken.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tokio::task::JoinSet;

use super::crew::Crew;
use super::log::Log;
use super::make::{Edition, Maker, mark, value};
use super::rows::{Act, Lane, MAX_BYTES, Row, lanes};
use super::server::{Behaviour, BundleServer, Then};
use super::site::{self, Site};
use crate::envoy::Envoy;
use crate::show::{Paint, table};
use crate::upstream::Upstream;

/// How long a bad answer may take to be counted, and the next good one to be taken: a poll, a timeout, and a pause that
/// doubles after a failure.
const PATIENCE: Duration = Duration::from_secs(15);

/// The policy shown while there is none.
const NONE: &str = "503 no-policy";

/// The beginning of the line that tells a failure.
const TOLD: &str = "the bundle source answered with ";

/// A row as it came out.
struct Outcome {
    what: &'static str,
    stayed: String,
    counted: String,
    line: String,
    problems: Vec<String>,
    /// How long the next good revision took to be in force in every worker.
    recovered: Duration,
}

/// Runs the table, prints it, and tells how many rows there were.
///
/// # Errors
/// With each row in which anything was otherwise.
pub(crate) async fn refusals() -> Result<String> {
    let maker = std::sync::Arc::new(Maker::new());
    let upstream = Upstream::start().await?;
    let (mut sites, mut waiting) = (Vec::new(), Vec::new());
    for lane in lanes() {
        let first = maker.artifact(&Edition::new(FIRST))?;
        // Nothing new is published at first: a lane with a bootstrap finds it again.
        let server = BundleServer::start(match lane.bootstrap {
            true => lane.publish(first.clone()),
            false => Behaviour::Send(Vec::new(), Then::Hold),
        })?;
        let site = match lane.registry {
            true => Site::oci(lane.name, &maker, server.address(), "stable")?,
            false => Site::new(lane.name, &maker, server.address())?,
        };
        let site = site.source("max_bytes", json!(MAX_BYTES));
        sites.push(if lane.bootstrap { site.with("bundle", value(&first)?) } else { site });
        waiting.push((lane, server));
    }
    let mut envoy = site::start(&sites, upstream.address()).await?;
    let mut running = Vec::new();
    for (lane, server) in waiting {
        let crew = Crew::assemble(&envoy, envoy.listener(lane.name)?, lane.name).await?;
        running.push(Running { lane, server, crew, revision: FIRST, maker: std::sync::Arc::clone(&maker) });
    }
    let shared = std::sync::Arc::new(envoy);
    let mut lanes = JoinSet::new();
    for lane in running {
        let envoy = std::sync::Arc::clone(&shared);
        lanes.spawn(async move { lane.run(&envoy).await });
    }
    let (mut outcomes, mut broken, mut done) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(lane) = lanes.join_next().await {
        match lane? {
            Ok((lane, rows)) => {
                outcomes.extend(rows);
                // A server that ended here would be one more failure, for all lanes are counted together.
                done.push(lane);
            }
            Err(error) => broken.push(format!("{error:#}")),
        }
    }
    envoy = std::sync::Arc::into_inner(shared).context("a lane still has the Envoy")?;
    print(&outcomes);
    for outcome in &outcomes {
        broken.extend(outcome.problems.iter().map(|problem| format!("{}: {problem}", outcome.what)));
    }
    if !broken.is_empty() {
        bail!("{}\nenvoy's log ends with:\n{}", broken.join("\n"), envoy.log_tail());
    }
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke");
    envoy.stop().await;
    let slowest = outcomes.iter().map(|outcome| outcome.recovered).max().unwrap_or_default();
    Ok(format!(
        "{} kinds of bad bundles and servers, none accepted; after each the next good revision was in force, at the latest after {:.1} s",
        outcomes.len(),
        slowest.as_secs_f32()
    ))
}

/// The revision in force at first. There is an older one.
const FIRST: u64 = 10;

fn print(outcomes: &[Outcome]) {
    let paint = Paint::of_stdout();
    let head =
        ["what was sent", "stayed in force", "what was counted", "logged: the bundle source answered with"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for outcome in outcomes {
        let (what, stayed) = (outcome.what.to_owned(), outcome.stayed.clone());
        let line = outcome.line.split_once(TOLD).map_or("", |(_, told)| told).chars().take(100).collect();
        rows.push(vec![what, stayed, outcome.counted.clone(), line]);
    }
    for (number, line) in table(&rows).iter().enumerate() {
        let bad = outcomes.get(number.wrapping_sub(1)).is_some_and(|outcome| !outcome.problems.is_empty());
        match (number, bad) {
            (0, _) => println!("{}", paint.bold(line)),
            (_, true) => println!("{}", paint.red(line)),
            (_, false) => println!("{line}"),
        }
    }
}

struct Running {
    lane: Lane,
    server: BundleServer,
    crew: Crew,
    /// The last good revision.
    revision: u64,
    maker: std::sync::Arc<Maker>,
}

impl Running {
    async fn run(mut self, envoy: &Envoy) -> Result<(Self, Vec<Outcome>)> {
        let mut in_force = if self.lane.bootstrap { mark(FIRST) } else { NONE.to_owned() };
        let mut outcomes = Vec::new();
        for row in std::mem::take(&mut self.lane.rows) {
            let what = row.what;
            let outcome = self.row(envoy, &row, &in_force).await;
            outcomes.push(outcome.with_context(|| format!("{what} ({})", self.lane.name))?);
            in_force = mark(self.revision);
        }
        Ok((self, outcomes))
    }

    /// Sends one bad thing, and then a good one.
    async fn row(&mut self, envoy: &Envoy, row: &Row, in_force: &str) -> Result<Outcome> {
        let log = Log::from_now(envoy, self.lane.name)?;
        let before = site::counters(envoy).await?;
        match (row.act)(&self.maker, self.revision)? {
            Act::Behave(behaviour) => self.server.behave(behaviour),
            Act::Close => self.server.close().await,
        }
        let counter = site::refused(row.kind);
        let started = Instant::now();
        let mut problems = Vec::new();
        loop {
            let marks = self.crew.marks().await?;
            ensure!(
                marks.iter().all(|mark| mark == in_force),
                "`{in_force}` was in force, now {marks:?} are"
            );
            if site::counters(envoy).await?.get(&counter) > before.get(&counter) {
                break;
            }
            if started.elapsed() > PATIENCE {
                problems.push(format!("`{counter}` has not moved in {PATIENCE:?}"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if let Err(error) = log.wait_for(envoy, &[TOLD]).await {
            problems.push(format!("{error:#}"));
        }
        let told = log.lines(envoy)?;
        // What nobody may take is followed by something that all must take.
        self.revision += 1;
        let (good, next) = (Edition::new(self.revision), mark(self.revision));
        self.server.behave(self.lane.publish(self.maker.artifact(&good)?));
        if matches!((row.act)(&self.maker, self.revision)?, Act::Close) {
            self.server.open()?;
        }
        let recovered = self.crew.wait_for(&next, &[in_force], PATIENCE).await?;
        if let Err(error) = log.wait_for(envoy, &["the bundle source answers again"]).await {
            problems.push(format!("{error:#}"));
        }
        let lines = log.lines(envoy)?;
        let failures: Vec<_> = lines.iter().filter(|line| line.contains(TOLD)).collect();
        let begins = format!("bartizan: {TOLD}{}: ", row.kind);
        if failures.len() != 1 || !failures.iter().all(|line| line.starts_with(&begins)) {
            problems.push(format!("expected one line with `{begins}`, got {failures:#?}"));
        }
        let stays = format!("; bundle `edge` revision {} stays in force", self.revision - 1);
        if in_force != NONE && !failures.iter().all(|line| line.ends_with(&stays)) {
            problems.push(format!("expected a line that ends with `{stays}`, got {failures:#?}"));
        }
        let moved = self.moved(&before, &site::counters(envoy).await?);
        if moved.keys().ne([&counter]) {
            problems.push(format!("expected `{counter}` alone to move, got {moved:?}"));
        }
        let counted = moved.iter().map(|(name, by)| format!("{name} +{by}")).collect::<Vec<_>>().join(", ");
        let counted = counted.replace("wasmcustom.", "");
        let line = told.iter().find(|line| line.contains(TOLD)).cloned().unwrap_or_default();
        Ok(Outcome { what: row.what, stayed: in_force.to_owned(), counted, line, problems, recovered })
    }

    /// The kinds of refusal that were counted meanwhile, but for those that only other lanes bring about.
    fn moved(&self, before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let others: Vec<String> = lanes()
            .iter()
            .filter(|lane| lane.name != self.lane.name)
            .flat_map(|lane| lane.rows.iter().map(|row| site::refused(row.kind)))
            .collect();
        let moved = after.iter().filter_map(|(name, count)| {
            let by = count.saturating_sub(before.get(name).copied().unwrap_or(0));
            let counts = by > 0 && name.starts_with(&site::refused("")) && !others.contains(name);
            counts.then(|| (name.clone(), by))
        });
        moved.collect()
    }
}
