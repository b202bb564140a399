//! Roles and identities against the requirements of routes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::permission::{Cover, Grant, Requirement};
use super::plan::AuthorizationPlan;
#[cfg(feature = "explain")]
use crate::authentication::Identity;
use crate::limits::SubjectCharged;
use crate::pipeline::Room;
use crate::plan::{AccessPlan, PlanError};
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::trace::{Finding, Trace};

/// The most distinct requirements of a plan.
const MAX_REQUIREMENTS: usize = 65_536;

/// Proof that the request came through this room.
#[derive(Debug)]
pub struct Authorized(());

/// Everything an identity is granted, held against the requirements of one plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Bit `i`: requirement `i` is covered, whatever the resource.
    always: Vec<u64>,
    /// Grants for one resource. They are held against a requirement when one asks: a token with thousands of
    /// them would otherwise be multiplied by the requirements of the plan, in memory that is kept.
    specific: Vec<Rc<Grant>>,
}

impl Grants {
    /// Whether a requirement is covered whatever the request.
    #[must_use]
    pub fn covers(&self, requirement: usize) -> bool {
        self.always.get(requirement / 64).is_some_and(|word| word >> (requirement % 64) & 1 == 1)
    }

    fn add(&mut self, grant: Grant, requirements: &[Requirement]) {
        let mut for_one = false;
        self.always.resize(requirements.len().div_ceil(64), 0);
        for (index, requirement) in requirements.iter().enumerate() {
            match grant.cover(requirement) {
                Cover::No => {}
                Cover::Always => {
                    if let Some(word) = self.always.get_mut(index / 64) {
                        *word |= 1 << (index % 64);
                    }
                }
                Cover::Resource(_) => for_one = true,
            }
        }
        if for_one {
            self.specific.push(Rc::new(grant));
        }
    }

    fn merge(&mut self, other: &Self) {
        if self.always.len() < other.always.len() {
            self.always.resize(other.always.len(), 0);
        }
        for (word, more) in self.always.iter_mut().zip(&other.always) {
            *word |= more;
        }
        self.specific.extend(other.specific.iter().cloned());
    }
}

/// The room, loaded.
#[derive(Debug)]
pub struct Authorization {
    requirements: Vec<Requirement>,
    names: Vec<Box<str>>,
    roles: HashMap<Box<str>, Grants>,
    /// Where each role was written, and what it grants, for people.
    #[cfg(feature = "explain")]
    written: HashMap<Box<str>, (Box<str>, String)>,
}

impl Authorization {
    /// Loads the room.
    ///
    /// # Errors
    /// When a permission is not one, or a role is there twice.
    pub fn load(plan: &AuthorizationPlan) -> Result<Self, PlanError> {
        if plan.requirements.len() > MAX_REQUIREMENTS {
            let problem = format!("{} requirements, the most is {MAX_REQUIREMENTS}", plan.requirements.len());
            return Err(PlanError::new("authorization.requirements", problem));
        }
        let mut requirements = Vec::with_capacity(plan.requirements.len());
        for (index, text) in plan.requirements.iter().enumerate() {
            let place = || format!("authorization.requirements[{index}]");
            requirements.push(Requirement::parse(text).map_err(|e| PlanError::new(place(), e))?);
        }
        let mut roles = HashMap::with_capacity(plan.roles.len());
        // Inheritance is resolved, so many roles hold the same permissions: each is held against all
        // requirements once, and not once for each role.
        let mut known: HashMap<&str, Grants> = HashMap::new();
        for (index, role) in plan.roles.iter().enumerate() {
            let mut grants = Grants::default();
            for (p, text) in role.permissions.iter().enumerate() {
                let place = || format!("authorization.roles[{index}].permissions[{p}]");
                let covered = match known.entry(text.as_str()) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(fresh) => {
                        let grant = Grant::parse(text).map_err(|e| PlanError::new(place(), e))?;
                        let mut covered = Grants::default();
                        covered.add(grant, &requirements);
                        fresh.insert(covered)
                    }
                };
                grants.merge(covered);
            }
            if roles.insert(role.name.as_str().into(), grants).is_some() {
                let place = format!("authorization.roles[{index}].name");
                return Err(PlanError::new(place, format!("the role `{}` is there twice", role.name)));
            }
        }
        let names = plan.requirements.iter().map(|r| r.as_str().into()).collect();
        Ok(Self {
            requirements,
            names,
            roles,
            #[cfg(feature = "explain")]
            written: plan
                .roles
                .iter()
                .map(|role| {
                    (role.name.as_str().into(), (role.at.as_str().into(), role.permissions.join(", ")))
                })
                .collect(),
        })
    }

    /// The number of requirements, and one requirement.
    #[must_use]
    pub fn requirement(&self, index: usize) -> Option<&Requirement> {
        self.requirements.get(index)
    }

    /// What roles and permissions of a verified identity come to. Unknown roles grant nothing, and neither
    /// does a permission that is not one: a token may carry those of other systems.
    #[must_use]
    pub fn grants(&self, roles: &[String], permissions: &[String]) -> Grants {
        let mut grants = Grants::default();
        // A role that a token names a thousand times is one role.
        for role in roles.iter().collect::<BTreeSet<_>>() {
            if let Some(of_role) = self.roles.get(role.as_str()) {
                grants.merge(of_role);
            }
        }
        for permission in permissions {
            if let Ok(grant) = Grant::parse(permission) {
                grants.add(grant, &self.requirements);
            }
        }
        grants
    }

    /// Judges a request. `parameter` gives the raw value of a route parameter.
    ///
    /// # Errors
    /// A refusal with a reason of this room.
    pub fn authorize<'p>(
        &self,
        _: &SubjectCharged,
        access: &AccessPlan,
        grants: Option<&Grants>,
        at: &str,
        parameter: impl Fn(&str) -> Option<&'p str> + Copy,
        trace: &mut Trace,
    ) -> Result<Authorized, Refusal> {
        let (all, any) = match access {
            AccessPlan::Public => {
                trace.note(Room::Authorization, at, || "the route is public".into());
                return Ok(Authorized(()));
            }
            AccessPlan::Authenticated => {
                return match grants {
                    Some(_) => {
                        trace.note(Room::Authorization, at, || "the route asks for no permission".into());
                        Ok(Authorized(()))
                    }
                    None => Err(Refusal::new(Reason::TokenMissing, "no identity reached authorization")),
                };
            }
            AccessPlan::Permitted { all, any } => (all, any),
        };
        let Some(grants) = grants else {
            return Err(Refusal::new(Reason::TokenMissing, "no identity reached authorization"));
        };
        let mut holds = |index: usize| {
            let held = self.holds(grants, index, parameter);
            trace.found(
                Room::Authorization,
                at,
                || Finding::Permission { requirement: index, held },
                || {
                    let name = self.names.get(index).map_or("?", |n| n);
                    format!("`{name}` is required and is {}", if held { "held" } else { "not held" })
                },
            );
            held
        };
        let missing = all.iter().copied().find(|index| !holds(*index));
        let none_of_any = missing.is_none() && !any.is_empty() && !any.iter().any(|index| holds(*index));
        if missing.is_some() || none_of_any {
            let lacking = missing.and_then(|i| self.names.get(i)).map_or("one of several permissions", |n| n);
            return Err(Refusal::new(
                Reason::PermissionDenied,
                format!("`{lacking}` is not held, required at {at}"),
            ));
        }
        Ok(Authorized(()))
    }

    /// Tells of each role of an identity, and of the permissions that its token carries, whether it grants what
    /// a route asks: so that a refusal, or an access that should not be, can be traced to a line of the bundle.
    #[cfg(feature = "explain")]
    pub fn tell_grants<'p>(
        &self,
        access: &AccessPlan,
        identity: &Identity,
        parameter: impl Fn(&str) -> Option<&'p str> + Copy,
        trace: &mut Trace,
    ) {
        let AccessPlan::Permitted { all, any } = access else { return };
        if !trace.listens() {
            return;
        }
        let grants = |granted| if granted { "grants" } else { "does not grant" };
        let asked = || all.iter().chain(any).copied();
        let name = |index: usize| self.names.get(index).map_or("?", |name| name);
        for role in identity.roles() {
            let (Some(of_role), Some((at, permissions))) =
                (self.roles.get(role.as_str()), self.written.get(role.as_str()))
            else {
                trace.note(Room::Authorization, "", || format!("the policy has no role `{role}`"));
                continue;
            };
            for index in asked() {
                let granted = self.holds(of_role, index, parameter);
                let finding = || Finding::Role { role: role.clone(), granted };
                trace.found(Room::Authorization, at, finding, || {
                    format!("the role `{role}` ({permissions}) {} `{}`", grants(granted), name(index))
                });
            }
        }
        if !identity.permissions().is_empty() {
            let carried = self.grants(&[], identity.permissions());
            for index in asked() {
                let granted = self.holds(&carried, index, parameter);
                trace.note(Room::Authorization, "", || {
                    // A token may carry thousands.
                    let shown = identity.permissions().iter().take(8).map(String::as_str);
                    let permissions = shown.collect::<Vec<_>>().join(", ");
                    format!("the token itself ({permissions}) {} `{}`", grants(granted), name(index))
                });
            }
        }
    }

    fn holds<'p>(&self, grants: &Grants, index: usize, parameter: impl Fn(&str) -> Option<&'p str>) -> bool {
        if grants.covers(index) {
            return true;
        }
        let Some(requirement) = self.requirements.get(index) else { return false };
        let mut resources = grants
            .specific
            .iter()
            .filter_map(|grant| match grant.cover(requirement) {
                Cover::Resource(resource) => Some(resource),
                Cover::Always | Cover::No => None,
            })
            .peekable();
        if resources.peek().is_none() {
            return false;
        }
        let wanted = requirement.resource(parameter);
        wanted.is_some_and(|wanted| resources.any(|granted| *granted == *wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization::plan::RolePlan;
    use proptest::prelude::*;

    fn room(roles: &[(&str, &[&str])], requirements: &[&str]) -> Authorization {
        let roles = roles.iter().map(|(name, permissions)| RolePlan {
            name: (*name).into(),
            at: String::new(),
            permissions: permissions.iter().map(|p| (*p).into()).collect(),
        });
        let requirements = requirements.iter().map(|r| (*r).into()).collect();
        Authorization::load(&AuthorizationPlan { roles: roles.collect(), requirements }).unwrap()
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).into()).collect()
    }

    fn allowed(
        room: &Authorization,
        access: &AccessPlan,
        roles: &[&str],
        permissions: &[&str],
        id: &'static str,
    ) -> bool {
        let grants = room.grants(&strings(roles), &strings(permissions));
        room.authorize(
            &SubjectCharged::for_test(),
            access,
            Some(&grants),
            "",
            |_| Some(id),
            &mut Trace::off(),
        )
        .is_ok()
    }

    #[test]
    fn roles_and_token_permissions_add_up() {
        let room = room(
            &[("reader", &["device:read"]), ("one", &["device:read:7"])],
            &["device:read:{id}", "device:write"],
        );
        let both = AccessPlan::Permitted { all: vec![0, 1], any: vec![] };
        let either = AccessPlan::Permitted { all: vec![], any: vec![0, 1] };
        assert!(allowed(&room, &either, &["reader"], &[], "1"));
        assert!(!allowed(&room, &both, &["reader"], &[], "1"));
        assert!(allowed(&room, &both, &["reader"], &["device:write"], "1"));
        assert!(allowed(&room, &either, &["one"], &[], "7"));
        assert!(!allowed(&room, &either, &["one"], &[], "8"));
        assert!(!allowed(&room, &either, &["nobody"], &["nonsense"], "7"));
        assert!(!allowed(&room, &either, &[], &[], "7"));
    }

    #[test]
    fn without_an_identity_only_public_routes_open() {
        let room = room(&[], &["a:b"]);
        let judge = |access: &AccessPlan| {
            room.authorize(&SubjectCharged::for_test(), access, None, "", |_| None, &mut Trace::off())
                .map_err(|r| r.reason)
        };
        assert!(judge(&AccessPlan::Public).is_ok());
        assert_eq!(judge(&AccessPlan::Authenticated).err(), Some(Reason::TokenMissing));
        assert_eq!(
            judge(&AccessPlan::Permitted { all: vec![0], any: vec![] }).err(),
            Some(Reason::TokenMissing)
        );
    }

    #[test]
    fn a_requirement_the_plan_does_not_have_is_never_held() {
        let room = room(&[("root", &["*"])], &["a:b"]);
        assert!(!allowed(&room, &AccessPlan::Permitted { all: vec![1], any: vec![] }, &["root"], &[], ""));
    }

    #[test]
    fn permissions_that_many_roles_share_are_worked_out_once() {
        let requirements = (0..2000).map(|i| format!("a:r{i}:{{id}}")).collect();
        let permissions: Vec<String> = (0..100).map(|i| format!("a:r{i}")).collect();
        let roles = (0..500)
            .map(|i| RolePlan { name: format!("x{i}"), at: String::new(), permissions: permissions.clone() })
            .collect();
        let before = std::time::Instant::now();
        let room = Authorization::load(&AuthorizationPlan { roles, requirements }).unwrap();
        // Seven seconds when every role was worked out by itself, and this build has no optimisation.
        assert!(before.elapsed().as_secs() < 3, "{:?}", before.elapsed());
        let grants = room.grants(&strings(&["x499"]), &[]);
        assert!(grants.covers(99) && !grants.covers(100));
    }

    #[test]
    fn what_a_token_holds_is_not_multiplied_by_the_plan() {
        let requirements: Vec<String> = (0..500).map(|i| format!("t{i}:read:{{id}}")).collect();
        let requirements: Vec<&str> = requirements.iter().map(String::as_str).collect();
        let room = room(&[("one", &["t1:read:7", "t2:read:8"])], &requirements);
        let permissions: Vec<String> = (0..3000).map(|i| format!("*:*:{i}")).collect();
        assert_eq!(room.grants(&[], &permissions).specific.len(), 3000);
        let roles = vec!["one".to_owned(); 3000];
        let grants = room.grants(&roles, &[]);
        assert_eq!(grants.specific.len(), 2);
        assert!(room.holds(&grants, 1, |_| Some("7")) && !room.holds(&grants, 2, |_| Some("7")));
    }

    proptest! {
        #[test]
        fn taking_a_role_away_never_permits_more(
            held in proptest::sample::subsequence(vec!["r0", "r1", "r2", "r3"], 0..=4),
            drop in 0usize..4, all in proptest::collection::vec(0usize..4, 0..3), any in proptest::collection::vec(0usize..4, 0..3),
        ) {
            let room = room(
                &[("r0", &["a:*"]), ("r1", &["a:read:7", "b:read"]), ("r2", &["*:write"]), ("r3", &["b:write:8"])],
                &["a:read:{id}", "a:write", "b:read", "b:write:{id}"],
            );
            let access = AccessPlan::Permitted { all, any };
            let fewer: Vec<_> = held.iter().enumerate().filter(|(i, _)| *i != drop).map(|(_, r)| *r).collect();
            if allowed(&room, &access, &fewer, &[], "7") {
                prop_assert!(allowed(&room, &access, &held, &[], "7"));
            }
        }
    }
}
