//! The body of a request.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::octets::{Count, Octets};
use super::placeholder::{option_or_placeholder, or_placeholder};
use super::request::HeaderLines;
use super::text_or_map::text_or_map;

/// A body and how it travels.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// What it is made of.
    pub content: Content,
    /// Its content type: `None` lets the kind of content decide, `Some(None)` sends none.
    pub content_type: Option<Option<String>>,
    /// Sizes of the pieces it is sent in; what is left over goes last.
    pub chunks: Vec<usize>,
    /// How its length is told.
    pub framing: Framing,
}

/// What a body is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Bytes as they are.
    Octets(Octets),
    /// A JSON value, written compactly.
    Json(Value),
    /// Form fields, percent-encoded.
    Form(HeaderLines),
}

/// How the length of a body is told over HTTP/1.1; over HTTP/2 there is no difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// By `content-length`.
    #[default]
    Length,
    /// By chunked transfer coding.
    Chunked,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BodyMap {
    /// A text.
    text: Option<String>,
    /// Bytes in base64.
    base64: Option<String>,
    /// A text that is repeated `times`.
    repeat: Option<String>,
    /// How often `repeat` is repeated.
    times: Option<Count>,
    /// Several, one after the other.
    parts: Option<Vec<Octets>>,
    /// A JSON value.
    #[serde(default, deserialize_with = "given")]
    json: Option<Value>,
    /// Form fields.
    #[serde(default, deserialize_with = "option_or_placeholder")]
    form: Option<HeaderLines>,
    /// The content type; null sends none.
    #[serde(default, rename = "type", deserialize_with = "given")]
    content_type: Option<Option<String>>,
    /// Sizes of the pieces.
    #[serde(default, deserialize_with = "or_placeholder")]
    chunks: Vec<usize>,
    /// How the length is told.
    #[serde(default, deserialize_with = "or_placeholder")]
    framing: Framing,
}

/// Tells a field that is null from one that is not there.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

text_or_map!(Body, BodyMap, "a text, or {text|json|form|base64|repeat|parts, type, chunks, framing}", {
    text => |text| Ok(Body::plain(Content::Octets(Octets::Text(text)))),
    map => Body::from_map,
});

impl Body {
    fn plain(content: Content) -> Self {
        Self { content, content_type: None, chunks: Vec::new(), framing: Framing::Length }
    }

    fn from_map(map: BodyMap) -> Result<Self, String> {
        let octets = Octets::from_map(map.text, map.base64, map.repeat, map.times, map.parts)?;
        let content = match (octets, map.json, map.form) {
            (Some(octets), None, None) => Content::Octets(octets),
            (None, Some(json), None) => Content::Json(json),
            (None, None, Some(form)) => Content::Form(form),
            _ => {
                return Err(
                    "exactly one of text, json, form, base64, repeat with times, and parts is needed".into(),
                );
            }
        };
        Ok(Self { content, content_type: map.content_type, chunks: map.chunks, framing: map.framing })
    }

    /// The bytes of the body.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        match &self.content {
            Content::Octets(octets) => octets.bytes(),
            Content::Json(value) => Ok(value.to_string().into_bytes()),
            Content::Form(fields) => {
                let mut form = Vec::new();
                for (name, value) in fields.lines()? {
                    if !form.is_empty() {
                        form.push(b'&');
                    }
                    percent_encode(&name, &mut form);
                    form.push(b'=');
                    percent_encode(&value, &mut form);
                }
                Ok(form)
            }
        }
    }

    /// The content type to send, unless the headers already say one.
    #[must_use]
    pub fn media_type(&self) -> Option<String> {
        if let Some(given) = &self.content_type {
            return given.clone();
        }
        match self.content {
            Content::Octets(_) => None,
            Content::Json(_) => Some("application/json".into()),
            Content::Form(_) => Some("application/x-www-form-urlencoded".into()),
        }
    }
}

/// As HTML forms are encoded (WHATWG URL, section 5.2).
fn percent_encode(bytes: &[u8], into: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b' ' => into.push(b'+'),
            b'*' | b'-' | b'.' | b'_' => into.push(byte),
            _ if byte.is_ascii_alphanumeric() => into.push(byte),
            _ => into.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Body, String> {
        serde_saphyr::from_str(yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn each_kind_has_its_bytes_and_type() {
        for (yaml, bytes, media_type) in [
            ("hello", "hello", None),
            ("{json: {a: 1}}", r#"{"a":1}"#, Some("application/json")),
            ("{json: null}", "null", Some("application/json")),
            ("{json: 1, type: null}", "1", None),
            ("{text: '{}', type: application/json}", "{}", Some("application/json")),
            ("{form: {a: x y, b: '1&2=3'}}", "a=x+y&b=1%262%3D3", Some("application/x-www-form-urlencoded")),
            ("{form: [[a, '1'], [a, '2']]}", "a=1&a=2", Some("application/x-www-form-urlencoded")),
        ] {
            let body = read(yaml).unwrap();
            assert_eq!(String::from_utf8(body.bytes().unwrap()).unwrap(), bytes, "{yaml}");
            assert_eq!(body.media_type().as_deref(), media_type, "{yaml}");
        }
    }

    #[test]
    fn a_body_is_of_one_kind() {
        for yaml in [
            "{json: 1, text: a}",
            "{type: text/plain}",
            "{form: {a: b}, json: 1}",
            "{text: a, times: 3}",
            "{json: {}, times: 3}",
            "{repeat: a}",
            "{json: {}, repeat: a}",
        ] {
            assert!(read(yaml).is_err(), "{yaml}");
        }
    }
}
