//! The host's cryptography and the engine's own must agree on every signature, good, bad and nearly good,
//! or two workers would judge one token differently. Wycheproof has nothing for P-384 and little for
//! RSA-384 and RSA-512 here, so this makes its own keys and bends its own signatures.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps a test may fail as a test does"
)]

use std::sync::OnceLock;

use bartizan_conformance::boring::BoringHost;
use bartizan_engine::authentication::keys::KeySet;
use bartizan_engine::authentication::plan::Algorithm;
use bartizan_engine::host::testing::TestHost;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::{Claims, Duration, RS256KeyPair, RS384KeyPair, RS512KeyPair, RSAKeyPairLike as _};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use proptest::prelude::*;
use serde_json::json;

/// A key, a message and a good signature over it.
struct Signed {
    keys: KeySet,
    message: Vec<u8>,
    signature: Vec<u8>,
    /// The order of the curve or the modulus: what numbers in the signature are reduced by.
    order: Vec<u8>,
}

fn set(jwk: &serde_json::Value, algorithm: Algorithm) -> KeySet {
    KeySet::from_jwks(&json!({ "keys": [jwk] }).to_string(), &[algorithm]).unwrap()
}

fn coordinates(uncompressed: &[u8]) -> (String, String) {
    let (x, y) = uncompressed[1..].split_at((uncompressed.len() - 1) / 2);
    (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
}

fn es256() -> Signed {
    // A test key: any number will do.
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let (x, y) = coordinates(key.verifying_key().to_sec1_point(false).as_bytes());
    let message = b"a message".to_vec();
    let signature: p256::ecdsa::Signature = key.sign_prehash(&hmac_sha256::Hash::hash(&message)).unwrap();
    Signed {
        keys: set(&json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}), Algorithm::ES256),
        message,
        signature: signature.to_bytes().to_vec(),
        order: order("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
    }
}

fn es384() -> Signed {
    let key = p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap();
    let (x, y) = coordinates(key.verifying_key().to_sec1_point(false).as_bytes());
    let message = b"a message".to_vec();
    let digest = hmac_sha512::sha384::Hash::hash(&message);
    let signature: p384::ecdsa::Signature = key.sign_prehash(&digest).unwrap();
    Signed {
        keys: set(&json!({"kty": "EC", "crv": "P-384", "x": x, "y": y}), Algorithm::ES384),
        message,
        signature: signature.to_bytes().to_vec(),
        order: order(
            "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        ),
    }
}

fn order(hex: &str) -> Vec<u8> {
    bartizan_conformance::vectors::hex(hex).unwrap()
}

fn rsa(algorithm: Algorithm) -> Signed {
    static KEY: OnceLock<RS256KeyPair> = OnceLock::new();
    let key = KEY.get_or_init(|| RS256KeyPair::generate(2048).unwrap());
    let der = key.to_der().unwrap();
    let claims = Claims::create(Duration::from_secs(60));
    let token = match algorithm {
        Algorithm::RS256 => key.sign(claims),
        Algorithm::RS384 => RS384KeyPair::from_der(&der).unwrap().sign(claims),
        _ => RS512KeyPair::from_der(&der).unwrap().sign(claims),
    }
    .unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let public = key.public_key().to_components();
    let (n, e) = (URL_SAFE_NO_PAD.encode(&public.n), URL_SAFE_NO_PAD.encode(&public.e));
    Signed {
        keys: set(&json!({"kty": "RSA", "n": n, "e": e}), algorithm),
        message: message.as_bytes().to_vec(),
        signature: URL_SAFE_NO_PAD.decode(signature).unwrap(),
        order: public.n,
    }
}

/// What both paths say, after a check that they say the same.
fn verdict(signed: &Signed, signature: &[u8]) -> bool {
    let [key] = signed.keys.keys() else { panic!("one key") };
    let mut boring = BoringHost::default();
    let own = key.verify(&signed.message, signature, &mut TestHost::default());
    let host = key.verify(&signed.message, signature, &mut boring);
    assert_eq!(own, host, "{signature:02x?}");
    assert!(boring.problems.is_empty(), "{:?}", boring.problems);
    own
}

/// `a - b` or `a + b` of big-endian numbers, modulo their length.
fn combine(a: &[u8], b: &[u8], sign: i16) -> Vec<u8> {
    let mut carry = 0;
    let mut result: Vec<u8> = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .map(|(a, b)| {
            let sum = i16::from(*a) + sign * i16::from(*b) + carry;
            carry = sum >> 8;
            (sum & 0xff) as u8
        })
        .collect();
    result.reverse();
    result
}

fn all() -> Vec<Signed> {
    vec![es256(), es384(), rsa(Algorithm::RS256), rsa(Algorithm::RS384), rsa(Algorithm::RS512)]
}

#[test]
fn good_signatures_are_good_on_both_paths() {
    for signed in all() {
        assert!(verdict(&signed, &signed.signature));
    }
}

#[test]
fn other_forms_of_a_good_signature_get_one_answer() {
    for signed in [es256(), es384()] {
        let (r, s) = signed.signature.split_at(signed.order.len());
        // RFC 7518 does not ask for a low s, so the other one is good too, on both paths.
        let other_s = combine(&signed.order, s, -1);
        assert!(verdict(&signed, &[r, &other_s].concat()));
        let (zero, n) = (vec![0; r.len()], signed.order.clone());
        for bad in [
            [s, r].concat(),
            [r, &zero].concat(),
            [&zero, s].concat(),
            [&zero[..], &zero].concat(),
            [r, &n].concat(),
            [&n, s].concat(),
            [r, &combine(s, &n, 1)].concat(),
            [&combine(r, &n, 1), s].concat(),
            [&[0], r, &[0], s].concat(),
            r.to_vec(),
        ] {
            assert!(!verdict(&signed, &bad));
        }
        // DER is how other protocols write it; in a JWS it is wrong.
        if let Ok(pair) = p256::ecdsa::Signature::from_slice(&signed.signature) {
            assert!(!verdict(&signed, pair.to_der().as_bytes()));
        }
    }
    for signed in [rsa(Algorithm::RS256), rsa(Algorithm::RS512)] {
        let s = &signed.signature;
        for bad in
            [[&[0], &s[..]].concat(), s[1..].to_vec(), combine(s, &signed.order, 1), signed.order.clone()]
        {
            assert!(!verdict(&signed, &bad));
        }
    }
}

#[test]
fn a_signature_is_not_good_for_another_digest() {
    let (a, b) = (rsa(Algorithm::RS256), rsa(Algorithm::RS512));
    assert!(!verdict(&a, &b.signature));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn bent_signatures_get_one_answer(which in 0usize..5, at in any::<prop::sample::Index>(), flip in 1u8..=255) {
        let signed = all().swap_remove(which);
        let mut signature = signed.signature.clone();
        let at = at.index(signature.len());
        signature[at] ^= flip;
        prop_assert!(!verdict(&signed, &signature));
    }

    #[test]
    fn arbitrary_signatures_get_one_answer(which in 0usize..5, signature in prop::collection::vec(any::<u8>(), 0..300)) {
        let signed = all().swap_remove(which);
        prop_assert!(!verdict(&signed, &signature));
    }
}
