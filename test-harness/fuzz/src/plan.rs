//! Plans: any bytes are a plan or an error, and a plan that is loaded judges requests without falling over.
//!
//! An input is the JSON of a plan. One that begins with `@` and a digit is a good plan and what is changed in it, each
//! line a JSON pointer and the value to put there, or `-` and a pointer to take something away:
//!
//! ```text
//! @0
//! /routes/0/body 7
//! -/limits
//! ```

use std::path::Path;
use std::sync::LazyLock;

use bartizan_compiler::{canonical, compile_dir};
use bartizan_engine::pipeline::Engine;
use bartizan_engine::plan::Plan;
use serde_json::Value;

use crate::fixture;

/// The plans that changes are made to: that of `bundle/`, then those of the library by name.
static PLANS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy-bundles/library");
    let compile =
        |name: &str| compile_dir(&library.join(name)).plan.expect("a bundle of the library compiles");
    let plans = ["agent-api", "fleet-devices", "iot-gateway", "minimal"].map(compile);
    let values = std::iter::once(fixture::PLAN.clone()).chain(plans);
    values.map(|plan| serde_json::to_value(plan).expect("a plan is JSON")).collect()
});

/// Any bytes as a plan.
pub fn run(data: &[u8]) -> bool {
    let changed = changed(data);
    let Ok(plan) = Plan::parse(changed.as_deref().unwrap_or(data)) else { return false };
    let text = canonical::plan(&plan).expect("a plan can be written");
    let again = Plan::parse(text.as_bytes()).expect("what was written can be read");
    assert_eq!(canonical::plan(&again).ok().as_deref(), Some(text.as_str()), "written twice, two plans");
    let Some(mut engine) = fixture::load(plan.clone()) else { return false };
    try_requests(&mut engine, &plan);
    true
}

/// Sends a few requests to the first routes.
fn try_requests(engine: &mut Engine, plan: &Plan) {
    let payload = br#"{"iss":"https://local.example/","aud":"fuzz","exp":4102444800,"sub":"me","realm":{"roles":["writer"]}}"#;
    let token = [b"Bearer ", fixture::signed(br#"{"alg":"HS256"}"#, payload).as_slice()].concat();
    for route in plan.routes.iter().take(12) {
        let method = route.methods.first().map_or("GET", String::as_str);
        let path = route.path.replace(['{', '}'], "").replace("...", "/a");
        let mut head = fixture::line(method, path.as_bytes());
        if let Some(host) = route.hosts.first() {
            head.retain(|(name, _)| name != b":authority");
            head.insert(0, (b":authority".to_vec(), host.replace('*', "x").into_bytes()));
        }
        let _ = fixture::send(engine, &head, &[], false);
        head.push((b"authorization".to_vec(), token.clone()));
        let _ = fixture::send(engine, &head, &[], false);
        for (media_type, body) in [
            ("application/json", &br#"{"name":"a","size":1.5,"tags":["a",1],"list":[{"a":null}]}"#[..]),
            ("application/x-www-form-urlencoded", b"a=1&b=%41"),
            ("image/png", b"\x89PNG"),
        ] {
            head.retain(|(name, _)| name != b"content-type");
            head.push((b"content-type".to_vec(), media_type.as_bytes().to_vec()));
            let _ = fixture::send(engine, &head, &[(body, false), (b"", true)], false);
        }
    }
}

fn changed(data: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(data.strip_prefix(b"@")?).ok()?;
    let mut lines = text.lines();
    let mut plan = PLANS.get(lines.next()?.trim().parse::<usize>().ok()?)?.clone();
    for line in lines {
        match line.strip_prefix('-') {
            Some(pointer) => remove(&mut plan, pointer),
            None => {
                if let Some((pointer, value)) = line.split_once(' ')
                    && let Ok(value) = serde_json::from_str(value)
                {
                    put(&mut plan, pointer, value);
                }
            }
        }
    }
    serde_json::to_vec(&plan).ok()
}

/// Puts a value in its place; a member that is not there is added, and `-` is behind the end of a list.
fn put(plan: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = plan.pointer_mut(pointer) {
        *place = value;
        return;
    }
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    match plan.pointer_mut(parent) {
        Some(Value::Object(members)) => drop(members.insert(name.to_owned(), value)),
        Some(Value::Array(items)) if name == "-" => items.push(value),
        _ => {}
    }
}

fn remove(plan: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    match plan.pointer_mut(parent) {
        Some(Value::Object(members)) => drop(members.remove(name)),
        Some(Value::Array(items)) => {
            if let Some(index) = name.parse().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}
