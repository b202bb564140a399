//! Whole artifacts: what is admitted, and that nothing else is.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use p256::ecdsa::signature::Signer as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::dsse::{PAYLOAD_TYPE, preamble};
use super::key::PublicKey;
use super::trust::{TrustPlan, TrustedKey};
use super::*;

pub(crate) const NOW: u64 = 1_800_000_000;

/// Signs with keys of both kinds: even numbers are Ed25519, odd ones P-256.
struct Signer(u8);

impl Signer {
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        if self.0.is_multiple_of(2) {
            self.ed25519().sk.sign(message, None).to_vec()
        } else {
            let signature: p256::ecdsa::Signature = self.p256().sign(message);
            signature.to_der().as_bytes().to_vec()
        }
    }

    fn ed25519(&self) -> ed25519_compact::KeyPair {
        ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([self.0; 32]))
    }

    fn p256(&self) -> p256::ecdsa::SigningKey {
        p256::ecdsa::SigningKey::from_slice(&[self.0; 32]).unwrap()
    }

    fn public(&self) -> PublicKey {
        if self.0.is_multiple_of(2) {
            PublicKey::ed25519(&self.ed25519().pk[..]).unwrap()
        } else {
            let point = self.p256().verifying_key().to_sec1_point(false);
            PublicKey::p256(&point.as_bytes()[1..33], &point.as_bytes()[33..]).unwrap()
        }
    }
}

fn pem(key: &PublicKey) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(key.spki()))
}

fn key(number: u8) -> TrustedKey {
    TrustedKey { pem: Some(pem(&Signer(number).public())), ..TrustedKey::default() }
}

pub(crate) fn trust(keys: &[u8], threshold: usize) -> Trust {
    let keys = keys.iter().map(|number| key(*number)).collect();
    Trust::load(&TrustPlan { keys, threshold, name: None }).unwrap()
}

fn payload() -> Value {
    json!({
        "builder": {"name": "bartizan", "version": "0.1.0", "by": "ci"},
        "labels": {"team": "edge"},
        "not_before": NOW - 10,
        "expires": NOW + 10,
        "sources": {"bundle.yaml": format!("sha256:{}", "0f".repeat(32))},
        "plan": {
            "plan_version": 1, "name": "edge", "revision": 7,
            "intake": {"max_path_bytes": 100, "max_query_bytes": 100, "max_query_parameters": 9, "max_headers": 20,
                       "max_headers_bytes": 4000, "max_header_value_bytes": 2000},
            "network": {"trusted_hops": 0, "deny": [], "allow": []},
            "authentication": {"jwt": []},
            "authorization": {"roles": [], "requirements": []},
            "limits": [],
            "validation": {"bodies": [{"at": "", "max_bytes": 0, "required": false, "content": []}], "schemas": [],
                "inspections": [{"sqli": false, "xss": false, "traversal": false, "path": false, "query": false,
                                 "headers": [], "cookies": false, "body": false}]},
            "headers": {"request": {"remove": [], "set": [], "add": []}, "response": {"remove": [], "set": [], "add": []}},
            "routes": [{"id": "open", "at": "bundle.yaml:2", "path": "/", "methods": ["GET"], "hosts": [],
                        "access": "public", "limits": [], "body": 0, "inspection": 0}],
        },
    })
}

fn entry(number: u8, body: &[u8]) -> Value {
    let signer = Signer(number);
    let message = [preamble(PAYLOAD_TYPE, body).as_bytes(), body].concat();
    json!({"keyid": signer.public().id(), "sig": STANDARD.encode(signer.sign(&message))})
}

fn envelope(body: &[u8], signatures: &[Value]) -> Vec<u8> {
    let envelope =
        json!({"payload": STANDARD.encode(body), "payloadType": PAYLOAD_TYPE, "signatures": signatures});
    envelope.to_string().into_bytes()
}

/// A text signed by these keys, whatever it says.
fn signed_text(body: &str, signers: &[u8]) -> Vec<u8> {
    let signatures: Vec<_> = signers.iter().map(|number| entry(*number, body.as_bytes())).collect();
    envelope(body.as_bytes(), &signatures)
}

pub(crate) fn signed(payload: &Value, signers: &[u8]) -> Vec<u8> {
    signed_text(&canonical::write(payload), signers)
}

pub(crate) fn with(pointer: &str, value: Value) -> Value {
    let mut payload = payload();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = payload.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(name)
    } else {
        parent.insert(name.to_owned(), value)
    };
    payload
}

fn kind(bytes: &[u8], trust: &Trust) -> Result<(), Kind> {
    admit(bytes, trust, NOW, None).map(drop).map_err(|refused| refused.kind)
}

#[test]
fn a_good_artifact_is_admitted_and_loads() {
    for signers in [&[2, 3][..], &[3, 2], &[2, 3, 9]] {
        let admitted = admit(&signed(&payload(), signers), &trust(&[2, 3, 4], 2), NOW, None).unwrap();
        assert_eq!((admitted.plan().name.as_str(), admitted.plan().revision), ("edge", 7));
        assert_eq!(admitted.about().labels["team"], "edge");
        assert_eq!(admitted.about().builder.by.as_deref(), Some("ci"));
        assert_eq!(admitted.digest(), key::sha256(canonical::write(&payload()).as_bytes()));
        let ids: BTreeSet<_> = admitted.signers().iter().cloned().collect();
        assert_eq!(ids, [2, 3].map(|number| Signer(number).public().id().to_owned()).into());
        let surroundings =
            Surroundings { secret: &|_| None, seed: [1, 2], peer_appended: false, peer_verified: true };
        assert_eq!(admitted.load(&surroundings).unwrap().revision(), 7);
    }
}

#[test]
fn keys_are_counted_and_not_signatures() {
    let body = canonical::write(&payload());
    let (two, three) = (entry(2, body.as_bytes()), entry(3, body.as_bytes()));
    let without = |entry: &Value, keyid: Value| json!({"keyid": keyid, "sig": entry["sig"]});
    let both = trust(&[2, 3], 2);
    let of = |signatures: &[Value]| kind(&envelope(body.as_bytes(), signatures), &both);
    let few = Err(Kind::TooFewSignatures);
    assert_eq!(of(&[]), few);
    assert_eq!(of(std::slice::from_ref(&two)), few);
    // The same signature under every name it may go by.
    assert_eq!(of(&[two.clone(), two.clone(), without(&two, json!("")), without(&two, Value::Null)]), few);
    assert_eq!(of(&[two.clone(), without(&two, three["keyid"].clone())]), few);
    // A second good signature of the same ECDSA key: (r, n - s).
    let pair =
        p256::ecdsa::Signature::from_der(&STANDARD.decode(three["sig"].as_str().unwrap()).unwrap()).unwrap();
    let (r, s) = pair.split_scalars();
    let twin = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    let twin = json!({"sig": STANDARD.encode(twin.to_der().as_bytes())});
    assert_ne!(twin["sig"], three["sig"]);
    assert_eq!(of(&[three.clone(), twin.clone()]), few);
    assert_eq!(of(&[twin, two.clone()]), Ok(()));
    // Names are hints: none at all is tried with every key, one of nobody with none.
    assert_eq!(of(&[without(&two, Value::Null), without(&three, json!(""))]), Ok(()));
    assert_eq!(of(&[without(&two, json!("somebody")), three.clone()]), few);
    assert_eq!(of(&[json!({"keyid": two["keyid"], "sig": three["sig"]}), three.clone()]), few);
    // What is no signature at all does no harm, up to the cap.
    let junk = json!({"keyid": "", "sig": STANDARD.encode([0; 64])});
    assert_eq!(of(&[junk.clone(), two.clone(), junk.clone(), three.clone()]), Ok(()));
    // A bounded amount of work, whatever comes.
    let many: Vec<_> = std::iter::repeat_n(junk, 14).chain([two, three]).collect();
    assert_eq!(of(&many), Ok(()));
}

#[test]
fn a_signature_has_one_encoding() {
    let body = canonical::write(&payload());
    let der = STANDARD.decode(entry(3, body.as_bytes())["sig"].as_str().unwrap()).unwrap();
    let raw = p256::ecdsa::Signature::from_der(&der).unwrap().to_bytes().to_vec();
    let long_length = [&[0x30, 0x81, der[1]][..], &der[2..]].concat();
    let mut padded = der.clone();
    padded.insert(4, 0);
    padded[1] += 1;
    padded[3] += 1;
    let trailing = [&der[..], &[0]].concat();
    let one = trust(&[3], 1);
    let of = |sig: &[u8]| kind(&envelope(body.as_bytes(), &[json!({"sig": STANDARD.encode(sig)})]), &one);
    assert_eq!(of(&der), Ok(()));
    for sig in [raw, long_length, padded, trailing, vec![], vec![0x30, 6, 2, 1, 0, 2, 1, 0]] {
        assert_eq!(of(&sig), Err(Kind::TooFewSignatures), "{sig:02x?}");
    }
}

#[test]
fn what_was_signed_for_something_else_counts_for_nothing() {
    let body = canonical::write(&payload());
    let one = trust(&[2], 1);
    for message in [
        body.clone().into_bytes(),
        [preamble("application/json", body.as_bytes()).as_bytes(), body.as_bytes()].concat(),
        [preamble(PAYLOAD_TYPE, &[]).as_bytes(), body.as_bytes()].concat(),
    ] {
        let sig = json!({"sig": STANDARD.encode(Signer(2).sign(&message))});
        assert_eq!(kind(&envelope(body.as_bytes(), &[sig]), &one), Err(Kind::TooFewSignatures));
    }
}

#[test]
fn every_kind_of_bad_payload_has_its_name() {
    let one = trust(&[2], 1);
    let of = |payload: &Value| kind(&signed(payload, &[2]), &one);
    assert_eq!(of(&payload()), Ok(()));
    for (pointer, value, expected) in [
        ("/plan/plan_version", json!(2), Kind::PlanVersion),
        ("/plan/plan_version", Value::Null, Kind::PayloadInvalid),
        ("/plan/name", json!("Edge"), Kind::PayloadInvalid),
        ("/plan/name", json!(""), Kind::PayloadInvalid),
        ("/plan/revision", json!(0), Kind::PayloadInvalid),
        ("/plan/revision", json!(9_007_199_254_740_992_u64), Kind::PayloadInvalid),
        ("/plan/revision", json!(9_007_199_254_740_993_u64), Kind::NotCanonical),
        ("/plan/revision", json!(-1), Kind::PayloadInvalid),
        ("/plan/revision", json!("7"), Kind::PayloadInvalid),
        ("/plan/extra", json!(1), Kind::PlanInvalid),
        ("/plan/routes", Value::Null, Kind::PlanInvalid),
        ("/plan", Value::Null, Kind::PayloadInvalid),
        ("/extra", json!(1), Kind::PayloadInvalid),
        ("/builder", Value::Null, Kind::PayloadInvalid),
        ("/builder/by", json!("a\nb"), Kind::PayloadInvalid),
        ("/builder/extra", json!(1), Kind::PayloadInvalid),
        ("/labels", json!({"": "x"}), Kind::PayloadInvalid),
        ("/labels", json!({"a": 1}), Kind::PayloadInvalid),
        ("/sources", Value::Null, Kind::PayloadInvalid),
        ("/sources", json!({"a": "sha256:0F"}), Kind::PayloadInvalid),
        ("/sources", json!({"a": format!("md5:{}", "0".repeat(64))}), Kind::PayloadInvalid),
        ("/expires", json!(NOW - 20), Kind::PayloadInvalid),
        ("/expires", json!(1.5), Kind::PayloadInvalid),
        ("/expires", json!("never"), Kind::PayloadInvalid),
        ("/when_expired", json!("keep"), Kind::PayloadInvalid),
        ("/when_expired", json!("Refuse"), Kind::PayloadInvalid),
        ("/when_expired", json!(true), Kind::PayloadInvalid),
        ("/expires", json!(NOW), Kind::Expired),
        ("/expires", json!(NOW + 1), Kind::NotYetValid),
    ] {
        let mut payload = with(pointer, value);
        if expected == Kind::NotYetValid {
            payload["not_before"] = json!(NOW + 1);
            payload["expires"] = json!(NOW + 2);
        }
        assert_eq!(of(&payload), Err(expected), "{pointer}");
    }
    for pointer in ["/labels", "/builder/by", "/not_before", "/expires"] {
        assert_eq!(of(&with(pointer, Value::Null)), Ok(()), "{pointer} may be missing");
    }
    for (value, read) in
        [(Value::Null, payload::WhenExpired::Keep), (json!("refuse"), payload::WhenExpired::Refuse)]
    {
        let admitted = admit(&signed(&with("/when_expired", value), &[2]), &one, NOW, None).unwrap();
        assert_eq!(admitted.about().when_expired, read);
    }
    let null = canonical::write(&payload()).replace(&format!("\"expires\":{}", NOW + 10), "\"expires\":null");
    assert_eq!(kind(&signed_text(&null, &[2]), &one), Err(Kind::PayloadInvalid));
    assert_eq!(
        kind(&signed_text(&payload().to_string().replace(':', ": "), &[2]), &one),
        Err(Kind::NotCanonical)
    );
    // With a plan that reads and does not load.
    let mut payload = payload();
    payload["plan"]["routes"][0]["limits"] = json!([5]);
    let admitted = admit(&signed(&payload, &[2]), &one, NOW, None).unwrap();
    let surroundings =
        Surroundings { secret: &|_| None, seed: [1, 2], peer_appended: false, peer_verified: true };
    assert_eq!(
        admitted.load(&surroundings).map(drop).map_err(|refused| refused.kind),
        Err(Kind::PlanInvalid)
    );
}

#[test]
fn the_edges_of_time_are_where_they_are_said_to_be() {
    let (bytes, one) = (signed(&payload(), &[2]), trust(&[2], 1));
    let at = |now| admit(&bytes, &one, now, None).map(drop).map_err(|refused| refused.kind);
    assert_eq!(at(NOW - 11), Err(Kind::NotYetValid));
    assert_eq!(at(NOW - 10), Ok(()));
    assert_eq!(at(NOW + 9), Ok(()));
    assert_eq!(at(NOW + 10), Err(Kind::Expired));
    assert_eq!((at(0), at(u64::MAX)), (Err(Kind::NotYetValid), Err(Kind::Expired)));
}

#[test]
fn the_time_is_judged_last_and_by_itself() {
    // What is wrong at any time is told before what is wrong now: whoever puts the time off has seen all the rest.
    let one = trust(&[2], 1);
    let mut early = payload();
    early["not_before"] = json!(NOW + 1);
    let vouched = vouch(&signed(&early, &[2]), &one, None).unwrap();
    assert_eq!(vouched.in_time(NOW).map_err(|refused| refused.kind), Err(Kind::NotYetValid));
    assert_eq!(vouched.in_time(NOW + 1), Ok(()));
    assert_eq!(vouched.admit(NOW).map(drop).map_err(|refused| refused.kind), Err(Kind::NotYetValid));
    early["plan"]["routes"] = json!(5);
    for at in [0, NOW, u64::MAX] {
        let refused = admit(&signed(&early, &[2]), &one, at, None).unwrap_err();
        assert_eq!(refused.kind, Kind::PlanInvalid, "at {at}");
    }
    let order = |kind| Kind::ALL.iter().position(|other| *other == kind).unwrap();
    assert_eq!(order(Kind::NotYetValid) + 2, Kind::ALL.len());
    assert_eq!(order(Kind::Expired) + 1, Kind::ALL.len());
}

#[test]
fn revisions_only_grow() {
    let (bytes, one) = (signed(&payload(), &[2]), trust(&[2], 1));
    let digest = admit(&bytes, &one, NOW, None).unwrap().digest();
    let over = |revision, digest| {
        let current = Some(Current { name: "edge", revision, digest });
        admit(&bytes, &one, NOW, current).map(drop).map_err(|refused| refused.kind)
    };
    assert_eq!(over(6, [0; 32]), Ok(()));
    assert_eq!(over(7, digest), Ok(()), "the same again");
    assert_eq!(over(7, [0; 32]), Err(Kind::SameRevisionDifferentContent));
    assert_eq!(over(8, digest), Err(Kind::OlderRevision));
    assert_eq!(over(u64::MAX, [0; 32]), Err(Kind::OlderRevision));
    // Another bundle does not take its place, whatever its revision.
    let other = Some(Current { name: "other", revision: 1, digest: [0; 32] });
    assert_eq!(admit(&bytes, &one, NOW, other).map_err(|refused| refused.kind), Err(Kind::WrongName));
    // A further signature makes no other content.
    let more =
        admit(&signed(&payload(), &[2, 3]), &one, NOW, Some(Current { name: "edge", revision: 7, digest }));
    assert_eq!(more.map(|admitted| admitted.digest()), Ok(digest));
}

#[test]
fn keys_may_be_limited_to_bundles_and_the_name_may_be_given() {
    let limited = |names: &[&str]| {
        let bundles = Some(names.iter().map(|name| (*name).to_owned()).collect());
        TrustedKey { bundles, ..key(2) }
    };
    let load = |keys: Vec<TrustedKey>, threshold, name: Option<&str>| {
        Trust::load(&TrustPlan { keys, threshold, name: name.map(str::to_owned) }).unwrap()
    };
    let bytes = signed(&payload(), &[2, 3]);
    assert_eq!(kind(&bytes, &load(vec![limited(&["other", "edge"])], 1, None)), Ok(()));
    assert_eq!(kind(&bytes, &load(vec![limited(&["other", "edge2"])], 1, None)), Err(Kind::KeyNotForBundle));
    assert_eq!(kind(&bytes, &load(vec![limited(&["other"]), key(3)], 1, None)), Ok(()));
    assert_eq!(kind(&bytes, &load(vec![limited(&["other"]), key(3)], 2, None)), Err(Kind::KeyNotForBundle));
    assert_eq!(kind(&bytes, &load(vec![limited(&["edge"]), key(3)], 2, Some("edge"))), Ok(()));
    assert_eq!(kind(&bytes, &load(vec![key(3)], 1, Some("other"))), Err(Kind::WrongName));
}

#[test]
fn a_trust_that_makes_no_sense_is_refused_with_its_place() {
    let jwk = |value: Value| TrustedKey { jwk: value.as_object().cloned(), ..TrustedKey::default() };
    let x = URL_SAFE_NO_PAD.encode(&Signer(2).ed25519().pk[..]);
    let okp = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig"});
    let weak = URL_SAFE_NO_PAD.encode([&[1u8][..], &[0; 31]].concat());
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let in_pem = |text: &str| TrustedKey { pem: Some(text.to_owned()), ..TrustedKey::default() };
    let mut compressed = Signer(3).public().spki().to_vec();
    compressed.truncate(compressed.len() - 32);
    let compressed =
        format!("-----BEGIN PUBLIC KEY-----{}-----END PUBLIC KEY-----", STANDARD.encode(compressed));
    let off_curve = json!({"kty": "EC", "crv": "P-256", "x": "A".repeat(43), "y": "A".repeat(43)});
    let named = |name: &str| TrustedKey { bundles: Some(vec![name.to_owned()]), ..key(2) };
    for (keys, threshold, name, place) in [
        (vec![], 1, None, "keys"),
        ((1..18).map(|n| key(n * 2)).collect(), 1, None, "keys"),
        (vec![key(2)], 0, None, "threshold"),
        (vec![key(2)], 2, None, "threshold"),
        (vec![key(2), key(2)], 1, None, "keys[1]"),
        (vec![key(2), jwk(okp.clone())], 2, None, "keys[1]"),
        (vec![TrustedKey::default()], 1, None, "keys[0]"),
        (vec![TrustedKey { jwk: okp.as_object().cloned(), ..key(2) }], 1, None, "keys[0]"),
        (vec![in_pem("")], 1, None, "keys[0].pem"),
        (vec![in_pem(private)], 1, None, "keys[0].pem"),
        (vec![in_pem(&(pem(&Signer(2).public()) + &pem(&Signer(4).public())))], 1, None, "keys[0].pem"),
        (vec![in_pem(&compressed)], 1, None, "keys[0].pem"),
        (vec![jwk(json!({"kty": "OKP", "crv": "Ed25519", "x": weak}))], 1, None, "keys[0].jwk"),
        (vec![jwk(json!({"kty": "OKP", "crv": "Ed25519", "x": x, "d": x}))], 1, None, "keys[0].jwk"),
        (vec![jwk(json!({"kty": "OKP", "crv": "X25519", "x": x}))], 1, None, "keys[0].jwk"),
        (vec![jwk(json!({"kty": "EC", "crv": "P-256", "x": x}))], 1, None, "keys[0].jwk"),
        (vec![jwk(off_curve)], 1, None, "keys[0].jwk"),
        (vec![named("A")], 1, None, "keys[0].bundles[0]"),
        (vec![key(2)], 1, Some("-"), "name"),
        (vec![TrustedKey { bundles: Some(vec![]), ..key(2) }], 1, None, "keys[0].bundles"),
        (vec![named("other"), key(3)], 2, Some("edge"), "keys"),
        (
            vec![named("other"), TrustedKey { bundles: Some(vec!["edge".to_owned()]), ..key(3) }],
            2,
            None,
            "keys",
        ),
    ] {
        let plan = TrustPlan { keys, threshold, name: name.map(str::to_owned) };
        let error = Trust::load(&plan).unwrap_err();
        assert_eq!(error.place, place, "{error}");
    }
    let plan: TrustPlan = serde_json::from_value(json!({"keys": [{"jwk": okp}]})).unwrap();
    assert_eq!(kind(&signed(&payload(), &[2]), &Trust::load(&plan).unwrap()), Ok(()));
    assert!(serde_json::from_value::<TrustPlan>(json!({"keys": [], "treshold": 1})).is_err());
}

#[test]
fn an_identifier_is_that_of_openssl() {
    // openssl pkey -pubin -in key.pem -outform DER | sha256sum, for the key of RFC 8032, section 7.1, test 1.
    let raw: Vec<u8> = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let key = PublicKey::ed25519(&raw).unwrap();
    assert_eq!(
        pem(&key).lines().nth(1),
        Some("MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    );
    assert_eq!(key.id(), "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9");
}

/// The offsets of the text between two markers.
fn between(text: &str, start: &str, end: &str) -> std::ops::Range<usize> {
    let from = text.find(start).unwrap() + start.len();
    from..from + text.get(from..).unwrap().find(end).unwrap()
}

/// Every byte of an artifact, with every bit flipped, set to a blank and taken away: it is refused, or it is
/// admitted as the very same content. Where that is so is listed, and is nothing that decides.
#[test]
fn a_changed_byte_is_refused_or_changes_nothing() {
    let one = trust(&[2, 3], 2);
    let good = signed(&payload(), &[2, 3]);
    let text = String::from_utf8(good.clone()).unwrap();
    let digest = admit(&good, &one, NOW, None).unwrap().digest();
    // The envelope says {"payload":..,"payloadType":..,"signatures":[{"keyid":..,"sig":..},{"keyid":..,"sig":..}]}.
    let base64: Vec<_> = [between(&text, "\"payload\":\"", "\"")]
        .into_iter()
        .chain(text.match_indices("\"sig\":\"").map(|(at, found)| at + found.len()..at + found.len() + 100))
        .collect();
    let names: Vec<_> = text.match_indices("\"keyid\"").map(|(at, _)| at + 1..at + 6).collect();
    assert_eq!(names.len(), 2);
    let mut admitted = 0;
    for at in 0..good.len() {
        let flips = (0..8).map(|bit| Some(good[at] ^ (1 << bit)));
        for change in flips.chain([Some(b' '), Some(b'-'), Some(b'_'), None]) {
            let mut bytes = good.clone();
            match change {
                Some(byte) if byte == good[at] => continue,
                Some(byte) => bytes[at] = byte,
                None => drop(bytes.remove(at)),
            }
            let Ok(found) = admit(&bytes, &one, NOW, None) else { continue };
            admitted += 1;
            assert_eq!(found.digest(), digest, "another content at {at}");
            // A signature whose key is not named, because the name of that member was changed, is tried with
            // every key; and one letter of base64 may be of the other alphabet if it is the only one of its kind.
            let unnamed = names.iter().any(|name| name.contains(&at));
            let alphabet = base64.iter().any(|range| range.contains(&at)) && matches!(good[at], b'+' | b'/');
            assert!(unnamed || alphabet, "admitted with byte {at} changed to {change:?}");
        }
    }
    assert!(admitted > 50, "only {admitted}: the places that decide nothing were not met");
    for cut in 0..good.len() {
        assert_eq!(kind(&good[..cut], &one), Err(Kind::Truncated), "cut at {cut}");
    }
}

#[test]
fn either_alphabet_is_the_same_artifact() {
    let body = canonical::write(&payload());
    let sig = entry(2, body.as_bytes());
    let other = json!({
        "payload": URL_SAFE.encode(&body), "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": URL_SAFE.encode(STANDARD.decode(sig["sig"].as_str().unwrap()).unwrap())}],
    });
    assert_eq!(kind(other.to_string().as_bytes(), &trust(&[2], 1)), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Admitted exactly if enough distinct trusted keys have signed, in whatever order and however often.
    #[test]
    fn the_threshold_is_the_law(
        trusted in proptest::collection::btree_set(2u8..8, 1..5),
        signers in proptest::collection::vec(2u8..8, 0..8),
        threshold in 1usize..4,
        hints in any::<bool>(),
    ) {
        prop_assume!(threshold <= trusted.len());
        let keys: Vec<u8> = trusted.iter().copied().collect();
        let body = canonical::write(&payload());
        let signatures: Vec<Value> = signers.iter().map(|number| {
            let entry = entry(*number, body.as_bytes());
            if hints { entry } else { json!({"sig": entry["sig"]}) }
        }).collect();
        let distinct: BTreeSet<u8> = signers.iter().copied().filter(|signer| trusted.contains(signer)).collect();
        let expected = if distinct.len() >= threshold { Ok(()) } else { Err(Kind::TooFewSignatures) };
        prop_assert_eq!(kind(&envelope(body.as_bytes(), &signatures), &trust(&keys, threshold)), expected);
    }
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(admit(&bytes, &trust(&[2], 1), NOW, None).is_err());
    }

    /// Whoever holds a trusted key and is careless, or is not honest, still makes nothing fall over.
    #[test]
    fn any_signed_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let signed = envelope(&bytes, &[entry(2, &bytes)]);
        prop_assert!(matches!(kind(&signed, &trust(&[2], 1)), Err(Kind::NotCanonical | Kind::PayloadInvalid)));
    }
}

#[test]
fn signatures_that_name_nobody_are_found_and_bad_ones_are_not_tried_for_ever() {
    let all: Vec<u8> = (1..=16).collect();
    let many = trust(&all, 3);
    // Three of sixteen keys, the last ones, none of them named, in the order that costs most.
    let unnamed = |signers: &[u8], body: &str| {
        let mut envelope: Value = serde_json::from_slice(&signed_text(body, signers)).unwrap();
        for signature in envelope["signatures"].as_array_mut().unwrap() {
            signature["keyid"] = "".into();
        }
        envelope.to_string().into_bytes()
    };
    assert_eq!(kind(&unnamed(&[16, 15, 14], &canonical::write(&payload())), &many), Ok(()));
    // A few bad signatures in the name of a key are passed over, and no more.
    let with = |bad: usize| {
        let mut envelope: Value = serde_json::from_slice(&signed(&payload(), &[2])).unwrap();
        let good = envelope["signatures"][0].clone();
        let mut wrong = good.clone();
        wrong["sig"] = STANDARD.encode(Signer(2).sign(b"another")).into();
        envelope["signatures"] = Value::from([vec![wrong; bad], vec![good]].concat());
        kind(envelope.to_string().as_bytes(), &trust(&[2], 1))
    };
    assert_eq!([with(0), with(1)], [Ok(()), Ok(())]);
    assert_eq!(with(2), Err(Kind::TooFewSignatures));
    // Each try hashes a large payload again. With one key there are two tries of 11 MiB, whatever the envelope holds.
    let large = "x".repeat(11 * 1024 * 1024);
    let mut bad: Value = serde_json::from_slice(&unnamed(&[4], &large)).unwrap();
    let one = bad["signatures"][0].clone();
    bad["signatures"] = Value::from(vec![one; 16]);
    let bytes = serde_json::to_vec(&bad).unwrap();
    let refused = admit(&bytes, &trust(&[2], 1), NOW, None).unwrap_err();
    assert_eq!(refused.kind, Kind::TooFewSignatures);
    assert!(refused.detail.contains("not all were tried"), "{refused}");
}
