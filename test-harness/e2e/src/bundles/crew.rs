//! One connection to each worker of an Envoy: what every worker enforces is asked of every worker.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::net::TcpStream;

use super::make::MARK;
use crate::client::{connect, h1};
use crate::envoy::Envoy;
use crate::message::{Request, Response};

/// How many connections may be opened until each worker has one; the kernel deals them out by chance.
const TRIES: usize = 64;

/// How long Envoy may take to count a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a worker may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Connections to all workers of a listener.
pub(crate) struct Crew {
    members: BTreeMap<String, h1::Connection>,
}

impl Crew {
    /// Opens connections to a listener, whose statistics have this prefix, until each worker has one.
    pub(crate) async fn assemble(envoy: &Envoy, address: SocketAddr, prefix: &str) -> Result<Self> {
        let mut members = BTreeMap::new();
        for (worker, stream) in connections(envoy, address, prefix, 1).await? {
            members.insert(worker, h1::Connection::new(stream));
        }
        Ok(Self { members })
    }

    /// How many workers there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The connections, each to another worker.
    pub(crate) fn members(&mut self) -> impl Iterator<Item = (&String, &mut h1::Connection)> {
        self.members.iter_mut()
    }

    /// What each worker answers.
    pub(crate) async fn ask(&mut self, request: &Request) -> Result<Vec<Response>> {
        let mut answers = Vec::new();
        for (worker, connection) in &mut self.members {
            let answer = tokio::time::timeout(ANSWER, connection.exchange(request)).await;
            let answer = answer.with_context(|| format!("{worker} does not answer"))?;
            answers.push(answer.with_context(|| format!("asking {worker}"))?);
        }
        Ok(answers)
    }

    /// What each worker answers to its own of these requests, which are sent together.
    pub(crate) async fn ask_at_once(
        &mut self,
        request: impl Fn(usize) -> Result<Request>,
    ) -> Result<Vec<Response>> {
        let mut asking = Vec::new();
        for (number, (worker, mut connection)) in std::mem::take(&mut self.members).into_iter().enumerate() {
            let request = request(number)?;
            asking.push(tokio::spawn(async move {
                let answer = tokio::time::timeout(ANSWER, connection.exchange(&request)).await;
                let answer = answer.with_context(|| format!("{worker} does not answer"))?;
                let answer = answer.with_context(|| format!("asking {worker}"))?;
                Ok::<_, anyhow::Error>((worker, connection, answer))
            }));
        }
        let mut answers = Vec::new();
        for task in asking {
            let (worker, connection, answer) = task.await??;
            self.members.insert(worker, connection);
            answers.push(answer);
        }
        Ok(answers)
    }

    /// The policy that each worker judges by, or the refusal: `r7`, or `503 no-policy`.
    pub(crate) async fn marks(&mut self) -> Result<Vec<String>> {
        Ok(self.ask(&Request::new("GET", "/open")).await?.iter().map(mark_of).collect())
    }

    /// Asks until every worker judges so, and returns how long it took. Until then each may judge as one of `until_then`.
    pub(crate) async fn wait_for(
        &mut self,
        wanted: &str,
        until_then: &[&str],
        patience: Duration,
    ) -> Result<Duration> {
        let started = Instant::now();
        loop {
            let marks = self.marks().await?;
            let strange = marks.iter().find(|mark| *mark != wanted && !until_then.contains(&mark.as_str()));
            if let Some(strange) = strange {
                bail!("a worker judges as `{strange}`; expected {until_then:?}, then `{wanted}`: {marks:?}");
            }
            let elapsed = started.elapsed();
            if marks.iter().all(|mark| mark == wanted) {
                return Ok(elapsed);
            }
            ensure!(
                elapsed < patience,
                "not every worker judges as `{wanted}` after {elapsed:.1?}: {marks:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Opens connections to a listener, whose statistics have this prefix, until each worker has so many; each with its worker.
pub(crate) async fn connections(
    envoy: &Envoy,
    address: SocketAddr,
    prefix: &str,
    each: usize,
) -> Result<Vec<(String, TcpStream)>> {
    let mut found = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    // Connections beyond those of a worker stay open until all are there, so that their ports are not tried again.
    let mut spare = Vec::new();
    let mut before = accepted(envoy, prefix).await?;
    ensure!(before.len() > 1, "envoy has {} workers for `{prefix}`, not several", before.len());
    for _ in 0..TRIES.saturating_mul(each) {
        let stream = connect(address, None).await?;
        let started = Instant::now();
        let worker = loop {
            let now = accepted(envoy, prefix).await?;
            let more = now.iter().find(|(name, count)| before.get(*name) != Some(*count));
            if let Some((name, _)) = more {
                let name = name.clone();
                before = now;
                break name;
            }
            ensure!(started.elapsed() < PATIENCE, "no worker of `{prefix}` has accepted a connection");
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let count = counts.entry(worker.clone()).or_default();
        if *count < each {
            *count += 1;
            found.push((worker, stream));
        } else {
            spare.push(stream);
        }
        if found.len() == before.len().saturating_mul(each) {
            return Ok(found);
        }
    }
    let reached = counts.len();
    bail!(
        "of {TRIES} connections for each, {reached} of the {} workers of `{prefix}` have {each}",
        before.len()
    )
}

/// The policy that an answer shows.
pub(crate) fn mark_of(response: &Response) -> String {
    match (response.status, response.header(MARK)) {
        (200, Some(mark)) => mark.to_owned(),
        (status, _) => format!("{status} {}", response.reason().unwrap_or_default()).trim_end().to_owned(),
    }
}

/// How many connections each worker has accepted.
async fn accepted(envoy: &Envoy, prefix: &str) -> Result<BTreeMap<String, u64>> {
    let prefix = format!("listener.{prefix}.worker_");
    let stats = envoy.stats(&prefix).await?;
    let counts = stats.into_iter().filter_map(|(name, count)| {
        let worker = name.strip_prefix(&prefix)?.strip_suffix(".downstream_cx_total")?.to_owned();
        Some((format!("worker {worker}"), count))
    });
    Ok(counts.collect())
}
