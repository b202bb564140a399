//! `verify_signature`: {1: digest, 2: public key (SPKI, DER), 3: signature, 4: text, 5: public key (PEM)} gives
//! {1: bool, 2: error}.
//!
//! Envoy runs BoringSSL (`source/common/crypto/utility_impl.cc`); this host runs `ring`, whose arithmetic is
//! BoringSSL's. Where `ring` does less the answer is `Unimplemented`, never a false "bad signature": SHA-224, curves other
//! than P-256 and P-384, SHA-512 and SHA-1 on these, compressed points, and RSA below 1024 bits (2048 with
//! SHA-384) or above 8192.

use pkcs1::der::Decode;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use super::keys::{self, Digest, KeyKind};
use crate::{Status, protobuf};

pub(super) fn verify_signature(arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let fields = protobuf::fields(arguments).ok_or(Status::BadArgument)?;
    let digest = protobuf::text(&fields, 1).ok_or(Status::BadArgument)?;
    let pem = protobuf::text(&fields, 5).ok_or(Status::BadArgument)?;
    let der = protobuf::bytes(&fields, 2);
    if der.is_empty() == pem.is_empty() {
        return Err(Status::BadArgument);
    }
    let key = if pem.is_empty() {
        keys::public_key(der)
    } else {
        keys::pem(pem, &["PUBLIC KEY"]).and_then(|(_, der)| keys::public_key(&der))
    };
    let outcome = judge(digest, key, protobuf::bytes(&fields, 3), protobuf::bytes(&fields, 4))?;
    let mut result = Vec::new();
    protobuf::push_number(&mut result, 1, u64::from(outcome.is_ok()));
    protobuf::push_bytes(&mut result, 2, outcome.err().unwrap_or_default().as_bytes());
    Ok(result)
}

/// Whether the signature is good, or why not in Envoy's words.
fn judge(
    digest: &str,
    key: Option<(KeyKind, Vec<u8>)>,
    signature: &[u8],
    text: &[u8],
) -> Result<Result<(), String>, Status> {
    let digest = match Digest::from_name(digest) {
        Ok(digest) => digest,
        Err(problem) => return Ok(Err(problem)),
    };
    let unusable = || Ok(Err("Failed to initialize digest verify.".to_owned()));
    let Some((kind, key)) = key else { return unusable() };
    let algorithm: &dyn VerificationAlgorithm = match (kind, digest) {
        (KeyKind::Ed25519, _) => return unusable(),
        (KeyKind::Rsa, _) => {
            let Ok(parts) = pkcs1::RsaPublicKeyRef::from_der(&key) else { return unusable() };
            let modulus = parts.modulus.as_bytes();
            let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
            match digest {
                _ if bits > 8192 => return Err(Status::Unimplemented),
                Digest::Sha1 if bits >= 1024 => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
                Digest::Sha256 if bits >= 1024 => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
                Digest::Sha384 if bits >= 2048 => &signature::RSA_PKCS1_2048_8192_SHA384,
                Digest::Sha512 if bits >= 1024 => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
                _ => return Err(Status::Unimplemented),
            }
        }
        // An uncompressed point begins with 4; a compressed one with 2 or 3.
        (KeyKind::P256 | KeyKind::P384, _) if matches!(key.first(), Some(2 | 3)) => {
            return Err(Status::Unimplemented);
        }
        (KeyKind::P256, Digest::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, Digest::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyKind::P384, Digest::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, Digest::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        _ => return Err(Status::Unimplemented),
    };
    let verified = UnparsedPublicKey::new(algorithm, key).verify(text, signature);
    Ok(verified.map_err(|_| "Failed to verify digest. Error code: 0".to_owned()))
}
