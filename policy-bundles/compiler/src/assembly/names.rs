//! Whose names are whose. Roles and limits of a part begin with its name and a slash; its permissions are of a type
//! that is its name, or begins with it and a slash. Only the part requires them, and only it and the bundle grant them.

use bartizan_spec::authentication::Revoked;
use bartizan_spec::authorization::Access;
use bartizan_spec::bundle::Bundle;
use bartizan_spec::limits::DEFAULT_SLOTS;
use bartizan_spec::routes::Route;
use bartizan_spec::text::Requirement;

use super::Written;
use crate::diagnostic::{Report, Span};
use crate::yaml::Cursor;

/// Limits of a part are defined by the part.
pub(crate) fn no_limits_of_parts(bundle: &Bundle, at: Cursor<'_>, report: &mut Report) {
    for name in bundle.limits.0.keys().filter(|name| name.as_str().contains('/')) {
        report.error(
            "name-of-a-part",
            at.get("limits").key_of(name.as_str()),
            format!("the limit `{name}` has the name of a limit of a part"),
            "leave out the slash and what stands before it",
        );
    }
}

/// The names in the bundle itself: none of them is one of a part.
pub(super) fn of_the_bundle(bundle: &Bundle, at: Cursor<'_>, report: &mut Report) {
    let part = |name: &str| {
        bundle.parts.iter().map(|part| part.name.as_str()).find(|part| is_below(part, name, '/'))
    };
    for role in bundle.roles.0.keys() {
        if let Some(part) = part(role.as_str()) {
            report.error(
                "name-of-a-part",
                at.get("roles").key_of(role.as_str()),
                format!("the role `{role}` has the name of a role of the part `{part}`"),
                format!("define it in the `part.yaml` of `{part}`, or give it another name"),
            );
        }
    }
    for (index, route) in bundle.routes.iter().enumerate() {
        for (requirement, span) in requirements(route, at.get("routes").item(index)) {
            let owner =
                bundle.parts.iter().map(|part| part.name.as_str()).find(|part| owns(part, requirement));
            if let Some(part) = owner {
                foreign(requirement, part, span, report);
            }
        }
        let files = route.body.iter().filter_map(|body| match body {
            bartizan_spec::forms::OrNone::Some(body) => body.json.as_ref()?.schema.as_ref(),
            bartizan_spec::forms::OrNone::None => None,
        });
        for file in files {
            let at = at.get("routes").item(index).get("body").get("json").get("schema");
            file_of_a_part(bundle, file.as_str(), at.span(), report);
        }
    }
    if let Some(file) = bundle.defaults.body.as_ref().and_then(|body| body.json.as_ref()?.schema.as_ref()) {
        let at = at.get("defaults").get("body").get("json").get("schema");
        file_of_a_part(bundle, file.as_str(), at.span(), report);
    }
    for (index, jwt) in bundle.authentication.jwt.iter().enumerate() {
        use bartizan_spec::authentication::Keys;
        let (field, file) = match &jwt.keys {
            Keys::Jwks(file) => ("jwks", file),
            Keys::Pem(file) => ("pem", file),
            Keys::JwksInline(_) | Keys::Secret(_) | Keys::Remote(_) | Keys::Discovery(_) => continue,
        };
        let at = at.get("authentication").get("jwt").item(index).get("keys").get(field);
        file_of_a_part(bundle, file.as_str(), at.span(), report);
    }
    for (index, keys) in bundle.authentication.api_keys.iter().enumerate() {
        let at = at.get("authentication").get("api_keys").item(index).get("keys");
        file_of_a_part(bundle, keys.keys.as_str(), at.span(), report);
    }
    if let Some(revoked) = &bundle.authentication.revoked {
        let at = at.get("authentication").get("revoked");
        let at = if let Revoked::Lists(_) = revoked { at.get("file") } else { at };
        if let Some(file) = revoked.file() {
            file_of_a_part(bundle, file.as_str(), at.span(), report);
        }
    }
    for (index, basic) in bundle.authentication.basic.iter().enumerate() {
        let at = at.get("authentication").get("basic").item(index).get("users");
        file_of_a_part(bundle, basic.users.as_str(), at.span(), report);
    }
    for (index, totp) in bundle.authentication.totp.iter().enumerate() {
        let bartizan_spec::authentication::Users::File { file, .. } = &totp.users else { continue };
        let at = at.get("authentication").get("totp").item(index).get("users").get("file");
        file_of_a_part(bundle, file.as_str(), at.span(), report);
    }
    for (index, way) in bundle.authentication.certificates.iter().enumerate() {
        use bartizan_spec::authentication::Fingerprints;
        let at = at.get("authentication").get("certificates").item(index);
        let rules = way.accept.iter().enumerate();
        let rules = rules.map(|(i, rule)| (&rule.fingerprints, at.get("accept").item(i).get("fingerprints")));
        for (fingerprints, at) in rules.chain([(&way.revoked, at.get("revoked"))]) {
            if let Some(Fingerprints::File(file)) = fingerprints {
                file_of_a_part(bundle, file.as_str(), at.span(), report);
            }
        }
    }
}

/// What a part says must not decide what the bundle says, not even by a schema.
fn file_of_a_part(bundle: &Bundle, file: &str, span: Span, report: &mut Report) {
    let part = file.strip_prefix("parts/").and_then(|rest| rest.split_once('/')).map(|(part, _)| part);
    if let Some(part) = part.filter(|part| bundle.parts.iter().any(|known| known.name.as_str() == *part)) {
        report.error(
            "file-of-a-part",
            span,
            format!("`{file}` is a file of the part `{part}`, which could change what the bundle says"),
            "copy the file into a directory of the bundle",
        );
    }
}

/// The most limits that a part may have, and that one of its routes may name: each is a read and a write for each request.
const MOST_LIMITS: usize = 16;
const MOST_LIMITS_OF_A_ROUTE: usize = 8;

/// What a part may cost the proxy, which is everybody's.
pub(super) fn costs(written: &Written, at: Cursor<'_>, report: &mut Report) {
    let part = written.entry.name.as_str();
    let limits = &written.part.limits.0;
    if limits.len() > MOST_LIMITS {
        report.error(
            "part-costs",
            at.key_of("limits"),
            format!("the part `{part}` has {} limits, and the most is {MOST_LIMITS}", limits.len()),
            "let routes share limits",
        );
    }
    for (name, limit) in limits.iter().filter(|(_, limit)| limit.slots > DEFAULT_SLOTS) {
        report.error(
            "part-costs",
            at.get("limits").get(name.as_str()).get("slots").span(),
            format!("the limit `{name}` has {} slots, and the most in a part is {DEFAULT_SLOTS}", limit.slots),
            "leave out `slots`; a limit that needs more memory belongs into the bundle, which lists it for this part",
        );
    }
    for (index, route) in written.part.routes.iter().enumerate() {
        let count = route.limits.as_ref().map_or(0, Vec::len);
        if count > MOST_LIMITS_OF_A_ROUTE {
            report.error(
                "part-costs",
                at.get("routes").item(index).get("limits").key(),
                format!("this route has {count} limits, and the most in a part is {MOST_LIMITS_OF_A_ROUTE}"),
                "name fewer: each costs a read and a write for each request",
            );
        }
    }
}

/// The names in a part: what it defines is its own, and what it uses is its own or the bundle's.
pub(super) fn of_a_part(written: &Written, at: Cursor<'_>, report: &mut Report) {
    let part = written.entry.name.as_str();
    for name in written.part.limits.0.keys().filter(|name| !is_below(part, name.as_str(), '/')) {
        let bare = name.as_str().rsplit('/').next().unwrap_or_default();
        report.error(
            "part-names",
            at.get("limits").key_of(name.as_str()),
            format!("the limit `{name}` does not bear the name of the part"),
            format!("name it `{part}/{bare}`; limits of the bundle cannot be changed here"),
        );
    }
    for (name, role) in &written.part.roles.0 {
        let here = at.get("roles");
        if !is_below(part, name.as_str(), '/') {
            report.error(
                "part-names",
                here.key_of(name.as_str()),
                format!("the role `{name}` does not bear the name of the part"),
                format!("name it `{part}/{name}`; roles of the bundle cannot be changed here"),
            );
        }
        let here = here.get(name.as_str());
        for (index, parent) in role.inherits.iter().enumerate() {
            if !is_below(part, parent.as_str(), '/') {
                report.error(
                    "part-names",
                    here.get("inherits").item(index).span(),
                    format!("the role `{name}` inherits `{parent}`, which is not of the part"),
                    format!("roles of a part inherit roles of the part: `{part}/...`"),
                );
            }
        }
        for (index, grant) in role.permissions.iter().enumerate() {
            let kind = grant.as_str().split(':').next().unwrap_or_default();
            if kind != part && !is_below(part, kind, '/') {
                report.error(
                    "part-names",
                    here.get("permissions").item(index).span(),
                    format!("the role `{name}` grants `{grant}`, which is not of the part"),
                    format!("roles of a part grant permissions such as `{part}:read`"),
                );
            }
        }
    }
    for (index, route) in written.part.routes.iter().enumerate() {
        let here = at.get("routes").item(index);
        for (index, name) in route.limits.iter().flatten().enumerate() {
            if name.as_str().contains('/') && !is_below(part, name.as_str(), '/') {
                report.error(
                    "part-names",
                    here.get("limits").item(index).span(),
                    format!("the limit `{name}` is of another part"),
                    format!("use a limit of the bundle, or one of this part: `{part}/...`"),
                );
            }
        }
    }
}

/// Permissions of a part that a route of another one asks for.
pub(super) fn of_other_parts(written: &Written, others: &[String], report: &mut Report) {
    let at = Cursor::root(&written.tree).get("routes");
    for (index, route) in written.part.routes.iter().enumerate() {
        for (requirement, span) in requirements(route, at.item(index)) {
            let owner = others
                .iter()
                .find(|other| other.as_str() != written.entry.name.as_str() && owns(other, requirement));
            if let Some(part) = owner {
                foreign(requirement, part, span, report);
            }
        }
    }
}

fn foreign(requirement: &Requirement, part: &str, span: Span, report: &mut Report) {
    report.error(
        "name-of-a-part",
        span,
        format!("the permission `{requirement}` is of the part `{part}`, whose roles may grant it"),
        "ask for a permission of your own: who may grant it would be decided elsewhere",
    );
}

/// Whether a permission is one of a part.
fn owns(part: &str, requirement: &Requirement) -> bool {
    let kind = requirement.as_str().split(':').next().unwrap_or_default();
    kind == part || is_below(part, kind, '/')
}

fn is_below(part: &str, name: &str, separator: char) -> bool {
    name.strip_prefix(part).is_some_and(|rest| rest.starts_with(separator))
}

/// What a route requires, and where it says so.
fn requirements<'r>(route: &'r Route, at: Cursor<'_>) -> Vec<(&'r Requirement, Span)> {
    let access = at.get("access");
    let (field, list) = match &route.access {
        Access::Public | Access::Authenticated => return Vec::new(),
        Access::Permission(one) => ("permission", std::slice::from_ref(one)),
        Access::All(list) => ("all", list.as_slice()),
        Access::Any(list) => ("any", list.as_slice()),
    };
    list.iter().enumerate().map(|(index, one)| (one, access.get(field).item(index).span())).collect()
}
