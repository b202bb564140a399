//! Secrets that lie in a bundle sealed to the filter's key, so that only the filter reads them.
//!
//! The form is JWE in compact serialisation (RFC 7516) with `ECDH-ES` on P-256 in direct key agreement (RFC 7518,
//! section 4.6) and `A256GCM`. Its `apv` says what the secret is for, `bartizan:BUNDLE/ISSUER`. It is part of the key
//! (Concat KDF, section 4.6.2) and of what is authenticated, so what was sealed for one place opens in no other one:
//! whoever may write one bundle cannot use the secret of another.
//!
//! Anybody can seal, for the key is public; that a secret is the right one is what the signatures of the bundle say.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use superboring::reexports::hmac_sha256;

/// The longest sealed secret, in characters.
pub const MAX_SEALED_BYTES: usize = 4096;

/// The longest sealed table of users, in characters: that of the largest table, by a third longer as base64 is.
pub const MAX_SEALED_TABLE_BYTES: usize = 768 * 1024;

/// What stands before the 32 bytes of a P-256 key in PKCS#8 with its public half (RFC 5958, RFC 5915), as OpenSSL
/// and `bartizan keygen` write it.
pub const P256_PKCS8: [u8; 36] = [
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01,
    0x04, 0x20,
];

/// The length of such a key.
const P256_PKCS8_BYTES: usize = 138;

/// Why a sealed secret is of no use. What went wrong in opening one is not told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedError {
    /// It is not a sealed secret of this form.
    Malformed,
    /// It was sealed for another bundle or issuer.
    ForAnother,
    /// What should be the private key is none.
    NoKey,
    /// The key does not open it.
    NotOpened,
}

impl std::fmt::Display for SealedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a sealed secret; make one with `bartizan seal`",
            Self::ForAnother => {
                "sealed for another bundle or issuer; seal the secret anew with `bartizan seal`"
            }
            Self::NoKey => "the key is not a P-256 key in PKCS#8; make one with `bartizan keygen --sealing`",
            Self::NotOpened => "the key does not open it; seal the secret for this key with `bartizan seal`",
        })
    }
}

impl std::error::Error for SealedError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'h> {
    alg: &'h str,
    enc: &'h str,
    apv: &'h str,
    #[serde(borrow)]
    epk: Epk<'h>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Epk<'h> {
    kty: &'h str,
    crv: &'h str,
    x: &'h str,
    y: &'h str,
}

/// A secret that was read and not yet opened.
#[derive(Debug)]
pub struct Sealed<'s> {
    header: &'s str,
    party: String,
    point: p256::PublicKey,
    nonce: [u8; 12],
    /// Ciphertext and tag.
    body: Vec<u8>,
}

/// What a secret is for, as `apv` says it.
#[must_use]
pub fn party(bundle: &str, issuer: &str) -> String {
    format!("bartizan:{bundle}/{issuer}")
}

impl<'s> Sealed<'s> {
    /// Reads a sealed secret and looks at whether it was sealed for this place. No key is needed for that.
    ///
    /// # Errors
    /// When it has another form, or was sealed for another place.
    pub fn read(jwe: &'s str, bundle: &str, issuer: &str) -> Result<Self, SealedError> {
        Self::read_up_to(MAX_SEALED_BYTES, jwe, bundle, issuer)
    }

    /// Reads a sealed table of users likewise, for the second factor with this name.
    ///
    /// # Errors
    /// When it has another form, or was sealed for another place.
    pub fn read_table(jwe: &'s str, bundle: &str, factor: &str) -> Result<Self, SealedError> {
        Self::read_up_to(MAX_SEALED_TABLE_BYTES, jwe, bundle, factor)
    }

    fn read_up_to(most: usize, jwe: &'s str, bundle: &str, name: &str) -> Result<Self, SealedError> {
        let sealed = Some(jwe).filter(|jwe| jwe.len() <= most).and_then(Self::parse);
        let sealed = sealed.ok_or(SealedError::Malformed)?;
        if sealed.party == party(bundle, name) { Ok(sealed) } else { Err(SealedError::ForAnother) }
    }

    fn parse(jwe: &'s str) -> Option<Self> {
        let mut parts = jwe.split('.');
        // The second part is a wrapped key, which direct agreement has none of.
        let (header, "", nonce) = (parts.next()?, parts.next()?, parts.next()?) else { return None };
        let (ciphertext, tag) = (parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let text = decode(header)?;
        let Header { alg: "ECDH-ES", enc: "A256GCM", apv, epk } = serde_json::from_slice(&text).ok()? else {
            return None;
        };
        let Epk { kty: "EC", crv: "P-256", x, y } = epk else { return None };
        let (x, y): ([u8; 32], [u8; 32]) = (decode(x)?.try_into().ok()?, decode(y)?.try_into().ok()?);
        let tag: [u8; 16] = decode(tag)?.try_into().ok()?;
        Some(Self {
            header,
            party: String::from_utf8(decode(apv)?).ok()?,
            point: p256::PublicKey::from_sec1_bytes(&[&[4][..], &x, &y].concat()).ok()?,
            nonce: decode(nonce)?.try_into().ok()?,
            body: [decode(ciphertext)?, tag.to_vec()].concat(),
        })
    }

    /// What it was sealed for: the name of a bundle, a slash, the name of an issuer.
    #[must_use]
    pub fn party(jwe: &str) -> Option<String> {
        let party =
            Some(jwe).filter(|jwe| jwe.len() <= MAX_SEALED_TABLE_BYTES).and_then(Sealed::parse)?.party;
        party.strip_prefix("bartizan:").map(str::to_owned)
    }

    /// Opens it with the private key, which is PKCS#8 in PEM, or the base64 of one.
    ///
    /// # Errors
    /// When there is no such key, or it is not the right one, or the secret was tampered with.
    pub fn open(&self, key: &[u8]) -> Result<Vec<u8>, SealedError> {
        let key = private_key(key).ok_or(SealedError::NoKey)?;
        let shared = p256::ecdh::diffie_hellman(key.to_nonzero_scalar(), self.point.as_affine());
        content_key(shared.raw_secret_bytes(), &self.party)
            .decrypt(&Nonce::from(self.nonce), Payload { msg: &self.body, aad: self.header.as_bytes() })
            .map_err(|_| SealedError::NotOpened)
    }
}

/// Seals a secret for an issuer of a bundle, to a public key (an uncompressed point). `ephemeral` is a random number
/// that nobody knows and that is used this once. The filter never seals.
#[must_use]
pub fn seal(secret: &[u8], bundle: &str, issuer: &str, to: &[u8], ephemeral: [u8; 32]) -> Option<String> {
    let to = p256::PublicKey::from_sec1_bytes(to).ok()?;
    let ephemeral = p256::SecretKey::from_slice(&ephemeral).ok()?;
    let point = p256::ecdsa::SigningKey::from(&ephemeral).verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes().get(1..)?.split_at_checked(32)?;
    let (x, y, party) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y), party(bundle, issuer));
    let apv = URL_SAFE_NO_PAD.encode(&party);
    let header = format!(
        r#"{{"alg":"ECDH-ES","apv":"{apv}","enc":"A256GCM","epk":{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}}}"#
    );
    let header = URL_SAFE_NO_PAD.encode(header);
    let shared = p256::ecdh::diffie_hellman(ephemeral.to_nonzero_scalar(), to.as_affine());
    // The key encrypts this once, so it does not matter which nonce it is.
    let nonce: [u8; 12] = hmac_sha256::Hash::hash(point.as_bytes()).first_chunk().copied()?;
    let payload = Payload { msg: secret, aad: header.as_bytes() };
    let body = content_key(shared.raw_secret_bytes(), &party).encrypt(&Nonce::from(nonce), payload).ok()?;
    let (ciphertext, tag) = body.split_at_checked(body.len().checked_sub(16)?)?;
    let [nonce, ciphertext, tag] = [&nonce[..], ciphertext, tag].map(|part| URL_SAFE_NO_PAD.encode(part));
    Some(format!("{header}..{nonce}.{ciphertext}.{tag}"))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Concat KDF with SHA-256 (RFC 7518, section 4.6.2): one round gives the 256 bits.
fn content_key(shared: &[u8], party: &str) -> Aes256Gcm {
    const ENC: &[u8] = b"A256GCM";
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut hash = hmac_sha256::Hash::new();
    let (round, bits) = (1_u32.to_be_bytes(), 256_u32.to_be_bytes());
    let pieces: [&[u8]; 8] =
        [&round, shared, &length(ENC), ENC, &length(&[]), &length(party.as_bytes()), party.as_bytes(), &bits];
    for piece in pieces {
        hash.update(piece);
    }
    Aes256Gcm::new(&hash.finalize().into())
}

/// A private key from PEM, or from the base64 in it: a variable of the environment often has no lines.
fn private_key(text: &[u8]) -> Option<p256::SecretKey> {
    let text = std::str::from_utf8(text).ok()?;
    let base64: String = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("-----"))
        .flat_map(str::split_whitespace)
        .collect();
    let der = STANDARD.decode(base64).ok().filter(|der| der.len() == P256_PKCS8_BYTES)?;
    let (number, _) = der.strip_prefix(&P256_PKCS8)?.split_at_checked(32)?;
    p256::SecretKey::from_slice(number).ok()
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
