//! The judges of SQL and HTML, and the questions that come before them.

use super::classes::{Classes, SHARP};
use super::{PROSE, SYNTAX};

/// Markup needs at least one byte of syntax.
pub(super) fn may_be_xss(classes: Classes) -> bool {
    classes.any(SHARP)
}

/// Without syntax, SQL needs one of the words that join a condition or a query to another.
pub(super) fn may_be_sqli(text: &[u8], classes: Classes) -> bool {
    classes.any(SYNTAX) || (classes.only(PROSE) && has_sql_word(text)) || super::is_jointed(text)
}

fn has_sql_word(text: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"and", b"between", b"delete", b"div", b"drop", b"exec", b"execute", b"having", b"in", b"insert",
        b"is", b"like", b"mod", b"not", b"or", b"order", b"group", b"regexp", b"rlike", b"select", b"sounds",
        b"union", b"update", b"waitfor", b"xor",
    ];
    text.split(|b| !b.is_ascii_alphanumeric() && *b != b'_')
        .any(|word| word.len() < 8 && WORDS.iter().any(|w| w.eq_ignore_ascii_case(word)))
}

/// Whether libinjection's grammar of SQL fragments recognises an attack.
pub(super) fn is_sqli(text: &[u8]) -> bool {
    libinjectionrs::detect_sqli(text).is_injection()
}

/// Whether libinjection's HTML tokeniser finds active content in any context.
pub(super) fn is_xss(text: &[u8]) -> bool {
    libinjectionrs::detect_xss(text).is_injection()
}
