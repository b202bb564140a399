//! An Envoy that follows and is given other plugin configurations while it runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

use super::crew::{Crew, mark_of};
use super::site::{self, Site};
use crate::client::{Protocol, send};
use crate::envoy::Envoy;
use crate::lifecycle::{CONFIGURATION, counter, dynamic, place, publish, reserve, wait};
use crate::message::Request;
use crate::upstream::Upstream;

/// How long the workers may take to have an update that Envoy has taken.
const UPDATED: Duration = Duration::from_secs(10);

/// Envoy with one listener, which comes from a file.
pub(crate) struct Live {
    pub(crate) envoy: Envoy,
    name: String,
    listener: Value,
    file: PathBuf,
    address: SocketAddr,
    // Keeps the port while Envoy changes listeners.
    _reserved: TcpSocket,
    _directory: TempDir,
}

impl Live {
    pub(crate) async fn start(site: &Site, upstream: &Upstream) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("bartizan-lds-").tempdir()?;
        let file = directory.path().join("listeners.json");
        let whole = site::configuration(std::slice::from_ref(site), upstream.address(), &BTreeMap::new())?;
        let (bootstrap, mut listener) = dynamic(&whole, &file)?;
        let reserved = reserve()?;
        let address = reserved.local_addr()?;
        *place(&mut listener, "/address/socket_address/port_value")? = json!(address.port());
        publish(&file, &listener)?;
        let envoy = Envoy::start_logging(&bootstrap, 2, &BTreeMap::new(), "info").await?;
        let name = site.name.clone();
        Ok(Self { envoy, name, listener, file, address, _reserved: reserved, _directory: directory })
    }

    /// Gives Envoy another plugin configuration, and waits until it has taken it.
    pub(crate) async fn configure(&mut self, site: &Site) -> Result<()> {
        let before = counter(&self.envoy, "lds.update_success").await?;
        *place(&mut self.listener, CONFIGURATION)? = json!(site.text());
        publish(&self.file, &self.listener)?;
        wait("an update", async || Ok(counter(&self.envoy, "lds.update_success").await? > before)).await
    }

    /// New connections to every worker: old ones stay with the configuration that they began with.
    pub(crate) async fn crew(&self) -> Result<Crew> {
        Crew::assemble(&self.envoy, self.address, &self.name).await
    }

    /// Waits until new connections to every worker are judged so.
    pub(crate) async fn judged(&self, wanted: &str) -> Result<()> {
        let started = Instant::now();
        loop {
            let marks = self.crew().await?.marks().await?;
            if marks.iter().all(|mark| mark == wanted) {
                return Ok(());
            }
            ensure!(started.elapsed() < UPDATED, "expected `{wanted}` on new connections, got {marks:?}");
        }
    }

    /// Watches what new connections are judged by, which must be one of these.
    pub(crate) fn watch(&self, allowed: &'static [&'static str]) -> Watch {
        Watch::begin(self.address, allowed)
    }

    /// Checks that nothing broke, and stops Envoy.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.envoy.alive()?;
        ensure!(self.envoy.vm_restarts().await? == 0, "a VM broke");
        self.envoy.stop().await;
        Ok(())
    }
}

/// Requests, each on a connection of its own.
pub(crate) struct Watch {
    done: Arc<AtomicBool>,
    task: JoinHandle<Result<usize>>,
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

    /// Ends it, and returns how many there were.
    ///
    /// # Errors
    /// With the first request that was judged otherwise.
    pub(crate) async fn end(self) -> Result<usize> {
        self.done.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
