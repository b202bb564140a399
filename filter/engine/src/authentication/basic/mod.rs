//! Users with passwords (RFC 7617), held against bcrypt hashes.
//!
//! A verification keeps the worker's thread busy for a good part of a second, and every other request of the worker
//! waits. So credentials that were verified are remembered (`cache`), a worker spends so much of a second on verifications
//! and answers `busy` beyond it, and names that are nobody's take as long as others: who it could be is not told.

mod cache;
mod header;
pub mod plan;
pub mod users;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher as _};
use std::rc::Rc;

use serde_json::{Map, json};

use self::cache::{Cache, Tag};
use self::plan::BasicPlan;
use self::users::{Hash, Users};
use super::forward::header_value;
use super::identity::{Identity, Known};
use super::load::forwarded_headers;
use super::method::{Allowed, Answer, Attempt, Kind, MAX_METHODS};
use super::plan::TokenSource;
use super::sources::{Ambiguous, Places};
use crate::host::Now;
use crate::pipeline::Room;
use crate::plan::PlanError;
use crate::reason::Reason;
use crate::refusal::Refusal;

/// How much work a worker does within a second, in rounds of bcrypt: two to the cost for each password. It is about half
/// a second of the module's time (docs/identity/basic.md), whatever is sent and however many lists there are. A single
/// password may take more.
pub const MAX_WORK: u64 = 2560;

/// The most passwords of a cost that a worker verifies within a second.
#[must_use]
pub fn most_per_second(cost: u32) -> u64 {
    MAX_WORK.checked_shr(cost).unwrap_or_default().max(1)
}

/// The only place of these credentials.
pub(super) fn from() -> Vec<TokenSource> {
    vec![TokenSource::Header { name: "authorization".into(), scheme: Some("Basic".into()) }]
}

/// The challenge (RFC 7617, sections 2 and 2.1).
pub(super) fn challenge(realm: &str) -> String {
    format!(r#"Basic realm="{realm}", charset="UTF-8""#)
}

/// The lists of users with passwords of a plan.
#[derive(Debug)]
pub(super) struct Passwords {
    methods: Vec<Method>,
    verifier: Verifier,
    place: Places,
}

/// One list, made ready.
#[derive(Debug)]
struct Method {
    at: String,
    challenge: String,
    users: Users,
    /// The identity of each user.
    identities: Vec<Rc<Identity>>,
    checks_per_second: u32,
    forward_credentials: bool,
}

impl Passwords {
    /// Makes ready what a plan says. What was verified under the plan before is not remembered: a user or a password
    /// that changed is judged anew.
    pub(super) fn load(plans: &[BasicPlan], place: Places, seed: [u64; 2]) -> Result<Self, PlanError> {
        if plans.len() > MAX_METHODS {
            let problem = format!("{} lists of users; the most is {MAX_METHODS}", plans.len());
            return Err(PlanError::new("authentication.basic", problem));
        }
        let methods = plans
            .iter()
            .enumerate()
            .map(|(index, plan)| Method::load(plan, index, &format!("authentication.basic[{index}]")));
        let methods = methods.collect::<Result<_, _>>()?;
        let users = plans.iter().fold(0_usize, |all, plan| all.saturating_add(plan.users.len()));
        Ok(Self { methods, verifier: Verifier::new(seed, users), place })
    }

    /// Where credentials are that upstream must not see.
    pub(super) fn hidden(&self, known: Option<&Known>) -> Places {
        let forwards = match known {
            // What nobody judged would be taken by upstream for that of whoever is known by other means.
            Some(known) => known
                .of_kind(Kind::Basic)
                .and_then(|identity| self.methods.get(identity.method))
                .is_some_and(|method| method.forward_credentials),
            None => self.methods.iter().all(|method| method.forward_credentials),
        };
        if forwards { 0 } else { self.place }
    }

    /// Refuses a user whose credentials are right and were revoked: as whoever guessed wrong, and after as much time. Else
    /// whoever tries passwords of people who have left would learn which they use elsewhere.
    pub(super) fn refuse_revoked(&mut self, method: usize, detail: &str) -> Refusal {
        self.verifier.forget();
        match self.methods.get(method) {
            Some(method) => method.refuse(detail),
            None => Refusal::new(Reason::PasswordInvalid, detail),
        }
    }

    /// Who the name and the password of a request say it is.
    pub(super) fn identify(&mut self, allowed: Allowed, attempt: &mut Attempt<'_, '_>) -> Answer {
        let Attempt { request, sources, now, trace, .. } = attempt;
        let index = allowed.trailing_zeros() as usize;
        let Some(method) = self.methods.get(index) else { return Ok(None) };
        let found = match sources.find(self.place, request.headers(), request.query()) {
            Ok(Some(found)) => found,
            Ok(None) => {
                trace.note(Room::Authentication, &method.at, || "no name and password were sent".into());
                return Ok(None);
            }
            Err(Ambiguous) => return Err(method.refuse("names and passwords were sent twice")),
        };
        let credentials = header::read(found.token).map_err(|problem| method.refuse(problem))?;
        let pair = (credentials.name.as_str(), &*credentials.password);
        match self.verifier.verify(index, &method.users, pair, method.checks_per_second, *now) {
            Verdict::User(user) => {
                let identity =
                    method.identities.get(user).ok_or_else(|| method.refuse("there is no such user"))?;
                trace.note(Room::Authentication, &method.at, || {
                    format!("the password is that of `{}`", identity.subject)
                });
                Ok(Some(Rc::clone(identity)))
            }
            Verdict::Wrong => {
                trace.note(Room::Authentication, &method.at, || "name and password are nobody's".into());
                Err(method.refuse("name and password are nobody's"))
            }
            Verdict::Busy => {
                trace.note(Room::Authentication, &method.at, || {
                    "no more passwords are verified this second".into()
                });
                let detail = "the worker verified as many passwords this second as it may";
                Err(Refusal::new(Reason::Busy, detail).with_header("retry-after", "1"))
            }
        }
    }
}

impl Method {
    fn load(plan: &BasicPlan, index: usize, place: &str) -> Result<Self, PlanError> {
        let wrong = |member: &str, problem: String| Err(PlanError::new(format!("{place}.{member}"), problem));
        let count = plan.users.len();
        let columns = [plan.hashes.len(), plan.roles.len(), plan.permissions.len()];
        if count == 0 || columns.iter().any(|column| *column != count) {
            return wrong(
                "users",
                format!("{count} users; give at least one, and as many hashes, roles and permissions"),
            );
        }
        let good = |name: &String| {
            (1..=256).contains(&name.len()) && !name.chars().any(|c| c.is_control() || c == ':')
        };
        if plan.users.iter().collect::<HashSet<_>>().len() != count || !plan.users.iter().all(good) {
            return wrong("users", "a name is there twice, or has none of the forms that names have".into());
        }
        let quotable = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && !matches!(byte, b'"' | b'\\');
        if plan.realm.is_empty() || !plan.realm.bytes().all(quotable) {
            return wrong("realm", "not visible ASCII without quotes and backslashes".into());
        }
        if !(1..=100).contains(&plan.checks_per_second) {
            return wrong("checks_per_second", format!("{}; give 1 to 100", plan.checks_per_second));
        }
        forwarded_headers(&plan.forward_claims, place)?;
        let mut hashes: Vec<Hash> = Vec::new();
        let mut identities = Vec::new();
        let rows = plan.users.iter().zip(&plan.hashes).zip(plan.roles.iter().zip(&plan.permissions));
        for (user, ((name, hash), (roles, permissions))) in rows.enumerate() {
            let here = || format!("{place}.hashes[{user}]");
            hashes.push(Hash::read(hash).map_err(|error| PlanError::new(here(), error.to_string()))?);
            let mut identity = Identity::new(Kind::Basic, index, &plan.name, name.clone());
            identity.roles.clone_from(roles);
            identity.permissions.clone_from(permissions);
            let mut claims = Map::new();
            claims.insert("sub".into(), json!(name));
            claims.insert("roles".into(), json!(roles));
            claims.insert("permissions".into(), json!(permissions));
            for (header, claim) in &plan.forward_claims {
                let value = claims.get(claim).map(header_value).transpose();
                let Ok(Some(value)) = value else {
                    return wrong("forward_claims", format!("`{claim}` of `{name}` cannot be forwarded"));
                };
                identity.forwarded.extend(value.map(|value| (header.clone(), value)));
            }
            identity.claims = claims;
            // RFC 8176: a password. When it was typed nobody knows, so `authenticated_at` is not there.
            identity.strength.amr = vec!["pwd".into()];
            identity.credential = hash.as_bytes().to_vec();
            identities.push(Rc::new(identity));
        }
        let most = hashes.iter().map(Hash::cost).max().map_or(1, most_per_second);
        if u64::from(plan.checks_per_second) > most {
            let problem =
                format!("{} with the costs of these hashes; give 1 to {most}", plan.checks_per_second);
            return wrong("checks_per_second", problem);
        }
        Ok(Self {
            at: plan.at.clone(),
            challenge: challenge(&plan.realm),
            users: Users::new(&plan.users, hashes),
            identities,
            checks_per_second: plan.checks_per_second,
            forward_credentials: plan.forward_credentials,
        })
    }

    fn refuse(&self, detail: &str) -> Refusal {
        Refusal::new(Reason::PasswordInvalid, detail).with_header("www-authenticate", self.challenge.as_str())
    }
}

/// How many passwords a worker has verified within a second of the clock, and with how much work. Counted over all
/// methods: there is one thread.
#[derive(Debug, Default)]
struct Pace {
    second: u64,
    used: u32,
    work: u64,
}

impl Pace {
    /// Takes one of this cost, if there is as much left.
    fn take(&mut self, most: u32, cost: u32, now: Now) -> bool {
        // A clock that was set back begins a new second too.
        if self.second != now.secs() {
            *self = Self { second: now.secs(), ..Self::default() };
        }
        let work = self.work.saturating_add(1_u64.checked_shl(cost).unwrap_or(u64::MAX));
        let free = self.used == 0 || (self.used < most && work <= MAX_WORK);
        if free {
            (self.used, self.work) = (self.used.saturating_add(1), work);
        }
        free
    }
}

/// What came of holding credentials against a method's users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// They are the user's with this number.
    User(usize),
    /// They are nobody's.
    Wrong,
    /// Nobody looked: the worker has verified enough for this second.
    Busy,
}

/// Verifies passwords, for all methods of a plan.
#[derive(Debug)]
struct Verifier {
    cache: Cache,
    pace: Pace,
    seed: [u64; 2],
    /// Whose credentials were right last.
    last: Option<Tag>,
    /// How often bcrypt was run.
    #[cfg(test)]
    runs: u32,
}

impl Verifier {
    fn new(seed: [u64; 2], users: usize) -> Self {
        Self {
            cache: Cache::new(seed, users),
            pace: Pace::default(),
            seed,
            last: None,
            #[cfg(test)]
            runs: 0,
        }
    }

    fn verify(
        &mut self,
        method: usize,
        users: &Users,
        (name, password): (&str, &[u8]),
        per_second: u32,
        now: Now,
    ) -> Verdict {
        let user = users.find(name);
        let tag = self.cache.tag(method, name, password);
        if let Some(user) = user
            && self.cache.has(&tag)
        {
            self.last = Some(tag);
            return Verdict::User(user);
        }
        let Some(hash) = users.hash_for(user, self.choose(name)) else { return Verdict::Wrong };
        if !self.pace.take(per_second, hash.cost(), now) {
            return Verdict::Busy;
        }
        let right = self.run(hash, password);
        match user {
            Some(user) if right => {
                self.cache.insert(tag);
                self.last = Some(tag);
                Verdict::User(user)
            }
            // A stand-in's hash was verified, and its password is not this name's.
            _ => Verdict::Wrong,
        }
    }

    /// Remembers nothing of the credentials that were right last.
    fn forget(&mut self) {
        if let Some(tag) = self.last.take() {
            self.cache.remove(&tag);
        }
    }

    fn run(&mut self, hash: &Hash, password: &[u8]) -> bool {
        #[cfg(test)]
        {
            self.runs += 1;
        }
        hash.is_of(password)
    }

    /// A number of a name that nobody without the seed can tell.
    fn choose(&self, name: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.seed.iter().for_each(|half| hasher.write_u64(*half));
        hasher.write(name.as_bytes());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests;
