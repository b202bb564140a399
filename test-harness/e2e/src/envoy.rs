//! A real Envoy with a module and a policy, on free ports of the loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::client::{Protocol, send};
use crate::config::{self, Settings};
use crate::message::Request;

/// How long Envoy may take to start: a module is compiled to machine code once.
const START: Duration = Duration::from_secs(60);

/// A running Envoy. It is stopped when this is dropped.
pub struct Envoy {
    child: Child,
    /// The listeners by their names, in the order of the configuration.
    listeners: Vec<(String, SocketAddr)>,
    address: SocketAddr,
    admin: SocketAddr,
    log: PathBuf,
    // Last: the directory goes after the process that writes into it.
    _directory: TempDir,
}

impl Envoy {
    /// Starts Envoy with a configuration made from `envoy/standalone/envoy.yaml`, and waits until it is ready.
    ///
    /// # Errors
    /// When there is no Envoy, or it does not become ready; the message then has the end of its log.
    pub async fn start(settings: &Settings) -> Result<Self> {
        let Settings { concurrency, environment, .. } = settings;
        Self::launch(&chosen(settings)?, &config::standalone(settings)?, *concurrency, environment, None)
            .await
    }

    /// Starts Envoy with several policies, each behind a listener called by its `vm_id`.
    ///
    /// # Errors
    /// As for [`Envoy::start`], and when two policies want different secrets under one name.
    pub async fn start_together(policies: &[Settings]) -> Result<Self> {
        let first = policies.first().context("no policy to put in force")?;
        let mut environment = BTreeMap::new();
        for (name, value) in policies.iter().flat_map(|policy| &policy.environment) {
            if environment.insert(name.clone(), value.clone()).is_some_and(|other| other != *value) {
                bail!("two policies in one Envoy want different secrets called {name}");
            }
        }
        let config = config::together(policies)?;
        Self::launch(&chosen(first)?, &config, first.concurrency, &environment, None).await
    }

    /// Starts Envoy with a whole configuration, whose listener and admin ports are 0.
    ///
    /// # Errors
    /// As for [`Envoy::start`].
    pub async fn start_with(
        config: &Value,
        concurrency: u32,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self> {
        Self::launch(&binary()?, config, concurrency, environment, None).await
    }

    /// The same with a log level of Envoy's.
    ///
    /// # Errors
    /// As for [`Envoy::start`].
    pub async fn start_logging(
        config: &Value,
        concurrency: u32,
        environment: &BTreeMap<String, String>,
        level: &str,
    ) -> Result<Self> {
        Self::launch(&binary()?, config, concurrency, environment, Some(level)).await
    }

    async fn launch(
        binary: &Path,
        config: &Value,
        concurrency: u32,
        environment: &BTreeMap<String, String>,
        level: Option<&str>,
    ) -> Result<Self> {
        let wanted = std::env::var("BARTIZAN_ENVOY_LOG").unwrap_or_else(|_| "warning".to_owned());
        let level = level.unwrap_or(&wanted);
        let directory = tempfile::Builder::new().prefix("bartizan-").tempdir()?;
        let file = directory.path().join("envoy.json");
        let admin_file = directory.path().join("admin");
        let log = directory.path().join("envoy.log");
        std::fs::write(&file, serde_json::to_vec_pretty(config)?)?;
        let mut child = Command::new(binary)
            .arg("-c")
            .arg(&file)
            .args(["--concurrency", &concurrency.to_string(), "--disable-hot-restart"])
            .args(["--log-level", level])
            // What went wrong is in the log when a test looks, not ten seconds later.
            .args(["--file-flush-interval-msec", "50"])
            .args(["--drain-time-s", "20", "--parent-shutdown-time-s", "30"])
            .arg("--admin-address-path")
            .arg(&admin_file)
            .arg("--log-path")
            .arg(&log)
            .envs(environment)
            // A group of its own: Ctrl-C in a terminal is for us, and we stop Envoy when we are done.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let found = tokio::time::timeout(START, ready(&mut child, &admin_file)).await;
        match found.unwrap_or_else(|_| bail!("envoy was not ready after {} s", START.as_secs())) {
            Ok(Found { listeners, address, admin }) => {
                Ok(Self { child, listeners, address, admin, log, _directory: directory })
            }
            Err(error) => {
                let _ = child.kill().await;
                Err(error.context(format!("envoy's log ends with:\n{}", tail(&log))))
            }
        }
    }

    /// Where clients connect; with several listeners, to the first.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients connect to a listener.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn listener(&self, name: &str) -> Result<SocketAddr> {
        let found = self.listeners.iter().find(|(listener, _)| listener == name);
        found.map(|(_, address)| *address).with_context(|| format!("envoy has no listener `{name}`"))
    }

    /// Where the admin interface is.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The process, as the system numbers it.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether the process is still there.
    ///
    /// # Errors
    /// With the end of its log when it has ended.
    pub fn alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("envoy has ended with {status}; its log ends with:\n{}", self.log_tail()),
        }
    }

    /// The counters and gauges whose names contain a text.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub async fn stats(&self, filter: &str) -> Result<BTreeMap<String, u64>> {
        let body = get(self.admin, &format!("/stats?filter={filter}")).await?;
        let numbers = body.lines().filter_map(|line| {
            // The last colon: plugins and listeners have names with colons.
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        });
        Ok(numbers.collect())
    }

    /// How often a VM of this Envoy broke and was made anew, or could not be.
    ///
    /// # Errors
    /// When the admin interface does not answer, or no longer counts this.
    pub async fn vm_restarts(&self) -> Result<u64> {
        Ok(self.vm_reloads().await?.values().sum())
    }

    /// The same, counted apart for each plugin and kind of restart; the names have the plugin's name in them.
    ///
    /// # Errors
    /// As for [`Envoy::vm_restarts`].
    pub async fn vm_reloads(&self) -> Result<BTreeMap<String, u64>> {
        let stats = self.stats("vm_reload").await?;
        if stats.is_empty() {
            bail!("envoy has no statistics about reloaded VMs");
        }
        Ok(stats)
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// The whole log.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned())
    }

    /// Stops the process and waits for its end.
    pub async fn stop(mut self) {
        let _ = self.child.kill().await;
    }
}

/// The Envoy that settings ask for.
fn chosen(settings: &Settings) -> Result<PathBuf> {
    settings.envoy.clone().map_or_else(binary, Ok)
}

/// The Envoy binary in use: `$ENVOY`, or what `make setup` installed.
///
/// # Errors
/// When there is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ENVOY") {
        return Ok(PathBuf::from(path));
    }
    let cache = config::root()?.join(".cache");
    let stamps = std::fs::read_dir(&cache).into_iter().flatten().flatten();
    let stamp = stamps.map(|entry| entry.path()).find(|path| {
        path.file_name()
            .and_then(|n| n.to_str())
            .is_some_and(|n| n.starts_with("envoy-") && n.ends_with(".path"))
    });
    let stamp = stamp.context("no Envoy here yet; run `make setup`, or set ENVOY=/path/to/envoy")?;
    Ok(PathBuf::from(std::fs::read_to_string(stamp)?.trim()))
}

/// What a started Envoy listens on.
struct Found {
    listeners: Vec<(String, SocketAddr)>,
    address: SocketAddr,
    admin: SocketAddr,
}

async fn ready(child: &mut Child, admin_file: &Path) -> Result<Found> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("envoy has ended with {status}");
        }
        if let Some(found) = probe(admin_file).await {
            return Ok(found);
        }
        // Quick at first, for most starts are.
        let pause = if started.elapsed() < Duration::from_secs(2) { 10 } else { 100 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn probe(admin_file: &Path) -> Option<Found> {
    let admin = std::fs::read_to_string(admin_file).ok()?.trim().parse().ok()?;
    if get(admin, "/ready").await.ok()?.trim() != "LIVE" {
        return None;
    }
    let statuses: Value = serde_json::from_str(&get(admin, "/listeners?format=json").await.ok()?).ok()?;
    let statuses = statuses.get("listener_statuses")?.as_array()?;
    let listeners: Vec<_> = statuses.iter().map(listener).collect::<Option<_>>()?;
    let address = listeners.first()?.1;
    Some(Found { listeners, address, admin })
}

fn listener(status: &Value) -> Option<(String, SocketAddr)> {
    let socket = status.pointer("/local_address/socket_address")?;
    let ip = socket.get("address")?.as_str()?.parse().ok()?;
    let port = u16::try_from(socket.get("port_value")?.as_u64()?).ok()?;
    Some((status.get("name")?.as_str()?.to_owned(), SocketAddr::new(ip, port)))
}

async fn get(admin: SocketAddr, path: &str) -> Result<String> {
    let mut request = Request::new("GET", path).header("connection", "close");
    request.host = Some(b"localhost".to_vec());
    let mut response = send(admin, None, Protocol::Http1, &request).await;
    // Seen on a machine under load: the admin interface reset a connection instead of answering. It is not what
    // is tested here, and a proxy that is gone stays gone.
    for pause in [50, 200, 1000] {
        if response.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        response = send(admin, None, Protocol::Http1, &request).await;
    }
    let response = response.with_context(|| format!("asking envoy's admin interface for {path}"))?;
    if response.status != 200 {
        bail!("envoy's admin interface answers {} to {path}", response.status);
    }
    Ok(String::from_utf8_lossy(&response.body).into_owned())
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(30)).copied().collect::<Vec<_>>().join("\n")
}
