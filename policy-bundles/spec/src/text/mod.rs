//! The small languages inside strings: names, addresses, permissions, header names and the like.
//!
//! Each is a type that can only be made from a text that follows its rules, with a message and a remedy
//! for one that does not. [`check`] finds the rule by the name that the JSON Schema gives as `format`.

mod addresses;
mod credentials;
mod http;
mod names;
mod permissions;
mod signing;
mod tokens;

use std::fmt;
use std::str::FromStr;

pub use self::addresses::{Host, Network};
pub use self::credentials::{KeyHash, ListedName, Subject};
pub use self::http::{CookieName, HeaderName, HeaderValue, MediaType, QueryName};
pub use self::names::{
    BundleFile, BundleName, ClusterName, EnvName, Label, LabelText, LimitName, Name, PartDirectory, RoleName,
    SealedSecret, WebUri,
};
pub use self::permissions::{Grant, Requirement};
pub use self::signing::{Covered, SignatureLabel, UrlScheme};
pub use self::tokens::{AuthenticationWord, ClaimPath, IssuerText, Scheme, TokenType};

/// What is wrong with a text, and what to do about it. Both are lower-case sentences without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Problem {
    /// A problem with its remedy.
    #[must_use]
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.help)
    }
}

impl std::error::Error for Problem {}

/// Serialisation and schema of a type that is written as a string and has `FromStr` and `Display`.
macro_rules! text_type {
    ($(#[doc = $doc:literal])+ $name:ident, $format:literal, $pattern:literal, [$($example:literal),+]) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?
                    .parse()
                    .map_err(<D::Error as serde::de::Error>::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": concat!($($doc),+).trim(),
                    "format": $format,
                    "pattern": $pattern,
                    "examples": [$($example),+],
                })
            }
        }
    };
}
pub(crate) use text_type;

/// Declares a type that keeps its text as written, checked by a function.
macro_rules! checked_text {
    ($(#[doc = $doc:literal])+ $name:ident, $format:literal, $pattern:literal, [$($example:literal),+], $check:expr) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// The text as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Problem;

            fn from_str(text: &str) -> Result<Self, Problem> {
                let check: fn(&str) -> Result<(), Problem> = $check;
                check(text).map(|()| Self(Cow::Owned(text.to_owned())))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_type! { $(#[doc = $doc])+ $name, $format, $pattern, [$($example),+] }
    };
}
use checked_text;

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn refuse_unless(good: bool, problem: impl FnOnce() -> Problem) -> Result<(), Problem> {
    if good { Ok(()) } else { Err(problem()) }
}

/// Checks a text by the name of its rule, the `format` in the JSON Schema. `None`: there is no such rule.
#[must_use]
pub fn check(format: &str, text: &str) -> Option<Result<(), Problem>> {
    use crate::path::PathTemplate;
    use crate::units::{Duration, Rate, Size};

    fn by<T: FromStr<Err = Problem>>(text: &str) -> Result<(), Problem> {
        text.parse::<T>().map(|_| ())
    }
    Some(match format {
        "bartizan-bundle-name" => by::<BundleName>(text),
        "bartizan-name" => by::<Name>(text),
        "bartizan-limit-name" => by::<LimitName>(text),
        "bartizan-directory" => by::<PartDirectory>(text),
        "bartizan-key-hash" => by::<KeyHash>(text),
        "bartizan-covered" => by::<Covered>(text),
        "bartizan-signature-label" => by::<SignatureLabel>(text),
        "bartizan-url-scheme" => by::<UrlScheme>(text),
        "bartizan-subject" => by::<Subject>(text),
        "bartizan-listed-name" => by::<ListedName>(text),
        "bartizan-role-name" => by::<RoleName>(text),
        "bartizan-label" => by::<Label>(text),
        "bartizan-label-text" => by::<LabelText>(text),
        "bartizan-moment" => by::<crate::time::Moment>(text),
        "bartizan-file" => by::<BundleFile>(text),
        "bartizan-issuer" => by::<IssuerText>(text),
        "bartizan-sealed" => by::<SealedSecret>(text),
        "bartizan-cluster" => by::<ClusterName>(text),
        "bartizan-web-uri" => by::<WebUri>(text),
        "bartizan-env-name" => by::<EnvName>(text),
        "bartizan-claim-path" => by::<ClaimPath>(text),
        "bartizan-header-name" => by::<HeaderName>(text),
        "bartizan-header-value" => by::<HeaderValue>(text),
        "bartizan-scheme" => by::<Scheme>(text),
        "bartizan-cookie-name" => by::<CookieName>(text),
        "bartizan-query-name" => by::<QueryName>(text),
        "bartizan-token-type" => by::<TokenType>(text),
        "bartizan-authentication-word" => by::<AuthenticationWord>(text),
        "bartizan-media-type" => by::<MediaType>(text),
        "bartizan-host" => by::<Host>(text),
        "bartizan-network" => by::<Network>(text),
        "bartizan-grant" => by::<Grant>(text),
        "bartizan-requirement" => by::<Requirement>(text),
        "bartizan-path" => by::<PathTemplate>(text),
        "bartizan-duration" => by::<Duration>(text),
        "bartizan-size" => by::<Size>(text),
        "bartizan-rate" => by::<Rate>(text),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
