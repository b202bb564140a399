//! Which methods a route takes, and in which order they are asked.

use super::identity::Known;
use super::method::{Allowed, Answer, Kind, MAX_METHODS};
use super::plan::{CombinationMode, CombinationPlan};
use super::{api_keys, basic, tokens};
use crate::plan::PlanError;
use crate::reason::Reason;
use crate::refusal::Refusal;

/// What a route takes, made ready.
#[derive(Debug)]
pub(super) struct Combination {
    pub(super) mode: CombinationMode,
    /// Each kind once, at the place of the first of its methods.
    turns: Vec<(Kind, Allowed)>,
}

impl Combination {
    /// Makes ready what a plan says. `count` gives the number of methods of a kind.
    pub(super) fn load(
        plan: &CombinationPlan,
        place: &str,
        count: impl Fn(Kind) -> usize,
    ) -> Result<Self, PlanError> {
        let wrong = |problem: String| Err(PlanError::new(format!("{place}.methods"), problem));
        let mut turns: Vec<(Kind, Allowed)> = Vec::new();
        for method in &plan.methods {
            let (kind, index) = method.parts();
            if index >= count(kind) || index >= MAX_METHODS {
                return wrong(format!("there is no method {index} of the kind {}", kind.name()));
            }
            let bit = 1 << index;
            match turns.iter_mut().find(|(known, _)| *known == kind) {
                None => turns.push((kind, bit)),
                Some((_, allowed)) if *allowed & bit != 0 => {
                    return wrong(format!("method {index} of the kind {} is there twice", kind.name()));
                }
                // Two credentials of one kind are refused, so nobody could ever show both.
                Some(_) if plan.mode == CombinationMode::All => {
                    return wrong(format!("all of two methods of the kind {} cannot be shown", kind.name()));
                }
                // A name and a password do not say which list of users they are of.
                Some(_) if kind == Kind::Basic => {
                    return wrong("two lists of users with passwords are taken on one route".into());
                }
                Some((_, allowed)) => *allowed |= bit,
            }
        }
        if turns.is_empty() {
            return wrong("none is named, and nobody could be known".into());
        }
        Ok(Self { mode: plan.mode, turns })
    }

    /// Asks the methods, by `ask`, until it is known who it is; `None` if nobody needs to be known. `challenge` gives
    /// what a kind says to whoever shows nothing.
    pub(super) fn judge(
        &self,
        mut ask: impl FnMut(Kind, Allowed) -> Answer,
        challenge: impl Fn(Kind, Allowed) -> Option<String>,
    ) -> Result<Option<Known>, Refusal> {
        match self.mode {
            CombinationMode::Any | CombinationMode::Optional => {
                for (kind, allowed) in &self.turns {
                    // What was sent and is not good ends it, here and in an optional combination.
                    if let Some(identity) = ask(*kind, *allowed)? {
                        return Ok(Some(Known { identity, others: Vec::new() }));
                    }
                }
                match self.mode {
                    CombinationMode::Optional => Ok(None),
                    CombinationMode::Any | CombinationMode::All => Err(missing(&self.turns, challenge)),
                }
            }
            CombinationMode::All => {
                let mut known: Option<Known> = None;
                for (kind, allowed) in &self.turns {
                    let Some(identity) = ask(*kind, *allowed)? else {
                        return Err(missing(&[(*kind, *allowed)], challenge));
                    };
                    match &mut known {
                        None => known = Some(Known { identity, others: Vec::new() }),
                        Some(known) => known.others.push(identity),
                    }
                }
                Ok(known)
            }
        }
    }
}

/// What a client that is refused for this reason is told of how to show a credential of this kind.
pub(super) fn challenge(kind: Kind, reason: Reason) -> String {
    match kind {
        Kind::Jwt => tokens::challenge(reason),
        Kind::ApiKey => api_keys::challenge(),
        Kind::Basic => basic::challenge("api"),
    }
}

/// The refusal of a request that shows none of what it must, with a challenge for each kind that it could show.
pub(super) fn missing(
    turns: &[(Kind, Allowed)],
    challenge: impl Fn(Kind, Allowed) -> Option<String>,
) -> Refusal {
    let reason = match turns {
        [(kind, _)] => kind.missing(),
        [] => Reason::TokenMissing,
        _ => Reason::CredentialsMissing,
    };
    let challenges = turns.iter().filter_map(|(kind, allowed)| challenge(*kind, *allowed));
    challenges.fold(Refusal::new(reason, "no credential was sent"), |refusal, challenge| {
        refusal.with_header("www-authenticate", challenge)
    })
}
