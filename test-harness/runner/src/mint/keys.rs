//! The fixed test keys.

use std::fmt;
use std::sync::OnceLock;

use bartizan_engine::authentication::plan::Algorithm;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{RsaPrivateKey, sha2};
use serde_json::{Value, json};

/// All algorithms, in the order of the plan's list.
pub const ALGORITHMS: [Algorithm; 13] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES256K,
    Algorithm::EdDSA,
];

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The first issuer's (and the third's, and so on).
    First,
    /// The second issuer's.
    Second,
    /// Nobody's: no key set ever has it.
    Stranger,
}

impl Slot {
    /// The slot of a plan's issuer, by its place in the list.
    #[must_use]
    pub const fn of_issuer(index: usize) -> Self {
        if index.is_multiple_of(2) { Self::First } else { Self::Second }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::First => "0",
            Self::Second => "1",
            Self::Stranger => "stranger",
        }
    }
}

/// A test key: `rs256-0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyName {
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Whose it is.
    pub slot: Slot,
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", name_of(self.algorithm).to_ascii_lowercase(), self.slot.name())
    }
}

/// The name of an algorithm in RFC 7518, RFC 8037 and RFC 8812.
#[must_use]
pub const fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::HS384 => "HS384",
        Algorithm::HS512 => "HS512",
        Algorithm::RS256 => "RS256",
        Algorithm::RS384 => "RS384",
        Algorithm::RS512 => "RS512",
        Algorithm::PS256 => "PS256",
        Algorithm::PS384 => "PS384",
        Algorithm::PS512 => "PS512",
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::ES256K => "ES256K",
        Algorithm::EdDSA => "EdDSA",
    }
}

/// The algorithm of a name, in any case.
///
/// # Errors
/// If there is none.
pub fn algorithm(name: &str) -> Result<Algorithm, String> {
    ALGORITHMS.into_iter().find(|a| name_of(*a).eq_ignore_ascii_case(name)).ok_or_else(|| {
        format!("no algorithm `{name}` can sign; put it into `header: {{alg: ..}}` to claim it")
    })
}

impl KeyName {
    /// Reads `rs256-0`.
    ///
    /// # Errors
    /// If there is no such key.
    pub fn parse(name: &str) -> Result<Self, String> {
        let unknown =
            || format!("no test key `{name}`; there are `own`, `stranger`, `rs256-0`, `es256-1` and so on");
        let (start, end) = name.split_once('-').ok_or_else(unknown)?;
        let slot = [Slot::First, Slot::Second, Slot::Stranger].into_iter().find(|s| s.name() == end);
        Ok(Self { algorithm: algorithm(start)?, slot: slot.ok_or_else(unknown)? })
    }

    /// Signs with an algorithm that this kind of key can do.
    ///
    /// # Errors
    /// If it cannot.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, String> {
        use Algorithm as A;
        if family(self.algorithm) != family(algorithm) {
            return Err(format!("the key {self} cannot sign with {}", name_of(algorithm)));
        }
        let wrong = |error: &dyn fmt::Display| format!("{self}: {error}");
        match algorithm {
            A::HS256 | A::HS384 | A::HS512 => hmac(algorithm, secret(self.slot).as_bytes(), message),
            A::RS256 => {
                Ok(rsa::pkcs1v15::SigningKey::<sha2::Sha256>::new(rsa_key(self.slot)?).sign(message).to_vec())
            }
            A::RS384 => {
                Ok(rsa::pkcs1v15::SigningKey::<sha2::Sha384>::new(rsa_key(self.slot)?).sign(message).to_vec())
            }
            A::RS512 => {
                Ok(rsa::pkcs1v15::SigningKey::<sha2::Sha512>::new(rsa_key(self.slot)?).sign(message).to_vec())
            }
            A::PS256 => Ok(pss::<sha2::Sha256>(rsa_key(self.slot)?, message)),
            A::PS384 => Ok(pss::<sha2::Sha384>(rsa_key(self.slot)?, message)),
            A::PS512 => Ok(pss::<sha2::Sha512>(rsa_key(self.slot)?, message)),
            A::ES256 => {
                use p256::ecdsa::signature::Signer as _;
                let signature: p256::ecdsa::Signature =
                    p256_key(self.slot).map_err(|e| wrong(&e))?.sign(message);
                Ok(signature.to_bytes().to_vec())
            }
            A::ES384 => {
                use p384::ecdsa::signature::Signer as _;
                let signature: p384::ecdsa::Signature =
                    p384_key(self.slot).map_err(|e| wrong(&e))?.sign(message);
                Ok(signature.to_bytes().to_vec())
            }
            A::ES256K => {
                use k256::ecdsa::signature::Signer as _;
                let signature: k256::ecdsa::Signature =
                    k256_key(self.slot).map_err(|e| wrong(&e))?.sign(message);
                Ok(signature.to_bytes().to_vec())
            }
            A::EdDSA => Ok(ed25519(self.slot).sk.sign(message, None).to_vec()),
        }
    }

    /// The public key as a JWK with `kid`, `alg` and `use` (for HMAC: the secret itself).
    ///
    /// # Errors
    /// If the key cannot be read.
    pub fn jwk(&self) -> Result<serde_json::Map<String, Value>, String> {
        use Algorithm as A;
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match self.algorithm {
            A::HS256 | A::HS384 | A::HS512 => json!({"kty": "oct", "k": b64(secret(self.slot).as_bytes())}),
            A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512 => {
                let key = rsa_key(self.slot)?;
                json!({"kty": "RSA", "n": b64(&key.n().to_bytes_be()), "e": b64(&key.e().to_bytes_be())})
            }
            A::ES256 => {
                let key = p256_key(self.slot).map_err(|e| e.to_string())?;
                let point = key.verifying_key().to_sec1_point(false);
                json!({"kty": "EC", "crv": "P-256", "x": b64(coordinate(point.x())?), "y": b64(coordinate(point.y())?)})
            }
            A::ES384 => {
                let key = p384_key(self.slot).map_err(|e| e.to_string())?;
                let point = key.verifying_key().to_sec1_point(false);
                json!({"kty": "EC", "crv": "P-384", "x": b64(coordinate(point.x())?), "y": b64(coordinate(point.y())?)})
            }
            A::ES256K => {
                let key = k256_key(self.slot).map_err(|e| e.to_string())?;
                let point = key.verifying_key().to_sec1_point(false);
                json!({"kty": "EC", "crv": "secp256k1", "x": b64(coordinate(point.x())?), "y": b64(coordinate(point.y())?)})
            }
            A::EdDSA => json!({"kty": "OKP", "crv": "Ed25519", "x": b64(ed25519(self.slot).pk.as_ref())}),
        };
        if let Value::Object(jwk) = &mut jwk {
            jwk.insert("kid".into(), json!(self.to_string()));
            jwk.insert("alg".into(), json!(name_of(self.algorithm)));
            jwk.insert("use".into(), json!("sig"));
            return Ok(jwk.clone());
        }
        Err(format!("{self} is no key"))
    }
}

/// The shared secret of a slot: text, so that it can stand in an environment variable.
#[must_use]
pub fn secret(slot: Slot) -> String {
    let hash = |half: &str| {
        hmac_sha256::Hash::hash(format!("bartizan test secret {} {half}", slot.name()).as_bytes())
    };
    [hash("a"), hash("b")].concat().iter().take(40).map(|b| format!("{b:02x}")).collect()
}

/// The public RSA key of a slot as PEM, as somebody would find it in documentation.
///
/// # Errors
/// If the key cannot be read.
pub fn public_pem(slot: Slot) -> Result<String, String> {
    rsa_key(slot)?.to_public_key().to_public_key_pem(LineEnding::LF).map_err(|e| e.to_string())
}

/// A JWK set of test keys, pretty-printed.
///
/// # Errors
/// If a key cannot be read.
pub fn jwks(names: &[KeyName]) -> Result<String, String> {
    let keys: Vec<_> = names.iter().map(KeyName::jwk).collect::<Result<_, _>>()?;
    serde_json::to_string_pretty(&json!({"keys": keys})).map_err(|e| e.to_string())
}

/// An HMAC with any key.
pub(super) fn hmac(algorithm: Algorithm, key: &[u8], message: &[u8]) -> Result<Vec<u8>, String> {
    match algorithm {
        Algorithm::HS256 => Ok(hmac_sha256::HMAC::mac(message, key).to_vec()),
        Algorithm::HS384 => Ok(hmac_sha512::sha384::HMAC::mac(message, key).to_vec()),
        Algorithm::HS512 => Ok(hmac_sha512::HMAC::mac(message, key).to_vec()),
        other => Err(format!("{} is no HMAC; say `alg: HS256`", name_of(other))),
    }
}

fn family(algorithm: Algorithm) -> u8 {
    use Algorithm as A;
    match algorithm {
        A::HS256 | A::HS384 | A::HS512 => 0,
        A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512 => 1,
        A::ES256 => 2,
        A::ES384 => 3,
        A::ES256K => 4,
        A::EdDSA => 5,
    }
}

fn rsa_key(slot: Slot) -> Result<RsaPrivateKey, String> {
    static KEYS: OnceLock<Result<[RsaPrivateKey; 3], String>> = OnceLock::new();
    let read = |text: &str| {
        // The note above the key keeps a secret scanner's reader from a scare; PEM starts after it.
        let pem = text.split_once('\n').map_or(text, |(_, pem)| pem);
        RsaPrivateKey::from_pkcs8_pem(pem).map_err(|e| format!("a test key cannot be read: {e}"))
    };
    let keys = KEYS.get_or_init(|| {
        Ok([
            read(include_str!("../../keys/test-rsa-0.pem"))?,
            read(include_str!("../../keys/test-rsa-1.pem"))?,
            read(include_str!("../../keys/test-rsa-stranger.pem"))?,
        ])
    });
    let [first, second, stranger] = keys.as_ref().map_err(Clone::clone)?;
    Ok(match slot {
        Slot::First => first,
        Slot::Second => second,
        Slot::Stranger => stranger,
    }
    .clone())
}

fn pss<D>(key: RsaPrivateKey, message: &[u8]) -> Vec<u8>
where
    D: sha2::Digest + rsa::signature::digest::FixedOutputReset,
{
    let mut rng = rsa::rand_core::OsRng;
    rsa::pss::SigningKey::<D>::new(key).sign_with_rng(&mut rng, message).to_vec()
}

fn seed(kind: &str, slot: Slot) -> [u8; 32] {
    hmac_sha256::Hash::hash(format!("bartizan test key {kind} {}", slot.name()).as_bytes())
}

fn p256_key(slot: Slot) -> Result<p256::ecdsa::SigningKey, p256::ecdsa::Error> {
    p256::ecdsa::SigningKey::from_slice(&seed("p256", slot))
}

fn p384_key(slot: Slot) -> Result<p384::ecdsa::SigningKey, p384::ecdsa::Error> {
    // 16 zero bytes in front keep the scalar below the order of the curve.
    let mut scalar = [0_u8; 48];
    for (to, from) in scalar.iter_mut().skip(16).zip(seed("p384", slot)) {
        *to = from;
    }
    p384::ecdsa::SigningKey::from_slice(&scalar)
}

fn k256_key(slot: Slot) -> Result<k256::ecdsa::SigningKey, k256::ecdsa::Error> {
    k256::ecdsa::SigningKey::from_slice(&seed("secp256k1", slot))
}

fn ed25519(slot: Slot) -> ed25519_compact::KeyPair {
    ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(seed("ed25519", slot)))
}

fn coordinate<T: AsRef<[u8]> + ?Sized>(coordinate: Option<&T>) -> Result<&[u8], String> {
    coordinate.map(AsRef::as_ref).ok_or_else(|| "the point at infinity is no key".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for algorithm in ALGORITHMS {
            for slot in [Slot::First, Slot::Second, Slot::Stranger] {
                let key = KeyName { algorithm, slot };
                assert_eq!(KeyName::parse(&key.to_string()), Ok(key));
            }
        }
        assert!(KeyName::parse("rs256").is_err());
        assert!(KeyName::parse("rs256-7").is_err());
    }

    #[test]
    fn every_key_signs_and_no_two_slots_share_one() {
        for algorithm in ALGORITHMS {
            let of = |slot| KeyName { algorithm, slot };
            assert!(!of(Slot::First).sign(algorithm, b"m").unwrap().is_empty());
            let material = |slot| {
                let mut jwk = of(slot).jwk().unwrap();
                jwk.remove("kid");
                jwk
            };
            assert_ne!(material(Slot::First), material(Slot::Second));
            assert_ne!(material(Slot::First), material(Slot::Stranger));
        }
    }

    #[test]
    fn signatures_verify_in_another_library() {
        use jwt_simple::prelude::*;
        let key = KeyName { algorithm: Algorithm::ES256, slot: Slot::First };
        let jwk = Value::Object(key.jwk().unwrap()).to_string();
        let public = ES256PublicKey::from_jwk(&jwk).unwrap();
        let b64 = |t: &str| URL_SAFE_NO_PAD.encode(t);
        let message = format!("{}.{}", b64(r#"{"alg":"ES256"}"#), b64(r#"{"exp":4000000000}"#));
        let good = format!(
            "{message}.{}",
            URL_SAFE_NO_PAD.encode(key.sign(Algorithm::ES256, message.as_bytes()).unwrap())
        );
        assert!(public.verify_token::<NoCustomClaims>(&good, None).is_ok());
        let other = KeyName { algorithm: Algorithm::ES256, slot: Slot::Stranger };
        let bad = format!(
            "{message}.{}",
            URL_SAFE_NO_PAD.encode(other.sign(Algorithm::ES256, message.as_bytes()).unwrap())
        );
        assert!(public.verify_token::<NoCustomClaims>(&bad, None).is_err());
    }
}
