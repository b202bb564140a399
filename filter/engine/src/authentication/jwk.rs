//! One JSON Web Key (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2), read strictly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::keys::{Key, KeyError};
use super::plan::Algorithm;
use super::signature::Verifier;

/// The members that only private RSA, EC and OKP keys have (RFC 7518, section 6.3.2; RFC 8037, section 2).
const PRIVATE_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// A problem at a place in the set.
pub(super) fn error(place: impl Into<String>, problem: impl Into<String>) -> KeyError {
    KeyError { place: place.into(), problem: problem.into() }
}

/// A key, or why it is left out.
pub(super) type Usable = Result<Key, &'static str>;

/// One member of a set, with its place for messages.
pub(super) struct Jwk<'j> {
    place: String,
    members: &'j Map<String, Value>,
}

impl<'j> Jwk<'j> {
    pub(super) fn new(index: usize, jwk: &'j Value) -> Result<Self, KeyError> {
        let place = format!("keys[{index}]");
        match jwk {
            Value::Object(members) => Ok(Self { place, members }),
            _ => Err(error(place, "not an object; give a JWK (RFC 7517, section 4)")),
        }
    }

    pub(super) fn error(&self, member: &str, problem: impl Into<String>) -> KeyError {
        error(format!("{}.{member}", self.place), problem)
    }

    fn optional(&self, member: &str) -> Result<Option<&str>, KeyError> {
        match self.members.get(member) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(_) => Err(self.error(member, "not a string; correct the key")),
        }
    }

    pub(super) fn required(&self, member: &str) -> Result<&str, KeyError> {
        self.optional(member)?.ok_or_else(|| self.error(member, "missing; add it to the key"))
    }

    /// A member in canonical unpadded base64url.
    fn bytes(&self, member: &str) -> Result<Vec<u8>, KeyError> {
        URL_SAFE_NO_PAD
            .decode(self.required(member)?)
            .map_err(|_| self.error(member, "not canonical unpadded base64url; export the key anew"))
    }

    pub(super) fn key(&self, accepted: &[Algorithm]) -> Result<Usable, KeyError> {
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
                "secp256k1" => Family::Secp256k1,
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
            Family::P256 | Family::P384 | Family::Secp256k1 => {
                let (x, y) = (self.bytes("x")?, self.bytes("y")?);
                let verifier = match family {
                    Family::P256 => Verifier::p256(&x, &y),
                    Family::P384 => Verifier::p384(&x, &y),
                    _ => Verifier::secp256k1(&x, &y),
                };
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
    Secp256k1,
    Ed25519,
}

impl Family {
    /// RFC 7518, section 3.1, RFC 8037, section 3.1, and RFC 8812, section 3.2.
    fn serves(self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        match self {
            Self::Oct => matches!(algorithm, A::HS256 | A::HS384 | A::HS512),
            Self::Rsa => {
                matches!(algorithm, A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512)
            }
            Self::P256 => algorithm == A::ES256,
            Self::P384 => algorithm == A::ES384,
            Self::Secp256k1 => algorithm == A::ES256K,
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
            Self::Secp256k1 => Algorithm::ES256K,
            Self::Ed25519 => Algorithm::EdDSA,
        }
    }
}
