//! The keys that sign, as PKCS#8 in PEM (RFC 5958, RFC 7468, RFC 8410).

use bartizan_engine::authentication::sealed;
use bartizan_engine::envelope::key::{Algorithm, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jwt_simple::prelude::{ECDSAP256KeyPairLike as _, ES256KeyPair};
use p256::ecdsa::signature::Signer as _;

/// What stands before the 32 bytes of an Ed25519 seed (RFC 8410, section 7).
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

const NEITHER: &str = "neither an Ed25519 nor a P-256 key in PKCS#8; make keys with `bartizan keygen`, or \
                       convert one with `openssl pkcs8 -topk8 -nocrypt`";

/// A key that signs.
pub struct SigningKey(Kind);

enum Kind {
    Ed25519(ed25519_compact::KeyPair),
    P256(Box<ES256KeyPair>),
}

// By hand, so that no key reaches a log through `{:?}`.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Makes a new key, from the random numbers of the operating system.
    #[must_use]
    pub fn generate(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Ed25519 => Kind::Ed25519(ed25519_compact::KeyPair::generate()),
            Algorithm::P256 => Kind::P256(Box::new(ES256KeyPair::generate())),
        })
    }

    /// An Ed25519 key from its seed, which is the whole secret.
    ///
    /// # Errors
    /// When the seed is all zeros.
    pub fn ed25519(seed: [u8; 32]) -> Result<Self, String> {
        ed25519_compact::KeyPair::try_from_seed(ed25519_compact::Seed::new(seed))
            .map(|pair| Self(Kind::Ed25519(pair)))
            .map_err(|_| "not the seed of an Ed25519 key".to_owned())
    }

    /// A P-256 key from its secret number.
    ///
    /// # Errors
    /// When the number is zero or not below the order of the curve.
    pub fn p256(number: [u8; 32]) -> Result<Self, String> {
        ES256KeyPair::from_bytes(&number)
            .map(|pair| Self(Kind::P256(Box::new(pair))))
            .map_err(|_| "not the secret number of a P-256 key".to_owned())
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Kind::Ed25519(_) => Algorithm::Ed25519,
            Kind::P256(_) => Algorithm::P256,
        }
    }

    /// Reads one `PRIVATE KEY` in PEM. No message repeats anything of it.
    ///
    /// # Errors
    /// When it is none, is encrypted, or is not one of our algorithms.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        if text.contains("ENCRYPTED") {
            return Err(
                "the key is encrypted; decrypt it for the time of signing: `openssl pkcs8 -nocrypt`".into()
            );
        }
        if text.contains("BEGIN PUBLIC KEY") {
            return Err("holds a public key; sign with the private one".into());
        }
        let (begin, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
        let body = text.trim().strip_prefix(begin).and_then(|rest| rest.strip_suffix(end)).ok_or(NEITHER)?;
        let base64: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(base64).map_err(|_| NEITHER)?;
        match der.strip_prefix(&ED25519_PKCS8).map(<[u8; 32]>::try_from) {
            Some(Ok(seed)) => Self::ed25519(seed),
            Some(Err(_)) => Err(NEITHER.into()),
            None => ES256KeyPair::from_der(&der)
                .map(|pair| Self(Kind::P256(Box::new(pair))))
                .map_err(|_| NEITHER.to_owned()),
        }
    }

    /// The key as a `PRIVATE KEY` in PEM.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn to_pem(&self) -> Result<String, String> {
        match &self.0 {
            Kind::Ed25519(pair) => {
                Ok(pem("PRIVATE KEY", &[&ED25519_PKCS8[..], &pair.sk.seed()[..]].concat()))
            }
            Kind::P256(pair) => {
                let der = pair.key_pair().to_der().map_err(|_| "the key cannot be written".to_owned())?;
                Ok(pem("PRIVATE KEY", &der))
            }
        }
    }

    /// Its public half.
    ///
    /// # Errors
    /// When no filter would trust it.
    pub fn public(&self) -> Result<PublicKey, String> {
        match &self.0 {
            Kind::Ed25519(pair) => PublicKey::ed25519(&pair.pk[..]),
            Kind::P256(pair) => {
                let point = pair.key_pair().public_key().to_bytes_uncompressed();
                let (x, y) =
                    point.strip_prefix(&[4]).and_then(|xy| xy.split_at_checked(32)).ok_or(NEITHER)?;
                PublicKey::p256(x, y)
            }
        }
    }

    /// Signs a message. Both algorithms are deterministic (RFC 8032, RFC 6979).
    ///
    /// # Errors
    /// When the mathematics fails, which it does with a chance of nothing.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        match &self.0 {
            Kind::Ed25519(pair) => Ok(pair.sk.sign(message, None).to_vec()),
            Kind::P256(pair) => {
                let key: &p256::ecdsa::SigningKey = pair.key_pair().as_ref();
                let signature: p256::ecdsa::Signature =
                    key.try_sign(message).map_err(|_| "the signature cannot be made".to_owned())?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
        }
    }
}

/// A public key as a `PUBLIC KEY` in PEM.
#[must_use]
pub fn public_pem(key: &PublicKey) -> String {
    pem("PUBLIC KEY", key.spki())
}

/// Seals the secret of an issuer of a bundle to a filter's key, so that it may lie in the bundle.
///
/// # Errors
/// When the key is not on P-256.
pub fn seal(secret: &[u8], bundle: &str, issuer: &str, to: &PublicKey) -> Result<String, String> {
    // At the end of a `SubjectPublicKeyInfo` of P-256 stands the point, uncompressed.
    let point = to.spki().last_chunk::<65>().filter(|_| to.algorithm() == Algorithm::P256);
    let point =
        point.ok_or("secrets are sealed to keys on P-256; make one with `bartizan keygen --sealing`")?;
    let ephemeral: [u8; 32] = ES256KeyPair::generate()
        .to_bytes()
        .try_into()
        .map_err(|_| "no random number could be made".to_owned())?;
    sealed::seal(secret, bundle, issuer, point, ephemeral)
        .ok_or_else(|| "the secret cannot be sealed to this key".to_owned())
}

/// RFC 7468, section 2: lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, c) in base64.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text + &format!("\n-----END {label}-----\n")
}
