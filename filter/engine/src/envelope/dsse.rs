//! The DSSE envelope (github.com/secure-systems-lab/dsse, version 1.0.2): what is signed, and by whom it says it is.
//!
//! Members that the specification does not name are ignored, as it asks (envelope.md, "Parsing rules"); nothing that
//! is read may be named twice. Base64 may be of either alphabet, as it asks too (protocol.md), with padding and in
//! the one spelling that its bytes have. Nothing in an envelope but the payload and its type is authenticated.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::refused::{Kind, Refused};

/// The type of the payload, which carries the version of the format: it is signed, so it has its only home here.
pub const PAYLOAD_TYPE: &str = "application/vnd.bartizan.bundle.v1+json";

/// The largest envelope that is read at all, in bytes.
pub const MAX_ENVELOPE_BYTES: usize = 16 * 1024 * 1024;

/// The most signatures of an envelope: each may cost a verification.
pub const MAX_SIGNATURES: usize = 16;

/// The longest signature in base64. Those of Ed25519 and P-256 have up to 96 characters.
const MAX_SIGNATURE_TEXT: usize = 256;

/// An envelope of our type, with nothing verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What is signed, together with [`PAYLOAD_TYPE`].
    pub payload: Vec<u8>,
    /// The signatures, in the order of the envelope.
    pub signatures: Vec<Signature>,
}

/// A signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Which key made it, says whoever wrote the envelope. Empty says nothing.
    pub keyid: String,
    /// The signature.
    pub sig: Vec<u8>,
}

#[derive(serde::Deserialize)]
struct Outer<'e> {
    #[serde(borrow)]
    payload: Cow<'e, str>,
    #[serde(borrow, rename = "payloadType")]
    payload_type: Cow<'e, str>,
    #[serde(borrow)]
    signatures: Signatures<'e>,
}

/// A signature as it is written: an object, and nothing else that could be read as one.
struct Written<'e>(Inner<'e>);

#[derive(serde::Deserialize)]
struct Inner<'e> {
    /// Unset is the same as empty.
    #[serde(borrow, default)]
    keyid: Option<Cow<'e, str>>,
    #[serde(borrow)]
    sig: Cow<'e, str>,
}

/// A list with a bound that holds while it is read: a small entry of a large envelope would take more memory than text.
struct Signatures<'e>(Vec<Written<'e>>);

/// What is said of a text in the place of a list or an object. `serde` would quote it whole, and it may have megabytes.
const A_TEXT: &str = "a text where there should be none";

impl<'de: 'e, 'e> Deserialize<'de> for Signatures<'e> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<'e>(PhantomData<&'e ()>);

        impl<'de: 'e, 'e> Visitor<'de> for List<'e> {
            type Value = Signatures<'e>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of signatures")
            }

            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
                Err(E::custom(A_TEXT))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while list.len() < MAX_SIGNATURES {
                    match items.next_element()? {
                        Some(item) => list.push(item),
                        None => return Ok(Signatures(list)),
                    }
                }
                match items.next_element::<IgnoredAny>()? {
                    None => Ok(Signatures(list)),
                    Some(_) => Err(A::Error::custom(format_args!("more than {MAX_SIGNATURES} signatures"))),
                }
            }
        }

        deserializer.deserialize_any(List(PhantomData))
    }
}

impl<'de: 'e, 'e> Deserialize<'de> for Written<'e> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<'e>(PhantomData<&'e ()>);

        impl<'de: 'e, 'e> Visitor<'de> for Object<'e> {
            type Value = Written<'e>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a signature")
            }

            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
                Err(E::custom(A_TEXT))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                Inner::deserialize(MapAccessDeserializer::new(members)).map(Written)
            }
        }

        deserializer.deserialize_any(Object(PhantomData))
    }
}

impl Envelope {
    /// Reads an envelope of our type. Nothing is verified, and the payload is not looked at.
    ///
    /// # Errors
    /// When it is too large, cut off, not an envelope, or of another type.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            let detail = format!("{} bytes; the most is {MAX_ENVELOPE_BYTES}", bytes.len());
            return Err(Refused::new(Kind::Oversized, detail));
        }
        // A list of the members in their order would be read as well, and a text be quoted.
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| *first != b'{') {
            return Err(Refused::new(Kind::NotAnEnvelope, "not a DSSE envelope: not a JSON object"));
        }
        let outer: Outer<'_> = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
            Category::Eof => {
                Refused::new(Kind::Truncated, format!("the artifact ends after {} bytes", bytes.len()))
            }
            _ => Refused::new(Kind::NotAnEnvelope, format!("not a DSSE envelope: {error}")),
        })?;
        if outer.payload_type != PAYLOAD_TYPE {
            let found: String = outer.payload_type.chars().take(128).collect();
            let detail = format!("the payload is of type `{found}`; expected `{PAYLOAD_TYPE}`");
            return Err(Refused::new(Kind::WrongType, detail));
        }
        let not_base64 =
            |what: &str| Refused::new(Kind::NotAnEnvelope, format!("`{what}` is not canonical base64"));
        let payload = bytes_of(&outer.payload).ok_or_else(|| not_base64("payload"))?;
        let signatures = outer
            .signatures
            .0
            .into_iter()
            .enumerate()
            .map(|(index, Written(inner))| {
                let keyid = inner.keyid.unwrap_or_default().into_owned();
                let sig = Some(inner.sig).filter(|sig| sig.len() <= MAX_SIGNATURE_TEXT);
                let sig = sig.and_then(|sig| bytes_of(&sig));
                sig.map(|sig| Signature { keyid, sig })
                    .ok_or_else(|| not_base64(&format!("signatures[{index}].sig")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { payload, signatures })
    }
}

/// Bytes from base64 of either alphabet (RFC 4648, sections 4 and 5), not of both at once.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

/// What a signature covers comes in two pieces: this one, then the payload itself (protocol.md, "PAE").
///
/// `DSSEv1 SP LEN(type) SP type SP LEN(body) SP body`: lengths come first, so no two pairs of type and body have the same text.
#[must_use]
pub fn preamble(payload_type: &str, payload: &[u8]) -> String {
    format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let pae = |kind: &str, body: &str| preamble(kind, body.as_bytes()) + body;
        // protocol.md, "Test Vectors".
        assert_eq!(
            pae("http://example.com/HelloWorld", "hello world"),
            "DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae("", ""), "DSSEv1 0  0 ");
        // Lengths are those of bytes.
        assert_eq!(pae("ä", "€"), "DSSEv1 2 ä 3 €");
        assert_ne!(pae("a b", "c"), pae("a", "b c"));
    }

    fn envelope(payload: &str, rest: &str) -> String {
        format!(r#"{{"payload":"{payload}","payloadType":"{PAYLOAD_TYPE}",{rest}}}"#)
    }

    fn parse(text: &str) -> Result<Envelope, Kind> {
        Envelope::parse(text.as_bytes()).map_err(|refused| refused.kind)
    }

    #[test]
    fn an_envelope_is_read_as_the_specification_says() {
        let good = parse(&envelope(
            "e30=",
            r#""signatures":[{"keyid":"k","sig":"AA=="},{"sig":"","x":[1]}],"new":{"a":1}"#,
        ));
        let expected =
            [("k", vec![0]), ("", vec![])].map(|(keyid, sig)| Signature { keyid: keyid.into(), sig });
        assert_eq!(good, Ok(Envelope { payload: b"{}".to_vec(), signatures: expected.to_vec() }));
        // Either alphabet, escapes of JSON, an unset keyid.
        for payload in ["-_8=", "+/8=", "+\\/8=", "\\u002b/8="] {
            let read = parse(&envelope(payload, r#""signatures":[{"keyid":null,"sig":"-_8="}]"#)).unwrap();
            assert_eq!((read.payload, read.signatures[0].sig.clone()), (vec![0xfb, 0xff], vec![0xfb, 0xff]));
        }
    }

    #[test]
    fn what_is_not_quite_an_envelope_is_refused() {
        let none = r#""signatures":[]"#;
        for text in [
            envelope("e30", none),
            envelope("e31=", none),
            envelope("e30=\\n", none),
            envelope(" e30=", none),
            envelope("-/8=", none),
            envelope("e30=", r#""signatures":{}"#),
            envelope("e30=", r#""signatures":[{}]"#),
            envelope("e30=", r#""signatures":[{"sig":1}]"#),
            envelope("e30=", r#""signatures":[{"sig":"AB=="}]"#),
            envelope("e30=", r#""signatures":[{"sig":"AA==","sig":"AA=="}]"#),
            envelope("e30=", r#""signatures":[],"signatures":[]"#),
            envelope("e30=", r#""signatures":[],"\u0070ayload":"e30=""#),
            envelope("e30=", r#""signatures":[]"#) + "{}",
            envelope("e30=", &format!(r#""signatures":[{{"sig":"{}"}}]"#, "A".repeat(260))),
            envelope("e30=", &format!(r#""signatures":[{}]"#, [r#"{"sig":""}"#; 17].join(","))),
            format!(r#"{{"payloadType":"{PAYLOAD_TYPE}","signatures":[]}}"#),
            envelope("e30=", &format!(r#""signatures":"{}""#, "\u{7f}".repeat(9))),
            envelope("e30=", r#""signatures":["x"]"#),
            envelope("e30=", r#""signatures":[["k","AA=="]]"#),
            format!(r#"["e30=","{PAYLOAD_TYPE}",[]]"#),
            "\"x\"".into(),
            "[]".into(),
            "null".into(),
            "x".into(),
            "\u{feff}{}".into(),
        ] {
            assert_eq!(parse(&text), Err(Kind::NotAnEnvelope), "{text}");
        }
        assert!(
            parse(&envelope("e30=", &format!(r#""signatures":[{}]"#, [r#"{"sig":""}"#; 16].join(","))))
                .is_ok()
        );
        let other = envelope("e30=", none).replace("bundle.v1", "bundle.v2");
        assert_eq!(parse(&other), Err(Kind::WrongType));
        assert_eq!(
            Envelope::parse(&vec![b' '; MAX_ENVELOPE_BYTES + 1]).map_err(|r| r.kind),
            Err(Kind::Oversized)
        );
    }

    #[test]
    fn what_is_said_of_an_envelope_is_short() {
        let long = "\u{7f}".repeat(100_000);
        for text in [
            envelope("e30=", &format!(r#""signatures":"{long}""#)),
            envelope("e30=", &format!(r#""signatures":["{long}"]"#)),
            envelope("e30=", &format!(r#""signatures":[{{"sig":["{long}"]}}]"#)),
            envelope("e30=", r#""signatures":[]"#).replace("application", &long),
            format!("\"{long}\""),
            format!("{{\"{long}\":1}}"),
        ] {
            let refused = Envelope::parse(text.as_bytes()).unwrap_err();
            assert!(refused.detail.len() < 600, "{}", refused.detail.len());
            assert!(!refused.detail.contains("[...]"), "not cut, but never made");
        }
    }

    #[test]
    fn every_cut_is_truncated() {
        let whole = envelope("e30=", r#""signatures":[{"keyid":"k","sig":"AA=="}]"#);
        for cut in 0..whole.len() {
            let cut = whole.get(..cut).unwrap();
            assert_eq!(parse(cut), Err(Kind::Truncated), "{cut}");
        }
    }
}
