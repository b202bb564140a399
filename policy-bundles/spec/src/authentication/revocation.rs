//! Credentials that are not good any more: where the list is, and the file of one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Remote;
use crate::forms::Named;
use crate::text::{BundleFile, ListedName, Name};
use crate::time::Moment;

/// What was revoked: a file, or more about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(untagged)]
pub enum Revoked {
    /// A file of the bundle.
    File(BundleFile),
    /// A file, a list that is fetched, or both.
    Lists(RevokedLists),
}

impl Revoked {
    /// The file, if there is one.
    #[must_use]
    pub const fn file(&self) -> Option<&BundleFile> {
        match self {
            Self::File(file) => Some(file),
            Self::Lists(lists) => lists.file.as_ref(),
        }
    }
}

/// Where lists of what was revoked are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokedLists {
    /// A file of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<BundleFile>,
    /// A list that is fetched while the bundle is in force. Before the first one has come nobody is let in; afterwards the last
    /// good one stays through any outage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// Claims without which a token is refused, because a list could not name it.
    #[serde(default)]
    #[schemars(length(max = 2))]
    pub require: Vec<Listable>,
}

/// A claim by which tokens are revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Listable {
    /// The identifier of the token (RFC 7519, section 4.1.7).
    Jti,
    /// The session (OpenID Connect Front-Channel Logout 1.0, section 3).
    Sid,
}

impl Listable {
    /// The name of the claim.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jti => "jti",
            Self::Sid => "sid",
        }
    }
}

/// The whole of a file with what was revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RevokedFile {
    /// Tokens that were issued before this moment are refused, whoever issued them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_before: Option<Moment>,
    /// The same for single issuers, by the name of the method.
    pub issuers: Named<Name, IssuerBefore>,
    /// Tokens, by `jti`.
    pub tokens: Vec<RevokedToken>,
    /// Sessions, by `sid`.
    pub sessions: Vec<RevokedSession>,
    /// Subjects: of tokens, and clients and users of the other methods.
    pub subjects: Vec<RevokedSubject>,
}

/// What of an issuer is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerBefore {
    /// Its tokens that were issued before this moment are refused.
    pub issued_before: Moment,
}

/// A token, by its `jti` alone or with more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(untagged)]
pub enum RevokedToken {
    /// Its `jti`.
    Name(ListedName),
    /// More of it.
    Entry(TokenEntry),
}

/// A token that is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// Its `jti`.
    pub jti: ListedName,
    /// Who issued it, by the name of the method. If missing, whoever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Name>,
    /// The moment from which the entry does not matter any more, such as the token's own end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
}

/// A session, by its `sid` alone or with more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(untagged)]
pub enum RevokedSession {
    /// Its `sid`.
    Name(ListedName),
    /// More of it.
    Entry(SessionEntry),
}

/// A session that is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionEntry {
    /// Its `sid`.
    pub sid: ListedName,
    /// Whose session it is, by the name of the method. If missing, anybody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Name>,
    /// The moment from which the entry does not matter any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
}

/// A subject, alone or with more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(untagged)]
pub enum RevokedSubject {
    /// The subject.
    Name(ListedName),
    /// More of it.
    Entry(SubjectEntry),
}

/// A subject that is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubjectEntry {
    /// The subject.
    pub sub: ListedName,
    /// Whose subject it is, by the name of the method. If missing, anybody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Name>,
    /// Only tokens that were issued before this moment; a new login is good again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_before: Option<Moment>,
    /// The moment from which the entry does not matter any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
}
