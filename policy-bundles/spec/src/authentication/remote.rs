//! What the proxy fetches while a policy is in force.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{ClusterName, WebUri};
use crate::units::{Duration, Size};

/// A place on a web server that the proxy reaches by one of its clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// The proxy's cluster that reaches it. The cluster decides about addresses and TLS.
    pub cluster: ClusterName,
    /// Where it is. Host and path are asked for as they stand here.
    pub uri: WebUri,
    /// The longest time between two good answers, from 1s to 1d. A shorter `max-age` of the server counts.
    #[serde(default = "refresh")]
    pub refresh: Duration,
    /// The shortest time between two attempts, at least 1s.
    #[serde(default = "min_refresh")]
    pub min_refresh: Duration,
    /// How long an answer may take, from 100ms to 30s.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// The largest answer.
    #[serde(default = "max_size")]
    pub max_size: Size,
}

/// An issuer that says itself where its keys are, in its discovery document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Discovery {
    /// The proxy's cluster that reaches the issuer, and its keys if they are at the same origin.
    pub cluster: ClusterName,
    /// Other origins at which the issuer may keep its keys.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub keys_at: Vec<KeysAt>,
    /// The longest time between two good answers, from 1s to 1d. A shorter `max-age` of the server counts.
    #[serde(default = "refresh")]
    pub refresh: Duration,
    /// The shortest time between two attempts, at least 1s.
    #[serde(default = "min_refresh")]
    pub min_refresh: Duration,
    /// How long each of the two answers may take, from 100ms to 30s.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// The largest key set.
    #[serde(default = "max_size")]
    pub max_size: Size,
}

/// An origin, and the cluster that reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeysAt {
    /// Scheme, host, and port if it is not the usual one.
    pub origin: WebUri,
    /// The proxy's cluster.
    pub cluster: ClusterName,
}

/// Ten minutes.
pub(super) fn refresh() -> Duration {
    Duration::seconds(600)
}

/// Half a minute.
pub(super) fn min_refresh() -> Duration {
    Duration::seconds(30)
}

/// Five seconds.
pub(super) fn timeout() -> Duration {
    Duration::seconds(5)
}

/// 128 KiB.
pub(super) fn max_size() -> Size {
    Size::kib(128)
}
