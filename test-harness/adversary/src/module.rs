//! The module under test.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use bartizan_host::Module;

/// The module: `$BARTIZAN_WASM`, or what `make build` left. What wasmtime makes of it is kept on disk.
///
/// # Errors
/// When there is none, or it is no module.
pub fn load() -> Result<Module> {
    let path = match std::env::var_os("BARTIZAN_WASM") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/bartizan.wasm"),
    };
    let bytes = std::fs::read(&path)
        .with_context(|| format!("no module at {}; run `make wasm`, or set BARTIZAN_WASM", path.display()))?;
    Module::load_cached(&bytes).with_context(|| format!("{}", path.display()))
}
