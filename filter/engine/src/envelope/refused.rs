//! Every reason for which an artifact is refused: one table, from which the docs page and the names of metrics are made.
//!
//! A code is a promise: dashboards and alerts count it. A code may be added, never renamed or given another meaning.

use std::fmt;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $remedy:literal;)+) => {
        /// A stable reason for refusing an artifact.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Kind {
            /// All kinds, in the order in which an artifact is judged.
            pub const ALL: &[Kind] = &[$(Kind::$name,)+];

            /// The stable code, as it stands in logs and in the names of metrics.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Kind::$name => $code,)+ }
            }

            /// What the docs page says about it.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Kind::$name => concat!($($doc),+),)+ }
            }

            /// What to do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Kind::$name => $remedy,)+ }
            }
        }
    };
}

kinds! {
    /// The artifact is larger than any filter reads.
    Oversized = "oversized", "split the bundle";
    /// The artifact ends before it is complete.
    Truncated = "truncated", "fetch or copy it again";
    /// It is not a DSSE envelope: not JSON, a member is missing, named twice or of the wrong type, the base64 is not
    /// canonical, or there are too many signatures.
    NotAnEnvelope = "not-an-envelope", "make it with `bartizan build` and `bartizan sign`";
    /// It is an envelope around something else, or around a version of the format that this release does not read.
    WrongType = "wrong-type", "build it with a `bartizan` of the same release as the filter";
    /// Fewer distinct trusted keys have signed it than are asked for.
    TooFewSignatures = "too-few-signatures", "sign it with more of the trusted keys, or look at who wrote it";
    /// What was signed is not canonical JSON.
    NotCanonical = "not-canonical", "make it with `bartizan build`";
    /// What was signed is canonical JSON and does not have the members of a bundle.
    PayloadInvalid = "payload-invalid", "build it with a `bartizan` of the same release as the filter";
    /// It is another bundle than the one that is expected.
    WrongName = "wrong-name", "look at where it was published, or correct `name` in the trust";
    /// Enough trusted keys have signed it, and too few of them may sign bundles of this name.
    KeyNotForBundle = "key-not-for-bundle", "sign it with the keys of this bundle, or add its name to `bundles` in the trust";
    /// The plan in it is of a version that this release does not read.
    PlanVersion = "plan-version", "build it with a `bartizan` of the same release as the filter";
    /// It is older than what is in force.
    OlderRevision = "older-revision", "to go back on purpose, publish the old sources with a higher revision";
    /// It has the revision of what is in force and says something else.
    SameRevisionDifferentContent = "same-revision-different-content", "give each content a revision of its own";
    /// The plan in it cannot be used.
    PlanInvalid = "plan-invalid", "build it with a `bartizan` of the same release as the filter";
    /// It is not valid yet.
    NotYetValid = "not-yet-valid", "wait, or correct `not_before`; look at the clock";
    /// It is not valid any more.
    Expired = "expired", "build and sign it again with a later `expires`; look at the clock";
}

/// The longest detail, in characters. What it quotes comes from outside and goes into logs.
const MAX_DETAIL: usize = 500;

/// Whether a character does something to a screen or a log instead of standing in it: control characters (also DEL and
/// those of C1), and what is invisible, breaks lines or turns the direction of the text around it.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    let invisible = matches!(
        c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    );
    c.is_control() || invisible
}

/// Why an artifact is refused. Only [`Refused::new`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The stable reason.
    pub kind: Kind,
    /// What was found, for operators: lower case, one line. It holds nothing that [`is_hidden`].
    pub detail: String,
}

impl Refused {
    /// A refusal. What is hidden in the detail, which may quote the artifact, is replaced, and what is long is cut.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: printable(detail.into()) }
    }
}

/// A detail without what is hidden, and of bounded length: what it quotes comes from outside.
pub(crate) fn printable(mut detail: String) -> String {
    if let Some((cut, _)) = detail.char_indices().nth(MAX_DETAIL) {
        detail.truncate(cut);
        detail.push_str("[...]");
    }
    if detail.chars().any(is_hidden) {
        detail.chars().map(|c| if is_hidden(c) { '?' } else { c }).collect()
    } else {
        detail
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code(), self.detail)
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_lower_case_words() {
        let codes: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(kind.code().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", kind.code());
            assert!(!kind.explanation().trim().is_empty() && !kind.remedy().is_empty());
        }
    }

    #[test]
    fn a_detail_is_one_line() {
        assert_eq!(Refused::new(Kind::WrongName, "a\nb\u{1b}[0m").detail, "a?b?[0m");
        let hidden = "\u{7f}\u{9b}\u{61c}\u{200f}\u{2028}\u{202e}\u{2069}\u{feff}";
        assert_eq!(Refused::new(Kind::WrongName, hidden).detail, "????????");
        assert_eq!(Refused::new(Kind::WrongName, "größer, 大").detail, "größer, 大");
        let long = Refused::new(Kind::WrongName, "ä".repeat(501)).detail;
        assert_eq!(long, "ä".repeat(500) + "[...]");
    }
}
