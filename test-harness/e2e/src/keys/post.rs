//! Listeners whose policies fetch from servers of the scene, and tokens for them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Error, Result, bail, ensure};
use bartizan_cases::deployment::{self, Signatures};
use bartizan_cases::format::Token;
use bartizan_cases::mint::Mint;
use bartizan_cases::mint::keys::{self, KeyName};
use serde_json::{Value, json};

use crate::bundles::server::Behaviour;
use crate::bundles::site::{self, Site};
use crate::deploy::now;
use crate::envoy::Envoy;
use crate::message::Request;
use crate::upstream::Upstream;

/// Workers of each Envoy.
pub(super) const WORKERS: u32 = 3;

/// Where the keys are, and the documents that lead to them.
pub(super) const KEYS: &str = "/keys";

/// A policy to put in force at a listener of its own, whose cluster leads to one server.
pub(super) struct Post {
    pub(super) site: Site,
    mint: Mint,
}

/// Makes tokens differ that are made in the same second.
static TOKENS: AtomicU64 = AtomicU64::new(0);

impl Post {
    /// Compiles a bundle.
    pub(super) fn compile(
        name: &str,
        bundle: &str,
        files: &[(&str, String)],
        source: SocketAddr,
    ) -> Result<Self> {
        let mut all = BTreeMap::from([("bundle.yaml".to_owned(), bundle.as_bytes().to_vec())]);
        all.extend(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())));
        let compiled = bartizan_compiler::compile_files(all);
        let report = compiled.render(false);
        let plan = compiled.plan.with_context(|| report)?;
        let configuration = serde_json::from_str(&deployment::configuration(&plan, Signatures::Auto))?;
        let Value::Object(configuration) = configuration else { bail!("not an object") };
        let site = Site { name: name.to_owned(), configuration, source };
        Ok(Self { site, mint: Mint::for_plan(&plan) })
    }

    /// A policy whose issuer's keys are fetched: `pace` says how often, and what else is said of it.
    pub(super) fn fetching(name: &str, pace: &str, source: SocketAddr) -> Result<Self> {
        let remote = format!("remote: {{cluster: {name}, uri: 'https://issuer.test{KEYS}', {pace}}}");
        Self::compile(name, &bundle(&remote, ""), &[], source)
    }

    /// The same by the issuer's discovery document.
    pub(super) fn discovering(name: &str, pace: &str, source: SocketAddr) -> Result<Self> {
        Self::compile(name, &bundle(&format!("discovery: {{cluster: {name}, {pace}}}"), ""), &[], source)
    }

    /// Who signs its tokens.
    pub(super) const fn mint(&self) -> &Mint {
        &self.mint
    }

    /// A token as it is written, unlike any other.
    pub(super) fn token(&self, mut token: Token) -> Result<String> {
        let number = TOKENS.fetch_add(1, Ordering::Relaxed);
        token.claims.entry("jti".to_owned()).or_insert_with(|| json!(format!("t-{number}")));
        self.mint.token(&token, now()?, "alice").map_err(Error::msg)
    }

    /// A request with a new token that a key has signed.
    pub(super) fn request(&self, key: &str) -> Result<Request> {
        let token = Token { key: Some(key.to_owned()), ..Token::default() };
        Ok(Request::new("GET", "/").bearer(&self.token(token)?))
    }

    /// A request with a token that nobody has signed, of a key that nobody has.
    pub(super) fn unknown(&self) -> Result<Request> {
        let kid = format!("made-up-{}", TOKENS.fetch_add(1, Ordering::Relaxed));
        let header = BTreeMap::from([("kid".to_owned(), json!(kid))]);
        let token = Token { key: Some("none".to_owned()), header, ..Token::default() };
        Ok(Request::new("GET", "/").bearer(&self.token(token)?))
    }
}

/// A bundle with one issuer, whose keys come from there.
pub(super) fn bundle(keys: &str, more: &str) -> String {
    format!(
        "apiVersion: bartizan/v1\nname: keys\n\
         authentication:\n  jwt:\n\
         \x20   - {{name: corp, issuer: 'https://issuer.test/', audiences: [t], algorithms: [ES256], keys: {{{keys}}}}}\n{more}\
         routes:\n\
         \x20 - {{path: /, methods: [GET], access: authenticated}}\n\
         \x20 - {{path: /open, methods: [GET], access: public}}\n\
         \x20 - {{path: /upload, methods: [POST], access: authenticated, body: {{max_size: 10MiB, opaque: [application/octet-stream]}}}}\n"
    )
}

/// A key set of test keys.
pub(super) fn jwks(names: &[&str]) -> Result<Vec<u8>> {
    let names: Vec<_> =
        names.iter().map(|name| KeyName::parse(name)).collect::<Result<_, _>>().map_err(Error::msg)?;
    Ok(keys::jwks(&names).map_err(Error::msg)?.into_bytes())
}

/// A server that has these keys.
pub(super) fn serving(names: &[&str]) -> Result<Behaviour> {
    Ok(Behaviour::Documents(BTreeMap::from([(KEYS.to_owned(), jwks(names)?)])))
}

/// An Envoy with these policies in force. Its log has what the filter says.
pub(super) async fn start(
    posts: &[Post],
    upstream: &Upstream,
    environment: &BTreeMap<String, String>,
) -> Result<Envoy> {
    launch(&site::configuration(&sites(posts), upstream.address(), environment)?, environment).await
}

fn sites(posts: &[Post]) -> Vec<Site> {
    posts.iter().map(|post| post.site.clone()).collect()
}

/// The configuration of such an Envoy, without secrets.
pub(super) fn configuration(posts: &[Post], upstream: &Upstream) -> Result<Value> {
    site::configuration(&sites(posts), upstream.address(), &BTreeMap::new())
}

/// An Envoy with a configuration.
pub(super) async fn launch(config: &Value, environment: &BTreeMap<String, String>) -> Result<Envoy> {
    Envoy::start_logging(config, WORKERS, environment, "info").await
}

/// What the filter counts of fetching, by all plugins together, without what all names begin with.
pub(super) async fn counters(envoy: &Envoy) -> Result<BTreeMap<String, u64>> {
    const PREFIX: &str = "wasmcustom.bartizan.keys.";
    let all = envoy.stats(PREFIX).await?;
    Ok(all
        .into_iter()
        .filter_map(|(name, count)| Some((name.strip_prefix(PREFIX)?.to_owned(), count)))
        .collect())
}

/// Checks that nothing broke, and stops Envoy.
pub(super) async fn end(mut envoy: Envoy) -> Result<()> {
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke; envoy's log ends with:\n{}", envoy.log_tail());
    envoy.stop().await;
    Ok(())
}
