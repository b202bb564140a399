//! Words of the schema: enumerations, and types as people call them.

use serde_json::Value as Json;

use super::{Checker, Place, Schema};
use crate::suggest;
use crate::yaml::{Node, Value};

/// The words that a schema allows, if it is an enumeration.
pub(super) fn of(schema: &Schema) -> Vec<&str> {
    if let Some(word) = schema.get("const").and_then(Json::as_str) {
        return vec![word];
    }
    let alternatives = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(*key)?.as_array());
    if let Some(alternatives) = alternatives {
        return alternatives.iter().filter_map(Json::as_object).flat_map(of).collect();
    }
    schema.get("enum").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect()
}

/// What one of several schemas asks for, as people say it.
pub(super) fn describe(schemas: &[&Schema]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for schema in schemas {
        let name = match schema.get("type").and_then(Json::as_str) {
            Some("object") => "a mapping",
            Some("array") => "a list",
            Some("integer") => "a whole number",
            Some("boolean") => "`true` or `false`",
            _ if of(schema).is_empty() => "a text",
            _ => "a word",
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" or ")
}

/// How to get from what is there to what is expected.
pub(super) fn remedy(expected: &str, of_mappings: bool, node: &Node) -> String {
    match (&node.value, expected) {
        (_, "a list") if of_mappings => "start each entry on a line of its own with `- `".to_owned(),
        (Value::Scalar(scalar), "a list") => format!("write `[{}]`", crate::yaml::shorten(&scalar.text)),
        (Value::Map(_), "a list") => {
            "write `[first, second]`, or each entry on a line of its own with `- `".to_owned()
        }
        (_, "a mapping") => "write fields with a colon: `field: value`".to_owned(),
        (Value::List(_), _) => "write one value, without brackets and dashes".to_owned(),
        (Value::Map(_), "a text") => "write one value; put a text with a colon in quotes".to_owned(),
        _ => format!("write {expected}"),
    }
}

impl<'s> Checker<'s, '_> {
    /// A scalar where only certain words are allowed, or a mapping (`objects`) instead.
    pub(super) fn check_word(
        &mut self,
        words: &[&'s str],
        objects: &[&'s Schema],
        node: &Node,
        place: &Place<'_>,
    ) -> bool {
        let Value::Scalar(scalar) = &node.value else { return false };
        if words.contains(&scalar.text.as_str()) {
            return true;
        }
        let keys: Vec<&str> = objects
            .iter()
            .filter_map(|object| object.get("properties")?.as_object())
            .flat_map(|properties| properties.keys().map(String::as_str))
            .collect();
        let written = &scalar.text;
        let help = match suggest::nearest(written, words.iter().copied()) {
            Some(word) => format!("did you mean `{word}`?"),
            None if keys.is_empty() => format!("write one of {}", suggest::list(words)),
            None => {
                format!("write {}, or a mapping with {}", suggest::list(words), suggest::list(&keys))
            }
        };
        let message = format!("`{}` cannot be {}", place.path, node.describe());
        self.error("unknown-word", node.span, message, help);
        false
    }
}
