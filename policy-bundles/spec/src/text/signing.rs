//! What signatures of requests are called, and what they cover.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{Problem, checked_text, is_token_byte, refuse_unless, text_type};

/// The parts of a request that are no fields (RFC 9421, section 2.2).
const DERIVED: [&str; 7] =
    ["@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query"];

checked_text! {
    /// What a signature covers: the name of a field, or one of `@method`, `@authority`, `@path`, `@query`, `@target-uri`,
    /// `@request-target` and `@scheme`.
    Covered, "bartizan-covered", "^(@(method|target-uri|authority|scheme|request-target|path|query)|[a-z0-9!#$%&'*+.^_`|~-]{1,128})$", ["@method", "content-digest"], |text| {
        let field = text.bytes().all(|b| is_token_byte(b) && !b.is_ascii_uppercase()) && (1..=128).contains(&text.len());
        refuse_unless(DERIVED.contains(&text) || field, || Problem::new(
            format!("{text:?} cannot be covered by a signature"),
            "write a field name in lower case, or one of `@method`, `@authority`, `@path`, `@query`, `@target-uri`, `@request-target`, `@scheme`",
        ))
    }
}

impl Covered {
    /// One that is known to follow the rule.
    pub(crate) const fn known(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }
}

checked_text! {
    /// The label of a signature (RFC 9421, section 4): a key of a dictionary.
    SignatureLabel, "bartizan-signature-label", "^[a-z*][a-z0-9_.*-]{0,63}$", ["sig1"], |text| {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'*');
        let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.*-".contains(&b));
        refuse_unless(first && rest && text.len() <= 64, || Problem::new(
            format!("{text:?} is not the label of a signature"),
            "use 1 to 64 lower-case letters, digits and `_ - . *`, starting with a letter, such as `sig1`",
        ))
    }
}

checked_text! {
    /// The scheme of URLs: `http` or `https`.
    UrlScheme, "bartizan-url-scheme", "^https?$", ["https"], |text| {
        refuse_unless(matches!(text, "http" | "https"), || Problem::new(
            format!("{text:?} is not a scheme that clients can see"),
            "write `https` or `http`",
        ))
    }
}
