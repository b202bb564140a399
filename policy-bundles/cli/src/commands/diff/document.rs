//! A plan as people speak of it: things by their names, no numbers of places, no lines of files.
//!
//! It is made from the JSON of the plan and not from its types, so that what is new in a plan is compared as well.

use std::collections::BTreeMap;

use bartizan_compiler::{Release, canonical};
use bartizan_engine::envelope::key::{hex, sha256};
use bartizan_engine::plan::Plan;
use serde_json::{Map, Value, json};

use crate::commands::verify::moment;

/// The sections of a bundle, in the order in which they are told. Those of named things map names to things.
pub(super) type Document = Vec<(&'static str, Section)>;

/// A section.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Section {
    /// One thing.
    One(Value),
    /// Things by name.
    Named(BTreeMap<String, Value>),
}

/// The document of a plan that the engine takes: the order of its routes means nothing.
///
/// # Errors
/// When the plan cannot be written as JSON.
pub(super) fn of(plan: &Plan, release: &Release) -> Result<Document, String> {
    let plan = serde_json::to_value(plan).map_err(|error| format!("the plan cannot be written: {error}"))?;
    Ok(of_json(plan, release))
}

/// The document of the JSON of a plan.
pub(super) fn of_json(mut plan: Value, release: &Release) -> Document {
    without_places(&mut plan);
    let mut take = |name: &str| plan.get_mut(name).map(Value::take).unwrap_or_default();
    let (routes, limits, mut authentication) = (take("routes"), take("limits"), take("authentication"));
    let (mut authorization, mut validation) = (take("authorization"), take("validation"));
    let limit_names: Vec<Value> =
        list(&limits).iter().map(|limit| limit.get("id").cloned().unwrap_or_default()).collect();
    let requirements = authorization.get_mut("requirements").map(Value::take).unwrap_or_default();
    let mut of_validation = |name: &str| validation.get_mut(name).map(Value::take).unwrap_or_default();
    let (schemas, bodies) = (of_validation("schemas"), of_validation("bodies"));
    let inspections = of_validation("inspections");
    let combinations = authentication.get_mut("combinations").map(Value::take).unwrap_or_default();
    let combinations: Vec<Value> =
        list(&combinations).iter().map(|one| combination(one, &authentication)).collect();
    let mut step_ups = authentication.get_mut("step_up").map(Value::take).unwrap_or_default();
    let factors = authentication.get("totp").cloned().unwrap_or_default();
    for step_up in step_ups.as_array_mut().into_iter().flatten() {
        replace(step_up, "totp", |number| at(list(&factors), &number).get("name").cloned().unwrap_or(number));
    }
    let shared = Shared {
        limits: &limit_names,
        requirements: list(&requirements),
        bodies: &list(&bodies).iter().map(|rule| body(rule, list(&schemas))).collect::<Vec<_>>(),
        inspections: &list(&inspections).iter().map(inspection).collect::<Vec<_>>(),
        step_ups: list(&step_ups),
        combinations: &combinations,
    };
    let routes = named(&routes, "id", |route| shared.route(route));
    let jwt = authentication.get_mut("jwt").map(Value::take).unwrap_or_default();
    let api_keys = authentication.get_mut("api_keys").map(Value::take).unwrap_or_default();
    let basic = authentication.get_mut("basic").map(Value::take).unwrap_or_default();
    let totp = authentication.get_mut("totp").map(Value::take).unwrap_or_default();
    let signed = authentication.get_mut("signed_requests").map(Value::take).unwrap_or_default();
    if let Some(revoked) = authentication.get_mut("revoked") {
        replace(revoked, "list", revoked_list);
    }
    let roles = authorization.get_mut("roles").map(Value::take).unwrap_or_default();
    let bundle = json!({
        "name": take("name"), "revision": take("revision"), "plan_version": take("plan_version"),
        "labels": release.labels, "not_before": moment(release.not_before), "expires": moment(release.expires),
        "when_expired": release.when_expired.name(),
    });
    let mut network = take("network");
    for side in ["deny", "allow"] {
        replace(&mut network, side, |entries| {
            list(&entries).iter().map(|entry| entry.get("network").cloned().unwrap_or_default()).collect()
        });
    }
    vec![
        ("bundle", Section::One(bundle)),
        ("intake", Section::One(take("intake"))),
        ("network", Section::One(network)),
        ("issuers", named(&jwt, "name", issuer)),
        ("api keys", named(&api_keys, "name", key_table)),
        ("passwords", named(&basic, "name", secret_table)),
        ("second factors", named(&totp, "name", secret_table)),
        ("signed requests", named(&signed, "name", Clone::clone)),
        ("roles", named(&roles, "name", Clone::clone)),
        ("limits", named(&limits, "id", limit)),
        ("routes", routes),
        ("headers", Section::One(headers(take("headers")))),
        // Whatever a later plan has beside all this.
        (
            "more",
            Section::One(json!({
                "plan": without_nulls(plan),
                "authentication": without_nulls(authentication),
                "authorization": without_nulls(authorization),
                "validation": without_nulls(validation),
            })),
        ),
    ]
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn replace(object: &mut Value, member: &str, with: impl FnOnce(Value) -> Value) {
    if let Some(value) = object.get_mut(member) {
        *value = with(value.take());
    }
}

/// What was taken leaves a null behind.
fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        members.retain(|_, member| !member.is_null());
    }
    value
}

/// Where a rule was written is not what it says.
fn without_places(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("at");
            members.values_mut().for_each(without_places);
        }
        Value::Array(items) => items.iter_mut().for_each(without_places),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Things by name. Names are unique in what the compiler makes; a second one is told apart all the same.
fn named(items: &Value, key: &str, of: impl Fn(&Value) -> Value) -> Section {
    let mut all = BTreeMap::new();
    for item in list(items) {
        let mut name = item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        while all.contains_key(&name) {
            name.push_str(" (again)");
        }
        let mut thing = of(item);
        if let Value::Object(members) = &mut thing {
            members.remove(key);
        }
        all.insert(name, thing);
    }
    Section::Named(all)
}

/// What routes point to by number.
struct Shared<'s> {
    limits: &'s [Value],
    requirements: &'s [Value],
    bodies: &'s [Value],
    inspections: &'s [Value],
    step_ups: &'s [Value],
    combinations: &'s [Value],
}

impl Shared<'_> {
    fn route(&self, route: &Value) -> Value {
        let mut route = route.clone();
        replace(&mut route, "limits", |numbers| list(&numbers).iter().map(|n| at(self.limits, n)).collect());
        replace(&mut route, "body", |number| at(self.bodies, &number));
        replace(&mut route, "inspection", |number| at(self.inspections, &number));
        replace(&mut route, "step_up", |number| without_nulls(at(self.step_ups, &number)));
        replace(&mut route, "authentication", |number| at(self.combinations, &number));
        replace(&mut route, "access", |access| self.access(access));
        route
    }

    fn access(&self, access: Value) -> Value {
        let Some(permitted) = access.get("permitted") else { return access };
        let names = |which: &str| -> Vec<String> {
            let numbers = list(permitted.get(which).unwrap_or(&Value::Null));
            numbers.iter().map(|n| at(self.requirements, n).as_str().unwrap_or_default().to_owned()).collect()
        };
        let (all, any) = (names("all"), names("any"));
        let mut parts = all;
        if !any.is_empty() {
            parts.push(format!("one of {}", any.join(", ")));
        }
        Value::from(format!("permission {}", parts.join(" and ")))
    }
}

/// What stands at a number; the number itself, if nothing does.
fn at(list: &[Value], number: &Value) -> Value {
    let found = number.as_u64().and_then(|n| usize::try_from(n).ok()).and_then(|n| list.get(n));
    found.unwrap_or(number).clone()
}

/// A body rule by content types, with a digest in the place of each schema: a program is no reading.
fn body(rule: &Value, schemas: &[Value]) -> Value {
    let mut rule = rule.clone();
    replace(&mut rule, "content", |content| {
        let by_type = list(&content).iter().map(|entry| {
            let mut entry = entry.clone();
            if let Some(json) = entry.pointer_mut("/read/json") {
                replace(json, "schema", |schema| match at(schemas, &schema) {
                    Value::Null => Value::Null,
                    program => Value::from(format!("schema {}", digest(&program))),
                });
            }
            let media_type = entry.get_mut("media_type").map(Value::take).unwrap_or_default();
            json!([media_type, without_nulls(entry)])
        });
        mapping(by_type.collect())
    });
    rule
}

/// What is looked for and where, as people write it.
fn inspection(inspection: &Value) -> Value {
    const ATTACKS: [&str; 3] = ["sqli", "xss", "traversal"];
    const PLACES: [&str; 4] = ["path", "query", "cookies", "body"];
    let mut inspection = inspection.clone();
    if let Value::Object(members) = &mut inspection {
        for (name, all) in [("for", ATTACKS.as_slice()), ("in", PLACES.as_slice())] {
            let mut on = Vec::new();
            for one in all {
                if members.remove(*one) == Some(Value::Bool(true)) {
                    on.push(Value::from(*one));
                }
            }
            members.insert(name.to_owned(), Value::Array(on));
        }
    }
    inspection
}

/// The digest of something too long to show. It is never cut: of two that begin alike one can be made at will.
fn digest(value: &Value) -> String {
    format!("sha256:{}", hex(&sha256(canonical::json(value).as_bytes())))
}

fn issuer(jwt: &Value) -> Value {
    let mut jwt = jwt.clone();
    replace(&mut jwt, "keys", |keys| {
        match keys.get("jwks").and_then(Value::as_str).map(serde_json::from_str::<Value>) {
            Some(Ok(set)) => list(set.get("keys").unwrap_or(&Value::Null)).iter().map(key).collect(),
            _ => keys,
        }
    });
    for pairs in ["require_claims", "require_types", "forward_claims"] {
        replace(&mut jwt, pairs, mapping);
    }
    jwt
}

/// Which methods a route takes, by their names: numbers say nothing, and mean another method when one is added.
fn combination(combination: &Value, authentication: &Value) -> Value {
    let mode = combination.get("mode").and_then(Value::as_str).unwrap_or_default();
    let methods = list(combination.get("methods").unwrap_or(&Value::Null)).iter().map(|method| {
        let (kind, number) = method.as_object().and_then(|pair| pair.iter().next())?;
        let of_kind = list(authentication.get(kind)?);
        Some(at(of_kind, number).get("name")?.as_str()?.to_owned())
    });
    match methods.collect::<Option<Vec<_>>>() {
        Some(names) => Value::from(format!("{mode} of {}", names.join(", "))),
        None => combination.clone(),
    }
}

/// Something with a table of what nobody should see in a log of a pipeline, hashes of passwords among it: only
/// that it changed is shown.
fn secret_table(method: &Value) -> Value {
    let mut method = method.clone();
    for member in ["users", "hashes"] {
        replace(&mut method, member, |table| match table.get("env") {
            Some(_) => table,
            None => Value::from(digest(&table)),
        });
    }
    for pairs in ["forward", "forward_claims"] {
        replace(&mut method, pairs, mapping);
    }
    method
}

/// A table of API keys: nobody reads a hundred thousand digests, so what changed among them is said by their number.
fn key_table(table: &Value) -> Value {
    let mut table = table.clone();
    replace(&mut table, "keys", |keys| {
        let count = list(keys.get("period").unwrap_or(&Value::Null)).len();
        Value::from(format!("{count} keys ({})", digest(&keys)))
    });
    replace(&mut table, "forward", mapping);
    table
}

/// What was revoked, likewise.
fn revoked_list(list: Value) -> Value {
    let count =
        |names: &str| list.get(names).and_then(|of| of.get("count")).and_then(Value::as_u64).unwrap_or(0);
    let (tokens, sessions, subjects) = (count("tokens"), count("sessions"), count("subjects"));
    Value::from(format!("{tokens} tokens, {sessions} sessions, {subjects} subjects ({})", digest(&list)))
}

/// A key by its name and digest: the same name with another digest is another key.
fn key(key: &Value) -> Value {
    let text = |member: &str| key.get(member).and_then(Value::as_str);
    let name = text("kid").map_or_else(|| "without a name".to_owned(), |kid| format!("`{kid}`"));
    let kind = text("alg").or_else(|| text("crv")).or_else(|| text("kty")).unwrap_or_default();
    Value::from(format!("key {name} ({kind}, {})", digest(key)))
}

fn limit(limit: &Value) -> Value {
    let mut limit = limit.clone();
    let number = |window: &Value, name: &str| window.get(name).and_then(Value::as_u64).unwrap_or(0);
    replace(&mut limit, "windows", |windows| {
        let words = list(&windows).iter().map(|window| {
            let (count, burst) = (number(window, "count"), number(window, "burst"));
            Value::from(format!("{count}/{} burst {burst}", period(number(window, "period_ms"))))
        });
        words.collect()
    });
    if let Value::Object(members) = &mut limit
        && let Some(windows) = members.remove("windows")
    {
        members.insert("rate".to_owned(), windows);
    }
    limit
}

fn period(ms: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let unit = units.into_iter().find(|(_, length)| ms >= *length && ms.is_multiple_of(*length));
    let (name, length) = unit.unwrap_or(("ms", 1));
    format!("{}{name}", ms / length)
}

fn headers(mut headers: Value) -> Value {
    for side in ["request", "response"] {
        if let Some(edits) = headers.get_mut(side) {
            replace(edits, "set", mapping);
            replace(edits, "add", |pairs| {
                let lines = list(&pairs).iter().map(|pair| match list(pair) {
                    [name, value] => Value::from(format!("{}: {}", words(name), words(value))),
                    _ => pair.clone(),
                });
                lines.collect()
            });
        }
    }
    headers
}

/// Pairs of a name and a value as a mapping; as they are, if a name comes twice.
fn mapping(pairs: Value) -> Value {
    let members: Map<String, Value> = list(&pairs)
        .iter()
        .filter_map(|pair| match list(pair) {
            [Value::String(name), value] => Some((name.clone(), value.clone())),
            _ => None,
        })
        .collect();
    if members.len() == list(&pairs).len() { Value::Object(members) } else { pairs }
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
