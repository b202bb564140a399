//! The JSON reader against nst/JSONTestSuite: what must be read is read, what must not is refused, and
//! nothing at all makes it fall over.

use bartizan_conformance::bodies::JsonRoute;
use bartizan_conformance::vectors;
use bartizan_engine::reason::Reason;

/// Files that are valid JSON by RFC 8259 and are refused nevertheless, and why.
const STRICTER: &[(&str, &str)] = &[
    ("y_object_duplicated_key.json", "duplicate members: readers disagree about which one counts"),
    ("y_object_duplicated_key_and_value.json", "duplicate members: readers disagree about which one counts"),
];

#[test]
fn json_test_suite() -> Result<(), String> {
    let Some(folder) = vectors::folder()? else { return Ok(()) };
    let route = JsonRoute::new(None).map_err(|e| e.to_string())?;
    let entries = std::fs::read_dir(folder.join("jsontestsuite/test_parsing")).map_err(|e| e.to_string())?;
    let (mut read, mut refused, mut either, mut wrong) = (0, 0, 0, Vec::new());
    for entry in entries {
        let path = entry.map_err(|e| e.to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let body = std::fs::read(&path).map_err(|e| e.to_string())?;
        let verdict = route.judge(&body);
        if let Err(refusal) = &verdict {
            // An empty body is a missing one; everything else is malformed, or too deep.
            assert!(
                matches!(refusal.reason, Reason::BodyMalformed | Reason::BodyLimits | Reason::BodyMissing),
                "{name}: {refusal:?}"
            );
        }
        let stricter = STRICTER.iter().any(|(listed, _)| *listed == name);
        match (name.as_bytes().first(), verdict.is_ok()) {
            (Some(b'y'), true) if stricter => wrong.push(format!("{name} is listed as refused and was read")),
            (Some(b'y'), true) => read += 1,
            (Some(b'y'), false) if stricter => {}
            (Some(b'n'), false) => refused += 1,
            (Some(b'i'), _) => either += 1,
            (_, verdict) => wrong.push(format!("{name} was {}", if verdict { "read" } else { "refused" })),
        }
    }
    println!("json syntax: {read} read, {refused} refused, {either} of either kind, skipped:");
    for (name, reason) in STRICTER {
        println!("  {name}: {reason}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("; "));
    assert!(read >= 93 && refused >= 188 && either >= 35, "vectors are missing");
    Ok(())
}
