//! Following under load: one revision after the other, each in force in every worker in time, no request failed, and none
//! judged by two policies.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::crew::Crew;
use super::load::{Load, Tally};
use super::make::{Edition, Maker, mark, value};
use super::served::Served;
use super::site::{self, FOLLOWED, Site};
use super::slow::Slow;
use crate::envoy::Envoy;
use crate::upstream::Upstream;

/// The name of the only site.
const SITE: &str = "follow";

/// How many changes there are.
const CHANGES: u64 = 50;

/// How long the first fetch may take, with a registry that has just been started.
const START: Duration = Duration::from_secs(15);

/// What came of a march from one revision to the next.
pub(crate) struct March {
    /// How long each revision took to be in force in every worker.
    took: Vec<Duration>,
    pub(crate) tally: Tally,
    /// Requests that were under way while the policy changed, and those that one policy judged from head to end.
    slow: (usize, usize),
}

impl std::fmt::Display for March {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let longest = self.took.iter().max().copied().unwrap_or_default();
        let all: Duration = self.took.iter().sum();
        let mean = all.checked_div(u32::try_from(self.took.len()).unwrap_or(1)).unwrap_or_default();
        let Tally { requests, refused, slowest } = self.tally;
        write!(
            f,
            "{} changes, in force in every worker after {} ms at the most, {} ms on average; {requests} requests over HTTP/1.1 \
             and HTTP/2 ({refused} bodies of another revision refused) without an error or a mixed decision, the \
             longest of {} ms, and {} slow ones, of which {} spanned a change",
            self.took.len(),
            longest.as_millis(),
            mean.as_millis(),
            slowest.as_millis(),
            self.slow.0,
            self.slow.1
        )
    }
}

/// Publishes so many revisions after `first`, which every worker enforces, one when the last is in force.
///
/// # Errors
/// When one is not in force in time, a request fails, or is judged by two policies.
pub(crate) async fn march(
    (envoy, name): (&Envoy, &str),
    upstream: &Upstream,
    (first, changes): (u64, u64),
    mut publish: impl AsyncFnMut(&Edition) -> Result<()>,
) -> Result<March> {
    let address = envoy.listener(name)?;
    let mut crew = Crew::assemble(envoy, address, name).await?;
    let mut slow = Slow::new(envoy, address, name).await?;
    let mut load = Load::begin(address, first);
    let (mut took, mut requests, mut spanned) = (Vec::new(), 0, 0);
    for revision in first + 1..=first + changes {
        let begun = slow.begin(envoy, upstream, revision - 1).await?;
        publish(&Edition::new(revision)).await?;
        took.push(crew.wait_for(&mark(revision), &[&mark(revision - 1)], FOLLOWED).await?);
        load.say(revision);
        let (all, whole) = slow.end(upstream, begun).await?;
        requests += all;
        spanned += whole;
        if load.broken() {
            break;
        }
    }
    let tally = load.end().await?;
    ensure!(took.len() as u64 == changes, "the load ended after {} changes", took.len());
    ensure!(tally.requests as u64 > 20 * changes, "{} requests are no load", tally.requests);
    ensure!(
        spanned * 10 >= requests * 9,
        "of {requests} slow requests only {spanned} spanned a change: this shows too little"
    );
    Ok(March { took, tally, slow: (requests, spanned) })
}

/// Follows the bundle server that ships.
///
/// # Errors
/// As for [`march`], and when anything was counted as refused.
pub(crate) async fn follow() -> Result<String> {
    let maker = Maker::new();
    let upstream = Upstream::start().await?;
    let first = maker.artifact(&Edition::new(1))?;
    let server = Served::start(&first).await?;
    let site = Site::new(SITE, &maker, server.address())?.with("bundle", value(&first)?);
    let mut envoy = site::start(&[site], upstream.address()).await?;
    let mut crew = Crew::assemble(&envoy, envoy.listener(SITE)?, SITE).await?;
    crew.wait_for(&mark(1), &[], START).await?;
    let march = march((&envoy, SITE), &upstream, (1, CHANGES), async |edition| {
        server.publish(&maker.artifact(edition)?)
    })
    .await?;
    let answers = server.answers();
    let fetched = answers.get(&200).copied().unwrap_or_default();
    // One worker fetches for all: each revision once, and the first one if that was still there when it was asked for.
    let fetches = CHANGES..=CHANGES + 1;
    ensure!(fetches.contains(&(fetched as u64)), "{CHANGES} changes took {answers:?}");
    ensure!(answers.keys().all(|status| matches!(status, 200 | 304)), "the server answered {answers:?}");
    none_refused(&envoy).await?;
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke");
    envoy.stop().await;
    server.stop().await;
    let unchanged = answers.get(&304).copied().unwrap_or_default();
    Ok(format!(
        "{march}; the server sent {fetched} artifacts for all workers, and {unchanged} times nothing new"
    ))
}

/// Checks that no refusal was ever counted.
pub(crate) async fn none_refused(envoy: &Envoy) -> Result<()> {
    let counted = site::counters(envoy).await?;
    let failures: Vec<_> =
        counted.iter().filter(|(name, by)| name.starts_with(&site::refused("")) && **by > 0).collect();
    ensure!(failures.is_empty(), "refusals were counted: {failures:?}");
    Ok(())
}
