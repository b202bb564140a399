//! What was revoked, as plans have it.

use serde::{Deserialize, Serialize};

/// Whose credentials are not good any more, although nothing about them says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationPlan {
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
    /// Claims without which a token is refused, as a list could not name it: `jti`, `sid`.
    pub require: Vec<String>,
    /// The list that the bundle has.
    pub list: ListPlan,
    /// A list that is fetched beside it: an index into [`crate::authentication::plan::AuthenticationPlan::feeds`]. Before
    /// the first one has come nobody is let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed: Option<usize>,
}

/// A list, by columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListPlan {
    /// The names of the methods that the entries speak of.
    pub issuers: Vec<String>,
    /// Tokens that were issued before this second since 1970 are not good, whoever issued them.
    pub issued_before: Option<u64>,
    /// The same for one issuer: an index into `issuers`, and the second.
    pub issuers_before: Vec<(u32, u64)>,
    /// Tokens, by `jti`.
    pub tokens: NamesPlan,
    /// Sessions, by `sid`.
    pub sessions: NamesPlan,
    /// Subjects.
    pub subjects: NamesPlan,
}

/// Names that are revoked, and for which issuer, until when, and of what time. A column without a single entry stands for
/// one that has nothing to say of any name; otherwise it has one for each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamesPlan {
    /// How many names there are.
    pub count: u32,
    /// The names, ascending byte by byte, with a line break between two.
    pub names: String,
    /// Of which issuer: an index into `issuers` plus one, or 0 for all.
    pub issuer: Vec<u32>,
    /// Before which second since 1970 the entry matters, or 0 for ever.
    pub until: Vec<u64>,
    /// Before which second since 1970 a token must have been issued to be meant, or 0 for all.
    pub before: Vec<u64>,
}
