//! Signatures: by the host's cryptography where it has it, by our own code otherwise, with one answer.
//!
//! Everything on which two implementations could differ is decided here before either is asked: the
//! length of a signature, the range of its numbers, the strength of a key. What is left to them is the
//! mathematics. So a token that one worker accepts by `BoringSSL` is accepted by the others in plain Rust.
//!
//! `jwt-simple` judges the keys (points, weak Ed25519 keys), exports them for the host, and computes HMAC
//! tags. Its own `verify_token` is not used: it parses headers and claims again, more leniently than this
//! room, and reads a clock. The signature itself is therefore checked with the very primitives it checks
//! them with, which its key types lend out by `AsRef`. RSA is our own (`rsa`), for wasm's sake.

use jwt_simple::prelude::{
    ECDSAP256PublicKeyLike as _, ECDSAP384PublicKeyLike as _, ES256PublicKey, ES384PublicKey,
    Ed25519PublicKey, EdDSAPublicKeyLike as _, HS256Key, HS384Key, HS512Key, MACLike as _,
};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use subtle::ConstantTimeEq as _;
use superboring::reexports::{hmac_sha256, hmac_sha512};

use super::error::TokenError;
use super::jws::Jws;
use super::keys::KeySet;
use super::plan::Algorithm;
use super::rsa::RsaKey;
use crate::host::{Digest, Host};

/// A key made ready for its one algorithm.
pub(super) enum Verifier {
    Hmac(Hmac),
    /// PKCS#1 v1.5 (RFC 8017, section 8.2).
    Rsa {
        digest: Digest,
        key: RsaKey,
    },
    /// PSS with a salt as long as the digest (RFC 7518, section 3.5).
    RsaPss {
        digest: Digest,
        key: RsaKey,
    },
    P256 {
        key: ES256PublicKey,
        spki: Vec<u8>,
    },
    P384 {
        key: ES384PublicKey,
        spki: Vec<u8>,
    },
    Secp256k1(k256::ecdsa::VerifyingKey),
    Ed25519(Ed25519PublicKey),
}

pub(super) enum Hmac {
    Sha256(HS256Key),
    Sha384(HS384Key),
    Sha512(HS512Key),
}

const NOT_FOR_THIS: &str = "this algorithm does not go with this type of key";

impl Verifier {
    /// An HMAC secret, at least as long as the digest (RFC 7518, section 3.2).
    pub(super) fn hmac(algorithm: Algorithm, secret: &[u8]) -> Result<Self, String> {
        let (key, least) = match algorithm {
            Algorithm::HS256 => (Hmac::Sha256(HS256Key::from_bytes(secret)), 32),
            Algorithm::HS384 => (Hmac::Sha384(HS384Key::from_bytes(secret)), 48),
            Algorithm::HS512 => (Hmac::Sha512(HS512Key::from_bytes(secret)), 64),
            _ => return Err(NOT_FOR_THIS.into()),
        };
        if secret.len() < least {
            let (name, has) = (algorithm.name(), secret.len());
            return Err(format!("the secret has {has} bytes; {name} needs at least {least}"));
        }
        Ok(Self::Hmac(key))
    }

    /// An RSA key from its big-endian modulus and exponent, without leading zeros.
    pub(super) fn rsa(algorithm: Algorithm, modulus: &[u8], exponent: &[u8]) -> Result<Self, String> {
        use Algorithm as A;
        let digest = match algorithm {
            A::RS256 | A::PS256 => Digest::Sha256,
            A::RS384 | A::PS384 => Digest::Sha384,
            A::RS512 | A::PS512 => Digest::Sha512,
            _ => return Err(NOT_FOR_THIS.into()),
        };
        let key = RsaKey::new(modulus, exponent)?;
        Ok(match algorithm {
            A::RS256 | A::RS384 | A::RS512 => Self::Rsa { digest, key },
            _ => Self::RsaPss { digest, key },
        })
    }

    /// A point on P-256.
    pub(super) fn p256(x: &[u8], y: &[u8]) -> Result<Self, String> {
        let no_point = || "not a point on P-256; export the key anew".to_owned();
        let key = ES256PublicKey::from_bytes(&uncompressed::<32>(x, y)?).map_err(|_| no_point())?;
        let spki = key.to_der().map_err(|_| no_point())?;
        Ok(Self::P256 { key, spki })
    }

    /// A point on P-384.
    pub(super) fn p384(x: &[u8], y: &[u8]) -> Result<Self, String> {
        let no_point = || "not a point on P-384; export the key anew".to_owned();
        let key = ES384PublicKey::from_bytes(&uncompressed::<48>(x, y)?).map_err(|_| no_point())?;
        let spki = key.to_der().map_err(|_| no_point())?;
        Ok(Self::P384 { key, spki })
    }

    /// A point on secp256k1.
    pub(super) fn secp256k1(x: &[u8], y: &[u8]) -> Result<Self, String> {
        k256::ecdsa::VerifyingKey::from_sec1_bytes(&uncompressed::<32>(x, y)?)
            .map(Self::Secp256k1)
            .map_err(|_| "not a point on secp256k1; export the key anew".to_owned())
    }

    /// A point on edwards25519, not one of the few for which anybody can sign.
    pub(super) fn ed25519(x: &[u8]) -> Result<Self, String> {
        Ed25519PublicKey::from_bytes(x)
            .map(Self::Ed25519)
            .map_err(|_| "not an Ed25519 public key, or a weak one; export the key anew".into())
    }

    /// Whether this key made this signature over this message.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8], host: &mut dyn Host) -> bool {
        match self {
            Self::Hmac(key) => key.verify(message, signature),
            Self::Rsa { digest, key } => {
                key.in_range(signature)
                    && host
                        .verify_signature(*digest, &key.spki, signature, message)
                        .unwrap_or_else(|| key.verify_pkcs1(*digest, message, signature))
            }
            // The host's function knows no PSS.
            Self::RsaPss { digest, key } => key.verify_pss(*digest, message, signature),
            Self::P256 { key, spki } => {
                // Exactly 64 bytes (RFC 7518, section 3.4), and 0 < r, s < n: this call checks all of it.
                let Ok(pair) = p256::ecdsa::Signature::from_slice(signature) else { return false };
                host.verify_signature(Digest::Sha256, spki, pair.to_der().as_bytes(), message).unwrap_or_else(
                    || {
                        let digest = hmac_sha256::Hash::hash(message);
                        key.public_key().as_ref().verify_prehash(&digest, &pair).is_ok()
                    },
                )
            }
            Self::P384 { key, spki } => {
                let Ok(pair) = p384::ecdsa::Signature::from_slice(signature) else { return false };
                host.verify_signature(Digest::Sha384, spki, pair.to_der().as_bytes(), message).unwrap_or_else(
                    || {
                        let digest = hmac_sha512::sha384::Hash::hash(message);
                        key.public_key().as_ref().verify_prehash(&digest, &pair).is_ok()
                    },
                )
            }
            // The host does not know the curve. RFC 8812, section 3.2, allows both values of s that a signature may
            // have; the library takes the lower one only, as currencies do.
            Self::Secp256k1(key) => k256::ecdsa::Signature::from_slice(signature).is_ok_and(|pair| {
                let digest = hmac_sha256::Hash::hash(message);
                key.verify_prehash(&digest, &pair.normalize_s()).is_ok()
            }),
            Self::Ed25519(key) => ed25519_compact::Signature::from_slice(signature)
                .is_ok_and(|signature| key.public_key().as_ref().verify(message, &signature).is_ok()),
        }
    }
}

/// SEC 1, section 2.3.3. RFC 7518, section 6.2.1.2: a coordinate has the full length of the field.
fn uncompressed<const N: usize>(x: &[u8], y: &[u8]) -> Result<Vec<u8>, String> {
    if x.len() != N || y.len() != N {
        return Err(format!("a coordinate is not {N} bytes long; export the key anew"));
    }
    Ok([&[4], x, y].concat())
}

impl Hmac {
    fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
        let expected = match self {
            Self::Sha256(key) => key.authentication_tag(message),
            Self::Sha384(key) => key.authentication_tag(message),
            Self::Sha512(key) => key.authentication_tag(message),
        };
        // In constant time, or the place of the first wrong byte could be measured. A tag of another
        // length is not equal; truncated tags have no place in RFC 7518, section 3.2.
        expected.ct_eq(tag).into()
    }
}

/// Checks a token's signature with the keys of one issuer. The payload is not looked at.
///
/// # Errors
/// When no key could have made it, or none did.
pub fn verify(jws: &Jws<'_>, keys: &KeySet, host: &mut dyn Host) -> Result<(), TokenError> {
    let mut candidates = keys.candidates(&jws.header)?;
    if candidates.any(|key| key.verify(jws.signing_input, &jws.signature, host)) {
        Ok(())
    } else {
        Err(TokenError::Signature)
    }
}

#[cfg(test)]
mod tests;
