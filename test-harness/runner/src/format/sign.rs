//! How a request is signed: by which key, over what, and how the signature is then spoiled.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::body::Body;
use super::octets::Octets;
use super::placeholder::{option_or_placeholder, or_placeholder};

/// How a request is signed. What is not said is such that the method's rules accept it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// The method, by its name in the bundle; the first by default.
    #[serde(default)]
    pub method: Option<String>,
    /// The id of the key that the signature names; the method's first by default.
    #[serde(default)]
    pub key: Option<String>,
    /// The id of the key that really signs, or `stranger`; the one that is named by default.
    #[serde(default)]
    pub with: Option<String>,
    /// The label; what the method wants, or `sig1`.
    #[serde(default)]
    pub label: Option<String>,
    /// What is covered: `@method`, `content-digest`, `@query-param;name="a"`; what the method wants by default.
    #[serde(default, deserialize_with = "option_or_placeholder")]
    pub cover: Option<Vec<String>>,
    /// Parameters over `created`, `keyid`, `nonce` and `tag`. Times may be `now`, `+1h` or `-1s`, and
    /// `hour`: the last full one. A nonce is one of this run. The simple form has `created` and `nonce`.
    #[serde(default, deserialize_with = "or_placeholder")]
    pub parameters: BTreeMap<String, Value>,
    /// Parameters that are left out.
    #[serde(default, deserialize_with = "or_placeholder")]
    pub without: Vec<String>,
    /// The algorithm of the body's digest: `sha-256` (default), `sha-512`, or `none` for no digest.
    #[serde(default)]
    pub digest: Option<String>,
    /// What is signed instead of what is sent.
    #[serde(default, rename = "as", deserialize_with = "or_placeholder")]
    pub instead: Instead,
    /// How it is spoiled, in order.
    #[serde(default, deserialize_with = "or_placeholder")]
    pub tamper: Vec<SignTamper>,
}

/// What is signed instead of what is sent.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Instead {
    /// The method.
    #[serde(default)]
    pub method: Option<String>,
    /// The host.
    #[serde(default)]
    pub host: Option<String>,
    /// Path and query.
    #[serde(default)]
    pub path: Option<String>,
    /// The body.
    #[serde(default)]
    pub body: Option<Body>,
    /// Values of headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Octets>,
}

/// A way to spoil what was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignTamper {
    /// One bit of the signature is turned.
    FlipSignature,
    /// The last byte of the signature is gone.
    ShortSignature,
    /// The signature is empty.
    EmptySignature,
    /// The header with the signature is not sent.
    NoSignature,
    /// The header that says what is signed (the key, in the simple form) is not sent.
    NoInput,
    /// The header with the signature is sent twice.
    SignatureTwice,
    /// The header that says what is signed (the key, in the simple form) is sent twice.
    InputTwice,
    /// The same signature is sent again under a second label.
    SecondLabel,
    /// The header with the body's digest is not sent, though it was signed.
    NoDigest,
    /// The digest names an algorithm that nobody knows.
    UnknownDigest,
    /// The signature in other letters than it should have.
    UpperCase,
}
