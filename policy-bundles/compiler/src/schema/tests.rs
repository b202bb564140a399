use bartizan_engine::validation::schema::program::Check;
use serde_json::{Value, json};

use super::{Options, Program, SchemaError, compile};

fn files(documents: &[(&str, Value)]) -> Result<Program, Vec<SchemaError>> {
    let mut load = |path: &str| {
        let found = documents.iter().find(|(name, _)| *name == path);
        found.map(|(_, value)| value.clone()).ok_or_else(|| "there is no such file".to_owned())
    };
    compile("schemas/main.json", &mut load, Options::default())
}

fn errors(schema: Value) -> Vec<String> {
    match files(&[("schemas/main.json", schema)]) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_schema_becomes_nodes() {
    let schema = json!({
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string", "pattern": "^\\d+$"}, "next": {"$ref": "#"}},
        "additionalProperties": false,
        "title": "not a check",
        "x-note": 1,
    });
    let program = files(&[("schemas/main.json", schema)]).unwrap();
    assert_eq!(program.nodes.len(), 4);
    assert!(program.resources.is_empty());
    assert!(program.nodes.iter().any(|n| n.checks == [Check::Ref(0)]));
    assert!(program.nodes.iter().any(|n| n.checks.contains(&Check::Pattern("^[0-9]+$".into()))));
}

#[test]
fn files_refer_to_each_other() {
    let common = json!({"$defs": {"id": {"$anchor": "ident", "type": "integer"}, "odd name/~": {"$ref": "main.json"}}});
    for reference in [
        "common.json#/$defs/id",
        "common.json#ident",
        "./common.json#/$defs/odd%20name~1~0",
        "/schemas/common.json",
    ] {
        let main = json!({"properties": {"a": {"$ref": reference}}});
        let program = files(&[("schemas/main.json", main), ("schemas/common.json", common.clone())]);
        assert!(program.is_ok(), "{reference}: {program:?}");
    }
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let found = errors(json!({
        "type": "strnig",
        "minLenght": 1,
        "minLength": -1,
        "pattern": "(?=a)",
        "format": "credit-card",
        "properties": {"a/b": {"$ref": "#/$defs/none"}, "c": 5},
        "items": [{}],
        "enum": [],
    }));
    let expected = [
        "schemas/main.json#/enum: `enum` is not a list of one or more values",
        "schemas/main.json#/format: the format `credit-card` cannot be checked; use `pattern`, or a format the documentation lists",
        "schemas/main.json#/items: `items` is not a schema; use `prefixItems` for a list of schemas",
        "schemas/main.json#/minLenght: `minLenght` is no keyword of JSON Schema 2020-12; correct its spelling, remove it, or begin its name with `x-`",
        "schemas/main.json#/minLength: `minLength` is not a whole number from zero",
        "schemas/main.json#/pattern: look-ahead, look-behind and flags in a pattern are not supported; say it with `allOf` and `not`, or with two patterns",
        "schemas/main.json#/properties/a~1b/$ref: the reference `#/$defs/none` cannot be followed: there is nothing at `/$defs/none`; refer to `#/$defs/NAME`, an anchor, or a file of the bundle",
        "schemas/main.json#/properties/c: a schema is an object, `true` or `false`",
        "schemas/main.json#/type: `type` names no type of JSON; use null, boolean, number, integer, string, array or object, or a list of these",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_cannot_end_is_refused() {
    for looping in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#"}]}}}),
        json!({"if": {"not": {"$ref": "#"}}}),
    ] {
        let found = errors(looping);
        assert!(found.len() == 1 && found[0].contains("leads back to itself"), "{found:?}");
    }
    assert_eq!(errors(json!({"items": {"$ref": "#"}})), Vec::<String>::new());
}

#[test]
fn a_missing_file_is_named_once() {
    let found = errors(json!({"anyOf": [{"$ref": "other.json"}, {"$ref": "other.json#/a"}]}));
    assert_eq!(found.len(), 2);
    assert!(found[0].contains("`schemas/other.json` cannot be read: there is no such file"), "{found:?}");
    let missing = compile("a.json", &mut |_: &str| Err("there is no such file".into()), Options::default());
    assert_eq!(
        missing.unwrap_err()[0].to_string(),
        "a.json#: `a.json` cannot be read: there is no such file"
    );
}

#[test]
fn another_dialect_is_refused() {
    let found = errors(json!({"$schema": "http://json-schema.org/draft-07/schema#"}));
    assert!(found[0].contains("this dialect"), "{found:?}");
    assert!(errors(json!({"$schema": "https://json-schema.org/draft/2020-12/schema"})).is_empty());
}
