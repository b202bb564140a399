//! Requests that are signed: in the simple form (`simple`), or by RFC 9421 (`message`).
//!
//! A signature is believed if the key that it names is known and counts now, it was made within the window, it covers
//! what the policy wants, it is that of the key over this very request, and it was not used before
//! (`replay`). What it says of the body is left to the validation room as a duty ([`BodyDigest`]): the
//! body comes later.
//!
//! What is cheap comes first, and only what is good is remembered: nobody without a key fills the table.

mod components;
mod digest;
mod keys;
mod message;
pub mod plan;
mod problem;
mod simple;
mod target;

use std::rc::Rc;

use serde_json::{Map, Value};
use superboring::reexports::hmac_sha256;

pub use digest::BodyDigest;
pub use keys::MAX_KEYS;

use self::keys::{ClientKey, Keys};
use self::plan::{FormPlan, HmacHeaders, SignatureAlgorithm, SignedRequestsPlan};
use self::problem::Problem;
use super::forward;
use super::identity::{Identity, Known};
use super::method::{Allowed, Answer, Attempt, Kind, Once};
use super::replay::{DEFAULT_ENTRIES, Replay, Used};
use super::sources::{TokenRemoval, is_lower_case_token};
use crate::host::{Host, Now};
use crate::intake::request::{Headers, Request};
use crate::pipeline::Room;
use crate::plan::PlanError;
use crate::refusal::Refusal;
use crate::structured::Dictionary;
use crate::trace::Trace;

/// A window beyond this is no window.
const MAX_WINDOW_S: u64 = 86_400;
/// Who dates requests ahead makes the table forget others' sooner, for as long.
const MAX_AHEAD_S: u64 = 600;

/// All methods of this kind.
#[derive(Debug, Default)]
pub(super) struct SignedRequests {
    methods: Vec<Method>,
    /// One table for all, in which keys own what they signed: what was signed once is used once, whichever method takes
    /// it and however it calls the client. Its size is no setting: another one would have forgotten what is in this.
    used: Option<Replay>,
}

/// One method, made ready.
#[derive(Debug)]
struct Method {
    name: String,
    at: String,
    form: Form,
    keys: Keys,
    window_s: u64,
    ahead_s: u64,
    forward_signature: bool,
    forward: Vec<(String, String)>,
    /// What a request without a signature is told to cover.
    offer: Option<String>,
}

#[derive(Debug)]
enum Form {
    Simple(HmacHeaders),
    Message(message::Rules),
}

/// Everything that a signature claims and its key has still to prove.
struct Claim {
    signature: Vec<u8>,
    algorithm: Option<SignatureAlgorithm>,
    made: u64,
    ends: Option<u64>,
    nonce: Option<String>,
    /// What is signed.
    base: Vec<u8>,
    /// What it says of the body. That it cannot be understood is said only to who has the key.
    digest: Result<Option<BodyDigest>, Problem>,
}

/// A signature that one method sees: what tells it from others, and the key it names.
struct Sighting {
    method: usize,
    label: String,
    key: String,
}

impl SignedRequests {
    /// Makes ready what a plan says; `bundle` is its name.
    pub(super) fn load(
        plans: &[SignedRequestsPlan],
        bundle: &str,
        seed: [u64; 2],
        secret: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, PlanError> {
        let mut methods = Vec::with_capacity(plans.len());
        for (index, plan) in plans.iter().enumerate() {
            let place = format!("authentication.signed_requests[{index}]");
            methods.push(Method::load(plan, bundle, &place, secret)?);
        }
        let table = || Replay::load("signed", DEFAULT_ENTRIES, seed);
        let used = if methods.is_empty() { None } else { Some(table()) };
        let used = used.transpose().map_err(|e| PlanError::new("authentication.signed_requests", e))?;
        Ok(Self { methods, used })
    }

    /// Finds out whose signature a request has.
    pub(super) fn identify(&mut self, allowed: Allowed, attempt: &mut Attempt<'_, '_>) -> Answer {
        let headers = attempt.request.headers();
        // Read once for all methods, as anybody may send much of it.
        let inputs = if self.messages().next().is_some() { message::inputs(headers) } else { Ok(Vec::new()) };
        let chosen = inputs.and_then(|inputs| Ok((self.choose(allowed, headers, &inputs)?, inputs)));
        let answer = match chosen {
            Ok((None, _)) => {
                attempt.trace.note(Room::Authentication, "", || "the request is not signed".into());
                return Ok(None);
            }
            Ok((Some(sighting), inputs)) => {
                self.believe(&sighting, &inputs, attempt).map_err(|problem| (Some(sighting.method), problem))
            }
            Err(problem) => Err((None, problem)),
        };
        match answer {
            Ok(identity) => {
                attempt.trace.note(Room::Authentication, self.at(identity.method), || {
                    format!("`{}` of {} has signed the request", identity.subject, identity.issuer_name)
                });
                Ok(Some(Rc::new(identity)))
            }
            Err((method, problem)) => {
                Err(refuse(&problem, method.map_or("", |method| self.at(method)), attempt.trace))
            }
        }
    }

    /// Uses up a signature that was believed.
    ///
    /// # Errors
    /// If it was used before.
    pub(super) fn settle(
        &mut self,
        used: &Once,
        host: &mut dyn Host,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        let problem = match self.used.as_mut().map_or(Used::Failed, |table| used.note(table, host)) {
            Used::First => return Ok(()),
            Used::Again => Problem::Replayed("the signature was used before"),
            Used::TooOld => Problem::Replayed("the signature is older than what is remembered"),
            Used::Failed => Problem::Unavailable,
        };
        Err(refuse(&problem, self.at(used.method), trace))
    }

    fn at(&self, method: usize) -> &str {
        self.methods.get(method).map_or("", |method| &method.at)
    }

    /// The methods that go by RFC 9421.
    fn messages(&self) -> impl Iterator<Item = &Method> {
        self.methods.iter().filter(|method| matches!(method.form, Form::Message(_)))
    }

    /// The one signature that counts, and the method that judges it: the one that knows the key.
    fn choose(
        &self,
        allowed: Allowed,
        headers: Headers<'_>,
        inputs: &Dictionary,
    ) -> Result<Option<Sighting>, Problem> {
        let mut chosen: Option<(Sighting, bool, bool)> = None;
        for (index, method) in self.methods.iter().enumerate() {
            let Some((label, key)) = method.form.sight(headers, inputs)? else { continue };
            if chosen.as_ref().is_some_and(|(other, ..)| other.label != label) {
                return Err(Problem::Ambiguous("more than one signature was sent"));
            }
            let (knows, takes) = (method.keys.get(&key).is_some(), allowed >> index & 1 == 1);
            if chosen.as_ref().is_none_or(|(_, known, taken)| (knows, takes) > (*known, *taken)) {
                chosen = Some((Sighting { method: index, label, key }, knows, takes));
            }
        }
        let known = |key| self.messages().any(|method| method.keys.get(key).is_some());
        match chosen {
            // It was sent to be judged, so it does not count as nothing.
            None if inputs.iter().filter_map(|(_, input)| message::key_of(input)).any(known) => Err(
                Problem::invalid("a known key has signed it, under another label or tag than the policy's"),
            ),
            None => Ok(None),
            Some((_, false, _)) => Err(Problem::invalid("nobody knows the key")),
            Some((_, true, false)) => Err(Problem::invalid("the key is not for this route")),
            Some((sighting, true, true)) => Ok(Some(sighting)),
        }
    }

    fn believe(
        &self,
        sighting: &Sighting,
        inputs: &Dictionary,
        attempt: &mut Attempt<'_, '_>,
    ) -> Result<Identity, Problem> {
        let unknown = || Problem::invalid("nobody knows the key");
        let method = self.methods.get(sighting.method).ok_or_else(unknown)?;
        let key = method.keys.get(&sighting.key).ok_or_else(unknown)?;
        let claim = match &method.form {
            Form::Simple(names) => simple::claim(names, attempt.request.headers())?,
            Form::Message(rules) => rules.claim(attempt.request.headers(), inputs, &sighting.label)?,
        };
        key.in_force(attempt.now)?;
        method.in_window(&claim, attempt.now)?;
        if claim.algorithm.is_some_and(|algorithm| algorithm != key.algorithm) {
            return Err(Problem::invalid("the key is for another algorithm than the signature says"));
        }
        if !key.key.verify(&claim.base, &claim.signature, attempt.host) {
            return Err(Problem::Forged);
        }
        let mut identity = method.identity(sighting.method, key)?;
        identity.body = claim.digest?.map(Box::new);
        // Not the signature is remembered but what is signed: with ECDSA there are two signatures for one, and anybody can
        // make the second of the first.
        let signed = ("signed", hmac_sha256::Hash::hash(&claim.base).to_vec());
        let nonce = claim.nonce.map(|nonce| ("nonce", nonce.into_bytes()));
        attempt.once.extend([Some(signed), nonce].into_iter().flatten().map(|(what, name)| Once {
            kind: Kind::SignedRequest,
            method: sighting.method,
            owner: key.material.0,
            what,
            name,
            made: Now::from_secs(claim.made),
        }));
        Ok(identity)
    }

    /// Whether upstream may see headers of signatures: only those that the method of this identity lets through.
    pub(super) fn remove(&self, request: &Request<'_>, known: Option<&Known>, edits: &mut Vec<TokenRemoval>) {
        let headers = request.headers();
        let shown =
            known.and_then(|known| known.of_kind(Kind::SignedRequest)).map(|identity| identity.method);
        let forwarded = |name: &str| {
            let forwards =
                |method: &Method| method.forward_signature && method.form.headers().any(|own| own == name);
            shown.and_then(|method| self.methods.get(method)).is_some_and(forwards)
        };
        // Where nobody judged it, upstream could take it for judged.
        for name in self.methods.iter().flat_map(|method| method.form.headers()) {
            let done =
                || edits.iter().any(|edit| matches!(edit, TokenRemoval::Header(other) if **other == *name));
            if headers.get(name).is_some() && !forwarded(name) && !done() {
                edits.push(TokenRemoval::Header(name.into()));
            }
        }
    }

    /// What a request without a signature is told: a challenge, and what to cover (RFC 9421, section 5.1).
    pub(super) fn offers(&self, allowed: Allowed) -> impl Iterator<Item = &str> {
        let methods = self.methods.iter().enumerate().filter(move |(index, _)| allowed >> index & 1 == 1);
        methods.filter_map(|(_, method)| method.offer.as_deref())
    }

    /// Names of the headers by which requests are signed, and of those that must be covered: no other spelling of them
    /// may reach upstream.
    pub(super) fn header_names(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().flat_map(|method| {
            let covered: &[String] = match &method.form {
                Form::Simple(_) => &[],
                Form::Message(rules) => &rules.cover,
            };
            let fields = covered.iter().map(String::as_str).filter(|name| !name.starts_with('@'));
            method.form.headers().chain(fields)
        })
    }
}

/// The challenge that every 401 has (RFC 9110, section 11.6.1).
pub(super) const CHALLENGE: &str = "Signature realm=\"api\"";

fn refuse(problem: &Problem, at: &str, trace: &mut Trace) -> Refusal {
    trace.note(Room::Authentication, at, || format!("the signature is refused: {problem}"));
    let refusal = Refusal::new(problem.reason(), problem.to_string());
    if refusal.reason.status() == 401 { refusal.with_header("www-authenticate", CHALLENGE) } else { refusal }
}

impl Form {
    /// What tells the request's signature from others, and the key that it names.
    fn sight(&self, headers: Headers<'_>, inputs: &Dictionary) -> Result<Option<(String, String)>, Problem> {
        match self {
            // No label begins with a colon.
            Self::Simple(names) => {
                Ok(simple::sight(names, headers)?.map(|key| (format!(":{}", names.signature), key)))
            }
            Self::Message(rules) => rules.sight(inputs),
        }
    }

    /// The headers that belong to the signature alone.
    fn headers(&self) -> impl Iterator<Item = &str> {
        let names: [&str; 4] = match self {
            Self::Simple(names) => [&names.key, &names.timestamp, &names.nonce, &names.signature],
            Self::Message(_) => ["signature-input", "signature", "", ""],
        };
        names.into_iter().filter(|name| !name.is_empty())
    }
}

impl Method {
    fn load(
        plan: &SignedRequestsPlan,
        bundle: &str,
        place: &str,
        secret: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, PlanError> {
        let wrong = |member: &str, problem: String| Err(PlanError::new(format!("{place}.{member}"), problem));
        if plan.window_s == 0 || plan.window_s > MAX_WINDOW_S {
            return wrong("window_s", format!("{} s; give 1 to {MAX_WINDOW_S}", plan.window_s));
        }
        if plan.ahead_s > plan.window_s.min(MAX_AHEAD_S) {
            let problem = format!("{} s is more than the window, or than {MAX_AHEAD_S} s", plan.ahead_s);
            return wrong("ahead_s", problem);
        }
        let (form, offer) = match &plan.form {
            FormPlan::Hmac { headers } => {
                let names =
                    [&headers.key, &headers.timestamp, &headers.nonce, &headers.digest, &headers.signature];
                for (index, name) in names.iter().enumerate() {
                    if !is_lower_case_token(name) || names.iter().take(index).any(|other| other == name) {
                        return wrong(
                            "form",
                            format!("`{name}` is no lower-case header name, or is there twice"),
                        );
                    }
                }
                if plan.keys.iter().any(|key| key.algorithm != SignatureAlgorithm::HmacSha256) {
                    return wrong("keys", "the simple form takes keys for hmac-sha256 only".into());
                }
                (Form::Simple(headers.clone()), None)
            }
            FormPlan::MessageSignatures { label, tag, cover, scheme, offer } => {
                let derived =
                    ["@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query"];
                for name in cover {
                    if !derived.contains(&name.as_str()) && !is_lower_case_token(name) {
                        return wrong("form", format!("`{name}` cannot be covered"));
                    }
                }
                let offer = offer.then(|| offered(label.as_deref(), tag.as_deref(), cover));
                let (label, tag, cover, scheme) = (label.clone(), tag.clone(), cover.clone(), scheme.clone());
                (Form::Message(message::Rules { label, tag, cover, scheme }), offer)
            }
        };
        for (index, (name, claim)) in plan.forward_claims.iter().enumerate() {
            let known = ["client", "key", "algorithm"].contains(&claim.as_str());
            if !known || !is_lower_case_token(name) || super::load::NEVER_FORWARDED.contains(&name.as_str()) {
                return wrong(
                    &format!("forward_claims[{index}]"),
                    format!("`{name}` cannot carry `{claim}`"),
                );
            }
        }
        Ok(Self {
            name: plan.name.clone(),
            at: plan.at.clone(),
            form,
            keys: Keys::load(&plan.keys, (bundle, &plan.name), &format!("{place}.keys"), secret)?,
            window_s: plan.window_s,
            ahead_s: plan.ahead_s,
            forward_signature: plan.forward_signature,
            forward: plan.forward_claims.clone(),
            offer,
        })
    }

    /// RFC 9421, section 3.2.1. A clock that is ahead makes signatures of the future.
    fn in_window(&self, claim: &Claim, now: Now) -> Result<(), Problem> {
        let now = now.secs();
        if claim.made > now.saturating_add(self.ahead_s) {
            Err(Problem::invalid("the signature was made in the future"))
        } else if claim.made.saturating_add(self.window_s) < now {
            Err(Problem::Expired("the signature was made too long ago"))
        } else if claim.ends.is_some_and(|ends| ends <= now) {
            Err(Problem::Expired("the signature has expired by its own word"))
        } else {
            Ok(())
        }
    }

    fn identity(&self, index: usize, key: &ClientKey) -> Result<Identity, Problem> {
        let mut identity = Identity::new(Kind::SignedRequest, index, &self.name, key.client.clone());
        let claims = [("client", &*key.client), ("key", &*key.id), ("algorithm", key.algorithm.name())];
        let claims = claims.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
        identity.claims = claims.collect::<Map<_, _>>();
        for (header, claim) in &self.forward {
            let value = identity.claims.get(claim).map(forward::header_value).transpose();
            if let Some(Some(value)) = value.map_err(Problem::invalid)? {
                identity.forwarded.push((header.clone(), value));
            }
        }
        identity.roles.clone_from(&key.roles);
        identity.permissions.clone_from(&key.permissions);
        Ok(identity)
    }
}

/// `Accept-Signature` for what the policy wants (RFC 9421, section 5.1).
fn offered(label: Option<&str>, tag: Option<&str>, cover: &[String]) -> String {
    let components: Vec<String> = cover.iter().map(|name| format!("\"{name}\"")).collect();
    let tag = tag.map(|tag| format!(";tag=\"{}\"", tag.escape_default())).unwrap_or_default();
    format!("{}=({});created;keyid{tag}", label.unwrap_or("sig1"), components.join(" "))
}

#[cfg(test)]
mod tests;
