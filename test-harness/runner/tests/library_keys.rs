//! The ready-made bundles carry public test keys: those of the mint, and no others.

use std::path::Path;

use bartizan_cases::mint::keys::{KeyName, jwks};

#[test]
fn the_key_sets_of_the_library_are_the_test_keys() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy-bundles/library");
    for (bundle, keys) in [
        ("minimal", &["rs256-0"][..]),
        ("iot-gateway", &["rs256-0", "es256-0"]),
        ("agent-api", &["eddsa-0", "rs256-0"]),
        ("fleet-devices", &["es256-0"]),
        ("several-teams", &["es256-0"]),
    ] {
        let path = library.join(bundle).join("keys/test.jwks.json");
        let names: Vec<_> = keys.iter().map(|name| KeyName::parse(name).unwrap()).collect();
        let current = jwks(&names).unwrap() + "\n";
        if std::env::var_os("BARTIZAN_UPDATE").is_some() {
            std::fs::write(&path, &current).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(published == current, "{} has drifted; run this test with BARTIZAN_UPDATE=1", path.display());
    }
}
