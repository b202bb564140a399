//! Where alone a case runs.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Where alone a case runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// One place, or a list of them.
    #[serde(default)]
    pub run: Option<Places>,
    /// Over one version of HTTP.
    #[serde(default)]
    pub http: Option<Http>,
    /// Why, as a sentence.
    pub because: String,
}

/// Where a case runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the engine, without a proxy.
    Native,
    /// Through the filter in a simulated Envoy.
    Simulated,
    /// Through the filter in a real Envoy.
    Envoy,
}

impl Place {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Simulated => "simulated",
            Self::Envoy => "envoy",
        }
    }
}

/// One place or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places(Vec<Place>);

impl Places {
    /// These.
    #[must_use]
    pub fn of(places: &[Place]) -> Self {
        Self(places.to_vec())
    }

    /// Whether this place is among them.
    #[must_use]
    pub fn has(&self, place: Place) -> bool {
        self.0.contains(&place)
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Places;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("native, simulated, envoy, or a list of these")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Places, E> {
                Place::deserialize(serde::de::value::StrDeserializer::new(text))
                    .map(|place| Places(vec![place]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Places, A::Error> {
                let mut places = Vec::new();
                while let Some(place) = seq.next_element()? {
                    if places.contains(&place) {
                        return Err(serde::de::Error::custom("a place stands here twice"));
                    }
                    places.push(place);
                }
                if places.is_empty() {
                    return Err(serde::de::Error::custom(
                        "a case that runs nowhere shows nothing; name a place",
                    ));
                }
                Ok(Places(places))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl JsonSchema for Places {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Places".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let place = generator.subschema_for::<Place>();
        schemars::json_schema!({"anyOf": [
            place, {"type": "array", "items": place, "minItems": 1, "uniqueItems": true},
        ]})
    }
}

/// A version of HTTP between the client and the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
pub enum Http {
    /// HTTP/1.1.
    #[serde(rename = "1.1")]
    V1,
    /// HTTP/2.
    #[serde(rename = "2")]
    V2,
}

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "HTTP/1.1",
            Self::V2 => "HTTP/2",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Only, String> {
        serde_saphyr::from_str(yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn one_place_or_several() {
        let one = read("{run: native, because: x}").unwrap().run.unwrap();
        assert!(one.has(Place::Native) && !one.has(Place::Simulated));
        let two = read("{run: [native, simulated], because: x}").unwrap().run.unwrap();
        assert!(two.has(Place::Native) && two.has(Place::Simulated) && !two.has(Place::Envoy));
    }

    #[test]
    fn nowhere_twice_and_elsewhere_are_refused() {
        for run in ["[]", "[native, native]", "moon", "[moon]"] {
            assert!(read(&format!("{{run: {run}, because: x}}")).is_err(), "{run}");
        }
    }
}
