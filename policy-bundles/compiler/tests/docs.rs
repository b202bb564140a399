//! Every YAML block in the documentation of the language compiles, the part with the bundle that lists it.

use std::collections::BTreeMap;
use std::path::Path;

use bartizan_compiler::compile_files;

/// The P-256 key of RFC 7517, appendix A.1, as PEM.
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8A\niTo7Tu6KPAqv7D7gS2XpJFbZiItSs3m9+9Ue6GnvHw/GW2ZZaVtszggXIw==\n-----END PUBLIC KEY-----\n";

const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","alg":"ES256"}"#;

/// The RSA key of RFC 7517, appendix A.1.
const RSA: &str = r#"{"kty":"RSA","e":"AQAB","alg":"RS256","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}"#;

/// What a block does not say itself.
fn completed(block: &str) -> String {
    let has = |field: &str| block.lines().any(|line| line.starts_with(field));
    let mut text = block.to_owned();
    if !has("apiVersion:") {
        text = format!("apiVersion: bartizan/v1\nname: example\n{text}");
    }
    if !has("authentication:")
        && (block.contains("authenticated") || block.contains("permission:") || block.contains("parts:"))
    {
        text.push_str("authentication: {jwt: [{name: corp, issuer: corp, audiences: [api], algorithms: [ES256], keys: {pem: keys/corp.pem}}]}\n");
    }
    if !has("routes:") {
        text.push_str("routes: [{path: /, access: public}]\n");
    }
    text
}

#[test]
fn every_block_compiles() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policy-language.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let part = page.split("```yaml part\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(blocks.len() >= 8, "only {} blocks", blocks.len());
    for block in blocks {
        let text = completed(block);
        let files = [
            ("bundle.yaml", text.clone()),
            ("keys/corp.pem", PEM.to_owned()),
            ("keys/corp.jwks.json", format!(r#"{{"keys":[{EC}]}}"#)),
            ("keys/both.jwks.json", format!(r#"{{"keys":[{EC},{RSA}]}}"#)),
            ("schemas/telemetry.json", r#"{"type":"object"}"#.to_owned()),
            ("../teams/shop/part.yaml", part.to_owned()),
            ("../teams/shop/schemas/order.json", r#"{"type":"object"}"#.to_owned()),
        ];
        let files: BTreeMap<_, _> =
            files.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes())).collect();
        let compiled = compile_files(files);
        assert_eq!(compiled.errors(), 0, "{}\n{text}", compiled.render(false));
        assert!(compiled.plan.is_some());
    }
}
