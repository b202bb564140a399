//! A request as it is written.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::body::Body;
use super::certificate::Certificate;
use super::factor::Code;
use super::octets::Octets;
use super::placeholder::{option_or_placeholder, or_placeholder};
use super::proof::Proof;
use super::sign::Sign;
use super::simulate::Simulate;
use super::token::Token;
use crate::wire::Lines;

/// A request. What is not said comes from the defaults beneath it, and at last from the fields' own.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The method; `GET` by default.
    #[serde(default)]
    pub method: Option<String>,
    /// Path and query, sent byte for byte; `/` by default.
    #[serde(default)]
    pub path: Option<Octets>,
    /// `host` or `:authority`; `api.example.com` by default, null for none.
    #[serde(default)]
    pub host: Option<Octets>,
    /// `http` by default.
    #[serde(default)]
    pub scheme: Option<String>,
    /// The address of the connection's peer; by default one that only this run has.
    #[serde(default)]
    pub client: Option<String>,
    /// Headers, by name or as a list of `[name, value]`. Null takes a default away.
    #[serde(default, deserialize_with = "option_or_placeholder")]
    pub headers: Option<HeaderLines>,
    /// A token, sent as `authorization: Bearer`; null takes a default away.
    #[serde(default)]
    pub token: Option<Token>,
    /// The client certificate that the connection is opened with; none by default. The connection is then one over TLS.
    #[serde(default, deserialize_with = "option_or_placeholder")]
    pub certificate: Option<Certificate>,
    /// A DPoP proof for the token, which is then sent as `authorization: DPoP`.
    #[serde(default, deserialize_with = "option_or_placeholder")]
    pub dpop: Option<Proof>,
    /// Tokens to be placed by hand with `${token.name}`.
    #[serde(default)]
    pub tokens: BTreeMap<String, Token>,
    /// Name and password as `name:password`, sent as `authorization: Basic`; null takes a default away.
    #[serde(default)]
    pub basic: Option<String>,
    /// A one-time code, made for the moment of the request; null takes a default away.
    #[serde(default, deserialize_with = "option_or_placeholder")]
    pub code: Option<Code>,
    /// How the request is signed; null takes a default away.
    #[serde(default)]
    pub sign: Option<Sign>,
    /// The body; null for none.
    #[serde(default)]
    pub body: Option<Body>,
    /// Trailers after the body.
    #[serde(default, deserialize_with = "option_or_placeholder")]
    pub trailers: Option<HeaderLines>,
    /// What upstream answers, should the request get there.
    #[serde(default, deserialize_with = "option_or_placeholder")]
    pub answer: Option<Answer>,
    /// What only a simulated proxy can do to it.
    #[serde(default)]
    pub simulate: Option<Simulate>,
}

/// What upstream answers.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The status; 200 by default.
    #[serde(default = "ok", deserialize_with = "or_placeholder")]
    pub status: u16,
    /// Headers.
    #[serde(default, deserialize_with = "option_or_placeholder")]
    pub headers: Option<HeaderLines>,
    /// The body; `ok` by default.
    #[serde(default)]
    pub body: Option<Octets>,
}

const fn ok() -> u16 {
    200
}

impl Default for Answer {
    fn default() -> Self {
        Self { status: ok(), headers: None, body: None }
    }
}

/// Header lines: a mapping of names to one value or several, or a list of `[name, value]` in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeaderLines(Vec<Line>);

/// A name and its value; `None` takes a default away.
type Line = (Octets, Option<Octets>);

impl HeaderLines {
    /// Names and values, in order.
    ///
    /// # Errors
    /// If bytes cannot be made.
    pub fn lines(&self) -> Result<Lines, String> {
        let mut lines = Vec::new();
        for (name, value) in &self.0 {
            if let Some(value) = value {
                lines.push((name.bytes()?, value.bytes()?));
            }
        }
        Ok(lines)
    }
}

impl<'de> Deserialize<'de> for HeaderLines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lines;
        impl<'de> Visitor<'de> for Lines {
            type Value = HeaderLines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of names to values, or a list of [name, value]")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeaderLines, A::Error> {
                let mut lines = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    match map.next_value::<Option<Values>>()? {
                        None => lines.push((Octets::Text(name), None)),
                        Some(Values(values)) => {
                            lines.extend(values.into_iter().map(|v| (Octets::Text(name.clone()), Some(v))));
                        }
                    }
                }
                Ok(HeaderLines(lines))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<HeaderLines, A::Error> {
                let mut lines = Vec::new();
                while let Some((name, value)) = seq.next_element::<(Octets, Octets)>()? {
                    lines.push((name, Some(value)));
                }
                Ok(HeaderLines(lines))
            }
        }
        deserializer.deserialize_any(Lines)
    }
}

impl JsonSchema for HeaderLines {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HeaderLines".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let value = generator.subschema_for::<Octets>();
        schemars::json_schema!({"anyOf": [
            {"type": "object", "additionalProperties": {"anyOf": [
                value, {"type": "array", "items": value, "minItems": 1}, {"type": "null"},
            ]}},
            {"type": "array", "items": {"type": "array", "items": value, "minItems": 2, "maxItems": 2}},
        ]})
    }
}

/// One value or several.
struct Values(Vec<Octets>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list of values")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Values, E> {
                Ok(Values(vec![Octets::Text(text.to_owned())]))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Values, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Values, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Values, A::Error> {
                Octets::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    .map(|v| Values(vec![v]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                if values.is_empty() {
                    return Err(serde::de::Error::custom(
                        "an empty list sends no header; write null, which takes a default away",
                    ));
                }
                Ok(Values(values))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(yaml: &str) -> Vec<(String, String)> {
        let lines: HeaderLines = serde_saphyr::from_str(yaml).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        lines.lines().unwrap().into_iter().map(|(n, v)| (text(n), text(v))).collect()
    }

    #[test]
    fn headers_are_a_mapping_or_a_list() {
        let expected = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        assert_eq!(lines("{a: [1, '2']}"), expected);
        assert_eq!(lines("[[a, 1], [a, 2]]"), expected);
        assert_eq!(lines("{a: null}"), vec![]);
        assert!(serde_saphyr::from_str::<HeaderLines>("{a: []}").unwrap_err().to_string().contains("null"));
    }
}
