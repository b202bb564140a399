//! Sealed secrets: from `bartizan seal` through a bundle and its artifact to the engine.

use std::collections::BTreeMap;

use bartizan_compiler::artifact::{Artifact, SigningKey, envelope, payload, public_pem, seal};
use bartizan_compiler::{Compiled, compile_files};
use bartizan_engine::envelope::key::{Algorithm, PublicKey};
use bartizan_engine::pipeline::{Engine, Surroundings};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn bundle(name: &str, sealed: &str) -> Compiled {
    let text = format!(
        "apiVersion: bartizan/v1\nname: {name}\nauthentication:\n  jwt:\n    - name: corp\n      issuer: corp\n      \
         audiences: [api]\n      algorithms: [HS256]\n      keys: {{secret: {{sealed: {sealed}, key: {{env: FILTER_KEY}}}}}}\n\
         routes: [{{path: /, access: authenticated}}]\n"
    );
    compile_files(BTreeMap::from([("bundle.yaml".to_owned(), text.into_bytes())]))
}

#[expect(clippy::unwrap_used, reason = "what helps a test may fail as a test does")]
fn load(compiled: &Compiled, key: Option<&str>) -> Result<(), String> {
    let secret = |name: &str| {
        assert_eq!(name, "FILTER_KEY");
        key.map(|key| key.as_bytes().to_vec())
    };
    let surroundings =
        Surroundings { secret: &secret, seed: [1, 2], peer_appended: false, peer_verified: true };
    let plan = compiled.plan.clone().unwrap();
    Engine::load(plan, &surroundings).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_sealed_secret_goes_from_the_command_to_the_engine() {
    let key = SigningKey::generate(Algorithm::P256);
    let public = PublicKey::from_pem(&public_pem(&key.public().unwrap())).unwrap();
    let sealed = seal(SECRET, "edge", "corp", &public).unwrap();
    assert_ne!(seal(SECRET, "edge", "corp", &public), Ok(sealed.clone()), "sealed with a new key each time");
    let compiled = bundle("edge", &sealed);
    assert_eq!(compiled.errors(), 0, "{}", compiled.render(false));
    let pem = key.to_pem().unwrap();
    assert_eq!(load(&compiled, Some(&pem)), Ok(()));
    // Whoever has no key can still look at the artifact and sign it.
    let artifact = Artifact::read(&envelope(&payload(&compiled, None, None).unwrap(), &[]).unwrap()).unwrap();
    assert_eq!(Some(artifact.plan), compiled.plan);
    let other = SigningKey::generate(Algorithm::P256).to_pem().unwrap();
    let ed25519 = SigningKey::generate(Algorithm::Ed25519);
    for (key, said) in [
        (None, "the environment variable `FILTER_KEY` is not set"),
        (Some(other.as_str()), "the key does not open it"),
        (Some("hunter2"), "not a P-256 key"),
        (Some(ed25519.to_pem().unwrap().as_str()), "not a P-256 key"),
    ] {
        let problem = load(&compiled, key).unwrap_err();
        assert!(problem.contains(said) && !problem.contains("hunter2"), "{problem}");
    }
    let refused = seal(SECRET, "edge", "corp", &ed25519.public().unwrap()).unwrap_err();
    assert!(refused.contains("bartizan keygen --sealing"), "{refused}");
}

#[test]
fn a_secret_of_another_bundle_or_issuer_is_seen_before_any_proxy_has_it() {
    let key = SigningKey::generate(Algorithm::P256);
    let public = key.public().unwrap();
    for (bundle_name, issuer) in [("other", "corp"), ("edge", "other")] {
        let sealed = seal(SECRET, bundle_name, issuer, &public).unwrap();
        let compiled = bundle("edge", &sealed);
        assert!(compiled.plan.is_none());
        let said =
            format!("this secret was sealed for \"{bundle_name}/{issuer}\", and is that of `edge/corp` here");
        assert!(compiled.diagnostics.iter().any(|d| d.message == said), "{}", compiled.render(false));
    }
    // A plan that nobody compiled says it to the engine, also to one that has the key.
    let mut compiled = bundle("edge", &seal(SECRET, "edge", "corp", &public).unwrap());
    compiled.plan.as_mut().unwrap().name = "other".to_owned();
    let problem = load(&compiled, Some(&key.to_pem().unwrap())).unwrap_err();
    assert!(problem.contains("sealed for another bundle or issuer"), "{problem}");
    assert!(bartizan_compiler::load(compiled.plan.unwrap()).is_err());
}

#[test]
fn a_secret_that_is_too_short_for_its_algorithm_is_refused_when_it_is_opened() {
    let key = SigningKey::generate(Algorithm::P256);
    let compiled = bundle("edge", &seal(b"hunter2", "edge", "corp", &key.public().unwrap()).unwrap());
    let problem = load(&compiled, Some(&key.to_pem().unwrap())).unwrap_err();
    assert!(problem.contains("32") && !problem.contains("hunter2"), "{problem}");
}
