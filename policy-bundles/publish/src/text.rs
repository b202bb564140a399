//! Texts of others, for logs and terminals.

use std::fmt::Write as _;

/// The longest text that is repeated.
pub(crate) const LONGEST: usize = 256;

/// Bytes of anybody, as a text that ends no line, closes no quote and steers no terminal.
pub(crate) fn clean(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().min(LONGEST));
    for byte in bytes.iter().take(LONGEST) {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                // Writing into a string cannot fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    if bytes.len() > LONGEST {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_client_ends_a_line_or_a_quote() {
        assert_eq!(
            clean(b"a\"b\\c\nd\x1b[2J\xe2\x80\xae \x7f"),
            "a\\\"b\\\\c\\x0ad\\x1b[2J\\xe2\\x80\\xae \\x7f"
        );
        assert_eq!(clean(&[b'a'; LONGEST]).len(), LONGEST);
        assert!(clean(&[b'a'; LONGEST + 1]).ends_with("a..."));
    }
}
