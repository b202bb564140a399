//! A policy in force: bundle, Envoy and upstream together.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use bartizan_cases::format::Token;
use bartizan_cases::mint::Mint;
use bartizan_cases::patch;
use bartizan_engine::plan::Plan;
use serde_json::json;

use crate::config::{self, Settings};
use crate::envoy::Envoy;
use crate::upstream::Upstream;

/// Who checks signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// Envoy where its self-test passes, else the module.
    Auto,
    /// Envoy; the policy does not load where Envoy cannot.
    Host,
    /// The module.
    Wasm,
}

impl Signatures {
    /// The word for it in the plugin configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Host => "host",
            Self::Wasm => "wasm",
        }
    }
}

/// A compiled bundle with the keys of the test mint.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The plan.
    pub plan: Plan,
    /// What the plan reads from the environment.
    pub secrets: BTreeMap<String, String>,
}

impl Policy {
    /// Compiles a bundle and gives its issuers the keys of the test mint.
    ///
    /// # Errors
    /// When the bundle has errors: all of them are in the message.
    pub fn compile(directory: &Path) -> Result<Self> {
        let mut policy = Self::compile_as_written(directory)?;
        policy.secrets = patch::use_test_keys(&mut policy.plan).map_err(|error| anyhow!(error))?;
        Ok(policy)
    }

    /// Compiles a bundle with the keys that it names.
    ///
    /// # Errors
    /// When the bundle has errors: all of them are in the message.
    pub fn compile_as_written(directory: &Path) -> Result<Self> {
        let compiled = bartizan_compiler::compile_dir(directory);
        let report = compiled.render(false);
        let plan = compiled.plan.with_context(|| format!("{}:\n{report}", directory.display()))?;
        let secrets = patch::secrets(&plan);
        Ok(Self { plan, secrets })
    }

    /// The plugin configuration.
    #[must_use]
    pub fn configuration(&self, signatures: Signatures) -> String {
        json!({
            "plan": self.plan,
            "settings": {"hold_headers": true, "signatures": signatures.word()},
        })
        .to_string()
    }

    /// Tokens of its issuers.
    #[must_use]
    pub fn mint(&self) -> Mint {
        Mint::for_plan(&self.plan)
    }
}

/// A policy in force in an Envoy in front of an upstream.
pub struct Stage {
    /// The proxy.
    pub envoy: Envoy,
    /// What it guards.
    pub upstream: Upstream,
    /// Who signs.
    pub mint: Mint,
}

impl Stage {
    /// Puts a policy in force with two workers.
    ///
    /// # Errors
    /// When Envoy refuses the policy or does not start.
    pub async fn start(policy: &Policy, signatures: Signatures, vm_id: &str) -> Result<Self> {
        Self::start_at(policy, signatures, vm_id, 0).await
    }

    /// The same with a port for clients.
    ///
    /// # Errors
    /// As for [`Stage::start`], and when the port is taken.
    pub async fn start_at(policy: &Policy, signatures: Signatures, vm_id: &str, port: u16) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let mut settings =
            Settings::new(config::module()?, policy.configuration(signatures), upstream.address());
        settings.vm_id = vm_id.to_owned();
        settings.port = port;
        settings.environment.clone_from(&policy.secrets);
        let envoy = Envoy::start(&settings).await?;
        Ok(Self { envoy, upstream, mint: policy.mint() })
    }

    /// A token with roles, good for five minutes.
    ///
    /// # Errors
    /// When the first issuer of the policy cannot give it.
    pub fn token(&self, subject: &str, roles: &[&str]) -> Result<String> {
        self.mint(subject, &Token { roles: Some(json!(roles)), ..Token::default() })
    }

    /// A token as it is written.
    ///
    /// # Errors
    /// When it cannot be made so.
    pub fn mint(&self, subject: &str, token: &Token) -> Result<String> {
        self.mint.token(token, now()?, subject).map_err(|error| anyhow!(error))
    }

    /// Checks that nothing broke: the process lives, no VM was made anew.
    ///
    /// # Errors
    /// With what broke, and the end of Envoy's log.
    pub async fn unharmed(&mut self) -> Result<()> {
        self.envoy.alive()?;
        let restarts = self.envoy.vm_restarts().await?;
        if restarts > 0 {
            bail!("{restarts} VM restarts; envoy's log ends with:\n{}", self.envoy.log_tail());
        }
        Ok(())
    }
}

/// Seconds since the Unix epoch.
///
/// # Errors
/// When the clock stands before it.
pub fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}
