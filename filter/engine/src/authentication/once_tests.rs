//! What works once: when it is used up, and whose it is.

use super::dpop::plan::DpopPlan;
use super::plan::*;
use super::revocation::plan::RevocationPlan;
use super::signed::plan::*;
use super::tests::{plan, surroundings};
use super::*;
use crate::host::testing::TestHost;
use crate::intake::{self, plan::IntakePlan, request::Headers};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jwt_simple::prelude::{HS256Key, MACLike as _};
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};
use superboring::reexports::hmac_sha256::{HMAC, Hash};

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"a test secret, thirty-two bytes!";

fn secret(_: &str) -> Option<Vec<u8>> {
    Some(SECRET.to_vec())
}

fn bearer(scheme: &str, subject: &str, jkt: Option<&str>) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let mut claims =
        json!({"iss": "https://login.example.com/", "aud": "api", "sub": subject, "exp": NOW + 600});
    if let Some(jkt) = jkt {
        claims["cnf"] = json!({"jkt": jkt});
    }
    let input = format!("{}.{}", part(&json!({"alg": "HS256"})), part(&claims));
    let tag = HS256Key::from_bytes(SECRET).authentication_tag(input.as_bytes());
    format!("{scheme} {input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn send(
    room: &mut Authenticator,
    combination: usize,
    headers: &[(&str, &str)],
    host: &mut TestHost,
) -> Result<(), Reason> {
    let pseudo = [(":method", "GET"), (":authority", "api.example.com"), (":path", "/")];
    let pairs: Vec<_> = pseudo.iter().chain(headers).map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let admission = intake::admit(&IntakePlan::default(), Headers::new(&pairs)).unwrap();
    let (charged, now) = (AddressCharged::for_test(), Now::from_secs(NOW));
    let trace = &mut Trace::off();
    let known = room.authenticate(combination, &admission.request, &charged, now, host, trace);
    known.map(drop).map_err(|refusal| refusal.reason)
}

fn combination(mode: CombinationMode, methods: &[MethodRef]) -> CombinationPlan {
    CombinationPlan { mode, methods: methods.to_vec() }
}

/// A proof by the key of this number, and the thumbprint of the key.
fn proof(key: u8, name: &str, made: u64, authorization: &str) -> (String, String) {
    let key = p256::ecdsa::SigningKey::from_slice(&[key; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = (b64(point.x().unwrap()), b64(point.y().unwrap()));
    let jkt = Hash::hash(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#).as_bytes());
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk});
    let token = authorization.trim_start_matches("DPoP ");
    let ath = b64(&Hash::hash(token.as_bytes()));
    let uri = "https://api.example.com/";
    let claims = json!({"jti": name, "htm": "GET", "htu": uri, "iat": made, "ath": ath});
    let input = format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims.to_string().as_bytes()));
    let signature: p256::ecdsa::Signature = key.sign(input.as_bytes());
    (format!("{input}.{}", b64(&signature.to_bytes())), b64(&jkt))
}

/// A room that takes tokens with proofs, with or without a list of what is revoked that is fetched.
fn proofs(fetched: bool) -> Authenticator {
    let mut jwt = plan("corp");
    jwt.from = vec![TokenSource::Header { name: "authorization".into(), scheme: Some("DPoP".into()) }];
    jwt.binding.dpop = Some(DpopPlan {
        algorithms: vec![Algorithm::ES256],
        max_age_s: 60,
        leeway_s: 5,
        origins: Vec::new(),
        nonce: None,
        replay_entries: 1024,
    });
    let feeds = serde_json::from_value(json!([{
        "name": "revoked", "at": "bundle.yaml:1", "kind": "revocations",
        "from": {"place": {"cluster": "idp", "authority": "issuer.example", "path": "/k"}},
        "refresh_ms": 600_000, "min_refresh_ms": 30_000, "timeout_ms": 5_000, "max_bytes": 65_536,
    }]));
    let list = Default::default();
    let revoked =
        RevocationPlan { at: "bundle.yaml:2".into(), require: Vec::new(), list, feed: fetched.then_some(0) };
    let plan = AuthenticationPlan {
        jwt: vec![jwt],
        combinations: vec![combination(CombinationMode::Any, &[MethodRef::Jwt(0)])],
        revoked: Some(revoked),
        feeds: feeds.unwrap(),
        ..Default::default()
    };
    Authenticator::load(&plan, "edge", &surroundings(&secret)).unwrap()
}

#[test]
fn a_proof_is_not_used_up_by_waiting() {
    let mut room = proofs(true);
    let host = &mut TestHost::default();
    let authorization = bearer("DPoP", "alice", Some(&proof(7, "", 0, "").1));
    let (proof, _) = proof(7, "one", NOW, &authorization);
    let headers = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
    assert_eq!(send(&mut room, 0, &headers, host), Err(Reason::KeysUnavailable));
    assert!(room.missed().is_some());
    room.take(0, br#"{"version":1}"#).unwrap();
    assert_eq!(send(&mut room, 0, &headers, host), Ok(()));
    assert_eq!(send(&mut room, 0, &headers, host), Err(Reason::ProofReplayed));
}

#[test]
fn whoever_makes_many_proofs_shuts_out_few_others() {
    let mut room = proofs(false);
    let host = &mut TestHost::default();
    let mut sent = |key: u8, name: &str, made: u64| {
        let authorization = bearer("DPoP", &format!("client {key}"), Some(&proof(key, "", 0, "").1));
        let (proof, _) = proof(key, name, made, &authorization);
        send(&mut room, 0, &[("authorization", &authorization), ("dpop", &proof)], host)
    };
    for n in 0..400 {
        let _ = sent(200, &format!("m{n}"), NOW + 5);
    }
    assert_eq!(sent(200, "late", NOW), Err(Reason::ProofReplayed), "his share is full");
    let refused = (1..33).filter(|key| sent(*key, "fresh", NOW).is_err()).count();
    assert!(refused < 16, "{refused} of 32 others");
}

/// A signature of the key `k` over the path, by what `name` says besides.
fn signature(nonce: &str) -> (String, String) {
    let parameters = format!("(\"@path\");created={NOW};keyid=\"k\";nonce=\"{nonce}\"");
    let base = format!("\"@path\": /\n\"@signature-params\": {parameters}");
    let tag = HMAC::mac(base.as_bytes(), SECRET);
    (format!("s={parameters}"), format!("s=:{}:", STANDARD.encode(tag)))
}

#[test]
fn a_signature_is_used_up_by_its_own_request_and_by_no_other() {
    let key = KeyPlan {
        id: "k".into(),
        client: "mallory".into(),
        roles: Vec::new(),
        permissions: Vec::new(),
        algorithm: SignatureAlgorithm::HmacSha256,
        material: KeyMaterial::Secret { env: "X".into() },
        not_before: None,
        expires: None,
    };
    let form = FormPlan::MessageSignatures {
        label: None,
        tag: None,
        cover: vec!["@path".into()],
        scheme: None,
        offer: false,
    };
    let signed = SignedRequestsPlan {
        name: "partners".into(),
        at: "bundle.yaml:1".into(),
        form,
        keys: vec![key],
        window_s: 300,
        ahead_s: 60,
        forward_signature: true,
        forward_claims: Vec::new(),
    };
    let plan = AuthenticationPlan {
        jwt: vec![plan("corp")],
        signed_requests: vec![signed],
        combinations: vec![
            combination(CombinationMode::All, &[MethodRef::SignedRequests(0), MethodRef::Jwt(0)]),
            combination(CombinationMode::Any, &[MethodRef::Jwt(0)]),
        ],
        ..Default::default()
    };
    let mut room = Authenticator::load(&plan, "edge", &surroundings(&secret)).unwrap();
    let host = &mut TestHost::default();
    let (input, signed) = signature("n");
    let (mallory, alice) = (bearer("Bearer", "mallory", None), bearer("Bearer", "alice", None));
    let half = [("signature-input", input.as_str()), ("signature", signed.as_str())];
    let whole = [half[0], half[1], ("authorization", mallory.as_str())];
    let stranger = [("authorization", alice.as_str())];
    assert_eq!(send(&mut room, 0, &half, host), Err(Reason::TokenMissing));
    assert_eq!(send(&mut room, 1, &stranger, host), Ok(()));
    assert_eq!(send(&mut room, 0, &whole, host), Ok(()), "what was refused is not used up");
    assert_eq!(send(&mut room, 0, &half, host), Err(Reason::TokenMissing));
    assert_eq!(send(&mut room, 1, &stranger, host), Ok(()), "a stranger answers for nobody else");
    assert_eq!(send(&mut room, 0, &whole, host), Err(Reason::SignatureReplayed));

    let pseudo = [(":method", "GET"), (":authority", "api.example.com"), (":path", "/")];
    let pairs: Vec<_> = pseudo.iter().chain(&half).map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let admission = intake::admit(&IntakePlan::default(), Headers::new(&pairs)).unwrap();
    let mut edits = Vec::new();
    room.remove_credentials(&admission.request, None, &mut edits);
    assert_eq!(edits.len(), 2, "nobody judged the signature: upstream must not take it for judged");
}
