//! Base64 as a disguise: a whole value that decodes to printable text is judged as that text.

/// The shortest value that is tried: twelve characters hide nine bytes, and no attack is shorter.
pub(super) const SHORTEST: usize = 12;

/// Decodes a value in either alphabet, padded or not, if what comes out is text. Random ids, hashes and
/// keys fail at one of their first bytes.
pub(super) fn decode(value: &[u8]) -> Option<Vec<u8>> {
    if value.len() < SHORTEST {
        return None;
    }
    let digits = value.strip_suffix(b"==").or_else(|| value.strip_suffix(b"=")).unwrap_or(value);
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut text = Vec::new();
    let mut bits: u32 = 0;
    let mut count = 0;
    for digit in digits {
        let six = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            let byte = (bits >> count) as u8;
            if !matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r') {
                return None;
            }
            text.push(byte);
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_text_only() {
        assert_eq!(decode(b"PHNjcmlwdD4=").as_deref(), Some(&b"<script>"[..]));
        assert_eq!(decode(b"PHNjcmlwdD4").as_deref(), None, "eleven characters");
        assert_eq!(decode(b"MScgT1IgJzEnPScx").as_deref(), Some(&b"1' OR '1'='1"[..]));
        for opaque in ["9f86d081884c7d659a2f", "dGVzdA", "hello world!", "AAAAAAAAAAAA", "a=bcdefghijkl"] {
            assert_eq!(decode(opaque.as_bytes()), None, "{opaque}");
        }
    }
}
