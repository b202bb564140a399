//! Finding and reading vectors.

use std::path::PathBuf;

use serde_json::Value;

/// The folder with all vectors, or a message for whoever wonders why nothing ran.
///
/// # Errors
/// In CI, when there is none.
pub fn folder() -> Result<Option<PathBuf>, String> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance");
    let folder = std::env::var_os("BARTIZAN_VECTORS").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if folder.is_dir() {
        return Ok(Some(folder));
    }
    let message = "no vectors: set BARTIZAN_VECTORS to the folder that has `wycheproof` in it";
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        return Err(message.to_owned());
    }
    println!("skipped: {message}");
    Ok(None)
}

/// Reads one JSON file of vectors; `None` where a laptop has no vectors.
///
/// # Errors
/// When the file is missing or not JSON, and in CI when there are no vectors.
pub fn json(file: &str) -> Result<Option<Value>, String> {
    let Some(folder) = folder()? else { return Ok(None) };
    let path = folder.join(file);
    let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_slice(&text).map(Some).map_err(|e| format!("{}: {e}", path.display()))
}

/// Decodes the hexadecimal strings of Wycheproof.
///
/// # Errors
/// When it is not an even number of hexadecimal digits.
pub fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => {
            Ok(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
        }
        _ => Err(format!("not hexadecimal: {text}")),
    }
}
