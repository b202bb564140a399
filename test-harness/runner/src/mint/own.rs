//! Keys that somebody brings, to sign tokens with while developing.

use bartizan_compiler::artifact::SigningKey;
use bartizan_engine::authentication::plan::Algorithm;
use bartizan_engine::envelope::key::Algorithm as Kept;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use rsa::rand_core::{OsRng, RngCore as _};
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{RsaPrivateKey, sha2};
use serde_json::{Map, Value, json};

use super::keys::hmac;

/// The bits of an RSA key that is made.
const RSA_BITS: usize = 2048;

const NEITHER: &str = "no private key in PEM that signs tokens (RSA, P-256, P-384, secp256k1 or Ed25519, not encrypted); \
                       openssl pkcs8 -topk8 -nocrypt writes one";

/// A key that signs tokens.
pub struct OwnKey(Kind);

enum Kind {
    Secret(Vec<u8>),
    Rsa(Box<RsaPrivateKey>),
    P256(Box<p256::SecretKey>),
    P384(Box<p384::SecretKey>),
    Secp256k1(Box<k256::SecretKey>),
    Ed25519(Box<SigningKey>),
}

// By hand, so that no key reaches a log through `{:?}`.
impl std::fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnKey").finish_non_exhaustive()
    }
}

impl OwnKey {
    /// Reads a private key: PKCS#8, or of RSA also PKCS#1 (RFC 8017).
    ///
    /// # Errors
    /// When it is none. No message repeats anything of it.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        if text.contains("BEGIN PUBLIC KEY") {
            return Err("holds a public key; sign with the private one".to_owned());
        }
        let ed25519 = || SigningKey::from_pem(text).ok().filter(|key| key.algorithm() == Kept::Ed25519);
        let kind = None
            .or_else(|| RsaPrivateKey::from_pkcs8_pem(text).ok().map(|key| Kind::Rsa(Box::new(key))))
            .or_else(|| RsaPrivateKey::from_pkcs1_pem(text).ok().map(|key| Kind::Rsa(Box::new(key))))
            .or_else(|| p256_from(text).map(|key| Kind::P256(Box::new(key))))
            .or_else(|| p384_from(text).map(|key| Kind::P384(Box::new(key))))
            .or_else(|| k256_from(text).map(|key| Kind::Secp256k1(Box::new(key))))
            .or_else(|| ed25519().map(|key| Kind::Ed25519(Box::new(key))));
        kind.map(Self).ok_or_else(|| NEITHER.to_owned())
    }

    /// A shared secret, byte by byte.
    #[must_use]
    pub fn secret(bytes: Vec<u8>) -> Self {
        Self(Kind::Secret(bytes))
    }

    /// Makes a key for an algorithm.
    ///
    /// # Errors
    /// When the algorithm has a secret in the place of a key.
    pub fn generate(algorithm: Algorithm) -> Result<Self, String> {
        use Algorithm as A;
        let made = |error: &dyn std::fmt::Display| format!("the key cannot be made: {error}");
        Ok(Self(match algorithm {
            A::HS256 | A::HS384 | A::HS512 => {
                return Err(format!("{} has a secret and no key; name its variable", algorithm.name()));
            }
            A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512 => {
                Kind::Rsa(Box::new(RsaPrivateKey::new(&mut OsRng, RSA_BITS).map_err(|e| made(&e))?))
            }
            A::ES256 => {
                Kind::P256(Box::new(p256::SecretKey::from_slice(&random::<32>()).map_err(|e| made(&e))?))
            }
            A::ES384 => {
                Kind::P384(Box::new(p384::SecretKey::from_slice(&random::<48>()).map_err(|e| made(&e))?))
            }
            A::ES256K => {
                Kind::Secp256k1(Box::new(k256::SecretKey::from_slice(&random::<32>()).map_err(|e| made(&e))?))
            }
            A::EdDSA => Kind::Ed25519(Box::new(SigningKey::generate(Kept::Ed25519))),
        }))
    }

    /// The key as a `PRIVATE KEY` in PEM.
    ///
    /// # Errors
    /// When it is a secret, which has no such form.
    pub fn to_pem(&self) -> Result<String, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("the key cannot be written: {error}");
        Ok(match &self.0 {
            Kind::Secret(_) => return Err("a secret is not written".to_owned()),
            Kind::Rsa(key) => key.to_pkcs8_pem(LineEnding::LF).map_err(|e| wrong(&e))?.to_string(),
            Kind::P256(key) => {
                use p256::pkcs8::EncodePrivateKey as _;
                key.to_pkcs8_pem(p256::pkcs8::LineEnding::LF).map_err(|e| wrong(&e))?.to_string()
            }
            Kind::P384(key) => {
                use p384::pkcs8::EncodePrivateKey as _;
                key.to_pkcs8_pem(p384::pkcs8::LineEnding::LF).map_err(|e| wrong(&e))?.to_string()
            }
            Kind::Secp256k1(key) => {
                use k256::pkcs8::EncodePrivateKey as _;
                key.to_pkcs8_pem(k256::pkcs8::LineEnding::LF).map_err(|e| wrong(&e))?.to_string()
            }
            Kind::Ed25519(key) => key.to_pem()?,
        })
    }

    /// What it can sign with, the usual first.
    #[must_use]
    pub fn algorithms(&self) -> &'static [Algorithm] {
        use Algorithm as A;
        match &self.0 {
            Kind::Secret(_) => &[A::HS256, A::HS384, A::HS512],
            Kind::Rsa(_) => &[A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512],
            Kind::P256(_) => &[A::ES256],
            Kind::P384(_) => &[A::ES384],
            Kind::Secp256k1(_) => &[A::ES256K],
            Kind::Ed25519(_) => &[A::EdDSA],
        }
    }

    /// Signs.
    ///
    /// # Errors
    /// When it is not a key for this algorithm.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, String> {
        use Algorithm as A;
        match (&self.0, algorithm) {
            (Kind::Secret(secret), A::HS256 | A::HS384 | A::HS512) => hmac(algorithm, secret, message),
            (Kind::Rsa(key), A::RS256) => {
                Ok(rsa::pkcs1v15::SigningKey::<sha2::Sha256>::new(*key.clone()).sign(message).to_vec())
            }
            (Kind::Rsa(key), A::RS384) => {
                Ok(rsa::pkcs1v15::SigningKey::<sha2::Sha384>::new(*key.clone()).sign(message).to_vec())
            }
            (Kind::Rsa(key), A::RS512) => {
                Ok(rsa::pkcs1v15::SigningKey::<sha2::Sha512>::new(*key.clone()).sign(message).to_vec())
            }
            (Kind::Rsa(key), A::PS256) => Ok(rsa::pss::SigningKey::<sha2::Sha256>::new(*key.clone())
                .sign_with_rng(&mut OsRng, message)
                .to_vec()),
            (Kind::Rsa(key), A::PS384) => Ok(rsa::pss::SigningKey::<sha2::Sha384>::new(*key.clone())
                .sign_with_rng(&mut OsRng, message)
                .to_vec()),
            (Kind::Rsa(key), A::PS512) => Ok(rsa::pss::SigningKey::<sha2::Sha512>::new(*key.clone())
                .sign_with_rng(&mut OsRng, message)
                .to_vec()),
            (Kind::P256(key), A::ES256) => {
                use p256::ecdsa::signature::Signer as _;
                let signature: p256::ecdsa::Signature = p256::ecdsa::SigningKey::from(&**key).sign(message);
                Ok(signature.to_bytes().to_vec())
            }
            (Kind::P384(key), A::ES384) => {
                use p384::ecdsa::signature::Signer as _;
                let signature: p384::ecdsa::Signature = p384::ecdsa::SigningKey::from(&**key).sign(message);
                Ok(signature.to_bytes().to_vec())
            }
            (Kind::Secp256k1(key), A::ES256K) => {
                use k256::ecdsa::signature::Signer as _;
                let signature: k256::ecdsa::Signature = k256::ecdsa::SigningKey::from(&**key).sign(message);
                Ok(signature.to_bytes().to_vec())
            }
            (Kind::Ed25519(key), A::EdDSA) => key.sign(message),
            _ => Err(format!("this key cannot sign with {}", algorithm.name())),
        }
    }

    /// The public half as a JSON Web Key without a name; nothing of a secret.
    ///
    /// # Errors
    /// When it is a secret, or the key is none that anybody would trust.
    pub fn jwk(&self) -> Result<Map<String, Value>, String> {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let half = |point: &[u8]| -> Result<(String, String), String> {
            let xy = point.strip_prefix(&[4]).ok_or("the point at infinity is no key")?;
            let (x, y) = xy.split_at(xy.len() / 2);
            Ok((b64(x), b64(y)))
        };
        let jwk = match &self.0 {
            Kind::Secret(_) => return Err("a secret has no public half".to_owned()),
            Kind::Rsa(key) => {
                json!({"kty": "RSA", "n": b64(&key.n().to_bytes_be()), "e": b64(&key.e().to_bytes_be())})
            }
            Kind::P256(key) => {
                let (x, y) = half(key.public_key().to_sec1_bytes().as_ref())?;
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
            }
            Kind::P384(key) => {
                let (x, y) = half(key.public_key().to_sec1_bytes().as_ref())?;
                json!({"kty": "EC", "crv": "P-384", "x": x, "y": y})
            }
            Kind::Secp256k1(key) => {
                // Uncompressed, which for this curve is not what the library writes of its own.
                let signing = k256::ecdsa::SigningKey::from(&**key);
                let (x, y) = half(signing.verifying_key().to_sec1_point(false).as_bytes())?;
                json!({"kty": "EC", "crv": "secp256k1", "x": x, "y": y})
            }
            Kind::Ed25519(key) => {
                let public = key.public()?;
                // The key is what ends its SubjectPublicKeyInfo (RFC 8410, section 4).
                let raw = public.spki().last_chunk::<32>().ok_or("no Ed25519 key")?;
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(raw)})
            }
        };
        match jwk {
            Value::Object(jwk) => Ok(jwk),
            _ => Err("no key".to_owned()),
        }
    }

    /// The name under which a key set has this key.
    #[must_use]
    pub fn name_in(&self, set: &str) -> Option<String> {
        let own = self.jwk().ok()?;
        let set: Value = serde_json::from_str(set).ok()?;
        let keys = set.get("keys")?.as_array()?;
        let found = keys.iter().find(|key| own.iter().all(|(name, value)| key.get(name) == Some(value)))?;
        Some(found.get("kid")?.as_str()?.to_owned())
    }
}

fn p256_from(text: &str) -> Option<p256::SecretKey> {
    use p256::pkcs8::DecodePrivateKey as _;
    p256::SecretKey::from_pkcs8_pem(text).ok()
}

fn p384_from(text: &str) -> Option<p384::SecretKey> {
    use p384::pkcs8::DecodePrivateKey as _;
    p384::SecretKey::from_pkcs8_pem(text).ok()
}

fn k256_from(text: &str) -> Option<k256::SecretKey> {
    use k256::pkcs8::DecodePrivateKey as _;
    k256::SecretKey::from_pkcs8_pem(text).ok()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::keys::ALGORITHMS;
    use super::*;

    #[test]
    fn keys_are_made_written_read_and_found() {
        for algorithm in ALGORITHMS {
            if algorithm.name().starts_with("HS") {
                assert!(OwnKey::generate(algorithm).is_err());
                continue;
            }
            if algorithm.name().ends_with("512") || algorithm.name().starts_with("PS") {
                continue;
            }
            let key = OwnKey::generate(algorithm).unwrap();
            let again = OwnKey::from_pem(&key.to_pem().unwrap()).unwrap();
            assert_eq!(key.jwk(), again.jwk());
            assert!(key.algorithms().contains(&algorithm));
            assert!(!again.sign(algorithm, b"m").unwrap().is_empty());
            assert!(again.sign(Algorithm::HS256, b"m").is_err());
            let mut jwk = key.jwk().unwrap();
            jwk.insert("kid".to_owned(), json!("a"));
            let set = json!({"keys": [{"kty": "RSA", "kid": "b"}, jwk]}).to_string();
            assert_eq!(key.name_in(&set).as_deref(), Some("a"));
        }
        for bad in
            ["", "-----BEGIN PUBLIC KEY-----", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
        {
            assert!(OwnKey::from_pem(bad).is_err());
        }
        let secret = OwnKey::secret(b"s".to_vec());
        assert!(secret.jwk().is_err() && secret.to_pem().is_err());
        assert_eq!(format!("{secret:?}"), "OwnKey { .. }");
    }
}
