//! Following a large bundle: how long requests wait while it is checked and loaded.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::crew::Crew;
use super::follow::none_refused;
use super::load::Load;
use super::make::{Edition, Maker, mark, value};
use super::served::Served;
use super::site::{self, FOLLOWED, Site};
use crate::upstream::Upstream;

const SITE: &str = "large";

/// Routes of the large bundle.
const ROUTES: usize = 1_000;

/// How often it comes.
const CHANGES: u64 = 6;

/// The longest that a request may take while it comes, with room for a machine that has other things to do.
const LONGEST: Duration = Duration::from_millis(500);

/// Follows a bundle with a thousand routes under load.
///
/// # Errors
/// When a revision is not in force in time, a request fails, is judged by two policies, or waits for too long.
pub(crate) async fn large() -> Result<String> {
    let maker = Maker::new();
    let upstream = Upstream::start().await?;
    let mut editions = Vec::new();
    for revision in 1..=CHANGES + 1 {
        let mut edition = Edition::new(revision);
        for number in 0..ROUTES {
            writeln!(
                edition.routes,
                "  - {{path: '/api/v{}/teams/{{team}}/things-{number}/{{id}}', methods: [GET, PUT], access: public}}",
                number % 7
            )?;
        }
        editions.push(maker.artifact(&edition)?);
    }
    let first = editions.first().cloned().unwrap_or_default();
    let size = first.len();
    let small = maker.artifact(&Edition::new(1))?;
    let server = Served::start(&small).await?;
    let site = Site::new(SITE, &maker, server.address())?
        .with("bundle", value(&small)?)
        .source("max_bytes", json!(16 * 1024 * 1024));
    let mut envoy = site::start(&[site], upstream.address()).await?;
    let address = envoy.listener(SITE)?;
    let mut crew = Crew::assemble(&envoy, address, SITE).await?;
    let load = Load::begin(address, 1);
    let quiet = Load::begin(address, 1);
    tokio::time::sleep(FOLLOWED).await;
    let quiet = quiet.end().await?;
    let mut longest = Duration::ZERO;
    for (revision, artifact) in (2..).zip(editions.iter().skip(1)) {
        server.publish(artifact)?;
        let took = crew.wait_for(&mark(revision), &[&mark(revision - 1)], FOLLOWED).await?;
        load.say(revision);
        longest = longest.max(took);
    }
    let tally = load.end().await?;
    ensure!(tally.slowest < LONGEST, "a request took {:?} while a large bundle came", tally.slowest);
    none_refused(&envoy).await?;
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke");
    envoy.stop().await;
    server.stop().await;
    Ok(format!(
        "{CHANGES} times a bundle with {ROUTES} routes ({} KiB), in force in every worker after {} ms at the most; the longest of {} requests took {} ms, and {} ms before",
        size / 1024,
        longest.as_millis(),
        tally.requests,
        tally.slowest.as_millis(),
        quiet.slowest.as_millis()
    ))
}
