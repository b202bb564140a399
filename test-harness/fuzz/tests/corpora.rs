//! Every target over its corpus.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what helps a test may fail as a test does")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bartizan_fuzz::TARGETS;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(corpora().join(name))
        .unwrap_or_else(|e| panic!("corpus/{name}: {e}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn every_input_of_every_corpus() {
    for target in TARGETS {
        let inputs = corpus(target.name);
        assert!(!inputs.is_empty(), "corpus/{} is empty", target.name);
        let mut accepted = 0;
        for (path, input) in &inputs {
            // Says which one, if the target panics.
            let shown = Shown(path);
            accepted += usize::from((target.run)(input));
            std::mem::forget(shown);
        }
        println!("{}: {} inputs, {accepted} of them accepted", target.name, inputs.len());
        // A target that never gets to its laws would be content with anything.
        assert!(accepted > 0 && accepted < inputs.len(), "{}: {accepted} accepted", target.name);
    }
}

/// Names the input if it goes away in a panic.
struct Shown<'p>(&'p Path);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        eprintln!("the input is {}", self.0.display());
    }
}

#[test]
fn every_corpus_has_a_target() {
    let names: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let folders: BTreeSet<_> = fs::read_dir(corpora())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, folders);
}
