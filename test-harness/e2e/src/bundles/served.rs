//! The bundle server that ships (`bartizan serve`), over a directory into which artifacts are published as pipelines do.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Error, Result};
use bartizan_publish::serve::log::{Form, Log};
use bartizan_publish::serve::{Config, Limits, Server};
use serde_json::Value;
use tempfile::TempDir;

use super::site::PATH;

/// A running server.
pub(crate) struct Served {
    server: Server,
    directory: TempDir,
    log: Log,
    lines: Lines,
}

impl Served {
    /// Serves an artifact at [`PATH`], on a free port.
    pub(crate) async fn start(artifact: &[u8]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("bartizan-serve-").tempdir()?;
        place(&directory, artifact)?;
        let config = Config {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            paths: vec![directory.path().to_path_buf()],
            trust: None,
            limits: Limits::default(),
        };
        let lines = Lines::default();
        let log = Log::new(Form::Json, Box::new(lines.clone()));
        let server = Server::start(config, log.clone()).await.map_err(Error::msg)?;
        Ok(Self { server, directory, log, lines })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Replaces the artifact.
    pub(crate) fn publish(&self, artifact: &[u8]) -> Result<()> {
        place(&self.directory, artifact)
    }

    /// How many requests it has answered since this was asked last, by status.
    pub(crate) fn answers(&self) -> BTreeMap<u64, usize> {
        self.log.flush();
        let text = std::mem::take(&mut *self.lines.0.lock().unwrap_or_else(PoisonError::into_inner));
        let lines = String::from_utf8_lossy(&text).into_owned();
        let mut answers = BTreeMap::new();
        for line in lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if let Some(status) = line.get("status").and_then(Value::as_u64) {
                *answers.entry(status).or_default() += 1;
            }
        }
        answers
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

/// By a rename, so that nobody ever reads half of it.
fn place(directory: &TempDir, artifact: &[u8]) -> Result<()> {
    let file = directory.path().join(PATH.trim_start_matches('/'));
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, artifact)?;
    Ok(std::fs::rename(&fresh, file)?)
}

/// What the server has logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
