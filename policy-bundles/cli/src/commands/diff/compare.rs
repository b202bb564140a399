//! Two documents side by side.

use std::collections::BTreeSet;

use bartizan_compiler::canonical;
use bartizan_engine::envelope::key::{hex, sha256};
use serde_json::Value;

use super::document::{Document, Section};
use crate::output::printable;

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
                    self.members(joined(field, name), old.get(name), new.get(name));
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

/// The most characters of a value that are shown at once.
const MOST: usize = 160;

/// A value for people.
pub(super) fn words(value: &Value) -> String {
    cut(&text_of(value), 0)
}

/// Two values for people. Of long ones the parts are shown in which they begin to differ.
pub(super) fn both(old: &Value, new: &Value) -> (String, String) {
    const BEFORE: usize = 40;
    let (old, new) = (text_of(old), text_of(new));
    let alike = old.chars().zip(new.chars()).take_while(|(one, other)| one == other).count();
    let is_long = [&old, &new].into_iter().any(|text| text.chars().nth(MOST).is_some());
    let from = if is_long { alike.saturating_sub(BEFORE) } else { 0 };
    (cut(&old, from), cut(&new, from))
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Null => "nothing".to_owned(),
        other => canonical::json(other),
    }
}

/// A text from here on. One that is not shown whole has its digest: it differs from others also where nobody sees it.
fn cut(text: &str, from: usize) -> String {
    let length = text.chars().count();
    if from == 0 && length <= MOST {
        return printable(text);
    }
    let shown: String = text.chars().skip(from).take(MOST).collect();
    let before = if from > 0 { ".." } else { "" };
    let behind = if length.saturating_sub(from) > MOST { ".." } else { "" };
    let digest = hex(&sha256(text.as_bytes()));
    format!("{before}{}{behind} ({length} characters, sha256:{digest})", printable(&shown))
}

/// Everything that a thing says: each field with its value.
pub(super) fn fields(path: &str, value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().flat_map(|(name, member)| fields(&joined(path, name), member)).collect()
        }
        Value::Array(items) if items.is_empty() => vec![(path.to_owned(), "none".to_owned())],
        other => vec![(path.to_owned(), words_of_list(other))],
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// What is said of a whole thing that went: what mattered most about it.
pub(super) fn summary(change: &Change) -> String {
    let thing = &change.old;
    let most = ["access", "issuer", "key", "permissions"];
    let words = most.iter().filter_map(|field| thing.get(*field)).map(words_of_list);
    let limits = thing.get("limits").filter(|limits| limits.as_array().is_some_and(|all| !all.is_empty()));
    let limits = limits.map(|limits| format!("limits {}", words_of_list(limits)));
    let rate = thing.get("rate").map(words_of_list);
    let all: Vec<String> = words.chain(limits).chain(rate).filter(|words| !words.is_empty()).collect();
    if all.is_empty() { String::new() } else { format!(": {}", all.join("; ")) }
}

fn words_of_list(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        other => words(other),
    }
}
