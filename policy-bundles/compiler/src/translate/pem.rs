//! Public keys in PEM form (RFC 7468) become JSON Web Keys (RFC 7518, RFC 8037).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pkcs1::der::Decode;
use pkcs1::der::asn1::AnyRef;
use serde_json::{Value, json};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use bartizan_spec::text::Problem;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");

/// A public key as the members of a JWK that say what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// Modulus and exponent.
    Rsa { n: String, e: String },
    /// A point on P-256, P-384 or secp256k1.
    Ec { curve: &'static str, x: String, y: String },
    /// An Ed25519 key.
    Ed25519 { x: String },
}

impl PublicKey {
    /// The members of the JWK.
    pub(super) fn members(&self) -> Value {
        match self {
            Self::Rsa { n, e } => json!({"kty": "RSA", "n": n, "e": e}),
            Self::Ec { curve, x, y } => json!({"kty": "EC", "crv": curve, "x": x, "y": y}),
            Self::Ed25519 { x } => json!({"kty": "OKP", "crv": "Ed25519", "x": x}),
        }
    }
}

/// Reads all keys of a PEM file.
pub(super) fn public_keys(text: &str) -> Result<Vec<PublicKey>, Problem> {
    // Before anything else: a private key must not be half-read and reported as something harmless.
    if text.contains("PRIVATE KEY") {
        return Err(Problem::new(
            "it holds a private key",
            "take it out of the bundle, treat it as leaked, and put the public key there: `openssl pkey -in private.pem -pubout`",
        ));
    }
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let malformed = || {
            Problem::new(
                "its PEM armour is broken",
                "write `-----BEGIN PUBLIC KEY-----`, base64 lines, `-----END PUBLIC KEY-----`",
            )
        };
        let (label, after) = after.split_once("-----").ok_or_else(malformed)?;
        let (body, after) = after.split_once(&format!("-----END {label}-----")).ok_or_else(malformed)?;
        let base64: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(base64).map_err(|_| malformed())?;
        keys.push(match label {
            "PUBLIC KEY" => subject_public_key(&der)?,
            "RSA PUBLIC KEY" => rsa(&der)?,
            "CERTIFICATE" => {
                return Err(Problem::new(
                    "it holds a certificate, not a public key",
                    "take the key out of it: `openssl x509 -in cert.pem -pubkey -noout`",
                ));
            }
            other => {
                return Err(Problem::new(
                    format!("it holds a {other:?}, not a public key"),
                    "put a `PUBLIC KEY` there: `openssl pkey -in key.pem -pubin -pubout`",
                ));
            }
        });
        rest = after;
    }
    if keys.is_empty() {
        return Err(Problem::new(
            "it holds no key in PEM form",
            "put a text there that starts with `-----BEGIN PUBLIC KEY-----`; a JWK set goes to `keys: {jwks: ...}`",
        ));
    }
    Ok(keys)
}

fn subject_public_key(der: &[u8]) -> Result<PublicKey, Problem> {
    let broken = || {
        Problem::new(
            "its public key is malformed",
            "export it again: `openssl pkey -pubin -in key.pem -pubout`",
        )
    };
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| broken())?;
    let bytes = info.subject_public_key.as_bytes().ok_or_else(broken)?;
    match info.algorithm.oid {
        RSA => rsa(bytes),
        ED25519 => {
            let length = bytes.len();
            if length != 32 {
                Err(broken())
            } else {
                Ok(PublicKey::Ed25519 { x: URL_SAFE_NO_PAD.encode(bytes) })
            }
        }
        EC => {
            let parameters: AnyRef<'_> = info.algorithm.parameters.ok_or_else(broken)?;
            let (curve, size) = match parameters.decode_as::<ObjectIdentifier>().map_err(|_| broken())? {
                P256 => ("P-256", 32),
                P384 => ("P-384", 48),
                SECP256K1 => ("secp256k1", 32),
                other => {
                    return Err(Problem::new(
                        format!("its key is on a curve that is not supported ({other})"),
                        "use P-256 (ES256), P-384 (ES384), secp256k1 (ES256K) or Ed25519 (EdDSA)",
                    ));
                }
            };
            point(bytes, curve, size)
        }
        other => Err(Problem::new(
            format!("its key is of a kind that is not supported ({other})"),
            "use RSA, EC on P-256, P-384 or secp256k1, or Ed25519",
        )),
    }
}

/// An uncompressed point (SEC 1, section 2.3.4).
fn point(bytes: &[u8], curve: &'static str, size: usize) -> Result<PublicKey, Problem> {
    let coordinates = bytes.strip_prefix(&[4]).and_then(|xy| xy.split_at_checked(size));
    match coordinates {
        Some((x, y)) if y.len() == size => {
            Ok(PublicKey::Ec { curve, x: URL_SAFE_NO_PAD.encode(x), y: URL_SAFE_NO_PAD.encode(y) })
        }
        _ => Err(Problem::new(
            "its point is compressed or malformed",
            "export it uncompressed: `openssl ec -pubin -in key.pem -conv_form uncompressed`",
        )),
    }
}

fn rsa(der: &[u8]) -> Result<PublicKey, Problem> {
    let key = pkcs1::RsaPublicKeyRef::from_der(der).map_err(|_| {
        Problem::new("its RSA key is malformed", "export it again: `openssl pkey -pubin -in key.pem -pubout`")
    })?;
    let (n, e) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
    Ok(PublicKey::Rsa { n: URL_SAFE_NO_PAD.encode(n), e: URL_SAFE_NO_PAD.encode(e) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A public key made for this test (`openssl ecparam -name prime256v1`); its private half was not kept.
    const P256_PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8A\niTo7Tu6KPAqv7D7gS2XpJFbZiItSs3m9+9Ue6GnvHw/GW2ZZaVtszggXIw==\n-----END PUBLIC KEY-----\n";

    #[test]
    fn a_p256_key_becomes_its_coordinates() {
        let keys = public_keys(&format!("comment\n{P256_PEM}{P256_PEM}")).unwrap();
        // RFC 7517, appendix A.1, has this key.
        let expected = PublicKey::Ec {
            curve: "P-256",
            x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4".to_owned(),
            y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM".to_owned(),
        };
        assert_eq!(keys, [expected.clone(), expected]);
    }

    #[test]
    fn what_is_no_public_key_is_refused_with_a_remedy() {
        let private = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        assert_eq!(public_keys(private).unwrap_err().message, "it holds a private key");
        assert!(
            public_keys(&format!("{P256_PEM}{private}")).is_err(),
            "the good one does not hide the other"
        );
        for text in [
            "",
            "{}",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\n!!!\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n",
        ] {
            assert!(!public_keys(text).unwrap_err().help.is_empty(), "{text}");
        }
    }
}
