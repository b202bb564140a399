//! A JSON reader for small documents that decide something: token headers, claims, key sets.
//!
//! Two parsers that read one document differently are a way around a policy (RFC 8725, section 2.4, and
//! RFC 7515, section 10.12, which asks for exactly this). So duplicate members are refused at every depth
//! instead of "the last one wins", nothing may follow the document, and size and depth are bounded
//! before anything is built.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How large a document may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the whole document.
    pub max_bytes: usize,
    /// Levels of objects and arrays, the outermost object included.
    pub max_depth: usize,
}

/// Why a document is refused. No variant repeats a value of the document, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrictJsonError {
    /// It has more bytes than allowed.
    TooLarge {
        /// The most bytes allowed.
        max: usize,
    },
    /// It nests deeper than allowed.
    TooDeep {
        /// The most levels allowed.
        max: usize,
    },
    /// An object names a member twice.
    DuplicateMember {
        /// Line of the second one, counted from one.
        line: usize,
        /// Column of the second one, counted from one.
        column: usize,
    },
    /// It is JSON, but not an object.
    NotAnObject,
    /// It is not JSON (RFC 8259), or something follows it.
    Malformed {
        /// Line, counted from one.
        line: usize,
        /// Column, counted from one.
        column: usize,
    },
}

impl fmt::Display for StrictJsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { max } => write!(f, "larger than {max} bytes"),
            Self::TooDeep { max } => write!(f, "nested deeper than {max} levels"),
            Self::DuplicateMember { line, column } => {
                write!(f, "a member is named twice in one object at line {line}, column {column}")
            }
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::Malformed { line, column } => write!(f, "not JSON at line {line}, column {column}"),
        }
    }
}

impl std::error::Error for StrictJsonError {}

/// Reads one JSON object.
///
/// # Errors
/// When the document exceeds the bounds, is not JSON, is not an object, has a duplicate member anywhere,
/// or is followed by anything but white space.
pub fn parse_object(json: &[u8], bounds: Bounds) -> Result<Map<String, Value>, StrictJsonError> {
    if json.len() > bounds.max_bytes {
        return Err(StrictJsonError::TooLarge { max: bounds.max_bytes });
    }
    let fault = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let strict = Strict { depth_left: bounds.max_depth, fault: &fault };
    let value = strict
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| {
            let (line, column) = (error.line(), error.column());
            match fault.get() {
                Some(Fault::Depth) => StrictJsonError::TooDeep { max: bounds.max_depth },
                Some(Fault::Duplicate) => StrictJsonError::DuplicateMember { line, column },
                None => StrictJsonError::Malformed { line, column },
            }
        })?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(StrictJsonError::NotAnObject),
    }
}

#[derive(Clone, Copy)]
enum Fault {
    Depth,
    Duplicate,
}

/// Builds a value like `serde_json` does, with the two checks it lacks.
#[derive(Clone, Copy)]
struct Strict<'f> {
    depth_left: usize,
    fault: &'f Cell<Option<Fault>>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left, ..self }),
            None => {
                self.fault.set(Some(Fault::Depth));
                Err(E::custom("too deep"))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        // The names are compared decoded, so `"a"` and `"\u0061"` are duplicates.
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                self.fault.set(Some(Fault::Duplicate));
                return Err(A::Error::custom("duplicate member"));
            }
            let value = members.next_value_seed(inner)?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BOUNDS: Bounds = Bounds { max_bytes: 1024, max_depth: 4 };

    fn read(json: &str) -> Result<Value, StrictJsonError> {
        parse_object(json.as_bytes(), BOUNDS).map(Value::Object)
    }

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [
            "{}",
            " { \"a\" : [1, -2, 3.5, true, false, null, \"x\\n\\ud83d\\ude00\"] } ",
            r#"{"a":{"b":{"c":18446744073709551615}}}"#,
        ] {
            assert_eq!(read(text), Ok(serde_json::from_str::<Value>(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn a_duplicate_member_is_refused_at_every_depth() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
        ] {
            assert!(matches!(read(text), Err(StrictJsonError::DuplicateMember { .. })), "{text}");
        }
        // The nearest that is fine: the same name in two objects.
        assert_eq!(read(r#"{"a":{"a":1},"b":{"a":1}}"#), Ok(json!({"a": {"a": 1}, "b": {"a": 1}})));
    }

    #[test]
    fn nothing_may_follow() {
        for text in ["{}{}", "{} x", "{},", "{}\0", "{}]"] {
            assert!(matches!(read(text), Err(StrictJsonError::Malformed { .. })), "{text}");
        }
        assert_eq!(read("{}\r\n\t "), Ok(json!({})));
    }

    #[test]
    fn only_objects() {
        for text in ["[]", "1", "\"{}\"", "null", "true"] {
            assert_eq!(read(text), Err(StrictJsonError::NotAnObject), "{text}");
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        assert!(read(r#"{"a":[[[1]]]}"#).is_ok());
        assert_eq!(read(r#"{"a":[[[[1]]]]}"#), Err(StrictJsonError::TooDeep { max: 4 }));
        let deep = format!("{{\"a\":{}1", "[".repeat(900));
        assert_eq!(read(&deep), Err(StrictJsonError::TooDeep { max: 4 }));
        let fits = format!("{{\"a\":\"{}\"}}", "x".repeat(1024 - 8));
        assert!(read(&fits).is_ok());
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1024 - 7));
        assert_eq!(read(&large), Err(StrictJsonError::TooLarge { max: 1024 }));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for bytes in [
            &b""[..],
            b"{",
            b"{'a':1}",
            b"{a:1}",
            b"{\"a\":NaN}",
            b"{\"a\":1e999}",
            b"{\"a\":01}",
            b"{\"a\":1,}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":\"\xff\"}",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\n\"}",
        ] {
            assert!(
                matches!(parse_object(bytes, BOUNDS), Err(StrictJsonError::Malformed { .. })),
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}
