//! How tokens are bound to keys.

use bartizan_engine::authentication::dpop::is_origin;
use bartizan_engine::authentication::plan as engine;
use bartizan_spec::authentication::{Algorithm, Dpop, Jwt, TokenSource};
use bartizan_spec::units::Duration;

use super::certificates;
use super::jwt::{algorithm, seconds};
use super::places::twice;
use crate::diagnostic::Report;
use crate::yaml::Cursor;

/// Longer, and whoever finds a proof has long to use it where nobody remembers it.
const MAX_AGE_S: u64 = 3_600;
const MAX_LEEWAY_S: u64 = 600;
/// Longer, or with less memory, and one client can keep the proofs of others out.
const LONG_LEEWAY_S: u64 = 60;
const LITTLE_MEMORY: u32 = 8_192;
const MAX_NONCE_S: u64 = 86_400;

pub(super) fn translate(jwt: &Jwt, at: Cursor<'_>, report: &mut Report) -> engine::BindingPlan {
    let bound = &jwt.bound;
    let dpop = bound.dpop.as_ref().map(|written| dpop(written, at.get("dpop"), report));
    // What is not said is left to the engine, so that a plan says nothing where a bundle says nothing.
    let certificate = Some(certificates::source(bound.certificate))
        .filter(|source| *source != engine::CertificateSource::Connection);
    engine::BindingPlan { required: bound.required, certificate, dpop }
}

/// Where tokens are found that a proof goes with (RFC 9449, section 7.1), unless it is written already.
pub(super) fn source(jwt: &Jwt) -> Option<engine::TokenSource> {
    jwt.bound.dpop.as_ref()?;
    let written = jwt.from.iter().any(|source| match source {
        TokenSource::Header { header, scheme: Some(scheme) } => {
            header.as_str() == "authorization" && scheme.as_str().eq_ignore_ascii_case("dpop")
        }
        _ => false,
    });
    (!written).then(|| engine::TokenSource::Header {
        name: "authorization".to_owned(),
        scheme: Some("DPoP".to_owned()),
    })
}

fn dpop(dpop: &Dpop, at: Cursor<'_>, report: &mut Report) -> engine::DpopPlan {
    twice(&dpop.algorithms, at.get("algorithms"), "algorithm", report);
    twice(&dpop.origins, at.get("origins"), "origin", report);
    for (index, written) in dpop.algorithms.iter().enumerate() {
        if matches!(written, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) {
            report.error(
                "dpop-symmetric",
                at.get("algorithms").item(index).span(),
                "a proof shows its key, so it cannot be signed with a shared secret",
                "accept asymmetric algorithms: `[ES256, EdDSA]`",
            );
        }
    }
    for (index, origin) in dpop.origins.iter().enumerate() {
        if !is_origin(origin.as_str()) {
            report.error(
                "dpop-origin",
                at.get("origins").item(index).span(),
                format!("`{origin}` is not a scheme and a host"),
                "write such as `https://api.example.com`, with a port if it has one, and without a path",
            );
        }
    }
    if !dpop.remember.is_power_of_two() || !(1024..=1 << 20).contains(&dpop.remember) {
        report.error(
            "dpop-remember",
            at.get("remember").span(),
            format!("`{}` is not a power of two from 1024 to 1048576", dpop.remember),
            "write such as `65536`: it takes 16 bytes for each",
        );
    }
    if dpop.remember < LITTLE_MEMORY {
        report.warning(
            "dpop-forgets",
            at.get("remember").span(),
            format!("{} proofs are few: a client that makes many has those of others refused", dpop.remember),
            "write `65536`, or leave it out",
        );
    }
    let mut within = |duration: Duration, field: &str, most: u64, least: u64| {
        let at = field.split('.').fold(at, |at, name| at.get(name));
        let found = seconds(duration, at, report);
        if found > most || found < least {
            report.error(
                "dpop-time",
                at.span(),
                format!("`{duration}` is not between {least}s and {most}s"),
                "write such as `60s`; the clock of a client is rarely off by more",
            );
        }
        found
    };
    let max_age_s = within(dpop.max_age, "max_age", MAX_AGE_S, 1);
    let leeway_s = within(dpop.leeway, "leeway", MAX_LEEWAY_S, 0);
    let nonce = dpop.nonce.as_ref().map(|nonce| engine::NoncePlan {
        lifetime_s: within(nonce.lifetime, "nonce.lifetime", MAX_NONCE_S, 1),
        key_env: nonce.key.as_ref().map(|key| key.env.as_str().to_owned()),
    });
    if (LONG_LEEWAY_S + 1..=MAX_LEEWAY_S).contains(&leeway_s) {
        report.warning(
            "dpop-leeway-long",
            at.get("leeway").span(),
            format!("proofs may be dated `{}` ahead: a client that makes many has those of others refused for as long", dpop.leeway),
            "write `5s`; the clock of a client is rarely off by more",
        );
    }
    engine::DpopPlan {
        algorithms: dpop.algorithms.iter().copied().map(algorithm).collect(),
        max_age_s,
        leeway_s,
        origins: dpop.origins.iter().map(|origin| origin.as_str().to_owned()).collect(),
        nonce,
        replay_entries: dpop.remember,
    }
}
