//! Step-up: a good identity that is not strong or not fresh enough for a route (RFC 9470).
//!
//! **Clocks.** `auth_time` is the issuer's clock, and the age is counted by the proxy's. There is no leeway on
//! `max_age`, for the policy chose how much is acceptable; an `auth_time` that lies up to [`SKEW_S`] in the future counts
//! as now, and beyond that it is not believed. Without `auth_time` nothing is known of the age, so a route that asks for
//! it is not open: neither is it to methods that know no login, such as passwords that a browser sends by itself.

mod judging;
pub mod plan;

pub(super) use self::judging::StepUps;
use self::plan::StepUpPlan;
use super::dates::NumericDate;
use crate::host::Now;
use crate::plan::PlanError;

/// How far the issuer's clock may be ahead, in seconds.
pub const SKEW_S: u64 = 60;

/// The longest age that a policy may ask for, in seconds: a year.
const MAX_AGE_S: u64 = 366 * 86_400;

/// Why an authentication is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lacking {
    /// The authentication context is not one that is asked for.
    Context,
    /// A method that is asked for was not used.
    Method,
    /// It is too long ago, or nobody knows how long.
    Age,
}

impl Lacking {
    /// For operators.
    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::Context => "`acr` is none that the route asks for",
            Self::Method => "`amr` has not all methods that the route asks for",
            Self::Age => "`auth_time` is missing, too long ago, or in the future",
        }
    }
}

/// What a route asks, made ready.
#[derive(Debug)]
pub(super) struct StepUp {
    plan: StepUpPlan,
    challenge: String,
}

impl StepUp {
    /// Checks what the compiler promises: a plan comes from outside.
    pub(super) fn load(plan: &StepUpPlan, place: &str, factors: usize) -> Result<Self, PlanError> {
        let wrong = |member: &str, problem: &str| Err(PlanError::new(format!("{place}.{member}"), problem));
        for (member, list) in [("acr", &plan.acr), ("amr", &plan.amr)] {
            // They stand in a quoted string of the challenge, separated by spaces.
            let fine = |text: &String| {
                (1..=128).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
            };
            if !list.iter().all(fine) || list.len() > 16 {
                return wrong(member, "at most 16 values of visible ASCII without quotes and backslashes");
            }
        }
        if plan.max_age_s.is_some_and(|age| age == 0 || age > MAX_AGE_S) {
            return wrong("max_age_s", "an age is 1 second to a year");
        }
        if plan.totp.is_some_and(|factor| factor >= factors) {
            return wrong("totp", "there is no such second factor");
        }
        if plan.acr.is_empty() && plan.amr.is_empty() && plan.max_age_s.is_none() && plan.totp.is_none() {
            return wrong("at", "nothing is asked; give `acr`, `amr`, `max_age_s` or `totp`");
        }
        Ok(Self { plan: plan.clone(), challenge: challenge(plan) })
    }

    pub(super) fn at(&self) -> &str {
        &self.plan.at
    }

    /// The second factor that the route asks for.
    pub(super) fn factor(&self) -> Option<usize> {
        self.plan.totp
    }

    /// The whole `www-authenticate` for whoever lacks something (RFC 9470, section 3).
    pub(super) fn challenge(&self) -> &str {
        &self.challenge
    }

    /// Whether an authentication is strong and fresh enough. A second factor of the route counts as `otp` already:
    /// without it nobody passes anyway.
    pub(super) fn check(
        &self,
        acr: Option<&str>,
        amr: &[&str],
        authenticated_at: Option<NumericDate>,
        now: Now,
    ) -> Result<(), Lacking> {
        let plan = &self.plan;
        if !plan.acr.is_empty() && !acr.is_some_and(|acr| plan.acr.iter().any(|wanted| wanted == acr)) {
            return Err(Lacking::Context);
        }
        let shown =
            |method: &String| amr.contains(&method.as_str()) || (method == "otp" && plan.totp.is_some());
        if !plan.amr.iter().all(shown) {
            return Err(Lacking::Method);
        }
        match (plan.max_age_s, authenticated_at) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Lacking::Age),
            (Some(most), Some(at)) => {
                let (at, now) = (at.nanos(), now.nanos());
                let in_time = |from: u64, to: u64, most_s: u64| {
                    to.checked_sub(from).is_some_and(|span| span <= most_s.saturating_mul(1_000_000_000))
                };
                if in_time(at, now, most) || in_time(now, at, SKEW_S) { Ok(()) } else { Err(Lacking::Age) }
            }
        }
    }
}

/// RFC 9470, section 3. `amr` has no parameter there: the description says it.
fn challenge(plan: &StepUpPlan) -> String {
    let mut text = String::from(
        r#"Bearer realm="api", error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required""#,
    );
    if !plan.acr.is_empty() {
        text.push_str(&format!(r#", acr_values="{}""#, plan.acr.join(" ")));
    }
    if let Some(age) = plan.max_age_s {
        text.push_str(&format!(r#", max_age="{age}""#));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan() -> StepUpPlan {
        StepUpPlan { at: "bundle.yaml:1".into(), acr: vec![], amr: vec![], max_age_s: None, totp: None }
    }

    fn load(plan: &StepUpPlan) -> StepUp {
        StepUp::load(plan, "step_up[0]", 1).unwrap()
    }

    fn date(secs: u64) -> Option<NumericDate> {
        Some(NumericDate::read(&json!(secs)).unwrap())
    }

    const T: u64 = 1_700_000_000;

    #[test]
    fn the_context_is_one_of_those_asked_for() {
        let step_up = load(&StepUpPlan { acr: vec!["gold".into(), "silver".into()], ..plan() });
        let check = |acr| step_up.check(acr, &[], None, Now::from_secs(T));
        assert_eq!(check(Some("gold")), Ok(()));
        assert_eq!(check(Some("silver")), Ok(()));
        for acr in [None, Some("bronze"), Some("Gold"), Some("gold silver"), Some("")] {
            assert_eq!(check(acr), Err(Lacking::Context), "{acr:?}");
        }
    }

    #[test]
    fn all_methods_were_used() {
        let step_up = load(&StepUpPlan { amr: vec!["pwd".into(), "otp".into()], ..plan() });
        let check = |amr: &[&str]| step_up.check(None, amr, None, Now::from_secs(T));
        assert_eq!(check(&["otp", "pwd", "mfa"]), Ok(()));
        assert_eq!(check(&["pwd"]), Err(Lacking::Method));
        assert_eq!(check(&[]), Err(Lacking::Method));
        let with_factor = load(&StepUpPlan { amr: vec!["otp".into()], totp: Some(0), ..plan() });
        assert_eq!(
            with_factor.check(None, &[], None, Now::from_secs(T)),
            Ok(()),
            "the route asks for it itself"
        );
        let other = load(&StepUpPlan { amr: vec!["hwk".into()], totp: Some(0), ..plan() });
        assert_eq!(other.check(None, &[], None, Now::from_secs(T)), Err(Lacking::Method));
    }

    #[test]
    fn the_login_is_not_too_long_ago() {
        let step_up = load(&StepUpPlan { max_age_s: Some(900), ..plan() });
        let check = |at| step_up.check(None, &[], at, Now::from_secs(T));
        for (at, good) in [
            (date(T), true),
            (date(T - 900), true),
            (date(T - 901), false),
            (date(0), false),
            (date(T + SKEW_S), true),
            (date(T + SKEW_S + 1), false),
            (None, false),
        ] {
            assert_eq!(check(at), if good { Ok(()) } else { Err(Lacking::Age) }, "{at:?}");
        }
    }

    #[test]
    fn the_challenge_says_what_is_asked_for() {
        let step_up =
            load(&StepUpPlan { acr: vec!["gold".into(), "silver".into()], max_age_s: Some(900), ..plan() });
        assert_eq!(
            step_up.challenge(),
            r#"Bearer realm="api", error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required", acr_values="gold silver", max_age="900""#
        );
        assert!(!load(&StepUpPlan { amr: vec!["otp".into()], ..plan() }).challenge().contains("otp"));
    }

    #[test]
    fn what_no_compiler_writes_is_refused() {
        for bad in [
            plan(),
            StepUpPlan { acr: vec!["a\"b".into()], ..plan() },
            StepUpPlan { acr: vec!["a b".into()], ..plan() },
            StepUpPlan { amr: vec![String::new()], ..plan() },
            StepUpPlan { max_age_s: Some(0), ..plan() },
            StepUpPlan { max_age_s: Some(u64::MAX), ..plan() },
            StepUpPlan { totp: Some(1), ..plan() },
        ] {
            assert!(StepUp::load(&bad, "step_up[0]", 1).is_err(), "{bad:?}");
        }
    }
}
