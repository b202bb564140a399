//! Tokens that are bound to a key of their client.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::certificates::CertificateSource;
use super::jwt::{Algorithm, SealingKey};
use crate::text::IssuerText;
use crate::units::Duration;

/// How tokens are bound to keys. A token that says that it is bound is always held to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bound {
    /// Whether tokens that are bound to no key are refused.
    pub required: bool,
    /// Where the certificate of a token is told that is bound to one (RFC 8705).
    pub certificate: CertificateSource,
    /// How DPoP proofs are judged (RFC 9449). Without it tokens that are bound to a DPoP key are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpop: Option<Dpop>,
}

/// How DPoP proofs are judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dpop {
    /// The algorithms that proofs may be signed with; asymmetric ones.
    #[schemars(length(min = 1))]
    pub algorithms: Vec<Algorithm>,
    /// How old a proof may be, at most 1h.
    pub max_age: Duration,
    /// How far the client's clock may be ahead, at most 10m.
    pub leeway: Duration,
    /// By which origins clients call this service: `https://api.example.com`. Without any: `https` and the host of the
    /// request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<IssuerText>,
    /// Nonces, if proofs need one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
    /// How many used proofs are remembered: a power of two from 1024 to 1048576.
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub remember: u32,
}

impl Default for Dpop {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::ES256, Algorithm::EdDSA],
            max_age: Duration::seconds(60),
            leeway: Duration::seconds(5),
            origins: Vec::new(),
            nonce: None,
            remember: 65_536,
        }
    }
}

/// Nonces that the filter gives out with a refusal, and that proofs must then have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nonce {
    /// How long one is good at least; at most twice as long. At most 24h.
    #[serde(default = "five_minutes")]
    pub lifetime: Duration,
    /// A key of 32 bytes or more, for several proxies that know each other's nonces. Without one the workers of one proxy
    /// make one up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SealingKey>,
}

fn five_minutes() -> Duration {
    Duration::seconds(300)
}
