//! A list of what was revoked, and what it says of somebody.

use std::fmt;

use super::names::{Entry, Names};
use super::plan::ListPlan;
use crate::host::Now;
use crate::plan::PlanError;

const NANOS: u64 = 1_000_000_000;

/// What of an identity a list can name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked<'i> {
    /// The name of its method.
    pub(super) issuer: &'i str,
    /// The subject, as the policy has it.
    pub(super) subject: &'i str,
    /// The token's own `sub`, where the policy takes another claim for the subject.
    pub(super) sub: Option<&'i str>,
    pub(super) jti: Option<&'i str>,
    pub(super) sid: Option<&'i str>,
    /// Whether it is a token: other credentials have no time at which they were issued.
    pub(super) token: bool,
    /// When it was issued, in nanoseconds since 1970.
    pub(super) issued_at: Option<u64>,
}

/// Why somebody is refused. Operators read it; the name that was found is the client's and is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revoked {
    Token,
    Session,
    Subject,
    /// Issued before the second that holds for all, for its issuer or for its subject.
    IssuedBefore(u64),
    /// It does not say when it was issued, and that matters.
    NotDated,
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => f.write_str("the token is revoked by its `jti`"),
            Self::Session => f.write_str("the session is revoked by its `sid`"),
            Self::Subject => f.write_str("the subject is revoked"),
            Self::IssuedBefore(second) => {
                write!(f, "the token was issued before {second}, and such are revoked")
            }
            Self::NotDated => f.write_str("the token has no `iat`, and tokens of some age are revoked"),
        }
    }
}

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    issuers: Vec<String>,
    issued_before: Option<u64>,
    issuers_before: Vec<(u16, u64)>,
    tokens: Names,
    sessions: Names,
    subjects: Names,
}

/// The entries of a list before they are put in order.
#[derive(Debug, Default)]
pub(super) struct Entries<'n> {
    pub(super) issuers: Vec<String>,
    pub(super) issued_before: Option<u64>,
    pub(super) issuers_before: Vec<(u16, u64)>,
    pub(super) tokens: Vec<Entry<'n>>,
    pub(super) sessions: Vec<Entry<'n>>,
    pub(super) subjects: Vec<Entry<'n>>,
}

impl List {
    /// # Errors
    /// The kind of entry that is wrong, and what is.
    pub(super) fn new(entries: Entries<'_>) -> Result<Self, (&'static str, &'static str)> {
        let names = |member: &'static str, entries| Names::new(entries).map_err(|problem| (member, problem));
        Ok(Self {
            tokens: names("tokens", entries.tokens)?,
            sessions: names("sessions", entries.sessions)?,
            subjects: names("subjects", entries.subjects)?,
            issuers: entries.issuers,
            issued_before: entries.issued_before,
            issuers_before: entries.issuers_before,
        })
    }

    /// The list of a plan, whose issuers are among these names; `tokens` are those of them that take tokens.
    pub(super) fn load(
        plan: &ListPlan,
        methods: &[&str],
        tokens: &[&str],
        place: &str,
    ) -> Result<Self, PlanError> {
        let wrong = |member: &str, problem: String| PlanError::new(format!("{place}.{member}"), problem);
        for (index, issuer) in plan.issuers.iter().enumerate() {
            if !methods.contains(&issuer.as_str()) {
                return Err(wrong(&format!("issuers[{index}]"), format!("there is no method `{issuer}`")));
            }
        }
        if let Some(member) = revokes_nothing(plan, tokens) {
            let problem = "an entry names a method without tokens, so it revokes nothing; name a subject without a moment";
            return Err(wrong(member, problem.into()));
        }
        let names = |member: &str, names| {
            Names::load(names, plan.issuers.len()).map_err(|problem| wrong(member, problem.to_owned()))
        };
        let issuers_before = plan.issuers_before.iter().map(|(issuer, second)| {
            let known = usize::try_from(*issuer).is_ok_and(|issuer| issuer < plan.issuers.len());
            let issuer = u16::try_from(*issuer).ok().filter(|_| known);
            issuer
                .map(|issuer| (issuer, *second))
                .ok_or_else(|| wrong("issuers_before", "an issuer is not there".into()))
        });
        Ok(Self {
            issuers: plan.issuers.clone(),
            issued_before: plan.issued_before,
            issuers_before: issuers_before.collect::<Result<_, _>>()?,
            tokens: names("tokens", &plan.tokens)?,
            sessions: names("sessions", &plan.sessions)?,
            subjects: names("subjects", &plan.subjects)?,
        })
    }

    /// Why this identity is refused at this moment, if it is.
    pub(super) fn judge(&self, asked: &Asked<'_>, now: Now) -> Option<Revoked> {
        let issuer =
            self.issuers.iter().position(|name| name == asked.issuer).and_then(|n| u16::try_from(n).ok());
        let now = now.secs();
        if asked.jti.is_some_and(|jti| self.tokens.find(jti, issuer, now).is_some()) {
            return Some(Revoked::Token);
        }
        if asked.sid.is_some_and(|sid| self.sessions.find(sid, issuer, now).is_some()) {
            return Some(Revoked::Session);
        }
        for subject in [Some(asked.subject), asked.sub].into_iter().flatten() {
            let revoked = match self.subjects.find(subject, issuer, now).map(|said| said.before) {
                None => None,
                Some(None) => Some(Revoked::Subject),
                Some(Some(before)) => too_old(asked, before),
            };
            if revoked.is_some() {
                return revoked;
            }
        }
        let of_issuer =
            self.issuers_before.iter().filter(|(of, _)| issuer == Some(*of)).map(|(_, second)| *second);
        of_issuer.chain(self.issued_before).max().and_then(|before| too_old(asked, before))
    }

    /// Whether anybody is named by this claim.
    pub(super) fn names(&self, claim: &str) -> bool {
        let names = match claim {
            "jti" => &self.tokens,
            "sid" => &self.sessions,
            _ => &self.subjects,
        };
        names.len() > 0
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let dates = self.issuers_before.len().saturating_add(usize::from(self.issued_before.is_some()));
        [&self.tokens, &self.sessions, &self.subjects]
            .iter()
            .fold(dates, |all, names| all.saturating_add(names.len()))
    }
}

/// The column with an entry that goes by what only tokens have, for a method that takes none: whoever wrote it believes
/// that something is revoked.
fn revokes_nothing(plan: &ListPlan, tokens: &[&str]) -> Option<&'static str> {
    // Numbers that stand for nothing are found where names are loaded.
    let foreign = |number: u32| {
        let issuer = usize::try_from(number).ok().and_then(|number| plan.issuers.get(number));
        issuer.is_some_and(|issuer| !tokens.contains(&issuer.as_str()))
    };
    let named = |number: &u32| number.checked_sub(1).is_some_and(foreign);
    if plan.issuers_before.iter().any(|(number, _)| foreign(*number)) {
        return Some("issuers_before");
    }
    for (member, names) in [("tokens", &plan.tokens), ("sessions", &plan.sessions)] {
        if names.issuer.iter().any(named) {
            return Some(member);
        }
    }
    let mut dated = plan.subjects.issuer.iter().zip(&plan.subjects.before);
    dated.any(|(number, before)| *before != 0 && named(number)).then_some("subjects")
}

/// What the age of a token says. A token that does not tell its age may be as old as any.
fn too_old(asked: &Asked<'_>, before: u64) -> Option<Revoked> {
    if !asked.token {
        return None;
    }
    match asked.issued_at {
        None => Some(Revoked::NotDated),
        Some(nanos) => (nanos < before.saturating_mul(NANOS)).then_some(Revoked::IssuedBefore(before)),
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
