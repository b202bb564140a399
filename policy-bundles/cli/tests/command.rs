//! The command as people and pipelines run it: output, files, exit codes.

#![expect(clippy::panic, reason = "a helper of tests that cannot do its work must fail the test")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A directory of its own for each test.
fn scratch(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    path
}

fn bartizan(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bartizan"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{e}"));
    if let Some(mut stdin) = child.stdin.take() {
        // A command that reads no input may be gone already.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output().unwrap_or_else(|e| panic!("{e}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn bad() -> String {
    format!("{}/../invalid/several-at-once", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_new_bundle_can_be_checked_built_and_explained() {
    let directory = scratch("new").join("policy");
    let place = directory.display().to_string();
    for name in ["lockdown", "minimal", "iot-gateway", "agent-api", "fleet-devices", "several-teams"] {
        let _ = std::fs::remove_dir_all(&directory);
        assert_eq!(bartizan(&["init", "--from", name, &place], "").status.code(), Some(0));
        let check = bartizan(&["check", "--deny-warnings", &place], "");
        assert_eq!(check.status.code(), Some(0), "{name}: {}", text(&check.stdout));
    }
    // The line for editors names a schema that is there, in a part too.
    let part = directory.join("parts/shop/part.yaml");
    let first = std::fs::read_to_string(&part).unwrap_or_default();
    let schema = first.lines().next().and_then(|line| line.split("$schema=").nth(1)).unwrap_or_default();
    assert!(part.with_file_name(schema).is_file(), "{schema}");
    let again = bartizan(&["init", &place], "");
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("not empty"));
    let plan = directory.join("plan.json").display().to_string();
    assert_eq!(bartizan(&["build", &place, "--plan", "-o", &plan], "").status.code(), Some(0));
    let bytes = std::fs::read(&plan).unwrap_or_default();
    assert!(bartizan_engine::plan::Plan::parse(&bytes).is_ok());
    let explained = bartizan(&["explain", &place, "--request", "-", "--format", "json"], "{path: /nowhere}");
    assert_eq!(explained.status.code(), Some(0), "{}", text(&explained.stderr));
    let json: serde_json::Value = serde_json::from_slice(&explained.stdout).unwrap_or_default();
    assert_eq!(json["decision"]["reason"], "route-unknown", "{json:#}");
}

#[test]
fn the_plugin_configuration_is_what_the_filter_reads() {
    let place = format!("{}/../library/iot-gateway", env!("CARGO_MANIFEST_DIR"));
    let output = bartizan(&["build", &place, "--inline", "--signatures", "wasm"], "");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!(json["settings"], serde_json::json!({"hold_headers": true, "signatures": "wasm"}));
    assert!(bartizan_engine::plan::Plan::parse(json["plan"].to_string().as_bytes()).is_ok());
    let envoy = text(&bartizan(&["build", &place, "--inline=envoy", "--hold-headers", "false"], "").stdout);
    assert!(envoy.contains("allow_on_headers_stop_iteration: false"), "{envoy}");
    assert!(envoy.contains("\"hold_headers\":false"), "{envoy}");
}

#[test]
fn with_errors_nothing_is_built_and_what_was_there_stays() {
    let target = scratch("kept").join("plan.json");
    std::fs::write(&target, "before").unwrap_or_else(|e| panic!("{e}"));
    let output = bartizan(&["build", &bad(), "-o", &target.display().to_string()], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).contains("did you mean `access`?"));
    assert_eq!(std::fs::read_to_string(&target).unwrap_or_default(), "before");
    let left = std::fs::read_dir(target.parent().unwrap_or(&target)).into_iter().flatten().count();
    assert_eq!(left, 1, "no half-written file stays");
}

#[test]
fn exit_codes_and_formats_are_as_documented() {
    let check = bartizan(&["check", "--format", "json", &bad()], "");
    assert_eq!(check.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap_or_default();
    assert_eq!(json["bundles"][0]["accepted"], false);
    assert!(json["bundles"][0]["diagnostics"][0]["line"].is_u64(), "{json:#}");
    assert_eq!(bartizan(&["check"], "").status.code(), Some(2));
    assert_eq!(bartizan(&["chekc", "."], "").status.code(), Some(2));
    assert_eq!(bartizan(&["check", "/nonexistent/bundle"], "").status.code(), Some(1));
    let place = format!("{}/../library/minimal", env!("CARGO_MANIFEST_DIR"));
    assert_eq!(bartizan(&["build", &place, "-o", "/nonexistent/plan.json"], "").status.code(), Some(3));
    assert_eq!(bartizan(&["explain", &place, "--request", "/nonexistent"], "").status.code(), Some(3));
    assert_eq!(bartizan(&["explain", &place, "--request", "-"], "{pth: /}").status.code(), Some(1));
    assert_eq!(bartizan(&["schema"], "").status.code(), Some(0));
    assert_eq!(bartizan(&["reasons", "--format", "json"], "").status.code(), Some(0));
}

#[test]
fn colours_are_for_terminals() {
    assert!(!text(&bartizan(&["check", &bad()], "").stdout).contains('\u{1b}'));
    assert!(text(&bartizan(&["--color", "always", "check", &bad()], "").stdout).contains('\u{1b}'));
}
