//! Who a request comes from, once a credential proved it: one model for all methods.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::binding::Confirmation;
use super::dates::NumericDate;
use super::method::Kind;
use super::signed::BodyDigest;
use crate::authorization::Grants;
use crate::limits::Key;

/// A verified identity. Only [`super::Authenticator`] makes one; later rooms share it by `Rc`, and so does
/// the cache of tokens.
#[derive(Debug)]
pub struct Identity {
    pub(super) kind: Kind,
    pub(super) method: usize,
    pub(super) issuer_name: String,
    pub(super) subject: String,
    pub(super) roles: Vec<String>,
    pub(super) permissions: Vec<String>,
    pub(super) forwarded: Vec<(String, String)>,
    pub(super) expires_at: Option<NumericDate>,
    pub(super) not_before: Option<NumericDate>,
    pub(super) claims: Map<String, Value>,
    pub(super) strength: Strength,
    pub(super) issued_at: Option<NumericDate>,
    pub(super) authenticated_at: Option<NumericDate>,
    /// The lists of what was revoked that did not name it, by their number.
    pub(super) cleared: Cell<u64>,
    /// What tells this credential from others of the same subject, beside its claims and dates; nothing for tokens,
    /// whose claims do.
    pub(super) credential: Vec<u8>,
    /// The key that whoever shows the credential must also show to have. Most are bound to none.
    pub(super) confirmation: Option<Box<Confirmation>>,
    /// What a signature says of the body, which is there later.
    pub(super) body: Option<Box<BodyDigest>>,
    /// What the roles and permissions grant: filled by the authorization room when it first meets this
    /// identity, so that a cached token brings its grants along.
    pub grants: OnceCell<Grants>,
    /// What limits by subject are kept under: likewise filled by the limits room.
    pub(crate) key: OnceCell<Key>,
}

/// How somebody was authenticated, in the words of RFC 8176 and OpenID Connect Core, section 2. What is not
/// said, or said in another form, is not there: it satisfies no route that asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strength {
    /// The authentication context class (`acr`).
    pub acr: Option<String>,
    /// The authentication methods (`amr`): `pwd`, `otp`, `hwk`.
    pub amr: Vec<String>,
}

/// Who a request comes from, by everything that its route asked for.
#[derive(Debug, Clone)]
pub struct Known {
    /// Who it is.
    pub identity: Rc<Identity>,
    /// What else was shown, where a route takes all of several methods.
    pub others: Vec<Rc<Identity>>,
}

impl Known {
    /// The identity, and what else was shown, in the order of the policy.
    pub fn all(&self) -> impl Iterator<Item = &Identity> {
        std::iter::once(&*self.identity).chain(self.others.iter().map(Rc::as_ref))
    }

    /// What was shown of this kind.
    #[must_use]
    pub fn of_kind(&self, kind: Kind) -> Option<&Identity> {
        self.all().find(|identity| identity.kind == kind)
    }

    /// What the body must be, if a signature says it.
    #[must_use]
    pub fn body(&self) -> Option<&BodyDigest> {
        self.all().find_map(Identity::body)
    }

    /// The authentication methods of all that was shown.
    pub fn amr(&self) -> impl Iterator<Item = &str> {
        self.all().flat_map(|identity| identity.strength.amr.iter().map(String::as_str))
    }
}

impl Identity {
    /// Somebody of whom nothing else is known yet: no roles, no claims, no dates.
    pub(super) fn new(kind: Kind, method: usize, name: &str, subject: String) -> Self {
        Self {
            kind,
            method,
            issuer_name: name.to_owned(),
            subject,
            roles: Vec::new(),
            permissions: Vec::new(),
            forwarded: Vec::new(),
            expires_at: None,
            not_before: None,
            claims: Map::new(),
            strength: Strength::default(),
            issued_at: None,
            authenticated_at: None,
            cleared: Cell::new(0),
            credential: Vec::new(),
            confirmation: None,
            body: None,
            grants: OnceCell::new(),
            key: OnceCell::new(),
        }
    }

    /// By what kind of credential it is known.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The index of the method in the plan's list of its kind.
    #[must_use]
    pub fn method(&self) -> usize {
        self.method
    }

    /// The method's name in the policy, the issuer's for a token. One method's subjects are strangers to another's.
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

    /// How it was authenticated.
    #[must_use]
    pub fn strength(&self) -> &Strength {
        &self.strength
    }

    /// When the credential was made (`iat`), if it says so.
    #[must_use]
    pub fn issued_at(&self) -> Option<NumericDate> {
        self.issued_at
    }

    /// When the person behind it was last authenticated (`auth_time`, OpenID Connect Core, section 2).
    #[must_use]
    pub fn authenticated_at(&self) -> Option<NumericDate> {
        self.authenticated_at
    }

    /// What the body must be, if a signature says it.
    #[must_use]
    pub fn body(&self) -> Option<&BodyDigest> {
        self.body.as_deref()
    }

    /// Whether it came with a proof of the key that it is bound to (RFC 9449): without one it would not be known.
    pub(super) fn shows_proof(&self) -> bool {
        self.confirmation.as_ref().is_some_and(|bound| bound.jkt.is_some())
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
