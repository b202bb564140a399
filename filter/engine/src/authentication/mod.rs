//! The room that finds out who a request comes from.
//!
//! Input: a request that intake admitted, and the combination of methods that its route takes (`combination`).
//! A *method* is one entry of the policy; methods of one *kind* read the same credentials (`method`), and there is
//! a file or a folder for each kind, `tokens` for JSON Web Tokens. Whatever the method, what it finds out is an
//! [`Identity`], and nothing behind this room asks by which method it came.
//!
//! Guarantees to later rooms: an [`Identity`] exists only if everything that its method asks held at this
//! moment, whether the credential was verified now or is remembered. A credential that was sent and is not good
//! refuses the request, on routes too that would take it without any.

pub mod api_keys;
pub mod basic;
mod binding;
mod cache;
pub mod certificates;
mod claims;
mod combination;
mod dates;
pub mod dpop;
mod error;
mod forward;
mod identity;
mod jwk;
pub mod jws;
pub mod keys;
mod load;
mod method;
pub mod plan;
mod remote;
mod replay;
pub mod revocation;
mod roca;
mod rsa;
pub mod sealed;
pub mod signature;
pub mod signed;
mod sources;
pub mod step_up;
mod tokens;
pub mod totp;

pub use dates::NumericDate;
pub use error::TokenError;
pub use forward::header_value;
pub use identity::{Identity, Known, Strength};
pub use method::Kind;
pub(crate) use remote::fetchers;
pub use sources::TokenRemoval;

use self::api_keys::ApiKeys;
use self::basic::Passwords;
use self::certificates::Certificates;
use self::combination::Combination;
use self::method::{Allowed, Attempt};
use self::plan::{AuthenticationPlan, CombinationMode, TokenSource};
use self::revocation::{NotAdmitted, Revocation};
use self::signed::SignedRequests;
use self::sources::{Places, Sources};
use self::step_up::StepUps;
use self::tokens::Tokens;
use crate::host::{Host, Now};
use crate::intake::request::Request;
use crate::limits::AddressCharged;
use crate::pipeline::{Missing, Room, Surroundings};
use crate::plan::PlanError;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::trace::Trace;

/// Authenticates requests by one plan.
#[derive(Debug)]
pub struct Authenticator {
    combinations: Vec<Combination>,
    sources: Sources,
    tokens: Tokens,
    keys: ApiKeys,
    revocation: Option<Revocation>,
    passwords: Passwords,
    step_ups: StepUps,
    certificates: Certificates,
    signed: SignedRequests,
    identity_headers: Vec<String>,
}

impl Authenticator {
    /// Makes ready what a plan says; `bundle` is its name.
    ///
    /// # Errors
    /// When a part of the plan is malformed, a key set is unusable, or a secret is missing or too short.
    pub fn load(
        plan: &AuthenticationPlan,
        bundle: &str,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, PlanError> {
        let of_tokens =
            plan.jwt.iter().enumerate().map(|(i, jwt)| (format!("authentication.jwt[{i}].from"), &*jwt.from));
        let of_keys = plan.api_keys.iter().enumerate();
        let of_keys = of_keys.map(|(i, keys)| (format!("authentication.api_keys[{i}].from"), &*keys.from));
        let basic_from = basic::from();
        let of_passwords =
            plan.basic.iter().enumerate().map(|(i, _)| (format!("authentication.basic[{i}]"), &*basic_from));
        let lists: Vec<(String, &[TokenSource])> = of_tokens.chain(of_keys).chain(of_passwords).collect();
        let (sources, places) = Sources::new(&lists)?;
        let (of_tokens, rest) = places.split_at_checked(plan.jwt.len()).unwrap_or_default();
        let (of_keys, of_passwords) = rest.split_at_checked(plan.api_keys.len()).unwrap_or_default();
        let tokens = Tokens::load(plan, of_tokens, bundle, surroundings)?;
        let keys = ApiKeys::load(&plan.api_keys, of_keys, surroundings.secret)?;
        let certificates = Certificates::load(&plan.certificates, surroundings.peer_verified)?;
        let signed =
            SignedRequests::load(&plan.signed_requests, bundle, surroundings.seed, surroundings.secret)?;
        let together = |places: &[Places]| places.iter().fold(0, |all, own| all | own);
        let passwords = Passwords::load(&plan.basic, together(of_passwords), surroundings.seed)?;
        let realms: Vec<String> = plan.basic.iter().map(|basic| basic::challenge(&basic.realm)).collect();
        let (of_tokens, of_keys, of_passwords) =
            (together(of_tokens), together(of_keys), together(of_passwords));
        if of_tokens & of_keys != 0 || (of_tokens | of_keys) & of_passwords != 0 {
            // What lies there would be a credential of two kinds, and refused by one of them.
            let problem = "credentials of two kinds are taken from the same place; give each one of its own";
            return Err(PlanError::new("authentication", problem));
        }
        load::check_names(plan)?;
        let revocation = plan.revoked.as_ref().map(|revoked| Revocation::load(revoked, plan)).transpose()?;
        let step_ups = StepUps::load(plan, bundle, surroundings.secret, surroundings.seed)?;
        let count = |kind| match kind {
            Kind::Jwt => plan.jwt.len(),
            Kind::ApiKey => plan.api_keys.len(),
            Kind::Basic => plan.basic.len(),
            Kind::Certificate => plan.certificates.len(),
            Kind::SignedRequest => plan.signed_requests.len(),
        };
        let combinations = plan.combinations.iter().enumerate().map(|(index, combination)| {
            let place = format!("authentication.combinations[{index}]");
            Combination::load(combination, &place, count, |kind, allowed| match kind {
                Kind::Jwt => tokens.challenges(allowed),
                Kind::ApiKey => vec![api_keys::challenge()],
                Kind::Basic => realms.get(allowed.trailing_zeros() as usize).cloned().into_iter().collect(),
                Kind::Certificate => vec![certificates::challenge()],
                Kind::SignedRequest => vec![signed::CHALLENGE.to_owned()],
            })
        });
        let combinations = combinations.collect::<Result<_, _>>()?;
        let mut identity_headers: Vec<String> = Vec::new();
        let of_tokens = plan
            .jwt
            .iter()
            .flat_map(|jwt| jwt.forward_claims.iter().map(|(name, _)| name).chain(&jwt.forward_payload));
        let of_keys = plan.api_keys.iter().flat_map(|keys| keys.forward.iter().map(|(name, _)| name));
        let of_passwords =
            plan.basic.iter().flat_map(|basic| basic.forward_claims.iter().map(|(name, _)| name));
        let of_certificates =
            plan.certificates.iter().flat_map(|method| method.forward_claims.iter().map(|(name, _)| name));
        let of_signed = plan.signed_requests.iter().flat_map(|signed| &signed.forward_claims);
        let of_signed = of_signed.map(|(name, _)| name);
        let of_others = of_keys.chain(of_passwords).chain(of_certificates).chain(of_signed);
        for name in of_tokens.chain(of_others) {
            if !identity_headers.contains(name) {
                identity_headers.push(name.clone());
            }
        }
        load::check_code_headers(plan, &sources, &identity_headers)?;
        Ok(Self {
            combinations,
            sources,
            tokens,
            keys,
            signed,
            revocation,
            passwords,
            certificates,
            step_ups,
            identity_headers,
        })
    }

    /// The mode of a combination, if there is one of this number.
    #[must_use]
    pub fn mode(&self, combination: usize) -> Option<CombinationMode> {
        self.combinations.get(combination).map(|combination| combination.mode)
    }

    /// Finds out who a request comes from; `None` if its route takes nobody as well and nobody was named.
    ///
    /// # Errors
    /// A refusal with a reason of this room, and the challenges that belong to it (RFC 9110, section 11.6.1).
    pub fn authenticate(
        &mut self,
        combination: usize,
        request: &Request<'_>,
        _: &AddressCharged,
        now: Now,
        host: &mut dyn Host,
        trace: &mut Trace,
    ) -> Result<Option<Known>, Refusal> {
        let Some(combination) = self.combinations.get(combination) else {
            return Err(Refusal::new(Reason::CredentialsMissing, "the route's combination is not there"));
        };
        let passwords = &mut self.passwords;
        let (tokens, keys, revocation) = (&mut self.tokens, &mut self.keys, self.revocation.as_ref());
        let (certificates, signed) = (&mut self.certificates, &mut self.signed);
        let mut attempt = Attempt { request, sources: &self.sources, now, host, trace, once: Vec::new() };
        let ask = |kind: Kind, allowed: Allowed| {
            let answer = match kind {
                Kind::Jwt => tokens.identify(allowed, &mut attempt),
                Kind::ApiKey => keys.identify(allowed, &mut attempt),
                Kind::Basic => passwords.identify(allowed, &mut attempt),
                Kind::Certificate => certificates.identify(allowed, &mut attempt),
                Kind::SignedRequest => signed.identify(allowed, &mut attempt),
            }?;
            if let (Some(identity), Some(revocation)) = (&answer, revocation)
                && let Err(not) = revocation.admit(identity, now)
            {
                note_not_admitted(&not, revocation, &mut attempt);
                let revoked = not.reason == Reason::TokenRevoked;
                return Err(match kind {
                    // These can be guessed, and are refused as if the guess was wrong.
                    Kind::ApiKey if revoked => api_keys::refuse_revoked(&not.detail),
                    Kind::Basic if revoked => passwords.refuse_revoked(identity.method, &not.detail),
                    _ => not_admitted(kind, not),
                });
            }
            Ok(answer)
        };
        let known = combination.judge(ask).map_err(|refusal| combination.offer(refusal, signed))?;
        let Attempt { host, trace, once, .. } = attempt;
        for used in once {
            match used.kind {
                Kind::SignedRequest => self.signed.settle(&used, host, trace)?,
                _ => self.tokens.settle(&used, host, trace)?,
            }
        }
        Ok(known)
    }

    /// Whether an identity is strong and fresh enough for what a route asks.
    ///
    /// # Errors
    /// A refusal with a reason of this room, and the challenge that belongs to it.
    pub fn step_up(
        &self,
        step_up: usize,
        known: Option<&Known>,
        now: Now,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        self.step_ups.check(step_up, known, now, trace)
    }

    /// Whether the second factor is shown that a route asks for. What is shown is used up: nothing that is known of the
    /// head may refuse the request after it.
    ///
    /// # Errors
    /// A refusal with a reason of this room, and the challenge that belongs to it.
    pub fn second_factor(
        &mut self,
        step_up: usize,
        known: Option<&Known>,
        request: &Request<'_>,
        now: Now,
        host: &mut dyn Host,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        self.step_ups.show(step_up, known, request.headers(), now, host, trace)
    }

    /// The number of things that routes may ask beyond being known: routes point below it.
    #[must_use]
    pub fn step_ups(&self) -> usize {
        self.step_ups.len()
    }

    /// What the request that was refused last misses, if it is something that can be fetched.
    pub(crate) fn missed(&mut self) -> Option<Missing> {
        let of_tokens = self.tokens.missed();
        of_tokens.or_else(|| self.revocation.as_ref().and_then(Revocation::missed))
    }

    /// Lower-case names of the headers that tell upstream who it is. Whatever a client sent under them is
    /// to be removed from every request, public routes included.
    #[must_use]
    pub fn identity_headers(&self) -> &[String] {
        &self.identity_headers
    }

    /// Lower-case names of the headers in which credentials are looked for.
    pub fn credential_headers(&self) -> impl Iterator<Item = &str> {
        let proof = self.tokens.takes_proofs().then_some(dpop::HEADER);
        let certificate = self.reads_certificate_header().then_some(certificates::HEADER);
        let codes = self.step_ups.code_headers();
        let others = proof.into_iter().chain(certificate).chain(self.signed.header_names());
        self.sources.header_names().chain(codes).chain(others)
    }

    /// Whether any method believes what proxies tell of certificates.
    fn reads_certificate_header(&self) -> bool {
        self.certificates.read_header() || self.tokens.read_certificate_header()
    }

    /// Appends the edits that keep from upstream what is not for it: credentials that are not forwarded, and
    /// headers that some servers take for identity headers: to CGI and its heirs (RFC 3875, section 4.1.18)
    /// `x_auth_subject` and `x-auth-subject` are one name, so a client could speak in the proxy's voice.
    pub fn remove_credentials(
        &self,
        request: &Request<'_>,
        known: Option<&Known>,
        edits: &mut Vec<TokenRemoval>,
    ) {
        let headers = request.headers();
        // All at once: two edits of one `cookie` header would undo each other.
        let hidden = self.tokens.hidden(known) | self.keys.hidden(known) | self.passwords.hidden(known);
        self.sources.remove(hidden, headers, request.query(), edits);
        let codes = self.step_ups.code_headers().filter(|name| headers.get(name).is_some());
        edits.extend(codes.map(|name| TokenRemoval::Header(name.into())));
        if self.tokens.hides_proof(known) && headers.get(dpop::HEADER).is_some() {
            edits.push(TokenRemoval::Header(dpop::HEADER.into()));
        }
        // The proxy before this one wrote a part of it and the client perhaps the rest: upstream could not tell.
        if self.reads_certificate_header() && headers.get(certificates::HEADER).is_some() {
            edits.push(TokenRemoval::Header(certificates::HEADER.into()));
        }
        self.signed.remove(request, known, edits);
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
}

fn note_not_admitted(not: &NotAdmitted, by: &Revocation, attempt: &mut Attempt<'_, '_>) {
    attempt
        .trace
        .note(Room::Authentication, by.at(), || format!("the credential is refused: {}", not.detail));
}

/// The refusal of somebody whose credential is good and was revoked.
fn not_admitted(kind: Kind, not: NotAdmitted) -> Refusal {
    let NotAdmitted { reason, detail } = not;
    let refusal = Refusal::new(reason, detail);
    if reason.status() != 401 {
        // Nothing was found out: no challenge, or clients would throw away what is good.
        return refusal;
    }
    refusal.with_header("www-authenticate", challenge(kind, reason))
}

/// What a client that is refused for this reason is told of how to show a credential of this kind.
fn challenge(kind: Kind, reason: Reason) -> String {
    match kind {
        Kind::Jwt => tokens::challenge(reason),
        Kind::ApiKey => api_keys::challenge(),
        Kind::Basic => basic::challenge("api"),
        Kind::Certificate => certificates::challenge(),
        Kind::SignedRequest => signed::CHALLENGE.to_owned(),
    }
}

/// Whether a header's name is not an identity header's, but becomes it when `_` is read as `-`.
fn is_impostor(name: &[u8], own: &[u8]) -> bool {
    let dashed = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    name.len() == own.len() && name != own && name.iter().map(dashed).eq(own.iter().map(dashed))
}

#[cfg(test)]
mod names_tests;
#[cfg(test)]
mod once_tests;
#[cfg(test)]
pub(crate) mod tests;
