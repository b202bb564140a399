use super::*;
use serde_json::json;

const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

fn rsa(extra: Value) -> Value {
    with(json!({"kty": "RSA", "n": N, "e": "AQAB"}), extra)
}

/// RFC 7515, A.3.1.
fn ec(extra: Value) -> Value {
    let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    with(json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}), extra)
}

/// RFC 8037, A.2.
fn okp(extra: Value) -> Value {
    with(json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}), extra)
}

fn oct(extra: Value) -> Value {
    with(json!({"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}), extra)
}

/// Members of `extra` replace those of the key; `null` removes them.
fn with(mut jwk: Value, extra: Value) -> Value {
    let (Value::Object(members), Value::Object(extra)) = (&mut jwk, extra) else { panic!("objects") };
    for (name, value) in extra {
        if value.is_null() {
            members.remove(&name);
        } else {
            members.insert(name, value);
        }
    }
    jwk
}

fn set(keys: &[Value]) -> Result<KeySet, KeyError> {
    KeySet::from_jwks(&json!({ "keys": keys }).to_string(), &Algorithm::ALL)
}

fn problem(keys: &[Value]) -> String {
    set(keys).unwrap_err().to_string()
}

fn header(algorithm: Algorithm, kid: Option<&str>) -> Header {
    Header { algorithm, kid: kid.map(str::to_owned), typ: None }
}

#[test]
fn good_keys_are_read_and_bound_to_one_algorithm() {
    let set = set(&[
        rsa(json!({"kid": "r", "alg": "RS256", "use": "sig", "x5t": "ignored", "key_ops": ["verify"]})),
        rsa(json!({"kid": "p", "alg": "PS512"})),
        ec(json!({"kid": "e"})),
        okp(json!({"kid": "o", "alg": "Ed25519"})),
    ])
    .unwrap();
    let found: Vec<_> = set.keys().iter().map(|k| (k.kid.as_deref().unwrap(), k.algorithm)).collect();
    assert_eq!(
        found,
        [("r", Algorithm::RS256), ("p", Algorithm::PS512), ("e", Algorithm::ES256), ("o", Algorithm::EdDSA)]
    );
}

#[test]
fn one_malformed_key_refuses_the_set() {
    let good = ec(json!({"kid": "good"}));
    for (bad, place) in [
        (json!("key"), "keys[1]: "),
        (ec(json!({"kty": null})), "keys[1].kty: "),
        (ec(json!({"kty": 1})), "keys[1].kty: "),
        (ec(json!({"kid": 1})), "keys[1].kid: "),
        (ec(json!({"kid": ""})), "keys[1].kid: "),
        (ec(json!({"use": ["sig"]})), "keys[1].use: "),
        (ec(json!({"key_ops": "verify"})), "keys[1].key_ops: "),
        (ec(json!({"key_ops": ["verify", "verify"]})), "keys[1].key_ops: "),
        (ec(json!({"crv": null})), "keys[1].crv: "),
        (ec(json!({"x": null})), "keys[1].x: "),
        (ec(json!({"x": "AA"})), "keys[1].x: "),
        (ec(json!({"y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1"})), "keys[1].y: "),
        (ec(json!({"y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5aw"})), "keys[1].x: not a point"),
        (ec(json!({"crv": "P-384"})), "keys[1].x: a coordinate is not 48 bytes"),
        (ec(json!({"alg": "ES384"})), "keys[1].alg: "),
        (ec(json!({"alg": "HS256"})), "keys[1].alg: "),
        (ec(json!({"d": "AAAA"})), "keys[1]: holds the private half"),
        (rsa(json!({"alg": "RS256", "d": "AAAA"})), "keys[1]: holds the private half"),
        (okp(json!({"d": "AAAA"})), "keys[1]: holds the private half"),
        (rsa(json!({"alg": "ES256"})), "keys[1].alg: "),
        (rsa(json!({})), "keys[1].alg: missing, and the policy accepts RS256 and RS384"),
        (rsa(json!({"alg": "RS256", "e": "AQ"})), "keys[1].n: not an RSA modulus"),
        (rsa(json!({"alg": "RS256", "e": "Aw"})), "keys[1].n: not an RSA modulus"),
        (rsa(json!({"alg": "RS256", "e": "AAEAAQ"})), "keys[1].e: empty or with leading zeros"),
        (rsa(json!({"alg": "RS256", "n": ""})), "keys[1].n: "),
        (rsa(json!({"alg": "RS256", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTY"})), "keys[1].n: "),
        (rsa(json!({"alg": "RS256", "n": format!("{N}==")})), "keys[1].n: not canonical"),
        (okp(json!({"x": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})), "keys[1].x: not an Ed25519"),
        (okp(json!({"x": "AA"})), "keys[1].x: not an Ed25519"),
        (ec(json!({"kid": "good"})), "keys[1].kid: another key has this name"),
    ] {
        let found = problem(&[good.clone(), bad.clone()]);
        assert!(found.starts_with(place), "{bad}: {found}");
    }
}

#[test]
fn a_malformed_key_that_would_not_be_used_still_refuses_the_set() {
    let json = json!({"keys": [ec(json!({})), rsa(json!({"alg": "RS256", "n": "AAAA"}))]}).to_string();
    let error = KeySet::from_jwks(&json, &[Algorithm::ES256]).unwrap_err();
    assert_eq!(error.place, "keys[1].n");
}

#[test]
fn keys_for_other_purposes_are_left_out() {
    let set = set(&[
        ec(json!({"kid": "good"})),
        rsa(json!({"use": "enc"})),
        rsa(json!({"key_ops": ["encrypt"]})),
        rsa(json!({"alg": "RSA-OAEP"})),
        ec(json!({"crv": "P-521"})),
        okp(json!({"crv": "X25519"})),
        json!({"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA"}),
    ])
    .unwrap();
    assert_eq!(set.keys().len(), 1);
    let left: Vec<_> = set.left_out().iter().map(|l| l.index).collect();
    assert_eq!(left, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_set_without_a_usable_key_is_refused() {
    assert!(problem(&[rsa(json!({"use": "enc"}))]).contains("no key can verify a token (keys[0] is not for"));
    assert!(problem(&[]).starts_with("keys: 0 keys"));
    let only_es = KeySet::from_jwks(&json!({"keys": [ec(json!({}))]}).to_string(), &[Algorithm::RS256]);
    assert!(only_es.unwrap_err().problem.contains("fits no algorithm"));
    for json in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert!(KeySet::from_jwks(json, &Algorithm::ALL).is_err(), "{json}");
    }
}

#[test]
fn secrets_and_public_keys_do_not_mix() {
    let secret = oct(json!({"kid": "s", "alg": "HS256"}));
    assert!(set(std::slice::from_ref(&secret)).is_ok());
    let found = problem(&[secret.clone(), ec(json!({}))]);
    assert!(found.contains("mixes shared secrets with public keys"), "{found}");
    assert!(problem(&[secret, rsa(json!({"use": "enc"}))]).contains("mixes"));
}

#[test]
fn secrets_are_long_enough() {
    let thirty_one = vec![7; 31];
    let found = KeySet::from_secret(&thirty_one, &[Algorithm::HS256]).unwrap_err().to_string();
    assert_eq!(found, "the secret has 31 bytes; HS256 needs at least 32");
    assert!(KeySet::from_secret(&[7; 32], &[Algorithm::HS256]).is_ok());
    assert!(KeySet::from_secret(&[7; 47], &[Algorithm::HS384]).is_err());
    assert!(KeySet::from_secret(&[7; 63], &[Algorithm::HS512]).is_err());
    assert!(KeySet::from_secret(&[7; 64], &[Algorithm::HS256, Algorithm::HS512]).is_err());
    assert!(KeySet::from_secret(&[7; 64], &[Algorithm::RS256]).is_err());
}

#[test]
fn a_named_key_is_the_only_candidate() {
    let set = set(&[ec(json!({"kid": "a"})), ec(json!({"kid": "b"})), okp(json!({"kid": "c"}))]).unwrap();
    let names = |algorithm, kid| -> Result<Vec<String>, TokenError> {
        Ok(set.candidates(&header(algorithm, kid))?.map(|k| k.kid.clone().unwrap()).collect())
    };
    assert_eq!(names(Algorithm::ES256, Some("b")), Ok(vec!["b".into()]));
    assert_eq!(names(Algorithm::ES256, None), Ok(vec!["a".into(), "b".into()]));
    let unknown = |kid: Option<&str>| Err(TokenError::KeyUnknown { kid: kid.map(str::to_owned) });
    assert_eq!(names(Algorithm::ES256, Some("c")), unknown(Some("c")), "another algorithm's key");
    assert_eq!(names(Algorithm::ES256, Some("x")), unknown(Some("x")));
    assert_eq!(names(Algorithm::RS256, None), unknown(None));
}

#[test]
fn keys_without_a_name_are_tried_when_the_name_is_unknown() {
    let set = set(&[ec(json!({})), ec(json!({"kid": "b"}))]).unwrap();
    let count = |kid| set.candidates(&header(Algorithm::ES256, kid)).map(Iterator::count);
    assert_eq!(count(Some("anything")), Ok(1));
    assert_eq!(count(Some("b")), Ok(1));
    assert_eq!(count(None), Ok(2));
}

#[test]
fn tries_are_bounded() {
    let named: Vec<_> = (0..5).map(|i| ec(json!({"kid": format!("k{i}")}))).collect();
    let keys = set(&named).unwrap();
    assert_eq!(
        keys.candidates(&header(Algorithm::ES256, None)).map(Iterator::count),
        Err(TokenError::TooManyKeys { keys: 5 })
    );
    assert_eq!(keys.candidates(&header(Algorithm::ES256, Some("k4"))).map(Iterator::count), Ok(1));
    assert!(set(&named[..4]).unwrap().candidates(&header(Algorithm::ES256, None)).is_ok());
    let unnamed: Vec<_> = (0..5).map(|_| ec(json!({}))).collect();
    assert!(problem(&unnamed).contains("more than 4 keys without `kid` for ES256"));
}

#[test]
fn nothing_secret_is_shown() {
    let set = KeySet::from_secret(b"correct horse battery staple.....", &[Algorithm::HS256]).unwrap();
    let shown = format!("{set:?}");
    assert!(!shown.contains("horse") && !shown.contains("99, 111"), "{shown}");
}
