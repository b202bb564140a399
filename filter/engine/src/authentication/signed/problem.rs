//! Why a signed request is refused.

use std::fmt;

use crate::reason::Reason;

/// What is wrong with a signature. Clients learn the reason; operators read this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// There is more than one, and which one counts nobody says.
    Ambiguous(&'static str),
    /// It is malformed, incomplete or covers too little.
    Invalid(String),
    /// No signature of this key.
    Forged,
    /// It was made too long ago, or says that it has ended.
    Expired(&'static str),
    /// It was used before, or is so old that nobody knows.
    Replayed(&'static str),
    /// What is covered of the body cannot be compared.
    Digest(&'static str),
    /// What was used before cannot be looked up.
    Unavailable,
}

impl Problem {
    pub(super) fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid(why.into())
    }

    /// What the client is told.
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Ambiguous(_) => Reason::SignatureAmbiguous,
            Self::Invalid(_) | Self::Forged => Reason::SignatureInvalid,
            Self::Expired(_) => Reason::SignatureExpired,
            Self::Replayed(_) => Reason::SignatureReplayed,
            Self::Digest(_) => Reason::DigestMismatch,
            Self::Unavailable => Reason::ReplaysUnavailable,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ambiguous(why) | Self::Expired(why) | Self::Replayed(why) | Self::Digest(why) => {
                f.write_str(why)
            }
            Self::Invalid(why) => f.write_str(why),
            Self::Forged => f.write_str("the signature is not that of the key over this request"),
            Self::Unavailable => f.write_str("what was used before cannot be read or written"),
        }
    }
}
