//! Two documents side by side.

use std::collections::BTreeSet;

use bartizan_compiler::canonical;
use serde_json::Value;

use super::document::{Document, Section};

/// How something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Added,
    Removed,
    Changed,
}

impl Kind {
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Added => "+",
            Self::Removed => "-",
            Self::Changed => "~",
        }
    }

    /// As terminals know it: green, red, yellow.
    pub(super) const fn colour(self) -> &'static str {
        match self {
            Self::Added => "32",
            Self::Removed => "31",
            Self::Changed => "33",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    /// The section: `routes`.
    pub(super) section: &'static str,
    /// The thing, where the section has many: `GET /healthz`.
    pub(super) item: Option<String>,
    /// The field, with dots; empty for the whole thing.
    pub(super) field: String,
    /// How.
    pub(super) kind: Kind,
    /// What was.
    pub(super) old: Value,
    /// What will be.
    pub(super) new: Value,
}

/// Everything in which two documents differ.
pub(super) fn documents(old: &Document, new: &Document) -> Vec<Change> {
    let mut changes = Vec::new();
    for ((section, old), (_, new)) in old.iter().zip(new) {
        match (old, new) {
            (Section::Named(old), Section::Named(new)) => {
                let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for name in names {
                    let mut walk = Walk { section, item: Some(name), changes: &mut changes };
                    walk.members(String::new(), old.get(name), new.get(name));
                }
            }
            (Section::One(old), Section::One(new)) => {
                Walk { section, item: None, changes: &mut changes }.values("", old, new);
            }
            // Sections are the same in all documents.
            _ => {}
        }
    }
    changes
}

struct Walk<'w> {
    section: &'static str,
    item: Option<&'w String>,
    changes: &'w mut Vec<Change>,
}

impl Walk<'_> {
    fn push(&mut self, field: &str, kind: Kind, old: Value, new: Value) {
        let (section, item) = (self.section, self.item.cloned());
        self.changes.push(Change { section, item, field: field.to_owned(), kind, old, new });
    }

    fn members(&mut self, field: String, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (Some(old), Some(new)) => self.values(&field, old, new),
            (Some(old), None) => self.push(&field, Kind::Removed, old.clone(), Value::Null),
            (None, Some(new)) => self.push(&field, Kind::Added, Value::Null, new.clone()),
            (None, None) => {}
        }
    }

    fn values(&mut self, field: &str, old: &Value, new: &Value) {
        match (old, new) {
            _ if old == new => {}
            (Value::Object(old), Value::Object(new)) => {
                let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for name in names {
                    let path = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                    self.members(path, old.get(name), new.get(name));
                }
            }
            (Value::Array(was), Value::Array(will)) => {
                let gone = without(was, will);
                let come = without(will, was);
                // Only the order, which may mean something: headers are added one after the other.
                if gone.is_empty() && come.is_empty() {
                    self.push(field, Kind::Changed, old.clone(), new.clone());
                }
                gone.into_iter().for_each(|item| self.push(field, Kind::Removed, item.clone(), Value::Null));
                come.into_iter().for_each(|item| self.push(field, Kind::Added, Value::Null, item.clone()));
            }
            (Value::Null, _) => self.push(field, Kind::Added, Value::Null, new.clone()),
            (_, Value::Null) => self.push(field, Kind::Removed, old.clone(), Value::Null),
            _ => self.push(field, Kind::Changed, old.clone(), new.clone()),
        }
    }
}

/// What one list has more often than the other.
fn without<'v>(list: &'v [Value], other: &[Value]) -> Vec<&'v Value> {
    let mut left: Vec<&Value> = other.iter().collect();
    let found = list.iter().filter(|item| match left.iter().position(|candidate| candidate == item) {
        Some(index) => {
            left.swap_remove(index);
            false
        }
        None => true,
    });
    found.collect()
}

/// A value for people: what is long is cut.
pub(super) fn words(value: &Value) -> String {
    const MOST: usize = 160;
    let text = match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Null => "nothing".to_owned(),
        other => canonical::json(other),
    };
    let printable = text.chars().map(|c| if c.is_control() { '?' } else { c });
    if text.chars().count() > MOST {
        printable.take(MOST).chain("..".chars()).collect()
    } else {
        printable.collect()
    }
}

/// What is said of a whole thing that came or went: what matters most about it.
pub(super) fn summary(change: &Change) -> String {
    let thing = if change.kind == Kind::Removed { &change.old } else { &change.new };
    let most = ["access", "issuer", "key", "permissions"];
    let words: Vec<String> = most.iter().filter_map(|field| thing.get(*field)).map(words_of_list).collect();
    let limits = thing.get("limits").and_then(Value::as_array).filter(|limits| !limits.is_empty());
    let limits = limits.map(|limits| {
        let names: Vec<&str> = limits.iter().filter_map(Value::as_str).collect();
        format!("limits {}", names.join(", "))
    });
    let rate = thing.get("rate").map(words_of_list);
    let all: Vec<String> = words.into_iter().chain(limits).chain(rate).collect();
    if all.is_empty() { String::new() } else { format!(": {}", all.join("; ")) }
}

fn words_of_list(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        other => words(other),
    }
}
