//! What tokens say, and where they are found.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{Problem, checked_text, is_token_byte, refuse_unless, text_type};

checked_text! {
    /// A string that tokens carry, compared byte by byte: an issuer or an audience.
    IssuerText, "bartizan-issuer", "^[!-~]{1,512}$", ["https://login.example.com/"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_graphic());
        refuse_unless(good && (1..=512).contains(&text.len()), || Problem::new(
            format!("{text:?} is not an issuer or audience"),
            "write it exactly as tokens carry it: 1 to 512 printable ASCII characters without blanks",
        ))
    }
}

checked_text! {
    /// A claim, as a path through nested objects: `realm_access.roles`, and through lists of objects: `groups[].name`.
    ClaimPath, "bartizan-claim-path", "^[^.\\s]+(\\.[^.\\s]+)*$", ["sub", "realm_access.roles", "groups[].name"], |text| {
        let good = !text.bytes().any(|b| b <= 0x20 || b == 0x7f);
        let parts = text.split('.').all(|part| !part.is_empty()) && text.split('.').count() <= 16;
        refuse_unless(good && parts && text.len() <= 256, || Problem::new(
            format!("{text:?} is not the path of a claim"),
            "write names of claims with dots between them: `sub`, `realm_access.roles`",
        ))
    }
}

impl ClaimPath {
    /// The claim `sub` (RFC 7519, section 4.1.2).
    #[must_use]
    pub const fn sub() -> Self {
        Self(Cow::Borrowed("sub"))
    }

    /// Whether it may stand for several values, as it goes through a list.
    #[must_use]
    pub fn is_plural(&self) -> bool {
        self.0.split('.').any(|step| step.ends_with("[]"))
    }
}

checked_text! {
    /// An authentication scheme.
    Scheme, "bartizan-scheme", "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$", ["Bearer"], |text| {
        let good = text.bytes().all(is_token_byte) && (1..=64).contains(&text.len());
        refuse_unless(good, || Problem::new(
            format!("{text:?} is not an authentication scheme"),
            "write the one word before the token, such as `Bearer`",
        ))
    }
}

impl Scheme {
    /// The scheme of RFC 6750.
    #[must_use]
    pub const fn bearer() -> Self {
        Self(Cow::Borrowed("Bearer"))
    }

    /// `Basic` (RFC 7617).
    #[must_use]
    pub(crate) const fn basic() -> Self {
        Self(Cow::Borrowed("Basic"))
    }
}

checked_text! {
    /// What a token says it is, in the `typ` of its header: `at+jwt`.
    TokenType, "bartizan-token-type", "^[A-Za-z0-9!#$&^_.+/-]{1,128}$", ["at+jwt"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-/".contains(&b));
        refuse_unless(good && (1..=128).contains(&text.len()), || Problem::new(
            format!("{text:?} is not a token type"),
            "write a media type with or without `application/`, such as `at+jwt`",
        ))
    }
}

checked_text! {
    /// A value of `acr` or `amr` as tokens carry it: 1 to 128 printable ASCII characters without quotes and backslashes.
    AuthenticationWord, "bartizan-authentication-word", r"^[!#-\[\]-~]{1,128}$", ["gold", "otp", "urn:example:loa:3"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'));
        refuse_unless(good && (1..=128).contains(&text.len()), || Problem::new(
            format!("{text:?} is no value of `acr` or `amr`"),
            "write it exactly as tokens carry it: 1 to 128 printable ASCII characters without blanks, quotes and backslashes",
        ))
    }
}
