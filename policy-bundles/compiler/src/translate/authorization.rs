//! Roles with everything they inherit, and the permissions that routes require.

use std::collections::{BTreeMap, BTreeSet};

use bartizan_engine::authorization::plan::RolePlan;
use bartizan_spec::authorization::Role;
use bartizan_spec::text::{Requirement, RoleName};

use super::Input;
use crate::diagnostic::Report;
use crate::suggest;

/// The distinct permissions that routes require, each with its number.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    list: Vec<String>,
    numbers: BTreeMap<String, usize>,
}

impl Requirements {
    /// The number of a permission.
    pub(super) fn number(&mut self, requirement: &Requirement) -> usize {
        let text = requirement.as_str();
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.list.len();
        self.list.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    pub(super) fn into_list(self) -> Vec<String> {
        self.list
    }
}

pub(super) fn roles(input: &Input<'_>, report: &mut Report) -> Vec<RolePlan> {
    let roles = &input.bundle.roles.0;
    let all = input.root().get("roles");
    for (name, role) in roles {
        let at = all.get(name.as_str());
        for (index, parent) in role.inherits.iter().enumerate() {
            let here = at.get("inherits").item(index).span();
            if !input.names.roles.contains_key(parent.as_str()) {
                report.error(
                    "unknown-role",
                    here,
                    format!("there is no role `{parent}`, which `{name}` inherits"),
                    suggest::remedy(parent.as_str(), input.names.roles.keys().map(String::as_str), "roles"),
                );
            } else if role.inherits.iter().take(index).any(|other| other == parent) {
                report.error(
                    "role-twice",
                    here,
                    format!("the role `{name}` inherits `{parent}` twice"),
                    "remove one of them",
                );
            }
        }
        for (index, grant) in role.permissions.iter().enumerate() {
            if role.permissions.iter().take(index).any(|other| other == grant) {
                report.error(
                    "permission-twice",
                    at.get("permissions").item(index).span(),
                    format!("the role `{name}` grants `{grant}` twice"),
                    "remove one of them",
                );
            }
        }
    }
    report_cycles(input, report);
    roles
        .keys()
        .map(|name| RolePlan {
            name: name.as_str().to_owned(),
            at: all.get(name.as_str()).at(),
            permissions: granted(roles, name),
        })
        .collect()
}

/// Everything a role grants, sorted. Each role is visited once, so circles end.
fn granted(roles: &BTreeMap<RoleName, Role>, name: &RoleName) -> Vec<String> {
    let mut permissions = BTreeSet::new();
    let mut seen = BTreeSet::from([name]);
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        let Some(role) = roles.get(name) else { continue };
        permissions.extend(role.permissions.iter().map(|grant| grant.as_str().to_owned()));
        open.extend(role.inherits.iter().filter(|parent| seen.insert(parent)));
    }
    permissions.into_iter().collect()
}

/// Reports every circle of inheritance once, with the way it takes.
fn report_cycles(input: &Input<'_>, report: &mut Report) {
    let roles = &input.bundle.roles.0;
    let mut done: BTreeSet<&RoleName> = BTreeSet::new();
    for start in roles.keys() {
        // An explicit stack: a chain of thousands of roles shall not be a chain of thousands of calls.
        let mut path: Vec<(&RoleName, usize)> = vec![(start, 0)];
        while let Some((name, next)) = path.last().copied() {
            let parent = roles.get(name).and_then(|role| role.inherits.get(next));
            let Some(parent) = parent.filter(|_| !done.contains(name)) else {
                done.insert(name);
                path.pop();
                continue;
            };
            if let Some(last) = path.last_mut() {
                last.1 = last.1.saturating_add(1);
            }
            if let Some(from) = path.iter().position(|(visited, _)| *visited == parent) {
                let way: Vec<String> = path
                    .iter()
                    .skip(from)
                    .map(|(n, _)| *n)
                    .chain([parent])
                    .map(|n| format!("`{n}`"))
                    .collect();
                let at = input.root().get("roles").get(name.as_str()).get("inherits").item(next);
                report.error(
                    "role-cycle",
                    at.span(),
                    format!(
                        "the role {parent} inherits itself: {}",
                        way.join(" inherits "),
                        parent = way.first().map_or("", String::as_str)
                    ),
                    "remove one of these lines, so that no role comes back to itself",
                );
            } else if !done.contains(parent) && roles.contains_key(parent) {
                path.push((parent, 0));
            }
        }
    }
}
