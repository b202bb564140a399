//! API keys: a text that a client sends with every request, of which the policy has only a digest.
//!
//! A key of 256 random bits needs no slow hash: nobody tries out keys. So a key is hashed once, with SHA-256 or, with a
//! pepper, HMAC-SHA-256 (`digest`), and looked up among the digests (`table`). Whether it is good at this moment is judged
//! at each request. What is made of an entry, an [`Identity`] with its grants, is kept for the entries that were used
//! last; there are `REMEMBERED` places, each entry has one of them, and who comes later takes it.
//!
//! A client learns that it sent no key, one that is not good, one that has expired, or two of them. Whose key it was, and
//! that it was revoked, only operators learn.

mod digest;
pub mod plan;
mod table;

use std::fmt;
use std::rc::Rc;

use serde_json::Value;

pub use self::table::MAX_KEYS;

use self::digest::Digester;
use self::plan::ApiKeysPlan;
use self::table::{Row, Table};
use super::claims::ClaimPath;
use super::dates::{InForce, NumericDate, in_force};
use super::forward;
use super::identity::{Identity, Known};
use super::load;
use super::method::{Allowed, Answer, Attempt, Kind, MAX_METHODS};
use super::sources::{Ambiguous, Found, Places};
use crate::host::Now;
use crate::pipeline::Room;
use crate::plan::PlanError;
use crate::reason::Reason;
use crate::refusal::Refusal;

/// How many identities are kept.
const REMEMBERED: usize = 2048;

/// The longest key, in bytes: longer ones are not hashed.
pub const MAX_KEY_BYTES: usize = 1024;

/// The tables of keys of a plan.
#[derive(Debug)]
pub(super) struct ApiKeys {
    methods: Vec<Method>,
    /// Every place where some table's keys may be.
    places: Places,
    /// Places from which a key is removed where nobody looked it up.
    unverified_removed: Places,
    remembered: Vec<Option<Remembered>>,
}

#[derive(Debug)]
struct Remembered {
    method: usize,
    row: usize,
    identity: Rc<Identity>,
}

/// One table, made ready.
#[derive(Debug)]
struct Method {
    name: String,
    at: String,
    digester: Digester,
    table: Table,
    places: Places,
    forward_key: bool,
    forward: Vec<(String, ClaimPath)>,
}

/// Why a key is not good. Operators read it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem<'p> {
    TooLong {
        bytes: usize,
    },
    Unknown,
    WrongPlace,
    NotOnThisRoute,
    NotYet {
        client: &'p str,
    },
    Expired {
        client: &'p str,
    },
    Revoked {
        client: &'p str,
    },
    /// An attribute cannot be written into a header.
    Attribute {
        client: &'p str,
        problem: &'static str,
    },
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => write!(f, "the key has {bytes} bytes, the most is {MAX_KEY_BYTES}"),
            Self::Unknown => f.write_str("nobody has this key"),
            Self::WrongPlace => f.write_str("keys of this table are not taken from where it was"),
            Self::NotOnThisRoute => f.write_str("the route does not take keys of this table"),
            Self::NotYet { client } => write!(f, "the key of `{client}` is not good yet"),
            Self::Expired { client } => write!(f, "the key of `{client}` has expired"),
            Self::Revoked { client } => write!(f, "the key of `{client}` is revoked"),
            Self::Attribute { client, problem } => write!(f, "an attribute of `{client}` {problem}"),
        }
    }
}

impl ApiKeys {
    /// Makes ready what a plan says. `secret` gives the value of an environment variable of the VM.
    ///
    /// # Errors
    /// When a column does not fit, or a pepper is missing or too short.
    pub(super) fn load(
        plans: &[ApiKeysPlan],
        places: &[Places],
        secret: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, PlanError> {
        if plans.len() > MAX_METHODS {
            let problem = format!("{} tables of keys; the most is {MAX_METHODS}", plans.len());
            return Err(PlanError::new("authentication.api_keys", problem));
        }
        let mut methods = Vec::with_capacity(plans.len());
        for (index, (plan, places)) in plans.iter().zip(places).enumerate() {
            let place = format!("authentication.api_keys[{index}]");
            let headers = plan.forward.iter().enumerate();
            let headers = headers.map(|(index, (name, _))| (format!("forward[{index}]"), name));
            load::check_headers(&headers.collect::<Vec<_>>(), &place)?;
            check_forwarded(plan, &place)?;
            let method = Method {
                name: plan.name.clone(),
                at: plan.at.clone(),
                digester: Digester::load(plan.pepper.as_deref(), &place, secret)?,
                table: Table::load(&plan.keys, &format!("{place}.keys"))?,
                places: *places,
                forward_key: plan.forward_key,
                forward: plan
                    .forward
                    .iter()
                    .map(|(name, path)| (name.clone(), ClaimPath::new(path)))
                    .collect(),
            };
            methods.push(method);
        }
        Ok(Self {
            places: methods.iter().fold(0, |all, method| all | method.places),
            unverified_removed: methods.iter().filter(|m| !m.forward_key).fold(0, |all, m| all | m.places),
            methods,
            remembered: Vec::new(),
        })
    }

    /// Finds out whose key a request has.
    pub(super) fn identify(&mut self, allowed: Allowed, attempt: &mut Attempt<'_, '_>) -> Answer {
        let request = attempt.request;
        // All places of all tables, whatever the route takes: two keys have two meanings anywhere.
        let found = match attempt.sources.find(self.places, request.headers(), request.query()) {
            Ok(Some(found)) => found,
            Ok(None) => {
                attempt.trace.note(Room::Authentication, "", || "no API key was sent".into());
                return Ok(None);
            }
            Err(Ambiguous) => {
                let detail = "more than one API key was sent";
                attempt.trace.note(Room::Authentication, "", || detail.into());
                return Err(refuse(Reason::ApiKeyAmbiguous, detail));
            }
        };
        let Self { methods, remembered, .. } = self;
        match believe(methods, remembered, &found, allowed, attempt.now) {
            Ok(identity) => {
                let at = methods.get(identity.method).map_or("", |method| &method.at);
                attempt.trace.note(Room::Authentication, at, || {
                    format!("`{}` of {} is authenticated by its key", identity.subject, identity.issuer_name)
                });
                Ok(Some(identity))
            }
            Err(problem) => {
                attempt.trace.note(Room::Authentication, "", || format!("the API key is refused: {problem}"));
                let reason = match problem {
                    Problem::Expired { .. } => Reason::ApiKeyExpired,
                    _ => Reason::ApiKeyInvalid,
                };
                Err(refuse(reason, problem.to_string()))
            }
        }
    }

    /// The places whose keys upstream must not see; as with tokens, all of them where nobody looked the key up and
    /// somebody is known by other means.
    pub(super) fn hidden(&self, known: Option<&Known>) -> Places {
        let Some(known) = known else { return self.unverified_removed };
        match known.of_kind(Kind::ApiKey).and_then(|identity| self.methods.get(identity.method)) {
            // There is exactly one key in the request, or there would be no identity.
            Some(method) if method.forward_key => 0,
            Some(method) => method.places,
            None => self.places,
        }
    }
}

/// What is forwarded can be: the paths stand for one value each, and no value is too long for a header. A client's name never is.
fn check_forwarded(plan: &ApiKeysPlan, place: &str) -> Result<(), PlanError> {
    for (index, (_, path)) in plan.forward.iter().enumerate() {
        let wrong = |problem: String| Err(PlanError::new(format!("{place}.forward[{index}]"), problem));
        let claim = ClaimPath::new(path);
        if path.is_empty() || claim.is_plural() {
            return wrong(format!(
                "`{path}` does not name one attribute; give `client`, `kind` or the name of another"
            ));
        }
        for profile in &plan.keys.profiles {
            if let Some(problem) =
                claim.find(&profile.claims).and_then(|value| forward::header_value(value).err())
            {
                return wrong(format!("`{path}` {problem}; shorten it"));
            }
        }
    }
    Ok(())
}

/// The identity behind a key, if the key is good at this moment.
fn believe<'m>(
    methods: &'m [Method],
    remembered: &mut Vec<Option<Remembered>>,
    found: &Found<'_>,
    allowed: Allowed,
    now: Now,
) -> Result<Rc<Identity>, Problem<'m>> {
    // What an unset variable in a script comes to is nobody's key, whatever the table says of its digest.
    if found.token.is_empty() {
        return Err(Problem::Unknown);
    }
    if found.token.len() > MAX_KEY_BYTES {
        return Err(Problem::TooLong { bytes: found.token.len() });
    }
    // Every table is asked, in the order of the policy: what a key is must not depend on the route.
    let hit = methods.iter().enumerate().find_map(|(index, method)| {
        let digest = method.digester.digest(found.token);
        Some((index, method, method.table.find(&digest)?, digest))
    });
    let Some((index, method, row, digest)) = hit else { return Err(Problem::Unknown) };
    let entry = method.table.row(row).ok_or(Problem::Unknown)?;
    let client = entry.client;
    if method.places & found.place == 0 {
        return Err(Problem::WrongPlace);
    }
    if allowed >> index & 1 == 0 {
        return Err(Problem::NotOnThisRoute);
    }
    if entry.period.revoked {
        return Err(Problem::Revoked { client });
    }
    let (from, to) = (entry.period.not_before, entry.period.expires);
    match in_force(to.map(NumericDate::from_secs), from.map(NumericDate::from_secs), 0, now) {
        InForce::Yes => {}
        InForce::NotYet => return Err(Problem::NotYet { client }),
        InForce::NoLonger => return Err(Problem::Expired { client }),
    }
    if remembered.is_empty() {
        remembered.resize_with(REMEMBERED, || None);
    }
    let place = row.wrapping_add(index) % REMEMBERED;
    if let Some(Some(known)) = remembered.get(place)
        && (known.method, known.row) == (index, row)
    {
        return Ok(Rc::clone(&known.identity));
    }
    let identity = Rc::new(method.identity(index, entry, &digest)?);
    if let Some(slot) = remembered.get_mut(place) {
        *slot = Some(Remembered { method: index, row, identity: Rc::clone(&identity) });
    }
    Ok(identity)
}

impl Method {
    fn identity<'m>(&self, index: usize, entry: Row<'m>, digest: &[u8]) -> Result<Identity, Problem<'m>> {
        let mut identity = Identity::new(Kind::ApiKey, index, &self.name, entry.client.to_owned());
        // A client may have several keys, and what one of them was raised to is not for the others.
        identity.credential = digest.to_vec();
        identity.roles.clone_from(&entry.profile.roles);
        identity.permissions.clone_from(&entry.profile.permissions);
        identity.claims.clone_from(&entry.profile.claims);
        identity.claims.insert("client".into(), Value::String(entry.client.to_owned()));
        if let Some(kind) = &entry.profile.kind {
            identity.claims.insert("kind".into(), Value::String(kind.clone()));
        }
        identity.expires_at = entry.period.expires.map(NumericDate::from_secs);
        identity.not_before = entry.period.not_before.map(NumericDate::from_secs);
        for (name, path) in &self.forward {
            if let Some(claim) = path.find(&identity.claims)
                && let Some(value) = forward::header_value(claim)
                    .map_err(|problem| Problem::Attribute { client: entry.client, problem })?
            {
                identity.forwarded.push((name.clone(), value));
            }
        }
        Ok(identity)
    }
}

/// The challenge of RFC 9110, section 11.6.1. There is no registered scheme for keys; a 401 must name one, and `ApiKey` is what
/// most call it. The header that takes the key is not said: clients that have a key know it.
pub(super) fn challenge() -> String {
    r#"ApiKey realm="api""#.to_owned()
}

/// Refuses a key that is good and whose client was revoked, as if it was nobody's.
pub(super) fn refuse_revoked(detail: &str) -> Refusal {
    refuse(Reason::ApiKeyInvalid, detail)
}

fn refuse(reason: Reason, detail: impl Into<String>) -> Refusal {
    let refusal = Refusal::new(reason, detail);
    // RFC 9110, section 15.5.2: only a 401 has a challenge.
    if reason.status() == 401 { refusal.with_header("www-authenticate", challenge()) } else { refusal }
}

#[cfg(test)]
mod tests;
