//! Public test vectors: where they are, and what it means when they are not there.
//!
//! The vectors are not part of the repository. Each runner asks [`folder`] for its folder. Without
//! vectors a runner says so and passes on a laptop; with `CI=true` it fails, for a suite that ran nothing
//! proves nothing.

use std::env;
use std::path::{Path, PathBuf};

/// The environment variable that names the directory of the vectors.
pub const VECTORS: &str = "BARTIZAN_VECTORS";

/// The folder `name` of the vectors: under `BARTIZAN_VECTORS`, or else under `shared/conformance` beside
/// the repository. `None`, with a printed line, if there is none.
///
/// # Panics
/// With `CI=true` when the folder is not there: a run that tests nothing must not pass for a success.
#[must_use]
pub fn folder(name: &str) -> Option<PathBuf> {
    let candidates = candidates();
    if let Some(found) = candidates.iter().map(|root| root.join(name)).find(|f| f.is_dir()) {
        return Some(found);
    }
    let looked: Vec<String> = candidates.iter().map(|root| root.display().to_string()).collect();
    let message = format!("no vectors `{name}` in {}; set {VECTORS}", looked.join(", "));
    assert!(env::var("CI").as_deref() != Ok("true"), "{message}");
    println!("skipped: {message}");
    None
}

fn candidates() -> Vec<PathBuf> {
    if let Some(named) = env::var_os(VECTORS) {
        return vec![PathBuf::from(named)];
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // A linked worktree stands somewhere else, one level deeper.
    vec![repository.join("../shared/conformance"), repository.join("../../shared/conformance")]
}

/// All files under a folder whose name ends in `ending`, sorted by path, so that runs are comparable.
///
/// # Panics
/// When the folder cannot be read.
#[must_use]
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(directory) = pending.pop() {
        #[expect(clippy::panic, reason = "a helper of tests: an unreadable folder must fail the run")]
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(problem) => panic!("{}: {problem}", directory.display()),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
