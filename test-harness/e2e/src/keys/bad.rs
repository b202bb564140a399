//! A table of bad servers: against each, the first fetch and a later one. Nothing of it is believed, each is counted and told by its
//! kind, whoever waits is answered in time, the last good keys stay, and the next good ones are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::task::JoinSet;

use super::bad_rows::{Act, BAD, MAX_SIZE, Row, discovered, rows};
use super::outage::UNAVAILABLE;
use super::post::{self, Post, jwks, serving};
use super::rotation::{UNKNOWN, until};
use super::seen::{Seen, told};
use crate::bundles::crew::Crew;
use crate::bundles::log::Log;
use crate::bundles::server::{Behaviour, BundleServer};
use crate::envoy::Envoy;
use crate::show::{Paint, table};
use crate::upstream::Upstream;

/// How long a bad answer may take to be told, and the next good one to be taken: a refresh, a timeout, a minimum between attempts,
/// and what a busy machine adds.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a request may wait: `timeout` and half a second for each of one or two answers, and what a busy machine adds.
const LONGEST: Duration = Duration::from_secs(5);

/// What stands in the log of a failure.
const TOLD: &str = "cannot be fetched: ";

/// A row in force.
struct Lane {
    row: Row,
    name: String,
    post: Post,
    server: BundleServer,
}

/// A row as it came out.
struct Outcome {
    what: &'static str,
    kinds: BTreeSet<&'static str>,
    first: String,
    line: String,
    seen: Seen,
}

/// Runs the table, prints it, and tells how many rows there were.
///
/// # Errors
/// With each row in which anything was otherwise.
pub(super) async fn bad() -> Result<String> {
    let upstream = Upstream::start().await?;
    let (mut lanes, mut posts) = (Vec::new(), Vec::new());
    for (number, row) in rows()?.into_iter().enumerate() {
        let name = format!("bad-{number}");
        let mut server = BundleServer::start(Behaviour::answer("500 Internal Server Error", &[], b""))?;
        match &row.act {
            Act::Behave(behaviour) => server.behave(behaviour.clone()),
            Act::Close => server.close().await,
        }
        let pace = format!("refresh: 1s, min_refresh: 1s, timeout: 1s, max_size: {MAX_SIZE}B");
        let made = |name: &str| match row.is_discovered {
            true => Post::discovering(name, &pace, server.address()),
            false => Post::fetching(name, &pace, server.address()),
        };
        posts.push(made(&name)?);
        lanes.push(Lane { post: made(&name)?, row, name, server });
    }
    let envoy = Arc::new(post::start(&posts, &upstream, &BTreeMap::new()).await?);
    let mut running = JoinSet::new();
    for lane in lanes {
        let envoy = Arc::clone(&envoy);
        running.spawn(async move {
            let what = lane.row.what;
            lane.run(&envoy).await.with_context(|| what)
        });
    }
    let (mut outcomes, mut broken) = (Vec::new(), Vec::new());
    while let Some(lane) = running.join_next().await {
        match lane? {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => broken.push(format!("{error:#}")),
        }
    }
    let counted = post::counters(&envoy).await?;
    print(&outcomes);
    let mut seen = Seen::new();
    outcomes.iter().for_each(|outcome| seen.add(outcome.seen.clone()));
    seen.print();
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    // Every kind that was told was counted, and no other.
    let kinds: BTreeSet<&str> = outcomes.iter().flat_map(|outcome| outcome.kinds.iter().copied()).collect();
    let refused = counted.iter().filter_map(|(name, count)| Some((name.strip_prefix("refused.")?, *count)));
    let counts: BTreeMap<&str, u64> = refused.filter(|(_, count)| *count > 0).collect();
    ensure!(counts.keys().eq(kinds.iter()), "kinds that were told: {kinds:?}; that were counted: {counts:?}");
    post::end(Arc::into_inner(envoy).context("a row still has the Envoy")?).await?;
    Ok(format!(
        "{} kinds of bad answers, at first and later: {} requests, none let in by them, the longest waited {} ms; counted: {counts:?}",
        outcomes.len(),
        seen.total(),
        seen.longest("anybody, before there are keys").as_millis()
    ))
}

fn print(outcomes: &[Outcome]) {
    let head = ["what was sent", "before there were keys", "logged: the keys cannot be fetched:"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for outcome in outcomes {
        let line = outcome.line.split_once(TOLD).map_or("", |(_, told)| told).chars().take(110).collect();
        lines.push(vec![outcome.what.to_owned(), outcome.first.clone(), line]);
    }
    for (number, line) in table(&lines).iter().enumerate() {
        println!("    {}", if number == 0 { Paint::of_stdout().bold(line) } else { line.clone() });
    }
}

impl Lane {
    async fn run(mut self, envoy: &Envoy) -> Result<Outcome> {
        let mut seen = Seen::new();
        let mut crew = Crew::assemble(envoy, envoy.listener(&self.name)?, &self.name).await?;
        let kind = self.row.kind;
        // Nothing was ever fetched: nobody is let in, and nobody is told that the token is bad.
        let began = Instant::now();
        let mut first = String::new();
        for key in [BAD, "es256-0"] {
            let asked = Instant::now();
            let answers = crew.ask_at_once(|_| self.post.request(key)).await?;
            ensure!(asked.elapsed() < LONGEST, "a request waited {:?}", asked.elapsed());
            seen.all("anybody, before there are keys", &answers, asked.elapsed());
            first =
                answers.iter().map(told).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ");
            ensure!(first == UNAVAILABLE, "{} ms after the start: {first}", began.elapsed().as_millis());
        }
        let log = Log::from_start(&self.name);
        let lines = log.wait_within(envoy, &[TOLD, kind], PATIENCE).await?;
        let line = lines.first().cloned().unwrap_or_default();
        self.good(&["es256-0"])?;
        let came = until(&mut crew, &mut seen, "when keys are there", "200", PATIENCE, || {
            self.post.request("es256-0")
        });
        came.await?;
        // It goes wrong again, and the keys stay.
        let log = Log::from_now(envoy, &self.name)?;
        match &self.row.act {
            Act::Behave(behaviour) => self.server.behave(behaviour.clone()),
            Act::Close => self.server.close().await,
        }
        let failing = Instant::now();
        loop {
            let answers = crew.ask_at_once(|_| self.post.request("es256-0")).await?;
            seen.all("known key, while answers are bad", &answers, Duration::ZERO);
            let lines = log.lines(envoy)?;
            if let Some(line) = lines.iter().find(|line| line.contains(TOLD)) {
                let right = line.contains(&format!("{TOLD}{kind}: "))
                    && line.ends_with("what was fetched before stays in use");
                ensure!(right, "expected a line of {kind}, got {line}");
                break;
            }
            if failing.elapsed() > PATIENCE {
                bail!("nothing was told in {PATIENCE:?}: {lines:#?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Nothing of what is bad is believed, and nothing is said of tokens that could be good.
        let asked = Instant::now();
        let answers = crew.ask_at_once(|_| self.post.request(BAD)).await?;
        seen.all("bad key, while answers are bad", &answers, asked.elapsed());
        ensure!(asked.elapsed() < LONGEST, "a request waited {:?}", asked.elapsed());
        let answers = crew.ask_at_once(|_| self.post.request("es256-0")).await?;
        seen.all("known key, while answers are bad", &answers, Duration::ZERO);
        self.good(&["es256-1"])?;
        let came = until(&mut crew, &mut seen, "next key", "200", PATIENCE, || self.post.request("es256-1"));
        came.await?;
        let gone = until(&mut crew, &mut seen, "known key, when it is gone", UNKNOWN, PATIENCE, || {
            self.post.request("es256-0")
        });
        gone.await?;
        seen.only("known key, while answers are bad", &["200"])?;
        seen.only("bad key, while answers are bad", &[UNAVAILABLE])?;
        seen.only("when keys are there", &["200", UNAVAILABLE])?;
        seen.only("next key", &["200", UNAVAILABLE])?;
        log.wait_for(envoy, &["can be fetched again"]).await?;
        let told = log.lines(envoy)?;
        let failures: Vec<_> = told.iter().filter(|line| line.contains(TOLD)).collect();
        ensure!(failures.len() == 1, "expected one line, got {failures:#?}");
        Ok(Outcome { what: self.row.what, kinds: BTreeSet::from([kind]), first, line, seen })
    }

    /// The server does what it should.
    fn good(&mut self, names: &[&str]) -> Result<()> {
        self.server.behave(match self.row.kind {
            // Without a tag nobody asks whether anything has changed.
            "not-modified-unasked" => {
                Behaviour::answer("200 OK", &[("content-type", "application/json")], &jwks(names)?)
            }
            _ if self.row.is_discovered => discovered(names)?,
            _ => serving(names)?,
        });
        if matches!(self.row.act, Act::Close) { self.server.open() } else { Ok(()) }
    }
}
