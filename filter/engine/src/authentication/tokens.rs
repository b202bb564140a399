//! JSON Web Tokens, of all issuers that a policy trusts.
//!
//! It reads the one token of a request strictly ([`super::jws`]), chooses the issuer by the unverified `iss`
//! and from then on knows no other, chooses a key ([`super::keys`]), checks the signature
//! ([`super::signature`]) and then the claims (`claims`). A client learns whether it sent no token, a bad one,
//! an expired one or two of them, and nothing else; operators learn the cause from the refusal's detail.

use std::rc::Rc;

use super::binding::Binding;
use super::cache::TokenCache;
use super::claims::Rules;
use super::dates::{InForce, in_force};
use super::dpop::{self, ProofError};
use super::error::{TokenError, excerpt};
use super::identity::{Identity, Known};
use super::jws::Jws;
use super::keys::KeySet;
use super::method::{Allowed, Answer, Attempt, Kind, MAX_METHODS, Once};
use super::plan::{Algorithm, AuthenticationPlan, CertificateSource};
use super::remote::Keys;
use super::sources::{Ambiguous, Found, Places};
use super::{forward, load, signature};
use crate::host::{Host, Now};
use crate::pipeline::{Missing, Room, Surroundings};
use crate::plan::PlanError;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::trace::{Finding, Trace};

/// The issuers of a plan. It owns the cache of tokens, so a new plan starts without one.
#[derive(Debug)]
pub(super) struct Tokens {
    providers: Vec<Provider>,
    /// Every place where some issuer's tokens may be.
    places: Places,
    /// Places from which a token is removed where nobody verified it.
    unverified_removed: Places,
    cache: TokenCache,
    /// What the last token needed that was refused, if it can be fetched.
    missed: Option<Missing>,
}

/// One issuer, made ready.
#[derive(Debug)]
struct Provider {
    name: String,
    at: String,
    issuer: String,
    accepted: Vec<Algorithm>,
    keys: Keys,
    rules: Rules,
    places: Places,
    forward_token: bool,
    forward_payload: Option<String>,
    binding: Binding,
}

impl Tokens {
    /// Makes ready what a plan says; `bundle` is its name.
    ///
    /// # Errors
    /// When a part of the plan is malformed, a key set is unusable, or a secret is missing or too short.
    pub(super) fn load(
        plan: &AuthenticationPlan,
        places: &[Places],
        bundle: &str,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, PlanError> {
        let plans = &plan.jwt;
        if plans.len() > MAX_METHODS {
            let problem = format!("{} issuers; the most is {MAX_METHODS}", plans.len());
            return Err(PlanError::new("authentication.jwt", problem));
        }
        let mut providers: Vec<Provider> = Vec::new();
        for (index, (jwt, places)) in plans.iter().zip(places).enumerate() {
            let place = format!("authentication.jwt[{index}]");
            load::check(jwt, &place)?;
            if providers.iter().any(|other| other.issuer == jwt.issuer) {
                let problem = format!("`{}` is the issuer of another provider too; merge them", jwt.issuer);
                return Err(PlanError::new(format!("{place}.issuer"), problem));
            }
            providers.push(Provider {
                name: jwt.name.clone(),
                at: jwt.at.clone(),
                issuer: jwt.issuer.clone(),
                accepted: jwt.algorithms.clone(),
                keys: load::keys(plan, jwt, bundle, &place, surroundings.secret)?,
                rules: Rules::new(jwt),
                places: *places,
                forward_token: jwt.forward_token,
                forward_payload: jwt.forward_payload.clone(),
                binding: Binding::load(jwt, &place, surroundings)?,
            });
        }
        let unverified_removed =
            providers.iter().filter(|p| !p.forward_token).fold(0, |all, p| all | p.places);
        let places = providers.iter().fold(0, |all, p| all | p.places);
        Ok(Self { providers, places, unverified_removed, cache: TokenCache::default(), missed: None })
    }

    /// The places of tokens that upstream must not see: of a verified token, what its issuer's policy says; of one that
    /// nobody judged, all where somebody is known by other means, for upstream would take it for that somebody's; and
    /// where nobody is known every place from which some issuer's tokens are not forwarded.
    pub(super) fn hidden(&self, known: Option<&Known>) -> Places {
        let Some(known) = known else { return self.unverified_removed };
        match known.of_kind(Kind::Jwt).and_then(|identity| self.providers.get(identity.method)) {
            // There is exactly one token in the request, or there would be no identity.
            Some(provider) if provider.forward_token => 0,
            Some(provider) => provider.places,
            None => self.places,
        }
    }

    /// Whether upstream must not see the DPoP proof of a request: it goes where its token goes.
    pub(super) fn hides_proof(&self, known: Option<&Known>) -> bool {
        let identity = known.and_then(|known| known.of_kind(Kind::Jwt));
        match identity.and_then(|identity| self.providers.get(identity.method)) {
            Some(provider) if provider.forward_token && identity.is_some_and(Identity::shows_proof) => false,
            // Nobody judged it, and upstream could take it for judged.
            _ => self.takes_proofs(),
        }
    }

    /// Whether some issuer's tokens come with DPoP proofs.
    pub(super) fn takes_proofs(&self) -> bool {
        self.providers.iter().any(|p| p.binding.dpop.is_some())
    }

    /// Whether the certificates of some issuer's tokens are told by a header.
    pub(super) fn read_certificate_header(&self) -> bool {
        self.providers.iter().any(|p| p.binding.certificate != CertificateSource::Connection)
    }

    /// The challenges of a request without a token.
    pub(super) fn challenges(&self, allowed: Allowed) -> Vec<String> {
        let mut challenges = vec![challenge(Reason::TokenMissing)];
        let mut asked = self.providers.iter().enumerate().filter(|(index, _)| allowed >> index & 1 == 1);
        challenges.extend(asked.find_map(|(_, p)| p.binding.dpop.as_ref()).map(|dpop| dpop.challenge(None)));
        challenges
    }

    /// Who the token of a request says it is.
    pub(super) fn identify(&mut self, allowed: Allowed, attempt: &mut Attempt<'_, '_>) -> Answer {
        let Attempt { request, sources, now, host, trace, once } = attempt;
        // All places of all issuers, whatever the route takes: two tokens have two meanings anywhere.
        let found = match sources.find(self.places, request.headers(), request.query()) {
            Ok(Some(found)) => found,
            Ok(None) => {
                trace.note(Room::Authentication, "", || "no token was sent".into());
                return Ok(None);
            }
            Err(Ambiguous) => {
                trace.note(Room::Authentication, "", || "more than one token was sent".into());
                return Err(refuse(Reason::TokenAmbiguous, "more than one token was sent".into()));
            }
        };
        self.missed = None;
        let mut issuer = None;
        let by_dpop = sources.has_scheme(found.place, dpop::SCHEME);
        let believed = self.believe(&found, allowed, *now, *host, &mut issuer, trace);
        let held = believed.and_then(|identity| {
            let provider = self.providers.get(identity.method).ok_or(TokenError::IssuerMissing)?;
            let bound = identity.confirmation.as_deref().copied().unwrap_or_default();
            let proof = provider.binding.hold(&bound, found.token, by_dpop, request, *now, *host)?;
            once.extend(proof.map(|proof| Once { method: identity.method, ..proof }));
            Ok(identity)
        });
        match held {
            Ok(identity) => {
                trace.found(
                    Room::Authentication,
                    self.at(identity.method),
                    || Finding::Token { issuer: Some(identity.method), refused: None },
                    || format!("`{}` of {} is authenticated", identity.subject, identity.issuer_name),
                );
                Ok(Some(identity))
            }
            Err(error) => {
                self.missed = issuer.and_then(|issuer| self.missing(issuer, found.token, &error));
                Err(self.refuse(issuer, by_dpop, error, trace))
            }
        }
    }

    /// Uses up a proof that was believed.
    ///
    /// # Errors
    /// If it was used before.
    pub(super) fn settle(
        &mut self,
        proof: &Once,
        host: &mut dyn Host,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        let dpop = self.providers.get_mut(proof.method).and_then(|provider| provider.binding.dpop.as_mut());
        let settled = dpop.map_or(Err(ProofError::Failed), |dpop| dpop.settle(proof, host));
        settled.map_err(|error| self.refuse(Some(proof.method), true, TokenError::Proof(error), trace))
    }

    /// The refusal of a token, or of what came with it.
    fn refuse(&self, issuer: Option<usize>, by_dpop: bool, error: TokenError, trace: &mut Trace) -> Refusal {
        trace.found(
            Room::Authentication,
            issuer.map_or("", |issuer| self.at(issuer)),
            || Finding::Token { issuer, refused: Some(error.clone()) },
            || format!("the token is refused: {error}"),
        );
        let reason = match error {
            TokenError::Expired => Reason::TokenExpired,
            // Nothing was found out about the token: no challenge, or clients would throw away a good one.
            TokenError::KeysMissing { .. } => {
                return Refusal::new(Reason::KeysUnavailable, error.to_string());
            }
            TokenError::Proof(ProofError::Invalid(_)) => Reason::ProofInvalid,
            TokenError::Proof(ProofError::Replayed(_)) => Reason::ProofReplayed,
            TokenError::Proof(ProofError::Nonce(_)) => Reason::ProofNonce,
            TokenError::Proof(ProofError::Failed) => Reason::ReplaysUnavailable,
            _ => Reason::TokenInvalid,
        };
        let dpop = issuer.and_then(|issuer| self.providers.get(issuer)?.binding.dpop.as_ref());
        let Some(dpop) = dpop.filter(|_| by_dpop) else { return refuse(reason, error.to_string()) };
        let refusal = Refusal::new(reason, error.to_string());
        let refusal = refusal.with_header("www-authenticate", dpop.challenge(Some(reason)));
        match error {
            TokenError::Proof(ProofError::Nonce(nonce)) => refusal.with_header("dpop-nonce", nonce),
            _ => refusal,
        }
    }

    /// What an issuer's token was refused for, if it can be fetched.
    fn missing(&self, issuer: usize, token: &[u8], error: &TokenError) -> Option<Missing> {
        let keys = &self.providers.get(issuer)?.keys;
        let newer = keys.newer()?;
        let may_be = match error {
            TokenError::KeysMissing { .. } | TokenError::KeyUnknown { .. } => true,
            // Keys without names were tried, and the right one may be new: issuers that name no keys change them too. A
            // key that the token names and the set has is the one.
            TokenError::Signature => {
                let jws = Jws::parse(token).ok();
                jws.zip(keys.get()).is_some_and(|(jws, keys)| !keys.names(&jws.header))
            }
            _ => false,
        };
        may_be.then_some(newer)
    }

    /// Gives what the last token needed that was refused, once.
    pub(super) const fn missed(&mut self) -> Option<Missing> {
        self.missed.take()
    }

    /// Reads a key set for each issuer whose keys come by this feed.
    ///
    /// # Errors
    /// When it is malformed.
    pub(super) fn read(&self, feed: usize, content: &[u8]) -> Result<Vec<(usize, KeySet)>, String> {
        let readers = self.providers.iter().enumerate().filter(|(_, provider)| provider.keys.are_from(feed));
        readers
            .map(|(index, provider)| {
                let text = std::str::from_utf8(content).map_err(|_| "the key set is not UTF-8".to_owned())?;
                let keys = KeySet::read(text, &provider.accepted).map_err(|error| error.to_string())?;
                Ok((index, keys))
            })
            .collect()
    }

    /// Puts key sets in force. What was verified with the keys before is forgotten: a key that is gone is gone at once.
    /// `false` if there is nothing new in them.
    pub(super) fn replace(&mut self, feed: usize, sets: Vec<(usize, KeySet)>) -> bool {
        let mut changed = false;
        for (index, set) in sets {
            let Some(provider) = self.providers.get_mut(index) else { continue };
            // Some servers order their keys anew for each answer.
            if matches!(&provider.keys, Keys::Fetched(_, Some(known)) if known.is_same(&set)) {
                continue;
            }
            provider.keys = Keys::Fetched(feed, Some(set));
            self.cache.forget(|identity| identity.method == index);
            changed = true;
        }
        changed
    }

    fn believe(
        &mut self,
        found: &Found<'_>,
        allowed: Allowed,
        now: Now,
        host: &mut dyn Host,
        issuer: &mut Option<usize>,
        trace: &mut Trace,
    ) -> Result<Rc<Identity>, TokenError> {
        if let Some(identity) = self.cache.get(found.token) {
            *issuer = Some(identity.method);
            let provider = self.providers.get(identity.method).ok_or(TokenError::IssuerMissing)?;
            provider.takes(identity.method, found, allowed)?;
            let leeway = provider.rules.leeway_ns;
            match in_force(identity.expires_at, identity.not_before, leeway, now) {
                InForce::Yes => return Ok(Rc::clone(identity)),
                // It stays, or a client that does not notice would cost a verification each time.
                InForce::NoLonger => return Err(TokenError::Expired),
                // The clock went back: judge the token anew.
                InForce::NotYet => {}
            }
        }
        let identity = Rc::new(self.verify(found, allowed, now, host, issuer, trace)?);
        self.cache.insert(found.token, Rc::clone(&identity));
        Ok(identity)
    }

    /// Everything that makes a token believed, sizes and form before cryptography. `issuer` is filled in as soon
    /// as it is known, for the trace of a token that is refused.
    fn verify(
        &self,
        found: &Found<'_>,
        allowed: Allowed,
        now: Now,
        host: &mut dyn Host,
        issuer: &mut Option<usize>,
        trace: &mut Trace,
    ) -> Result<Identity, TokenError> {
        let jws = Jws::parse(found.token)?;
        let claims = jws.claims()?;
        let iss = claims.get("iss").and_then(|iss| iss.as_str()).ok_or(TokenError::IssuerMissing)?;
        let (index, provider) = self
            .providers
            .iter()
            .enumerate()
            .find(|(_, provider)| provider.issuer == iss)
            .ok_or_else(|| TokenError::IssuerUnknown { iss: excerpt(iss) })?;
        *issuer = Some(index);
        trace.note(Room::Authentication, &provider.at, || {
            format!(
                "the token names {} as its issuer and {} as its algorithm",
                provider.name,
                jws.header.algorithm.name()
            )
        });
        provider.takes(index, found, allowed)?;
        if !provider.accepted.contains(&jws.header.algorithm) {
            return Err(TokenError::AlgorithmNotAccepted { alg: jws.header.algorithm.name() });
        }
        let keys =
            provider.keys.get().ok_or_else(|| TokenError::KeysMissing { issuer: provider.name.clone() })?;
        signature::verify(&jws, keys, host)?;
        let mut identity =
            provider.rules.identity(jws.header.typ.as_deref(), claims, now, (index, &provider.name))?;
        if let Some(name) = &provider.forward_payload {
            // The reader of tokens has seen that it is base64url, which may stand in any header.
            let payload = found.token.split(|byte| *byte == b'.').nth(1).unwrap_or_default();
            if payload.len() > forward::MAX_VALUE_BYTES {
                let problem = "is too long to be forwarded in a header";
                return Err(TokenError::Claim { claim: "payload".into(), problem });
            }
            identity.forwarded.push((name.clone(), String::from_utf8_lossy(payload).into_owned()));
        }
        Ok(identity)
    }

    fn at(&self, issuer: usize) -> &str {
        self.providers.get(issuer).map_or("", |provider| &provider.at)
    }
}

impl Provider {
    /// Whether tokens of this issuer, the `index`-th, may come in on this route and at this place.
    fn takes(&self, index: usize, found: &Found<'_>, allowed: Allowed) -> Result<(), TokenError> {
        if allowed >> index & 1 == 0 {
            Err(TokenError::NotOnThisRoute)
        } else if self.places & found.place == 0 {
            Err(TokenError::WrongPlace)
        } else {
            Ok(())
        }
    }
}

/// The challenge of RFC 6750, section 3: no error code if nothing was sent. The realm says nothing about the policy.
pub(super) fn challenge(reason: Reason) -> String {
    let error = match reason {
        Reason::TokenAmbiguous => r#", error="invalid_request""#.to_owned(),
        Reason::TokenInvalid | Reason::TokenExpired | Reason::TokenRevoked => {
            format!(r#", error="invalid_token", error_description="{}""#, reason.title())
        }
        _ => String::new(),
    };
    format!(r#"Bearer realm="api"{error}"#)
}

fn refuse(reason: Reason, detail: String) -> Refusal {
    Refusal::new(reason, detail).with_header("www-authenticate", challenge(reason))
}
