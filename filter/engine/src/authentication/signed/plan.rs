//! What signed requests must look like, and whose keys count.

use serde::{Deserialize, Serialize};

/// One method of signing requests, with its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRequestsPlan {
    /// The name in the policy.
    pub name: String,
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
    /// What is signed, and how it is sent.
    pub form: FormPlan,
    /// The keys, at most `MAX_KEYS`. No two have one id.
    pub keys: Vec<KeyPlan>,
    /// How far back the time of signing may lie, in seconds.
    pub window_s: u64,
    /// How far ahead it may lie, for clocks that differ. Small: who dates things ahead makes the table forget sooner.
    pub ahead_s: u64,
    /// Whether upstream gets to see the signature.
    pub forward_signature: bool,
    /// What upstream is told: lower-case header name, and the claim: `client`, `key`.
    pub forward_claims: Vec<(String, String)>,
}

/// What is signed, and how it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FormPlan {
    /// The simple form: see `simple`.
    Hmac {
        /// Lower-case names of the headers.
        headers: HmacHeaders,
    },
    /// RFC 9421.
    MessageSignatures {
        /// The label of the signature. Without it: the one that has the tag, or the only one.
        label: Option<String>,
        /// The tag that the signature must have.
        tag: Option<String>,
        /// What must be covered: field names, and derived components with their `@`. With `content-digest` among
        /// them, a request that does not cover it has no body.
        cover: Vec<String>,
        /// The scheme that clients see, where a proxy in front ends TLS.
        scheme: Option<String>,
        /// Whether a refusal says what must be covered (`Accept-Signature`).
        offer: bool,
    },
}

/// The headers of the simple form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HmacHeaders {
    /// The id of the key.
    pub key: String,
    /// Seconds since the Unix epoch.
    pub timestamp: String,
    /// Something that makes the request the only one of its second.
    pub nonce: String,
    /// The SHA-256 of the body, in hexadecimal.
    pub digest: String,
    /// The signature, in hexadecimal.
    pub signature: String,
}

/// A key of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPlan {
    /// What signatures name it by.
    pub id: String,
    /// Whose it is: the subject.
    pub client: String,
    /// Roles of the client.
    pub roles: Vec<String>,
    /// Permissions of the client.
    pub permissions: Vec<String>,
    /// The one algorithm that it is for.
    pub algorithm: SignatureAlgorithm,
    /// The key itself.
    pub material: KeyMaterial,
    /// The second since the Unix epoch from which it counts.
    pub not_before: Option<u64>,
    /// The second from which it counts no longer.
    pub expires: Option<u64>,
}

/// A key, or where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeyMaterial {
    /// A JWK set with one public key (RFC 7517).
    Jwks(String),
    /// A shared secret in the environment of the VM, used byte by byte.
    Secret {
        /// The variable.
        env: String,
    },
    /// A shared secret that lies in the bundle, sealed to a key of the filter for this method.
    Sealed {
        /// The sealed secret: a JWE in compact form.
        jwe: String,
        /// The variable that holds the private key.
        key_env: String,
    },
}

/// An algorithm, by its name in the registry of RFC 9421, section 6.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SignatureAlgorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// Ed25519.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// ECDSA on P-256 with SHA-256, the two numbers one after the other.
    #[serde(rename = "ecdsa-p256-sha256")]
    EcdsaP256Sha256,
    /// RSA-PSS with SHA-512 and 64 bytes of salt.
    #[serde(rename = "rsa-pss-sha512")]
    RsaPssSha512,
    /// RSA PKCS#1 v1.5 with SHA-256.
    #[serde(rename = "rsa-v1_5-sha256")]
    RsaV15Sha256,
}

impl SignatureAlgorithm {
    /// The name in the registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::RsaV15Sha256 => "rsa-v1_5-sha256",
        }
    }
}
