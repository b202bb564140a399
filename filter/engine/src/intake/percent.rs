//! Percent-encoding (RFC 3986, section 2.1), the strict kind: what is malformed is refused, never guessed.

use std::borrow::Cow;

/// The value of one hexadecimal digit.
#[must_use]
pub const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The byte that `%` followed by `rest` stands for, if `rest` starts with two hexadecimal digits.
#[must_use]
pub fn triplet(rest: &[u8]) -> Option<u8> {
    match rest {
        [high, low, ..] => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

/// Appends the triplet of a byte, with upper-case digits (RFC 3986, section 2.1).
pub fn push_triplet(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    for nibble in [byte >> 4, byte & 15] {
        text.push(char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0')));
    }
}

/// What `+` means in the text that is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plus {
    /// Itself, as in paths.
    Plus,
    /// A space, as in queries and form bodies.
    Space,
}

/// Decodes every triplet; `None` if one is malformed.
#[must_use]
pub fn decode(raw: &[u8], plus: Plus) -> Option<Cow<'_, [u8]>> {
    let special = |b: &u8| *b == b'%' || (*b == b'+' && plus == Plus::Space);
    if !raw.iter().any(special) {
        return Some(Cow::Borrowed(raw));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                decoded.push(triplet(tail)?);
                rest = tail.get(2..)?;
            }
            b'+' if plus == Plus::Space => decoded.push(b' '),
            other => decoded.push(other),
        }
    }
    Some(Cow::Owned(decoded))
}

/// Decodes every triplet into text; `None` if a triplet is malformed or the result is not UTF-8.
#[must_use]
pub fn decode_text(raw: &str, plus: Plus) -> Option<Cow<'_, str>> {
    match decode(raw.as_bytes(), plus)? {
        Cow::Borrowed(_) => Some(Cow::Borrowed(raw)),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_is_well_formed() {
        assert_eq!(decode_text("a%20b", Plus::Plus).as_deref(), Some("a b"));
        assert_eq!(decode_text("a+b", Plus::Plus).as_deref(), Some("a+b"));
        assert_eq!(decode_text("a+b", Plus::Space).as_deref(), Some("a b"));
        assert_eq!(decode_text("%C3%a9", Plus::Plus).as_deref(), Some("é"));
    }

    #[test]
    fn every_byte_survives_its_triplet() {
        for byte in 0..=u8::MAX {
            let mut text = String::new();
            push_triplet(&mut text, byte);
            assert_eq!(text, format!("%{byte:02X}"));
            assert_eq!(decode(text.as_bytes(), Plus::Plus).as_deref(), Some(&[byte][..]));
        }
    }

    #[test]
    fn refuses_what_is_not() {
        for raw in ["%", "%4", "%zz", "%4g", "a%"] {
            assert_eq!(decode(raw.as_bytes(), Plus::Plus), None, "{raw}");
        }
        assert_eq!(decode_text("%ff", Plus::Plus), None);
        assert_eq!(decode_text("%c0%af", Plus::Plus), None, "an overlong slash is not UTF-8");
    }
}
