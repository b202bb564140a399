//! Who requests may come from.

pub mod api_keys;
mod basic;
mod bound;
mod certificates;
mod jwt;
mod remote;
pub mod revocation;
pub mod signed_requests;
mod step_up;
mod totp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use api_keys::ApiKeys;
pub use basic::{Basic, UserForward, in_authorization};
pub use bound::{Bound, Dpop, Nonce};
pub use certificates::{
    CertificateRule, CertificateSource, Certificates, Fingerprints, ForwardHeaders, Xfcc,
};
pub use jwt::{
    Algorithm, ClaimMap, ClaimType, Forward, Jwt, Keys, Profile, Require, SealingKey, Secret, TokenSource,
    bearer,
};
pub use revocation::Revoked;
pub use signed_requests::SignedRequests;
pub use step_up::StepUp;
pub use totp::{Totp, Users};

pub use remote::{Discovery, KeysAt, Remote};

use crate::text::Name;

/// Who requests may come from: the methods by which somebody is known. Their names are of one namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Authentication {
    /// Issuers of JSON Web Tokens. A token is judged by the issuer it names, and by no other.
    pub jwt: Vec<Jwt>,
    /// Tables of API keys.
    pub api_keys: Vec<ApiKeys>,
    /// Clients that sign their requests.
    pub signed_requests: Vec<SignedRequests>,
    /// What was revoked: a file of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
    /// Users with passwords.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub basic: Vec<Basic>,
    /// Second factors, for routes that ask for one with `step_up`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub totp: Vec<Totp>,
    /// Ways by which client certificates are taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificates>,
}

/// The most methods of one kind.
pub const MAX_METHODS: usize = 64;

/// Which methods a route takes, by their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Accepted {
    /// One of them. They are asked in this order, and the first of which a credential was sent decides.
    Any(#[schemars(length(min = 1))] Vec<Name>),
    /// Every one of them. The first says who it is.
    All(#[schemars(length(min = 1))] Vec<Name>),
    /// None, or one of them: for public routes that know their guests. What is sent must be good.
    Optional(#[schemars(length(min = 1))] Vec<Name>),
}

impl Accepted {
    /// The names, and the word before them.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &[Name]) {
        match self {
            Self::Any(names) => ("any", names),
            Self::All(names) => ("all", names),
            Self::Optional(names) => ("optional", names),
        }
    }
}
