//! Keys as `verify_signature` and `sign` get them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs1::der::asn1::OctetStringRef;
use pkcs1::der::{Decode, Reader, SliceReader};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The digests that Envoy knows (`getHashFunction` in `source/common/crypto/utility_impl.cc`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digest {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    /// A digest by its name in whatever case, or what Envoy says of another name.
    pub(super) fn from_name(name: &str) -> Result<Self, String> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "sha1" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return Err(format!("{name} is not supported.")),
        })
    }
}

/// What kind of key some DER holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    P384,
    /// It signs without a digest of its own, so Envoy cannot use it here.
    Ed25519,
    /// Something that Envoy may know and this host does not.
    Other,
}

fn kind(algorithm: AlgorithmIdentifierRef<'_>) -> KeyKind {
    let curve = || algorithm.parameters_oid().ok();
    match algorithm.oid {
        RSA => KeyKind::Rsa,
        EC if curve() == Some(P256) => KeyKind::P256,
        EC if curve() == Some(P384) => KeyKind::P384,
        ED25519 => KeyKind::Ed25519,
        _ => KeyKind::Other,
    }
}

/// The kind and the bits of a public key in an SPKI; `None` if it is none. What follows behind it is not looked at,
/// as in `EVP_parse_public_key`.
pub(super) fn public_key(der: &[u8]) -> Option<(KeyKind, Vec<u8>)> {
    let mut reader = SliceReader::new(der).ok()?;
    let spki = SubjectPublicKeyInfoRef::decode(&mut reader).ok()?;
    Some((kind(spki.algorithm), spki.subject_public_key.as_bytes()?.to_vec()))
}

/// The kind of a private key in PKCS#8, and its PKCS#8 alone; `None` if it is none. What follows is not looked at.
pub(super) fn private_key(der: &[u8]) -> Option<(KeyKind, &[u8])> {
    let mut reader = SliceReader::new(der).ok()?;
    let kind = reader
        .sequence(|inner: &mut SliceReader<'_>| -> pkcs1::der::Result<KeyKind> {
            u8::decode(inner)?;
            let algorithm = AlgorithmIdentifierRef::decode(inner)?;
            <&OctetStringRef>::decode(inner)?;
            // Attributes, and the public key of version 2, may follow.
            inner.read_slice(inner.remaining_len())?;
            Ok(kind(algorithm))
        })
        .ok()?;
    let length = usize::try_from(reader.position()).ok()?;
    Some((kind, der.get(..length)?))
}

/// The content of the first PEM block with one of these labels, and the label. Blocks of other kinds and text
/// around them are skipped, as OpenSSL's reader does.
pub(super) fn pem<'a>(text: &str, labels: &[&'a str]) -> Option<(&'a str, Vec<u8>)> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (found, body) = after.split_once("-----")?;
        let (body, behind) = body.split_once(&format!("-----END {found}-----"))?;
        if let Some(label) = labels.iter().find(|label| **label == found) {
            let base64: String = body.split_ascii_whitespace().collect();
            return Some((label, STANDARD.decode(base64).ok()?));
        }
        rest = behind;
    }
    None
}
