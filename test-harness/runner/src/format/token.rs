//! A token as it is written: what it says, who signs it, and how it is then spoiled.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// A token for the mint. What is not said is such that the issuer's rules accept it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The issuer, by its name in the bundle; the first by default.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The algorithm that signs; the issuer's first by default.
    #[serde(default)]
    pub alg: Option<String>,
    /// The key that signs: `own` (default), `stranger` (no set has it), a name such as `rs256-1`, or
    /// `public-as-secret` (an HMAC keyed with the public key in PEM, RFC 8725, section 2.1).
    #[serde(default)]
    pub key: Option<String>,
    /// Roles, put where the issuer's tokens carry them.
    #[serde(default)]
    pub roles: Option<Value>,
    /// Permissions, put where the issuer's tokens carry them.
    #[serde(default)]
    pub permissions: Option<Value>,
    /// Members of the header over `alg`, `kid` and `typ`; null takes one away.
    #[serde(default)]
    pub header: BTreeMap<String, Value>,
    /// Claims over `iss`, `aud`, `sub`, `iat` and `exp`; null takes one away. `exp`, `nbf`, `iat` and
    /// `auth_time` may be `now`, `+1h` or `-1s`.
    #[serde(default)]
    pub claims: BTreeMap<String, Value>,
    /// The header as JSON text, instead of all of the above.
    #[serde(default)]
    pub raw_header: Option<String>,
    /// The payload as JSON text, instead of all of the above.
    #[serde(default)]
    pub raw_payload: Option<String>,
    /// How the finished token is spoiled, in order.
    #[serde(default)]
    pub tamper: Vec<Tamper>,
    /// The token is this text and nothing else.
    #[serde(default)]
    pub text: Option<String>,
}

/// A way to spoil a token after it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tamper {
    /// One bit of the signature is turned.
    FlipSignature,
    /// One bit of the payload is turned.
    FlipPayload,
    /// The signature is empty, its dot stays.
    EmptySignature,
    /// The signature and its dot are gone.
    NoSignature,
    /// The last byte of the signature is gone.
    ShortSignature,
    /// A zero byte is added to the signature.
    LongSignature,
    /// All bytes of the signature are zero (CVE-2022-21449 for ECDSA).
    ZeroSignature,
    /// An ECDSA signature in ASN.1 DER, where JWS wants two integers side by side (RFC 7518, section 3.4).
    DerSignature,
    /// `=` is added to the signature (RFC 7515, section 2: no padding).
    PadSignature,
    /// `=` is added to the payload.
    PadPayload,
    /// The signature in base64 with `+` and `/`.
    StandardAlphabet,
    /// The unused bits of the signature's last character are not zero.
    LooseBits,
    /// An empty part is added at the end.
    TrailingDot,
    /// An empty part is added at the front.
    LeadingDot,
    /// A further part is added, as in an encrypted token.
    FiveParts,
    /// A line break in the middle of the payload.
    LineBreak,
    /// A blank before the first part.
    LeadingSpace,
    /// The payload is that of another token by the same key, the signature is not.
    SwapPayload,
}
