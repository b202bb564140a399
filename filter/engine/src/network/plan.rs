//! Where a request may come from.

use serde::{Deserialize, Serialize};

/// Client address and networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPlan {
    /// How many proxies in front of this one append to `x-forwarded-for` and are trusted. Zero takes
    /// the address of the connection and ignores the header.
    pub trusted_hops: u32,
    /// Networks in CIDR form that are refused. Deny beats allow.
    pub deny: Vec<NetworkEntry>,
    /// If not empty, only these networks are let in.
    pub allow: Vec<NetworkEntry>,
}

/// One network of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkEntry {
    /// CIDR form with all host bits zero, `198.51.100.0/24`.
    pub network: String,
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
}
