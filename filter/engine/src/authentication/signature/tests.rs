use super::*;
use crate::host::testing::TestHost;
use proptest::prelude::*;

/// RFC 7515, appendix A: the payload of A.1, A.2 and A.3.
const PAYLOAD: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

struct Vector {
    section: &'static str,
    algorithm: Algorithm,
    jwks: &'static str,
    token: String,
}

fn vectors() -> Vec<Vector> {
    vec![
        Vector {
            section: "RFC 7515, A.1",
            algorithm: Algorithm::HS256,
            jwks: r#"{"keys":[{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]}"#,
            token: format!(
                "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
            ),
        },
        Vector {
            section: "RFC 7515, A.2",
            algorithm: Algorithm::RS256,
            jwks: r#"{"keys":[{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}]}"#,
            token: format!(
                "eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
            ),
        },
        Vector {
            section: "RFC 7515, A.3",
            algorithm: Algorithm::ES256,
            jwks: r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#,
            token: format!(
                "eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
            ),
        },
        Vector {
            section: "RFC 8037, A.4",
            algorithm: Algorithm::EdDSA,
            jwks: r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
            token: "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg".into(),
        },
    ]
}

fn check(token: &[u8], keys: &KeySet) -> Result<(), TokenError> {
    verify(&Jws::parse(token)?, keys, &mut TestHost::default())
}

#[test]
fn the_examples_of_the_rfcs_verify() {
    for vector in vectors() {
        let keys = KeySet::from_jwks(vector.jwks, &[vector.algorithm]).unwrap();
        assert_eq!(check(vector.token.as_bytes(), &keys), Ok(()), "{}", vector.section);
    }
}

#[test]
fn no_key_of_one_example_verifies_another() {
    for vector in vectors() {
        for other in vectors().iter().filter(|other| other.section != vector.section) {
            let keys = KeySet::from_jwks(other.jwks, &[other.algorithm]).unwrap();
            assert!(check(vector.token.as_bytes(), &keys).is_err(), "{}", vector.section);
        }
    }
}

#[test]
fn a_public_key_is_never_an_hmac_secret() {
    // RFC 8725, section 2.1: a token that says HS256, with the tag made from the bytes of the public key.
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let rsa = vectors().remove(1);
    let keys = KeySet::from_jwks(rsa.jwks, &[Algorithm::RS256]).unwrap();
    let Verifier::Rsa { key, .. } = &keys.keys()[0].verifier else { panic!("not an RSA key") };
    let input = format!("{}.{PAYLOAD}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#));
    let tag = HS256Key::from_bytes(&key.spki).authentication_tag(input.as_bytes());
    let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag));
    assert_eq!(check(token.as_bytes(), &keys), Err(TokenError::KeyUnknown { kid: None }));
}

#[test]
fn signatures_have_one_form() {
    for vector in vectors() {
        let keys = KeySet::from_jwks(vector.jwks, &[vector.algorithm]).unwrap();
        let jws = Jws::parse(vector.token.as_bytes()).unwrap();
        let verifier = &keys.keys()[0].verifier;
        let host = &mut TestHost::default();
        assert!(verifier.verify(jws.signing_input, &jws.signature, host), "{}", vector.section);
        let longer = [&jws.signature[..], &[0]].concat();
        let padded = [&[0][..], &jws.signature].concat();
        let shorter = &jws.signature[..jws.signature.len() - 1];
        for other in [&longer[..], &padded, shorter, &[]] {
            assert!(!verifier.verify(jws.signing_input, other, host), "{}", vector.section);
        }
        let zeros = vec![0; jws.signature.len()];
        let ones = vec![0xff; jws.signature.len()];
        for other in [zeros, ones] {
            assert!(!verifier.verify(jws.signing_input, &other, host), "{}", vector.section);
        }
    }
}

#[test]
fn secp256k1_takes_both_values_of_s_and_no_other_key() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use k256::ecdsa::signature::Signer as _;
    let signer = k256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let point = signer.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let key = Verifier::secp256k1(x, y).unwrap();
    let low: k256::ecdsa::Signature = signer.sign(b"a message");
    let high = k256::ecdsa::Signature::from_scalars(low.r(), -low.s()).unwrap();
    assert_ne!(low, high);
    let host = &mut Oracle { answer: Some(true), asked: false };
    for good in [low, high] {
        let good = good.to_bytes();
        assert!(key.verify(b"a message", &good, host));
        assert!(!key.verify(b"a massage", &good, host));
        let (r, s) = good.split_at(32);
        for bad in [
            [s, r].concat(),
            [r, &[0; 32]].concat(),
            [&[0; 32], s].concat(),
            [r, &[0xff; 32]].concat(),
            good[1..].to_vec(),
        ] {
            assert!(!key.verify(b"a message", &bad, host));
        }
    }
    assert!(!host.asked);
    assert!(Verifier::secp256k1(y, x).is_err());
    assert!(Verifier::secp256k1(&x[1..], y).is_err());
    // A point of one curve is not on the other.
    assert!(Verifier::p256(x, y).is_err());
    let jwk = |alg: &str| {
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        format!(r#"{{"keys":[{{"kty":"EC","crv":"secp256k1","alg":"{alg}","x":"{x}","y":"{y}"}}]}}"#)
    };
    assert!(KeySet::from_jwks(&jwk("ES256K"), &[Algorithm::ES256, Algorithm::ES256K]).is_ok());
    assert!(KeySet::from_jwks(&jwk("ES256"), &[Algorithm::ES256, Algorithm::ES256K]).is_err());
    assert!(KeySet::from_jwks(&jwk("ES256K"), &[Algorithm::ES256]).is_err());
}

/// A host that gives one answer to everything, and remembers whether it was asked.
struct Oracle {
    answer: Option<bool>,
    asked: bool,
}

impl Host for Oracle {
    fn peer_address(&mut self) -> Option<std::net::IpAddr> {
        None
    }

    fn load(&mut self, _: &str, _: &mut Vec<u8>) -> crate::host::Loaded {
        crate::host::Loaded::Failed
    }

    fn store(&mut self, _: &str, _: &[u8], _: Option<u32>) -> crate::host::Stored {
        crate::host::Stored::Failed
    }

    fn verify_signature(&mut self, _: Digest, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        self.asked = true;
        self.answer
    }
}

#[test]
fn the_host_is_asked_for_what_it_can_and_only_for_that() {
    for vector in vectors() {
        let keys = KeySet::from_jwks(vector.jwks, &[vector.algorithm]).unwrap();
        let jws = Jws::parse(vector.token.as_bytes()).unwrap();
        let hosted = matches!(vector.algorithm, Algorithm::RS256 | Algorithm::ES256);
        for (answer, expected) in [(None, true), (Some(true), true), (Some(false), !hosted)] {
            let mut oracle = Oracle { answer, asked: false };
            assert_eq!(verify(&jws, &keys, &mut oracle).is_ok(), expected, "{}", vector.section);
            assert_eq!(oracle.asked, hosted, "{}", vector.section);
        }
        // What the engine itself can refuse never gets to the host.
        let mut short = Jws::parse(vector.token.as_bytes()).unwrap();
        short.signature.pop();
        let mut oracle = Oracle { answer: Some(true), asked: false };
        assert_eq!(verify(&short, &keys, &mut oracle), Err(TokenError::Signature));
        assert!(!oracle.asked, "{}", vector.section);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_token_never_verifies(which in 0usize..4, at in any::<prop::sample::Index>(), flip in 1u8..=255) {
        let vector = vectors().remove(which);
        let keys = KeySet::from_jwks(vector.jwks, &[vector.algorithm]).unwrap();
        let mut token = vector.token.into_bytes();
        let at = at.index(token.len());
        token[at] ^= flip;
        prop_assert!(check(&token, &keys).is_err());
    }

    #[test]
    fn a_token_cut_or_extended_never_verifies(which in 0usize..4, at in any::<prop::sample::Index>(), tail in "[A-Za-z0-9_.=-]{0,3}") {
        let vector = vectors().remove(which);
        let keys = KeySet::from_jwks(vector.jwks, &[vector.algorithm]).unwrap();
        let cut = at.index(vector.token.len());
        let token = [&vector.token.as_bytes()[..cut], tail.as_bytes()].concat();
        prop_assume!(token != vector.token.as_bytes());
        prop_assert!(check(&token, &keys).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Jws::parse(&bytes).is_err());
    }
}

proptest! {
    #[test]
    fn arbitrary_headers_do_not_panic(header in "\\PC{0,60}", payload in "[A-Za-z0-9_-]{0,20}", signature in "[A-Za-z0-9_-]{0,20}") {
        use base64::Engine as _;
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header);
        let _ = Jws::parse(format!("{header}.{payload}.{signature}").as_bytes());
    }
}
