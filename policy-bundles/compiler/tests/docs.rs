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

/// The fenced blocks of a page: what stands behind the backquotes, and what is in it.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

fn compile(page: &str, block: &str, own: &[(&str, &str)]) {
    let text = completed(block);
    let files = [
        ("keys/corp.pem", PEM.to_owned()),
        ("keys/corp.jwks.json", format!(r#"{{"keys":[{EC}]}}"#)),
        ("keys/both.jwks.json", format!(r#"{{"keys":[{EC},{RSA}]}}"#)),
        ("schemas/telemetry.json", r#"{"type":"object"}"#.to_owned()),
        ("../teams/shop/schemas/order.json", r#"{"type":"object"}"#.to_owned()),
        ("bundle.yaml", text.clone()),
    ];
    let own = own.iter().map(|(name, text)| (*name, (*text).to_owned()));
    let files: BTreeMap<_, _> =
        files.into_iter().chain(own).map(|(name, text)| (name.to_owned(), text.into_bytes())).collect();
    let compiled = compile_files(files);
    assert_eq!(compiled.errors(), 0, "{page}\n{}\n{text}", compiled.render(false));
    assert!(compiled.plan.is_some());
}

fn read(page: &str) -> std::io::Result<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page))
}

#[test]
fn every_block_compiles() {
    let page = read("policy-language.md").unwrap();
    let all = blocks(&page);
    let part = all.iter().find(|(info, _)| *info == "yaml part").unwrap().1;
    let mut count = 0;
    for (_, block) in all.iter().filter(|(info, _)| *info == "yaml") {
        compile("policy-language.md", block, &[("../teams/shop/part.yaml", part)]);
        count += 1;
    }
    assert!(count >= 8, "only {count} blocks");
}

/// A block that begins with ```` ```yaml data/users.yaml ```` is that file, for every bundle of its page.
#[test]
fn every_page_about_a_method_has_a_bundle_that_compiles() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/identity");
    let mut pages = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        let name = format!("identity/{name}");
        let page = read(&name).unwrap();
        let all = blocks(&page);
        let files: Vec<(&str, &str)> = all
            .iter()
            .filter_map(|(info, text)| Some((info.split_once(' ')?.1.trim(), *text)))
            .filter(|(file, _)| file.contains('.'))
            .collect();
        let bundles: Vec<&str> =
            all.iter().filter(|(info, _)| *info == "yaml").map(|(_, text)| *text).collect();
        assert!(!bundles.is_empty(), "{name} has no bundle");
        for bundle in bundles {
            compile(&name, bundle, &files);
        }
        pages += 1;
    }
    assert!(pages >= 1);
}
