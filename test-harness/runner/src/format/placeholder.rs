//! Lets `${name}` of a row stand where a mapping, a list or a number belongs.
//!
//! A file is first read with its placeholders still in it, for errors with line and column; such a field
//! then takes its default. What runs is read again after the rows were filled in, and a placeholder that is
//! left over then is an error.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Whether a text is `${name}` and nothing else.
pub(super) fn is_placeholder(text: &str) -> bool {
    text.starts_with("${") && text.ends_with('}')
}

/// Whether a text has a place for a value in it.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("${")
}

/// Reads the field, or takes its default where a placeholder stands.
pub(super) fn or_placeholder<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(OrPlaceholder(PhantomData))
}

/// The same for a field that may be null.
pub(super) fn option_or_placeholder<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(transparent, bound = "T: Deserialize<'de> + Default")]
    struct Inner<T>(#[serde(deserialize_with = "or_placeholder")] T);
    Option::<Inner<T>>::deserialize(deserializer).map(|inner| inner.map(|Inner(value)| value))
}

struct OrPlaceholder<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for OrPlaceholder<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or ${name} of a row")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        if is_placeholder(text) { Ok(T::default()) } else { T::deserialize(text.into_deserializer()) }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::deserialize(number.into_deserializer())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::deserialize(number.into_deserializer())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Both {
        #[serde(default, deserialize_with = "or_placeholder")]
        list: Vec<u8>,
        #[serde(default, deserialize_with = "option_or_placeholder")]
        number: Option<u16>,
    }

    #[test]
    fn placeholders_read_as_defaults_and_everything_else_as_itself() {
        let read = |yaml| serde_saphyr::from_str::<Both>(yaml);
        assert_eq!(read("{list: '${x}', number: '${y}'}").unwrap(), Both { list: vec![], number: Some(0) });
        assert_eq!(read("{list: [1], number: 7}").unwrap(), Both { list: vec![1], number: Some(7) });
        assert_eq!(read("{number: null}").unwrap(), Both { list: vec![], number: None });
        assert!(read("{list: x}").is_err());
        assert!(read("{number: x}").is_err());
    }
}
