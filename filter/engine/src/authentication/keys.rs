//! The keys of one issuer: JWK sets (RFC 7517, 7518, 8037) read strictly, and the choice of a key.
//!
//! Guarantees to the rest of the room: every key is bound to exactly one algorithm that the issuer's
//! policy accepts (RFC 8725, section 3.1), so a token cannot make a key work for another; secrets and
//! public keys never share a set, so a public key is never an HMAC secret; RSA moduli have 2048 to 4096
//! bits; points are on their curve. A set with anything malformed in it is refused whole: half a key set
//! is a different key set. A key that is well-formed and not for us (encryption, another curve) is left
//! out and remembered with its reason.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::{TokenError, excerpt};
use super::jws::Header;
use super::plan::Algorithm;
use super::signature::Verifier;
use crate::host::Host;
use crate::strict_json::{self, Bounds};

/// The most bytes of a set, and the most keys in it.
const SET: Bounds = Bounds { max_bytes: 512 * 1024, max_depth: 8 };
const MAX_KEYS: usize = 256;

/// How many keys are tried for a token that does not name one: each try costs a verification.
const MAX_TRIES: usize = 4;

/// The members that only private RSA, EC and OKP keys have (RFC 7518, section 6.3.2; RFC 8037, section 2).
const PRIVATE_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// The usable keys of one issuer.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    left_out: Vec<LeftOut>,
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
        let set = strict_json::parse_object(json.as_bytes(), SET)
            .map_err(|e| error("", format!("the key set is {e}; give a JWK set (RFC 7517)")))?;
        let Some(Value::Array(list)) = set.get("keys") else {
            return Err(error("keys", "missing or not a list; give a JWK set (RFC 7517, section 5)"));
        };
        if list.is_empty() || list.len() > MAX_KEYS {
            return Err(error("keys", format!("{} keys; give 1 to {MAX_KEYS}", list.len())));
        }
        let mut keys: Vec<Key> = Vec::new();
        let mut left_out = Vec::new();
        let mut secrets = 0;
        for (index, jwk) in list.iter().enumerate() {
            let place = format!("keys[{index}]");
            let Value::Object(members) = jwk else {
                return Err(error(place, "not an object; give a JWK (RFC 7517, section 4)"));
            };
            let jwk = Jwk { place, members };
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
        Self::checked(keys, left_out)
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
        Self::checked(vec![Key { kid: None, algorithm: *algorithm, verifier }], Vec::new())
    }

    fn checked(keys: Vec<Key>, left_out: Vec<LeftOut>) -> Result<Self, KeyError> {
        if keys.is_empty() {
            let reasons: Vec<_> =
                left_out.iter().map(|l| format!("keys[{}] {}", l.index, l.reason)).collect();
            let problem = format!(
                "no key can verify a token ({}); add a signing key or accept its algorithm",
                reasons.join(", ")
            );
            return Err(error("keys", problem));
        }
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
        Ok(Self { keys, left_out })
    }

    /// The usable keys, in the order of the set.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
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
        let named =
            kid.is_some() && self.keys.iter().filter(of_algorithm).any(|key| key.kid.as_deref() == kid);
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

fn error(place: impl Into<String>, problem: impl Into<String>) -> KeyError {
    KeyError { place: place.into(), problem: problem.into() }
}

/// A key, or why it is left out.
type Usable = Result<Key, &'static str>;

/// One member of a set, with its place for messages.
struct Jwk<'j> {
    place: String,
    members: &'j Map<String, Value>,
}

impl Jwk<'_> {
    fn error(&self, member: &str, problem: impl Into<String>) -> KeyError {
        error(format!("{}.{member}", self.place), problem)
    }

    fn optional(&self, member: &str) -> Result<Option<&str>, KeyError> {
        match self.members.get(member) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(_) => Err(self.error(member, "not a string; correct the key")),
        }
    }

    fn required(&self, member: &str) -> Result<&str, KeyError> {
        self.optional(member)?.ok_or_else(|| self.error(member, "missing; add it to the key"))
    }

    /// A member in canonical unpadded base64url.
    fn bytes(&self, member: &str) -> Result<Vec<u8>, KeyError> {
        URL_SAFE_NO_PAD
            .decode(self.required(member)?)
            .map_err(|_| self.error(member, "not canonical unpadded base64url; export the key anew"))
    }

    fn key(&self, accepted: &[Algorithm]) -> Result<Usable, KeyError> {
        let kty = self.required("kty")?;
        let kid = self.optional("kid")?;
        if kid == Some("") {
            return Err(self.error("kid", "empty; name the key or leave `kid` out"));
        }
        if kty != "oct" && PRIVATE_MEMBERS.iter().any(|member| self.members.contains_key(*member)) {
            let problem = "holds the private half of a key, which now counts as leaked; \
                           replace the key and publish its public half only";
            return Err(error(self.place.clone(), problem));
        }
        if self.optional("use")?.is_some_and(|usage| usage != "sig") {
            return Ok(Err("is not for signatures (`use`)"));
        }
        if !self.may_verify()? {
            return Ok(Err("is not for verifying (`key_ops`)"));
        }
        let family = match kty {
            "RSA" => Family::Rsa,
            "oct" => Family::Oct,
            "EC" => match self.required("crv")? {
                "P-256" => Family::P256,
                "P-384" => Family::P384,
                _ => return Ok(Err("is on a curve that is not supported")),
            },
            "OKP" => match self.required("crv")? {
                "Ed25519" => Family::Ed25519,
                _ => return Ok(Err("is on a curve that is not supported")),
            },
            // RFC 7517, section 5: types that are not understood are to be ignored.
            _ => return Ok(Err("is of a type that is not supported")),
        };
        let pinned = match self.optional("alg")? {
            None => None,
            Some(alg) => match Algorithm::named(alg) {
                None => return Ok(Err("is for an algorithm that is not supported")),
                Some(algorithm) if !family.serves(algorithm) => {
                    return Err(self.error("alg", format!("{alg} does not go with this type of key")));
                }
                Some(algorithm) => Some(algorithm),
            },
        };
        // The key is read before its algorithm is judged, so that a malformed one is never overlooked.
        let read = |algorithm| self.verifier(family, algorithm);
        let candidates: Vec<Algorithm> = match pinned {
            Some(algorithm) => vec![algorithm],
            None => accepted.iter().copied().filter(|a| family.serves(*a)).collect(),
        };
        match candidates.as_slice() {
            [] => {
                read(family.any_algorithm())?;
                Ok(Err("fits no algorithm that the issuer's policy accepts"))
            }
            [algorithm] => {
                let verifier = read(*algorithm)?;
                if !accepted.contains(algorithm) {
                    return Ok(Err("is for an algorithm that the issuer's policy does not accept"));
                }
                let kid = kid.map(str::to_owned);
                Ok(Ok(Key { kid, algorithm: *algorithm, verifier }))
            }
            [first, second, ..] => {
                let problem = format!(
                    "missing, and the policy accepts {} and {} of this issuer; add `alg` to the key or accept one",
                    first.name(),
                    second.name()
                );
                Err(self.error("alg", problem))
            }
        }
    }

    /// `key_ops` (RFC 7517, section 4.3): if it is there it must list `verify`.
    fn may_verify(&self) -> Result<bool, KeyError> {
        let Some(operations) = self.members.get("key_ops") else { return Ok(true) };
        let malformed = || self.error("key_ops", "not a list of distinct strings; correct the key");
        let Value::Array(operations) = operations else { return Err(malformed()) };
        let mut names = Vec::new();
        for operation in operations {
            match operation {
                Value::String(name) if !names.contains(&name.as_str()) => names.push(name.as_str()),
                _ => return Err(malformed()),
            }
        }
        Ok(names.contains(&"verify"))
    }

    fn verifier(&self, family: Family, algorithm: Algorithm) -> Result<Verifier, KeyError> {
        match family {
            Family::Oct => {
                Verifier::hmac(algorithm, &self.bytes("k")?).map_err(|problem| self.error("k", problem))
            }
            Family::Rsa => {
                let (modulus, exponent) = (self.bytes("n")?, self.bytes("e")?);
                // RFC 7518, section 6.3.1: as few octets as the number needs.
                for (member, number) in [("n", &modulus), ("e", &exponent)] {
                    if number.first().is_none_or(|byte| *byte == 0) {
                        return Err(self.error(member, "empty or with leading zeros; export the key anew"));
                    }
                }
                Verifier::rsa(algorithm, &modulus, &exponent).map_err(|problem| self.error("n", problem))
            }
            Family::P256 | Family::P384 => {
                let (x, y) = (self.bytes("x")?, self.bytes("y")?);
                let verifier =
                    if family == Family::P256 { Verifier::p256(&x, &y) } else { Verifier::p384(&x, &y) };
                verifier.map_err(|problem| self.error("x", problem))
            }
            Family::Ed25519 => {
                Verifier::ed25519(&self.bytes("x")?).map_err(|problem| self.error("x", problem))
            }
        }
    }
}

/// What kind of key it is, as far as algorithms go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Oct,
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Family {
    /// RFC 7518, section 3.1, and RFC 8037, section 3.1.
    fn serves(self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        match self {
            Self::Oct => matches!(algorithm, A::HS256 | A::HS384 | A::HS512),
            Self::Rsa => {
                matches!(algorithm, A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512)
            }
            Self::P256 => algorithm == A::ES256,
            Self::P384 => algorithm == A::ES384,
            Self::Ed25519 => algorithm == A::EdDSA,
        }
    }

    /// An algorithm to check a key with that will not be used.
    fn any_algorithm(self) -> Algorithm {
        match self {
            Self::Oct => Algorithm::HS256,
            Self::Rsa => Algorithm::RS256,
            Self::P256 => Algorithm::ES256,
            Self::P384 => Algorithm::ES384,
            Self::Ed25519 => Algorithm::EdDSA,
        }
    }
}

#[cfg(test)]
mod tests;
