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
mod polled;

use std::cell::Cell;

pub use self::document::{DocumentError, MAX_DOCUMENT_BYTES};
pub use self::names::MAX_NAMES;

use self::document::Called;
use self::list::{Asked, List};
use self::plan::RevocationPlan;
use self::polled::{Newer, Polled};
use super::identity::Identity;
use super::method::Kind;
use super::plan::AuthenticationPlan;
use super::remote;
use crate::feeds::plan::ContentKind;
use crate::host::Now;
use crate::pipeline::Missing;
use crate::plan::PlanError;
use crate::reason::Reason;

/// The lists in force.
#[derive(Debug)]
pub(super) struct Revocation {
    at: String,
    require: Vec<String>,
    list: List,
    /// A list that is fetched, and by which feed.
    fetched: Option<(usize, Polled)>,
    /// What documents call an issuer, and its method.
    issuers: Vec<(String, Called)>,
    /// What the identity that was held back last misses.
    missed: Cell<Option<Missing>>,
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
    /// Makes ready what a plan says, with the names of all methods in it.
    ///
    /// # Errors
    /// When a column does not fit, or a claim is none that a list can name.
    pub(super) fn load(plan: &RevocationPlan, all: &AuthenticationPlan) -> Result<Self, PlanError> {
        let place = "authentication.revoked";
        if let Some(claim) = plan.require.iter().find(|claim| !["jti", "sid"].contains(&claim.as_str())) {
            let problem = format!("no list names `{claim}`; give `jti` or `sid`");
            return Err(PlanError::new(format!("{place}.require"), problem));
        }
        let methods: Vec<&str> = all.names().collect();
        let tokens: Vec<&str> = all.jwt.iter().map(|jwt| jwt.name.as_str()).collect();
        if let Some(feed) = plan.feed {
            remote::check(&all.feeds, feed, ContentKind::Revocations, &format!("{place}.feed"))?;
        }
        let named = methods.iter().map(|name| ((*name).to_owned(), Called::method(name, &tokens)));
        let issuers =
            named.chain(all.jwt.iter().map(|jwt| (jwt.issuer.clone(), Called::method(&jwt.name, &tokens))));
        Ok(Self {
            at: plan.at.clone(),
            require: plan.require.clone(),
            list: List::load(&plan.list, &methods, &tokens, &format!("{place}.list"))?,
            fetched: plan.feed.map(|feed| (feed, Polled::default())),
            issuers: issuers.collect(),
            missed: Cell::new(None),
            generation: 1,
        })
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
        let fetched = match &self.fetched {
            None => None,
            Some((_, polled)) if polled.list().is_some() => polled.list(),
            Some((feed, _)) => {
                self.missed.set(Some(Missing { feed: *feed }));
                let detail = "the list of what is revoked could not be fetched so far".to_owned();
                return Err(NotAdmitted { reason: Reason::KeysUnavailable, detail });
            }
        };
        let asked = self.asked(identity)?;
        if let Some(revoked) =
            [Some(&self.list), fetched].into_iter().flatten().find_map(|list| list.judge(&asked, now))
        {
            return Err(NotAdmitted { reason: Reason::TokenRevoked, detail: revoked.to_string() });
        }
        // Entries end and none begins, so who is let through now is let through until the lists change.
        identity.cleared.set(self.generation);
        Ok(())
    }

    /// Gives what the identity missed that was held back last, once.
    pub(super) fn missed(&self) -> Option<Missing> {
        self.missed.take()
    }

    /// Reads the content of a feed; `None` if it is not this list's, or brings nothing new.
    ///
    /// # Errors
    /// When it may not come into force.
    pub(super) fn read(&self, feed: usize, content: &[u8]) -> Result<Option<Newer>, String> {
        let Some((_, polled)) = self.fetched.as_ref().filter(|(own, _)| *own == feed) else {
            return Ok(None);
        };
        let method = |issuer: &str| {
            self.issuers.iter().find(|(written, _)| written == issuer).map(|(_, method)| method.clone())
        };
        polled.read(content, &method).map_err(|error| error.to_string())
    }

    /// How many entries of the list that a feed brought are about nobody.
    pub(super) fn left_out(&self, feed: usize) -> usize {
        self.fetched.as_ref().filter(|(own, _)| *own == feed).map_or(0, |(_, polled)| polled.left_out())
    }

    /// Puts a list in force: everybody is held against it anew.
    pub(super) fn replace(&mut self, newer: Newer) {
        if let Some((_, polled)) = &mut self.fetched {
            polled.replace(newer);
            self.generation = self.generation.wrapping_add(1);
        }
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

    /// Whether a list names anybody by this claim.
    fn names(&self, claim: &str) -> bool {
        let fetched = self.fetched.as_ref().and_then(|(_, polled)| polled.list());
        self.list.names(claim) || fetched.is_some_and(|list| list.names(claim))
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
                None if self.require.iter().any(|claim| claim == name) || self.names(name) => {
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
