//! A DPoP proof as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::placeholder::or_placeholder;
use super::token::Tamper;

/// A DPoP proof (RFC 9449) for the token of a request, sent in the header `dpop`. What is not said is such that it is
/// accepted, once: the token is bound to its key, and the token is sent with the scheme `DPoP`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Proof {
    /// The key that signs; `es256-stranger` by default, which is no issuer's.
    pub key: Option<String>,
    /// The key that stands in the header; the one that signs by default.
    pub shown: Option<String>,
    /// The key that the token is bound to; the one that signs by default, and `none` binds it to none.
    pub bound: Option<String>,
    /// The algorithm; that of the key by default.
    pub alg: Option<String>,
    /// Members of the header over `typ`, `alg` and `jwk`; null takes one away.
    #[serde(deserialize_with = "or_placeholder")]
    pub header: BTreeMap<String, Value>,
    /// Members of `jwk` over those of the key; null takes one away.
    #[serde(deserialize_with = "or_placeholder")]
    pub jwk: BTreeMap<String, Value>,
    /// Claims over `jti`, `htm`, `htu`, `iat` and `ath`; null takes one away. `exp`, `nbf` and `iat` may be `now`, `+1m` or
    /// `-1s`.
    #[serde(deserialize_with = "or_placeholder")]
    pub claims: BTreeMap<String, Value>,
    /// When the nonce in it was made that the filter gave out: `now`, `-1m`.
    pub nonce: Option<String>,
    /// How the finished proof is spoiled, in order.
    #[serde(deserialize_with = "or_placeholder")]
    pub tamper: Vec<Tamper>,
    /// The proof is this text and nothing else; empty sends none.
    pub text: Option<String>,
    /// The scheme that the token is sent with; `DPoP` by default.
    pub scheme: Option<String>,
}
