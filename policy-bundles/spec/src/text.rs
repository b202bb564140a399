//! The small languages inside strings: names, addresses, permissions, header names and the like.
//!
//! Each is a type that can only be made from a text that follows its rules, with a message and a remedy
//! for one that does not. [`check`] finds the rule by the name that the JSON Schema gives as `format`.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

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

checked_text! {
    /// The name of a bundle: 1 to 63 lower-case letters, digits and `-`.
    BundleName, "bartizan-bundle-name", "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", ["iot-gateway"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let ends = text.starts_with('-') || text.ends_with('-');
        refuse_unless(good && !ends && (1..=63).contains(&text.len()), || Problem::new(
            format!("`{text}` is not a bundle name"),
            "use 1 to 63 lower-case letters, digits and `-`, such as `iot-gateway`",
        ))
    }
}

checked_text! {
    /// A name inside a bundle: 1 to 63 lower-case letters, digits, `-` and `_`.
    Name, "bartizan-name", "^[a-z0-9][a-z0-9_-]{0,62}$", ["api"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        refuse_unless(good && starts && text.len() <= 63, || Problem::new(
            format!("`{text}` is not a name"),
            "use 1 to 63 lower-case letters, digits, `-` and `_`, starting with a letter or digit",
        ))
    }
}

checked_text! {
    /// The name of a role, as it stands in tokens: 1 to 128 letters, digits and `_ - . : / @`.
    RoleName, "bartizan-role-name", "^[A-Za-z0-9_.:/@-]{1,128}$", ["operator"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:/@".contains(&b));
        refuse_unless(good && (1..=128).contains(&text.len()), || Problem::new(
            format!("`{text}` is not a role name"),
            "use 1 to 128 letters, digits and `_ - . : / @`",
        ))
    }
}

checked_text! {
    /// A name for people: 1 to 128 printable characters.
    Label, "bartizan-label", "^[ -~]{1,128}$", ["read-device"], |text| {
        let good = text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text;
        refuse_unless(good && (1..=128).contains(&text.len()), || Problem::new(
            format!("{text:?} is not a name for a route"),
            "use 1 to 128 printable ASCII characters, with no blank at either end",
        ))
    }
}

checked_text! {
    /// What a label says: 1 to 128 printable ASCII characters.
    LabelText, "bartizan-label-text", "^[ -~]{1,128}$", ["payments"], |text| {
        let good = text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text;
        refuse_unless(good && (1..=128).contains(&text.len()), || Problem::new(
            format!("{text:?} cannot be what a label says"),
            "use 1 to 128 printable ASCII characters, with no blank at either end",
        ))
    }
}

checked_text! {
    /// A file of the bundle, by its path relative to the bundle directory.
    BundleFile, "bartizan-file", "^[^/\\\\]", ["schemas/telemetry.json"], |text| {
        let bad_byte = text.bytes().any(|b| b < 0x20 || b == 0x7f || b == b'\\');
        let bad_part = text.split('/').any(|part| part.is_empty() || part == "." || part == "..");
        if text.starts_with('/') || text.split('/').any(|part| part == "..") {
            return Err(Problem::new(
                format!("`{text}` leaves the bundle directory"),
                "a bundle carries all its files; copy the file into it and name it by its path from there",
            ));
        }
        refuse_unless(!bad_byte && !bad_part && text.len() <= 512, || Problem::new(
            format!("{text:?} is not the path of a file"),
            "write it relative to the bundle directory, with single slashes: `schemas/telemetry.json`",
        ))
    }
}

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
    /// The name of an environment variable.
    EnvName, "bartizan-env-name", "^[A-Za-z_][A-Za-z0-9_]{0,127}$", ["CORP_SECRET"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let starts = text.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        refuse_unless(good && starts && text.len() <= 128, || Problem::new(
            // What stands here may be the secret itself: never repeat it.
            "this is not the name of an environment variable",
            "name the variable that holds the secret, such as `CORP_SECRET`; the secret itself never stands in a bundle",
        ))
    }
}

checked_text! {
    /// A claim, as a path through nested objects: `realm_access.roles`.
    ClaimPath, "bartizan-claim-path", "^[^.\\s]+(\\.[^.\\s]+)*$", ["sub", "realm_access.roles"], |text| {
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
}

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

checked_text! {
    /// A host without port, in lower case: `api.example.com`, or `*.example.com` for its subdomains.
    Host, "bartizan-host", "^(\\*\\.)?[a-z0-9-]+(\\.[a-z0-9-]+)*$|^\\[[0-9a-f:.]+\\]$", ["api.example.com", "*.example.com"], host
}

fn host(text: &str) -> Result<(), Problem> {
    let bare = text.strip_prefix("*.").unwrap_or(text);
    if text.contains("://") {
        return Err(Problem::new(
            format!("`{text}` is a URL, not a host"),
            "write the host alone, such as `api.example.com`",
        ));
    }
    if let Some(v6) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let good = v6.parse::<std::net::Ipv6Addr>().is_ok_and(|address| address.to_string() == v6);
        return refuse_unless(good, || {
            Problem::new(
                format!("`{text}` is not an IPv6 host"),
                "write it in its shortest form: `[2001:db8::1]`",
            )
        });
    }
    if let Some((name, port)) = bare.rsplit_once(':')
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(Problem::new(
            format!("the host `{text}` has a port"),
            format!("write `{name}`; ports are not compared"),
        ));
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        let lower = text.to_ascii_lowercase();
        return Err(Problem::new(
            format!("the host `{text}` is not in lower case"),
            format!("write `{lower}`"),
        ));
    }
    // RFC 1123, section 2.1, and `_`, which inner names do have.
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    refuse_unless(bare.len() <= 253 && bare.split('.').all(label), || {
        Problem::new(
            format!("{text:?} is not a host"),
            "write `api.example.com`, or `*.example.com` for its subdomains; leave `hosts` out for any host",
        )
    })
}

checked_text! {
    /// A network in CIDR form, or a single address.
    Network, "bartizan-network", "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$", ["198.51.100.0/24", "2001:db8::/32", "203.0.113.7"], |text| {
        network(text).map(|_| ())
    }
}

impl Network {
    /// The network in CIDR form with all host bits zero; a single address is a /32 or /128.
    #[must_use]
    pub fn cidr(&self) -> String {
        network(&self.0)
            .map_or_else(|_| self.0.to_string(), |(address, length)| format!("{address}/{length}"))
    }

    /// The address and the length of the prefix.
    #[must_use]
    pub fn parts(&self) -> Option<(IpAddr, u8)> {
        network(&self.0).ok()
    }
}

fn network(text: &str) -> Result<(IpAddr, u8), Problem> {
    let shape = || {
        Problem::new(
            format!("{text:?} is not a network"),
            "write CIDR form such as `198.51.100.0/24` or `2001:db8::/32`, or a single address",
        )
    };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| shape())?;
    let (value, most) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32_u8),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return Err(Problem::new(
            format!("`{text}` is an IPv4 address in IPv6 form"),
            format!("clients that come that way are judged by their IPv4 address; write `{v4}`"),
        ));
    }
    let length = match length {
        None => most,
        Some(digits) if digits.len() > 1 && digits.starts_with('0') => return Err(shape()),
        Some(digits) => digits.parse::<u8>().ok().filter(|l| *l <= most).ok_or_else(|| {
            Problem::new(
                format!("`/{digits}` is not the length of a prefix"),
                format!("the most for this address is `/{most}`"),
            )
        })?,
    };
    let host_bits = most.saturating_sub(length);
    let mask = u128::MAX.checked_shl(u32::from(host_bits)).unwrap_or(0);
    if value & !mask != 0 {
        let base = match address {
            IpAddr::V4(_) => IpAddr::from(u32::try_from(value & mask).unwrap_or(0).to_be_bytes()),
            IpAddr::V6(_) => IpAddr::from((value & mask).to_be_bytes()),
        };
        return Err(Problem::new(
            format!("the network `{text}` has host bits set"),
            format!("write `{base}/{length}` for the network, or `{address}` for the one address"),
        ));
    }
    Ok((address, length))
}

checked_text! {
    /// A permission that is granted: `*`, `type:*`, `type:action` or `type:action:resource`.
    Grant, "bartizan-grant", "^(\\*|[^:\\s]+(:[^:\\s]+){1,2})$", ["device:read", "telemetry:*", "*"], |text| {
        if text == "*" {
            return Ok(());
        }
        let parts: Vec<&str> = text.split(':').collect();
        if let Some(part) = parts.iter().find(|part| part.contains('*') && **part != "*") {
            return Err(Problem::new(
                format!("`{part}` in the permission `{text}` is only partly a wildcard"),
                "`*` stands for a whole part: `device:*`, `device:read:*`",
            ));
        }
        if text.contains(['{', '}']) {
            return Err(Problem::new(
                format!("the granted permission `{text}` has a parameter"),
                "parameters belong in what a route requires; grant `type:action` or a certain resource",
            ));
        }
        permission(text, &parts, |part| part == "*" || is_permission_word(part))
    }
}

checked_text! {
    /// A permission that a route requires: `type:action` or `type:action:resource`, where the resource may
    /// have a `{parameter}` of the path.
    Requirement, "bartizan-requirement", "^[^:\\s*]+(:[^:\\s*]+){1,2}$", ["device:read", "device:read:{id}"], |text| {
        let parts: Vec<&str> = text.split(':').collect();
        if text.contains('*') {
            return Err(Problem::new(
                format!("the required permission `{text}` has a wildcard"),
                "name the one permission that is needed; wildcards belong in what roles grant",
            ));
        }
        for part in parts.iter().take(2) {
            if part.contains(['{', '}']) {
                return Err(Problem::new(
                    format!("the required permission `{text}` has a parameter outside its resource"),
                    "a client would choose its own permission; parameters stand only in the third part: `device:read:{id}`",
                ));
            }
        }
        permission(text, &parts, |part| placeholders(part).is_some())
    }
}

impl Requirement {
    /// The parameters in the resource, in order.
    #[must_use]
    pub fn parameters(&self) -> Vec<&str> {
        self.0.split(':').nth(2).and_then(placeholders).unwrap_or_default()
    }
}

fn permission(text: &str, parts: &[&str], good: impl Fn(&str) -> bool) -> Result<(), Problem> {
    let shape = (2..=3).contains(&parts.len()) && text.len() <= 256;
    refuse_unless(shape && parts.iter().all(|part| good(part)), || {
        Problem::new(
            format!("{text:?} is not a permission"),
            "write `type:action` or `type:action:resource` with letters, digits and `_ - . / @`: `device:read`",
        )
    })
}

fn is_permission_word(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./@".contains(&b))
}

/// The names of the `{parameters}` in a part, or nothing if the part is malformed.
fn placeholders(part: &str) -> Option<Vec<&str>> {
    if part.is_empty() {
        return None;
    }
    let mut names = Vec::new();
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}')?;
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        if !plain || !(before.is_empty() || is_permission_word(before)) {
            return None;
        }
        names.push(name);
        rest = tail;
    }
    (rest.is_empty() || is_permission_word(rest)).then_some(names)
}

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
        "bartizan-role-name" => by::<RoleName>(text),
        "bartizan-label" => by::<Label>(text),
        "bartizan-label-text" => by::<LabelText>(text),
        "bartizan-moment" => by::<crate::time::Moment>(text),
        "bartizan-file" => by::<BundleFile>(text),
        "bartizan-issuer" => by::<IssuerText>(text),
        "bartizan-env-name" => by::<EnvName>(text),
        "bartizan-claim-path" => by::<ClaimPath>(text),
        "bartizan-header-name" => by::<HeaderName>(text),
        "bartizan-header-value" => by::<HeaderValue>(text),
        "bartizan-scheme" => by::<Scheme>(text),
        "bartizan-cookie-name" => by::<CookieName>(text),
        "bartizan-query-name" => by::<QueryName>(text),
        "bartizan-token-type" => by::<TokenType>(text),
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
mod tests {
    use super::*;

    fn all_good(format: &str, texts: &[&str]) {
        for text in texts {
            assert_eq!(check(format, text), Some(Ok(())), "{format}: {text:?}");
        }
    }

    fn all_bad(format: &str, texts: &[&str]) {
        for text in texts {
            let problem = check(format, text).unwrap().unwrap_err();
            assert!(!problem.message.is_empty() && !problem.help.is_empty(), "{format}: {text:?}");
            assert!(!problem.to_string().contains('\n'), "{format}: {text:?}");
        }
    }

    #[test]
    fn networks_have_no_host_bits_and_one_way_to_be_written() {
        all_good(
            "bartizan-network",
            &["0.0.0.0/0", "198.51.100.0/24", "203.0.113.7", "2001:db8::/32", "::/0"],
        );
        all_bad(
            "bartizan-network",
            &["", "1.2.3", "1.2.3.4/33", "1.2.3.4/24", "::1/64", "::ffff:1.2.3.4", "1.2.3.4/024"],
        );
        assert_eq!("203.0.113.7".parse::<Network>().unwrap().cidr(), "203.0.113.7/32");
        let bits = "198.51.100.9/24".parse::<Network>().unwrap_err();
        assert!(bits.help.contains("`198.51.100.0/24`"), "{bits}");
    }

    #[test]
    fn permissions_have_two_or_three_parts() {
        all_good("bartizan-grant", &["*", "a:*", "a:b", "a:b:c", "a:*:c", "*:read"]);
        all_bad("bartizan-grant", &["", "a", "a:", ":b", "a:b:c:d", "a:re*", "a:b:{id}", "a b:c"]);
        all_good("bartizan-requirement", &["a:b", "a:b:c", "a:b:{id}", "a:b:x-{id}", "a:b:{x}/{y}"]);
        all_bad("bartizan-requirement", &["*", "a:*", "a:{id}", "a:b:{}", "a:b:{id", "a:b:id}", "a"]);
        let requirement: Requirement = "a:b:{x}/{y}".parse().unwrap();
        assert_eq!(requirement.parameters(), ["x", "y"]);
    }

    #[test]
    fn header_texts_cannot_smuggle() {
        all_good("bartizan-header-name", &["x-a", "server"]);
        all_bad("bartizan-header-name", &["", ":path", "X-A", "x a", "x:a", "x\r\na"]);
        all_good("bartizan-header-value", &["a", "max-age=1; b"]);
        all_bad("bartizan-header-value", &["", "a\r\nb: c", "a\nb", " a", "a ", "a\0", "é"]);
    }

    #[test]
    fn files_stay_inside_the_bundle() {
        all_good("bartizan-file", &["a.json", "keys/corp.pem"]);
        all_bad("bartizan-file", &["", "/etc/passwd", "../a", "a/../b", "./a", "a//b", "a\\b", "a\0b"]);
    }

    #[test]
    fn hosts_are_bare_names() {
        all_good("bartizan-host", &["a.example.com", "*.example.com", "localhost", "10.0.0.1", "[::1]"]);
        all_bad(
            "bartizan-host",
            &["", "*", "A.com", "a.com:80", "https://a.com", "a..b", "*.*.com", "a*.com", "-a.com"],
        );
    }

    #[test]
    fn other_texts() {
        all_good("bartizan-media-type", &["image/png", "image/*", "application/*+json"]);
        all_bad("bartizan-media-type", &["", "json", "image/png; a=b", "Image/PNG", "*/*", "image/"]);
        all_good("bartizan-name", &["api", "a-b_c", "1"]);
        all_bad("bartizan-name", &["", "-a", "A", "a b"]);
        all_bad("bartizan-bundle-name", &["", "-a", "a-", "A", "a_b"]);
        all_good("bartizan-claim-path", &["sub", "a.b", "https://x/roles"]);
        all_bad("bartizan-claim-path", &["", ".", "a..b", "a b"]);
    }

    #[test]
    fn a_secret_written_where_its_name_belongs_is_not_repeated() {
        let problem = "hunter2!hunter2!".parse::<EnvName>().unwrap_err();
        assert!(!problem.to_string().contains("hunter2"));
    }
}
