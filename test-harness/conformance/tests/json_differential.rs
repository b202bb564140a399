//! Laws, checked on made-up input: the reader agrees with `serde_json`, schemas with `jsonschema`.

use bartizan_compiler::schema::{self, Options};
use bartizan_conformance::bodies::JsonRoute;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

// Strategies are boxed, and words are selected from slices: a union of unboxed ones lies on the stack whole, with a third of a
// megabyte for each level of a schema, and now and then a deep one overflowed it.

/// Values over few names and few scalars, so that schemas have something to say about them.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-3..6_i64).prop_map(Value::from),
        (-20..20_i64).prop_map(|n| json!(n as f64 / 4.0)),
        // Beyond 2^53 the oracle divides doubles, and is wrong about multiples.
        (0..1_u64 << 50).prop_map(Value::from),
        "[ab\"\\\\é\u{1f600}/~]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    select(&["a", "b", "ab", "c/~"][..]).prop_map(str::to_owned)
}

fn type_name() -> impl Strategy<Value = Value> {
    select(vec![
        json!("null"),
        json!("boolean"),
        json!("integer"),
        json!("number"),
        json!("string"),
        json!("array"),
        json!("object"),
        json!(["string", "object", "array"]),
    ])
}

/// One keyword that needs no other schema.
fn assertion() -> impl Strategy<Value = (String, Value)> {
    let number =
        || prop_oneof![(-3..5_i64).prop_map(Value::from), (-8..8_i64).prop_map(|n| json!(n as f64 / 4.0))];
    let count = || (0..4_u64).prop_map(Value::from);
    let bounds = select(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"][..]);
    let sizes =
        select(&["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"][..]);
    let pattern = select(&["^a", "b$", "^[ab]{1,3}$", "a|b", "\\W", "^.?$"][..]);
    prop_oneof![
        type_name().prop_map(|t| ("type".to_owned(), t)).boxed(),
        (bounds, number()).prop_map(|(k, v)| (k.to_owned(), v)).boxed(),
        (sizes, count()).prop_map(|(k, v)| (k.to_owned(), v)).boxed(),
        select(vec![json!(1), json!(0.5), json!(2), json!(0.75)])
            .prop_map(|v| ("multipleOf".to_owned(), v))
            .boxed(),
        pattern.prop_map(|v| ("pattern".to_owned(), v.into())).boxed(),
        Just(("uniqueItems".to_owned(), json!(true))).boxed(),
        value().prop_map(|v| ("const".to_owned(), v)).boxed(),
        proptest::collection::vec(value(), 1..4).prop_map(|v| ("enum".to_owned(), v.into())).boxed(),
        proptest::collection::vec(name(), 0..3).prop_map(|v| ("required".to_owned(), unique(v))).boxed(),
        (name(), proptest::collection::vec(name(), 0..2))
            .prop_map(|(n, v)| ("dependentRequired".to_owned(), json!({n: unique(v)})))
            .boxed(),
    ]
}

fn unique(mut names: Vec<String>) -> Value {
    names.sort();
    names.dedup();
    names.into()
}

fn schema_document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        8 => proptest::collection::vec(assertion(), 0..3).prop_map(|k| Value::Object(k.into_iter().collect())),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(json!({"$ref": "#/$defs/shared"})),
    ];
    let tree = leaf.prop_recursive(3, 24, 3, |inner| {
        let list = proptest::collection::vec(inner.clone(), 1..4);
        let one = select(
            &[
                "not",
                "items",
                "contains",
                "additionalProperties",
                "propertyNames",
                "unevaluatedProperties",
                "unevaluatedItems",
                "if",
                "then",
                "else",
            ][..],
        );
        let many = select(&["allOf", "anyOf", "oneOf", "prefixItems"][..]);
        let keyword = prop_oneof![
            (one, inner.clone()).prop_map(|(k, v)| (k.to_owned(), v)).boxed(),
            (many, list).prop_map(|(k, v)| (k.to_owned(), v.into())).boxed(),
            (name(), inner.clone()).prop_map(|(n, v)| ("properties".to_owned(), json!({n: v}))).boxed(),
            (name(), inner.clone()).prop_map(|(n, v)| ("dependentSchemas".to_owned(), json!({n: v}))).boxed(),
            inner.prop_map(|v| ("patternProperties".to_owned(), json!({"^a": v}))).boxed(),
            (0..3_u64).prop_map(|n| ("maxContains".to_owned(), n.into())).boxed(),
            assertion().boxed(),
        ];
        proptest::collection::vec(keyword, 1..4).prop_map(|k| Value::Object(k.into_iter().collect()))
    });
    let shared = proptest::collection::vec(assertion(), 0..3);
    (tree, shared).prop_map(|(mut schema, shared)| {
        let shared: serde_json::Map<String, Value> = shared.into_iter().collect();
        if let Some(members) = schema.as_object_mut() {
            members.insert("$defs".into(), json!({"shared": shared}));
        }
        schema
    })
}

/// Changes a text in places that matter to a parser.
fn mutated(text: String, edits: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    for (place, byte) in edits {
        let at = place.index(bytes.len() + 1);
        match byte % 4 {
            0 => bytes.insert(at, *byte),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => {
                bytes.insert(at, *b"{}[],:\"\\0-.eE+ \nutf"[..].get(usize::from(*byte) % 19).unwrap_or(&b' '))
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

/// Whether a document is one that is refused although `serde_json` reads it: duplicate members.
fn has_duplicates(text: &[u8]) -> bool {
    struct Strict;
    impl<'de> serde::de::DeserializeSeed<'de> for Strict {
        type Value = bool;
        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
            deserializer.deserialize_any(Self)
        }
    }
    impl<'de> serde::de::Visitor<'de> for Strict {
        type Value = bool;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("JSON")
        }
        fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_str<E>(self, _: &str) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_unit<E>(self) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
            let mut any = false;
            while let Some(one) = seq.next_element_seed(Self)? {
                any |= one;
            }
            Ok(any)
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let (mut any, mut names) = (false, std::collections::BTreeSet::new());
            while let Some(name) = map.next_key::<String>()? {
                any |= !names.insert(name);
                any |= map.next_value_seed(Self)?;
            }
            Ok(any)
        }
    }
    use serde::de::DeserializeSeed;
    Strict.deserialize(&mut serde_json::Deserializer::from_slice(text)).unwrap_or(false)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_reader_agrees_with_serde_json(
        document in value(),
        edits in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
        pretty in any::<bool>(),
    ) {
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let bytes = mutated(text.unwrap_or_default(), &edits);
        prop_assume!(!bytes.is_empty());
        let ours = JsonRoute::new(None).map_err(|e| TestCaseError::fail(e.to_string()))?.judge(&bytes).is_ok();
        let theirs = serde_json::from_slice::<Value>(&bytes);
        // A number beyond the range of doubles is JSON; `serde_json` cannot hold it.
        let too_large = theirs.as_ref().is_err_and(|e| e.to_string().contains("number out of range"));
        prop_assert!(
            ours == (theirs.is_ok() && !has_duplicates(&bytes)) || too_large,
            "{:?}: {} {:?}", String::from_utf8_lossy(&bytes), ours, theirs
        );
    }

    #[test]
    fn the_reader_never_falls_over(bytes in proptest::collection::vec(any::<u8>(), 1..64)) {
        let route = JsonRoute::new(None).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(route.judge(&bytes).is_ok(), serde_json::from_slice::<Value>(&bytes).is_ok());
    }

    #[test]
    fn schemas_agree_with_the_oracle(
        document in schema_document(),
        instances in proptest::collection::vec(value(), 12),
    ) {
        let mut load = |_: &str| Ok(document.clone());
        let program = schema::compile("s.json", &mut load, Options::default());
        let program = program.map_err(|e| TestCaseError::fail(format!("{document}: {e:?}")))?;
        let route = JsonRoute::new(Some(program)).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let oracle = jsonschema::draft202012::new(&document);
        let oracle = oracle.map_err(|e| TestCaseError::fail(e.to_string()))?;
        for instance in instances {
            let ours = route.satisfies(instance.to_string().as_bytes());
            let ours = ours.map_err(|e| TestCaseError::fail(e.detail))?;
            prop_assert_eq!(ours, oracle.is_valid(&instance), "{} against {}", instance, document);
        }
    }
}
