//! Placeholders: `${name}` in texts.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Replaces `${name}` by what `resolve` knows of, in every text and every name, and says which it used.
/// A text that is nothing but a placeholder becomes the value itself, number or object.
pub(super) fn substitute(value: &mut Value, resolve: &dyn Fn(&str) -> Option<Value>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    match value {
        Value::String(text) => {
            if let Some(name) = whole(text)
                && let Some(found) = resolve(name)
            {
                used.insert(name.to_owned());
                *value = found;
            } else {
                let (filled, mut names) = fill_text(text, resolve);
                used.append(&mut names);
                *text = filled;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| used.append(&mut substitute(item, resolve))),
        Value::Object(members) => {
            let mut filled = Map::new();
            for (name, mut member) in std::mem::take(members) {
                let (name, mut names) = fill_text(&name, resolve);
                used.append(&mut names);
                used.append(&mut substitute(&mut member, resolve));
                filled.insert(name, member);
            }
            *members = filled;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    used
}

/// The names of all placeholders.
pub(super) fn named(value: &Value) -> BTreeSet<String> {
    let found: RefCell<BTreeSet<String>> = RefCell::default();
    substitute(&mut value.clone(), &|name| {
        found.borrow_mut().insert(name.to_owned());
        None
    });
    found.into_inner()
}

fn whole(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}').filter(|name| is_name(name))
}

/// Attack strings such as `${jndi:..}` are no placeholders: names are words.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-'))
}

fn fill_text(text: &str, resolve: &dyn Fn(&str) -> Option<Value>) -> (String, BTreeSet<String>) {
    let mut used = BTreeSet::new();
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        let found = after.split_once('}').filter(|(name, _)| is_name(name));
        match found.and_then(|(name, after)| resolve(name).map(|value| (name, value, after))) {
            Some((name, value, after)) => {
                used.insert(name.to_owned());
                match value {
                    Value::String(text) => filled.push_str(&text),
                    other => filled.push_str(&other.to_string()),
                }
                rest = after;
            }
            None => {
                filled.push_str("${");
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    (filled, used)
}
