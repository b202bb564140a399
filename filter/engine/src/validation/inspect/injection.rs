//! The grammars of SQL and HTML: libinjection's, called with care.
//!
//! `libinjectionrs` was read line by line for what could go wrong on hostile input. It indexes a lot and
//! stays within bounds (a test here tries some twenty thousand inputs). Two things are kept from it: words
//! full of dots, which it looks up once per dot, and the byte `0xff`, which it takes for the end of text.

use std::borrow::Cow;

use libinjectionrs::{SqliFlags, SqliState};

use super::SYNTAX;
use super::classes::{self, Classes, SPACE};

/// Whether a value is worth the grammar of SQL. Without syntax a fragment needs white space, and one of the
/// words that begin a query, or a condition beside a number: prose has `and`, and `1 or 1` is no prose.
pub(super) fn may_be_sqli(text: &[u8], classes: Classes) -> bool {
    if classes.any(SYNTAX) && !is_soft(text) {
        return true;
    }
    (classes.any(SPACE | SYNTAX) && has_sql_words(text)) || super::is_jointed(text)
}

/// Whether all syntax there is are slashes, parentheses and semicolons, and no parenthesis is that of a call:
/// `Mozilla/5.0 (X11; Linux x86_64)`. For an attack such a text still needs the words.
fn is_soft(text: &[u8]) -> bool {
    let mut before = b' ';
    text.iter().all(|byte| {
        let soft = match byte {
            b'(' => !before.is_ascii_alphanumeric() && before != b'_',
            b')' | b';' | b'/' => true,
            other => classes::of(*other) & SYNTAX == 0,
        };
        before = *byte;
        soft
    })
}

/// Words that begin a query or a part of one.
const QUERY_WORDS: &[&[u8]] = &[
    b"alter", b"boolean", b"begin", b"case", b"create", b"declare", b"delete", b"drop", b"exec", b"execute",
    b"from", b"group", b"having", b"insert", b"into", b"order", b"select", b"table", b"union", b"update",
    b"waitfor", b"where",
];

/// Words that join a condition to another.
const CONDITION_WORDS: &[&[u8]] = &[
    b"and", b"between", b"div", b"in", b"is", b"like", b"mod", b"not", b"or", b"regexp", b"rlike", b"sounds",
    b"xor",
];

fn is_one_of(word: &[u8], words: &[&[u8]]) -> bool {
    (2..8).contains(&word.len()) && words.iter().any(|w| w.eq_ignore_ascii_case(word))
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| !b.is_ascii_alphanumeric() && *b != b'_').filter(|word| !word.is_empty())
}

fn has_sql_words(text: &[u8]) -> bool {
    let mut number_before = false;
    let mut condition_before = false;
    for word in words(text) {
        let number = word.first().is_some_and(u8::is_ascii_digit);
        let condition = is_one_of(word, CONDITION_WORDS);
        if (condition && number_before) || (number && condition_before) || is_one_of(word, QUERY_WORDS) {
            return true;
        }
        (number_before, condition_before) = (number, condition);
    }
    false
}

/// Whether a value may hold a phrase of SQL: one begins with a query word, or is a call, a statement after
/// `;`, a variable, or an operator in brackets.
pub(super) fn may_have_sql_phrase(text: &[u8]) -> bool {
    text.iter().any(|b| matches!(b, b'(' | b';' | b'['))
        || text.windows(2).any(|pair| pair == b"@@")
        || words(text).any(|word| is_one_of(word, QUERY_WORDS))
}

/// Whether a value may be markup: libinjection's tokeniser accuses nothing but a tag, or an attribute that
/// runs or loads something.
pub(super) fn may_be_xss(text: &[u8]) -> bool {
    /// How the names of those attributes begin.
    const BEGINNINGS: &[&[u8]] = &[
        b"on", b"ac", b"at", b"ba", b"by", b"da", b"dy", b"fi", b"fo", b"fr", b"ha", b"hr", b"lo", b"po",
        b"sr", b"st", b"to", b"va", b"xl", b"xm",
    ];
    if text.iter().any(|b| *b == b'<' || *b == 0) {
        return true;
    }
    let equals = text.iter().enumerate().filter(|(_, b)| **b == b'=').map(|(at, _)| at);
    equals.filter_map(|at| text.get(..at)).any(|before| {
        let name = before.trim_ascii_end();
        let is_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b':' | b'-' | b'_' | 0x0b | 0x0c);
        let length = name.iter().rev().take(64).take_while(is_name).count();
        let start = name.get(name.len() - length..).unwrap_or(b"").get(..2).unwrap_or(b"");
        length == 64 || BEGINNINGS.iter().any(|b| b.eq_ignore_ascii_case(start))
    })
}

/// Whether a value may hold a phrase of script.
pub(super) fn may_have_script_phrase(text: &[u8]) -> bool {
    text.iter().any(|b| matches!(b, b'`' | b'[' | b'=' | b'<' | b':' | b'!' | b'+'))
        || text.windows(2).any(|pair| match pair {
            [b'/', b'*'] => true,
            [before, b'('] => before.is_ascii_alphanumeric(),
            _ => false,
        })
}

/// Whether libinjection's grammar of SQL fragments recognises an attack.
pub(super) fn is_sqli(text: &[u8]) -> bool {
    let text = without_long_dotted_words(text);
    let mut state = SqliState::new(&text, SqliFlags::FLAG_NONE);
    state.detect()
        && !match state.fingerprint.split(|b| *b == 0).next() {
            Some(b"sos" | b"s&s") => is_quoted_word(&text),
            Some(b"1&1") => is_percentages(&text),
            Some(b"1c") => is_long_id(&text) || is_percentages_and_aside(&text),
            _ => false,
        }
}

/// One word in double quotes in prose, as in `a "like" button`: as SQL, two strings that are not equal. A value that
/// is nothing but the quoted word compares two empty strings, and is an attack.
fn is_quoted_word(text: &[u8]) -> bool {
    let mut parts = text.split(|b| *b == b'"');
    let (Some(before), Some(word), Some(after), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let apart = |edge: Option<&u8>| edge.is_none_or(u8::is_ascii_whitespace);
    let prose =
        |text: &[u8]| text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b',' | b'.'));
    (word == b"&" || word.iter().all(u8::is_ascii_alphabetic))
        && apart(before.last())
        && apart(after.first())
        && prose(before)
        && prose(after)
        && before.iter().chain(after).any(u8::is_ascii_alphabetic)
}

/// `80% wool and 20% silk`: the remainder of a division, if it were SQL, and no comparison.
fn is_percentages(text: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'.' | b',' | b'%');
    let signs = text.windows(3).filter(|three| matches!(three, [b'0'..=b'9', b'%', b' '])).count();
    text.iter().all(plain) && signs > 0 && signs == text.iter().filter(|b| **b == b'%').count()
}

/// `50% off -- really!`: a remainder again, and a comment. A word with a comment behind it is no attack to libinjection
/// either. A number alone with one is: it cuts off the query behind it.
fn is_percentages_and_aside(text: &[u8]) -> bool {
    let Some(dashes) = text.windows(2).position(|pair| pair == b"--") else { return false };
    let (before, after) = (text.get(..dashes).unwrap_or(b""), text.get(dashes + 2..).unwrap_or(b""));
    let said =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'.' | b',' | b'!' | b'?' | b'%' | b':');
    let of_a_word = |three: &[u8]| !matches!(three, [b'%', _, next] if !next.is_ascii_alphabetic());
    is_percentages(before)
        && before.ends_with(b" ")
        && before.windows(3).all(of_a_word)
        && after.starts_with(b" ")
        && after.iter().all(said)
        && after.iter().any(u8::is_ascii_alphabetic)
}

/// A random id that happens to end in what would be a comment.
fn is_long_id(text: &[u8]) -> bool {
    let id = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/');
    text.len() >= 20 && text.iter().all(id)
}

/// Whether libinjection's HTML tokeniser finds active content in any context.
pub(super) fn is_xss(text: &[u8]) -> bool {
    if text.contains(&0xff) {
        let text: Vec<u8> = text.iter().map(|b| if *b == 0xff { b' ' } else { *b }).collect();
        return libinjectionrs::detect_xss(&text).is_injection();
    }
    libinjectionrs::detect_xss(text).is_injection()
}

/// The longest keyword of libinjection's tables has fewer bytes than this.
const LONGEST_KEYWORD: usize = 40;

/// For each dot or backtick in a word, libinjection copies and looks up the word so far: time grows with
/// the square of the length, and a body of nothing but dots would cost seconds. No keyword is that long,
/// so dots further on change nothing about the verdict, and are hidden.
fn without_long_dotted_words(text: &[u8]) -> Cow<'_, [u8]> {
    let is_end = |b: u8| b" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r\"\xa0\0".contains(&b);
    let is_dot = |b: u8| b == b'.' || b == b'`';
    let mut length = 0_usize;
    let long = text.len() > 2 * LONGEST_KEYWORD
        && text.iter().any(|b| {
            length = if is_end(*b) { 0 } else { length + 1 };
            length > LONGEST_KEYWORD && is_dot(*b)
        });
    if !long {
        return Cow::Borrowed(text);
    }
    let mut length = 0_usize;
    let hidden = text.iter().map(|b| {
        length = if is_end(*b) { 0 } else { length + 1 };
        if length > LONGEST_KEYWORD && is_dot(*b) { b'_' } else { *b }
    });
    Cow::Owned(hidden.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_body_of_dots_costs_what_a_body_of_letters_costs() {
        let judge = |text: &[u8]| {
            let start = std::time::Instant::now();
            assert!(!is_sqli(text));
            start.elapsed()
        };
        let dots = "a.".repeat(100_000);
        judge(dots.as_bytes());
        // Quadratic time would be minutes.
        assert!(judge(dots.as_bytes()) < std::time::Duration::from_secs(2));
        assert!(judge("a`".repeat(100_000).as_bytes()) < std::time::Duration::from_secs(2));
    }

    #[test]
    fn prose_that_happens_to_be_sql_passes_and_its_neighbour_does_not() {
        for prose in
            ["\"LIKE\" STAMP", "small \"&\" sign", "80% acrylic AND 20% wool", "1611-IioXXIG1ti8rspL2vbXFy--"]
        {
            assert!(!is_sqli(prose.as_bytes()), "{prose}");
        }
        for attack in ["'like'", "\"=\"", "x'like'x", "x\" like \"x", "1 and 1=1", "1--"] {
            assert!(is_sqli(attack.as_bytes()), "{attack}");
        }
    }

    #[test]
    fn hiding_dots_leaves_attacks_visible() {
        let attack = format!("1' or '1'='1' and {} = 1", "a.".repeat(100));
        assert!(is_sqli(attack.as_bytes()));
        assert!(is_xss(b"\xff<script>"));
    }

    /// Fragments that the tokenisers treat specially, so that random texts get deep into them.
    const FRAGMENTS: &[&str] = &[
        "'",
        "\"",
        "`",
        "\\",
        "/*",
        "*/",
        "/*!",
        "--",
        "#",
        ";",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "@",
        "@@",
        "$",
        "$$",
        "$a$",
        "q'(",
        ")'",
        "nq'",
        "x'",
        "b'",
        "e'",
        "n'",
        "u&'",
        "0x",
        "0b",
        "1e",
        "1.",
        ".",
        "1",
        "1f",
        "||",
        "&&",
        "<=>",
        ":=",
        "::",
        "<",
        ">",
        "</",
        "<!",
        "<!--",
        "-->",
        "<!doctype",
        "<![CDATA[",
        "]]>",
        "<?",
        "<%",
        "%>",
        "/",
        "/>",
        "=",
        "!",
        " ",
        "\n",
        "\0",
        "\t",
        "union",
        "select",
        "or",
        "and",
        "like",
        "in",
        "not",
        "if",
        "user(",
        "sp_password",
        "a",
        "svg",
        "on",
        "onload",
        "style",
        "href",
        "javascript:",
        "&#",
        "&#x6a;",
        "&#106;",
        "é",
        ",",
        "%",
        "-",
        "+",
        "~",
        "*",
        "^",
        "|",
        "is null",
        "collate",
        "case",
        "into outfile",
        "\u{a0}",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn the_judges_never_fall_over(
            picks in proptest::collection::vec((0..FRAGMENTS.len(), any::<Option<u8>>()), 0..14),
        ) {
            let mut text = Vec::new();
            for (fragment, byte) in picks {
                text.extend_from_slice(FRAGMENTS[fragment].as_bytes());
                text.extend(byte.filter(|b| *b < 64 || *b > 127));
            }
            let _ = (is_sqli(&text), is_xss(&text));
        }
    }
}
