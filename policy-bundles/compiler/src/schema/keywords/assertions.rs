//! Keywords that need nothing but their own value, annotations, and what is no keyword.

use bartizan_engine::envelope::payload::MAX_NUMBER;
use bartizan_engine::validation::schema;
use bartizan_engine::validation::schema::program::{Check, Format, JsonType};
use serde_json::Value;

use super::super::pattern;
use super::super::registry::escaped;
use super::Keywords;

/// Keywords that say something about a value and check nothing, by the standard's own word.
const ANNOTATIONS: &[&str] = &[
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "$comment",
    "$id",
    "$schema",
    "$anchor",
    "$dynamicAnchor",
    "$vocabulary",
    "$defs",
    "definitions",
];

/// Formats that describe how a value is shown or stored and exclude none.
const DESCRIPTIVE_FORMATS: &[&str] = &["password", "binary", "double"];

impl Keywords<'_, '_, '_, '_> {
    /// Checks that need nothing but their own value. Also where unknown keywords end up.
    pub(super) fn assertion(&mut self, keyword: &str, value: &Value, checks: &mut Vec<Check>) {
        let check = match keyword {
            "type" => self.types(value),
            "enum" => self.enumeration(value),
            "const" => Some(Check::Enumeration(vec![value.to_string()])),
            "minimum" => self.number(keyword, value).map(Check::Minimum),
            "maximum" => self.number(keyword, value).map(Check::Maximum),
            "exclusiveMinimum" => self.number(keyword, value).map(Check::ExclusiveMinimum),
            "exclusiveMaximum" => self.number(keyword, value).map(Check::ExclusiveMaximum),
            "multipleOf" => self.divisor(value),
            "minLength" => self.count(keyword, value).map(Check::MinLength),
            "maxLength" => self.count(keyword, value).map(Check::MaxLength),
            "minItems" => self.count(keyword, value).map(Check::MinItems),
            "maxItems" => self.count(keyword, value).map(Check::MaxItems),
            "minProperties" => self.count(keyword, value).map(Check::MinProperties),
            "maxProperties" => self.count(keyword, value).map(Check::MaxProperties),
            "uniqueItems" => match value {
                Value::Bool(unique) => unique.then_some(Check::UniqueItems),
                _ => {
                    self.error(keyword, "`uniqueItems` is neither `true` nor `false`", "");
                    None
                }
            },
            "pattern" => match value.as_str() {
                Some(pattern) => self.pattern("/pattern", pattern).map(Check::Pattern),
                None => {
                    self.error(keyword, "`pattern` is not a string", "");
                    None
                }
            },
            "format" => {
                self.format(value, checks);
                None
            }
            "dependentRequired" => {
                self.dependent_required(value, checks);
                None
            }
            "properties"
            | "patternProperties"
            | "additionalProperties"
            | "required"
            | "prefixItems"
            | "items"
            | "contains"
            | "minContains"
            | "maxContains"
            | "propertyNames"
            | "dependentSchemas"
            | "allOf"
            | "anyOf"
            | "oneOf"
            | "not"
            | "if"
            | "then"
            | "else"
            | "$ref"
            | "$dynamicRef"
            | "unevaluatedItems"
            | "unevaluatedProperties" => None,
            known if ANNOTATIONS.contains(&known) => None,
            unknown => {
                self.unknown(unknown);
                None
            }
        };
        checks.extend(check);
    }

    fn unknown(&mut self, keyword: &str) {
        if !self.compiler.registry.options.refuse_unknown || keyword.starts_with("x-") {
            return;
        }
        let remedy = match keyword {
            "dependencies" => "use `dependentRequired` or `dependentSchemas`",
            "additionalItems" => "use `items` beside `prefixItems`",
            "id" => "use `$id`",
            "nullable" => "add `null` to `type`",
            "discriminator" | "xml" | "externalDocs" | "example" => "it belongs to OpenAPI; remove it",
            "$recursiveRef" | "$recursiveAnchor" => "use `$dynamicRef` and `$dynamicAnchor`",
            _ => "correct its spelling, remove it, or begin its name with `x-`",
        };
        self.error(keyword, format!("`{keyword}` is no keyword of JSON Schema 2020-12"), remedy);
    }

    fn types(&mut self, value: &Value) -> Option<Check> {
        let one = |name: &Value| {
            Some(match name.as_str()? {
                "null" => JsonType::Null,
                "boolean" => JsonType::Boolean,
                "number" => JsonType::Number,
                "integer" => JsonType::Integer,
                "string" => JsonType::String,
                "array" => JsonType::Array,
                "object" => JsonType::Object,
                _ => return None,
            })
        };
        let types: Option<Vec<JsonType>> = match value {
            Value::Array(list) if !list.is_empty() => list.iter().map(one).collect(),
            single => one(single).map(|t| vec![t]),
        };
        if types.is_none() {
            let remedy = "use null, boolean, number, integer, string, array or object, or a list of these";
            self.error("type", "`type` names no type of JSON", remedy);
        }
        types.map(Check::Types)
    }

    fn enumeration(&mut self, value: &Value) -> Option<Check> {
        match value {
            Value::Array(values) if !values.is_empty() => {
                Some(Check::Enumeration(values.iter().map(Value::to_string).collect()))
            }
            _ => {
                self.error("enum", "`enum` is not a list of one or more values", "");
                None
            }
        }
    }

    fn number(&mut self, keyword: &str, value: &Value) -> Option<String> {
        if value.is_number() {
            return Some(value.to_string());
        }
        self.error(keyword, format!("`{keyword}` is not a number"), "");
        None
    }

    fn divisor(&mut self, value: &Value) -> Option<Check> {
        if value.as_f64().is_some_and(|n| n > 0.0) {
            return Some(Check::MultipleOf(value.to_string()));
        }
        self.error("multipleOf", "`multipleOf` is not a number above zero", "");
        None
    }

    pub(super) fn count(&mut self, keyword: &str, value: &Value) -> Option<u64> {
        // `2.0` is an integer to JSON Schema.
        let float =
            || value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..9e15).contains(n)).map(|n| n as u64);
        let count = value.as_u64().or_else(float);
        if count.is_none() {
            self.error(keyword, format!("`{keyword}` is not a whole number from zero"), "");
        }
        // Nothing is as long as that, and canonical JSON has no greater whole numbers.
        count.map(|count| count.min(MAX_NUMBER))
    }

    pub(super) fn pattern(&mut self, below: &str, text: &str) -> Option<String> {
        let translated = pattern::translate(text).and_then(|t| {
            schema::check_pattern(&t).map(|()| t).map_err(|p| pattern::Unsupported::new(p, ""))
        });
        match translated {
            Ok(translated) => Some(translated),
            Err(unsupported) => {
                self.compiler.registry.error(self.place, below, unsupported.problem, unsupported.remedy);
                None
            }
        }
    }

    fn format(&mut self, value: &Value, checks: &mut Vec<Check>) {
        if !self.compiler.registry.options.check_formats {
            return;
        }
        let Some(name) = value.as_str() else {
            self.error("format", "`format` is not a string", "");
            return;
        };
        if DESCRIPTIVE_FORMATS.contains(&name) {
            return;
        }
        // Formats of numbers are ranges. A string satisfies them, as any format of another type.
        let range = match name {
            "int32" => Some(("-2147483648", "2147483647")),
            "int64" => Some(("-9223372036854775808", "9223372036854775807")),
            _ => None,
        };
        if let Some((minimum, maximum)) = range {
            checks.push(Check::Minimum(minimum.into()));
            checks.push(Check::Maximum(maximum.into()));
            checks.push(Check::MultipleOf("1".into()));
            return;
        }
        match serde_json::from_value::<Format>(value.clone()) {
            Ok(format) => checks.push(Check::Format(format)),
            Err(_) => {
                let remedy = "use `pattern`, or a format the documentation lists";
                self.error("format", format!("the format `{name}` cannot be checked"), remedy);
            }
        }
    }

    fn dependent_required(&mut self, value: &Value, checks: &mut Vec<Check>) {
        let Value::Object(map) = value else {
            self.error("dependentRequired", "`dependentRequired` is not an object", "");
            return;
        };
        for (name, needs) in map {
            let below = format!("/dependentRequired/{}", escaped(name));
            let needs = self.strings("dependentRequired", &below, needs);
            checks.push(Check::DependentRequired { name: name.clone(), needs });
        }
    }
}

/// The order of simple checks: what costs least and says most comes first.
pub(super) fn rank(check: &Check) -> u8 {
    match check {
        Check::Types(_) => 0,
        Check::MinLength(_)
        | Check::MaxLength(_)
        | Check::MinItems(_)
        | Check::MaxItems(_)
        | Check::MinProperties(_)
        | Check::MaxProperties(_) => 1,
        Check::Minimum(_) | Check::Maximum(_) | Check::ExclusiveMinimum(_) | Check::ExclusiveMaximum(_) => 2,
        Check::MultipleOf(_) | Check::Enumeration(_) => 3,
        Check::Format(_) => 4,
        _ => 5,
    }
}
