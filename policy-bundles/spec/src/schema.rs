//! The JSON Schema of the language, for editors and for the compiler's structural check.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::authentication::api_keys::KeyFile;
use crate::authentication::revocation::RevokedFile;
use crate::authentication::signed_requests::SigningKeyFile;
use crate::bundle::Bundle;
use crate::parts::Part;

/// The identifier of the schema: a name, not a place.
pub const SCHEMA_ID: &str = "urn:bartizan:schema:bundle:v1";

/// The identifier of the schema of parts.
pub const PART_SCHEMA_ID: &str = "urn:bartizan:schema:part:v1";

/// The JSON Schema (2020-12) of `bundle.yaml`.
#[must_use]
pub fn bundle_schema() -> Value {
    schema_of::<Bundle>(SCHEMA_ID, "Bartizan policy bundle")
}

/// The JSON Schema (2020-12) of `part.yaml`.
#[must_use]
pub fn part_schema() -> Value {
    schema_of::<Part>(PART_SCHEMA_ID, "Part of a Bartizan policy bundle")
}

/// The identifier of the schema of files with API keys.
pub const KEY_FILE_SCHEMA_ID: &str = "urn:bartizan:schema:api-keys:v1";

/// The identifier of the schema of files with what was revoked.
pub const REVOKED_FILE_SCHEMA_ID: &str = "urn:bartizan:schema:revoked:v1";

/// The JSON Schema (2020-12) of a file with API keys.
#[must_use]
pub fn key_file_schema() -> Value {
    schema_of::<KeyFile>(KEY_FILE_SCHEMA_ID, "API keys of a Bartizan policy bundle")
}

/// The identifier of the schema of files with keys that sign requests.
pub const SIGNING_KEY_FILE_SCHEMA_ID: &str = "urn:bartizan:schema:signing-keys:v1";

/// The JSON Schema (2020-12) of a file with keys that sign requests.
#[must_use]
pub fn signing_key_file_schema() -> Value {
    schema_of::<SigningKeyFile>(
        SIGNING_KEY_FILE_SCHEMA_ID,
        "Keys that sign requests, of a Bartizan policy bundle",
    )
}

/// The JSON Schema (2020-12) of a file with what was revoked.
#[must_use]
pub fn revoked_file_schema() -> Value {
    schema_of::<RevokedFile>(REVOKED_FILE_SCHEMA_ID, "What a Bartizan policy bundle revokes")
}

fn schema_of<T: schemars::JsonSchema>(id: &str, title: &str) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    if let Value::Object(members) = &mut schema {
        members.insert("$id".to_owned(), Value::String(id.to_owned()));
        members.insert("title".to_owned(), Value::String(title.to_owned()));
    }
    schema
}

/// The schema as it is committed: indented, with a line break at the end.
#[must_use]
pub fn bundle_schema_text() -> String {
    format!("{:#}\n", bundle_schema())
}

/// The schema of parts as it is committed.
#[must_use]
pub fn part_schema_text() -> String {
    format!("{:#}\n", part_schema())
}

/// Optional fields may be left out, which is not the same as being null: a field with nothing behind it is
/// a mistake in a policy. So `null` goes from every alternative. Line breaks of doc comments go as well,
/// and what only says how Rust holds a number.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            without_null(members);
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without_null(members: &mut Map<String, Value>) {
    if members.get("default").is_some_and(Value::is_null) {
        members.remove("default");
    }
    if let Some(Value::String(format)) = members.get("format")
        && (format.starts_with("uint") || format.starts_with("int"))
    {
        members.remove("format");
    }
    if let Some(Value::String(text)) = members.get_mut("description") {
        *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(alternatives)) = members.get_mut("anyOf") else { return };
    alternatives.retain(|alternative| alternative.get("type").is_none_or(|kind| kind != "null"));
    if let [Value::Object(only)] = alternatives.as_slice() {
        let only = only.clone();
        members.remove("anyOf");
        for (key, value) in only {
            members.entry(key).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(value: &Value, see: &mut impl FnMut(&Map<String, Value>)) {
        match value {
            Value::Object(members) => {
                see(members);
                members.values().for_each(|v| visit(v, see));
            }
            Value::Array(items) => items.iter().for_each(|v| visit(v, see)),
            _ => {}
        }
    }

    #[test]
    fn every_format_has_a_rule_and_every_example_follows_it() {
        let mut seen = 0;
        let mut all = Vec::new();
        for schema in [bundle_schema(), key_file_schema(), revoked_file_schema(), signing_key_file_schema()] {
            visit(&schema, &mut |members| all.push(members.clone()));
        }
        all.iter().for_each(|members| {
            let Some(Value::String(format)) = members.get("format") else { return };
            let Some(Value::Array(examples)) = members.get("examples") else {
                panic!("{format}: no examples")
            };
            for example in examples {
                let text = example.as_str().unwrap();
                assert_eq!(crate::text::check(format, text), Some(Ok(())), "{format}: {text}");
                // Editors know the pattern only: it must not refuse what the rule accepts.
                let pattern = members["pattern"].as_str().unwrap();
                assert!(
                    regex_lite::Regex::new(pattern).unwrap().is_match(text),
                    "{format}: {pattern}: {text}"
                );
            }
            seen += 1;
        });
        assert!(seen >= 20, "{seen}");
    }

    #[test]
    fn nothing_may_be_null_and_every_object_is_closed() {
        for schema in [bundle_schema(), key_file_schema(), revoked_file_schema(), signing_key_file_schema()] {
            is_closed(&schema);
        }
    }

    fn is_closed(schema: &Value) {
        visit(schema, &mut |members| {
            assert!(members.get("type").is_none_or(|t| t != "null"), "{members:?}");
            if members.contains_key("properties") && members.get("type").is_some_and(|t| t == "object") {
                assert_eq!(members.get("additionalProperties"), Some(&Value::Bool(false)), "{members:?}");
            }
        });
    }

    #[test]
    fn every_field_is_described() {
        for schema in [
            bundle_schema(),
            part_schema(),
            key_file_schema(),
            revoked_file_schema(),
            signing_key_file_schema(),
        ] {
            every_field_of(&schema);
        }
    }

    fn every_field_of(schema: &Value) {
        let mut undescribed = Vec::new();
        visit(schema, &mut |members| {
            let Some(Value::Object(properties)) = members.get("properties") else { return };
            for (name, property) in properties {
                let referenced = property
                    .get("$ref")
                    .and_then(Value::as_str)
                    .and_then(|r| schema.pointer(r.trim_start_matches('#')))
                    .is_some_and(|target| target.get("description").is_some());
                // The one property of an alternative is described by the alternative.
                let alternative = properties.len() == 1 && members.contains_key("description");
                if property.get("description").is_none() && !referenced && !alternative {
                    undescribed.push(name.clone());
                }
            }
        });
        assert!(undescribed.is_empty(), "{undescribed:?}");
    }

    /// Run with `BARTIZAN_BLESS=1` to write the files anew.
    #[test]
    fn the_committed_schemas_are_current() {
        for (file, current) in
            [("bundle.schema.json", bundle_schema_text()), ("part.schema.json", part_schema_text())]
        {
            let path = format!("{}/../schema/{file}", env!("CARGO_MANIFEST_DIR"));
            if std::env::var_os("BARTIZAN_BLESS").is_some() {
                std::fs::write(&path, &current).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == current,
                "policy-bundles/schema/{file} is not what the spec says; \
                 run `BARTIZAN_BLESS=1 cargo test -p bartizan-spec` and commit it"
            );
        }
    }
}
