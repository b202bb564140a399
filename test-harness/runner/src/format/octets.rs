//! Bytes, written as a person would: a text, base64 for what is not text, repetition for what is long.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;

use super::placeholder::is_placeholder;
use super::text_or_map::text_or_map;

/// The most bytes one value may grow to: a generator with a slip must not eat the machine.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of a path, a header value or a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Octets {
    /// The bytes of a text.
    Text(String),
    /// Bytes in base64.
    Base64(Vec<u8>),
    /// A text many times over.
    Repeat(String, Count),
    /// Several, one after the other.
    Parts(Vec<Octets>),
}

/// How often: a number, or `${name}` of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Count {
    /// This often.
    Fixed(u64),
    /// As the row says; filled in before anything runs.
    Named(String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OctetsMap {
    /// The bytes of a text.
    text: Option<String>,
    /// Bytes in base64, with padding.
    base64: Option<String>,
    /// A text that is repeated `times`.
    repeat: Option<String>,
    /// How often `repeat` is repeated.
    times: Option<Count>,
    /// Several, one after the other.
    parts: Option<Vec<Octets>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoMap {}

text_or_map!(Octets, OctetsMap, "a text, or {text}, {base64}, {repeat, times} or {parts}", {
    text => |text| Ok(Octets::Text(text)),
    map => |map| Octets::from_map(map.text, map.base64, map.repeat, map.times, map.parts)
        .and_then(|octets| octets.ok_or_else(|| "one of text, base64, repeat with times, or parts is needed".into())),
});

text_or_map!(Count, NoMap, "a number, or ${name} of a row", {
    text => |text| match text.parse() {
        Ok(number) => Ok(Count::Fixed(number)),
        Err(_) if text.starts_with("${") => Ok(Count::Named(text)),
        Err(_) => Err(format!("`{text}` is not a number")),
    },
    map => |_| Err("a number is needed".to_owned()),
});

impl Octets {
    pub(super) fn from_map(
        text: Option<String>,
        base64: Option<String>,
        repeat: Option<String>,
        times: Option<Count>,
        parts: Option<Vec<Self>>,
    ) -> Result<Option<Self>, String> {
        let repeat = match (repeat, times) {
            (Some(text), Some(times)) => Some((text, times)),
            (None, None) => None,
            (Some(_), None) => return Err("`repeat` without `times`: say how often, or write `text`".into()),
            (None, Some(_)) => return Err("`times` without `repeat`: say what is repeated".into()),
        };
        let mut found = Vec::new();
        let placeholder = base64.as_deref().filter(|t| is_placeholder(t)).map(|_| Self::Base64(Vec::new()));
        found.extend(text.map(Self::Text));
        if let Some(base64) = base64.filter(|text| !is_placeholder(text)) {
            let bytes = STANDARD.decode(&base64).map_err(|e| format!("`{base64}` is not base64: {e}"))?;
            found.push(Self::Base64(bytes));
        }
        // A placeholder stands for bytes that its row gives later.
        found.extend(placeholder);
        found.extend(repeat.map(|(text, times)| Self::Repeat(text, times)));
        found.extend(parts.map(Self::Parts));
        if found.len() > 1 {
            return Err("only one of text, base64, repeat and parts may be given".into());
        }
        Ok(found.pop())
    }

    /// The bytes.
    ///
    /// # Errors
    /// If a count was never filled in, or the bytes are too many.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let bytes = match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Base64(bytes) => bytes.clone(),
            Self::Repeat(text, Count::Fixed(times)) => {
                let times = usize::try_from(*times).unwrap_or(usize::MAX);
                if text.len().saturating_mul(times) > MAX_BYTES {
                    return Err(format!("{times} times {} bytes are more than {MAX_BYTES}", text.len()));
                }
                text.repeat(times).into_bytes()
            }
            Self::Repeat(_, Count::Named(name)) => return Err(format!("no row gives {name}")),
            Self::Parts(parts) => {
                let mut bytes = Vec::new();
                for part in parts {
                    bytes.append(&mut part.bytes()?);
                }
                bytes
            }
        };
        Ok(bytes)
    }
}

impl Default for Octets {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Octets, String> {
        serde_saphyr::from_str(yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn every_form_gives_its_bytes() {
        for (yaml, bytes) in [
            ("abc", &b"abc"[..]),
            ("7", b"7"),
            ("{base64: /w==}", b"\xff"),
            ("{repeat: ab, times: 2}", b"abab"),
            ("{parts: [x, {repeat: y, times: 2}, {base64: AA==}]}", b"xyy\0"),
        ] {
            assert_eq!(read(yaml).unwrap().bytes().unwrap(), bytes, "{yaml}");
        }
    }

    #[test]
    fn two_forms_at_once_and_none_are_refused() {
        for yaml in ["{text: a, base64: AA==}", "{}", "{repeat: a}", "{base64: '*'}", "{repeat: a, times: x}"]
        {
            assert!(read(yaml).is_err(), "{yaml}");
        }
        // What is repeated, and how often, stand together.
        for (yaml, named) in
            [("{text: a, times: 3}", "`times` without"), ("{text: b, repeat: a}", "`repeat` without")]
        {
            assert!(read(yaml).unwrap_err().contains(named), "{yaml}");
        }
        assert!(read("{repeat: a, times: 99999999999}").unwrap().bytes().is_err());
    }
}
