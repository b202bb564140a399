//! Before the first bundle, and after the last second of one.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::crew::Crew;
use super::log::Log;
use super::make::{Edition, Maker, mark, value};
use super::server::{Behaviour, BundleServer};
use super::site::{self, Site};
use crate::client::{Protocol, send};
use crate::message::Request;
use crate::upstream::Upstream;

/// Without a policy every request is refused so.
const REFUSED: &str = "503 no-policy";
/// And where that was chosen, it is let through so, without a mark.
const ALLOWED: &str = "200";

/// How long the server may take to be asked again after it failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts without a bundle, with one that has expired, and with ones that expire, under each choice.
///
/// # Errors
/// When a worker does anything but what was chosen.
pub(crate) async fn first() -> Result<String> {
    let maker = Maker::new();
    let upstream = Upstream::start().await?;
    let server = BundleServer::start(Behaviour::answer("500 Internal Server Error", &[], b""))?;
    let old = value(&maker.artifact(&Edition::new(1).marked("old").with("expires: 2001-01-01T00:00:00Z"))?)?;
    let site = |name| Site::new(name, &maker, server.address());
    let sites = [
        site("default")?,
        site("refuse")?.with("before_first", json!("refuse")),
        site("allow")?.with("before_first", json!("allow")),
        site("refuse-expired")?.with("bundle", old.clone()),
        site("allow-expired")?.with("bundle", old).with("before_first", json!("allow")),
    ];
    // One more that never gets one: Envoy has no such cluster.
    let mut lost = site("lost")?;
    lost = lost.source("http", json!({"cluster": "nowhere", "authority": "a", "path": site::PATH}));
    let envoy = [&sites[..], &[lost]].concat();
    let mut envoy = site::start(&envoy, upstream.address()).await?;
    let mut lost = Crew::assemble(&envoy, envoy.listener("lost")?, "lost").await?;
    let mut crews = Vec::new();
    for site in &sites {
        let before = if site.name.starts_with("allow") { ALLOWED } else { REFUSED };
        let crew = Crew::assemble(&envoy, envoy.listener(&site.name)?, &site.name).await?;
        crews.push((site.name.as_str(), before, crew));
    }
    let mut asked = 0;
    for _ in 0..20 {
        for (name, before, crew) in &mut crews {
            let marks = crew.marks().await?;
            asked += marks.len();
            ensure!(
                marks.iter().all(|shown| shown == before),
                "`{name}`: expected `{before}`, got {marks:?}"
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A body too, and over either protocol: nothing hangs, and it reaches upstream only where that was chosen.
    for (name, before, _) in &crews {
        for protocol in Protocol::ALL {
            let reached = upstream.requests();
            let request = Request::new("POST", "/post").body("application/json", "{}");
            let status = send(envoy.listener(name)?, None, protocol, &request).await?.status;
            let expected = if *before == ALLOWED { (200, reached + 1) } else { (503, reached) };
            ensure!((status, upstream.requests()) == expected, "`{name}` over {protocol}: {status}");
        }
    }
    server.behave(Behaviour::Publish(maker.artifact(&Edition::new(2))?));
    for (name, before, crew) in &mut crews {
        crew.wait_for(&mark(2), &[before], PATIENCE).await.with_context(|| format!("`{name}`"))?;
    }
    // What came into force once stays, whatever was chosen for the time before.
    server.behave(Behaviour::answer("500 Internal Server Error", &[], b""));
    for _ in 0..20 {
        for (name, _, crew) in &mut crews {
            let marks = crew.marks().await?;
            ensure!(
                marks.iter().all(|shown| *shown == mark(2)),
                "`{name}`: {marks:?} after the first bundle"
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // And what expires goes as its author chose, which `before_first: allow` does not soften.
    let expires = crate::deploy::now()? + 8;
    let edition = Edition::new(3).with("when_expired: refuse");
    server.behave(Behaviour::Publish(maker.expiring(&edition, expires)?));
    for (name, _, crew) in &mut crews {
        crew.wait_for(&mark(3), &[&mark(2)], PATIENCE).await.with_context(|| format!("`{name}`"))?;
    }
    ensure!(crate::deploy::now()? < expires, "the machine is too slow to see a bundle before it expires");
    for (name, _, crew) in &mut crews {
        let what = || format!("`{name}`, when its bundle expires");
        crew.wait_for(REFUSED, &[&mark(3)], PATIENCE).await.with_context(what)?;
    }
    server.behave(Behaviour::Publish(maker.artifact(&Edition::new(4))?));
    for (name, _, crew) in &mut crews {
        let what = || format!("`{name}`, after its bundle expired");
        crew.wait_for(&mark(4), &[REFUSED], PATIENCE).await.with_context(what)?;
    }
    let marks = lost.marks().await?;
    ensure!(marks.iter().all(|shown| shown == REFUSED), "without a cluster: {marks:?}");
    let told = Log::from_start("lost").lines(&envoy)?;
    let told = told.iter().filter(|line| line.contains("answered with no-cluster: ")).count();
    let counted = site::counters(&envoy).await?.get(&site::refused("no-cluster")).copied();
    ensure!(told == 1 && counted > Some(1), "without a cluster: {told} lines, {counted:?} counted");
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke");
    envoy.stop().await;
    Ok(format!(
        "{} choices for the time without a bundle, {asked} requests before the first one, none after it; `when_expired: refuse` refused in every worker until the next",
        crews.len()
    ))
}
