//! Every bad bundle under `policy-bundles/invalid` gets exactly the message in its `expected.txt`.
//!
//! Run with `BARTIZAN_BLESS=1` to write the messages anew, and read the difference before committing it.

use std::path::{Path, PathBuf};

use bartizan_compiler::{compile_dir, render};

fn bundles() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../invalid");
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut bundles: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    bundles.sort();
    bundles
}

#[test]
fn every_bad_bundle_gets_its_message_and_no_plan() {
    let bless = std::env::var_os("BARTIZAN_BLESS").is_some();
    let mut wrong = Vec::new();
    let bundles = bundles();
    assert!(bundles.len() >= 40, "only {} bad bundles", bundles.len());
    for bundle in bundles {
        let compiled = compile_dir(&bundle);
        assert!(compiled.plan.is_none(), "{} compiles", bundle.display());
        assert!(compiled.errors() > 0, "{} has no error", bundle.display());
        for diagnostic in &compiled.diagnostics {
            assert!(
                !diagnostic.help.is_empty(),
                "{}: no remedy for {}",
                bundle.display(),
                diagnostic.message
            );
            assert!(!diagnostic.message.ends_with('.'), "{}: {}", bundle.display(), diagnostic.message);
        }
        let rendered = compiled.render(false);
        let again = compile_dir(&bundle);
        assert_eq!(again.render(false), rendered, "{}: another order", bundle.display());
        assert_eq!(render::json(&compiled.diagnostics).as_array().unwrap().len(), compiled.diagnostics.len());
        let file = bundle.join("expected.txt");
        if bless {
            std::fs::write(&file, &rendered).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if expected != rendered {
            wrong.push(format!("{}\n--- expected\n{expected}\n--- found\n{rendered}", bundle.display()));
        }
    }
    assert!(wrong.is_empty(), "run with BARTIZAN_BLESS=1 and read the difference\n{}", wrong.join("\n"));
}

#[test]
fn no_message_repeats_a_secret_or_a_private_key() {
    for bundle in bundles() {
        let shown: String =
            compile_dir(&bundle).diagnostics.iter().map(|d| format!("{}{}", d.message, d.help)).collect();
        for secret in ["hunter2", "only the shape of one"] {
            assert!(!shown.contains(secret), "{}: {shown}", bundle.display());
        }
    }
}
