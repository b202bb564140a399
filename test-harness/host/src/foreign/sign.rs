//! `sign`: {1: digest, 2: private key (PKCS#8, DER), 3: text, 4: private key (PEM)} gives
//! {1: bool, 2: signature, 3: error}.
//!
//! Envoy runs BoringSSL (`source/common/crypto/utility_impl.cc`): RSA makes PKCS#1 v1.5 signatures, elliptic curves
//! make DER. This host runs `ring`; what it cannot do is `Unimplemented`: SHA-1 and SHA-224, RSA below 2048 or above
//! 4096 bits, curves other than P-256 with SHA-256 and P-384 with SHA-384, EC keys without their public half, and EC keys in
//! the PEM form `EC PRIVATE KEY`. ECDSA draws random numbers, so its signatures differ from run to run.

use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, RsaEncoding, RsaKeyPair};

use super::keys::{self, Digest, KeyKind};
use crate::{Status, protobuf};

const NO_KEY: &str = "Invalid key type: private key required for signing operation.";

pub(super) fn sign(arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let fields = protobuf::fields(arguments).ok_or(Status::BadArgument)?;
    let digest = protobuf::text(&fields, 1).ok_or(Status::BadArgument)?;
    let pem = protobuf::text(&fields, 4).ok_or(Status::BadArgument)?;
    let (der, text) = (protobuf::bytes(&fields, 2), protobuf::bytes(&fields, 3));
    if der.is_empty() == pem.is_empty() {
        return Err(Status::BadArgument);
    }
    let outcome = match Digest::from_name(digest) {
        Err(problem) => Err(problem),
        Ok(digest) if pem.is_empty() => sign_pkcs8(digest, der, text)?,
        Ok(digest) => match keys::pem(pem, &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"]) {
            Some(("PRIVATE KEY", der)) => sign_pkcs8(digest, &der, text)?,
            Some(("RSA PRIVATE KEY", der)) => match RsaKeyPair::from_der(&der) {
                Ok(key) => Ok(sign_rsa(digest, &key, text)?),
                Err(_) if pkcs1::RsaPrivateKeyRef::try_from(der.as_slice()).is_ok() => {
                    return Err(Status::Unimplemented);
                }
                Err(_) => Err(NO_KEY.to_owned()),
            },
            Some(_) => return Err(Status::Unimplemented),
            None => Err(NO_KEY.to_owned()),
        },
    };
    let mut result = Vec::new();
    match outcome {
        Ok(signature) => {
            protobuf::push_number(&mut result, 1, 1);
            protobuf::push_bytes(&mut result, 2, &signature);
        }
        Err(problem) => protobuf::push_bytes(&mut result, 3, problem.as_bytes()),
    }
    Ok(result)
}

/// A signature, or why there is none in Envoy's words.
fn sign_pkcs8(digest: Digest, der: &[u8], text: &[u8]) -> Result<Result<Vec<u8>, String>, Status> {
    let Some((kind, der)) = keys::private_key(der) else { return Ok(Err(NO_KEY.to_owned())) };
    match (kind, digest) {
        (KeyKind::Rsa, _) => {
            let key = RsaKeyPair::from_pkcs8(der).map_err(|_| Status::Unimplemented)?;
            sign_rsa(digest, &key, text).map(Ok)
        }
        (KeyKind::P256, Digest::Sha256) => {
            sign_ec(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, der, text).map(Ok)
        }
        (KeyKind::P384, Digest::Sha384) => {
            sign_ec(&signature::ECDSA_P384_SHA384_ASN1_SIGNING, der, text).map(Ok)
        }
        (KeyKind::Ed25519, _) => {
            Ok(Err("Invalid private key: key data is corrupted or malformed.".to_owned()))
        }
        _ => Err(Status::Unimplemented),
    }
}

fn sign_rsa(digest: Digest, key: &RsaKeyPair, text: &[u8]) -> Result<Vec<u8>, Status> {
    let padding: &dyn RsaEncoding = match digest {
        Digest::Sha256 => &signature::RSA_PKCS1_SHA256,
        Digest::Sha384 => &signature::RSA_PKCS1_SHA384,
        Digest::Sha512 => &signature::RSA_PKCS1_SHA512,
        Digest::Sha1 | Digest::Sha224 => return Err(Status::Unimplemented),
    };
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(padding, &SystemRandom::new(), text, &mut signature).map_err(|_| Status::InternalFailure)?;
    Ok(signature)
}

fn sign_ec(algorithm: &'static EcdsaSigningAlgorithm, der: &[u8], text: &[u8]) -> Result<Vec<u8>, Status> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, der, &random).map_err(|_| Status::Unimplemented)?;
    let signature = key.sign(&random, text).map_err(|_| Status::InternalFailure)?;
    Ok(signature.as_ref().to_vec())
}
