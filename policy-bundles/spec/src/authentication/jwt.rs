//! Issuers of JSON Web Tokens.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bound::Bound;
use super::{Discovery, Remote};
use crate::forms::{Named, OneOrMany};
use crate::text::{
    BundleFile, ClaimPath, CookieName, EnvName, HeaderName, IssuerText, Name, QueryName, Scheme,
    SealedSecret, TokenType,
};
use crate::units::Duration;

/// One issuer of JSON Web Tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// A name for this issuer.
    pub name: Name,
    /// The `iss` that tokens carry, byte by byte.
    pub issuer: IssuerText,
    /// At least one of these must be in the token's `aud`. If missing, the audience is not checked.
    #[serde(default)]
    pub audiences: Vec<IssuerText>,
    /// The algorithms that are accepted.
    #[schemars(length(min = 1))]
    pub algorithms: Vec<Algorithm>,
    /// Where the keys are.
    pub keys: Keys,
    /// Where tokens are looked for. A request with more than one token is refused.
    #[serde(default = "bearer")]
    #[schemars(length(min = 1, max = 8))]
    pub from: Vec<TokenSource>,
    /// Whether upstream still sees the token.
    #[serde(default)]
    pub forward_token: bool,
    /// How far the issuer's clock may differ, at most 10m.
    #[serde(default)]
    pub leeway: Duration,
    /// What a token must have beyond a good signature.
    #[serde(default)]
    pub require: Require,
    /// Which claims mean what.
    #[serde(default)]
    pub map: ClaimMap,
    /// What upstream is told about the identity.
    #[serde(default)]
    pub forward: Forward,
    /// How tokens are bound to keys of their clients.
    #[serde(default)]
    pub bound: Bound,
}

/// Where tokens are looked for if a bundle does not say: `authorization: Bearer ...`.
#[must_use]
pub fn bearer() -> Vec<TokenSource> {
    vec![TokenSource::Header { header: HeaderName::known("authorization"), scheme: Some(Scheme::bearer()) }]
}

/// A signature algorithm of RFC 7518, RFC 8037 or RFC 8812.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// HMAC with SHA-256, with a shared secret.
    HS256,
    /// HMAC with SHA-384, with a shared secret.
    HS384,
    /// HMAC with SHA-512, with a shared secret.
    HS512,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RS256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    RS384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    RS512,
    /// RSA-PSS with SHA-256.
    PS256,
    /// RSA-PSS with SHA-384.
    PS384,
    /// RSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on secp256k1 with SHA-256.
    ES256K,
    /// Ed25519.
    EdDSA,
}

/// Where the keys of an issuer are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Keys {
    /// A file with a JWK set.
    Jwks(BundleFile),
    /// A file with one or more public keys in PEM form.
    Pem(BundleFile),
    /// A JWK set, as JSON in a string.
    JwksInline(String),
    /// A shared secret, which is never in the bundle in clear.
    Secret(Secret),
    /// A JWK set that the proxy fetches, again and again.
    Remote(Remote),
    /// A JWK set that the proxy fetches from where the issuer says that it is.
    Discovery(Discovery),
}

/// Where a shared secret is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(untagged, deny_unknown_fields)]
pub enum Secret {
    /// In the environment of the proxy's VM.
    Env {
        /// The environment variable of the proxy's VM that holds it: at least 32 bytes.
        env: EnvName,
    },
    /// In the bundle, sealed to a key of the filter.
    Sealed {
        /// What `bartizan seal` printed for this bundle and this issuer.
        sealed: SealedSecret,
        /// The private key that opens it.
        key: SealingKey,
    },
}

/// Where the private key is that opens what is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SealingKey {
    /// The environment variable of the proxy's VM that holds it: PKCS#8 in PEM, or its base64.
    pub env: EnvName,
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            env: Option<EnvName>,
            sealed: Option<SealedSecret>,
            key: Option<SealingKey>,
        }
        let fields = Fields::deserialize(deserializer)?;
        match (fields.env, fields.sealed, fields.key) {
            (Some(env), None, None) => Ok(Self::Env { env }),
            (None, Some(sealed), Some(key)) => Ok(Self::Sealed { sealed, key }),
            _ => Err(D::Error::custom("needs either `env`, or `sealed` and `key`")),
        }
    }
}

/// Where a token may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(untagged, deny_unknown_fields)]
pub enum TokenSource {
    /// A header.
    Header {
        /// The header's name.
        header: HeaderName,
        /// The authentication scheme before the token. Without one, the whole value is the token.
        #[serde(skip_serializing_if = "Option::is_none")]
        scheme: Option<Scheme>,
    },
    /// A cookie.
    Cookie {
        /// The cookie's name.
        cookie: CookieName,
    },
    /// A query parameter. Tokens in URLs end up in logs: prefer a header.
    Query {
        /// The parameter's name.
        query: QueryName,
    },
}

impl<'de> Deserialize<'de> for TokenSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            header: Option<HeaderName>,
            scheme: Option<Scheme>,
            cookie: Option<CookieName>,
            query: Option<QueryName>,
        }
        let fields = Fields::deserialize(deserializer)?;
        match (fields.header, fields.scheme, fields.cookie, fields.query) {
            (Some(header), scheme, None, None) => Ok(Self::Header { header, scheme }),
            (None, None, Some(cookie), None) => Ok(Self::Cookie { cookie }),
            (None, None, None, Some(query)) => Ok(Self::Query { query }),
            _ => Err(D::Error::custom("needs exactly one of `header` (with `scheme`), `cookie`, `query`")),
        }
    }
}

/// What a token must have beyond a good signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Require {
    /// Whether `exp` must be there.
    pub expiry: bool,
    /// The longest time from `iat` to `exp` that is accepted; both are then required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<Duration>,
    /// What the header's `typ` must be, such as `at+jwt`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub token_type: Option<TokenType>,
    /// Claims that must have a given value, or one of a list of values.
    pub claims: Named<ClaimPath, Value>,
    /// Claims that must be there and be of a type.
    pub types: Named<ClaimPath, ClaimType>,
    /// A standard that tokens follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// What a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimType {
    /// A string.
    String,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list of strings.
    Strings,
    /// A list of anything.
    List,
    /// An object.
    Object,
}

/// A standard that says what is in a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// JWT access tokens (RFC 9068, section 2.2): the type `at+jwt`, and `exp`, `aud`, `sub`, `client_id`, `iat` and `jti`.
    Rfc9068,
}

impl Default for Require {
    fn default() -> Self {
        Self {
            expiry: true,
            max_lifetime: None,
            token_type: None,
            claims: Named(BTreeMap::new()),
            types: Named(BTreeMap::new()),
            profile: None,
        }
    }
}

/// Which claims mean what. Claims are given as paths: `realm_access.roles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimMap {
    /// The claim that says who it is.
    pub subject: ClaimPath,
    /// The claims that hold roles.
    pub roles: OneOrMany<ClaimPath>,
    /// The claims that hold permissions.
    pub permissions: OneOrMany<ClaimPath>,
}

impl Default for ClaimMap {
    fn default() -> Self {
        Self { subject: ClaimPath::sub(), roles: OneOrMany::default(), permissions: OneOrMany::default() }
    }
}

/// What upstream is told about the identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Forward {
    /// Request headers, each with the claim it carries. What a client sends under these names is removed.
    pub headers: Named<HeaderName, ClaimPath>,
    /// A request header that carries the whole payload, as it stands in the token: base64url without padding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<HeaderName>,
}
