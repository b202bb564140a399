//! The keys of one issuer: JWK sets (RFC 7517, 7518, 8037) read strictly, and the choice of a key.
//!
//! Guarantees to the rest of the room: every key is bound to exactly one algorithm that the issuer's
//! policy accepts (RFC 8725, section 3.1), so a token cannot make a key work for another; secrets and
//! public keys never share a set, so a public key is never an HMAC secret; RSA moduli have 2048 to 4096
//! bits; points are on their curve. A set with anything malformed in it is refused whole: half a key set
//! is a different key set. A key that is well-formed and not for us (encryption, another curve) is left
//! out and remembered with its reason.

use std::fmt;

use serde_json::Value;

use super::error::{TokenError, excerpt};
use super::jwk::{Jwk, error};
use super::jws::Header;
use super::plan::Algorithm;
use super::signature::Verifier;
use crate::envelope::key::sha256;
use crate::host::Host;
use crate::strict_json::{self, Bounds};

/// The most bytes of a set, and the most keys in it.
const SET: Bounds = Bounds { max_bytes: 512 * 1024, max_depth: 8 };
const MAX_KEYS: usize = 256;

/// How many keys are tried for a token that does not name one: each try costs a verification.
const MAX_TRIES: usize = 4;

/// The usable keys of one issuer.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    left_out: Vec<LeftOut>,
    /// Of all its JWKs, in whatever order.
    fingerprint: [u8; 32],
}

/// One key, bound to one algorithm.
pub struct Key {
    /// Its name, if it has one.
    pub kid: Option<String>,
    /// The only algorithm it is used with.
    pub algorithm: Algorithm,
    pub(super) verifier: Verifier,
}

/// A key that is well-formed and not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its place in the set.
    pub index: usize,
    /// Why it is not used.
    pub reason: &'static str,
}

/// What is wrong with a key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError {
    /// Where in the set: `keys[2].n`, empty for the set itself.
    pub place: String,
    /// What is wrong there and what to do about it.
    pub problem: String,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}: {}", self.place, self.problem)
        }
    }
}

impl std::error::Error for KeyError {}

// By hand, so that no key material reaches a log through `{:?}`.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).field("algorithm", &self.algorithm).finish()
    }
}

impl Key {
    /// Whether this key made this signature, in the form that its algorithm has in a JWS, over this message.
    pub fn verify(&self, message: &[u8], signature: &[u8], host: &mut dyn Host) -> bool {
        self.verifier.verify(message, signature, host)
    }
}

impl KeySet {
    /// Reads a JWK set for an issuer that accepts these algorithms.
    ///
    /// # Errors
    /// When anything in it is malformed or dangerous, or no key is left that could verify a token.
    pub fn from_jwks(json: &str, accepted: &[Algorithm]) -> Result<Self, KeyError> {
        let set = Self::read(json, accepted)?;
        match set.lack() {
            Some(lack) => Err(error("keys", format!("{lack}; add a signing key or accept its algorithm"))),
            None => Ok(set),
        }
    }

    /// Reads a JWK set that may have no key for the issuer: an issuer withdraws its last key by a set without it.
    ///
    /// # Errors
    /// When anything in it is malformed or dangerous.
    pub fn read(json: &str, accepted: &[Algorithm]) -> Result<Self, KeyError> {
        let set = strict_json::parse_object(json.as_bytes(), SET)
            .map_err(|e| error("", format!("the key set is {e}; give a JWK set (RFC 7517)")))?;
        let Some(Value::Array(list)) = set.get("keys") else {
            return Err(error("keys", "missing or not a list; give a JWK set (RFC 7517, section 5)"));
        };
        if list.len() > MAX_KEYS {
            return Err(error("keys", format!("{} keys; give 1 to {MAX_KEYS}", list.len())));
        }
        let mut keys: Vec<Key> = Vec::new();
        let mut left_out = Vec::new();
        let mut secrets = 0;
        let mut digests: Vec<[u8; 32]> = list.iter().map(|jwk| sha256(jwk.to_string().as_bytes())).collect();
        digests.sort_unstable();
        let fingerprint = sha256(digests.as_flattened());
        for (index, jwk) in list.iter().enumerate() {
            let jwk = Jwk::new(index, jwk)?;
            secrets += usize::from(jwk.required("kty")? == "oct");
            match jwk.key(accepted)? {
                Err(reason) => left_out.push(LeftOut { index, reason }),
                Ok(key) => {
                    let twin = |k: &Key| k.kid.is_some() && k.kid == key.kid && k.algorithm == key.algorithm;
                    if keys.iter().any(twin) {
                        let problem = "another key has this name and algorithm; name each key once";
                        return Err(jwk.error("kid", problem));
                    }
                    keys.push(key);
                }
            }
        }
        if secrets != 0 && secrets != list.len() {
            let problem = "the set mixes shared secrets with public keys; keep them in sets of their own";
            return Err(error("keys", problem));
        }
        Self::checked(keys, left_out, fingerprint)
    }

    /// Makes a set of one shared secret, used byte by byte.
    ///
    /// # Errors
    /// When the issuer accepts anything but exactly one HMAC algorithm, or the secret is too short for it.
    pub fn from_secret(secret: &[u8], accepted: &[Algorithm]) -> Result<Self, KeyError> {
        let [algorithm] = accepted else {
            let problem =
                "a secret is used with exactly one algorithm; accept one of HS256, HS384 and HS512 only";
            return Err(error("", problem));
        };
        let verifier = Verifier::hmac(*algorithm, secret).map_err(|problem| error("", problem))?;
        Self::checked(vec![Key { kid: None, algorithm: *algorithm, verifier }], Vec::new(), [0; 32])
    }

    fn checked(keys: Vec<Key>, left_out: Vec<LeftOut>, fingerprint: [u8; 32]) -> Result<Self, KeyError> {
        for key in &keys {
            let unnamed = |k: &&Key| k.kid.is_none() && k.algorithm == key.algorithm;
            if keys.iter().filter(unnamed).count() > MAX_TRIES {
                let alg = key.algorithm.name();
                let problem = format!(
                    "more than {MAX_TRIES} keys without `kid` for {alg}; name them so that tokens can"
                );
                return Err(error("keys", problem));
            }
        }
        Ok(Self { keys, left_out, fingerprint })
    }

    /// Why no key of the set can verify a token, if none can.
    #[must_use]
    pub fn lack(&self) -> Option<String> {
        if !self.keys.is_empty() {
            return None;
        }
        let reasons: Vec<_> =
            self.left_out.iter().map(|left| format!("keys[{}] {}", left.index, left.reason)).collect();
        Some(match reasons.as_slice() {
            [] => "0 keys".to_owned(),
            _ => format!("no key can verify a token ({})", reasons.join(", ")),
        })
    }

    /// Whether two sets say the same, in whatever order.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// Whether the set has a key of the name that a token with this header gives.
    #[must_use]
    pub fn names(&self, header: &Header) -> bool {
        let kid = header.kid.as_deref();
        let is_it = |key: &Key| key.algorithm == header.algorithm && key.kid.as_deref() == kid;
        kid.is_some() && self.keys.iter().any(is_it)
    }

    /// The usable keys, in the order of the set.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The usable keys, given away.
    pub(super) fn into_keys(self) -> Vec<Key> {
        self.keys
    }

    /// The keys that are not used, and why.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The keys that may have signed a token with this header: the one it names; or, if it names none that
    /// exists, the ones that have no name; or, if it names none at all, all of its algorithm.
    ///
    /// # Errors
    /// When there is no such key, or there are too many to try.
    pub fn candidates(&self, header: &Header) -> Result<impl Iterator<Item = &Key>, TokenError> {
        let of_algorithm = |key: &&Key| key.algorithm == header.algorithm;
        let kid = header.kid.as_deref();
        let named = self.names(header);
        let may_have_signed = move |key: &&Key| {
            of_algorithm(key)
                && match (kid, key.kid.as_deref()) {
                    (None, _) => true,
                    (Some(_), None) => !named,
                    (Some(wanted), Some(name)) => wanted == name,
                }
        };
        let count = self.keys.iter().filter(may_have_signed).count();
        if count == 0 {
            return Err(TokenError::KeyUnknown { kid: kid.map(excerpt) });
        }
        if count > MAX_TRIES {
            return Err(TokenError::TooManyKeys { keys: count });
        }
        Ok(self.keys.iter().filter(may_have_signed))
    }
}

#[cfg(test)]
mod tests;
