//! The list of every field of the language, made from its JSON Schema.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::schema::bundle_schema;

/// The list as a page of the documentation.
#[must_use]
pub fn fields_markdown() -> String {
    let schema = bundle_schema();
    let mut page = Page { schema: &schema, out: String::new() };
    page.out.push_str(
        "<!-- Made by `bartizan schema --format markdown` from policy-bundles/spec. -->\n\n\
         # Fields of the policy language\n\n\
         Every field of `bundle.yaml`; [policy-language.md](policy-language.md) explains them. A field with\n\
         neither a default nor the word *required* may be left out.\n",
    );
    if let Some(root) = schema.as_object() {
        page.section("", root, 0);
    }
    page.out
}

/// The deepest section: deeper than the language goes.
const MAX_LEVELS: u8 = 8;

struct Page<'s> {
    schema: &'s Value,
    out: String,
}

impl<'s> Page<'s> {
    fn resolve(&self, schema: &'s Value) -> Option<&'s Map<String, Value>> {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.schema.pointer(reference.trim_start_matches('#'))?.as_object(),
            None => schema.as_object(),
        }
    }

    /// A table of the fields of a mapping, then those of the mappings in it.
    fn section(&mut self, path: &str, schema: &'s Map<String, Value>, level: u8) {
        if level > MAX_LEVELS {
            return;
        }
        let tables = self.tables(schema);
        if tables.is_empty() {
            return;
        }
        let title = if path.is_empty() { "the bundle" } else { path };
        // Writing into a string cannot fail.
        let _ = writeln!(
            self.out,
            "\n## {title}\n\n| field | what it is | default | meaning |\n|---|---|---|---|"
        );
        let mut inner: Vec<(String, &'s Map<String, Value>)> = Vec::new();
        let choice = tables.len() > 1;
        for table in tables {
            let required: Vec<&str> = table
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            for (name, property) in table.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let Some(resolved) = self.resolve(property) else { continue };
                let default = match property.get("default") {
                    _ if required.contains(&name.as_str()) && choice => "*one of these*".to_owned(),
                    _ if required.contains(&name.as_str()) => "*required*".to_owned(),
                    Some(value) if value.as_object().is_none() => format!("`{}`", plain(value)),
                    _ => String::new(),
                };
                let about = property.get("description").or_else(|| resolved.get("description"));
                let about =
                    about.or_else(|| table.get("description")).and_then(Value::as_str).unwrap_or_default();
                let kind = self.kind(property).replace('|', "\\|");
                let about = about.replace('|', "\\|");
                let _ = writeln!(self.out, "| `{name}` | {kind} | {default} | {about} |");
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                self.below(&path, property, &mut inner);
            }
        }
        for (path, schema) in inner {
            self.section(&path, schema, level.saturating_add(1));
        }
    }

    /// The mappings behind a field, with the path to them.
    fn below(&self, path: &str, property: &'s Value, into: &mut Vec<(String, &'s Map<String, Value>)>) {
        let Some(resolved) = self.resolve(property) else { return };
        if let Some(items) = resolved.get("items") {
            return self.below(&format!("{path}[]"), items, into);
        }
        if let Some(members) = resolved.get("additionalProperties").filter(|m| m.is_object()) {
            return self.below(&format!("{path}.NAME"), members, into);
        }
        if !self.tables(resolved).is_empty() {
            into.push((path.to_owned(), resolved));
        }
    }

    /// The mappings that a schema is, or lets one choose from.
    fn tables(&self, schema: &'s Map<String, Value>) -> Vec<&'s Map<String, Value>> {
        let own = schema.contains_key("properties").then_some(schema);
        let choices =
            ["oneOf", "anyOf"].iter().find_map(|key| schema.get(*key)?.as_array()).into_iter().flatten();
        let chosen = choices.filter_map(|c| self.resolve(c)).filter(|c| c.contains_key("properties"));
        own.into_iter().chain(chosen).collect()
    }

    /// What a value is, in words.
    fn kind(&self, schema: &'s Value) -> String {
        let Some(resolved) = self.resolve(schema) else { return "any value".to_owned() };
        if let Some(word) = resolved.get("const").and_then(Value::as_str) {
            return format!("`{word}`");
        }
        if let Some(words) = resolved.get("enum").and_then(Value::as_array) {
            return words.iter().map(|word| format!("`{}`", plain(word))).collect::<Vec<_>>().join(", ");
        }
        if let Some(choices) = ["oneOf", "anyOf"].iter().find_map(|key| resolved.get(*key)?.as_array()) {
            let mut kinds: Vec<String> = Vec::new();
            for choice in choices {
                let kind = self.kind(choice);
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            return kinds.join(", ");
        }
        let range = match (resolved.get("minimum"), resolved.get("maximum")) {
            (Some(least), Some(most)) => format!(", {least} to {most}"),
            _ => String::new(),
        };
        match resolved.get("type").and_then(Value::as_str) {
            Some("array") => {
                format!("list of {}", resolved.get("items").map(|i| self.kind(i)).unwrap_or_default())
            }
            Some("integer") => format!("whole number{range}"),
            Some("boolean") => "`true`, `false`".to_owned(),
            Some("object") if resolved.contains_key("propertyNames") => "mapping by name".to_owned(),
            Some("object") => "mapping".to_owned(),
            Some("string") => match resolved.get("format").and_then(Value::as_str) {
                Some(format) => format.trim_start_matches("bartizan-").replace('-', " "),
                None => "text".to_owned(),
            },
            _ => "any value".to_owned(),
        }
    }
}

/// A value as one writes it, without quotes where none are needed.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Run with `BARTIZAN_BLESS=1` to write the page anew.
    #[test]
    fn the_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy-fields.md");
        if std::env::var_os("BARTIZAN_BLESS").is_some() {
            std::fs::write(path, fields_markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == fields_markdown(),
            "docs/policy-fields.md is not what the spec says; run `BARTIZAN_BLESS=1 cargo test -p bartizan-spec`"
        );
    }

    #[test]
    fn every_corner_of_the_language_is_on_the_page() {
        let page = fields_markdown();
        for section in
            ["authentication.jwt[].require", "limits.NAME", "routes[].body.json", "defaults.inspect"]
        {
            assert!(page.contains(&format!("\n## {section}\n")), "{section}");
        }
    }
}
