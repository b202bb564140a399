//! Another plugin configuration for an Envoy that follows: it does not go back to the bundle that it was configured with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::crew::{Crew, mark_of};
use super::log::Log;
use super::make::{Edition, Maker, mark, value};
use super::server::{Behaviour, BundleServer};
use super::site::{self, FOLLOWED, Site};
use crate::client::{Protocol, send};
use crate::envoy::Envoy;
use crate::lifecycle::{CONFIGURATION, counter, dynamic, place, publish, reserve, wait};
use crate::message::Request;
use crate::upstream::Upstream;

const SITE: &str = "update";

/// How long the workers may take to have an update that Envoy has taken.
const UPDATED: Duration = Duration::from_secs(10);

/// Changes the configuration while a newer bundle is followed, and then gives a bootstrap that is newer still.
///
/// # Errors
/// When a request on a new connection is judged by an older bundle than before, or one of the changes comes to nothing.
pub(crate) async fn update() -> Result<String> {
    let maker = Maker::new();
    let upstream = Upstream::start().await?;
    let directory = tempfile::Builder::new().prefix("bartizan-lds-").tempdir()?;
    let file = directory.path().join("listeners.json");
    let first = maker.artifact(&Edition::new(1))?;
    let server = BundleServer::start(Behaviour::Publish(maker.artifact(&Edition::new(5))?))?;
    let site = Site::new(SITE, &maker, server.address())?.with("bundle", value(&first)?);
    let whole = site::configuration(std::slice::from_ref(&site), upstream.address(), &BTreeMap::new())?;
    let (bootstrap, mut listener) = dynamic(&whole, &file)?;
    let reserved = reserve()?;
    let address = reserved.local_addr()?;
    *place(&mut listener, "/address/socket_address/port_value")? = json!(address.port());
    publish(&file, &listener)?;
    let mut envoy = Envoy::start_logging(&bootstrap, 2, &BTreeMap::new(), "info").await?;
    let mut crew = Crew::assemble(&envoy, address, SITE).await?;
    crew.wait_for(&mark(5), &[&mark(1)], FOLLOWED + site::INTERVAL).await?;
    let mut requests = 0;

    // Another setting, the same source: what is followed stays in force, from the first request on.
    let log = Log::from_now(&envoy, SITE)?;
    let watch = Watch::begin(address, &["r5"]);
    let other = site.clone().with("settings", json!({"signatures": "wasm"}));
    configure(&envoy, &mut listener, &file, &other).await?;
    log.wait_for(&envoy, &["bundle `edge` revision 5 ", " is in force"]).await?;
    tokio::time::sleep(FOLLOWED).await;
    requests += watch.end().await.context("another setting")?;

    // The next revision comes as before.
    server.behave(Behaviour::Publish(maker.artifact(&Edition::new(6))?));
    let mut crew = Crew::assemble(&envoy, address, SITE).await?;
    crew.wait_for(&mark(6), &[&mark(5)], FOLLOWED).await.context("after another setting")?;

    // A bootstrap that is newer than what the server has: it is in force, and the server cannot take it back.
    let watch = Watch::begin(address, &["r6", "r9"]);
    let newer = value(&maker.artifact(&Edition::new(9))?)?;
    configure(&envoy, &mut listener, &file, &other.with("bundle", newer)).await?;
    judged(&envoy, address, &mark(9)).await?;
    // The plugin of the old listener, which drains, may take this one: there it is newer. It must not get any further.
    server.behave(Behaviour::Publish(maker.artifact(&Edition::new(7).marked("bad"))?));
    tokio::time::sleep(FOLLOWED * 2).await;
    requests += watch.end().await.context("a newer bootstrap")?;
    server.behave(Behaviour::Publish(maker.artifact(&Edition::new(10))?));
    let mut crew = Crew::assemble(&envoy, address, SITE).await?;
    crew.wait_for(&mark(10), &[&mark(9)], FOLLOWED + site::INTERVAL)
        .await
        .context("after a newer bootstrap")?;
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke");
    envoy.stop().await;
    Ok(format!(
        "two new configurations while bundles were followed: {requests} requests on new connections, none judged by an older bundle than the one before"
    ))
}

/// Gives Envoy another plugin configuration, and waits until it has taken it.
async fn configure(envoy: &Envoy, listener: &mut Value, file: &std::path::Path, site: &Site) -> Result<()> {
    let before = counter(envoy, "lds.update_success").await?;
    *place(listener, CONFIGURATION)? = json!(site.text());
    publish(file, listener)?;
    wait("an update", async || Ok(counter(envoy, "lds.update_success").await? > before)).await
}

/// Waits until new connections to every worker are judged so.
async fn judged(envoy: &Envoy, address: SocketAddr, wanted: &str) -> Result<()> {
    let started = std::time::Instant::now();
    loop {
        let marks = Crew::assemble(envoy, address, SITE).await?.marks().await?;
        if marks.iter().all(|mark| mark == wanted) {
            return Ok(());
        }
        ensure!(started.elapsed() < UPDATED, "expected `{wanted}` on new connections, got {marks:?}");
    }
}

/// Requests, each on a connection of its own, that must be judged by one of these, and never by an earlier one again.
struct Watch {
    done: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Result<usize>>,
}

impl Watch {
    fn begin(address: SocketAddr, allowed: &'static [&'static str]) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&done);
        let task = tokio::spawn(async move {
            let mut requests = 0;
            while !ended.load(Ordering::Relaxed) {
                let answer = send(address, None, Protocol::Http1, &Request::new("GET", "/open")).await?;
                let shown = mark_of(&answer);
                ensure!(allowed.contains(&shown.as_str()), "expected one of {allowed:?}, got `{shown}`");
                requests += 1;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            Ok(requests)
        });
        Self { done, task }
    }

    async fn end(self) -> Result<usize> {
        self.done.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
