//! Files that commands read and write: with a bound, and in one step.

use std::io::{Read, Write};
use std::path::Path;

use bartizan_compiler::artifact::Artifact;
use bartizan_engine::envelope::Refused;
use bartizan_engine::envelope::dsse::MAX_ENVELOPE_BYTES;

use crate::output::Failure;

/// The largest key file.
const MAX_KEY_BYTES: u64 = 64 * 1024;

/// Reads a file of at most so many bytes; one byte more of a larger one, so that it is seen to be too large.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| Failure::at(path, &error))?;
    Ok(bytes)
}

/// Reads an artifact. It is judged by whoever asked for it.
pub(crate) fn read_artifact(path: &Path) -> Result<Vec<u8>, Failure> {
    read(path, u64::try_from(MAX_ENVELOPE_BYTES).unwrap_or(u64::MAX))
}

/// Reads an artifact and what is in it, whoever has signed it.
pub(crate) fn open_artifact(path: &Path) -> Result<Result<Artifact, Refused>, Failure> {
    Ok(Artifact::read(&read_artifact(path)?))
}

/// Reads a key as text.
pub(crate) fn read_key(path: &Path) -> Result<String, Failure> {
    let bytes = read(path, MAX_KEY_BYTES)?;
    String::from_utf8(bytes)
        .map_err(|_| Failure::new(format!("{}: not text, so no key in PEM", path.display())))
}

/// Writes a file in one step: whoever reads it sees the old one or the new one, and never half of one.
pub(crate) fn write(target: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let name =
        target.file_name().ok_or_else(|| Failure::new(format!("{} is not a file", target.display())))?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = target.with_file_name(temporary);
    let written = std::fs::File::create_new(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, target));
    written.map_err(|error| {
        // The half-written file is of no use; that it may stay behind is not worth a second error.
        let _ = std::fs::remove_file(&temporary);
        Failure::at(target, &error)
    })
}

/// Writes a file that was not there. A secret is for its owner's eyes only, from the first moment on.
pub(crate) fn write_new(target: &Path, text: &str, secret: bool) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secret {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = secret;
    options
        .open(target)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| Failure::at(target, &error))
}
