//! Bytes in messages. They are compared whole, and cut only to be shown.

use std::fmt::Write as _;

/// How many bytes a message shows at most.
const SHOWN: usize = 300;

/// How many of them stand before the first difference.
const BEFORE: usize = 100;

/// Where two texts begin to differ, if they do.
pub(super) fn difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let apart = one.iter().zip(other).position(|(a, b)| a != b);
    apart.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))
}

/// The first bytes, for people.
pub(super) fn show(bytes: &[u8]) -> String {
    around(bytes, 0)
}

/// The bytes around a place, for people: what is cut away is told, and what is no text has its numbers.
pub(super) fn around(bytes: &[u8], at: usize) -> String {
    let start = if at < SHOWN { 0 } else { at.saturating_sub(BEFORE) };
    let (start, end) = (boundary(bytes, start), boundary(bytes, start.saturating_add(SHOWN)));
    let mut text = String::new();
    if start > 0 {
        let _ = write!(text, "({start} bytes) ...");
    }
    for chunk in bytes.get(start..end).unwrap_or_default().utf8_chunks() {
        text += chunk.valid();
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    let rest = bytes.len().saturating_sub(end);
    if rest > 0 {
        let _ = write!(text, "... ({rest} bytes)");
    }
    text
}

/// This place, or where the character begins that it is in.
fn boundary(bytes: &[u8], at: usize) -> usize {
    let within = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let begins = (0..4).filter_map(|back| at.checked_sub(back)).find(|at| !within(*at));
    begins.unwrap_or(at).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_wherever_it_is() {
        let long = |end: &str| format!("{}{end}", "ü".repeat(500)).into_bytes();
        let (one, other) = (long("one"), long("two"));
        let at = difference(&one, &other).unwrap();
        assert_eq!(at, 1000);
        let (one, other) = (around(&one, at), around(&other, at));
        assert!(one.ends_with("üone") && other.ends_with("ütwo"), "{one} {other}");
        assert!(one.starts_with("(900 bytes) ...ü"), "{one}");
        assert!(show(&long("")).ends_with("ü... (700 bytes)"));
    }

    #[test]
    fn what_is_no_text_is_told_apart() {
        assert_eq!((show(b"a\xff"), show(b"a\xfe")), ("a\\xff".to_owned(), "a\\xfe".to_owned()));
        assert_eq!((difference(b"ab", b"a"), difference(b"a", b"a")), (Some(1), None));
    }
}
