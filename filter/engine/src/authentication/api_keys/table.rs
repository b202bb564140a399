//! Many digests, and what is known of each.
//!
//! Digests spread evenly and nobody can choose them, so a search by halves over their first eight bytes costs
//! the same for every key, whether it is there or not: 17 steps among 100,000. How long it takes tells at most
//! where among the digests the digest of a key would stand, which whoever has the key knows without asking.
//! What decides is a comparison of all 32 bytes that takes the same time wherever they differ.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::plan::{KeyTablePlan, PeriodPlan, ProfilePlan};
use crate::plan::PlanError;

/// The most keys of one table.
pub const MAX_KEYS: usize = 200_000;

/// The most bytes of a subject.
const MAX_CLIENT_BYTES: usize = 256;

pub(super) const DIGEST: usize = 32;

/// See the module. Rows are numbered in the order of the digests.
#[derive(Debug)]
pub(super) struct Table {
    digests: Vec<[u8; DIGEST]>,
    clients: String,
    /// Where each client's name ends in `clients`; a line break follows.
    ends: Vec<u32>,
    profile: Vec<u32>,
    period: Vec<u32>,
    profiles: Vec<ProfilePlan>,
    periods: Vec<PeriodPlan>,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row<'t> {
    pub(super) client: &'t str,
    pub(super) profile: &'t ProfilePlan,
    pub(super) period: PeriodPlan,
}

impl Table {
    /// Checks the columns and makes them ready. `place` is where they stand in the plan.
    pub(super) fn load(plan: &KeyTablePlan, place: &str) -> Result<Self, PlanError> {
        let wrong = |member: &str, problem: &str| {
            Err(PlanError::new(format!("{place}.{member}"), problem.to_owned()))
        };
        let Ok(bytes) = STANDARD.decode(&plan.digests) else {
            return wrong("digests", "not base64; build the bundle anew");
        };
        let (digests, rest) = bytes.as_chunks::<DIGEST>();
        let count = digests.len();
        if !rest.is_empty() || count == 0 || count > MAX_KEYS {
            let problem =
                format!("{} bytes are not 1 to {MAX_KEYS} digests; build the bundle anew", bytes.len());
            return wrong("digests", &problem);
        }
        if !digests.is_sorted_by(|a, b| a < b) {
            return wrong("digests", "not ascending, or one is there twice; build the bundle anew");
        }
        let ends = ends(&plan.clients);
        if ends.len() != count {
            let problem = format!("{} names for {count} keys; build the bundle anew", ends.len());
            return wrong("clients", &problem);
        }
        if !plan.clients.split('\n').all(is_client) {
            return wrong(
                "clients",
                "a name is empty, too long or has control characters; give 1 to 256 bytes",
            );
        }
        for (member, column, known) in
            [("profile", &plan.profile, plan.profiles.len()), ("period", &plan.period, plan.periods.len())]
        {
            if column.len() != count {
                let problem = format!("{} entries for {count} keys; build the bundle anew", column.len());
                return wrong(member, &problem);
            }
            if column.iter().any(|index| usize::try_from(*index).is_ok_and(|index| index >= known)) {
                return wrong(member, "an index leads nowhere; build the bundle anew");
            }
        }
        for (index, profile) in plan.profiles.iter().enumerate() {
            if let Some(problem) = problem_of(profile) {
                return wrong(&format!("profiles[{index}]"), problem);
            }
        }
        Ok(Self {
            digests: digests.to_vec(),
            clients: plan.clients.clone(),
            ends,
            profile: plan.profile.clone(),
            period: plan.period.clone(),
            profiles: plan.profiles.clone(),
            periods: plan.periods.clone(),
        })
    }

    /// The row with this digest.
    pub(super) fn find(&self, digest: &[u8; DIGEST]) -> Option<usize> {
        let wanted = prefix(digest);
        let start = self.digests.partition_point(|known| prefix(known) < wanted);
        // Two digests with the same eight bytes are next to impossible, and are told apart all the same.
        self.digests
            .iter()
            .enumerate()
            .skip(start)
            .take_while(|(_, known)| prefix(known) == wanted)
            .find(|(_, known)| known.ct_eq(digest).into())
            .map(|(row, _)| row)
    }

    /// What is known of the key in a row.
    pub(super) fn row(&self, row: usize) -> Option<Row<'_>> {
        let end = usize::try_from(*self.ends.get(row)?).ok()?;
        let start = match row.checked_sub(1) {
            Some(before) => usize::try_from(*self.ends.get(before)?).ok()?.saturating_add(1),
            None => 0,
        };
        Some(Row {
            client: self.clients.get(start..end)?,
            profile: self.profiles.get(usize::try_from(*self.profile.get(row)?).ok()?)?,
            period: *self.periods.get(usize::try_from(*self.period.get(row)?).ok()?)?,
        })
    }
}

fn prefix(digest: &[u8; DIGEST]) -> u64 {
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Where the lines of a text end.
fn ends(text: &str) -> Vec<u32> {
    let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at);
    // INVARIANT: a plan has less than 4 GiB.
    breaks.chain([text.len()]).map(|at| u32::try_from(at).unwrap_or(u32::MAX)).collect()
}

/// A client becomes a key of limits and a field of events, as the subject of a token does.
fn is_client(name: &str) -> bool {
    (1..=MAX_CLIENT_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn problem_of(profile: &ProfilePlan) -> Option<&'static str> {
    if profile.roles.iter().chain(&profile.permissions).any(String::is_empty) {
        return Some("a role or a permission is empty; remove it");
    }
    if profile.claims.keys().any(|name| name == "client" || name == "kind") {
        return Some("`client` and `kind` have their own places; give the attribute another name");
    }
    profile.claims.values().any(Value::is_null).then_some("an attribute has no value; remove it")
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
