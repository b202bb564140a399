//! Policies in force: bundles, Envoy and upstream together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use bartizan_cases::deployment;
pub use bartizan_cases::deployment::Signatures;
use bartizan_cases::format::Token;
use bartizan_cases::mint::Mint;
use bartizan_cases::patch;
use bartizan_engine::authentication::plan::CertificateSource;
use bartizan_engine::plan::Plan;
use serde_json::json;

use crate::config::{self, Settings};
use crate::envoy::Envoy;
use crate::upstream::Upstream;

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
        deployment::configuration(&self.plan, signatures)
    }

    /// Whether it believes what proxies tell of certificates, so that Envoy must let that through.
    fn reads_forwarded_certificates(&self) -> bool {
        let authentication = &self.plan.authentication;
        let from = authentication.certificates.iter().map(|method| method.from);
        let bound = authentication.jwt.iter().filter_map(|issuer| issuer.binding.certificate);
        from.chain(bound).any(|source| source != CertificateSource::Connection)
    }

    /// Tokens of its issuers.
    #[must_use]
    pub fn mint(&self) -> Mint {
        Mint::for_plan(&self.plan)
    }
}

/// A policy to put in force.
#[derive(Debug, Clone)]
pub struct Post {
    /// What it is called: its listener, its plugin and its shared state in Envoy bear this name.
    pub name: String,
    /// The policy.
    pub policy: Policy,
    /// Who checks signatures.
    pub signatures: Signatures,
    /// The port for clients; 0 takes a free one.
    pub port: u16,
    /// Whether clients may connect over TLS.
    pub tls: bool,
}

impl Post {
    /// A policy with a name, on any free port.
    #[must_use]
    pub fn new(name: impl Into<String>, policy: Policy, signatures: Signatures) -> Self {
        Self { name: name.into(), policy, signatures, port: 0, tls: false }
    }
}

/// A policy in force.
#[derive(Debug, Clone)]
pub struct Guard {
    /// What it is called.
    pub name: String,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Who signs.
    pub mint: Mint,
}

impl Guard {
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
}

/// The programs that are tested.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The module.
    pub module: PathBuf,
    /// Envoy; the one in use, if none is given.
    pub envoy: Option<PathBuf>,
}

impl Tools {
    /// What `make build` and `make setup` left, unless the environment says otherwise.
    ///
    /// # Errors
    /// When there is no module.
    pub fn found() -> Result<Self> {
        Ok(Self { module: config::module()?, envoy: None })
    }
}

/// Policies in force in one Envoy, each at a listener of its own, in front of one upstream.
///
/// A process compiles the module once, which takes some two seconds of a core; a further policy costs it
/// about 50 ms and 11 MiB. So tests that do not disturb each other share an Envoy.
pub struct Stage {
    /// The proxy.
    pub envoy: Envoy,
    /// What it guards.
    pub upstream: Upstream,
    guards: Vec<Guard>,
}

impl Stage {
    /// Puts policies in force with two workers.
    ///
    /// # Errors
    /// When Envoy refuses a policy or does not start, or a port is taken. The message has all names, and the
    /// end of Envoy's log, where a policy that was refused is called by its name.
    pub async fn start(posts: &[Post]) -> Result<Self> {
        Self::start_with(posts, &Tools::found()?).await
    }

    /// The same with programs of choice.
    ///
    /// # Errors
    /// As for [`Stage::start`].
    pub async fn start_with(posts: &[Post], tools: &Tools) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let mut policies = Vec::new();
        for post in posts {
            let configuration = post.policy.configuration(post.signatures);
            let mut settings = Settings::new(tools.module.clone(), configuration, upstream.address());
            settings.envoy.clone_from(&tools.envoy);
            settings.vm_id.clone_from(&post.name);
            settings.port = post.port;
            settings.tls = post.tls;
            settings.forwards_certificates = post.policy.reads_forwarded_certificates();
            settings.environment.clone_from(&post.policy.secrets);
            policies.push(settings);
        }
        let names = || posts.iter().map(|post| post.name.as_str()).collect::<Vec<_>>().join("; ");
        let envoy = Envoy::start_together(&policies)
            .await
            .with_context(|| format!("cannot put in force, in one Envoy: {}", names()))?;
        let guard = |post: &Post| {
            let address = envoy.listener(&post.name)?;
            Ok(Guard { name: post.name.clone(), address, mint: post.policy.mint() })
        };
        let guards = posts.iter().map(guard).collect::<Result<_>>()?;
        Ok(Self { envoy, upstream, guards })
    }

    /// The policy of a name.
    ///
    /// # Errors
    /// When none is called so.
    pub fn guard(&self, name: &str) -> Result<&Guard> {
        let found = self.guards.iter().find(|guard| guard.name == name);
        found.with_context(|| format!("no policy in force is called `{name}`"))
    }

    /// Checks that nothing broke: the process lives, no VM was made anew.
    ///
    /// # Errors
    /// With what broke and in which policy, and the end of Envoy's log.
    pub async fn unharmed(&mut self) -> Result<()> {
        let names = || self.guards.iter().map(|guard| guard.name.as_str()).collect::<Vec<_>>().join("; ");
        self.envoy.alive().with_context(|| format!("the Envoy with these policies broke: {}", names()))?;
        let reloads = self.envoy.vm_reloads().await?;
        let broken: Vec<_> = reloads
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(name, count)| format!("{name}: {count}"))
            .collect();
        if !broken.is_empty() {
            bail!("VM restarts: {}; envoy's log ends with:\n{}", broken.join(", "), self.envoy.log_tail());
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
