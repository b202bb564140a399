//! What stands in HTTP messages.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{Problem, checked_text, is_token_byte, refuse_unless, text_type};

checked_text! {
    /// The name of a header, in lower case.
    HeaderName, "bartizan-header-name", "^[a-z0-9!#$%&'*+.^_`|~-]{1,128}$", ["x-gateway"], |text| {
        // RFC 9110, section 5.1: a field name is a token.
        let token = text.bytes().all(is_token_byte) && (1..=128).contains(&text.len());
        if text.starts_with(':') {
            return Err(Problem::new(
                format!("`{text}` is a pseudo-header"),
                "pseudo-headers belong to the protocol and cannot be named in a policy",
            ));
        }
        refuse_unless(token, || Problem::new(
            format!("{text:?} is not the name of a header"),
            "use letters, digits and `-`, such as `x-gateway`",
        ))?;
        refuse_unless(!text.bytes().any(|b| b.is_ascii_uppercase()), || Problem::new(
            format!("the header name `{text}` is not in lower case"),
            format!("write `{}`; case means nothing in header names, and the language has one way to write them", text.to_ascii_lowercase()),
        ))
    }
}

impl HeaderName {
    /// A name that is known to follow the rules.
    #[must_use]
    pub(crate) const fn known(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }
}

checked_text! {
    /// The value of a header: printable ASCII, with no blank at either end.
    HeaderValue, "bartizan-header-value", "^[!-~]([ -~]*[!-~])?$", ["max-age=63072000"], |text| {
        if text.bytes().any(|b| b == b'\r' || b == b'\n') {
            return Err(Problem::new(
                "the header value has a line break",
                "a line break would start another header; write the value on one line",
            ));
        }
        if text.is_empty() {
            return Err(Problem::new("the header value is empty", "to take a header away, list it under `remove`"));
        }
        let good = text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text;
        refuse_unless(good && text.len() <= 8192, || Problem::new(
            format!("{text:?} is not the value of a header"),
            "use up to 8192 printable ASCII characters, with no blank at either end",
        ))
    }
}

checked_text! {
    /// The name of a cookie.
    CookieName, "bartizan-cookie-name", "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$", ["session"], |text| {
        let good = text.bytes().all(is_token_byte) && (1..=128).contains(&text.len());
        refuse_unless(good, || Problem::new(
            format!("{text:?} is not the name of a cookie"),
            "use letters, digits, `-` and `_`, such as `session`",
        ))
    }
}

checked_text! {
    /// The name of a query parameter.
    QueryName, "bartizan-query-name", "^[!-~]{1,128}$", ["access_token"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_graphic() && !b"&=#+%;".contains(&b));
        refuse_unless(good && (1..=128).contains(&text.len()), || Problem::new(
            format!("{text:?} is not the name of a query parameter"),
            "use letters, digits, `-` and `_`, such as `access_token`",
        ))
    }
}

checked_text! {
    /// A media type: `type/subtype`, `type/*` or `application/*+json`.
    MediaType, "bartizan-media-type", "^[a-z0-9!#$&^_.+-]+/([a-z0-9!#$&^_.+-]+|\\*|\\*\\+[a-z0-9.-]+)$", ["image/png", "image/*"], media_type
}

impl MediaType {
    /// `application/json` (RFC 8259).
    #[must_use]
    pub const fn json() -> Self {
        Self(Cow::Borrowed("application/json"))
    }

    /// Every type with the suffix `+json` (RFC 6839).
    #[must_use]
    pub const fn json_suffix() -> Self {
        Self(Cow::Borrowed("application/*+json"))
    }
}

fn media_type(text: &str) -> Result<(), Problem> {
    if let Some((bare, _)) = text.split_once(';') {
        return Err(Problem::new(
            format!("the media type `{text}` has parameters"),
            format!("write `{}`; parameters are not compared", bare.trim()),
        ));
    }
    // RFC 6838, section 4.2: restricted names.
    let word = |w: &str| {
        !w.is_empty()
            && w.len() <= 127
            && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$&^_.+-".contains(&b))
    };
    let good = text.split_once('/').is_some_and(|(kind, subtype)| {
        word(kind) && (subtype == "*" || word(subtype) || subtype.strip_prefix("*+").is_some_and(word))
    });
    refuse_unless(good, || {
        let lower = text.to_ascii_lowercase();
        let help = match lower != text && media_type(&lower).is_ok() {
            true => format!("write `{lower}`"),
            false => "write `type/subtype` or `type/*` in lower case, such as `image/png`".to_owned(),
        };
        Problem::new(format!("{text:?} is not a media type"), help)
    })
}
