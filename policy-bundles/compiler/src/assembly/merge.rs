//! Parts put into the bundle, and their trees into its tree.

use bartizan_spec::authorization::Access;
use bartizan_spec::bundle::Bundle;
use bartizan_spec::forms::OrNone;
use bartizan_spec::limits::LimitKey;
use bartizan_spec::routes::Route;
use bartizan_spec::text::{BundleFile, Label, LimitName};

use super::Written;
use crate::diagnostic::{Report, Span};
use crate::yaml::{Cursor, Key, Meaning, Node, Scalar, Value};

pub(super) fn merge(bundle: &mut Bundle, tree: &mut Node, mut written: Written, report: &mut Report) {
    let Written { entry, part, tree: own, .. } = &mut written;
    for (index, route) in part.routes.iter_mut().enumerate() {
        let at = Cursor::root(own).get("routes").item(index);
        let (name_at, schema_at) = (at.get("name").span(), at.get("body").get("json").get("schema").span());
        if let Err(message) = rename(route, entry.name.as_str()) {
            report.error("bad-name", name_at, message, "shorten it");
        }
        if let Err(message) = refile(route, entry.name.as_str()) {
            report.error("file-missing", schema_at, message, "shorten it");
        }
        if route.hosts.is_none() {
            route.hosts.clone_from(&entry.root.hosts);
        }
        let floor = limits_of(bundle, route);
        lists(own, index, &floor, route.limits.as_deref().unwrap_or_default());
        let further = route.limits.iter().flatten().filter(|name| !floor.contains(name)).cloned();
        let all = floor.iter().cloned().chain(further).collect();
        route.limits = Some(all);
    }
    bundle.routes.append(&mut part.routes);
    // A name that is there already was reported, as it is not one of this part.
    for (name, role) in std::mem::take(&mut part.roles.0) {
        bundle.roles.0.entry(name).or_insert(role);
    }
    for (name, limit) in std::mem::take(&mut part.limits.0) {
        bundle.limits.0.entry(name).or_insert(limit);
    }
    let Value::Map(members) = std::mem::replace(&mut own.value, Value::List(Vec::new())) else { return };
    for (key, node) in
        members.into_iter().filter(|(key, _)| ["routes", "roles", "limits"].contains(&&*key.text))
    {
        graft(tree, key, node);
    }
}

/// The limits of the defaults that hold for a route of a part. A public route has no subject by which to count.
fn limits_of(bundle: &Bundle, route: &Route) -> Vec<LimitName> {
    let by_subject = |name: &LimitName| {
        bundle.limits.0.get(name).is_some_and(|limit| limit.key == LimitKey::IdentitySubject)
    };
    let holds = |name: &&LimitName| route.access != Access::Public || !by_subject(name);
    bundle.defaults.limits.iter().filter(holds).cloned().collect()
}

/// Names of routes are for people, who must see whose they are.
fn rename(route: &mut Route, part: &str) -> Result<(), String> {
    let Some(name) = &route.name else { return Ok(()) };
    let text = format!("{part}/{name}");
    let renamed = text
        .parse::<Label>()
        .map_err(|_| format!("with the name of the part before it, {text:?} is too long"))?;
    route.name = Some(renamed);
    Ok(())
}

/// A file of a part by its path in the bundle.
fn refile(route: &mut Route, part: &str) -> Result<(), String> {
    let Some(OrNone::Some(body)) = &mut route.body else { return Ok(()) };
    let Some(schema) = body.json.as_mut().and_then(|json| json.schema.as_mut()) else { return Ok(()) };
    let text = format!("parts/{part}/{schema}");
    *schema =
        text.parse::<BundleFile>().map_err(|_| format!("the path of the file, `{text}`, is too long"))?;
    Ok(())
}

/// Makes the list of limits in the tree that of the route: the places of what the part has written stay what they are.
fn lists(tree: &mut Node, index: usize, floor: &[LimitName], own: &[LimitName]) {
    let Some(route) = member(tree, "routes").and_then(|routes| match &mut routes.value {
        Value::List(items) => items.get_mut(index),
        Value::Scalar(_) | Value::Map(_) => None,
    }) else {
        return;
    };
    let Some(limits) = member(route, "limits") else { return };
    let span = limits.span;
    if let Value::List(items) = &mut limits.value {
        let written = std::mem::take(items);
        items.extend(floor.iter().map(|name| text(name.as_str(), span)));
        let further = written.into_iter().zip(own).filter(|(_, name)| !floor.contains(name));
        items.extend(further.map(|(node, _)| node));
    }
}

fn text(text: &str, span: Span) -> Node {
    Node { span, value: Value::Scalar(Scalar { text: text.to_owned(), meaning: Meaning::Text }) }
}

fn member<'n>(node: &'n mut Node, name: &str) -> Option<&'n mut Node> {
    match &mut node.value {
        Value::Map(members) => members.iter_mut().find(|(key, _)| key.text == name).map(|(_, node)| node),
        Value::Scalar(_) | Value::List(_) => None,
    }
}

/// Adds what stands behind a key of a part to what stands behind the same key of the bundle.
fn graft(tree: &mut Node, key: Key, node: Node) {
    match (member(tree, &key.text).map(|own| &mut own.value), node.value) {
        (Some(Value::List(own)), Value::List(items)) => own.extend(items),
        (Some(Value::Map(own)), Value::Map(members)) => {
            for (key, node) in members {
                if !own.iter().any(|(known, _)| known.text == key.text) {
                    own.push((key, node));
                }
            }
        }
        (None, value) => {
            if let Value::Map(members) = &mut tree.value {
                members.push((key, Node { span: node.span, value }));
            }
        }
        // What has another shape was cut away before.
        (Some(_), _) => {}
    }
}
