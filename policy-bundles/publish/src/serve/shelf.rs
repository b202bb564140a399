//! What is served: artifacts by name, read from files that others write while we read.
//!
//! INVARIANT: an artifact on the shelf was read whole and judged good. A file that breaks, or cannot be read, leaves on the
//! shelf what it was before. Only a file that is gone takes its artifact with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bartizan_engine::envelope::dsse::{Envelope, MAX_ENVELOPE_BYTES};
use bartizan_engine::envelope::key::{hex, sha256};
use bartizan_engine::envelope::payload::About;
use bartizan_engine::envelope::{Kind, Refused, Trust, admit};
use bytes::Bytes;
use http::HeaderValue;

use super::log::{Log, Note};
use crate::text::clean;

/// The files of a directory that are served end with this.
const SUFFIX: &str = ".bundle";

/// The most artifacts of one server.
const MOST: usize = 1000;

/// A file that was written so short a time before it was read may be written again without another time stamp: file
/// systems count in steps of up to two seconds.
const RACY: Duration = Duration::from_secs(2);

/// What is served, by name.
pub(super) type Shelf = BTreeMap<String, Arc<Artifact>>;

/// A served artifact.
#[derive(Debug)]
pub(super) struct Artifact {
    pub(super) bytes: Bytes,
    /// The SHA-256 of the bytes, in quotes.
    pub(super) etag: HeaderValue,
    digest: [u8; 32],
}

/// Looks at the files, again and again.
#[derive(Debug)]
pub(super) struct Scanner {
    files: Vec<PathBuf>,
    /// As they were given: one that is a symlink may lead elsewhere at the next look.
    directories: Vec<PathBuf>,
    trust: Option<Trust>,
    known: BTreeMap<String, Known>,
    /// What was said of a path that cannot be served, so that it is said once.
    told: BTreeMap<PathBuf, String>,
    log: Log,
}

/// A name, and what its file was when it was last read.
#[derive(Debug, Default)]
struct Known {
    stamp: Option<Stamp>,
    served: Option<Arc<Artifact>>,
    /// The digest of what was refused last, and whether that was said.
    refused: Option<([u8; 32], bool)>,
    /// Whether there was no such file at the last look.
    missed: bool,
}

/// By what a file that was replaced or written to is told from the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    /// Device and inode.
    file: (u64, u64),
    bytes: u64,
    changed: SystemTime,
    /// Whether it was read so soon that another writing could have the same stamp.
    racy: bool,
}

impl Stamp {
    fn of(metadata: &Metadata, now: SystemTime) -> Self {
        #[cfg(unix)]
        let (file, changed) = {
            use std::os::unix::fs::MetadataExt as _;
            // Not the time of modification, which whoever copies a file may set.
            let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
            let nanos = u32::try_from(metadata.ctime_nsec()).unwrap_or(0);
            let since = Duration::new(seconds, 0).saturating_add(Duration::from_nanos(nanos.into()));
            ((metadata.dev(), metadata.ino()), UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH))
        };
        #[cfg(not(unix))]
        let (file, changed) = ((0, 0), metadata.modified().unwrap_or(UNIX_EPOCH));
        let apart = now.duration_since(changed).unwrap_or_else(|error| error.duration());
        Self { file, bytes: metadata.len(), changed, racy: apart < RACY }
    }

    /// Whether a file with the stamp `other` has surely not changed since this one.
    fn is_surely(&self, other: &Self) -> bool {
        !self.racy && self.is(other)
    }

    fn is(&self, other: &Self) -> bool {
        (self.file, self.bytes, self.changed) == (other.file, other.bytes, other.changed)
    }
}

impl Scanner {
    pub(super) fn new(paths: &[PathBuf], trust: Option<Trust>, log: Log) -> Result<Self, String> {
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        let mut names = BTreeSet::new();
        for path in paths {
            let told = |error: io::Error| format!("{}: {}", shown(path), error.to_string().to_lowercase());
            let metadata = fs::metadata(path).map_err(told)?;
            if metadata.is_dir() {
                directories.push(path.clone());
                continue;
            }
            if !metadata.is_file() {
                return Err(format!("{}: neither a file nor a directory", shown(path)));
            }
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| format!("{}: its name is not UTF-8; rename it", shown(path)))?;
            if !names.insert(name.to_owned()) {
                return Err(format!("{}: a second file with this name; rename one of them", shown(path)));
            }
            files.push(path.clone());
        }
        Ok(Self { files, directories, trust, known: BTreeMap::new(), told: BTreeMap::new(), log })
    }

    /// Looks at every file; what is served from now on, if that is another thing than before.
    pub(super) fn look(&mut self) -> Option<Arc<Shelf>> {
        let mut changed = false;
        let (found, complete) = self.found();
        for (name, (path, below)) in &found {
            changed |= self.look_at(name, path, below.as_deref());
        }
        if complete {
            let known = std::mem::take(&mut self.known);
            for (name, mut known) in known {
                if found.contains_key(&name) {
                    known.missed = false;
                    self.known.insert(name, known);
                } else if known.served.is_some() && !known.missed {
                    // Some replace a file by removing it first: it is gone when it is gone twice.
                    self.known.insert(name, Known { missed: true, ..known });
                } else if known.served.is_some() {
                    self.log.note(&Note::Gone { name: &name });
                    changed = true;
                }
            }
        }
        changed.then(|| {
            let served = self.known.iter().filter_map(|(name, known)| {
                known.served.as_ref().map(|artifact| (name.clone(), Arc::clone(artifact)))
            });
            Arc::new(served.collect())
        })
    }

    /// The files there are, by name, each with the directory that it must lie in; and whether nothing kept us from seeing all.
    fn found(&mut self) -> (BTreeMap<String, (PathBuf, Option<PathBuf>)>, bool) {
        let (mut found, mut complete) = (BTreeMap::new(), true);
        for path in &self.files {
            let name = path.file_name().and_then(|name| name.to_str());
            // Only what is surely gone is gone.
            let there = path.try_exists();
            complete &= there.is_ok();
            if let (Some(name), Ok(true)) = (name, there) {
                found.insert(name.to_owned(), (path.clone(), None));
            }
        }
        for directory in self.directories.clone() {
            let entries = fs::canonicalize(&directory).and_then(|real| {
                let entries = fs::read_dir(&real)?.collect::<io::Result<Vec<_>>>()?;
                Ok((real, entries))
            });
            let (real, mut entries) = match entries {
                Ok(read) => read,
                Err(error) => {
                    self.trouble(&directory, error.to_string().to_lowercase());
                    complete = false;
                    continue;
                }
            };
            self.told.remove(&directory);
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                let name = entry.file_name();
                let Some(name) =
                    name.to_str().filter(|name| name.ends_with(SUFFIX) && !name.starts_with('.'))
                else {
                    continue;
                };
                if found.len() >= MOST {
                    self.trouble(&directory, format!("more than {MOST} artifacts; the rest is not served"));
                    complete = false;
                    break;
                }
                match found.get(name) {
                    Some((other, _)) => {
                        let what = format!("not served, for {} has this name", shown(other));
                        self.trouble(&entry.path(), what);
                    }
                    None => {
                        found.insert(name.to_owned(), (entry.path(), Some(real.clone())));
                    }
                }
            }
        }
        (found, complete)
    }

    /// Looks at one file; whether something else is served under its name now.
    fn look_at(&mut self, name: &str, path: &Path, below: Option<&Path>) -> bool {
        let known = self.known.entry(name.to_owned()).or_default();
        let (stamp, bytes) = match read(path, below, known.stamp.as_ref()) {
            Ok(Some(read)) => read,
            Ok(None) => return false,
            Err(what) => {
                known.stamp = None;
                self.trouble(path, what);
                return false;
            }
        };
        self.told.remove(path);
        let racy = stamp.racy;
        known.stamp = Some(stamp);
        let digest = sha256(&bytes);
        if known.served.as_ref().is_some_and(|served| served.digest == digest) {
            known.refused = None;
            return false;
        }
        match judged(&bytes, self.trust.as_ref()) {
            Ok(about) => {
                let hex = hex(&digest);
                // Hexadecimal digits in quotes are a header value.
                let Ok(etag) = HeaderValue::from_str(&format!("\"{hex}\"")) else { return false };
                self.log.note(&Note::Serves {
                    name,
                    bytes: bytes.len(),
                    digest: &hex,
                    about: about.as_ref(),
                });
                known.served = Some(Arc::new(Artifact { bytes: bytes.into(), etag, digest }));
                known.refused = None;
                true
            }
            Err(refused) => {
                // Somebody may be writing it just now: a fresh file is complained about if it is the same at the next look.
                let again = known.refused.filter(|(before, _)| *before == digest);
                let told = again.is_some_and(|(_, told)| told);
                if refused.kind == Kind::NotYetValid {
                    // The file will not change, and the answer will.
                    known.stamp = None;
                }
                let tell = !told && (again.is_some() || !racy);
                if tell {
                    self.log.note(&Note::Refused { name, refused: &refused, stays: known.served.is_some() });
                }
                known.refused = Some((digest, told || tell));
                false
            }
        }
    }

    /// Says what is wrong with a path, once.
    fn trouble(&mut self, path: &Path, what: String) {
        if self.told.get(path) != Some(&what) {
            self.log.note(&Note::Trouble { place: &shown(path), what: &what });
            self.told.insert(path.to_owned(), what);
        }
    }
}

/// Whether bytes may be served. Who they claim to be is for the log only, and unknown if it is of another release.
fn judged(bytes: &[u8], trust: Option<&Trust>) -> Result<Option<About>, Refused> {
    match trust {
        Some(trust) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            admit(bytes, trust, now, None).map(|admitted| Some(admitted.about().clone()))
        }
        None => Envelope::parse(bytes).map(|envelope| About::read(&envelope.payload).ok()),
    }
}

/// Reads a file, unless it has the stamp it had; `None` too if it changes meanwhile, to be read at the next look.
fn read(
    path: &Path,
    below: Option<&Path>,
    before: Option<&Stamp>,
) -> Result<Option<(Stamp, Vec<u8>)>, String> {
    let told = |error: io::Error| error.to_string().to_lowercase();
    let path = &match below {
        None => path.to_owned(),
        Some(directory) => {
            // A symlink within the directory is fine, as mounted ConfigMaps have them; one that leads out of it would
            // publish what nobody has put there.
            let path = fs::canonicalize(path).map_err(told)?;
            if !path.starts_with(directory) {
                return Err(
                    "a symlink that leads out of the directory; name the file itself to serve it".into()
                );
            }
            path
        }
    };
    // Before it is opened: to open a pipe is to wait for whoever writes into it.
    let metadata = fs::metadata(path).map_err(told)?;
    if !metadata.is_file() {
        return Err("not a file".into());
    }
    let now = SystemTime::now();
    if before.is_some_and(|before| before.is_surely(&Stamp::of(&metadata, now))) {
        return Ok(None);
    }
    let mut file = File::open(path).map_err(told)?;
    let opened = file.metadata().map_err(told)?;
    let stamp = Stamp::of(&opened, now);
    // Another file than the one that was looked at: somebody is at work.
    if !opened.is_file() || stamp.file != Stamp::of(&metadata, now).file {
        return Ok(None);
    }
    let most = u64::try_from(MAX_ENVELOPE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    // One byte more than the most, so that it is seen to be too large.
    file.by_ref().take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(told)?;
    let after = Stamp::of(&file.metadata().map_err(told)?, now);
    Ok(stamp.is(&after).then_some((stamp, bytes)))
}

fn shown(path: &Path) -> String {
    clean(path.as_os_str().as_encoded_bytes())
}
