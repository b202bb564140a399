//! Charging a request to the limits of its route.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;
use std::rc::Rc;

use super::bucket::Bucket;
use super::fields::{Fixed, Report, Told};
use super::plan::{LimitKey, LimitPlan};
use super::table::{MAX_WINDOWS, Slot, WAYS};
use crate::host::{Host, Loaded, Now, Stored};
use crate::network::Placed;
use crate::pipeline::Room;
use crate::plan::PlanError;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::trace::{Finding, Trace};

/// How often a lost race is run again. Whoever loses, somebody else won: with a handful of workers a
/// request that loses this often means that the slots do not work at all.
const MAX_TRIES: usize = 1000;

/// The most slots of one limit.
const MAX_SLOTS: u32 = 1 << 20;

/// Proof that what is kept by address was charged.
#[derive(Debug)]
pub struct AddressCharged(());

#[cfg(test)]
impl AddressCharged {
    /// A proof without the walk, for the tests of later rooms.
    pub(crate) fn for_test() -> Self {
        Self(())
    }
}

/// Proof that what is kept by subject was charged.
#[derive(Debug)]
pub struct SubjectCharged(());

#[cfg(test)]
impl SubjectCharged {
    /// A proof without the walk, for the tests of later rooms.
    pub(crate) fn for_test() -> Self {
        Self(())
    }
}

/// What a budget is kept under: which slot, and which fingerprint in it.
pub type Key = [u64; 2];

/// Whose budget is charged once it is known who a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Principal<'a> {
    /// The issuer's name in the policy: one issuer's subjects are strangers to another's.
    pub issuer: &'a str,
    /// The subject, as the issuer has it.
    pub subject: &'a str,
    /// The key of the two. It is kept with the identity, so that a cached token brings it along: it depends on the
    /// seed of [`Limits::load`] and on nothing else.
    pub key: &'a OnceCell<Key>,
}

/// When and where a request is charged.
pub struct Ledger<'a> {
    /// The time of the decision.
    pub now: Now,
    /// Where the slots are.
    pub host: &'a mut dyn Host,
    /// What the response tells of the limits met so far.
    pub told: &'a mut Told,
    /// What was considered.
    pub trace: &'a mut Trace,
}

/// Whose budgets are charged.
#[derive(Debug, Clone, Copy)]
enum Client<'a> {
    /// Before authentication: the client address, if a limit of the route needs one.
    Address(Option<IpAddr>),
    /// After it; `None` on a public route.
    Subject(Option<Principal<'a>>),
}

#[derive(Debug)]
struct Limit {
    id: Rc<str>,
    /// `limit`, the name, and dots: what the names of all its slots begin with.
    slot_prefix: Box<str>,
    at: Box<str>,
    key: LimitKey,
    buckets: Vec<Bucket>,
    /// What clients are told of each bucket.
    fields: Vec<Rc<Fixed>>,
    slots: u64,
}

/// The room, loaded.
#[derive(Debug)]
pub struct Limits {
    limits: Vec<Limit>,
    seed: [u64; 2],
    name: String,
    bytes: Vec<u8>,
}

impl Limits {
    /// Loads the room. The seed is secret and the same in all workers: with it nobody can choose keys that
    /// share a slot.
    ///
    /// # Errors
    /// When a number of the plan is out of range.
    pub fn load(plan: &[LimitPlan], seed: [u64; 2]) -> Result<Self, PlanError> {
        let mut ids = HashSet::new();
        if let Some(twice) = plan.iter().position(|limit| !ids.insert(limit.id.as_str())) {
            let problem = "another limit has it too, and the two would share their slots";
            return Err(PlanError::new(format!("limits[{twice}].id"), problem));
        }
        let limits = plan.iter().enumerate().map(|(index, limit)| load_limit(index, limit));
        Ok(Self { limits: limits.collect::<Result<_, _>>()?, seed, name: String::new(), bytes: Vec::new() })
    }

    /// Number of limits: routes point below it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.limits.len()
    }

    /// Whether there are no limits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// Whether one of these limits is kept by address.
    #[must_use]
    pub fn need_address(&self, of_route: &[usize]) -> bool {
        of_route.iter().filter_map(|i| self.limits.get(*i)).any(|l| l.key == LimitKey::Address)
    }

    /// Whether one of these limits is kept by subject.
    #[must_use]
    pub fn need_subject(&self, of_route: &[usize]) -> bool {
        of_route.iter().filter_map(|i| self.limits.get(*i)).any(|l| l.key == LimitKey::Subject)
    }

    /// The order in which the limits of a route are charged, whatever the order they were written in: from
    /// the narrowest key to the one that all share.
    pub(crate) fn order(&self, of_route: &mut [usize]) {
        of_route.sort_by_key(|index| self.limits.get(*index).map(|limit| limit.key));
    }

    /// Charges what is kept by address. The ledger keeps what the client is told of it.
    ///
    /// # Errors
    /// A refusal with a reason of this room.
    pub fn charge_address(
        &mut self,
        placed: &Placed,
        of_route: &[usize],
        ledger: Ledger<'_>,
    ) -> Result<AddressCharged, Refusal> {
        self.charge_all(of_route, Client::Address(placed.address()), ledger)?;
        Ok(AddressCharged(()))
    }

    /// Charges what is kept by subject, and then what is kept for everybody.
    ///
    /// # Errors
    /// A refusal with a reason of this room.
    pub fn charge_subject(
        &mut self,
        _: &AddressCharged,
        of_route: &[usize],
        subject: Option<Principal<'_>>,
        ledger: Ledger<'_>,
    ) -> Result<SubjectCharged, Refusal> {
        self.charge_all(of_route, Client::Subject(subject), ledger)?;
        Ok(SubjectCharged(()))
    }

    fn charge_all(
        &mut self,
        of_route: &[usize],
        client: Client<'_>,
        ledger: Ledger<'_>,
    ) -> Result<(), Refusal> {
        let Ledger { now, host, told, trace } = ledger;
        for &index in of_route {
            let Some(limit) = self.limits.get(index) else { continue };
            let Some(hash) = key_hash(limit, client, self.seed)? else { continue };
            let (admitted, level) = charge(limit, hash, now, host, &mut self.name, &mut self.bytes)?;
            trace.found(
                Room::Limits,
                &limit.at,
                || Finding::Limit { limit: index, admitted },
                || {
                    let verdict = if admitted { "has room" } else { "is used up" };
                    format!("the limit `{}` {verdict}: {} left", limit.id, level.remaining)
                },
            );
            if !admitted {
                let retry = level.retry_after();
                told.refuse(level);
                let detail = format!("limit `{}` at {}", limit.id, limit.at);
                return Err(
                    Refusal::new(Reason::LimitExceeded, detail).with_header("retry-after", retry.to_string())
                );
            }
            told.add(level);
        }
        Ok(())
    }
}

fn load_limit(index: usize, plan: &LimitPlan) -> Result<Limit, PlanError> {
    let place = |field: &str| format!("limits[{index}].{field}");
    if plan.windows.is_empty() || plan.windows.len() > MAX_WINDOWS {
        return Err(PlanError::new(place("windows"), format!("a limit has one to {MAX_WINDOWS} windows")));
    }
    if !plan.slots.is_power_of_two() || plan.slots < 64 || plan.slots > MAX_SLOTS {
        return Err(PlanError::new(place("slots"), format!("not a power of two from 64 to {MAX_SLOTS}")));
    }
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
    if plan.id.is_empty() || plan.id.len() > 128 || !plan.id.bytes().all(fine) {
        return Err(PlanError::new(place("id"), "one to 128 letters, digits, `-`, `_`, `.` or `/`"));
    }
    let buckets = plan.windows.iter().enumerate().map(|(w, window)| {
        Bucket::new(window).ok_or_else(|| {
            PlanError::new(
                place(&format!("windows[{w}]")),
                "count, period and burst are at least one and fill within a century",
            )
        })
    });
    let buckets = buckets.collect::<Result<Vec<_>, _>>()?;
    let id: Rc<str> = plan.id.as_str().into();
    Ok(Limit {
        at: plan.at.as_str().into(),
        key: plan.key,
        fields: buckets.iter().map(|bucket| Rc::new(Fixed::new(&id, bucket, plan.headers))).collect(),
        slot_prefix: format!("limit.{id}.").into(),
        id,
        buckets,
        slots: u64::from(plan.slots) / WAYS as u64,
    })
}

/// What a limit is kept under. `None` if it is charged elsewhere.
fn key_hash(limit: &Limit, client: Client<'_>, seed: [u64; 2]) -> Result<Option<Key>, Refusal> {
    let hash = |parts: &[&[u8]]| {
        seed.map(|half| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(half);
            for part in parts {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
            hasher.finish()
        })
    };
    Ok(match (limit.key, client) {
        // Last of all: whoever is refused for want of a token, or by a budget of his own, would otherwise
        // use up what everybody shares, and lock everybody out at no cost.
        (LimitKey::Everybody, Client::Subject(_)) => Some(hash(&[])),
        (LimitKey::Address, Client::Address(Some(address))) => Some(match address {
            IpAddr::V4(v4) => hash(&[&v4.octets()]),
            // A customer gets a /64 or more, so single IPv6 addresses are free to a flooder.
            IpAddr::V6(v6) => hash(&[&(v6.to_bits() >> 64).to_be_bytes()]),
        }),
        (LimitKey::Address, Client::Address(None)) => {
            return Err(Refusal::new(Reason::AddressUnknown, "a limit is kept by address"));
        }
        (LimitKey::Subject, Client::Subject(Some(Principal { issuer, subject, key }))) => {
            Some(*key.get_or_init(|| hash(&[issuer.as_bytes(), subject.as_bytes()])))
        }
        // The compiler refuses such a route; a plan from elsewhere must not make the limit vanish.
        (LimitKey::Subject, Client::Subject(None)) => {
            return Err(Refusal::new(
                Reason::LimitsUnavailable,
                "a limit is kept by subject, and there is none",
            ));
        }
        (LimitKey::Subject | LimitKey::Everybody, Client::Address(_))
        | (LimitKey::Address, Client::Subject(_)) => None,
    })
}

/// Charges one request to one key: all windows or none.
fn charge(
    limit: &Limit,
    [place, fingerprint]: Key,
    now: Now,
    host: &mut dyn Host,
    name: &mut String,
    bytes: &mut Vec<u8>,
) -> Result<(bool, Report), Refusal> {
    let unavailable = |why| Refusal::new(Reason::LimitsUnavailable, why);
    name.clear();
    // Slots are few and fixed: behind the prefix is a number below the number of slots.
    name.push_str(&limit.slot_prefix);
    name.push_str(itoa::Buffer::new().format(place & limit.slots.saturating_sub(1)));
    let now = now.nanos();
    // INVARIANT: a loaded limit has a window, or it would limit nothing.
    let report = |state| tightest(limit, state, now).ok_or_else(|| unavailable("the limit has no window"));
    for _ in 0..MAX_TRIES {
        let (mut slot, version) = match host.load(name, bytes) {
            Loaded::Present(version) => (
                Slot::decode(bytes).ok_or_else(|| unavailable("a slot holds something else"))?,
                Some(version),
            ),
            Loaded::Absent => (Slot::empty(), None),
            Loaded::Failed => return Err(unavailable("a slot cannot be read")),
        };
        let capped = slot.cap(limit.buckets.iter().map(|bucket| bucket.latest(now)));
        let before = slot.state(fingerprint);
        let mut after = before;
        let mut admitted = true;
        for ((bucket, was), becomes) in limit.buckets.iter().zip(before).zip(&mut after) {
            match bucket.take(was, now) {
                Some(taken) => *becomes = taken,
                None => admitted = false,
            }
        }
        if admitted {
            slot.set(fingerprint, after);
        } else {
            after = before;
            if !capped {
                // Nothing is written: a refused request costs the client nothing, and us no swap.
                return Ok((false, report(before)?));
            }
        }
        slot.encode(limit.buckets.len(), bytes);
        match host.store(name, bytes, version) {
            Stored::Yes => return Ok((admitted, report(after)?)),
            Stored::Conflict => {}
            Stored::Failed => return Err(unavailable("a slot cannot be written")),
        }
    }
    Err(unavailable("a slot changed too often"))
}

/// The window with the fewest tokens left, and of those the one with the longest wait.
fn tightest(limit: &Limit, state: [u64; MAX_WINDOWS], now: u64) -> Option<Report> {
    let levels = limit.fields.iter().zip(&limit.buckets).zip(state);
    levels
        .map(|((fields, bucket), full_at)| (fields, bucket.level(full_at, now)))
        .min_by_key(|(_, l)| (l.remaining, std::cmp::Reverse(l.next_in), std::cmp::Reverse(l.full_in)))
        .map(|(fields, level)| Report::new(fields, level))
}

#[cfg(test)]
#[path = "charge_tests.rs"]
mod tests;
