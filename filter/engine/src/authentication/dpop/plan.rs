//! Which DPoP proofs are accepted.

use serde::{Deserialize, Serialize};

use crate::authentication::plan::Algorithm;

/// How the tokens of an issuer are bound to keys, and how that is shown. Bound tokens are always held to it; this says
/// what else there is to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindingPlan {
    /// Whether tokens that are bound to no key are refused.
    pub required: bool,
    /// Where the certificate of a token with `x5t#S256` is told.
    pub certificate: Option<crate::authentication::certificates::plan::CertificateSource>,
    /// How proofs are judged; without it a token with `jkt` is refused.
    pub dpop: Option<DpopPlan>,
}

impl BindingPlan {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How DPoP proofs (RFC 9449) are judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpopPlan {
    /// Asymmetric algorithms that proofs may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// How old a proof may be, in seconds.
    pub max_age_s: u64,
    /// How far in the future it may have been made, in seconds.
    pub leeway_s: u64,
    /// Origins that clients call this service by. Empty: `https` and the authority of the request.
    pub origins: Vec<String>,
    /// Nonces, if proofs need one.
    pub nonce: Option<NoncePlan>,
    /// How many used proofs are remembered: a power of two.
    pub replay_entries: u32,
}

/// Nonces that the filter makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoncePlan {
    /// How long one is good for at least, in seconds; at most twice as long.
    pub lifetime_s: u64,
    /// The environment variable with the key, for several proxies that know each other's nonces. Without one the key is
    /// chance, and the workers of one proxy share it.
    pub key_env: Option<String>,
}
