//! Client certificates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms::Named;
use crate::text::{BundleFile, ClaimPath, Grant, HeaderName, Name, RoleName};

/// One way by which client certificates are taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificates {
    /// A name for this way.
    pub name: Name,
    /// Where certificates are told.
    #[serde(default)]
    pub from: CertificateSource,
    /// Which certificates are accepted, and what they are granted. The first rule that matches says who it is; the roles and
    /// permissions of all that match are granted.
    #[schemars(length(min = 1, max = 1000))]
    pub accept: Vec<CertificateRule>,
    /// Fingerprints that are refused, whatever `accept` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Fingerprints>,
    /// What upstream is told about the identity.
    #[serde(default)]
    pub forward: ForwardHeaders,
}

/// What upstream is told about an identity that is no token's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardHeaders {
    /// Request headers, each with the attribute it carries. What a client sends under these names is removed.
    pub headers: Named<HeaderName, ClaimPath>,
}

/// Where a client certificate is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CertificateSource {
    /// By the connection. Names in it count only where `settings.peer_verified` says that the listener verifies.
    #[default]
    Connection,
    /// By `x-forwarded-client-cert`, as Envoy writes it.
    Xfcc(Xfcc),
}

/// How far `x-forwarded-client-cert` is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Xfcc {
    /// How many elements at the end of the header trusted proxies wrote, this one included if it appends. The first of them
    /// is the client's.
    #[schemars(range(min = 1, max = 16))]
    pub trusted_hops: u32,
}

/// Certificates that are accepted: exactly one of `spiffe`, `dns`, `uri`, `subject` and `fingerprints`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateRule {
    /// Those whose only URI is a SPIFFE id that matches: `spiffe://example.org/ns/*/sa/*`. A segment `*` is any one, `**` at
    /// the end any one or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spiffe: Option<String>,
    /// Those with this DNS name, or one below: `*.devices.example.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// Those with exactly this URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Those with exactly this subject, in the form of RFC 2253: `CN=billing,O=Example`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Those with one of these fingerprints: at most 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprints: Option<Fingerprints>,
    /// Roles of whoever has one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleName>,
    /// Permissions of whoever has one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Grant>,
}

/// Fingerprints: SHA-256 of certificates in DER, in hexadecimal, with or without colons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Fingerprints {
    /// Written here.
    Inline(Vec<String>),
    /// In a file: one in a line, and behind it the name of the client if it has one. `#` begins a comment.
    File(BundleFile),
}
