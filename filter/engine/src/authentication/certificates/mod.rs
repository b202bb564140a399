//! Client certificates: TLS proved the key, a rule says whose it is.
//!
//! Where a certificate is told: by the connection, or by `x-forwarded-client-cert` of trusted proxies (`xfcc`). Of a
//! certificate on the connection Envoy says that it was *presented*, which proves that the client has its key, and
//! no more: whether anybody verified who issued it, is a matter of the listener, and nothing in a request tells. So
//! names in it count only where the deployment says that the listener verifies (`settings.peer_verified`). A pinned
//! fingerprint counts anywhere: it needs no issuer. The same holds for what this Envoy wrote into the header itself.
//!
//! The certificate itself is read once (`x509`); then its digest, which is one call into the proxy, brings back what was
//! found out. Its dates are judged on every request: a connection may outlive the certificate it was opened with.

mod accept;
mod digests;
mod known;
pub mod plan;
mod spiffe;
mod told;
mod x509;
mod xfcc;

use std::rc::Rc;

pub use accept::check_dns;
pub use digests::{
    Fingerprint, MAX_FINGERPRINTS, blob, read as read_fingerprint, shown as shown_fingerprint,
};
pub use spiffe::check_pattern as check_spiffe_pattern;
pub(super) use told::{XFCC as HEADER, fingerprint};

use self::accept::{Certificate, Rule};
use self::digests::Digests;
use self::known::KnownCertificates;
use self::plan::{CertificateSource, CertificatesPlan};
use self::told::{Told, Wrong};
use super::claims::ClaimPath;
use super::dates::{InForce, NumericDate, in_force};
use super::identity::Identity;
use super::method::{Allowed, Answer, Attempt, Kind, MAX_METHODS};
use super::{binding, forward, load};
use crate::host::{Host, Now};
use crate::pipeline::Room;
use crate::plan::PlanError;
use crate::reason::Reason;
use crate::refusal::Refusal;

/// The ways of a plan by which certificates are taken.
#[derive(Debug)]
pub(super) struct Certificates {
    methods: Vec<Method>,
    peer_verified: bool,
    known: KnownCertificates,
}

#[derive(Debug)]
struct Method {
    name: String,
    at: String,
    from: CertificateSource,
    rules: Vec<Rule>,
    revoked: Digests,
    forward: Vec<(String, ClaimPath)>,
}

/// More proxies in a row than this are a mistake.
const MAX_HOPS: u32 = 16;

/// The most rules of one way: each is looked at for every certificate that is new.
const MAX_RULES: usize = 1_000;

/// What a subject has at most, whatever it is made of.
const MAX_SUBJECT_BYTES: usize = 256;

/// What a client is told that shows no certificate. There is no scheme for what TLS does (RFC 9110, section 11.6.1, wants one).
pub(super) fn challenge() -> String {
    r#"Certificate realm="api""#.to_owned()
}

/// Checks where certificates are told.
pub(super) fn check_source(source: CertificateSource, place: &str) -> Result<(), PlanError> {
    match source {
        CertificateSource::Xfcc { trusted_hops } if trusted_hops == 0 || trusted_hops > MAX_HOPS => {
            let problem = format!("{trusted_hops} hops; give 1 to {MAX_HOPS}");
            Err(PlanError::new(format!("{place}.xfcc.trusted_hops"), problem))
        }
        _ => Ok(()),
    }
}

impl Certificates {
    /// Makes ready what a plan says. `peer_verified`: whether the listener verifies.
    pub(super) fn load(plans: &[CertificatesPlan], peer_verified: bool) -> Result<Self, PlanError> {
        if plans.len() > MAX_METHODS {
            let problem = format!("{} ways; the most is {MAX_METHODS}", plans.len());
            return Err(PlanError::new("authentication.certificates", problem));
        }
        let mut methods = Vec::new();
        for (index, plan) in plans.iter().enumerate() {
            let place = format!("authentication.certificates[{index}]");
            check_source(plan.from, &format!("{place}.from"))?;
            if plan.rules.is_empty() || plan.rules.len() > MAX_RULES {
                let problem = format!("{} rules; give 1 to {MAX_RULES}", plan.rules.len());
                return Err(PlanError::new(format!("{place}.rules"), problem));
            }
            let rules = plan.rules.iter().enumerate().map(|(number, rule)| {
                Rule::load(rule).map_err(|(member, problem)| {
                    PlanError::new(format!("{place}.rules[{number}].{member}"), problem)
                })
            });
            let revoked = Digests::load(&plan.revoked)
                .map_err(|problem| PlanError::new(format!("{place}.revoked"), problem))?;
            load::forwarded(&plan.forward_claims, &place)?;
            methods.push(Method {
                name: plan.name.clone(),
                at: plan.at.clone(),
                from: plan.from,
                rules: rules.collect::<Result<_, _>>()?,
                revoked,
                forward: (plan.forward_claims.iter())
                    .map(|(name, path)| (name.clone(), ClaimPath::new(path)))
                    .collect(),
            });
        }
        Ok(Self { methods, peer_verified, known: KnownCertificates::default() })
    }

    /// Whether some way reads the header of proxies. What a client put there, upstream must not take for ours.
    pub(super) fn read_header(&self) -> bool {
        self.methods.iter().any(|method| method.from != CertificateSource::Connection)
    }

    /// Whose certificate a request comes with.
    pub(super) fn identify(&mut self, allowed: Allowed, attempt: &mut Attempt<'_, '_>) -> Answer {
        let Attempt { request, now, host, trace, .. } = attempt;
        let (mut told, mut unverified) = (false, false);
        for (index, method) in self.methods.iter().enumerate().filter(|(i, _)| allowed >> i & 1 == 1) {
            let found = match told::find(method.from, request.headers(), *host) {
                Ok(None) => continue,
                Ok(Some(found)) => found,
                Err(why) => {
                    trace.note(Room::Authentication, &method.at, || {
                        format!("the certificate is refused: {why}")
                    });
                    return Err(denied(why));
                }
            };
            told = true;
            let verified = self.peer_verified;
            unverified |= !verified && matches!(found, Told::Connection(_));
            match method.believe(index, &found, verified, &mut self.known, *now, *host) {
                Ok(Some(identity)) => {
                    trace.note(Room::Authentication, &method.at, || {
                        format!("`{}` of {} is authenticated", identity.subject, identity.issuer_name)
                    });
                    return Ok(Some(identity));
                }
                Ok(None) => {
                    trace.note(Room::Authentication, &method.at, || "no rule accepts the certificate".into());
                }
                // Revoked, expired or malformed: no other way makes it good.
                Err(why) => {
                    trace.note(Room::Authentication, &method.at, || {
                        format!("the certificate is refused: {why}")
                    });
                    return Err(denied(why));
                }
            }
        }
        match (told, unverified) {
            (false, _) => {
                trace.note(Room::Authentication, "", || "no client certificate was presented".into());
                Ok(None)
            }
            (true, true) => Err(denied(
                "no fingerprint is that of the certificate, and names count only with `settings.peer_verified`",
            )),
            (true, false) => Err(denied("no rule accepts the certificate")),
        }
    }
}

fn denied(why: &str) -> Refusal {
    Refusal::new(Reason::CertificateDenied, why).with_header("www-authenticate", challenge())
}

impl Method {
    /// Whose certificate it is; nobody's, if no rule accepts it.
    fn believe(
        &self,
        index: usize,
        told: &Told<'_>,
        verified: bool,
        known: &mut KnownCertificates,
        now: Now,
        host: &mut dyn Host,
    ) -> Result<Option<Rc<Identity>>, Wrong> {
        let identity = match known.get(told.key(), index) {
            Some(identity) => identity,
            None => {
                let identity = self.judge(index, told, verified, host)?.map(Rc::new);
                known.insert(told.key(), index, identity.clone());
                identity
            }
        };
        let Some(identity) = identity else { return Ok(None) };
        match in_force(identity.expires_at, identity.not_before, 0, now) {
            InForce::Yes => Ok(Some(identity)),
            InForce::NoLonger => Err("the certificate has expired"),
            InForce::NotYet => Err("the certificate is not in force yet"),
        }
    }

    fn judge(
        &self,
        index: usize,
        told: &Told<'_>,
        verified: bool,
        host: &mut dyn Host,
    ) -> Result<Option<Identity>, Wrong> {
        let (certificate, leaf) = told.certificate(verified, host)?;
        if self.revoked.find(&certificate.fingerprint).is_some() {
            return Err("the certificate is revoked");
        }
        if leaf.as_ref().is_some_and(|leaf| leaf.authority) {
            return Err("the certificate is that of an authority, which is nobody's own");
        }
        let mut identity: Option<Identity> = None;
        for rule in &self.rules {
            let Some(subject) = rule.subject(&certificate) else { continue };
            let identity =
                identity.get_or_insert_with(|| Identity::new(Kind::Certificate, index, &self.name, subject));
            let add = |list: &mut Vec<String>, more: &[String]| {
                let new: Vec<_> = more.iter().filter(|word| !list.contains(word)).cloned().collect();
                list.extend(new);
            };
            add(&mut identity.roles, &rule.roles);
            add(&mut identity.permissions, &rule.permissions);
        }
        let Some(mut identity) = identity else { return Ok(None) };
        // A subject becomes a key of limits and a field of events.
        let subject = &identity.subject;
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES || subject.chars().any(char::is_control) {
            return Err(
                "the name in the certificate is no subject: more than 256 bytes, or control characters",
            );
        }
        if let Some(leaf) = leaf {
            let date = |seconds: u64| NumericDate::read(&seconds.into()).ok();
            // One that no clock reaches is not in force, whatever the year.
            identity.not_before = Some(NumericDate::from_secs(leaf.not_before));
            // RFC 5280, section 4.1.2.5: the last second counts. A date that no clock reaches is none.
            identity.expires_at = date(leaf.not_after.saturating_add(1));
        }
        identity.claims = claims(&certificate, &identity);
        for (name, path) in &self.forward {
            if let Some(claim) = path.find(&identity.claims)
                && let Some(value) =
                    forward::header_value(claim).map_err(|_| "a name in it is too long to be forwarded")?
            {
                identity.forwarded.push((name.clone(), value));
            }
        }
        Ok(Some(identity))
    }
}

/// What is said of a certificate where claims are asked for: `client`, `fingerprint`, `x5t#S256`, `subject`, `uri`, `dns`,
/// `spiffe` and `trust_domain`, `not_after`.
fn claims(certificate: &Certificate, identity: &Identity) -> serde_json::Map<String, serde_json::Value> {
    let mut claims = serde_json::Map::new();
    let mut say = |name: &str, value: serde_json::Value| claims.insert(name.to_owned(), value);
    say("client", identity.subject.clone().into());
    say("fingerprint", digests::shown(&certificate.fingerprint).into());
    say("x5t#S256", binding::written(&certificate.fingerprint).into());
    say("subject", certificate.subject.clone().into());
    say("uri", certificate.uris.clone().into());
    say("dns", certificate.dns.clone().into());
    if let Some((id, (trust_domain, _))) = certificate.spiffe_id() {
        say("spiffe", id.into());
        say("trust_domain", trust_domain.into());
    }
    if let Some(end) = identity.expires_at {
        say("not_after", (end.nanos() / 1_000_000_000).saturating_sub(1).into());
    }
    claims
}

#[cfg(test)]
mod tests;
