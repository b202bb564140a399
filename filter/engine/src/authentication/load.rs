//! What is checked of an issuer when a plan is loaded. The compiler promises all of it and says it better;
//! a plan comes from outside all the same.

use std::collections::HashSet;

use serde_json::Value;

use super::claims::ClaimPath;
use super::keys::KeySet;
use super::plan::{AuthenticationPlan, JwtPlan, KeySource};
use super::remote::{self, Keys};
use super::sealed::Sealed;
use super::sources::{Sources, is_lower_case_token};
use crate::feeds::plan::ContentKind;
use crate::plan::PlanError;

/// Clock skew beyond this is a broken clock.
const MAX_LEEWAY_S: u64 = 3_600;

/// Headers that mean something to every upstream already; a claim must not overwrite them.
pub(super) const NEVER_FORWARDED: [&str; 16] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "forwarded",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Limits by subject, lists of what is revoked and second factors know a method by its name, whatever its kind.
pub(super) fn check_names(plan: &AuthenticationPlan) -> Result<(), PlanError> {
    let mut names = HashSet::new();
    if let Some(twice) = plan.names().find(|name| !names.insert(*name)) {
        let problem = format!("two methods are named `{twice}`; give each a name of its own");
        return Err(PlanError::new("authentication", problem));
    }
    for (index, totp) in plan.totp.iter().enumerate() {
        if let Some(unknown) = totp.methods.iter().find(|name| !names.contains(name.as_str())) {
            let place = format!("authentication.totp[{index}].methods");
            return Err(PlanError::new(place, format!("there is no method `{unknown}`")));
        }
    }
    Ok(())
}

/// A header with codes is nothing else: a credential in it would be a failed attempt of its own user.
pub(super) fn check_code_headers(
    plan: &AuthenticationPlan,
    sources: &Sources,
    identity: &[String],
) -> Result<(), PlanError> {
    for (index, totp) in plan.totp.iter().enumerate() {
        if identity.contains(&totp.header) || sources.header_names().any(|name| name == totp.header) {
            let problem =
                format!("`{}` carries credentials or claims already; give another header", totp.header);
            return Err(PlanError::new(format!("authentication.totp[{index}].header"), problem));
        }
    }
    Ok(())
}

/// What the compiler promises of an issuer, checked again: a plan comes from outside.
pub(super) fn check(jwt: &JwtPlan, place: &str) -> Result<(), PlanError> {
    let wrong = |member: &str, problem: String| Err(PlanError::new(format!("{place}.{member}"), problem));
    if jwt.issuer.is_empty() {
        return wrong("issuer", "empty; give the `iss` of the tokens".into());
    }
    if jwt.algorithms.is_empty() {
        return wrong("algorithms", "none is accepted; give at least one".into());
    }
    if jwt.leeway_s > MAX_LEEWAY_S {
        let problem = format!("{} s is more than an hour; set the clocks instead", jwt.leeway_s);
        return wrong("leeway_s", problem);
    }
    if jwt.max_lifetime_s == Some(0) {
        return wrong("max_lifetime_s", "no token lives for 0 s; give at least 1 s".into());
    }
    let mut required = jwt.require_claims.iter().map(|(path, _)| path);
    for (member, empty) in [
        ("subject", jwt.subject.is_empty()),
        ("roles", jwt.roles.iter().any(String::is_empty)),
        ("permissions", jwt.permissions.iter().any(String::is_empty)),
        ("require_claims", required.any(String::is_empty)),
        ("require_types", jwt.require_types.iter().any(|(path, _)| path.is_empty())),
    ] {
        if empty {
            return wrong(member, "the path of a claim is empty; name the claim".into());
        }
    }
    for (index, (path, value)) in jwt.require_claims.iter().enumerate() {
        let scalar = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
        let good = match value {
            Value::Array(several) => !several.is_empty() && several.iter().all(scalar),
            one => scalar(one),
        };
        if !good {
            let problem = format!(
                "`{path}` is compared with {value}; give a string, a number or a boolean, or a list of those"
            );
            return wrong(&format!("require_claims[{index}]"), problem);
        }
    }
    for (member, path) in std::iter::once(("subject", &jwt.subject))
        .chain(jwt.forward_claims.iter().map(|(_, path)| ("forward_claims", path)))
    {
        if ClaimPath::new(path).is_plural() {
            return wrong(
                member,
                format!("`{path}` stands for several values, and one is wanted; leave out `[]`"),
            );
        }
    }
    let payload = jwt.forward_payload.iter().map(|name| ("forward_payload".to_owned(), name));
    let claims = jwt.forward_claims.iter().enumerate();
    let claims = claims.map(|(index, (name, _))| (format!("forward_claims[{index}]"), name));
    check_headers(&claims.chain(payload).collect::<Vec<_>>(), place)
}

/// What is checked of headers that carry claims: that the paths are some, and their names.
pub(super) fn forwarded(forward_claims: &[(String, String)], place: &str) -> Result<(), PlanError> {
    if forward_claims.iter().any(|(_, path)| path.is_empty()) {
        let problem = "the path of a claim is empty; name the claim";
        return Err(PlanError::new(format!("{place}.forward_claims"), problem));
    }
    let claims = forward_claims.iter().enumerate();
    let claims = claims.map(|(index, (name, _))| (format!("forward_claims[{index}]"), name));
    check_headers(&claims.collect::<Vec<_>>(), place)
}

/// What is checked of the headers that tell upstream who it is: where each stands in the plan, and its name.
pub(super) fn check_headers(headers: &[(String, &String)], place: &str) -> Result<(), PlanError> {
    let wrong = |member: &str, problem: String| Err(PlanError::new(format!("{place}.{member}"), problem));
    for (index, (member, name)) in headers.iter().enumerate() {
        if !is_lower_case_token(name) || NEVER_FORWARDED.contains(&name.as_str()) {
            let problem = format!("`{name}` cannot carry a claim; give a lower-case header name of your own");
            return wrong(member, problem);
        }
        if headers.iter().take(index).any(|(_, other)| other == name) {
            return wrong(member, format!("`{name}` is set twice; give each header one claim"));
        }
    }
    Ok(())
}

/// The headers that tell upstream who it is, by any method.
pub(super) fn forwarded_headers(forwarded: &[(String, String)], place: &str) -> Result<(), PlanError> {
    for (index, (name, _)) in forwarded.iter().enumerate() {
        let wrong = |problem| Err(PlanError::new(format!("{place}.forward_claims[{index}]"), problem));
        if !is_lower_case_token(name) || NEVER_FORWARDED.contains(&name.as_str()) {
            return wrong(format!(
                "`{name}` cannot carry a claim; give a lower-case header name of your own"
            ));
        }
        if forwarded.iter().take(index).any(|(other, _)| other == name) {
            return wrong(format!("`{name}` is set twice; give each header one claim"));
        }
    }
    Ok(())
}

/// The value of an environment variable of the VM.
pub(super) fn variable(
    name: &str,
    place: &str,
    secret: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, PlanError> {
    secret(name).ok_or_else(|| {
        let problem = format!(
            "the environment variable `{name}` is not set for the filter; set it in `environment_variables` of the VM configuration"
        );
        PlanError::new(place, problem)
    })
}

/// The keys of an issuer.
pub(super) fn keys(
    plan: &AuthenticationPlan,
    jwt: &JwtPlan,
    bundle: &str,
    place: &str,
    secret: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Keys, PlanError> {
    let place = format!("{place}.keys");
    let variable = |env: &str| variable(env, &place, secret);
    match &jwt.keys {
        KeySource::Jwks(json) => KeySet::from_jwks(json, &jwt.algorithms),
        KeySource::Secret { env } => KeySet::from_secret(&variable(env)?, &jwt.algorithms),
        KeySource::Sealed { jwe, key_env } => {
            let sealed = Sealed::read(jwe, bundle, &jwt.name)
                .map_err(|error| PlanError::new(place.clone(), format!("the sealed secret: {error}")))?;
            let value = sealed.open(&variable(key_env)?).map_err(|error| {
                PlanError::new(
                    place.clone(),
                    format!("the sealed secret and the key in `{key_env}`: {error}"),
                )
            })?;
            KeySet::from_secret(&value, &jwt.algorithms)
        }
        KeySource::Remote { feed } => {
            remote::check(&plan.feeds, *feed, ContentKind::Keys, &place)?;
            if jwt.algorithms.iter().any(|algorithm| algorithm.is_hmac()) {
                let problem = "shared secrets are not fetched; accept public keys only, or keep the secret in the environment";
                return Err(PlanError::new(place, problem));
            }
            return Ok(Keys::Fetched(*feed, None));
        }
    }
    .map(Keys::Known)
    .map_err(|error| PlanError::new(place.clone(), error.to_string()))
}
