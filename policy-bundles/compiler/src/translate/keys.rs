//! Key sets: read at build time as strictly as the engine reads them, so that a bad set never ships.

use bartizan_engine::authentication::keys::KeySet;
use bartizan_engine::authentication::plan::Algorithm;
use serde_json::{Value, json};

use super::pem::{self, PublicKey};
use crate::diagnostic::{Report, Span};
use crate::yaml::Cursor;

/// The largest file with keys, in bytes.
pub(super) const MAX_KEY_FILE_BYTES: u64 = 512 * 1024;

/// Members of a JWK that only private and shared keys have (RFC 7518, sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A secret serves exactly one HMAC algorithm, and nothing else.
pub(super) fn check_secret(written: &[Algorithm], algorithms: Cursor<'_>, secret: Span, report: &mut Report) {
    for (index, algorithm) in written.iter().enumerate() {
        if !is_hmac(*algorithm) {
            report.error(
                "algorithm-without-key",
                algorithms.item(index).span(),
                format!("`{algorithm:?}` verifies with a public key, and this issuer has a secret"),
                "name public keys with `jwks` or `pem`, or accept one of HS256, HS384, HS512",
            );
        }
    }
    if written.iter().filter(|a| is_hmac(**a)).collect::<std::collections::BTreeSet<_>>().len() > 1 {
        report.error(
            "secret-shared",
            algorithms.span(),
            "one secret serves several algorithms",
            "a secret is used with exactly one algorithm: keep one of HS256, HS384, HS512",
        );
    }
    report.warning(
        "shared-secret",
        secret,
        "whoever can check these tokens can also make them",
        "prefer an issuer that signs with a private key (ES256, EdDSA, RS256)",
    );
}

fn is_hmac(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

/// Checks a JWK set and gives it back in canonical form. `name` is how messages call it.
pub(super) fn jwks(
    name: &str,
    text: &str,
    accepted: &[Algorithm],
    here: Span,
    report: &mut Report,
) -> String {
    if text.contains("PRIVATE KEY-----") || text.contains("-----BEGIN") {
        report.error(
            "keys-malformed",
            here,
            format!("{name} is in PEM form, not a JWK set"),
            "name it under `pem`",
        );
        return String::new();
    }
    let set: Value = match serde_json::from_str(text) {
        Ok(set) => set,
        Err(error) => {
            let message = format!("{name} is not JSON: {error}");
            report.error("keys-malformed", here, message, "put a JWK set there: `{\"keys\": [...]}`");
            return String::new();
        }
    };
    let Some(keys) = set.get("keys").and_then(Value::as_array) else {
        let help = if set.get("kty").is_some() {
            "put the key into a set: `{\"keys\": [ ... ]}`"
        } else {
            "put a JWK set there: `{\"keys\": [...]}`"
        };
        report.error("keys-malformed", here, format!("{name} has no list `keys`"), help);
        return String::new();
    };
    for (index, key) in keys.iter().enumerate() {
        if let Some(member) = PRIVATE.iter().find(|member| key.get(**member).is_some()) {
            report.error(
                "private-key",
                here,
                format!("{name} holds a private or shared key (`keys[{index}].{member}`)"),
                "take it out of the bundle, treat it as leaked, and put the public key there",
            );
            return String::new();
        }
    }
    accept(name, text, accepted, here, report, &set)
}

/// Turns the keys of a PEM file into a JWK set.
pub(super) fn pem(file: &str, text: &str, accepted: &[Algorithm], here: Span, report: &mut Report) -> String {
    let keys = match pem::public_keys(text) {
        Ok(keys) => keys,
        Err(problem) => {
            let code = if text.contains("PRIVATE KEY") { "private-key" } else { "keys-malformed" };
            report.error(code, here, format!("`{file}` cannot be used: {}", problem.message), problem.help);
            return String::new();
        }
    };
    let mut list = Vec::new();
    for key in &keys {
        // PEM does not say which algorithm a key is for. Each entry of the set is bound to one.
        for algorithm in accepted.iter().filter(|algorithm| serves(key, **algorithm)) {
            let mut jwk = key.members();
            if let Value::Object(members) = &mut jwk {
                members.insert("alg".to_owned(), json!(algorithm));
                members.insert("use".to_owned(), json!("sig"));
            }
            list.push(jwk);
        }
    }
    let set = json!({ "keys": list });
    let text = crate::canonical::json(&set);
    accept(&format!("`{file}`"), &text, accepted, here, report, &set)
}

/// The set in canonical form, if the engine will take it as it was written.
fn accept(
    name: &str,
    text: &str,
    accepted: &[Algorithm],
    here: Span,
    report: &mut Report,
    set: &Value,
) -> String {
    if usable(name, accepted, here, report, set)
        && let Err(error) = KeySet::from_jwks(text, accepted)
    {
        let help = "fix the key set, or have the issuer publish it again";
        report.error("keys-malformed", here, format!("{name} cannot be used: {error}"), help);
    }
    crate::canonical::json(set)
}

fn serves(key: &PublicKey, algorithm: Algorithm) -> bool {
    match key {
        PublicKey::Rsa { .. } => matches!(
            algorithm,
            Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512
        ),
        PublicKey::Ec { curve: "P-256", .. } => algorithm == Algorithm::ES256,
        PublicKey::Ec { curve: "secp256k1", .. } => algorithm == Algorithm::ES256K,
        PublicKey::Ec { .. } => algorithm == Algorithm::ES384,
        PublicKey::Ed25519 { .. } => algorithm == Algorithm::EdDSA,
    }
}

/// Every accepted algorithm needs a key that serves it.
fn usable(name: &str, accepted: &[Algorithm], here: Span, report: &mut Report, set: &Value) -> bool {
    let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut all_served = true;
    for algorithm in accepted {
        if !keys.iter().any(|key| jwk_serves(key, *algorithm)) {
            let (message, help) = if is_hmac(*algorithm) {
                (
                    format!("`{algorithm:?}` needs a shared secret, and {name} is a set of public keys"),
                    "use `keys: {secret: {env: NAME}}`, or an algorithm with public keys",
                )
            } else {
                (
                    format!("no key in {name} serves `{algorithm:?}`"),
                    "remove the algorithm, or add the key: RS and PS need RSA, ES256 P-256, ES384 P-384, ES256K secp256k1, EdDSA Ed25519",
                )
            };
            report.error("algorithm-without-key", here, message, help);
            all_served = false;
        }
    }
    all_served
}

fn jwk_serves(key: &Value, algorithm: Algorithm) -> bool {
    let text = |member: &str| key.get(member).and_then(Value::as_str);
    if text("use").is_some_and(|u| u != "sig") {
        return false;
    }
    let name = format!("{algorithm:?}");
    if text("alg").is_some_and(|alg| alg != name && !(alg == "Ed25519" && name == "EdDSA")) {
        return false;
    }
    match (text("kty"), text("crv")) {
        (Some("RSA"), _) => name.starts_with("RS") || name.starts_with("PS"),
        (Some("EC"), Some("P-256")) => algorithm == Algorithm::ES256,
        (Some("EC"), Some("P-384")) => algorithm == Algorithm::ES384,
        (Some("EC"), Some("secp256k1")) => algorithm == Algorithm::ES256K,
        (Some("OKP"), Some("Ed25519")) => algorithm == Algorithm::EdDSA,
        _ => false,
    }
}
