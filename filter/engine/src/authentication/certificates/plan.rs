//! Which client certificates are believed, and whom they make of a request.

use serde::{Deserialize, Serialize};

/// One way by which client certificates are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificatesPlan {
    /// The name in the policy.
    pub name: String,
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
    /// Where the certificate is told.
    pub from: CertificateSource,
    /// A certificate is accepted if at least one rule matches. The first is whom it names; the roles and permissions of
    /// all that match are granted.
    pub rules: Vec<CertificateRule>,
    /// Fingerprints that are refused, whatever the rules say: base64 of the digests, sorted.
    pub revoked: String,
    /// Headers that tell upstream who it is: lower-case name, dotted path of a claim.
    pub forward_claims: Vec<(String, String)>,
}

/// Where a certificate is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CertificateSource {
    /// By the connection of the request.
    Connection,
    /// By `x-forwarded-client-cert`.
    Xfcc {
        /// How many elements at the end of the header were written by trusted proxies, this one included if it
        /// appends. The first of them is the client's.
        trusted_hops: u32,
    },
}

/// Certificates that are accepted, and what they are granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRule {
    /// Where it was written.
    pub at: String,
    /// Which certificates.
    pub accept: CertificateAccept,
    /// Roles of whoever has one.
    pub roles: Vec<String>,
    /// Permissions of whoever has one.
    pub permissions: Vec<String>,
}

/// Which certificates a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CertificateAccept {
    /// Those whose only URI is a SPIFFE id that matches: a segment `*` is any one, `**` at the end any one or more.
    Spiffe(String),
    /// Those with this DNS name, or with one below `*.`.
    Dns(String),
    /// Those with exactly this URI.
    Uri(String),
    /// Those with exactly this subject, in the form of RFC 2253.
    Subject(String),
    /// Those with one of these fingerprints.
    Fingerprints {
        /// Base64 of the SHA-256 digests, sorted.
        digests: String,
        /// The client of each, in the same order; or nobody is named.
        clients: Vec<String>,
    },
}
