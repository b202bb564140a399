//! Artifacts as they are built and signed, read by the code of the filter.

use std::collections::BTreeMap;

use bartizan_engine::envelope::key::{Algorithm, PublicKey};
use bartizan_engine::envelope::trust::{TrustPlan, TrustedKey};
use bartizan_engine::envelope::{Trust, admit};

use super::*;
use crate::compile_files;

const BUNDLE: &str = "apiVersion: bartizan/v1\nname: edge\nrevision: 7\nlabels: {team: payments}\n\
                      not_before: 2027-01-01T00:00:00Z\nexpires: 2028-01-01T00:00:00Z\n\
                      when_expired: refuse\n\
                      routes: [{path: /, access: public}]\n";
const NOW: u64 = 1_800_000_000;

fn compiled() -> Compiled {
    compile_files(BTreeMap::from([("bundle.yaml".to_owned(), BUNDLE.as_bytes().to_vec())]))
}

fn trust(keys: &[&SigningKey], threshold: usize) -> Trust {
    let keys = keys
        .iter()
        .map(|key| TrustedKey { pem: Some(public_pem(&key.public().unwrap())), ..TrustedKey::default() })
        .collect();
    Trust::load(&TrustPlan { keys, threshold, name: None }).unwrap()
}

#[test]
fn what_is_built_and_signed_is_admitted() {
    let payload = payload(&compiled(), None, Some("ci run 9")).unwrap();
    let mut artifact = Artifact::read(&envelope(&payload, &[]).unwrap()).unwrap();
    let keys = [Algorithm::Ed25519, Algorithm::P256].map(SigningKey::generate);
    for key in &keys {
        artifact.sign(key).unwrap();
        assert!(artifact.sign(key).unwrap_err().contains("already"));
    }
    let admitted = admit(&artifact.to_bytes().unwrap(), &trust(&[&keys[0], &keys[1]], 2), NOW, None).unwrap();
    let about = admitted.about();
    assert_eq!((about.plan.name.as_str(), about.plan.revision), ("edge", 7));
    assert_eq!((about.not_before, about.expires), (Some(1_798_761_600), Some(1_830_297_600)));
    assert_eq!(about.when_expired, WhenExpired::Refuse);
    assert_eq!(about.labels["team"], "payments");
    assert_eq!(about.builder.by.as_deref(), Some("ci run 9"));
    let digest = bartizan_engine::envelope::key::sha256(BUNDLE.as_bytes());
    assert_eq!(
        about.sources,
        BTreeMap::from([("bundle.yaml".to_owned(), format!("sha256:{}", hex(&digest)))])
    );
    assert_eq!(Some(admitted.plan()), compiled().plan.as_ref());
}

#[test]
fn what_becomes_of_the_default_is_not_written() {
    for text in ["", "when_expired: keep\n"] {
        let bundle = BUNDLE.replace("when_expired: refuse\n", text);
        let compiled = compile_files(BTreeMap::from([("bundle.yaml".to_owned(), bundle.into_bytes())]));
        let payload = payload(&compiled, None, None).unwrap();
        assert!(!String::from_utf8_lossy(&payload).contains("when_expired"), "{text:?}");
    }
}

#[test]
fn bad_signatures_in_the_name_of_a_key_go_when_it_signs() {
    let payload = payload(&compiled(), None, None).unwrap();
    let [one, other] = [Algorithm::Ed25519, Algorithm::P256].map(SigningKey::generate);
    let id = |key: &SigningKey| key.public().unwrap().id().to_owned();
    let bad = |keyid: String| Signature { keyid, sig: vec![1; 64] };
    let bytes = envelope(&payload, &[bad(id(&one)), bad(id(&one)), bad(id(&other))]).unwrap();
    let mut artifact = Artifact::read(&bytes).unwrap();
    let is_taken =
        |artifact: &Artifact| admit(&artifact.to_bytes().unwrap(), &trust(&[&one], 1), NOW, None).is_ok();
    artifact.sign(&one).unwrap();
    assert!(is_taken(&artifact));
    assert_eq!(artifact.envelope.signatures.len(), 2, "what others say of others is theirs");
    assert!(artifact.sign(&one).unwrap_err().contains("already"));
    // A good one behind two that are bad is never tried.
    artifact.envelope.signatures.insert(0, bad(id(&one)));
    artifact.envelope.signatures.insert(0, bad(id(&one)));
    assert!(!is_taken(&artifact));
    artifact.sign(&one).unwrap();
    assert!(is_taken(&artifact));
    assert_eq!(artifact.envelope.signatures.len(), 2);
    // Nor is one under the name of another key.
    artifact.envelope.signatures.last_mut().unwrap().keyid = id(&other);
    assert!(!is_taken(&artifact));
    artifact.sign(&one).unwrap();
    assert!(is_taken(&artifact));
}

/// Whoever fills an envelope with signatures of nobody keeps nobody from signing it.
#[test]
fn signatures_without_a_name_make_room() {
    let payload = payload(&compiled(), None, None).unwrap();
    let keys: Vec<SigningKey> = (0..8).map(|_| SigningKey::generate(Algorithm::Ed25519)).collect();
    let all: Vec<&SigningKey> = keys.iter().collect();
    let [key, ..] = keys.as_slice() else { panic!() };
    let is_taken =
        |artifact: &Artifact| admit(&artifact.to_bytes().unwrap(), &trust(&all, 1), NOW, None).is_ok();
    let bad = || Signature { keyid: String::new(), sig: vec![1; 64] };
    let mut unnamed = Artifact::read(&envelope(&payload, &[]).unwrap()).unwrap();
    unnamed.sign(key).unwrap();
    let mut good = unnamed.envelope.signatures.remove(0);
    good.keyid.clear();
    // The good one has no name, and stands behind more bad ones than a filter tries.
    let mut behind = Artifact::read(&envelope(&payload, &[]).unwrap()).unwrap();
    behind.envelope.signatures = (0..15).map(|_| bad()).chain([good]).collect();
    assert!(!is_taken(&behind));
    behind.sign(key).unwrap();
    assert!(is_taken(&behind));
    assert_eq!(behind.envelope.signatures.len(), 16);
    let mut full = Artifact::read(&envelope(&payload, &[]).unwrap()).unwrap();
    full.envelope.signatures = (0..16).map(|_| bad()).collect();
    full.sign(key).unwrap();
    assert!(is_taken(&full));
    // What names a key is another's, and stays.
    full.envelope.signatures =
        (0..16).map(|n| Signature { keyid: format!("{n}"), sig: vec![1; 64] }).collect();
    assert!(full.sign(key).unwrap_err().contains("build it anew"));
}

#[test]
fn the_revision_may_be_given_by_a_pipeline() {
    let of = |revision| {
        let payload = payload(&compiled(), Some(revision), None)?;
        Ok::<_, String>(About::read(&payload).unwrap().plan.revision)
    };
    assert_eq!(of(1234), Ok(1234));
    assert_eq!(of(MAX_NUMBER), Ok(MAX_NUMBER));
    assert!(of(0).is_err() && of(MAX_NUMBER + 1).is_err());
}

#[test]
fn signatures_are_the_same_each_time() {
    for key in [SigningKey::ed25519([1; 32]).unwrap(), SigningKey::p256([1; 32]).unwrap()] {
        assert_eq!(key.sign(b"x"), key.sign(b"x"));
    }
}

#[test]
fn keys_are_written_and_read_back_and_nothing_else_is_a_key() {
    for key in [Algorithm::Ed25519, Algorithm::P256].map(SigningKey::generate) {
        let text = key.to_pem().unwrap();
        let again = SigningKey::from_pem(&text).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(PublicKey::from_pem(&public_pem(&key.public().unwrap())), key.public());
        assert!(text.lines().all(|line| line.len() <= 64), "{text}");
        assert!(!format!("{key:?}").contains(text.lines().nth(1).unwrap()));
        for other in [
            text.replace("PRIVATE", "ENCRYPTED PRIVATE"),
            text.replace("PRIVATE", "EC PRIVATE"),
            text.replacen('M', "N", 1),
            public_pem(&key.public().unwrap()),
            text.clone() + &text,
            String::new(),
        ] {
            assert!(SigningKey::from_pem(&other).is_err(), "{other}");
        }
    }
    // RFC 8410, section 10.3.
    let rfc = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let key = SigningKey::from_pem(rfc).unwrap();
    assert_eq!(key.to_pem().unwrap(), rfc);
    assert!(
        public_pem(&key.public().unwrap())
            .contains("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=")
    );
}

#[test]
fn a_schema_may_bound_lengths_by_more_than_a_double_holds() {
    let bundle = "apiVersion: bartizan/v1\nname: edge\nroutes: [{path: /, methods: [POST], access: public, \
                  body: {json: {schema: a.json}}}]\n";
    for keyword in ["maxLength", "maxItems", "maxProperties"] {
        let schema = format!(r#"{{"{keyword}":9223372036854775807,"maximum":9223372036854775807}}"#);
        let compiled = compile_files(BTreeMap::from([
            ("bundle.yaml".to_owned(), bundle.as_bytes().to_vec()),
            ("a.json".to_owned(), schema.into_bytes()),
        ]));
        assert!(compiled.plan.is_some(), "{:?}", compiled.diagnostics);
        payload(&compiled, None, None).unwrap();
    }
}

/// One content has one text: what serde reads alike, and others may not, is neither signed nor verified.
#[test]
fn what_no_build_writes_is_refused() {
    let good = payload(&compiled(), None, None).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&good).unwrap();
    let of = |value: &serde_json::Value| {
        let bytes = crate::canonical::json(value).into_bytes();
        Artifact::read(&envelope(&bytes, &[]).unwrap()).map(|_| ()).map_err(|refused| refused.kind)
    };
    assert_eq!(of(&value), Ok(()));
    let list = |value: &serde_json::Value| {
        serde_json::Value::Array(value.as_object().unwrap().values().cloned().collect())
    };
    // A structure as a list of its members, in the order in which they are declared.
    let mut listed = value.clone();
    listed["builder"] = list(&value["builder"]);
    assert_eq!(of(&listed), Err(Kind::NotCanonical));
    let headers = &value["plan"]["headers"];
    let mut listed = value.clone();
    listed["plan"]["headers"] = list(headers);
    assert_eq!(of(&listed), Err(Kind::NotCanonical));
    let mut said = value.clone();
    said["labels"] = serde_json::json!({});
    assert_eq!(of(&said), Err(Kind::NotCanonical));
}
