//! Which methods a route takes, and in which order they are asked.

use super::identity::Known;
use super::method::{Allowed, Answer, Kind, MAX_METHODS};
use super::plan::{CombinationMode, CombinationPlan};
use super::signed::SignedRequests;
use crate::plan::PlanError;
use crate::reason::Reason;
use crate::refusal::Refusal;

/// What a route takes, made ready.
#[derive(Debug)]
pub(super) struct Combination {
    pub(super) mode: CombinationMode,
    /// Each kind once, at the place of the first of its methods.
    turns: Vec<(Kind, Allowed)>,
    /// For each turn, the challenges of whoever shows nothing of it (RFC 9110, section 11.6.1).
    challenges: Vec<Vec<String>>,
}

impl Combination {
    /// Makes ready what a plan says. `count` gives the number of methods of a kind, `challenges` what their clients are
    /// told who show nothing.
    pub(super) fn load(
        plan: &CombinationPlan,
        place: &str,
        count: impl Fn(Kind) -> usize,
        challenges: impl Fn(Kind, Allowed) -> Vec<String>,
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
        let challenges = turns.iter().map(|(kind, allowed)| challenges(*kind, *allowed)).collect();
        Ok(Self { mode: plan.mode, turns, challenges })
    }

    /// Adds to a refusal what must be signed, if nothing was and the policy says it.
    pub(super) fn offer(&self, mut refusal: Refusal, signed: &SignedRequests) -> Refusal {
        let signing = self.turns.iter().filter(|(kind, _)| *kind == Kind::SignedRequest);
        if matches!(refusal.reason, Reason::SignatureMissing | Reason::CredentialsMissing) {
            for offer in signing.flat_map(|(_, allowed)| signed.offers(*allowed)) {
                refusal = refusal.with_header("accept-signature", offer.to_owned());
            }
        }
        refusal
    }

    /// Asks the methods, by `ask`, until it is known who it is; `None` if nobody needs to be known.
    pub(super) fn judge(
        &self,
        mut ask: impl FnMut(Kind, Allowed) -> Answer,
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
                    CombinationMode::Any | CombinationMode::All => Err(self.missing(|_| true)),
                }
            }
            CombinationMode::All => {
                let mut known: Option<Known> = None;
                for (kind, allowed) in &self.turns {
                    let Some(identity) = ask(*kind, *allowed)? else {
                        return Err(self.missing(|missing| missing == *kind));
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

    /// The refusal of a request that shows none of these kinds, with the challenges of each.
    fn missing(&self, of: impl Fn(Kind) -> bool) -> Refusal {
        let asked = self.turns.iter().zip(&self.challenges).filter(|((kind, _), _)| of(*kind));
        let kinds: Vec<Kind> = asked.clone().map(|((kind, _), _)| *kind).collect();
        let reason = match kinds.as_slice() {
            [kind] => kind.missing(),
            _ => Reason::CredentialsMissing,
        };
        let challenges = asked.flat_map(|(_, challenges)| challenges);
        challenges.fold(Refusal::new(reason, "no credential was sent"), |refusal, challenge| {
            refusal.with_header("www-authenticate", challenge.clone())
        })
    }
}
