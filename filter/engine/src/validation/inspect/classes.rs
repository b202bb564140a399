//! What kinds of bytes a value is made of: the cheap question that spares most values the dear ones.
//!
//! The JSON reader gathers the answer while it looks for the closing quote, so that for the ids, words and
//! numbers most traffic consists of, inspection costs one table look-up per byte and nothing else.

/// A set of byte classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Classes(pub(crate) u8);

/// Ends the plain run of a JSON string: a quote, a backslash, a control character.
pub(crate) const STOP: u8 = 1;
/// ASCII letters and `_`.
pub(crate) const LETTER: u8 = 1 << 1;
/// ASCII digits.
pub(crate) const DIGIT: u8 = 1 << 2;
/// `-`, `.`, `,`, `:`, `+` and `@`: inside dates, numbers, addresses and names.
pub(crate) const JOINT: u8 = 1 << 3;
/// The space.
pub(crate) const SPACE: u8 = 1 << 4;
/// Bytes of characters beyond ASCII.
pub(crate) const WIDE: u8 = 1 << 5;
/// `/` and `=`, in paths, media types and base64.
pub(crate) const SLASH: u8 = 1 << 6;
/// Everything that an attack may need: quotes, brackets, operators, `%`, `&`, `\`, control characters.
pub(crate) const SHARP: u8 = 1 << 7;

/// The class of each byte.
const TABLE: [u8; 256] = table();

#[expect(clippy::indexing_slicing, reason = "evaluated at build time, where a slip does not compile")]
const fn table() -> [u8; 256] {
    let mut table = [SHARP; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'"' | b'\\' | 0..=31 => STOP | SHARP,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => LETTER,
            b'0'..=b'9' => DIGIT,
            b'-' | b'.' | b',' | b':' | b'+' | b'@' => JOINT,
            b' ' => SPACE,
            b'/' | b'=' => SLASH,
            0x80..=0xff => WIDE,
            _ => SHARP,
        };
        byte += 1;
    }
    table
}

/// The class of one byte.
#[inline]
pub(crate) fn of(byte: u8) -> u8 {
    TABLE.get(usize::from(byte)).copied().unwrap_or(SHARP)
}

impl Classes {
    /// The classes of all bytes of a value.
    pub(crate) fn of(value: &[u8]) -> Self {
        Self(value.iter().fold(0, |all, b| all | of(*b)))
    }

    /// Whether any of these classes is there.
    pub(crate) fn any(self, classes: u8) -> bool {
        self.0 & classes != 0
    }

    /// Whether nothing but these classes is there.
    pub(crate) fn only(self, classes: u8) -> bool {
        self.0 & !classes == 0
    }
}
