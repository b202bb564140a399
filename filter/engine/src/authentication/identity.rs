//! Who a request comes from, once a token proved it.

use std::cell::OnceCell;

use serde_json::{Map, Value};

use super::dates::NumericDate;
use crate::authorization::Grants;
use crate::limits::Key;

/// A verified identity. Only [`super::Authenticator`] makes one; later rooms share it by `Rc`, and so does
/// the cache of tokens.
#[derive(Debug)]
pub struct Identity {
    pub(super) issuer: usize,
    pub(super) issuer_name: String,
    pub(super) subject: String,
    pub(super) roles: Vec<String>,
    pub(super) permissions: Vec<String>,
    pub(super) forwarded: Vec<(String, String)>,
    pub(super) expires_at: Option<NumericDate>,
    pub(super) not_before: Option<NumericDate>,
    pub(super) claims: Map<String, Value>,
    /// What the roles and permissions grant: filled by the authorization room when it first meets this
    /// identity, so that a cached token brings its grants along.
    pub grants: OnceCell<Grants>,
    /// What limits by subject are kept under: likewise filled by the limits room.
    pub(crate) key: OnceCell<Key>,
}

impl Identity {
    /// The index of the issuer in [`super::plan::AuthenticationPlan::jwt`].
    #[must_use]
    pub fn issuer(&self) -> usize {
        self.issuer
    }

    /// The issuer's name in the policy. One issuer's subjects are strangers to another's.
    #[must_use]
    pub fn issuer_name(&self) -> &str {
        &self.issuer_name
    }

    /// The subject: 1 to 256 bytes without control characters.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The roles, each once, none empty, in the order of the token.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// The permissions that the token itself carries, each once, none empty.
    #[must_use]
    pub fn permissions(&self) -> &[String] {
        &self.permissions
    }

    /// Headers that tell upstream who it is: lower-case names, values of visible ASCII and inner spaces.
    /// See [`super::header_value`] for how other characters are written.
    #[must_use]
    pub fn forwarded(&self) -> &[(String, String)] {
        &self.forwarded
    }

    /// When the token ends, before leeway.
    #[must_use]
    pub fn expires_at(&self) -> Option<NumericDate> {
        self.expires_at
    }

    /// When the token begins, before leeway.
    #[must_use]
    pub fn not_before(&self) -> Option<NumericDate> {
        self.not_before
    }

    /// All claims.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}
