//! Who requests may come from, and what of their credentials is believed.

use serde::{Deserialize, Serialize};

use super::api_keys::plan::ApiKeysPlan;
use super::basic::plan::BasicPlan;
pub use super::certificates::plan::{
    CertificateAccept, CertificateRule, CertificateSource, CertificatesPlan,
};
pub use super::dpop::plan::{BindingPlan, DpopPlan, NoncePlan};
use super::revocation::plan::RevocationPlan;
use super::signed::plan::SignedRequestsPlan;
use super::step_up::plan::StepUpPlan;
use super::totp::plan::TotpPlan;
use crate::feeds::FeedPlan;

/// The methods by which somebody is known, and which of them routes take. At most 64 of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthenticationPlan {
    /// The issuers. A token is judged by the provider whose `issuer` equals its `iss`, and no other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jwt: Vec<JwtPlan>,
    /// Tables of API keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_keys: Vec<ApiKeysPlan>,
    /// What was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<RevocationPlan>,
    /// The lists of users with passwords.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub basic: Vec<BasicPlan>,
    /// The second factors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub totp: Vec<TotpPlan>,
    /// What routes ask of an identity beyond being known, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub step_up: Vec<StepUpPlan>,
    /// Ways by which client certificates are taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificatesPlan>,
    /// Who may sign requests, and how.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signed_requests: Vec<SignedRequestsPlan>,
    /// The combinations of methods that routes take, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub combinations: Vec<CombinationPlan>,
    /// What is fetched while the plan is in force.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<FeedPlan>,
}

impl AuthenticationPlan {
    /// The names of all methods.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let of_tokens = self.jwt.iter().map(|jwt| jwt.name.as_str());
        let of_keys = self.api_keys.iter().map(|keys| keys.name.as_str());
        let of_certificates = self.certificates.iter().map(|method| method.name.as_str());
        let of_passwords = self.basic.iter().map(|basic| basic.name.as_str());
        let of_signed = self.signed_requests.iter().map(|signed| signed.name.as_str());
        of_tokens.chain(of_keys).chain(of_certificates).chain(of_signed).chain(of_passwords)
    }
}

/// What must be shown on a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CombinationPlan {
    /// How much of it.
    pub mode: CombinationMode,
    /// The methods, in the order in which they are asked.
    pub methods: Vec<MethodRef>,
}

/// How much of a combination must be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CombinationMode {
    /// One of the methods. The first kind of which a credential was sent decides, for good or bad.
    Any,
    /// Every one. Who it is says the first.
    All,
    /// None, or one of them: what is sent must be good.
    Optional,
}

/// A method, by its index in the list of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MethodRef {
    /// Of [`AuthenticationPlan::jwt`].
    Jwt(usize),
    /// Of [`AuthenticationPlan::api_keys`].
    ApiKeys(usize),
    /// Of [`AuthenticationPlan::basic`].
    Basic(usize),
    /// Of [`AuthenticationPlan::certificates`].
    Certificates(usize),
    /// Of [`AuthenticationPlan::signed_requests`].
    SignedRequests(usize),
}

/// One issuer of tokens.
///
/// A path of a claim is first taken as the whole name of a top-level claim (`https://example.com/roles` is
/// one), and only if there is none is it split at its dots and walked through objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtPlan {
    /// The name in the policy.
    pub name: String,
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
    /// The `iss` that tokens must carry, compared byte by byte.
    pub issuer: String,
    /// At least one must be among the token's `aud`. Empty: audience is not checked (the compiler warns).
    pub audiences: Vec<String>,
    /// Algorithms that are accepted, by their names in RFC 7518 and RFC 8037.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys are.
    pub keys: KeySource,
    /// Where tokens are looked for. More than one token in a request is refused.
    pub from: Vec<TokenSource>,
    /// Whether upstream still gets to see the token.
    pub forward_token: bool,
    /// Whether `exp` must be there (RFC 7519, section 4.1.4).
    pub require_expiry: bool,
    /// The longest `exp - iat` in seconds that is accepted; `iat` is then required.
    pub max_lifetime_s: Option<u64>,
    /// Clock skew allowed on `exp`, `nbf` and `iat`, in seconds.
    pub leeway_s: u64,
    /// The header's `typ` must be this (`at+jwt`, with or without `application/`, in any case), if given.
    /// If not, of the explicit types `*+jwt` (RFC 8725, section 3.11) only `at+jwt` is accepted.
    pub require_type: Option<String>,
    /// Claims that must have a given value, or be a list that holds it: dotted path, and a string, number
    /// or boolean, or a list of those, of which one must be there.
    pub require_claims: Vec<(String, serde_json::Value)>,
    /// Claims that must be there and be of a type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require_types: Vec<(String, ClaimType)>,
    /// Dotted path of the claim that is the subject: `sub`.
    pub subject: String,
    /// Dotted paths of claims that hold roles: a list of strings, or one string with spaces between.
    pub roles: Vec<String>,
    /// Dotted paths of claims that hold permissions, likewise.
    pub permissions: Vec<String>,
    /// Verified claims forwarded upstream: lower-case header name, dotted path of the claim. Copies that
    /// a client sent are removed on every request, public routes included. Bytes that do not belong in a
    /// header are percent-encoded; see [`super::header_value`].
    pub forward_claims: Vec<(String, String)>,
    /// A lower-case header that carries the payload upstream, as it stands in the token (base64url).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_payload: Option<String>,
    /// How tokens are bound to keys.
    #[serde(default, skip_serializing_if = "BindingPlan::is_default")]
    pub binding: BindingPlan,
}

/// What a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeySource {
    /// A JWK set (RFC 7517), inlined by the compiler (PEM files become JWKs too). A key without `alg` is
    /// bound to the one algorithm of `algorithms` that it fits; if it fits several, the set is refused.
    Jwks(String),
    /// A shared secret, by the name of an environment variable of the VM. The issuer's `algorithms` are
    /// then exactly one of HS256, HS384 and HS512, for a key is bound to one algorithm.
    Secret {
        /// Name of the variable, whose value is used byte by byte; at least 32, 48 or 64 bytes.
        env: String,
    },
    /// A shared secret that lies in the bundle, sealed to a key of the filter; see [`super::sealed`]. Otherwise as
    /// `Secret`.
    Sealed {
        /// The sealed secret: a JWE in compact form.
        jwe: String,
        /// Name of the environment variable of the VM that holds the private key: PKCS#8 in PEM, or its base64.
        key_env: String,
    },
    /// A JWK set that is fetched: an index into [`AuthenticationPlan::feeds`]. Only public keys are fetched, so the issuer's
    /// `algorithms` have no HMAC among them.
    Remote {
        /// The feed.
        feed: usize,
    },
}

/// Where a token may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenSource {
    /// A header; with a scheme (`Bearer`, compared in any case) or the whole value.
    Header {
        /// Lower-case name.
        name: String,
        /// The authentication scheme before the token.
        scheme: Option<String>,
    },
    /// A cookie.
    Cookie {
        /// Name, as sent.
        name: String,
    },
    /// A query parameter.
    Query {
        /// Name, after percent-decoding.
        name: String,
    },
}

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
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
    /// ECDSA on secp256k1 with SHA-256 (RFC 8812).
    ES256K,
    /// Ed25519 (RFC 8037).
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::HS256,
        Self::HS384,
        Self::HS512,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES256K,
        Self::EdDSA,
    ];

    /// Whether the key is a shared secret.
    #[must_use]
    pub const fn is_hmac(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }

    /// The name in `alg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES256K => "ES256K",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The algorithm with this name, case and all. `Ed25519` is what RFC 9864, section 2.2, calls `EdDSA`
    /// with the only curve there is here, and is the same algorithm.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Self::EdDSA);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}
