//! Signed requests: a method, and the file that it takes its keys from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Secret;
use super::api_keys::ForwardAttributes;
use crate::text::{
    BundleFile, Covered, Grant, HeaderName, LabelText, Name, RoleName, SignatureLabel, UrlScheme,
};
use crate::time::Moment;
use crate::units::Duration;

/// Clients that sign their requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedRequests {
    /// A name for these clients.
    pub name: Name,
    /// What is signed, and how it is sent.
    pub form: SignatureForm,
    /// The file with the keys: `keys:` and a list of entries.
    pub keys: BundleFile,
    /// How long ago a request may have been signed, at most 24h.
    #[serde(default = "five_minutes")]
    pub window: Duration,
    /// How far ahead of the proxy's clock the client's may be; at most the window and 10m.
    #[serde(default = "one_minute")]
    pub ahead: Duration,
    /// Whether upstream still sees the signature.
    #[serde(default)]
    pub forward_signature: bool,
    /// What upstream is told about the client: `client`, `key` or `algorithm`.
    #[serde(default)]
    pub forward: ForwardAttributes,
}

/// How long signatures are good if a bundle does not say.
#[must_use]
pub fn five_minutes() -> Duration {
    Duration::from_millis(300_000)
}

/// How far clocks may differ if a bundle does not say.
#[must_use]
pub fn one_minute() -> Duration {
    Duration::from_millis(60_000)
}

/// What is signed, and how it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SignatureForm {
    /// The simple form: an HMAC over six lines, in headers of its own.
    Hmac(HmacForm),
    /// HTTP Message Signatures (RFC 9421).
    MessageSignatures(MessageForm),
}

/// The simple form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HmacForm {
    /// Names of the headers.
    pub headers: HmacHeaders,
}

/// The headers of the simple form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HmacHeaders {
    /// The header with the id of the key.
    pub key: HeaderName,
    /// The header with the seconds since 1970.
    pub timestamp: HeaderName,
    /// The header with the nonce. Clients may leave it out.
    pub nonce: HeaderName,
    /// The header with the SHA-256 of the body. Clients may leave it out where there is no body.
    pub digest: HeaderName,
    /// The header with the signature.
    pub signature: HeaderName,
}

impl Default for HmacHeaders {
    fn default() -> Self {
        Self {
            key: HeaderName::known("x-signature-key"),
            timestamp: HeaderName::known("x-signature-timestamp"),
            nonce: HeaderName::known("x-signature-nonce"),
            digest: HeaderName::known("x-content-sha256"),
            signature: HeaderName::known("x-signature"),
        }
    }
}

/// HTTP Message Signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MessageForm {
    /// The label of the signature that counts. Without it: the one with the tag, or the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<SignatureLabel>,
    /// The `tag` that the signature must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<LabelText>,
    /// What must be covered. A request that does not cover `content-digest` where it must has no body.
    pub cover: Vec<Covered>,
    /// The scheme that clients see, where a proxy in front of this one ends TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<UrlScheme>,
    /// Whether a request without a signature is told what to cover (`Accept-Signature`).
    pub offer: bool,
}

impl Default for MessageForm {
    fn default() -> Self {
        let cover = ["@method", "@authority", "@path", "@query", "content-digest"];
        Self { label: None, tag: None, cover: cover.map(Covered::known).to_vec(), scheme: None, offer: false }
    }
}

/// The whole of a file with keys that sign requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigningKeyFile {
    /// The keys. A client may have several, so that a new one is known before the old one is gone.
    #[schemars(length(min = 1))]
    pub keys: Vec<SigningKey>,
}

/// A key that signs requests: a shared secret, or the public half of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigningKey {
    /// What signatures name it by (`keyid`).
    pub id: LabelText,
    /// Whose key it is: the subject of whoever signs with it.
    pub client: LabelText,
    /// The one algorithm that it is for.
    pub algorithm: SignatureAlgorithm,
    /// A shared secret, which is never in the bundle in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// A file with one public key in PEM form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pem: Option<BundleFile>,
    /// A file with a JWK set that has one public key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<BundleFile>,
    /// The client's roles.
    #[serde(default)]
    pub roles: Vec<RoleName>,
    /// The permissions that it has beside those of its roles.
    #[serde(default)]
    pub permissions: Vec<Grant>,
    /// The moment before which the key is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Moment>,
    /// The moment from which the key is not good any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
}

/// An algorithm, by its name in the registry of RFC 9421.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SignatureAlgorithm {
    /// HMAC with SHA-256, with a shared secret.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// Ed25519.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ecdsa-p256-sha256")]
    EcdsaP256Sha256,
    /// RSA-PSS with SHA-512.
    #[serde(rename = "rsa-pss-sha512")]
    RsaPssSha512,
    /// RSA PKCS#1 v1.5 with SHA-256.
    #[serde(rename = "rsa-v1_5-sha256")]
    RsaV15Sha256,
}
