//! Verified claims on their way into headers for upstream.
//!
//! A claim's text comes from whoever filled in a form at the issuer. It must not become a second header, a
//! second value, or something that two servers read differently. So a header value here has only visible
//! ASCII and inner spaces; every other byte of its UTF-8 form is percent-encoded, `%` itself included, so
//! that decoding gives back exactly the claim. In a list a comma separates and a comma within an element
//! is encoded. Objects are written as compact JSON and encoded likewise.

use serde_json::Value;

use crate::intake::percent::push_triplet;

/// The most bytes of a forwarded value: two of them still fit Envoy's default of 60 KiB for all headers.
pub(super) const MAX_VALUE_BYTES: usize = 8 * 1024;

/// The header value for a claim; `None` for `null`, which counts as absent.
///
/// # Errors
/// When the value would be longer than a header should be.
pub fn header_value(claim: &Value) -> Result<Option<String>, &'static str> {
    let mut value = String::new();
    match claim {
        Value::Null => return Ok(None),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    value.push(',');
                }
                encode(&text(item), true, &mut value);
            }
        }
        single => encode(&text(single), false, &mut value),
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err("is too long to be forwarded in a header");
    }
    Ok(Some(value))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn encode(text: &str, in_list: bool, into: &mut String) {
    let last = text.len().saturating_sub(1);
    for (index, byte) in text.bytes().enumerate() {
        let plain = match byte {
            b'%' => false,
            b',' => !in_list,
            // At the ends it would be trimmed on the way (RFC 9110, section 5.5).
            b' ' => index != 0 && index != last,
            _ => byte.is_ascii_graphic(),
        };
        if plain {
            into.push(char::from(byte));
        } else {
            push_triplet(into, byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn header(claim: &Value) -> String {
        header_value(claim).unwrap().unwrap()
    }

    #[test]
    fn plain_values_stay_as_they_are() {
        assert_eq!(header(&json!("alice@example.com")), "alice@example.com");
        assert_eq!(header(&json!("read write")), "read write");
        assert_eq!(header(&json!(42)), "42");
        assert_eq!(header(&json!(true)), "true");
        assert_eq!(header(&json!(["a", "b c", 3])), "a,b c,3");
        assert_eq!(header(&json!("a,b")), "a,b");
        assert_eq!(header_value(&json!(null)), Ok(None));
    }

    #[test]
    fn a_claim_cannot_inject_a_header() {
        assert_eq!(header(&json!("x\r\nx-role: admin")), "x%0D%0Ax-role: admin");
        assert_eq!(header(&json!("é")), "%C3%A9");
        assert_eq!(header(&json!("100%")), "100%25");
        assert_eq!(header(&json!(" x ")), "%20x%20");
        assert_eq!(header(&json!("\u{0}\t\u{7f}")), "%00%09%7F");
        assert_eq!(header(&json!(["a,admin", "b"])), "a%2Cadmin,b");
        assert_eq!(header(&json!({"a": "\n"})), r#"{"a":"\n"}"#);
    }

    #[test]
    fn long_values_are_refused() {
        assert!(header_value(&json!("x".repeat(8192))).is_ok());
        assert!(header_value(&json!("x".repeat(8193))).is_err());
        assert!(header_value(&json!("é".repeat(2000))).is_err());
    }

    proptest! {
        #[test]
        fn values_are_always_safe_and_can_be_decoded(text in "\\PC{0,40}|[\\x00-\\x20%, é]{0,20}") {
            let value = header(&json!(text));
            prop_assert!(value.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
            prop_assert_eq!(value.trim(), &value);
            let mut decoded = Vec::new();
            let mut bytes = value.bytes();
            while let Some(byte) = bytes.next() {
                if byte == b'%' {
                    let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
                    decoded.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                } else {
                    decoded.push(byte);
                }
            }
            prop_assert_eq!(String::from_utf8(decoded).unwrap(), text);
        }
    }
}
