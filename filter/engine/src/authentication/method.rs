//! What all methods of finding out who somebody is have in common.
//!
//! A *method* is an entry of the policy: one issuer of tokens, one table of keys. Methods of one *kind* read
//! the same credentials, so a kind is asked once for all of its methods that a route accepts. It answers that
//! no credential of its kind was sent, or who it is, or that what was sent is not good. The last is final: a
//! credential that failed never gives way to another method, for then an attacker could choose which of two
//! checks he has to pass.

use std::rc::Rc;

use super::identity::Identity;
use super::plan::MethodRef;
use super::replay::{Replay, Used};
use super::sources::Sources;
use crate::host::{Host, Now};
use crate::intake::request::Request;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::trace::Trace;

/// What a credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A JSON Web Token.
    Jwt,
    /// An API key.
    ApiKey,
    /// A name and a password.
    Basic,
    /// A client certificate.
    Certificate,
    /// A signature over the request itself.
    SignedRequest,
}

impl Kind {
    /// The name in the policy.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::ApiKey => "api_keys",
            Self::Basic => "basic",
            Self::Certificate => "certificates",
            Self::SignedRequest => "signed_requests",
        }
    }

    /// Why a request is refused that shows nothing of this kind, where it must.
    #[must_use]
    pub const fn missing(self) -> Reason {
        match self {
            Self::Jwt => Reason::TokenMissing,
            Self::ApiKey => Reason::CredentialsMissing,
            Self::Basic => Reason::CredentialsMissing,
            Self::Certificate => Reason::CertificateMissing,
            Self::SignedRequest => Reason::SignatureMissing,
        }
    }
}

impl MethodRef {
    /// The kind, and the index in the plan's list of that kind.
    #[must_use]
    pub const fn parts(self) -> (Kind, usize) {
        match self {
            Self::Jwt(index) => (Kind::Jwt, index),
            Self::ApiKeys(index) => (Kind::ApiKey, index),
            Self::Basic(index) => (Kind::Basic, index),
            Self::Certificates(index) => (Kind::Certificate, index),
            Self::SignedRequests(index) => (Kind::SignedRequest, index),
        }
    }
}

/// Which methods of a kind may serve: bit `i` is the `i`-th of the plan's list of that kind.
pub(super) type Allowed = u64;

/// The most methods of one kind, so that each has its bit.
pub(super) const MAX_METHODS: usize = Allowed::BITS as usize;

/// The request, and with what it is judged.
pub(super) struct Attempt<'a, 'r> {
    pub(super) request: &'a Request<'r>,
    /// Where credentials may lie, for all methods that take them from a header, a cookie or the query.
    pub(super) sources: &'a Sources,
    pub(super) now: Now,
    pub(super) host: &'a mut dyn Host,
    pub(super) trace: &'a mut Trace,
    /// What the credentials so far are good for once.
    pub(super) once: Vec<Once>,
}

/// Something that works once. It is used up when everything that was shown has been judged and found good: what is
/// refused before may be sent again, and a request that waits for something does not meet itself.
#[derive(Debug)]
pub(super) struct Once {
    pub(super) kind: Kind,
    pub(super) method: usize,
    /// The key that made it. It fills a share of the memory of its own, and what others made is not its.
    pub(super) owner: [u8; 32],
    /// What it is, and its name.
    pub(super) what: &'static str,
    pub(super) name: Vec<u8>,
    pub(super) made: Now,
}

impl Once {
    /// Uses it up.
    pub(super) fn note(&self, table: &mut Replay, host: &mut dyn Host) -> Used {
        table.first_of(&self.owner, &[self.what.as_bytes(), &self.owner, &self.name], self.made, host)
    }
}

/// What a kind answers: nothing of this kind was sent, or who it is, or why it is refused.
pub(super) type Answer = Result<Option<Rc<Identity>>, Refusal>;
