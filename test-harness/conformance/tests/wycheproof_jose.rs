//! Wycheproof's JSON Web Signature, Key and crypto vectors against the token reader, the key sets and both
//! ways to check a signature. Their payloads are not claims, so the claims are not judged.

use bartizan_conformance::boring::BoringHost;
use bartizan_conformance::tally::{Deviation, Tally};
use bartizan_conformance::vectors;
use bartizan_engine::authentication::jws::Jws;
use bartizan_engine::authentication::keys::KeySet;
use bartizan_engine::authentication::plan::Algorithm;
use bartizan_engine::authentication::signature;
use bartizan_engine::host::testing::TestHost;
use serde_json::json;

const SIGNATURE: &[Deviation] = &[
    Deviation {
        ids: &[346..=346, 350..=350],
        reason: "a PS384 token for a key whose `alg` is PS256 (RFC 8725, section 3.1: one algorithm per key)",
    },
    Deviation {
        ids: &[347..=347, 351..=351],
        reason: "P-521, which jwt-simple does not have, and `ES521` is no algorithm",
    },
    Deviation {
        ids: &[372..=373],
        reason: "a `?` in base64url, marked valid by mistake (RFC 7515, section 2, has no such symbol)",
    },
    Deviation {
        ids: &[367..=367, 370..=370],
        reason: "the padding they are about is not in the file: they are the same string as 357, which is valid",
    },
];

const CRYPTO: &[Deviation] =
    &[Deviation { ids: &[50..=50, 67..=67], reason: "encrypted tokens (JWE), which are not supported" }];

/// Runs one file both with the engine's own cryptography and with the host's.
fn run(file: &'static str, deviations: &'static [Deviation]) -> Result<(), String> {
    let Some(vectors) = vectors::json(file)? else { return Ok(()) };
    let mut tally = Tally::new(file, deviations);
    let mut boring = BoringHost::default();
    for group in vectors.get("testGroups").and_then(|groups| groups.as_array()).ok_or("no groups")? {
        let key = group.get("public").or_else(|| group.get("private")).ok_or("a group without a key")?;
        let set = if key.get("keys").is_some() { key.clone() } else { json!({ "keys": [key] }) };
        let keys = KeySet::from_jwks(&set.to_string(), &Algorithm::ALL);
        for test in group["tests"].as_array().ok_or("no tests")? {
            let id = test["tcId"].as_u64().ok_or("no number")?;
            let token = test.get("jws").or_else(|| test.get("jwe")).ok_or("no token")?;
            // A few are in JSON serialisation, which is not a compact token and must be refused.
            let token = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
            let (own, host) = match (&keys, Jws::parse(token.as_bytes())) {
                (Ok(keys), Ok(jws)) => (
                    signature::verify(&jws, keys, &mut TestHost::default()).is_ok(),
                    signature::verify(&jws, keys, &mut boring).is_ok(),
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
    if boring.asked == 0 {
        tally.fail("the host was never asked, so its path was not tested".to_owned());
    }
    println!("{file}: the host was asked {} times", boring.asked);
    tally.finish()
}

#[test]
fn json_web_signatures() -> Result<(), String> {
    run("wycheproof/json_web_signature_test.json", SIGNATURE)
}

#[test]
fn json_web_keys() -> Result<(), String> {
    run("wycheproof/json_web_key_test.json", &[])
}

#[test]
fn json_web_crypto() -> Result<(), String> {
    run("wycheproof/json_web_crypto_test.json", CRYPTO)
}
