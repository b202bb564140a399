//! The room that finds out who a request comes from, by a JSON Web Token.
//!
//! Input: a request that intake admitted. It looks for a token at every place that the policy names
//! (`sources`), reads it strictly ([`jws`]), chooses the issuer by the unverified `iss` and from then on
//! knows no other, chooses a key ([`keys`]), checks the signature ([`signature`]) and then the claims
//! (`claims`).
//!
//! Guarantees to later rooms: an [`Identity`] exists only if all of that held at this moment, whether the
//! token was verified now or found in the `cache`. A client learns whether it sent no token, a bad one,
//! an expired one or two of them, and nothing else; operators learn the cause from the refusal's detail.

mod cache;
mod claims;
mod dates;
mod error;
mod forward;
mod identity;
mod jwk;
pub mod jws;
pub mod keys;
mod load;
pub mod plan;
#[allow(dead_code, reason = "for methods that accept a thing once")]
mod replay;
mod roca;
pub mod sealed;
pub mod signature;
mod sources;

use std::rc::Rc;

pub use dates::NumericDate;
pub use error::TokenError;
pub use forward::header_value;
pub use identity::Identity;
pub use sources::TokenRemoval;

use self::cache::TokenCache;
use self::claims::Rules;
use self::dates::{InForce, in_force};
use self::jws::Jws;
use self::keys::KeySet;
use self::plan::{Algorithm, AuthenticationPlan};
use self::sources::{Ambiguous, Found, Places, Sources};
use crate::host::{Host, Now};
use crate::intake::request::{Headers, Request};
use crate::limits::AddressCharged;
use crate::pipeline::Room;
use crate::plan::PlanError;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::trace::{Finding, Trace};

/// Authenticates requests by one plan. It owns the cache of tokens, so a new plan starts without one.
#[derive(Debug)]
pub struct Authenticator {
    providers: Vec<Provider>,
    sources: Sources,
    /// Places from which a token is removed where nobody verified it.
    unverified_removed: Places,
    identity_headers: Vec<String>,
    cache: TokenCache,
}

/// One issuer, made ready.
#[derive(Debug)]
struct Provider {
    name: String,
    at: String,
    issuer: String,
    accepted: Vec<Algorithm>,
    keys: KeySet,
    rules: Rules,
    places: Places,
    forward_token: bool,
}

impl Authenticator {
    /// Makes ready what a plan says; `bundle` is its name. `secret` gives the value of an environment variable of the VM.
    ///
    /// # Errors
    /// When a part of the plan is malformed, a key set is unusable, or a secret is missing or too short.
    pub fn load(
        plan: &AuthenticationPlan,
        bundle: &str,
        secret: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, PlanError> {
        let (sources, places) = Sources::new(&plan.jwt)?;
        let mut providers: Vec<Provider> = Vec::new();
        let mut identity_headers: Vec<String> = Vec::new();
        for (index, (jwt, places)) in plan.jwt.iter().zip(places).enumerate() {
            let place = format!("authentication.jwt[{index}]");
            load::check(jwt, &place)?;
            if providers.iter().any(|other| other.issuer == jwt.issuer) {
                let problem = format!("`{}` is the issuer of another provider too; merge them", jwt.issuer);
                return Err(PlanError::new(format!("{place}.issuer"), problem));
            }
            for (name, _) in &jwt.forward_claims {
                if !identity_headers.contains(name) {
                    identity_headers.push(name.clone());
                }
            }
            providers.push(Provider {
                name: jwt.name.clone(),
                at: jwt.at.clone(),
                issuer: jwt.issuer.clone(),
                accepted: jwt.algorithms.clone(),
                keys: load::keys(jwt, bundle, &place, secret)?,
                rules: Rules::new(jwt),
                places,
                forward_token: jwt.forward_token,
            });
        }
        let hiding = providers.iter().filter(|p| !p.forward_token).fold(0, |all, p| all | p.places);
        let cache = TokenCache::default();
        Ok(Self { providers, sources, unverified_removed: hiding, identity_headers, cache })
    }

    /// Finds out who a request comes from.
    ///
    /// # Errors
    /// A refusal with [`Reason::TokenMissing`], [`Reason::TokenInvalid`], [`Reason::TokenExpired`] or
    /// [`Reason::TokenAmbiguous`], and the challenge of RFC 6750, section 3.
    pub fn authenticate(
        &mut self,
        request: &Request<'_>,
        _: &AddressCharged,
        now: Now,
        host: &mut dyn Host,
        trace: &mut Trace,
    ) -> Result<Rc<Identity>, Refusal> {
        self.judge(request.headers(), request.query(), now, host, trace)
    }

    /// Lower-case names of the headers that tell upstream who it is. Whatever a client sent under them is
    /// to be removed from every request, public routes included.
    #[must_use]
    pub fn identity_headers(&self) -> &[String] {
        &self.identity_headers
    }

    /// Appends the edits that keep from upstream what is not for it. Tokens: with an identity, what its
    /// issuer's policy says; without one, every place from which some issuer's tokens are not forwarded. And
    /// headers that some servers take for identity headers: to CGI and its heirs (RFC 3875, section 4.1.18)
    /// `x_auth_subject` and `x-auth-subject` are one name, so a client could speak in the proxy's voice.
    pub fn remove_tokens(
        &self,
        request: &Request<'_>,
        identity: Option<&Identity>,
        edits: &mut Vec<TokenRemoval>,
    ) {
        let headers = request.headers();
        let places = match identity.and_then(|identity| self.providers.get(identity.issuer)) {
            // There is exactly one token in the request, or there would be no identity.
            Some(provider) if provider.forward_token => 0,
            Some(provider) => provider.places,
            None => self.unverified_removed,
        };
        self.sources.remove(places, headers, request.query(), edits);
        if self.identity_headers.is_empty() {
            return;
        }
        for (name, _) in headers.iter() {
            if self.identity_headers.iter().any(|own| is_impostor(name, own.as_bytes()))
                && let Ok(name) = std::str::from_utf8(name)
            {
                edits.push(TokenRemoval::Header(name.into()));
            }
        }
    }

    fn judge(
        &mut self,
        headers: Headers<'_>,
        query: Option<&str>,
        now: Now,
        host: &mut dyn Host,
        trace: &mut Trace,
    ) -> Result<Rc<Identity>, Refusal> {
        let found = match self.sources.find(headers, query) {
            Ok(Some(found)) => found,
            Ok(None) => {
                trace.note(Room::Authentication, "", || "no token was sent".into());
                return Err(challenge(Reason::TokenMissing, "no token was sent".into()));
            }
            Err(Ambiguous) => {
                trace.note(Room::Authentication, "", || "more than one token was sent".into());
                return Err(challenge(Reason::TokenAmbiguous, "more than one token was sent".into()));
            }
        };
        let mut issuer = None;
        match self.identify(&found, now, host, &mut issuer, trace) {
            Ok(identity) => {
                trace.found(
                    Room::Authentication,
                    self.at(identity.issuer),
                    || Finding::Token { issuer: Some(identity.issuer), refused: None },
                    || format!("`{}` of {} is authenticated", identity.subject, identity.issuer_name),
                );
                Ok(identity)
            }
            Err(error) => {
                trace.found(
                    Room::Authentication,
                    issuer.map_or("", |issuer| self.at(issuer)),
                    || Finding::Token { issuer, refused: Some(error.clone()) },
                    || format!("the token is refused: {error}"),
                );
                let reason = match error {
                    TokenError::Expired => Reason::TokenExpired,
                    _ => Reason::TokenInvalid,
                };
                Err(challenge(reason, error.to_string()))
            }
        }
    }

    fn identify(
        &mut self,
        found: &Found<'_>,
        now: Now,
        host: &mut dyn Host,
        issuer: &mut Option<usize>,
        trace: &mut Trace,
    ) -> Result<Rc<Identity>, TokenError> {
        if let Some(identity) = self.cache.get(found.token) {
            *issuer = Some(identity.issuer);
            let provider = self.providers.get(identity.issuer).ok_or(TokenError::IssuerMissing)?;
            if provider.places & found.place == 0 {
                return Err(TokenError::WrongPlace);
            }
            let leeway = provider.rules.leeway_ns;
            match in_force(identity.expires_at, identity.not_before, leeway, now) {
                InForce::Yes => return Ok(Rc::clone(identity)),
                // It stays, or a client that does not notice would cost a verification each time.
                InForce::NoLonger => return Err(TokenError::Expired),
                // The clock went back: judge the token anew.
                InForce::NotYet => {}
            }
        }
        let identity = Rc::new(self.verify(found, now, host, issuer, trace)?);
        self.cache.insert(found.token, Rc::clone(&identity));
        Ok(identity)
    }

    /// Everything that makes a token believed, sizes and form before cryptography. `issuer` is filled in as soon
    /// as it is known, for the trace of a token that is refused.
    fn verify(
        &self,
        found: &Found<'_>,
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
            .ok_or_else(|| TokenError::IssuerUnknown { iss: error::excerpt(iss) })?;
        *issuer = Some(index);
        trace.note(Room::Authentication, &provider.at, || {
            format!(
                "the token names {} as its issuer and {} as its algorithm",
                provider.name,
                jws.header.algorithm.name()
            )
        });
        if provider.places & found.place == 0 {
            return Err(TokenError::WrongPlace);
        }
        if !provider.accepted.contains(&jws.header.algorithm) {
            return Err(TokenError::AlgorithmNotAccepted { alg: jws.header.algorithm.name() });
        }
        signature::verify(&jws, &provider.keys, host)?;
        provider.rules.identity(jws.header.typ.as_deref(), claims, now, (index, &provider.name))
    }

    fn at(&self, issuer: usize) -> &str {
        self.providers.get(issuer).map_or("", |provider| &provider.at)
    }
}

/// Whether a header's name is not an identity header's, but becomes it when `_` is read as `-`.
fn is_impostor(name: &[u8], own: &[u8]) -> bool {
    let dashed = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    name.len() == own.len() && name != own && name.iter().map(dashed).eq(own.iter().map(dashed))
}

/// RFC 6750, section 3: no error code if nothing was sent. The realm says nothing about the policy.
fn challenge(reason: Reason, detail: String) -> Refusal {
    let error = match reason {
        Reason::TokenMissing => String::new(),
        Reason::TokenAmbiguous => r#", error="invalid_request""#.to_owned(),
        _ => format!(r#", error="invalid_token", error_description="{}""#, reason.title()),
    };
    Refusal::new(reason, detail).with_header("www-authenticate", format!(r#"Bearer realm="api"{error}"#))
}

#[cfg(test)]
mod tests;
