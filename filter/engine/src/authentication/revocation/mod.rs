//! Credentials that are not good any more, although nothing about them says so.
//!
//! A bundle brings a list of what was revoked, and a second one may be fetched while the bundle stays (`list`,
//! `document`, `polled`). Every identity is held against both, by whichever method it was found out, before anything
//! behind this room sees it. What was let through once is not looked up again for as long as the lists are the same:
//! the identity, which caches keep, remembers the number of the lists that it was held against. So a list of 100,000
//! entries costs a request with a cached token the comparison of two numbers, and a new list holds for the next request.

mod document;
mod list;
mod names;
pub mod plan;
#[cfg_attr(not(test), expect(dead_code, reason = "only what fetches a list has one"))]
mod polled;

pub use self::document::{DocumentError, MAX_DOCUMENT_BYTES};
pub use self::names::MAX_NAMES;

use self::list::{Asked, List};
use self::plan::RevocationPlan;
use super::identity::Identity;
use super::method::Kind;
use crate::host::Now;
use crate::plan::PlanError;
use crate::reason::Reason;

/// The lists in force.
#[derive(Debug)]
pub(super) struct Revocation {
    at: String,
    require: Vec<String>,
    list: List,
    /// Grows with every change. Identities begin with 0, which no lists have.
    generation: u64,
}

/// Why an identity is not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotAdmitted {
    pub(super) reason: Reason,
    pub(super) detail: String,
}

impl Revocation {
    /// Makes ready what a plan says. `methods` are the names of all methods.
    ///
    /// # Errors
    /// When a column does not fit, or a claim is none that a list can name.
    pub(super) fn load(plan: &RevocationPlan, methods: &[&str]) -> Result<Self, PlanError> {
        let place = "authentication.revoked";
        if let Some(claim) = plan.require.iter().find(|claim| !["jti", "sid"].contains(&claim.as_str())) {
            let problem = format!("no list names `{claim}`; give `jti` or `sid`");
            return Err(PlanError::new(format!("{place}.require"), problem));
        }
        let list = List::load(&plan.list, methods, &format!("{place}.list"))?;
        Ok(Self { at: plan.at.clone(), require: plan.require.clone(), list, generation: 1 })
    }

    /// Where it was written.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// Lets an identity through, or says why not.
    pub(super) fn admit(&self, identity: &Identity, now: Now) -> Result<(), NotAdmitted> {
        if identity.cleared.get() == self.generation {
            return Ok(());
        }
        let asked = self.asked(identity)?;
        if let Some(revoked) = self.list.judge(&asked, now) {
            return Err(NotAdmitted { reason: Reason::TokenRevoked, detail: revoked.to_string() });
        }
        // Entries end and none begins, so who is let through now is let through until the lists change.
        identity.cleared.set(self.generation);
        Ok(())
    }

    /// What of an identity a list can name. Only tokens have names of their own.
    fn asked<'i>(&self, identity: &'i Identity) -> Result<Asked<'i>, NotAdmitted> {
        let token = identity.kind == Kind::Jwt;
        let mut asked = Asked {
            issuer: &identity.issuer_name,
            subject: &identity.subject,
            token,
            issued_at: identity.issued_at.map(super::NumericDate::nanos),
            ..Asked::default()
        };
        if !token {
            return Ok(asked);
        }
        asked.jti = self.claim(identity, "jti")?;
        asked.sid = self.claim(identity, "sid")?;
        asked.sub = self.claim(identity, "sub")?;
        Ok(asked)
    }

    fn claim<'i>(&self, identity: &'i Identity, name: &'static str) -> Result<Option<&'i str>, NotAdmitted> {
        let invalid = |problem: &str| {
            let detail = format!("claim `{name}` {problem}");
            Err(NotAdmitted { reason: Reason::TokenInvalid, detail })
        };
        match identity.claims.get(name) {
            None if self.require.iter().any(|claim| claim == name) => {
                invalid("is missing, and tokens are revoked by it")
            }
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text)),
                // Somebody may have listed it in another spelling.
                None if self.require.iter().any(|claim| claim == name) || self.list.names(name) => {
                    invalid("is not a string, and tokens are revoked by it")
                }
                None => Ok(None),
            },
        }
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
