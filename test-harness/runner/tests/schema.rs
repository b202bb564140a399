//! The published JSON Schema of the case format is the one the types give.

use std::path::Path;

#[test]
fn the_published_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases/case.schema.json");
    let current = bartizan_cases::format::schema();
    if std::env::var_os("BARTIZAN_UPDATE").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(published == current, "{} has drifted; run this test with BARTIZAN_UPDATE=1", path.display());
}
