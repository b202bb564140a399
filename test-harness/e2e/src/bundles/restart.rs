//! An Envoy that is killed and comes back while the bundle server is away.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::crew::Crew;
use super::log::Log;
use super::make::{Edition, Maker, mark, value};
use super::server::{Behaviour, BundleServer};
use super::site::{self, FOLLOWED, Site};
use crate::upstream::Upstream;

const SITE: &str = "restart";

/// How long it may take until the filter asks a server again that was away: pauses have doubled meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);

/// Kills Envoy, starts it without a bundle server, and gives that back to it.
///
/// # Errors
/// When anything but the bootstrap bundle is in force meanwhile, or Envoy does not follow afterwards.
pub(crate) async fn restart() -> Result<String> {
    let maker = Maker::new();
    let upstream = Upstream::start().await?;
    let first = maker.artifact(&Edition::new(1))?;
    let mut server = BundleServer::start(Behaviour::Publish(maker.artifact(&Edition::new(2))?))?;
    let sites = [Site::new(SITE, &maker, server.address())?.with("bundle", value(&first)?)];
    let envoy = site::start(&sites, upstream.address()).await?;
    let mut crew = Crew::assemble(&envoy, envoy.listener(SITE)?, SITE).await?;
    crew.wait_for(&mark(2), &[&mark(1)], FOLLOWED + Duration::from_secs(1)).await?;
    server.close().await;
    // SIGKILL: nothing is written down, and nobody says goodbye.
    envoy.stop().await;
    let mut envoy = site::start(&sites, upstream.address()).await?;
    let mut crew = Crew::assemble(&envoy, envoy.listener(SITE)?, SITE).await?;
    let (mut asked, down) = (0, std::time::Instant::now());
    while down.elapsed() < Duration::from_secs(3) {
        let marks = crew.marks().await?;
        ensure!(marks.iter().all(|shown| *shown == mark(1)), "the bootstrap is `r1`; in force are {marks:?}");
        asked += marks.len();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = Log::from_start(SITE);
    let told = log.wait_for(&envoy, &["the bundle source answered with server-error"]).await?;
    ensure!(told.len() == 1, "one line tells that the server is away, not {}: {told:#?}", told.len());
    server.behave(Behaviour::Publish(maker.artifact(&Edition::new(3))?));
    server.open()?;
    let back = crew.wait_for(&mark(3), &[&mark(1)], PATIENCE).await.context("after the server came back")?;
    log.wait_for(&envoy, &["the bundle source answers again"]).await?;
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke");
    envoy.stop().await;
    Ok(format!(
        "killed, and started without a bundle server: {asked} requests under the bootstrap; {:.1} s after the server came back every worker followed",
        back.as_secs_f32()
    ))
}
