//! Which reasons a bundle can refuse for.

use bartizan_engine::authentication::Kind as Credential;
use bartizan_engine::authentication::plan::{CombinationMode, CombinationPlan, DpopPlan, MethodRef};
use bartizan_engine::authentication::step_up::plan::StepUpPlan;
use bartizan_engine::limits::plan::LimitKey;
use bartizan_engine::plan::{AccessPlan, Plan};
use bartizan_engine::reason::Reason;
use bartizan_engine::validation::plan::{BodyPlan, ReadPlan};

use super::Kind as Attack;
use super::points::looks_for;

/// Whether a request can be refused for this reason by this plan. What only a broken proxy brings about is not
/// the bundle's: no policy, no keys, no shared state, a connection without an address.
///
/// Without a wildcard, so that a new reason asks for an answer here.
#[must_use]
pub fn possible(plan: &Plan, reason: Reason) -> bool {
    let routes = &plan.routes;
    let limited = |by_address: bool| {
        let limits =
            routes.iter().flat_map(|route| &route.limits).filter_map(|limit| plan.limits.get(*limit));
        limits.into_iter().any(|limit| !by_address || limit.key == LimitKey::Address)
    };
    let body = |has: &dyn Fn(&BodyPlan) -> bool| {
        routes.iter().filter_map(|route| plan.validation.bodies.get(route.body)).any(has)
    };
    let reads =
        |how: &dyn Fn(&ReadPlan) -> bool| body(&|body| body.content.iter().any(|content| how(&content.read)));
    let inspects = |kind| {
        let inspections = routes.iter().filter_map(|route| plan.validation.inspections.get(route.inspection));
        inspections.into_iter().any(|inspection| looks_for(inspection, kind))
    };
    // How each route takes which kinds of credentials.
    let combinations = || {
        let numbers = routes.iter().filter_map(|route| route.authentication);
        numbers.filter_map(|number| plan.authentication.combinations.get(number))
    };
    let kinds = |combination: &CombinationPlan| {
        let mut kinds: Vec<Credential> = combination.methods.iter().map(|method| method.parts().0).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    let takes =
        |which: &dyn Fn(&[Credential]) -> bool| combinations().any(|combination| which(&kinds(combination)));
    let misses = |reason| {
        combinations().any(|combination| match (combination.mode, kinds(combination).as_slice()) {
            (CombinationMode::Optional, _) => false,
            (CombinationMode::All, kinds) => kinds.iter().any(|kind| kind.missing() == reason),
            (CombinationMode::Any, [kind]) => kind.missing() == reason,
            (CombinationMode::Any, _) => reason == Reason::CredentialsMissing,
        })
    };
    let steps = |which: &dyn Fn(&StepUpPlan) -> bool| {
        routes.iter().filter_map(|route| plan.authentication.step_up.get(route.step_up?)).any(which)
    };
    let networks = !plan.network.deny.is_empty() || !plan.network.allow.is_empty();
    let proofs = |has: &dyn Fn(&DpopPlan) -> bool| {
        let issuers =
            combinations().flat_map(|combination| &combination.methods).filter_map(|method| match method {
                MethodRef::Jwt(index) => plan.authentication.jwt.get(*index),
                MethodRef::ApiKeys(_)
                | MethodRef::Basic(_)
                | MethodRef::Certificates(_)
                | MethodRef::SignedRequests(_) => None,
            });
        issuers.into_iter().any(|issuer| issuer.binding.dpop.as_ref().is_some_and(has))
    };
    match reason {
Reason::NoPolicy | Reason::LimitsUnavailable | Reason::ReplaysUnavailable => false,
        // Whether fetched keys are there is nothing that a policy decides, but it decides that they are fetched.
        Reason::KeysUnavailable => !plan.authentication.feeds.is_empty(),
        Reason::PathMalformed
        | Reason::PathAmbiguous
        | Reason::UriTooLong
        | Reason::QueryMalformed
        | Reason::HeadersTooLarge
        | Reason::HeaderMalformed
        | Reason::HeaderDuplicate
        | Reason::HostMalformed
        | Reason::RouteUnknown
        // Some methods, such as CONNECT, no route can have.
        | Reason::MethodNotAllowed
        | Reason::BodyTooLarge => true,
        Reason::AddressDenied => networks,
        Reason::AddressUnknown => plan.network.trusted_hops > 0 && (networks || limited(true)),
        Reason::LimitExceeded => limited(false),
        Reason::TokenInvalid | Reason::TokenExpired | Reason::TokenAmbiguous => {
            takes(&|kinds| kinds.contains(&Credential::Jwt))
        }
        Reason::PasswordInvalid | Reason::Busy => takes(&|kinds| kinds.contains(&Credential::Basic)),
        Reason::StepUpRequired => {
            steps(&|step| !step.acr.is_empty() || !step.amr.is_empty() || step.max_age_s.is_some())
        }
        Reason::SecondFactorMissing | Reason::SecondFactorInvalid | Reason::SecondFactorExhausted => {
            steps(&|step| step.totp.is_some())
        }
        Reason::TokenRevoked => {
            // Keys and passwords that were revoked are as good as wrong ones.
            let who = &plan.authentication;
            let others = who.api_keys.len().saturating_add(who.basic.len());
            who.revoked.is_some() && who.names().count() > others
        }
        Reason::TokenMissing
        | Reason::CertificateMissing
        | Reason::SignatureMissing
        | Reason::CredentialsMissing => misses(reason),
        Reason::SignatureInvalid
        | Reason::SignatureExpired
        | Reason::SignatureReplayed
        | Reason::SignatureAmbiguous
        | Reason::DigestMismatch => takes(&|kinds| kinds.contains(&Credential::SignedRequest)),
        Reason::ApiKeyInvalid | Reason::ApiKeyAmbiguous => takes(&|kinds| kinds.contains(&Credential::ApiKey)),
        Reason::ApiKeyExpired => plan
            .authentication
            .api_keys
            .iter()
            .any(|keys| keys.keys.periods.iter().any(|period| period.expires.is_some())),
        Reason::CertificateDenied => takes(&|kinds| kinds.contains(&Credential::Certificate)),
        Reason::ProofInvalid | Reason::ProofReplayed => proofs(&|_| true),
        Reason::ProofNonce => proofs(&|dpop| dpop.nonce.is_some()),
        Reason::PermissionDenied => {
            routes.iter().any(|route| matches!(route.access, AccessPlan::Permitted { .. }))
        }
        Reason::BodyTypeUnsupported => body(&|body| !body.content.is_empty()),
        Reason::BodyMalformed | Reason::BodyLimits => reads(&|read| *read != ReadPlan::Opaque),
        Reason::BodySchema => reads(&|read| matches!(read, ReadPlan::Json { schema: Some(_), .. })),
        Reason::BodyMissing => body(&|body| body.required),
        Reason::AttackSqli => inspects(Attack::Sqli),
        Reason::AttackXss => inspects(Attack::Xss),
        Reason::AttackTraversal => inspects(Attack::Traversal),
    }
}
