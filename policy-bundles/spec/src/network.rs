//! Where requests may come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::Network as Cidr;

/// Where requests may come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// How the client address is found.
    pub client_address: ClientAddress,
    /// Networks that are refused. Deny beats allow.
    pub deny: Vec<Cidr>,
    /// If not empty, only these networks are let in.
    pub allow: Vec<Cidr>,
}

/// How the client address is found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientAddress {
    /// How many proxies in front of this one append to `x-forwarded-for` and are trusted. With 0 the
    /// address is the connection's, and the header is ignored.
    #[schemars(range(min = 0, max = 16))]
    pub trusted_hops: u32,
}
