//! The document of a list that is fetched.
//!
//! ```json
//! {"version": 17,
//!  "issued_before": 1800000000,
//!  "issuers": {"corp": {"issued_before": 1800000000}},
//!  "tokens": ["id-1", {"jti": "id-2", "issuer": "corp", "until": 1800003600}],
//!  "sessions": [{"sid": "s-1"}],
//!  "subjects": ["mallory", {"sub": "alice", "issued_before": 1800000000}]}
//! ```
//!
//! Times are whole seconds since 1970. A name alone stands for an object with nothing but the name. A document is taken
//! whole or not at all: unknown or repeated members, a wrong type or anything behind it refuse it, for half of a list of
//! what is revoked lets the other half in. An entry is left out, and counted, if it can mean nobody: it speaks of an issuer
//! that the policy does not have, or by what only tokens have of a method that takes none. An issuer is called by the name
//! of its method or by the `iss` of its tokens.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::list::{Entries, List};
use super::names::{Entry, MAX_NAMES};

/// The largest document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// The most issuers that a document speaks of.
const MAX_ISSUERS: usize = 64;

/// 1 January 10000, in seconds since 1970.
const YEAR_10000: u64 = 253_402_300_800;

/// A document that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) version: u64,
    pub(super) list: List,
    /// Entries that can mean nobody.
    pub(super) left_out: usize,
}

/// Whom a document calls an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Called {
    /// The name of the method.
    method: String,
    /// Whether it takes tokens: other credentials have no names of their own, and no time at which they were issued.
    tokens: bool,
}

impl Called {
    /// A method; `tokens` are the names of those that take tokens.
    pub(super) fn method(name: &str, tokens: &[&str]) -> Self {
        Self { method: name.to_owned(), tokens: tokens.contains(&name) }
    }
}

/// Why a document is refused. It repeats nothing of the document but where it broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentError {
    /// More bytes than a document may have.
    TooLarge,
    /// Not the JSON that it must be.
    Malformed {
        /// What is wrong.
        problem: &'static str,
        /// Line, counted from one.
        line: usize,
        /// Column, counted from one.
        column: usize,
    },
    /// One of the lists in it cannot be used.
    List {
        /// Which one.
        member: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// Older than what is in force.
    Older {
        /// The version that came.
        found: u64,
        /// The version in force.
        known: u64,
    },
    /// The version in force, with another content.
    Changed {
        /// The version.
        version: u64,
    },
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the list is larger than {MAX_DOCUMENT_BYTES} bytes"),
            Self::Malformed { problem, line, column } => {
                write!(f, "the list is malformed at line {line}, column {column}: {problem}")
            }
            Self::List { member, problem } => write!(f, "`{member}` of the list {problem}"),
            Self::Older { found, known } => {
                write!(f, "the list has version {found}, and {known} is in force; publish a later one")
            }
            Self::Changed { version } => {
                write!(
                    f,
                    "the list of version {version} came with another content; give each content a version of its own"
                )
            }
        }
    }
}

impl std::error::Error for DocumentError {}

/// Reads a document. `issuers` gives a method for the name of an issuer as documents have it.
pub(super) fn read(
    bytes: &[u8],
    issuers: &dyn Fn(&str) -> Option<Called>,
) -> Result<Document, DocumentError> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(DocumentError::TooLarge);
    }
    let fault = Cell::new("not JSON as a list of revocations is");
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let raw = Whole { fault: &fault }
        .deserialize(&mut deserializer)
        .and_then(|raw| deserializer.end().map(|()| raw))
        .map_err(|error| DocumentError::Malformed {
            problem: fault.get(),
            line: error.line(),
            column: error.column(),
        })?;
    raw.into_document(issuers)
}

/// What a document says, before the names of issuers are resolved.
#[derive(Default)]
struct Raw<'d> {
    version: u64,
    issued_before: Option<u64>,
    issuers: Vec<(Cow<'d, str>, u64)>,
    tokens: Vec<RawEntry<'d>>,
    sessions: Vec<RawEntry<'d>>,
    subjects: Vec<RawEntry<'d>>,
}

#[derive(Default)]
struct RawEntry<'d> {
    name: Cow<'d, str>,
    issuer: Option<Cow<'d, str>>,
    until: Option<u64>,
    before: Option<u64>,
}

impl Raw<'_> {
    fn into_document(self, resolve: &dyn Fn(&str) -> Option<Called>) -> Result<Document, DocumentError> {
        let mut issuers: Vec<String> = Vec::new();
        // Documents repeat few issuers many times.
        let mut known: Vec<(&str, Option<(u16, bool)>)> = Vec::new();
        let mut number = |issuer| -> Result<Option<(u16, bool)>, DocumentError> {
            if let Some((_, number)) = known.iter().find(|(name, _)| *name == issuer) {
                return Ok(*number);
            }
            if known.len() >= MAX_ISSUERS {
                return Err(DocumentError::List { member: "issuers", problem: "has more than 64 of them" });
            }
            let number = resolve(issuer).and_then(|Called { method, tokens }| {
                let at = issuers.iter().position(|other| *other == method).unwrap_or_else(|| {
                    issuers.push(method);
                    issuers.len().saturating_sub(1)
                });
                Some((u16::try_from(at).ok()?, tokens))
            });
            known.push((issuer, number));
            Ok(number)
        };
        let mut left_out = 0_usize;
        let mut issuers_before = Vec::new();
        for (issuer, second) in &self.issuers {
            match number(issuer.as_ref())? {
                Some((number, true)) => issuers_before.push((number, *second)),
                Some((_, false)) | None => left_out = left_out.saturating_add(1),
            }
        }
        let mut lists = [Vec::new(), Vec::new(), Vec::new()];
        let named = [(&self.tokens, true), (&self.sessions, true), (&self.subjects, false)];
        for (entries, (raw, of_tokens)) in lists.iter_mut().zip(named) {
            entries.reserve_exact(raw.len());
            for raw in raw {
                let issuer = match &raw.issuer {
                    None => None,
                    Some(issuer) => match number(issuer.as_ref())? {
                        Some((number, tokens)) if tokens || (!of_tokens && raw.before.is_none()) => {
                            Some(number)
                        }
                        Some(_) | None => {
                            left_out = left_out.saturating_add(1);
                            continue;
                        }
                    },
                };
                entries.push(Entry { name: &raw.name, issuer, until: raw.until, before: raw.before });
            }
        }
        let [tokens, sessions, subjects] = lists;
        let issued_before = self.issued_before;
        let entries = Entries { issuers, issued_before, issuers_before, tokens, sessions, subjects };
        let list = List::new(entries).map_err(|(member, problem)| DocumentError::List { member, problem })?;
        Ok(Document { version: self.version, list, left_out })
    }
}

/// What has gone wrong, for a message without a value in it.
type Fault = Cell<&'static str>;

fn fail<T, E: serde::de::Error>(fault: &Fault, problem: &'static str) -> Result<T, E> {
    fault.set(problem);
    Err(E::custom(problem))
}

/// Puts a member in its place, once.
fn once<T, E: serde::de::Error>(place: &mut Option<T>, value: T, fault: &Fault) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => fail(fault, "a member is named twice"),
    }
}

/// The document itself.
#[derive(Clone, Copy)]
struct Whole<'f> {
    fault: &'f Fault,
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = Raw<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Raw<'de>, A::Error> {
        let fault = self.fault;
        let (mut version, mut issued_before, mut issuers) = (None, None, None);
        let (mut tokens, mut sessions, mut subjects) = (None, None, None);
        let list = |mark| Items { mark, fault };
        while let Some(Text(name)) = members.next_key()? {
            match name.as_ref() {
                "version" => {
                    once(&mut version, members.next_value_seed(Number { most: 1 << 53, fault })?, fault)?
                }
                "issued_before" => once(&mut issued_before, members.next_value_seed(second(fault))?, fault)?,
                "issuers" => once(&mut issuers, members.next_value_seed(Issuers { fault })?, fault)?,
                "tokens" => once(&mut tokens, members.next_value_seed(list("jti"))?, fault)?,
                "sessions" => once(&mut sessions, members.next_value_seed(list("sid"))?, fault)?,
                "subjects" => once(&mut subjects, members.next_value_seed(list("sub"))?, fault)?,
                _ => {
                    return fail(
                        fault,
                        "an unknown member; there are `version`, `issued_before`, `issuers`, `tokens`, `sessions` and `subjects`",
                    );
                }
            }
        }
        let Some(version) = version else { return fail(fault, "`version` is missing") };
        Ok(Raw {
            version,
            issued_before,
            issuers: issuers.unwrap_or_default(),
            tokens: tokens.unwrap_or_default(),
            sessions: sessions.unwrap_or_default(),
            subjects: subjects.unwrap_or_default(),
        })
    }
}

/// A text, borrowed where it has no escapes.
struct Text<'d>(Cow<'d, str>);

impl<'de: 'd, 'd> Deserialize<'de> for Text<'d> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed<'d>(PhantomData<&'d ()>);
        impl<'de: 'd, 'd> Visitor<'de> for Borrowed<'d> {
            type Value = Text<'d>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'d>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'d>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowed(PhantomData))
    }
}

/// A whole number without sign.
#[derive(Clone, Copy)]
struct Number<'f> {
    most: u64,
    fault: &'f Fault,
}

fn second(fault: &Fault) -> Number<'_> {
    Number { most: YEAR_10000, fault }
}

impl<'de> DeserializeSeed<'de> for Number<'_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_u64(self)
    }
}

impl Visitor<'_> for Number<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u64, E> {
        // Milliseconds would let an entry end in 50,000 years, or mean every token there will ever be.
        if number < self.most { Ok(number) } else { fail(self.fault, "a number is out of range") }
    }
}

/// The issuers, each with the second that holds for it.
#[derive(Clone, Copy)]
struct Issuers<'f> {
    fault: &'f Fault,
}

impl<'de> DeserializeSeed<'de> for Issuers<'_> {
    type Value = Vec<(Cow<'de, str>, u64)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Issuers<'_> {
    type Value = Vec<(Cow<'de, str>, u64)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of issuers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut issuers: Self::Value = Vec::new();
        while let Some(Text(name)) = members.next_key()? {
            if issuers.len() >= MAX_ISSUERS {
                return fail(self.fault, "more than 64 issuers");
            }
            if issuers.iter().any(|(other, _)| *other == name) {
                return fail(self.fault, "a member is named twice");
            }
            let entry = members.next_value_seed(Item { mark: "", fault: self.fault })?;
            let Some(before) = entry.before else {
                return fail(self.fault, "an issuer has no `issued_before`");
            };
            issuers.push((name, before));
        }
        Ok(issuers)
    }
}

/// A list of entries that are named by this member.
#[derive(Clone, Copy)]
struct Items<'f> {
    mark: &'static str,
    fault: &'f Fault,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = Vec<RawEntry<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Vec<RawEntry<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Item { mark: self.mark, fault: self.fault })? {
            if list.len() >= MAX_NAMES {
                return fail(self.fault, "a list has more than 250,000 entries");
            }
            list.push(item);
        }
        Ok(list)
    }
}

/// One entry: a name, or an object with the name under `mark`. Without a mark it has no name.
#[derive(Clone, Copy)]
struct Item<'f> {
    mark: &'static str,
    fault: &'f Fault,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = RawEntry<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawEntry<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = RawEntry<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name or an object")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<RawEntry<'de>, E> {
        self.named(Cow::Borrowed(text))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RawEntry<'de>, E> {
        self.named(Cow::Owned(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<RawEntry<'de>, A::Error> {
        let fault = self.fault;
        let (mut name, mut issuer, mut until, mut before) = (None, None, None, None);
        while let Some(Text(member)) = members.next_key()? {
            match member.as_ref() {
                mark if mark == self.mark && !mark.is_empty() => {
                    once(&mut name, members.next_value::<Text<'_>>()?.0, fault)?
                }
                "issuer" if !self.mark.is_empty() => {
                    once(&mut issuer, members.next_value::<Text<'_>>()?.0, fault)?
                }
                "until" if !self.mark.is_empty() => {
                    once(&mut until, members.next_value_seed(second(fault))?, fault)?
                }
                "issued_before" if matches!(self.mark, "" | "sub") => {
                    once(&mut before, members.next_value_seed(second(fault))?, fault)?;
                }
                _ => return fail(fault, "an entry has an unknown member"),
            }
        }
        let name = match name {
            Some(name) => name,
            None if self.mark.is_empty() => Cow::Borrowed(""),
            None => return fail(fault, "an entry has no name"),
        };
        Ok(RawEntry { name, issuer, until, before })
    }
}

impl Item<'_> {
    fn named<'de, E: serde::de::Error>(self, name: Cow<'de, str>) -> Result<RawEntry<'de>, E> {
        if self.mark.is_empty() {
            return fail(self.fault, "an issuer is not an object");
        }
        Ok(RawEntry { name, ..RawEntry::default() })
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
