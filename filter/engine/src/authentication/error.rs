//! Why a token is not believed.
//!
//! Operators read these in events and in `explain`; clients never do. Values that a client chose are
//! shown escaped and cut short, so that a token cannot write lines into a log, and the token itself, its
//! signature and its claims are never shown.

use std::fmt;

use super::dpop::ProofError;
use crate::strict_json::StrictJsonError;

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {
    /// More bytes than any token may have.
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// Not three parts with dots between (RFC 7515, section 7.1).
    NotThreeParts,
    /// A part is not canonical unpadded base64url (RFC 7515, section 2).
    NotBase64Url {
        /// Which one: `header`, `payload` or `signature`.
        part: &'static str,
    },
    /// Header or payload is not a JSON object as [`crate::strict_json`] wants it.
    NotStrictJson {
        /// Which one: `header` or `payload`.
        part: &'static str,
        /// What is wrong with it.
        problem: StrictJsonError,
    },
    /// The header says something that is not accepted.
    Header {
        /// Which member.
        member: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `alg` is none of the algorithms that exist here; `none` is one of those that do not.
    AlgorithmUnknown {
        /// The name, escaped and cut.
        alg: String,
    },
    /// The issuer's policy does not accept this algorithm.
    AlgorithmNotAccepted {
        /// The name.
        alg: &'static str,
    },
    /// `iss` is missing or not a string.
    IssuerMissing,
    /// No issuer of the policy has this `iss`.
    IssuerUnknown {
        /// The name, escaped and cut.
        iss: String,
    },
    /// The token came by a way that its issuer's policy does not list.
    WrongPlace,
    /// The route does not take tokens of this issuer.
    NotOnThisRoute,
    /// The keys of the issuer are fetched, and have never come, or it has withdrawn them all.
    KeysMissing {
        /// The issuer's name in the policy.
        issuer: String,
    },
    /// No key of the issuer has this `kid` for this algorithm.
    KeyUnknown {
        /// The name, escaped and cut; `None` if the token names no key.
        kid: Option<String>,
    },
    /// The token names no key, and too many could be it.
    TooManyKeys {
        /// How many could be it.
        keys: usize,
    },
    /// The signature is not of this key.
    Signature,
    /// A claim is missing, has the wrong type, or has a value that is not accepted.
    Claim {
        /// Name or path, from RFC 7519 or from the policy; never from the token.
        claim: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The token is past its `exp`.
    Expired,
    /// The token is bound to a key and it is not shown that the key is the client's, or it is bound to none and must be.
    Binding(&'static str),
    /// The DPoP proof is not accepted.
    Proof(ProofError),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => {
                write!(f, "the token has {bytes} bytes, the most is {}", super::jws::MAX_TOKEN_BYTES)
            }
            Self::NotThreeParts => f.write_str("the token is not three parts with dots between"),
            Self::NotBase64Url { part } => {
                write!(f, "the {part} of the token is not canonical unpadded base64url")
            }
            Self::NotStrictJson { part, problem } => write!(f, "the {part} of the token is {problem}"),
            Self::Header { member, problem } => write!(f, "`{member}` in the token's header {problem}"),
            Self::AlgorithmUnknown { alg } => write!(f, "the algorithm `{alg}` does not exist here"),
            Self::AlgorithmNotAccepted { alg } => write!(f, "the issuer's policy does not accept {alg}"),
            Self::IssuerMissing => f.write_str("`iss` is missing or not a string"),
            Self::IssuerUnknown { iss } => write!(f, "no issuer of the policy is `{iss}`"),
            Self::WrongPlace => f.write_str("tokens of this issuer are not taken from where it was"),
            Self::NotOnThisRoute => f.write_str("the route does not take tokens of this issuer"),
            Self::KeysMissing { issuer } => write!(f, "there are no keys of `{issuer}` so far"),
            Self::KeyUnknown { kid: Some(kid) } => {
                write!(f, "the issuer has no key `{kid}` for the token's algorithm")
            }
            Self::KeyUnknown { kid: None } => f.write_str("the issuer has no key for the token's algorithm"),
            Self::TooManyKeys { keys } => {
                write!(f, "the token has no `kid`, and {keys} keys could have signed it; name the key in it")
            }
            Self::Signature => f.write_str("the signature does not verify"),
            Self::Claim { claim, problem } => write!(f, "claim `{claim}` {problem}"),
            Self::Expired => f.write_str("the token has expired"),
            Self::Binding(problem) => f.write_str(problem),
            Self::Proof(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TokenError {}

/// A value that a client chose, fit to be shown to an operator.
pub(super) fn excerpt(value: &str) -> String {
    const SHOWN: usize = 64;
    let mut shown: String = value.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if value.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_one_short_line() {
        assert_eq!(excerpt("key-1"), "key-1");
        assert_eq!(excerpt("a\nb\u{202e}"), "a\\nb\\u{202e}");
        assert_eq!(excerpt(&"x".repeat(64)), "x".repeat(64));
        assert_eq!(excerpt(&"x".repeat(65)), format!("{}...", "x".repeat(64)));
    }
}
