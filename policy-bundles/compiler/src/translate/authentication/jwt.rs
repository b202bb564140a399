//! Issuers.

use std::collections::BTreeMap;

use bartizan_engine::authentication::plan as engine;
use bartizan_engine::authentication::sealed::{Sealed, SealedError};
use bartizan_engine::feeds::plan::ContentKind;
use bartizan_spec::authentication::{Algorithm, ClaimType, Jwt, Keys, Profile, Secret};
use serde_json::Value;

use super::super::{Input, keys};
use super::binding;
use super::places::{self, twice};
use super::remote::Feeds;
use crate::diagnostic::Report;
use crate::files::Files;
use crate::yaml::Cursor;

/// The most clock skew: more would make expiry a suggestion.
const MAX_LEEWAY_S: u64 = 600;

pub(super) fn translate(
    input: &Input<'_>,
    files: &mut Files,
    feeds: &mut Feeds,
    report: &mut Report,
) -> Vec<engine::JwtPlan> {
    let all = input.root().get("authentication").get("jwt");
    let issuers = &input.bundle.authentication.jwt;
    let mut plans = Vec::new();
    for (index, jwt) in issuers.iter().enumerate() {
        let at = all.item(index);
        let before = issuers.get(..index).unwrap_or_default();
        if before.iter().any(|other| other.issuer == jwt.issuer) {
            let message = format!("the issuer `{}` is there twice", jwt.issuer);
            report.error(
                "issuer-twice",
                at.get("issuer").span(),
                message,
                "put its keys, audiences and algorithms into one entry: a token is judged by the issuer it names",
            );
        }
        plans.push(issuer(jwt, input.bundle.name.as_str(), at, files, feeds, report));
    }
    plans
}

fn issuer(
    jwt: &Jwt,
    bundle: &str,
    at: Cursor<'_>,
    files: &mut Files,
    feeds: &mut Feeds,
    report: &mut Report,
) -> engine::JwtPlan {
    if jwt.audiences.is_empty() {
        report.warning(
            "no-audience",
            at.get("name").span(),
            format!(
                "the issuer `{}` has no `audiences`: tokens meant for other services are accepted",
                jwt.name
            ),
            "add `audiences:` with the name of this service in the tokens' `aud`",
        );
    }
    twice(&jwt.audiences, at.get("audiences"), "audience", report);
    twice(&jwt.algorithms, at.get("algorithms"), "algorithm", report);
    if let Some(twice) = jwt.forward.payload.as_ref().filter(|name| jwt.forward.headers.0.contains_key(*name))
    {
        report.error(
            "header-twice",
            at.get("forward").get("payload").span(),
            format!("the header `{twice}` carries a claim already"),
            "give the payload a header of its own",
        );
    }
    let leeway_s = seconds(jwt.leeway, at.get("leeway"), report);
    if leeway_s > MAX_LEEWAY_S {
        report.error(
            "leeway-long",
            at.get("leeway").span(),
            format!("a leeway of `{}` makes expired tokens good for that long", jwt.leeway),
            "the most is `10m`; a minute is plenty for clocks that are kept",
        );
    }
    let require = at.get("require");
    let max_lifetime_s = jwt.require.max_lifetime.map(|lifetime| {
        let here = require.get("max_lifetime");
        if lifetime.millis() == 0 {
            report.error(
                "lifetime-zero",
                here.span(),
                "no token has a lifetime of zero",
                "write such as `24h`",
            );
        }
        if !jwt.require.expiry {
            report.error(
                "lifetime-without-expiry",
                here.span(),
                "a longest lifetime needs tokens that expire, and `expiry` is false",
                "remove `expiry: false`, or `max_lifetime`",
            );
        }
        seconds(lifetime, here, report)
    });
    check_claims(jwt, at, report);
    let claims = jwt.require.claims.0.iter();
    engine::JwtPlan {
        name: jwt.name.as_str().to_owned(),
        at: at.at(),
        issuer: jwt.issuer.as_str().to_owned(),
        audiences: jwt.audiences.iter().map(|a| a.as_str().to_owned()).collect(),
        algorithms: jwt.algorithms.iter().copied().map(algorithm).collect(),
        keys: key_source(jwt, bundle, at, files, feeds, report),
        from: jwt.from.iter().map(places::source).chain(binding::source(jwt)).collect(),
        forward_token: jwt.forward_token,
        require_expiry: jwt.require.expiry,
        max_lifetime_s,
        leeway_s,
        require_type: require_type(jwt, at, report),
        require_claims: claims.map(|(path, value)| (path.as_str().to_owned(), value.clone())).collect(),
        require_types: require_types(jwt),
        subject: jwt.map.subject.as_str().to_owned(),
        roles: jwt.map.roles.0.iter().map(|path| path.as_str().to_owned()).collect(),
        permissions: jwt.map.permissions.0.iter().map(|path| path.as_str().to_owned()).collect(),
        forward_claims: places::pairs(&jwt.forward.headers),
        forward_payload: jwt.forward.payload.as_ref().map(|header| header.as_str().to_owned()),
        binding: binding::translate(jwt, at.get("bound"), report),
    }
}

/// What claims are compared with, and which paths stand for one value only.
fn check_claims(jwt: &Jwt, at: Cursor<'_>, report: &mut Report) {
    let scalar = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    for (path, value) in &jwt.require.claims.0 {
        let good = match value {
            Value::Array(several) => !several.is_empty() && several.iter().all(scalar),
            one => scalar(one),
        };
        if !good {
            report.error(
                "claim-value",
                at.get("require").get("claims").get(path.as_str()).span(),
                format!("the claim `{path}` cannot be compared with this"),
                "write a string, a number or a boolean, or a list of those of which one must be there",
            );
        }
    }
    let subject = std::iter::once((&jwt.map.subject, at.get("map").get("subject").span()));
    let headers = at.get("forward").get("headers");
    let forwarded =
        jwt.forward.headers.0.iter().map(|(name, path)| (path, headers.get(name.as_str()).span()));
    for (path, span) in subject.chain(forwarded).filter(|(path, _)| path.is_plural()) {
        report.error(
            "claim-plural",
            span,
            format!("`{path}` stands for several values, and one is wanted here"),
            "name a claim with one value; `[]` is for roles, permissions and what is required",
        );
    }
}

/// RFC 9068, section 4: the type of such a token says so.
fn require_type(jwt: &Jwt, at: Cursor<'_>, report: &mut Report) -> Option<String> {
    let written = jwt.require.token_type.as_ref().map(|t| t.as_str().to_owned());
    let Some(Profile::Rfc9068) = jwt.require.profile else { return written };
    let here = at.get("require").get("profile").span();
    if written.is_some() {
        let message = "the profile says already which type tokens have";
        report.error("profile-and-more", here, message, "remove `type`");
    }
    if !jwt.require.expiry {
        let message = "tokens of this profile expire (RFC 9068, section 2.2), and `expiry` is false";
        report.error("profile-and-more", here, message, "remove `expiry: false`, or `profile`");
    }
    if jwt.audiences.is_empty() {
        report.error(
            "profile-without-audience",
            here,
            "who follows this profile must check the audience (RFC 9068, section 4), and there are no `audiences`",
            "add `audiences:` with the name of this service in the tokens' `aud`",
        );
    }
    Some("at+jwt".to_owned())
}

fn require_types(jwt: &Jwt) -> Vec<(String, engine::ClaimType)> {
    let mut types: BTreeMap<String, engine::ClaimType> = BTreeMap::new();
    if let Some(Profile::Rfc9068) = jwt.require.profile {
        for name in ["sub", "client_id", "jti"] {
            types.insert(name.to_owned(), engine::ClaimType::String);
        }
        types.insert("iat".to_owned(), engine::ClaimType::Number);
    }
    for (path, kind) in &jwt.require.types.0 {
        let kind = match kind {
            ClaimType::String => engine::ClaimType::String,
            ClaimType::Number => engine::ClaimType::Number,
            ClaimType::Boolean => engine::ClaimType::Boolean,
            ClaimType::Strings => engine::ClaimType::Strings,
            ClaimType::List => engine::ClaimType::List,
            ClaimType::Object => engine::ClaimType::Object,
        };
        types.insert(path.as_str().to_owned(), kind);
    }
    types.into_iter().collect()
}

pub(super) fn seconds(duration: bartizan_spec::units::Duration, at: Cursor<'_>, report: &mut Report) -> u64 {
    duration.whole_seconds().unwrap_or_else(|| {
        report.error(
            "not-whole-seconds",
            at.span(),
            format!("`{duration}` is not a whole number of seconds"),
            "times in tokens count seconds; write whole seconds",
        );
        0
    })
}

fn key_source(
    jwt: &Jwt,
    bundle: &str,
    at: Cursor<'_>,
    files: &mut Files,
    feeds: &mut Feeds,
    report: &mut Report,
) -> engine::KeySource {
    let keys = at.get("keys");
    let written: Vec<engine::Algorithm> = jwt.algorithms.iter().copied().map(algorithm).collect();
    let mut accepted = written.clone();
    accepted.sort_unstable();
    accepted.dedup();
    match &jwt.keys {
        Keys::Secret(secret) => {
            let here = keys.get("secret");
            let span = match secret {
                Secret::Env { .. } => here.get("env").span(),
                Secret::Sealed { .. } => here.key_of("sealed"),
            };
            keys::check_secret(&written, at.get("algorithms"), span, report);
            match secret {
                Secret::Env { env } => engine::KeySource::Secret { env: env.as_str().to_owned() },
                Secret::Sealed { sealed, key } => {
                    check_sealed(sealed.as_str(), bundle, jwt.name.as_str(), span, report);
                    let (jwe, key_env) = (sealed.as_str().to_owned(), key.env.as_str().to_owned());
                    engine::KeySource::Sealed { jwe, key_env }
                }
            }
        }
        Keys::Remote(remote) => {
            no_secrets(jwt, at, report);
            let here = keys.get("remote");
            let feed = feeds.place(remote, ContentKind::Keys, jwt.name.as_str(), here, report);
            engine::KeySource::Remote { feed }
        }
        Keys::Discovery(discovery) => {
            no_secrets(jwt, at, report);
            let here = keys.get("discovery");
            let feed = feeds.discovered(discovery, jwt, at.get("issuer"), here, report);
            engine::KeySource::Remote { feed }
        }
        Keys::JwksInline(text) => {
            let here = keys.get("jwks_inline").span();
            engine::KeySource::Jwks(keys::jwks("the key set", text, &accepted, here, report))
        }
        Keys::Jwks(file) => {
            let here = keys.get("jwks").span();
            let text = read(file.as_str(), here, files, report).unwrap_or_default();
            let name = format!("`{file}`");
            let set = if text.is_empty() { text } else { keys::jwks(&name, &text, &accepted, here, report) };
            engine::KeySource::Jwks(set)
        }
        Keys::Pem(file) => {
            let here = keys.get("pem").span();
            let text = read(file.as_str(), here, files, report);
            let set = text.map(|text| keys::pem(file.as_str(), &text, &accepted, here, report));
            engine::KeySource::Jwks(set.unwrap_or_default())
        }
    }
}

/// Whoever could read the answer could sign with what is in it.
fn no_secrets(jwt: &Jwt, at: Cursor<'_>, report: &mut Report) {
    for (index, written) in jwt.algorithms.iter().enumerate() {
        if algorithm(*written).is_hmac() {
            report.error(
                "secret-fetched",
                at.get("algorithms").item(index).span(),
                "keys that are fetched are public, and this algorithm needs a secret",
                "accept algorithms with public keys, such as `RS256`, or write `keys: {secret: {env: NAME}}`",
            );
        }
    }
}

/// A sealed secret says for what it was sealed, and the filter opens it for nothing else.
pub(super) fn check_sealed(
    sealed: &str,
    bundle: &str,
    method: &str,
    here: crate::diagnostic::Span,
    report: &mut Report,
) {
    let Err(error) = Sealed::read(sealed, bundle, method) else { return };
    let place = format!("{bundle}/{method}");
    match (error, Sealed::party(sealed)) {
        (SealedError::ForAnother, Some(party)) => report.error(
            "sealed-for-another",
            here,
            format!("this secret was sealed for {party:?}, and is that of `{place}` here"),
            format!("seal it anew: `bartizan seal --for {place} --to KEY.pub`"),
        ),
        _ => report.error(
            "sealed-malformed",
            here,
            "this is not a sealed secret as the filter opens them",
            format!("write here what `bartizan seal --for {place} --to KEY.pub` prints"),
        ),
    }
}

pub(super) fn read(
    file: &str,
    here: crate::diagnostic::Span,
    files: &mut Files,
    report: &mut Report,
) -> Option<String> {
    match files.read_text(file, keys::MAX_KEY_FILE_BYTES) {
        Ok(text) if text.trim().is_empty() => {
            report.error(
                "keys-empty",
                here,
                format!("`{file}` is empty"),
                "put the issuer's public keys there",
            );
            None
        }
        Ok(text) => Some(text),
        Err(problem) => {
            report.error(problem.code, here, problem.message, problem.help);
            None
        }
    }
}

pub(super) fn algorithm(algorithm: Algorithm) -> engine::Algorithm {
    match algorithm {
        Algorithm::HS256 => engine::Algorithm::HS256,
        Algorithm::HS384 => engine::Algorithm::HS384,
        Algorithm::HS512 => engine::Algorithm::HS512,
        Algorithm::RS256 => engine::Algorithm::RS256,
        Algorithm::RS384 => engine::Algorithm::RS384,
        Algorithm::RS512 => engine::Algorithm::RS512,
        Algorithm::PS256 => engine::Algorithm::PS256,
        Algorithm::PS384 => engine::Algorithm::PS384,
        Algorithm::PS512 => engine::Algorithm::PS512,
        Algorithm::ES256 => engine::Algorithm::ES256,
        Algorithm::ES384 => engine::Algorithm::ES384,
        Algorithm::ES256K => engine::Algorithm::ES256K,
        Algorithm::EdDSA => engine::Algorithm::EdDSA,
    }
}
