//! What routes ask of an identity, made ready for all routes of a plan, and the second factors that they name.

use super::super::identity::{Identity, Known};
use super::super::load::variable;
use super::super::plan::AuthenticationPlan;
use super::super::sealed::Sealed;
use super::super::sources::is_lower_case_token;
use super::super::totp::plan::{TableSource, TotpPlan};
use super::super::totp::{Factor, MAX_ATTEMPTS, MAX_REMEMBER_S, NotShown, Rules, Shown, WINDOW_S, Who};
use super::StepUp;
use crate::host::{Host, Now};
use crate::intake::request::Headers;
use crate::pipeline::Room;
use crate::plan::PlanError;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::trace::Trace;

/// See the module.
#[derive(Debug)]
pub(in super::super) struct StepUps {
    list: Vec<StepUp>,
    factors: Vec<Factor>,
    /// The headers with codes, each once.
    code_headers: Vec<String>,
}

impl StepUps {
    pub(in super::super) fn load(
        plan: &AuthenticationPlan,
        bundle: &str,
        secret: &dyn Fn(&str) -> Option<Vec<u8>>,
        seed: [u64; 2],
    ) -> Result<Self, PlanError> {
        let mut factors: Vec<Factor> = Vec::new();
        let mut code_headers: Vec<String> = Vec::new();
        for (index, totp) in plan.totp.iter().enumerate() {
            let place = format!("authentication.totp[{index}]");
            if factors.iter().any(|other| other.rules().name == totp.name) {
                // They would share the records of their users.
                return Err(PlanError::new(format!("{place}.name"), "another factor has this name"));
            }
            factors.push(factor(totp, bundle, &place, secret, seed)?);
            if !code_headers.contains(&totp.header) {
                code_headers.push(totp.header.clone());
            }
        }
        let list = plan.step_up.iter().enumerate().map(|(index, step_up)| {
            StepUp::load(step_up, &format!("authentication.step_up[{index}]"), factors.len())
        });
        Ok(Self { list: list.collect::<Result<_, _>>()?, factors, code_headers })
    }

    pub(in super::super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The lower-case names of headers with codes: upstream never sees one.
    pub(in super::super) fn code_headers(&self) -> impl Iterator<Item = &str> {
        self.code_headers.iter().map(String::as_str)
    }

    /// Judges how strong and how recent the authentication is.
    pub(in super::super) fn check(
        &self,
        step_up: usize,
        known: Option<&Known>,
        now: Now,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        let (Some(step_up), Some(known)) = (self.list.get(step_up), known) else {
            return Err(nobody());
        };
        let identity = &known.identity;
        let amr: Vec<&str> = known.amr().collect();
        if let Err(lacking) =
            step_up.check(identity.strength.acr.as_deref(), &amr, identity.authenticated_at, now)
        {
            let detail = lacking.detail();
            trace.note(Room::Authentication, step_up.at(), || {
                format!("the authentication is not enough: {detail}")
            });
            return Err(Refusal::new(Reason::StepUpRequired, detail)
                .with_header("www-authenticate", step_up.challenge()));
        }
        trace.note(Room::Authentication, step_up.at(), || {
            "the authentication is strong and recent enough".into()
        });
        Ok(())
    }

    /// Judges the code of the second factor, if the route asks for one. It comes last, for a code that is judged is used
    /// up.
    pub(in super::super) fn show(
        &mut self,
        step_up: usize,
        known: Option<&Known>,
        headers: Headers<'_>,
        now: Now,
        host: &mut dyn Host,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        let (Some(step_up), Some(known)) = (self.list.get(step_up), known) else {
            return Err(nobody());
        };
        let identity = &known.identity;
        let Some(factor) = step_up.factor() else { return Ok(()) };
        let Some(factor) = self.factors.get_mut(factor) else {
            return Err(Refusal::new(Reason::SecondFactorMissing, "the second factor is not there"));
        };
        let credential = if factor.rules().remember_s == 0 { Vec::new() } else { credential(known) };
        let who = Who { method: &identity.issuer_name, subject: &identity.subject, credential: &credential };
        match factor.show(who, headers, now, host) {
            Ok(shown) => {
                trace.note(Room::Authentication, step_up.at(), || {
                    let how = match shown {
                        Shown::Code => "by a one-time code",
                        Shown::Backup => "by a backup code",
                        Shown::Before => "by a code that came with the same credential before",
                    };
                    format!("the second factor `{}` is shown {how}", factor.rules().name)
                });
                Ok(())
            }
            Err(not) => {
                trace.note(Room::Authentication, step_up.at(), || {
                    format!("the second factor `{}` is not shown", factor.rules().name)
                });
                Err(refuse(not, factor.rules()))
            }
        }
    }
}

fn nobody() -> Refusal {
    Refusal::new(Reason::StepUpRequired, "nobody is known, or nothing says what is asked")
}

/// What is the same in two requests with the same credentials, and in no others: all that was believed of them.
fn credential(known: &Known) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut part = |part: &[u8]| {
        bytes.extend_from_slice(&part.len().to_le_bytes());
        bytes.extend_from_slice(part);
    };
    for identity in known.all() {
        let Identity { issuer_name, subject, claims, credential, .. } = identity;
        part(identity.kind.name().as_bytes());
        part(issuer_name.as_bytes());
        part(subject.as_bytes());
        part(credential);
        // What cannot be written cannot be told apart; claims that were read from JSON can be.
        part(&serde_json::to_vec(claims).unwrap_or_default());
    }
    bytes
}

fn refuse(not: NotShown, rules: &Rules) -> Refusal {
    // No scheme is registered for one-time codes; this one says what a client has to do.
    let challenge = || format!(r#"TOTP realm="api", header="{}""#, rules.header);
    match not {
        NotShown::Missing => {
            Refusal::new(Reason::SecondFactorMissing, format!("no code for `{}`", rules.name))
                .with_header("www-authenticate", challenge())
        }
        NotShown::Invalid(why) => {
            Refusal::new(Reason::SecondFactorInvalid, why).with_header("www-authenticate", challenge())
        }
        NotShown::Exhausted(seconds) => {
            let detail = format!("{} codes for `{}` were not right", rules.attempts, rules.name);
            Refusal::new(Reason::SecondFactorExhausted, detail)
                .with_header("retry-after", seconds.max(1).to_string())
        }
        NotShown::Unavailable(why) => Refusal::new(Reason::LimitsUnavailable, why),
    }
}

fn factor(
    plan: &TotpPlan,
    bundle: &str,
    place: &str,
    secret: &dyn Fn(&str) -> Option<Vec<u8>>,
    seed: [u64; 2],
) -> Result<Factor, PlanError> {
    let wrong = |member: &str, problem: String| PlanError::new(format!("{place}.{member}"), problem);
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if plan.name.is_empty() || plan.name.len() > 63 || !plan.name.bytes().all(fine) {
        return Err(wrong("name", "one to 63 letters, digits, `-` or `_`".into()));
    }
    if !is_lower_case_token(&plan.header)
        || matches!(plan.header.as_str(), "authorization" | "cookie" | "host")
    {
        return Err(wrong(
            "header",
            format!("`{}` cannot carry a code; give a lower-case name", plan.header),
        ));
    }
    let attempts = usize::try_from(plan.attempts).unwrap_or(usize::MAX);
    if !(1..=MAX_ATTEMPTS).contains(&attempts) || !WINDOW_S.contains(&plan.window_s) {
        return Err(wrong("attempts", format!("give 1 to {MAX_ATTEMPTS} in 30 seconds to a day")));
    }
    if plan.remember_s > MAX_REMEMBER_S {
        return Err(wrong("remember_s", format!("{} s; the most is {MAX_REMEMBER_S} s", plan.remember_s)));
    }
    if plan.methods.is_empty() {
        return Err(wrong("methods", "none is named, so the table is of nobody".into()));
    }
    let users = format!("{place}.users");
    let table = match &plan.users {
        TableSource::Env { env } => variable(env, &users, secret)?,
        TableSource::Sealed { jwe, key_env } => Sealed::read_table(jwe, bundle, &plan.name)
            .map_err(|error| PlanError::new(users.clone(), format!("the sealed table: {error}")))?
            .open(&variable(key_env, &users, secret)?)
            .map_err(|error| {
                PlanError::new(users.clone(), format!("the sealed table and the key in `{key_env}`: {error}"))
            })?,
    };
    let rules = Rules {
        name: plan.name.clone(),
        methods: plan.methods.clone(),
        header: plan.header.clone(),
        attempts,
        window_s: plan.window_s,
        remember_s: plan.remember_s,
    };
    Factor::new(rules, &table, seed).map_err(|problem| PlanError::new(users, problem))
}
