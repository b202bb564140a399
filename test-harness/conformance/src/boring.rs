//! A host that verifies like Envoy: `ring`, whose RSA and elliptic curves are `BoringSSL`'s.
//!
//! Envoy's `verify_signature` takes a public key as SPKI and gives a yes or no. So does this one; the SPKI is
//! taken apart by another crate than the one that made it.

use std::net::IpAddr;

use bartizan_engine::host::{Digest, Host, Loaded, Stored};
use p256::pkcs8::SubjectPublicKeyInfoRef;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

/// See the module.
#[derive(Debug, Default)]
pub struct BoringHost {
    /// How often it was asked.
    pub asked: usize,
    /// What it could not read: there must be nothing here.
    pub problems: Vec<String>,
}

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";

impl BoringHost {
    fn judge(digest: Digest, spki: &[u8], signature: &[u8], message: &[u8]) -> Result<bool, String> {
        let spki = SubjectPublicKeyInfoRef::try_from(spki).map_err(|e| format!("SPKI: {e}"))?;
        let curve = || spki.algorithm.parameters_oid().map(|oid| oid.to_string()).unwrap_or_default();
        let algorithm: &dyn VerificationAlgorithm = match (spki.algorithm.oid.to_string().as_str(), digest) {
            (RSA, Digest::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (RSA, Digest::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (RSA, Digest::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (EC, Digest::Sha256) if curve() == P256 => &signature::ECDSA_P256_SHA256_ASN1,
            (EC, Digest::Sha384) if curve() == P384 => &signature::ECDSA_P384_SHA384_ASN1,
            (oid, _) => return Err(format!("key of type {oid} {} with {digest:?}", curve())),
        };
        let key = spki.subject_public_key.as_bytes().ok_or("SPKI: unused bits")?;
        Ok(UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok())
    }
}

impl Host for BoringHost {
    fn peer_address(&mut self) -> Option<IpAddr> {
        None
    }

    fn load(&mut self, _: &str, _: &mut Vec<u8>) -> Loaded {
        Loaded::Failed
    }

    fn store(&mut self, _: &str, _: &[u8], _: Option<u32>) -> Stored {
        Stored::Failed
    }

    fn verify_signature(
        &mut self,
        digest: Digest,
        spki_der: &[u8],
        signature: &[u8],
        message: &[u8],
    ) -> Option<bool> {
        self.asked += 1;
        match Self::judge(digest, spki_der, signature, message) {
            Ok(answer) => Some(answer),
            Err(problem) => {
                self.problems.push(problem);
                Some(false)
            }
        }
    }
}
