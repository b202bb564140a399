//! Files that commands read and write: with a bound, and in one step.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use bartizan_compiler::artifact::Artifact;
use bartizan_engine::envelope::Refused;
use bartizan_engine::envelope::dsse::MAX_ENVELOPE_BYTES;

use crate::output::{Failure, shown};

/// The largest key file.
const MAX_KEY_BYTES: u64 = 64 * 1024;

/// Reads a file of at most so many bytes; one byte more of a larger one, so that it is seen to be too large.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
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
    String::from_utf8(bytes).map_err(|_| Failure::new(format!("{}: not text, so no key in PEM", shown(path))))
}

/// Writes a file in one step: whoever reads it sees the old one or the new one, and never half of one.
pub(crate) fn write(target: &Path, bytes: &[u8]) -> Result<(), Failure> {
    replace(target, bytes, None)
}

/// Writes a file that is there in one step. Who may read and write it stays as it was.
pub(crate) fn rewrite(target: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let permissions = target.metadata().map_err(|error| Failure::at(target, &error))?.permissions();
    replace(target, bytes, Some(permissions))
}

fn replace(target: &Path, bytes: &[u8], permissions: Option<Permissions>) -> Result<(), Failure> {
    let name = target.file_name().ok_or_else(|| Failure::new(format!("{} is not a file", shown(target))))?;
    let (temporary, mut file) = beside(target, name).map_err(|error| Failure::at(target, &error))?;
    let written = file
        .write_all(bytes)
        .and_then(|()| permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions)))
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&temporary, target));
    written.map_err(|error| {
        // The half-written file is of no use; that it may stay behind is not worth a second error.
        let _ = std::fs::remove_file(&temporary);
        Failure::at(target, &error)
    })
}

/// A new file beside another one. In containers every process has the same few numbers, and one that was killed has
/// left its file there: what is there is somebody else's, and the next name is tried.
fn beside(target: &Path, name: &OsStr) -> io::Result<(PathBuf, File)> {
    let mut attempt = 0_u32;
    loop {
        let mut temporary = name.to_owned();
        temporary.push(format!(".{}-{attempt}.tmp", std::process::id()));
        let temporary = target.with_file_name(temporary);
        match File::create_new(&temporary) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
            made => return made.map(|file| (temporary, file)),
        }
    }
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
    let mut file = options.open(target).map_err(|error| Failure::at(target, &error))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        // This call made it, and half of it would only be in the way of the next try.
        let _ = std::fs::remove_file(target);
        Failure::at(target, &error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_others_are_left_alone() {
        let directory = std::env::temp_dir().join(format!("bartizan-files-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let target = directory.join("edge.bundle");
        let other = directory.join(format!("edge.bundle.{}-0.tmp", std::process::id()));
        std::fs::write(&other, "somebody else's").unwrap();
        write(&target, b"new").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(std::fs::read(&other).unwrap(), b"somebody else's");
        // What cannot be put in its place leaves nothing behind.
        let taken = directory.join("taken");
        std::fs::create_dir_all(taken.join("full")).unwrap();
        assert!(write(&taken, b"new").is_err());
        assert!(write_new(&other, "new", false).is_err());
        assert_eq!(std::fs::read(&other).unwrap(), b"somebody else's");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 3);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
