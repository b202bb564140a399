//! Structured fields (RFC 9651): items, lists and dictionaries in header values, read strictly and written in
//! their one canonical form.
//!
//! RFC 9651 lets the last of two equal keys win. What is signed must have one meaning, so [`Parsed`] says whether
//! a key came twice, and whoever relies on the value can refuse it.

mod parse;
mod write;

pub use parse::{dictionary, item, list};
pub use write::{write_dictionary, write_inner_list, write_item, write_list, write_parameters};

/// A bare item (RFC 9651, section 3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bare {
    /// At most fifteen digits.
    Integer(i64),
    /// In thousandths: at most twelve digits before the point and three behind it.
    Decimal(i64),
    /// Printable ASCII.
    String(String),
    /// A word without quotes.
    Token(String),
    /// A byte sequence.
    Bytes(Vec<u8>),
    /// A boolean.
    Boolean(bool),
    /// Seconds since the Unix epoch.
    Date(i64),
    /// Any text.
    Display(String),
}

impl Bare {
    /// The text of a string; nothing else is one.
    #[must_use]
    pub fn as_string(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// An integer.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The bytes of a byte sequence.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Parameters, in order; each key once.
pub type Parameters = Vec<(String, Bare)>;

/// The value of a parameter.
#[must_use]
pub fn parameter<'p>(parameters: &'p Parameters, key: &str) -> Option<&'p Bare> {
    parameters.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// A bare item and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The item itself.
    pub value: Bare,
    /// What is said of it.
    pub parameters: Parameters,
}

/// A list in a list (RFC 9651, section 3.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InnerList {
    /// Its items.
    pub items: Vec<Item>,
    /// What is said of the whole.
    pub parameters: Parameters,
}

/// A member of a list or of a dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// An item.
    Item(Item),
    /// A list of items.
    Inner(InnerList),
}

/// A list.
pub type List = Vec<Member>;

/// A dictionary, in order; each key once.
pub type Dictionary = Vec<(String, Member)>;

/// What was read, and whether it was said twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<T> {
    /// The value; of two equal keys the last one counts (RFC 9651, sections 4.2.2 and 4.2.3.2).
    pub value: T,
    /// Whether a key of the dictionary or of some parameters came twice.
    pub repeated: bool,
}

/// It is not a structured field of the type that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Integers and dates have at most fifteen digits (RFC 9651, section 3.3.1).
const MAX_INTEGER: i64 = 999_999_999_999_999;

/// What keys may begin with.
const fn begins_key(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte == b'*'
}

/// What keys are made of.
const fn in_key(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.' | b'*')
}

/// What tokens may begin with.
const fn begins_token(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'*'
}

/// What tokens are made of: `tchar` of RFC 9110, `:` and `/`.
const fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
                | b':'
                | b'/'
        )
}

#[cfg(test)]
mod tests;
