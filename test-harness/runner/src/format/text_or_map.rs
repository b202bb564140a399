//! Fields that are a text for short and a mapping for everything else.
//!
//! An untagged enum would do the same and lose line and field of every mistake inside the mapping.

/// Implements `Deserialize` and `JsonSchema` for a type that is written as a text or as a mapping.
macro_rules! text_or_map {
    ($type:ty, $map:ty, $expecting:literal, { text => $from_text:expr, map => $from_map:expr $(,)? }) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        let from_text: fn(String) -> Result<$type, String> = $from_text;
                        from_text(text.to_owned()).map_err(E::custom)
                    }

                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$type, A::Error> {
                        let access = serde::de::value::MapAccessDeserializer::new(map);
                        let from_map: fn($map) -> Result<$type, String> = $from_map;
                        let read = <$map as serde::Deserialize>::deserialize(access)?;
                        from_map(read).map_err(serde::de::Error::custom)
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let map = generator.subschema_for::<$map>();
                schemars::json_schema!({"anyOf": [{"type": ["string", "integer"]}, map]})
            }
        }
    };
}

pub(crate) use text_or_map;
