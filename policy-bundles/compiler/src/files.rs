//! The files of a bundle. A bundle may come from a stranger: nothing outside of its directory is read, and
//! nothing larger than its cap. The exception are parts whose `dir` begins with `..`: bundles of strangers that
//! have such ones are not to be compiled where files lie that they must not see.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use bartizan_engine::envelope::key::sha256;

use crate::diagnostic::{Diagnostic, Severity, Span};

/// Where the files are.
#[derive(Debug)]
enum Store {
    Directory(PathBuf),
    Memory(BTreeMap<String, Vec<u8>>),
}

/// The files of a bundle, and the text of those that were read.
#[derive(Debug)]
pub struct Files {
    store: Store,
    /// Files that are taken for another text than they have.
    instead: BTreeMap<String, Vec<u8>>,
    /// The directories of parts, by name. What lies in one is read as `parts/NAME/...`, wherever it lies.
    parts: BTreeMap<String, String>,
    read: BTreeMap<String, Result<String, FileProblem>>,
    /// What is shown of a file; of one that is not UTF-8, as much as can be shown.
    texts: BTreeMap<String, String>,
    digests: BTreeMap<String, [u8; 32]>,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// A stable code.
    pub code: &'static str,
    /// Where in the file, if it could be read at all.
    pub span: Option<Span>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl FileProblem {
    fn new(code: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, span: None, message: message.into(), help: help.into() }
    }

    /// The problem as an error in the file itself.
    #[must_use]
    pub fn into_diagnostic(self, file: &str) -> Diagnostic {
        Diagnostic {
            file: file.to_owned(),
            span: self.span.unwrap_or_default(),
            severity: Severity::Error,
            code: self.code,
            message: self.message,
            help: self.help,
        }
    }
}

impl Files {
    /// The files of a directory.
    #[must_use]
    pub fn directory(path: &Path) -> Self {
        Self::of(Store::Directory(path.to_owned()))
    }

    /// Files in memory, by relative path.
    #[must_use]
    pub fn memory(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self::of(Store::Memory(files))
    }

    /// The same files, but one with another text than it has.
    #[must_use]
    pub fn with(mut self, path: &str, text: &str) -> Self {
        self.instead.insert(path.to_owned(), text.as_bytes().to_vec());
        self
    }

    fn of(store: Store) -> Self {
        Self {
            store,
            instead: BTreeMap::new(),
            parts: BTreeMap::new(),
            read: BTreeMap::new(),
            texts: BTreeMap::new(),
            digests: BTreeMap::new(),
        }
    }

    /// The texts that were read, and the SHA-256 of each file as it is on disk, by path.
    #[must_use]
    pub fn into_texts_and_digests(self) -> (BTreeMap<String, String>, BTreeMap<String, [u8; 32]>) {
        (self.texts, self.digests)
    }

    /// Keeps the text of a file out of what is shown: its lines may be secrets.
    pub(crate) fn hide(&mut self, path: &str) {
        self.texts.remove(path);
    }

    /// Adds a part: files below `parts/NAME/` are those of this directory, which is given relative to the bundle.
    pub fn add_part(&mut self, name: &str, directory: &str) {
        self.parts.entry(name.to_owned()).or_insert_with(|| directory.to_owned());
    }

    /// The part that a file belongs to.
    #[must_use]
    pub fn part_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (name, _) = path.strip_prefix("parts/")?.split_once('/')?;
        self.parts.contains_key(name).then_some(name)
    }

    /// The directory of a file, if it is of a part, and its path from there.
    fn place<'p>(&self, path: &'p str) -> (Option<&str>, &'p str) {
        let part = path.strip_prefix("parts/").and_then(|rest| rest.split_once('/'));
        match part.and_then(|(name, inside)| Some((self.parts.get(name)?, inside))) {
            Some((directory, inside)) => (Some(directory), inside),
            None => (None, path),
        }
    }

    /// What is wrong with where a part lies: in the directory of another one, around it or around the bundle, or outside
    /// of the bundle without saying so. A directory that is not there has no place.
    pub(crate) fn entangled<'n>(
        &self,
        directory: &str,
        mut others: impl Iterator<Item = (&'n str, String)>,
    ) -> Option<String> {
        let place = |directory: &str| match &self.store {
            Store::Directory(bundle) => bundle.join(directory).canonicalize().ok(),
            // Paths in memory are names: one is in another one if it begins with it.
            Store::Memory(_) => Some(PathBuf::from(directory)),
        };
        let own = place(directory)?;
        let within = |a: &Path, b: &Path| a.starts_with(b) || b.starts_with(a);
        if let Some((other, theirs)) =
            others.find(|(_, theirs)| place(theirs).is_some_and(|theirs| within(&own, &theirs)))
        {
            return Some(match theirs == directory {
                true => format!("the part `{other}` lies in `{directory}` already"),
                false => format!("`{directory}` and `{theirs}` (of the part `{other}`) lie in one another"),
            });
        }
        if let Store::Directory(bundle) = &self.store {
            let bundle = bundle.canonicalize().ok()?;
            let file = bundle.join(crate::BUNDLE_FILE).canonicalize().ok()?;
            if bundle.starts_with(&own) || file.starts_with(&own) {
                return Some(format!("the bundle itself lies in `{directory}`"));
            }
            if !directory.starts_with("..") && !own.starts_with(&bundle) {
                return Some(format!("`{directory}` leads out of the bundle directory"));
            }
        }
        None
    }

    /// Reads a file as UTF-8, without a byte order mark.
    ///
    /// # Errors
    /// When it is missing, too large, outside of the bundle, or not UTF-8.
    pub fn read_text(&mut self, path: &str, most: u64) -> Result<String, FileProblem> {
        if let Some(before) = self.read.get(path) {
            return before.clone();
        }
        let result = self.read_new(path, most);
        self.read.insert(path.to_owned(), result.clone());
        result
    }

    fn read_new(&mut self, path: &str, most: u64) -> Result<String, FileProblem> {
        let (part, inside) = self.place(path);
        let bytes = match &self.store {
            _ if self.instead.contains_key(path) => Ok(self.instead.get(path).cloned().unwrap_or_default()),
            Store::Memory(files) => {
                let key = part.map_or_else(|| path.to_owned(), |directory| format!("{directory}/{inside}"));
                if part.is_none()
                    && let Some(part) = self.parts.iter().find(|(_, dir)| Path::new(path).starts_with(dir))
                {
                    return Err(file_of_a_part(path, part.0));
                }
                match files.get(&key) {
                    Some(bytes) if length(bytes) > most => Err(too_large(path, most)),
                    Some(bytes) => Ok(bytes.clone()),
                    None => Err(missing(path, part, files.keys().map(String::as_str))),
                }
            }
            Store::Directory(directory) => read(directory, &self.parts, part, inside, path, most),
        }?;
        self.digests.insert(path.to_owned(), sha256(&bytes));
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                self.texts.insert(path.to_owned(), text.to_owned());
                Ok(text.to_owned())
            }
            Err(error) => {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let text = String::from_utf8_lossy(bytes).into_owned();
                self.texts.insert(path.to_owned(), text);
                Err(not_utf8(path, good))
            }
        }
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Reads a file of the bundle, or of a part in another directory. `path` is what the file is called.
fn read(
    bundle: &Path,
    parts: &BTreeMap<String, String>,
    part: Option<&str>,
    inside: &str,
    path: &str,
    most: u64,
) -> Result<Vec<u8>, FileProblem> {
    let directory = part.map_or_else(|| bundle.to_owned(), |part| bundle.join(part));
    if let Some(part) = part.filter(|_| !directory.is_dir()) {
        return Err(FileProblem::new(
            "part-missing",
            format!("there is no directory `{part}`"),
            "correct `dir` of the part: it is relative to the bundle directory, and `parts/NAME` by default",
        ));
    }
    let root = directory.canonicalize().map_err(|_| {
        FileProblem::new(
            "bundle-missing",
            format!("there is no directory `{}`", directory.display()),
            "name a bundle directory, or make one with `bartizan init DIR`",
        )
    })?;
    if !root.is_dir() {
        return Err(FileProblem::new(
            "bundle-missing",
            format!("`{}` is not a directory", directory.display()),
            "name the directory that has the `bundle.yaml`",
        ));
    }
    let resolved = root.join(inside).canonicalize().map_err(|_| {
        let beside = beside(&root, inside);
        let called = |name: &String| path.strip_suffix(inside).unwrap_or_default().to_owned() + name;
        let beside: Vec<String> = beside.iter().map(called).collect();
        missing(path, part, beside.iter().map(String::as_str))
    })?;
    // A symbolic link may point anywhere on the machine that compiles.
    if !resolved.starts_with(&root) {
        return Err(FileProblem::new(
            "file-outside",
            format!(
                "`{path}` leads out of the {} directory",
                if part.is_some() { "part's" } else { "bundle" }
            ),
            "a bundle carries all its files; copy the file into it instead of linking to it",
        ));
    }
    // By whatever way it is named: what a part says must not decide what the bundle says.
    let inside_of =
        |dir: &String| bundle.join(dir).canonicalize().is_ok_and(|directory| resolved.starts_with(directory));
    if part.is_none()
        && let Some((name, _)) = parts.iter().find(|(_, dir)| inside_of(dir))
    {
        return Err(file_of_a_part(path, name));
    }
    let unreadable = |why: &dyn std::fmt::Display| {
        FileProblem::new(
            "file-unreadable",
            format!("`{path}` cannot be read: {why}"),
            "check its permissions",
        )
    };
    let metadata = resolved.metadata().map_err(|e| unreadable(&e))?;
    if !metadata.is_file() {
        return Err(FileProblem::new(
            "file-missing",
            format!("`{path}` is not a file"),
            "name a regular file of the bundle",
        ));
    }
    let file = std::fs::File::open(&resolved).map_err(|e| unreadable(&e))?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| unreadable(&e))?;
    if length(&bytes) > most {
        return Err(too_large(path, most));
    }
    Ok(bytes)
}

/// The files that stand where a missing file was looked for, relative to the bundle.
fn beside(root: &Path, path: &str) -> Vec<String> {
    let parent = Path::new(path).parent().unwrap_or(Path::new(""));
    let Ok(entries) = std::fs::read_dir(root.join(parent)) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .take(1000)
        .filter_map(|entry| parent.join(entry.file_name()).to_str().map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn missing<'n>(path: &str, part: Option<&str>, mut others: impl Iterator<Item = &'n str>) -> FileProblem {
    if let Some(directory) =
        part.filter(|_| path.matches('/').count() == 2 && path.ends_with(crate::PART_FILE))
    {
        return FileProblem::new(
            "part-missing",
            format!("there is no `{}` in `{directory}`", crate::PART_FILE),
            "let `dir` name the directory that has the `part.yaml`; it is relative to the bundle directory",
        );
    }
    if path == crate::BUNDLE_FILE && others.any(|other| other == crate::PART_FILE) {
        return FileProblem::new(
            "bundle-missing",
            "there is no `bundle.yaml`; this is a part of a bundle",
            "name the directory of the bundle that lists this part",
        );
    }
    if path == crate::BUNDLE_FILE {
        return FileProblem::new(
            "bundle-missing",
            "there is no `bundle.yaml`",
            "name a bundle directory, or make one with `bartizan init DIR`",
        );
    }
    let help = match crate::suggest::nearest(path, others) {
        Some(other) => format!("did you mean `{other}`?"),
        None => "put the file into the bundle directory, and name it by its path from there".to_owned(),
    };
    FileProblem::new("file-missing", format!("there is no file `{path}` in the bundle"), help)
}

fn file_of_a_part(path: &str, part: &str) -> FileProblem {
    FileProblem::new(
        "file-of-a-part",
        format!("`{path}` is a file of the part `{part}`, which could change what the bundle says"),
        "copy the file into a directory of the bundle",
    )
}

fn too_large(path: &str, most: u64) -> FileProblem {
    FileProblem::new(
        "file-too-large",
        format!("`{path}` is larger than {most} bytes"),
        "make it smaller, or split the bundle",
    )
}

fn not_utf8(path: &str, good: &[u8]) -> FileProblem {
    let text = String::from_utf8_lossy(good);
    let line = text.matches('\n').count().saturating_add(1);
    let column = text.rsplit('\n').next().map_or(0, |last| last.chars().count()).saturating_add(1);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    FileProblem {
        code: "file-not-utf8",
        span: Some(Span { line: count(line), column: count(column), length: 1, file: 0 }),
        message: format!("`{path}` is not UTF-8 text"),
        help: "save the file as UTF-8".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_bundle_are_refused() {
        let base = std::env::temp_dir().join(format!("bartizan-files-{}", std::process::id()));
        let bundle = base.join("bundle");
        std::fs::create_dir_all(&bundle).unwrap();
        std::fs::write(base.join("secret.pem"), "secret").unwrap();
        std::fs::write(bundle.join("inside.pem"), "inside").unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(base.join("secret.pem"), bundle.join("out.pem")).unwrap();
            std::os::unix::fs::symlink(bundle.join("inside.pem"), bundle.join("in.pem")).unwrap();
        }
        let mut files = Files::directory(&bundle);
        assert_eq!(files.read_text("inside.pem", 100).unwrap(), "inside");
        assert_eq!(files.read_text("inside.pem", 3).unwrap(), "inside", "read once, kept");
        #[cfg(unix)]
        {
            assert_eq!(files.read_text("out.pem", 100).unwrap_err().code, "file-outside");
            assert_eq!(files.read_text("in.pem", 100).unwrap(), "inside");
        }
        assert_eq!(files.read_text("../secret.pem", 100).unwrap_err().code, "file-outside");
        assert_eq!(files.read_text("insid.pem", 100).unwrap_err().help, "did you mean `inside.pem`?");
        std::fs::write(bundle.join("large"), vec![b'x'; 101]).unwrap();
        assert_eq!(files.read_text("large", 100).unwrap_err().code, "file-too-large");
        std::fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn bytes_that_are_not_utf8_are_found() {
        let mut files = Files::memory(BTreeMap::from([("a".to_owned(), b"x\nab\xff".to_vec())]));
        let problem = files.read_text("a", 100).unwrap_err();
        assert_eq!(problem.span, Some(Span { line: 2, column: 3, length: 1, file: 0 }));
    }
}
