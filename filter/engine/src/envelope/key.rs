//! Public keys: Ed25519 (RFC 8032) and ECDSA on P-256 with SHA-256 (FIPS 186-5), read strictly.
//!
//! A key has one encoding that counts, its `SubjectPublicKeyInfo` (RFC 5280, section 4.1; RFC 8410; RFC 5480, with the
//! uncompressed point), and its identifier is the SHA-256 of that. So two spellings of a key are one key.
//! Nothing here is secret, so nothing needs constant time.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use serde_json::{Map, Value};
use superboring::reexports::hmac_sha256;

/// What stands before the 32 bytes of an Ed25519 key (RFC 8410, section 4).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What stands before the 65 bytes of an uncompressed point on P-256 (RFC 5480, section 2).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

const NOT_ED25519: &str = "not an Ed25519 public key, or a weak one; export the key anew";
const NOT_P256: &str = "not a point on P-256; export the key anew";

/// The digest of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    hmac_sha256::Hash::hash(bytes)
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A message in the pieces that it has, so that nobody puts a large one together.
#[derive(Debug)]
pub struct Message<'m> {
    pieces: [&'m [u8]; 2],
    sha256: [u8; 32],
}

impl<'m> Message<'m> {
    /// A message of two pieces.
    #[must_use]
    pub fn new(pieces: [&'m [u8]; 2]) -> Self {
        let mut hash = hmac_sha256::Hash::new();
        pieces.iter().for_each(|piece| hash.update(piece));
        Self { pieces, sha256: hash.finalize() }
    }
}

/// What verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032, section 5.1).
    Ed25519,
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5, section 6).
    P256,
}

impl Algorithm {
    /// Its name for people and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::P256 => "p256",
        }
    }
}

#[derive(Debug, Clone)]
enum Point {
    Ed25519(ed25519_compact::PublicKey),
    P256(p256::ecdsa::VerifyingKey),
}

/// A public key.
#[derive(Debug, Clone)]
pub struct PublicKey {
    point: Point,
    spki: Vec<u8>,
    id: String,
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

impl PublicKey {
    /// From a `SubjectPublicKeyInfo` in DER.
    ///
    /// # Errors
    /// When it is not that of an Ed25519 or P-256 key in its one encoding.
    pub fn from_spki(der: &[u8]) -> Result<Self, String> {
        if let Some(raw) = der.strip_prefix(&ED25519_SPKI) {
            Self::ed25519(raw)
        } else if let Some([4, x_and_y @ ..]) = der.strip_prefix(&P256_SPKI) {
            let (x, y) = x_and_y.split_at_checked(32).ok_or(NOT_P256)?;
            Self::p256(x, y)
        } else {
            Err("neither an Ed25519 nor an uncompressed P-256 key; make keys with `bartizan keygen`".into())
        }
    }

    /// From a text with one `PUBLIC KEY` in PEM (RFC 7468, section 13).
    ///
    /// # Errors
    /// When there is anything else in it, or the key is not one of ours.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        if text.contains("PRIVATE KEY") {
            return Err(
                "holds a private key; name its public half, and if others could read it, replace it".into()
            );
        }
        let broken =
            "not one key in PEM; write `-----BEGIN PUBLIC KEY-----`, base64 and `-----END PUBLIC KEY-----`";
        let (begin, end) = ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----");
        let body = text.trim().strip_prefix(begin).and_then(|rest| rest.strip_suffix(end)).ok_or(broken)?;
        let base64: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        Self::from_spki(&STANDARD.decode(base64).map_err(|_| broken)?)
    }

    /// From a JSON Web Key (RFC 7517, RFC 8037). Members that say nothing of the key itself are ignored.
    ///
    /// # Errors
    /// When it is not one of our keys, or holds a private half.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, String> {
        if jwk.contains_key("d") {
            return Err(
                "holds a private key; name its public half, and if others could read it, replace it".into()
            );
        }
        let text = |member: &str| jwk.get(member).and_then(Value::as_str).unwrap_or_default();
        let bytes = |member: &str| {
            URL_SAFE_NO_PAD
                .decode(text(member))
                .map_err(|_| format!("`{member}` is not canonical unpadded base64url; export the key anew"))
        };
        match (text("kty"), text("crv")) {
            ("OKP", "Ed25519") => Self::ed25519(&bytes("x")?),
            ("EC", "P-256") => Self::p256(&bytes("x")?, &bytes("y")?),
            _ => {
                Err("not an Ed25519 or P-256 key; give `kty` OKP with `crv` Ed25519, or EC with P-256".into())
            }
        }
    }

    /// From the 32 bytes of RFC 8032, section 5.1.2.
    ///
    /// # Errors
    /// When they are no point, or one of the few for which anybody can sign.
    pub fn ed25519(raw: &[u8]) -> Result<Self, String> {
        let key = ed25519_compact::PublicKey::from_slice(raw).map_err(|_| NOT_ED25519)?;
        key.validate().map_err(|_| NOT_ED25519)?;
        Ok(Self::new(Point::Ed25519(key), [&ED25519_SPKI[..], raw].concat()))
    }

    /// From the coordinates of a point, 32 bytes each.
    ///
    /// # Errors
    /// When it is not on the curve.
    pub fn p256(x: &[u8], y: &[u8]) -> Result<Self, String> {
        if x.len() != 32 || y.len() != 32 {
            return Err(NOT_P256.into());
        }
        let raw = [&[4], x, y].concat();
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&raw).map_err(|_| NOT_P256)?;
        Ok(Self::new(Point::P256(key), [&P256_SPKI[..], &raw].concat()))
    }

    fn new(point: Point, spki: Vec<u8>) -> Self {
        let id = hex(&sha256(&spki));
        Self { point, spki, id }
    }

    /// Its identifier: the SHA-256 of its `SubjectPublicKeyInfo`, in hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// What it verifies with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.point {
            Point::Ed25519(_) => Algorithm::Ed25519,
            Point::P256(_) => Algorithm::P256,
        }
    }

    /// Whether this key has made this signature: 64 bytes for Ed25519, the DER of RFC 3279, section 2.2.3, for ECDSA.
    ///
    /// Of an ECDSA signature `(r, s)` anybody can make `(r, n - s)`, which is as good. That counts for nothing, as
    /// keys are counted and not signatures.
    #[must_use]
    pub fn verify(&self, message: &Message<'_>, signature: &[u8]) -> bool {
        match &self.point {
            Point::Ed25519(key) => {
                let Ok(signature) = ed25519_compact::Signature::from_slice(signature) else { return false };
                let Ok(mut state) = key.verify_incremental(&signature) else { return false };
                message.pieces.iter().for_each(|piece| state.absorb(piece));
                state.verify().is_ok()
            }
            Point::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&message.sha256, &signature).is_ok()),
        }
    }
}
