//! What routes ask of an identity beyond being known.

use bartizan_engine::authentication::step_up::plan::StepUpPlan;
use bartizan_spec::authentication::Totp;
use bartizan_spec::authorization::Access;
use bartizan_spec::routes::Route;

use crate::diagnostic::Report;
use crate::suggest;
use crate::yaml::Cursor;

/// The longest age of a login: more asks nothing of anybody.
const MAX_AGE_S: u64 = 366 * 86_400;

/// Collects what routes ask: the same once.
#[derive(Debug, Default)]
pub(in crate::translate) struct StepUps {
    plans: Vec<StepUpPlan>,
}

impl StepUps {
    /// The number of what a route asks.
    pub(in crate::translate) fn number(
        &mut self,
        route: &Route,
        factors: &[Totp],
        at: Cursor<'_>,
        report: &mut Report,
    ) -> Option<usize> {
        let step_up = route.step_up.as_ref()?;
        let at = at.get("step_up");
        if route.access == Access::Public {
            report.error(
                "step-up-and-public",
                at.key(),
                "the route is public, so nobody is asked how well they are known",
                "remove `step_up`, or write `access: authenticated`",
            );
            return None;
        }
        let max_age_s = step_up.max_age.map(|age| {
            let seconds = age.whole_seconds().filter(|age| (1..=MAX_AGE_S).contains(age));
            if seconds.is_none() {
                report.error(
                    "max-age-out-of-bounds",
                    at.get("max_age").span(),
                    format!("no login is at most `{age}` ago in whole seconds"),
                    "write such as `15m`; the least is `1s`, the most a year",
                );
            }
            seconds.unwrap_or(1)
        });
        let totp = step_up.totp.as_ref().map(|name| {
            let found = factors.iter().position(|factor| factor.name == *name);
            if found.is_none() {
                let known = factors.iter().map(|factor| factor.name.as_str());
                report.error(
                    "unknown-factor",
                    at.get("totp").span(),
                    format!("there is no second factor `{name}`"),
                    suggest::remedy(name.as_str(), known, "second factors"),
                );
            }
            found.unwrap_or_default()
        });
        let words = |words: &[bartizan_spec::text::AuthenticationWord]| {
            words.iter().map(|word| word.as_str().to_owned()).collect::<Vec<_>>()
        };
        let (acr, amr) = (words(&step_up.acr.0), words(&step_up.amr.0));
        if acr.is_empty() && amr.is_empty() && max_age_s.is_none() && totp.is_none() {
            report.error(
                "step-up-empty",
                at.span(),
                "`step_up` asks nothing",
                "write `acr`, `amr`, `max_age` or `totp` into it, or remove it",
            );
        }
        let plan = StepUpPlan { at: at.at(), acr, amr, max_age_s, totp };
        let same = |known: &StepUpPlan| StepUpPlan { at: plan.at.clone(), ..known.clone() } == plan;
        Some(self.plans.iter().position(same).unwrap_or_else(|| {
            self.plans.push(plan.clone());
            self.plans.len().saturating_sub(1)
        }))
    }

    pub(in crate::translate) fn into_plans(self) -> Vec<StepUpPlan> {
        self.plans
    }
}
