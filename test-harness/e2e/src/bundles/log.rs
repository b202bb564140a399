//! What the filter says in Envoy's log, plugin by plugin.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::envoy::Envoy;

/// How long a line may take to be in the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// The lines of one plugin, from a moment on.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// What stands before its lines.
    prefix: String,
    /// How many lines of the plugin came before.
    seen: usize,
}

impl Log {
    /// The lines of the plugin of this name, from now on.
    pub(crate) fn from_now(envoy: &Envoy, plugin: &str) -> Result<Self> {
        let mut log = Self::from_start(plugin);
        log.seen = log.lines(envoy)?.len();
        Ok(log)
    }

    /// All the lines of the plugin of this name.
    pub(crate) fn from_start(plugin: &str) -> Self {
        // The root id, which is the same for all, stands before the name.
        Self { prefix: format!(" wasm log bartizan {plugin}: "), seen: 0 }
    }

    /// What was said since.
    pub(crate) fn lines(&self, envoy: &Envoy) -> Result<Vec<String>> {
        let text = envoy.log()?;
        let message = |line: &str| Some(line.split_once(&self.prefix)?.1.to_owned());
        Ok(text.lines().filter_map(message).skip(self.seen).collect())
    }

    /// What was said since that contains all of these, as soon as there is such a line.
    pub(crate) async fn wait_for(&self, envoy: &Envoy, texts: &[&str]) -> Result<Vec<String>> {
        self.wait_within(envoy, texts, PATIENCE).await
    }

    /// The same with another patience.
    pub(crate) async fn wait_within(
        &self,
        envoy: &Envoy,
        texts: &[&str],
        patience: Duration,
    ) -> Result<Vec<String>> {
        let started = Instant::now();
        loop {
            let lines = self.lines(envoy)?;
            let found: Vec<String> =
                lines.iter().filter(|line| texts.iter().all(|text| line.contains(text))).cloned().collect();
            if !found.is_empty() {
                return Ok(found);
            }
            if started.elapsed() > patience {
                bail!(
                    "the log of the filter has no line with {texts:?} after {patience:?}; it says {lines:#?}; Envoy's ends with:\n{}",
                    envoy.log_tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
