//! What is defined and not used, or used and never granted. Nothing here stops a bundle but a route that
//! nobody could ever pass.

use std::collections::BTreeSet;

use bartizan_engine::authentication::plan::{AuthenticationPlan, MethodRef};
use bartizan_engine::authorization::plan::RolePlan;
use bartizan_engine::limits::plan::{LimitKey, LimitPlan};
use bartizan_engine::plan::RoutePlan;
use bartizan_spec::authorization::Access;
use bartizan_spec::forms::OrNone;

use super::Input;
use crate::diagnostic::Report;

/// `who` is what was made of the methods.
pub(super) fn check(
    input: &Input<'_>,
    who: &AuthenticationPlan,
    roles: &[RolePlan],
    requirements: &[String],
    report: &mut Report,
) {
    unused_limits(input, report);
    let needing = input.bundle.routes.iter().position(|route| route.access != Access::Public);
    if let Some(index) = needing
        && who.names().next().is_none()
    {
        report.error(
            "no-issuer",
            input.root().get("routes").item(index).get("access").span(),
            "this route needs somebody to be known, and there is no method for it",
            "add an issuer under `authentication: {jwt: [...]}`, a table of keys under `api_keys`, or clients under `signed_requests`",
        );
        return;
    }
    grants(input, who, roles, requirements, report);
    open_bodies(input, report);
}

fn unused_limits(input: &Input<'_>, report: &mut Report) {
    let bundle = input.bundle;
    let named = bundle.routes.iter().flat_map(|route| route.limits.iter().flatten());
    let inherits = bundle.routes.iter().any(|route| route.limits.is_none());
    let defaults = bundle.defaults.limits.iter().filter(|_| inherits);
    let used: BTreeSet<_> = named.chain(defaults).collect();
    for name in bundle.limits.0.keys().filter(|name| !used.contains(name)) {
        report.warning(
            "unused-limit",
            input.root().get("limits").key_of(name.as_str()),
            format!("the limit `{name}` holds for no route"),
            "name it under `limits` of a route or under `defaults`, or remove it",
        );
    }
}

fn grants(
    input: &Input<'_>,
    who: &AuthenticationPlan,
    roles: &[RolePlan],
    requirements: &[String],
    report: &mut Report,
) {
    let of_keys = || who.api_keys.iter().flat_map(|keys| &keys.keys.profiles);
    let signing = || who.signed_requests.iter().flat_map(|signed| &signed.keys);
    let roles_mapped = who.jwt.iter().any(|jwt| !jwt.roles.is_empty())
        || of_keys().any(|of| !of.roles.is_empty())
        || signing().any(|key| !key.roles.is_empty());
    // Each user with a password has his own.
    let roles_mapped =
        roles_mapped || who.basic.iter().flat_map(|basic| &basic.roles).any(|of| !of.is_empty());
    let of_users = who.basic.iter().flat_map(|basic| &basic.permissions).flatten();
    let rules = || who.certificates.iter().flat_map(|method| &method.rules);
    let roles_mapped = roles_mapped || rules().any(|rule| !rule.roles.is_empty());
    let of_users = of_users.chain(rules().flat_map(|rule| &rule.permissions));
    let permissions_mapped = who.jwt.iter().any(|jwt| !jwt.permissions.is_empty());
    let of_keys = of_keys().flat_map(|of| &of.permissions).chain(signing().flat_map(|key| &key.permissions));
    let of_keys: BTreeSet<&str> = of_keys.chain(of_users).map(String::as_str).collect();
    let all = input.root().get("roles");
    if !roles.is_empty() && !roles_mapped {
        report.warning(
            "roles-without-claim",
            input.root().key_of("roles"),
            "there are roles, no issuer says which claim holds them, and no key has one",
            "add `map: {roles: ...}` to an issuer, or `roles` to keys",
        );
    }
    for role in roles {
        let useful =
            role.permissions.iter().any(|grant| requirements.iter().any(|needed| may_cover(grant, needed)));
        if !useful {
            report.warning(
                "role-without-effect",
                all.key_of(&role.name),
                format!("the role `{}` grants nothing that a route requires", role.name),
                "check its permissions against those under `access`, or remove it",
            );
        }
    }
    if permissions_mapped {
        return;
    }
    let mut reported: BTreeSet<&str> = BTreeSet::new();
    for (index, route) in input.bundle.routes.iter().enumerate() {
        let access = input.root().get("routes").item(index).get("access");
        let (field, list) = match &route.access {
            Access::Public | Access::Authenticated => continue,
            Access::Permission(one) => ("permission", std::slice::from_ref(one)),
            Access::All(list) => ("all", list.as_slice()),
            Access::Any(list) => ("any", list.as_slice()),
        };
        for (item, requirement) in list.iter().enumerate() {
            let needed = requirement.as_str();
            let of_roles = roles.iter().flat_map(|role| &role.permissions).map(String::as_str);
            let granted = of_roles.chain(of_keys.iter().copied()).any(|grant| may_cover(grant, needed));
            if !granted && reported.insert(needed) {
                report.warning(
                    "permission-never-granted",
                    access.get(field).item(item).span(),
                    format!("no role or key has `{needed}`, and no issuer maps permissions: nobody can pass"),
                    "grant it to a role, or add `map: {permissions: ...}` to an issuer",
                );
            }
        }
    }
}

/// Whether a grant covers what is needed, for at least one value of its parameters.
fn may_cover(grant: &str, needed: &str) -> bool {
    if grant == "*" {
        return true;
    }
    let mut granted = grant.splitn(3, ':');
    let mut required = needed.splitn(3, ':');
    let fits = |granted: Option<&str>, required: Option<&str>| granted == Some("*") || granted == required;
    if !fits(granted.next(), required.next()) || !fits(granted.next(), required.next()) {
        return false;
    }
    match (granted.next(), required.next()) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(granted), Some(required)) => granted == "*" || granted == required || required.contains('{'),
    }
}

fn open_bodies(input: &Input<'_>, report: &mut Report) {
    for (index, route) in input.bundle.routes.iter().enumerate() {
        let limits = route.limits.as_ref().unwrap_or(&input.bundle.defaults.limits);
        let body = matches!(&route.body, Some(OrNone::Some(_)));
        if body && limits.is_empty() && route.access == Access::Public {
            report.warning(
                "public-body",
                input.root().get("routes").item(index).key_of("body"),
                "everybody may send bodies to this route, as often as they like",
                "add a limit by `client.address`",
            );
        }
    }
}

/// Says where anybody may make workers verify passwords: whoever guesses, or only wants them busy.
pub(super) fn guesses(
    input: &Input<'_>,
    who: &AuthenticationPlan,
    routes: &[RoutePlan],
    limits: &[LimitPlan],
    report: &mut Report,
) {
    let takes_passwords = |route: &RoutePlan| {
        let combination = route.authentication.and_then(|number| who.combinations.get(number));
        combination.is_some_and(|of| of.methods.iter().any(|method| matches!(method, MethodRef::Basic(_))))
    };
    let by_address = |number: &usize| limits.get(*number).is_some_and(|limit| limit.key == LimitKey::Address);
    let mut open =
        (0..).zip(routes).filter(|(_, route)| takes_passwords(route) && !route.limits.iter().any(by_address));
    let Some((first, _)) = open.next() else { return };
    let others = match open.count() {
        0 => String::new(),
        1 => " (and one more does)".to_owned(),
        more => format!(" (and {more} more do)"),
    };
    report.warning(
        "passwords-without-limit",
        input.root().get("routes").item(first).get("path").span(),
        format!("this route takes passwords and has no limit by `client.address`{others}: anybody may keep workers busy with wrong ones"),
        "add a limit by `client.address` to the route, or to `defaults`: it is charged before any password is verified",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_cover_as_the_engine_says() {
        for (grant, needed, covers) in [
            ("*", "a:b:c", true),
            ("a:*", "a:b", true),
            ("a:b", "a:b:{id}", true),
            ("a:b:7", "a:b:{id}", true),
            ("a:b:7", "a:b", false),
            ("a:b:7", "a:b:8", false),
            ("a:c", "a:b", false),
            ("*:b", "a:b", true),
        ] {
            assert_eq!(may_cover(grant, needed), covers, "{grant} {needed}");
        }
    }
}
