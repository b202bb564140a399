//! That nothing which makes a difference goes untold.

use bartizan_compiler::Release;

use super::document::{Section, of_json};
use super::*;

fn plan() -> Value {
    let gateway = Path::new(env!("CARGO_MANIFEST_DIR")).join("../library/iot-gateway");
    serde_json::to_value(compile_dir(&gateway).plan.unwrap()).unwrap()
}

fn document(plan: Value) -> Document {
    of_json(plan, &Release::default())
}

fn changes(old: &Document, plan: &Value) -> Vec<Change> {
    compare::documents(old, &document(plan.clone()))
}

/// The places of everything in a plan that is no object: values without parts, and lists.
fn places(value: &Value, place: &str, values: &mut Vec<String>, lists: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(name, member)| places(member, &format!("{place}/{name}"), values, lists));
        }
        Value::Array(items) => {
            lists.push(place.to_owned());
            let items = items.iter().enumerate();
            items.for_each(|(index, item)| places(item, &format!("{place}/{index}"), values, lists));
        }
        _ => values.push(place.to_owned()),
    }
}

#[test]
fn no_change_of_a_plan_goes_untold() {
    let plan = plan();
    let old = document(plan.clone());
    assert!(changes(&old, &plan).is_empty());
    let (mut values, mut lists) = (Vec::new(), Vec::new());
    places(&plan, "", &mut values, &mut lists);
    // Where a rule stands in a file is not what it says.
    values.retain(|place| !place.ends_with("/at"));
    assert!(values.len() > 500 && lists.len() > 100, "{} values, {} lists", values.len(), lists.len());
    for place in values {
        let mut new = plan.clone();
        let value = new.pointer_mut(&place).unwrap();
        *value = match value.take() {
            Value::Bool(truth) => Value::from(!truth),
            // A number that is an index leads to nothing else by chance.
            Value::Number(number) => Value::from(number.as_u64().unwrap() + 1000),
            Value::String(text) => Value::from(text + "x"),
            _ => Value::from("x"),
        };
        let changes = changes(&old, &new);
        assert!(!changes.is_empty(), "{place}");
        for change in changes.iter().filter(|change| change.kind == Kind::Changed) {
            let (old, new) = compare::both(&change.old, &change.new);
            assert_ne!(old, new, "{place}");
        }
    }
    for place in lists {
        let mut fewer = plan.clone();
        let items = fewer.pointer_mut(&place).unwrap().as_array_mut().unwrap();
        if !items.is_empty() {
            items.remove(0);
            assert!(!changes(&old, &fewer).is_empty(), "{place}: one taken away");
        }
        // What no route points to says nothing.
        let ends = |end: &str| place.ends_with(end);
        if ends("/bodies")
            || ends("/schemas")
            || ends("/inspections")
            || ends("/requirements")
            || ends("/combinations")
            || ends("/step_up")
        {
            continue;
        }
        let mut more = plan.clone();
        more.pointer_mut(&place).unwrap().as_array_mut().unwrap().push("x".into());
        assert!(!changes(&old, &more).is_empty(), "{place}: one more");
    }
}

#[test]
fn a_type_that_comes_twice_is_not_dropped() {
    let plan = plan();
    let mut new = plan.clone();
    let content = new.pointer_mut("/validation/bodies/1/content").unwrap().as_array_mut().unwrap();
    content.insert(0, json!({"media_type": "application/json", "read": "opaque"}));
    assert!(!changes(&document(plan), &new).is_empty());
}

#[test]
fn keys_and_schemas_are_compared_by_whole_digests() {
    let document = document(plan());
    let section = |name: &str| match document.iter().find(|(section, _)| *section == name) {
        Some((_, Section::Named(things))) => json!(things).to_string(),
        other => panic!("{name}: {other:?}"),
    };
    for (name, what) in [("issuers", "key `"), ("routes", "schema sha256:")] {
        let text = section(name);
        assert!(text.contains(what), "{text}");
        for (_, digest) in text.match_indices("sha256:").map(|(at, found)| text.split_at(at + found.len())) {
            let digits = digest.bytes().take_while(u8::is_ascii_hexdigit).count();
            assert_eq!(digits, 64, "{digest}");
        }
    }
}

#[test]
fn long_values_that_begin_alike_do_not_look_alike() {
    let long = |end: &str| Value::from("a".repeat(300) + end + &"b".repeat(300));
    let (old, new) = compare::both(&long("old"), &long("new"));
    assert!(old.starts_with("..aaa") && old.contains("aoldb"), "{old}");
    assert!(new.contains("anewb") && new.contains("(603 characters, sha256:"), "{new}");
    assert_ne!(compare::words(&long("old")), compare::words(&long("new")));
    assert_eq!(compare::both(&"a".into(), &"b".into()), ("a".to_owned(), "b".to_owned()));
    assert_eq!(compare::words(&"a\u{1b}[2J\u{202e}".into()), "a\\u{1b}[2J\\u{202e}");
}
