//! Wycheproof's vectors for single primitives: HMAC-SHA-256, ECDSA on P-256 with signatures as a JWS has
//! them (r and s side by side), and Ed25519.

use bartizan_conformance::boring::BoringHost;
use bartizan_conformance::tally::{Deviation, Tally};
use bartizan_conformance::vectors::{self, hex};
use bartizan_engine::authentication::keys::KeySet;
use bartizan_engine::authentication::plan::Algorithm;
use bartizan_engine::host::testing::TestHost;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Runs one file; `jwk` makes the key of a test.
fn run(
    file: &'static str,
    deviations: &'static [Deviation],
    (algorithm, signature): (Algorithm, &str),
    jwk: impl Fn(&Value, &Value) -> Result<Value, String>,
) -> Result<(), String> {
    let Some(vectors) = vectors::json(file)? else { return Ok(()) };
    let mut tally = Tally::new(file, deviations);
    let mut boring = BoringHost::default();
    for group in vectors.get("testGroups").and_then(|groups| groups.as_array()).ok_or("no groups")? {
        for test in group["tests"].as_array().ok_or("no tests")? {
            let id = test["tcId"].as_u64().ok_or("no number")?;
            let message = hex(test["msg"].as_str().ok_or("no message")?)?;
            let signature = hex(test[signature].as_str().ok_or("no signature")?)?;
            let set = json!({ "keys": [jwk(group, test)?] }).to_string();
            let keys = KeySet::from_jwks(&set, &[algorithm]);
            let (own, host) = match keys.as_ref().map(KeySet::keys) {
                Ok([key]) => (
                    key.verify(&message, &signature, &mut TestHost::default()),
                    key.verify(&message, &signature, &mut boring),
                ),
                _ => (false, false),
            };
            if own != host {
                tally.fail(format!("{id}: own code says {own}, the host says {host}"));
            }
            let comment = test["comment"].as_str().unwrap_or_default();
            tally.record(id, comment, test["result"] == "valid", own);
        }
    }
    for problem in boring.problems {
        tally.fail(problem);
    }
    println!("{file}: the host was asked {} times", boring.asked);
    tally.finish()
}

fn base64url(hexadecimal: &Value, len: usize) -> Result<String, String> {
    let bytes = hex(hexadecimal.as_str().ok_or("no number")?)?;
    // Wycheproof writes numbers with a leading zero or without leading zeros; a JWK has the full length.
    let significant: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    let padding = len.checked_sub(significant.len()).ok_or("too long")?;
    Ok(URL_SAFE_NO_PAD.encode([vec![0; padding], significant].concat()))
}

#[test]
fn ecdsa_on_p256() -> Result<(), String> {
    let file = "wycheproof/ecdsa_secp256r1_sha256_p1363_test.json";
    run(file, &[], (Algorithm::ES256, "sig"), |group, _| {
        let point = &group["publicKey"];
        let (x, y) = (base64url(&point["wx"], 32)?, base64url(&point["wy"], 32)?);
        Ok(json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}))
    })
}

#[test]
fn ed25519() -> Result<(), String> {
    run("wycheproof/ed25519_test.json", &[], (Algorithm::EdDSA, "sig"), |group, _| {
        let point = hex(group["publicKey"]["pk"].as_str().ok_or("no key")?)?;
        Ok(json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(point)}))
    })
}

const HMAC: &[Deviation] = &[
    Deviation {
        ids: &[82..=108, 172..=174],
        reason: "tags cut to 128 bits; a JWS has the whole tag (RFC 7518, section 3.2)",
    },
    Deviation {
        ids: &[163..=168],
        reason: "secrets of 128 bits; HS256 needs as many as the digest has (RFC 7518, section 3.2)",
    },
];

#[test]
fn hmac_sha256() -> Result<(), String> {
    run("wycheproof/hmac_sha256_test.json", HMAC, (Algorithm::HS256, "tag"), |_, test| {
        let secret = hex(test["key"].as_str().ok_or("no key")?)?;
        Ok(json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret)}))
    })
}
