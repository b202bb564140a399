//! A token as it is written: what it says, who signs it, and how it is then spoiled.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::placeholder::or_placeholder;
use super::text_or_map::text_or_map;

/// A token for the mint: its text, or what it says. What is not said is such that the issuer's rules
/// accept it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Token {
    /// The issuer, by its name in the bundle; the first by default.
    pub issuer: Option<String>,
    /// The algorithm that signs; the issuer's first by default.
    pub alg: Option<String>,
    /// The key that signs: `own` (default), `stranger` (no set has it), a name such as `rs256-1`, or
    /// `public-as-secret` (an HMAC keyed with the public key in PEM, RFC 8725, section 2.1).
    pub key: Option<String>,
    /// Roles, put where the issuer's tokens carry them.
    pub roles: Option<Value>,
    /// Permissions, put where the issuer's tokens carry them.
    pub permissions: Option<Value>,
    /// Members of the header over `alg`, `kid` and `typ`; null takes one away.
    pub header: BTreeMap<String, Value>,
    /// Claims over `iss`, `aud`, `sub`, `iat` and `exp`; null takes one away. `exp`, `nbf`, `iat` and
    /// `auth_time` may be `now`, `+1h` or `-1s`.
    pub claims: BTreeMap<String, Value>,
    /// The header as JSON text, instead of all of the above.
    pub raw_header: Option<String>,
    /// The payload as JSON text, instead of all of the above.
    pub raw_payload: Option<String>,
    /// How the finished token is spoiled, in order.
    pub tamper: Vec<Tamper>,
    /// The token is this text and nothing else.
    pub text: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TokenMap {
    /// The issuer, by its name in the bundle; the first by default.
    #[serde(default)]
    issuer: Option<String>,
    /// The algorithm that signs; the issuer's first by default.
    #[serde(default)]
    alg: Option<String>,
    /// The key that signs: `own` (default), `stranger` (no set has it), a name such as `rs256-1`, or
    /// `public-as-secret` (an HMAC keyed with the public key in PEM, RFC 8725, section 2.1).
    #[serde(default)]
    key: Option<String>,
    /// Roles, put where the issuer's tokens carry them.
    #[serde(default)]
    roles: Option<Value>,
    /// Permissions, put where the issuer's tokens carry them.
    #[serde(default)]
    permissions: Option<Value>,
    /// Members of the header over `alg`, `kid` and `typ`; null takes one away.
    #[serde(default, deserialize_with = "or_placeholder")]
    header: BTreeMap<String, Value>,
    /// Claims over `iss`, `aud`, `sub`, `iat` and `exp`; null takes one away. `exp`, `nbf`, `iat` and
    /// `auth_time` may be `now`, `+1h` or `-1s`.
    #[serde(default, deserialize_with = "or_placeholder")]
    claims: BTreeMap<String, Value>,
    /// The header as JSON text, instead of all of the above.
    #[serde(default)]
    raw_header: Option<String>,
    /// The payload as JSON text, instead of all of the above.
    #[serde(default)]
    raw_payload: Option<String>,
    /// How the finished token is spoiled, in order.
    #[serde(default, deserialize_with = "or_placeholder")]
    tamper: Vec<Tamper>,
    /// The token is this text and nothing else.
    #[serde(default)]
    text: Option<String>,
}

text_or_map!(Token, TokenMap, "the text of a token, or a mapping that describes one", {
    text => |text| Ok(Token { text: Some(text), ..Token::default() }),
    map => |map| Ok(Token { issuer: map.issuer, alg: map.alg, key: map.key, roles: map.roles, permissions: map.permissions, header: map.header, claims: map.claims, raw_header: map.raw_header, raw_payload: map.raw_payload, tamper: map.tamper, text: map.text }),
});

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
