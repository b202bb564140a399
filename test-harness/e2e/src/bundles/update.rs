//! Other plugin configurations for an Envoy that follows: it does not go back to the bundle that it was configured with, and
//! keys may be changed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::live::Live;
use super::log::Log;
use super::make::{Edition, Maker, Signer, mark, value};
use super::server::{Behaviour, BundleServer};
use super::site::{self, FOLLOWED, Site};
use crate::upstream::Upstream;

const SITE: &str = "update";

/// How long it may take until the filter asks a server again that was away.
const PATIENCE: Duration = Duration::from_secs(20);

/// Changes the configuration while a newer bundle is followed, and then gives a bootstrap that is newer still.
///
/// # Errors
/// When a request on a new connection is judged by an older bundle than before, or one of the changes comes to nothing.
pub(crate) async fn update() -> Result<String> {
    let maker = Maker::new();
    let upstream = Upstream::start().await?;
    let first = maker.artifact(&Edition::new(1))?;
    let server = BundleServer::start(Behaviour::Publish(maker.artifact(&Edition::new(5))?))?;
    let site = Site::new(SITE, &maker, server.address())?.with("bundle", value(&first)?);
    let mut live = Live::start(&site, &upstream).await?;
    live.crew().await?.wait_for(&mark(5), &[&mark(1)], FOLLOWED + site::INTERVAL).await?;
    let mut requests = 0;

    // Another setting, the same source: what is followed stays in force, from the first request on.
    let log = Log::from_now(&live.envoy, SITE)?;
    let watch = live.watch(&["r5"]);
    let other = site.with("settings", json!({"signatures": "wasm"}));
    live.configure(&other).await?;
    log.wait_for(&live.envoy, &["bundle `edge` revision 5 ", " is in force"]).await?;
    tokio::time::sleep(FOLLOWED).await;
    requests += watch.end().await.context("another setting")?;

    // The next revision comes as before.
    server.behave(Behaviour::Publish(maker.artifact(&Edition::new(6))?));
    let mut crew = live.crew().await?;
    crew.wait_for(&mark(6), &[&mark(5)], FOLLOWED).await.context("after another setting")?;

    // A bootstrap that is newer than what the server has: it is in force, and the server cannot take it back.
    let watch = live.watch(&["r6", "r9"]);
    let newer = value(&maker.artifact(&Edition::new(9))?)?;
    live.configure(&other.with("bundle", newer)).await?;
    live.judged(&mark(9)).await?;
    // The plugin of the old listener, which drains, may take this one: there it is newer. It must not get any further.
    server.behave(Behaviour::Publish(maker.artifact(&Edition::new(7).marked("bad"))?));
    tokio::time::sleep(FOLLOWED * 2).await;
    requests += watch.end().await.context("a newer bootstrap")?;
    server.behave(Behaviour::Publish(maker.artifact(&Edition::new(10))?));
    let mut crew = live.crew().await?;
    crew.wait_for(&mark(10), &[&mark(9)], FOLLOWED + site::INTERVAL)
        .await
        .context("after a newer bootstrap")?;
    live.end().await?;
    Ok(format!(
        "two new configurations while bundles were followed: {requests} requests on new connections, none judged by an older bundle than the one before"
    ))
}

/// Changes keys: by overlap while the server is away, and then away from one that has signed what nobody can follow.
///
/// # Errors
/// When anything but the bundle in force is in force meanwhile, or the new key cannot go on.
pub(crate) async fn rotate() -> Result<String> {
    let maker = Maker::new();
    let upstream = Upstream::start().await?;
    let by = |revision, signers: &[Signer]| maker.sign(&Edition::new(revision).payload()?, signers);
    let mut server = BundleServer::start(Behaviour::Publish(by(5, &[Signer::First])?))?;
    let site = Site::new(SITE, &maker, server.address())?
        .with("bundle", value(&by(1, &[Signer::First, Signer::Second])?)?)
        .with("trust", maker.trust_in(&[Signer::First], 1)?);
    let mut live = Live::start(&site, &upstream).await?;
    live.crew().await?.wait_for(&mark(5), &[&mark(1)], FOLLOWED + site::INTERVAL).await?;

    // The new key beside the old one. Nobody can be asked, and the bundle in force satisfies the new trust as well.
    server.close().await;
    let watch = live.watch(&["r5"]);
    let log = Log::from_now(&live.envoy, SITE)?;
    let both = site.with("trust", maker.trust_in(&[Signer::First, Signer::Second], 1)?);
    live.configure(&both).await?;
    log.wait_for(&live.envoy, &["bundle `edge` revision 5 ", " is in force"]).await?;
    tokio::time::sleep(FOLLOWED).await;
    let requests = watch.end().await.context("while keys overlap")?;

    // The new key signs, and whoever has the old one signs the last revision there can be.
    server.open()?;
    server.behave(Behaviour::Publish(by(6, &[Signer::Second])?));
    live.crew().await?.wait_for(&mark(6), &[&mark(5)], PATIENCE).await.context("by the new key")?;
    let last = Edition::new(LAST).marked("stolen");
    server.behave(Behaviour::Publish(maker.sign(&last.payload()?, &[Signer::First])?));
    live.crew().await?.wait_for("stolen", &[&mark(6)], PATIENCE).await.context("by the stolen key")?;

    // Without the old key that counts no more.
    let alone = both
        .with("trust", maker.trust_in(&[Signer::Second], 1)?)
        .with("bundle", value(&by(7, &[Signer::Second])?)?);
    live.configure(&alone).await?;
    live.judged(&mark(7)).await.context("without the stolen key")?;
    server.behave(Behaviour::Publish(by(8, &[Signer::Second])?));
    let mut crew = live.crew().await?;
    crew.wait_for(&mark(8), &[&mark(7)], PATIENCE).await.context("by the new key alone")?;
    live.end().await?;
    Ok(format!(
        "{requests} requests under the same bundle while a key came and the server was away; what the old key signed at last stopped nobody once it was gone"
    ))
}

/// Configures an Envoy anew whose bootstrap has expired in force, where requests may go through before the first bundle.
///
/// # Errors
/// When a request goes through without a policy although one was in force before.
pub(crate) async fn expiry() -> Result<String> {
    let maker = Maker::new();
    let upstream = Upstream::start().await?;
    let mut server = BundleServer::start(Behaviour::artifact(b""))?;
    server.close().await;
    let expires = crate::deploy::now()? + 10;
    let site = Site::new(SITE, &maker, server.address())?
        .with("bundle", value(&maker.expiring(&Edition::new(1), expires)?)?)
        .with("before_first", json!("allow"));
    let mut live = Live::start(&site, &upstream).await?;
    live.judged(&mark(1)).await?;
    ensure!(crate::deploy::now()? < expires, "the machine is too slow to see a bundle before it expires");
    let watch = live.watch(&["r1", "503 no-policy"]);
    let log = Log::from_start(SITE);
    log.wait_within(&live.envoy, &["bundle `edge` revision 1 has expired"], PATIENCE).await?;
    live.configure(&site.with("settings", json!({"signatures": "wasm"}))).await?;
    tokio::time::sleep(FOLLOWED).await;
    let marks = live.crew().await?.marks().await?;
    let requests = watch.end().await.context("a new configuration after the bootstrap has expired")?;
    server.behave(Behaviour::Publish(maker.artifact(&Edition::new(2))?));
    server.open()?;
    let before: Vec<&str> = marks.iter().map(String::as_str).collect();
    live.crew().await?.wait_for(&mark(2), &before, PATIENCE).await?;
    live.end().await?;
    Ok(format!(
        "{requests} requests around the end of a bootstrap and a new configuration, none without a policy although `before_first` allows that; then {}",
        marks.join(" and ")
    ))
}

/// The largest revision.
const LAST: u64 = (1 << 53) - 1;
