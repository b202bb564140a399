//! Envoy with listeners that follow bundles, each from a cluster of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use super::make::Maker;
use crate::config::{self, Settings};
use crate::envoy::Envoy;
use crate::lifecycle::place;

/// How often the scenes poll: as often as the filter can.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);

/// How long after a publication every worker must enforce it: a poll and a second.
pub(crate) const FOLLOWED: Duration = Duration::from_millis(1500);

/// The path of the artifact at the bundle server.
pub(crate) const PATH: &str = "/edge.bundle";

/// The repository of a registry.
pub(crate) const REPOSITORY: &str = "policies/edge";

/// Workers of each Envoy.
const WORKERS: u32 = 2;

/// A listener with a plugin that follows.
#[derive(Clone)]
pub(crate) struct Site {
    /// What the listener, the plugin, the statistics and the cluster are called.
    pub(crate) name: String,
    pub(crate) configuration: Map<String, Value>,
    /// Where the cluster leads.
    pub(crate) source: SocketAddr,
}

impl Site {
    /// Follows an artifact over HTTP; two keys must have signed it.
    pub(crate) fn new(name: &str, maker: &Maker, source: SocketAddr) -> Result<Self> {
        let timeout = Duration::from_secs(1);
        let configuration = json!({"trust": maker.trust(2)?, "source": {
            "http": {"cluster": name, "authority": "bundles.internal", "path": PATH},
            "interval_ms": INTERVAL.as_millis(), "timeout_ms": timeout.as_millis(),
        }});
        let Value::Object(configuration) = configuration else { bail!("not an object") };
        Ok(Self { name: name.to_owned(), configuration, source })
    }

    /// The plugin configuration.
    pub(crate) fn text(&self) -> String {
        Value::Object(self.configuration.clone()).to_string()
    }

    /// Follows a reference of an OCI registry instead.
    pub(crate) fn oci(name: &str, maker: &Maker, registry: SocketAddr, reference: &str) -> Result<Self> {
        let place = json!({"cluster": name, "authority": registry.to_string(),
            "repository": REPOSITORY, "reference": reference});
        let mut site = Self::new(name, maker, registry)?.source("oci", place);
        if let Some(source) = site.configuration.get_mut("source").and_then(Value::as_object_mut) {
            source.remove("http");
        }
        Ok(site)
    }

    /// The same with another member of the configuration.
    pub(crate) fn with(mut self, member: &str, value: Value) -> Self {
        self.configuration.insert(member.to_owned(), value);
        self
    }

    /// The same with another member of the source.
    pub(crate) fn source(mut self, member: &str, value: Value) -> Self {
        if let Some(source) = self.configuration.get_mut("source").and_then(Value::as_object_mut) {
            source.insert(member.to_owned(), value);
        }
        self
    }
}

/// Starts an Envoy with these sites in front of one upstream. Its log has what the filter says.
pub(crate) async fn start(sites: &[Site], upstream: SocketAddr) -> Result<Envoy> {
    start_with(sites, upstream, &BTreeMap::new()).await
}

/// The same with secrets in the environment.
pub(crate) async fn start_with(
    sites: &[Site],
    upstream: SocketAddr,
    environment: &BTreeMap<String, String>,
) -> Result<Envoy> {
    let config = configuration(sites, upstream, environment)?;
    Envoy::start_logging(&config, WORKERS, environment, "info").await
}

/// The configuration of such an Envoy.
pub(crate) fn configuration(
    sites: &[Site],
    upstream: SocketAddr,
    environment: &BTreeMap<String, String>,
) -> Result<Value> {
    let mut policies = Vec::new();
    for site in sites {
        let mut settings = Settings::new(config::module()?, site.text(), upstream);
        settings.vm_id.clone_from(&site.name);
        settings.concurrency = WORKERS;
        settings.environment.clone_from(environment);
        policies.push(settings);
    }
    let mut config = config::together(&policies)?;
    for (number, site) in sites.iter().enumerate() {
        let listener = place(&mut config, &format!("/static_resources/listeners/{number}"))?;
        let listener = listener.as_object_mut().context("a listener is an object")?;
        listener.insert("stat_prefix".to_owned(), json!(site.name));
        let clusters = place(&mut config, "/static_resources/clusters")?.as_array_mut();
        clusters.context("a list of clusters")?.push(cluster(&site.name, site.source));
    }
    Ok(config)
}

fn cluster(name: &str, to: SocketAddr) -> Value {
    let address = json!({"socket_address": {"address": to.ip().to_string(), "port_value": to.port()}});
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    })
}

/// How often each kind of refusal was counted, by all plugins together; and what else the filter counts of bundles.
pub(crate) async fn counters(envoy: &Envoy) -> Result<BTreeMap<String, u64>> {
    envoy.stats("wasmcustom.bartizan.bundle").await
}

/// The full name of the counter of a kind.
pub(crate) fn refused(kind: &str) -> String {
    format!("wasmcustom.bartizan.bundle.refused.{kind}")
}
