//! The JSON reader, for tests of other crates that hold it against another one.

use serde_json::{Map, Value};

use super::inspect::Looking;
use super::json::parse::parse;
use super::json::tape::{Kind, View};
use super::plan::JsonLimits;

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// The document is refused, for this reason.
    Refused(String),
    /// The document as `serde_json` would hold it.
    Value(Value),
    /// The document is accepted, and has a number that `serde_json` cannot hold.
    Beyond,
}

/// Reads a document as bodies are read, without inspection.
#[must_use]
pub fn read_json(bytes: &[u8], limits: &JsonLimits) -> Read {
    match parse(bytes, limits, &Looking::default()) {
        Err(error) => Read::Refused(format!("{error:?}")),
        Ok(tape) => value(tape.view(), 0).map_or(Read::Beyond, Read::Value),
    }
}

/// The value at an index. It recurses as deep as the document, which has a limit.
fn value(view: View<'_>, index: u32) -> Option<Value> {
    let entry = view.entry(index);
    Some(match entry.kind {
        Kind::Null => Value::Null,
        Kind::True => Value::Bool(true),
        Kind::False => Value::Bool(false),
        Kind::Number => serde_json::from_str(view.text(entry)).ok()?,
        Kind::String => Value::String(view.text(entry).to_owned()),
        Kind::Array => {
            view.elements(index).map(|item| value(view, item)).collect::<Option<_>>().map(Value::Array)?
        }
        Kind::Object => {
            let mut members = Map::new();
            for (name, item) in view.members(index) {
                members.insert(view.text(view.entry(name)).to_owned(), value(view, item)?);
            }
            Value::Object(members)
        }
    })
}
