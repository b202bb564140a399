//! Who requests may come from: the methods, and which of them routes take. One file per kind of method.

mod api_keys;
mod basic;
mod binding;
mod certificates;
mod jwt;
mod places;
mod remote;
mod revocation;
mod signed_requests;
mod step_up;
mod totp;

use bartizan_engine::authentication::plan as engine;
use bartizan_engine::authentication::plan::{CombinationMode, CombinationPlan, MethodRef};
use bartizan_spec::authentication::{Accepted, Authentication, CertificateSource, MAX_METHODS};
use bartizan_spec::authorization::Access;
use bartizan_spec::routes::Route;

use super::Input;
use crate::diagnostic::Report;
use crate::files::Files;
use crate::suggest;
use crate::yaml::Cursor;

pub(super) use places::forwarded;
pub(super) use step_up::StepUps;

pub(super) fn translate(
    input: &Input<'_>,
    files: &mut Files,
    report: &mut Report,
) -> engine::AuthenticationPlan {
    let at = input.root().get("authentication");
    names(&input.bundle.authentication, at, report);
    places::check(input, report);
    let names: Vec<&str> = methods(&input.bundle.authentication).map(|(name, ..)| name).collect();
    let written = &input.bundle.authentication;
    let known: Vec<String> = methods(written).map(|(name, ..)| name.to_owned()).collect();
    let passwords = written.basic.iter().map(|basic| &basic.name);
    let everywhere = passwords.chain(written.api_keys.iter().map(|keys| &keys.name));
    let everywhere: Vec<String> = everywhere.map(|name| name.as_str().to_owned()).collect();
    totp::check_shared(&written.totp, at.get("totp"), report);
    let bundle = input.bundle.name.as_str();
    let basic = written.basic.iter().enumerate();
    let totp = written.totp.iter().enumerate();
    let mut feeds = remote::Feeds::default();
    engine::AuthenticationPlan {
        jwt: jwt::translate(input, files, &mut feeds, report),
        api_keys: api_keys::translate(input, files, report),
        signed_requests: signed_requests::translate(input, files, report),
        revoked: revocation::translate(input, &names, &mut feeds, files, report),
        certificates: certificates::translate(input, files, report),
        basic: basic
            .map(|(index, basic)| basic::translate(input, basic, at.get("basic").item(index), files, report))
            .collect(),
        totp: totp
            .map(|(index, totp)| {
                let at = at.get("totp").item(index);
                totp::translate(totp, bundle, (&known, &everywhere), at, files, report)
            })
            .collect(),
        feeds: feeds.into_plans(),
        ..engine::AuthenticationPlan::default()
    }
}

/// The methods of a bundle in the order in which they are asked where nothing else is written, each with its
/// name and where it stands: the field, and the index in it.
fn methods(written: &Authentication) -> impl Iterator<Item = (&str, MethodRef, (&'static str, usize))> {
    let of_tokens = written.jwt.iter().enumerate();
    let of_tokens = of_tokens.map(|(i, jwt)| (jwt.name.as_str(), MethodRef::Jwt(i), ("jwt", i)));
    let of_keys = written.api_keys.iter().enumerate();
    let of_keys = of_keys.map(|(i, keys)| (keys.name.as_str(), MethodRef::ApiKeys(i), ("api_keys", i)));
    let of_certificates = written.certificates.iter().enumerate();
    let of_certificates =
        of_certificates.map(|(i, way)| (way.name.as_str(), MethodRef::Certificates(i), ("certificates", i)));
    let of_signed = written.signed_requests.iter().enumerate();
    let of_signed = of_signed
        .map(|(i, signed)| (signed.name.as_str(), MethodRef::SignedRequests(i), ("signed_requests", i)));
    let basic = written.basic.iter().enumerate();
    let basic = basic.map(|(i, basic)| (basic.name.as_str(), MethodRef::Basic(i), ("basic", i)));
    of_tokens.chain(of_keys).chain(of_certificates).chain(of_signed).chain(basic)
}

/// Routes name methods without saying of which kind they are, and events do too.
fn names(written: &Authentication, at: Cursor<'_>, report: &mut Report) {
    // A second factor says nobody's name, but a table and a secret are sealed for a name.
    let factors = written.totp.iter().enumerate().map(|(i, totp)| (totp.name.as_str(), ("totp", i)));
    let all: Vec<_> = methods(written).map(|(name, _, place)| (name, place)).chain(factors).collect();
    for (index, (name, (field, place))) in all.iter().enumerate() {
        if *place == MAX_METHODS {
            report.error(
                "too-many-methods",
                at.get(field).item(*place).span(),
                format!("`{field}` has more than {MAX_METHODS} entries"),
                "split the bundle, or merge entries",
            );
        }
        let Some((_, (other, _))) = all.iter().take(index).find(|(known, ..)| known == name) else {
            continue;
        };
        let here = at.get(field).item(*place).get("name").span();
        if other == field && *field == "jwt" {
            let message = format!("there are two issuers named `{name}`");
            report.error("issuer-twice", here, message, "give each a name of its own");
        } else {
            let message = format!("there is a method named `{name}` under `{other}` already");
            report.error("method-twice", here, message, "give each a name of its own: routes name them");
        }
    }
}

/// The combinations that routes take, each once.
#[derive(Default)]
pub(super) struct Combinations {
    plans: Vec<CombinationPlan>,
}

impl Combinations {
    /// The combinations, for the plan.
    pub(super) fn into_plans(self) -> Vec<CombinationPlan> {
        self.plans
    }

    /// Reports what is wrong with what `defaults` says, once and not for every route that takes it over.
    pub(super) fn check_defaults(input: &Input<'_>, report: &mut Report) {
        let at = input.root().get("defaults").get("authentication");
        match &input.bundle.defaults.authentication {
            None => Self::check_without_defaults(input, report),
            Some(Accepted::Optional(_)) => report.error(
                "optional-default",
                at.key_of("optional"),
                "what routes take by default cannot be optional: it holds for routes that are for somebody",
                "write `any` here, and `authentication: {optional: [...]}` at the public routes that know their guests",
            ),
            Some(accepted) => {
                resolve(accepted, input, at, report);
            }
        }
    }

    /// Says that a further method opens routes that nobody wrote it at.
    fn check_without_defaults(input: &Input<'_>, report: &mut Report) {
        let names: Vec<&str> = methods(&input.bundle.authentication).map(|(name, ..)| name).collect();
        let takes_any = |route: &&Route| route.access != Access::Public && route.authentication.is_none();
        let routes = input.bundle.routes.iter().filter(takes_any).count();
        if names.len() < 2 || routes == 0 || !input.whole {
            return;
        }
        let of = match routes {
            1 => "one route does not say which methods it takes, and lets".to_owned(),
            _ => format!("{routes} routes do not say which methods they take, and let"),
        };
        report.warning(
            "any-method",
            input.root().key_of("authentication"),
            format!("{of} in whoever any of {} knows", suggest::list(&names)),
            "write `defaults: {authentication: {any: [...]}}`, so that a method that comes later opens no route by itself",
        );
    }

    /// The number of the combination of a route.
    pub(super) fn number(
        &mut self,
        route: &Route,
        input: &Input<'_>,
        at: Cursor<'_>,
        report: &mut Report,
    ) -> Option<usize> {
        let here = at.get("authentication");
        let public = route.access == Access::Public;
        let plan = match (&route.authentication, &input.bundle.defaults.authentication) {
            (Some(Accepted::Optional(_)), _) if !public => {
                report.error(
                    "optional-and-private",
                    here.key_of("optional"),
                    "the route is for somebody, so what says who cannot be optional",
                    "write `any`, or `access: public`",
                );
                return None;
            }
            (Some(accepted @ (Accepted::Any(_) | Accepted::All(_))), _) if public => {
                let word = accepted.parts().0;
                report.error(
                    "asked-and-public",
                    here.key_of(word),
                    format!("the route is public, so nobody has to show `{word}` of these"),
                    "write `optional`, or `access: authenticated`",
                );
                return None;
            }
            (Some(accepted), _) => resolve(accepted, input, here, report)?,
            (None, _) if public => return None,
            // What is wrong with it was said already.
            (None, Some(accepted)) => resolve(accepted, input, here, &mut Report::default())?,
            (None, None) => {
                let methods: Vec<_> = methods(&input.bundle.authentication).map(|(_, m, _)| m).collect();
                // That there is no method at all is said where usage is checked.
                if methods.is_empty() {
                    return None;
                }
                CombinationPlan { mode: CombinationMode::Any, methods }
            }
        };
        let lists = plan.methods.iter().filter(|method| matches!(method, MethodRef::Basic(_))).count();
        if lists > 1 {
            let span = if route.authentication.is_some() { here.span() } else { at.get("path").span() };
            report.error(
                "passwords-of-whom",
                span,
                "the route takes two lists of users with passwords, and a name and a password do not say of which they are",
                "name one of them under `authentication: {any: [...]}`, or merge the two",
            );
            return None;
        }
        if of_two_peers(&plan, &input.bundle.authentication) {
            let span = if route.authentication.is_some() { here.span() } else { at.get("path").span() };
            report.error(
                "certificates-of-two-peers",
                span,
                "the route takes certificates from the connection and from `x-forwarded-client-cert`, so a client that connects itself may write the header and choose who it is",
                "name entries of one source under `authentication: {any: [...]}`, and give the proxy and those who connect directly listeners of their own",
            );
            return None;
        }
        let known = self.plans.iter().position(|known| *known == plan);
        Some(known.unwrap_or_else(|| {
            self.plans.push(plan);
            self.plans.len() - 1
        }))
    }
}

/// Whether certificates are taken from the connection and from a header as well. Whose the header is, only the listener
/// says: where clients connect themselves they write it, where a proxy does its certificate is that of the connection.
fn of_two_peers(plan: &CombinationPlan, written: &Authentication) -> bool {
    let sources = plan.methods.iter().filter_map(|method| match method {
        MethodRef::Certificates(index) => written.certificates.get(*index).map(|way| way.from),
        _ => None,
    });
    let of_connection: Vec<bool> = sources.map(|from| from == CertificateSource::Connection).collect();
    of_connection.contains(&true) && of_connection.contains(&false)
}

/// The methods that are named.
fn resolve(
    accepted: &Accepted,
    input: &Input<'_>,
    at: Cursor<'_>,
    report: &mut Report,
) -> Option<CombinationPlan> {
    let (word, names) = accepted.parts();
    let known: Vec<_> = methods(&input.bundle.authentication).collect();
    let mut plan = CombinationPlan {
        mode: match accepted {
            Accepted::Any(_) => CombinationMode::Any,
            Accepted::All(_) => CombinationMode::All,
            Accepted::Optional(_) => CombinationMode::Optional,
        },
        methods: Vec::new(),
    };
    let mut good = true;
    for (index, name) in names.iter().enumerate() {
        let here = at.get(word).item(index).span();
        let Some((_, method, _)) = known.iter().find(|(known, ..)| *known == name.as_str()) else {
            good = false;
            if input.whole {
                let help = suggest::remedy(name.as_str(), known.iter().map(|(name, ..)| *name), "methods");
                report.error("unknown-method", here, format!("no method is named `{name}`"), help);
            }
            continue;
        };
        if plan.methods.contains(method) {
            report.error("listed-twice", here, "this method is listed twice", "remove one of them");
            good = false;
        }
        let same_kind = |other: &MethodRef| other.parts().0 == method.parts().0;
        if matches!(accepted, Accepted::All(_))
            && !plan.methods.contains(method)
            && plan.methods.iter().any(same_kind)
        {
            report.error(
                "all-of-one-kind",
                here,
                format!("`{name}` takes the same kind of credential as another one here, and a request with two of a kind is refused"),
                "name methods of different kinds, or write `any`",
            );
            good = false;
        }
        plan.methods.push(*method);
    }
    good.then_some(plan)
}
