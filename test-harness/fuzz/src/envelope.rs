//! Artifacts: what is admitted was vouched for, says one thing, and is what a second reader finds in it.
//!
//! An input that begins with `!` is a payload after it, which is signed here by as many keys as the trust asks for. Any
//! other input is a whole artifact.

use std::sync::OnceLock;

use bartizan_compiler::artifact::{SigningKey, envelope, public_pem};
use bartizan_engine::envelope::dsse::{PAYLOAD_TYPE, Signature, preamble};
use bartizan_engine::envelope::refused::is_hidden;
use bartizan_engine::envelope::trust::{TrustPlan, TrustedKey};
use bartizan_engine::envelope::{Trust, admit};
use bartizan_engine::plan::Plan;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value;

use crate::fixture::{self, NOW_S};

struct Fixture {
    keys: Vec<SigningKey>,
    trust: Trust,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let keys = vec![
            SigningKey::ed25519([7; 32]).expect("a seed"),
            SigningKey::p256([7; 32]).expect("a number"),
            SigningKey::p256([8; 32]).expect("a number"),
        ];
        let trusted = keys.iter().map(|key| {
            let pem = public_pem(&key.public().expect("its public half"));
            TrustedKey { pem: Some(pem), ..TrustedKey::default() }
        });
        let plan = TrustPlan { keys: trusted.collect(), threshold: 2, name: None };
        Fixture { trust: Trust::load(&plan).expect("a trust"), keys }
    })
}

/// What a second reader looks at in an envelope. Members it does not know may hold anything, such as half a surrogate pair,
/// which JSON allows (RFC 8259, section 8.2) and a [`Value`] cannot hold.
#[derive(serde::Deserialize)]
struct Outer {
    payload: String,
}

/// Any bytes as an artifact, or as a payload that is signed.
pub fn run(data: &[u8]) -> bool {
    let Fixture { keys, trust } = fixture();
    let artifact = match data.split_first() {
        Some((b'!', payload)) => {
            let message = [preamble(PAYLOAD_TYPE, payload).as_bytes(), payload].concat();
            let signatures: Vec<Signature> = keys
                .iter()
                .take(2)
                .map(|key| Signature { keyid: String::new(), sig: key.sign(&message).expect("a signature") })
                .collect();
            envelope(payload, &signatures).expect("an envelope")
        }
        _ => data.to_vec(),
    };
    let now = NOW_S;
    let admitted = match admit(&artifact, trust, now, None) {
        Ok(admitted) => admitted,
        Err(refused) => {
            assert!(!refused.to_string().chars().any(is_hidden), "not one line: {refused:?}");
            return false;
        }
    };
    // A second reader: no code of the engine but the hash.
    let outer: Outer = serde_json::from_slice(&artifact).expect("JSON");
    let text = outer.payload;
    let payload = STANDARD.decode(&text).or_else(|_| URL_SAFE.decode(&text)).expect("base64");
    let inner: Value = serde_json::from_slice(&payload).expect("JSON");
    let plan = inner.get("plan").expect("a plan");
    assert_eq!(plan.get("name").and_then(Value::as_str), Some(admitted.plan().name.as_str()));
    assert_eq!(plan.get("revision").and_then(Value::as_u64), Some(admitted.plan().revision));
    let time = |name: &str| inner.get(name).map(|time| time.as_u64().expect("a time"));
    assert!(time("expires").is_none_or(|expires| now < expires), "it has expired");
    assert!(time("not_before").is_none_or(|from| from <= now), "it is not valid yet");
    let ids: std::collections::BTreeSet<_> = admitted.signers().iter().collect();
    assert!(ids.len() >= 2 && ids.len() == admitted.signers().len(), "too few vouch for it");
    // Nothing of the plan was read in another way. It need not be written as we write it: whoever holds the keys may
    // have spelled out a default.
    let read: Plan = serde_json::from_value(plan.clone()).expect("a plan");
    assert_eq!(&read, admitted.plan(), "the filter reads another plan");
    fixture::load(admitted.plan().clone()).is_some()
}
