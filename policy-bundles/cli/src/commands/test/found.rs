//! Finds case files and reads them. A file that cannot be read is an error of its own and stops no other.

use std::path::{Component, Path, PathBuf};

use bartizan_cases::format::BundleSource;
use bartizan_cases::suite::{self, Loaded, SUFFIX};
use bartizan_compiler::BUNDLE_FILE;

/// What there is to run.
#[derive(Debug)]
pub(super) struct Found {
    /// Case files that read.
    pub(super) suites: Vec<Loaded>,
    /// Those that do not: the file, and all that is wrong with it.
    pub(super) unread: Vec<(String, Vec<String>)>,
}

/// Where a suite's bundle is, so that a place in it can be told to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Home {
    /// In a directory.
    Directory(PathBuf),
    /// In the case file itself.
    CaseFile(String),
}

/// Finds the case files of a bundle, in a directory, or one of them.
///
/// # Errors
/// When there is nothing to find.
pub(super) fn find(directory: &Path) -> Result<Found, String> {
    let kind = std::fs::metadata(directory)
        .map_err(|error| format!("{}: {}", directory.display(), error.to_string().to_lowercase()))?;
    let (root, paths) = if kind.is_dir() {
        let bundle = directory.join(BUNDLE_FILE).is_file();
        let inside = if bundle { directory.join("tests") } else { directory.to_owned() };
        let mut paths = Vec::new();
        if inside.is_dir() {
            suite::find(&inside, &mut paths)
                .map_err(|error| format!("{}: {}", inside.display(), error.to_string().to_lowercase()))?;
        }
        if paths.is_empty() {
            return Err(nothing(directory, bundle));
        }
        (directory, paths)
    } else {
        if !directory.to_string_lossy().ends_with(SUFFIX) {
            let place = directory.display();
            return Err(format!(
                "{place} is no case file: those are called *{SUFFIX}; give one, or a bundle"
            ));
        }
        (directory.parent().unwrap_or(Path::new("")), vec![directory.to_owned()])
    };
    let mut found = Found { suites: Vec::new(), unread: Vec::new() };
    let mut paths = paths;
    paths.sort();
    for path in paths {
        match Loaded::load(&path, root) {
            Ok(suite) => found.suites.push(suite),
            Err(wrong) => {
                let wrong = wrong.iter().map(ToString::to_string).collect();
                found.unread.push((plain(&path).display().to_string(), wrong));
            }
        }
    }
    Ok(found)
}

fn nothing(directory: &Path, bundle: bool) -> String {
    let place = directory.display();
    if bundle {
        let first = directory.join("tests").join(format!("first{SUFFIX}"));
        format!(
            "{place} has no cases, and without cases nothing is shown; write {} with `bundle: ..` and `cases:`, or see how \
             `bartizan init --from iot-gateway` has them",
            first.display()
        )
    } else {
        format!(
            "{place} is no bundle (it has no {BUNDLE_FILE}) and has no *{SUFFIX} in it; give a bundle or its cases"
        )
    }
}

impl Found {
    /// Checks that a filter leaves something.
    pub(super) fn check(&self, filter: Option<&str>) -> Result<(), String> {
        let Some(text) = filter else { return Ok(()) };
        let mut runs = self.suites.iter().flat_map(|suite| &suite.runs);
        if !self.unread.is_empty() || runs.clone().any(|run| run.label().contains(text)) {
            return Ok(());
        }
        let some = runs.next().map(|run| format!(", such as `{}`", run.label())).unwrap_or_default();
        Err(format!(
            "no case has `{text}` in its file, name or row, and an empty run shows nothing; there are {}{some}",
            self.suites.iter().map(|suite| suite.runs.len()).sum::<usize>()
        ))
    }
}

/// Where the bundle of a suite is.
pub(super) fn home(suite: &Loaded) -> Home {
    match &suite.suite.bundle {
        BundleSource::Directory(directory) => {
            let beside = suite.path.parent().unwrap_or(Path::new(""));
            Home::Directory(plain(&beside.join(directory)))
        }
        BundleSource::Inline(_) => Home::CaseFile(plain(&suite.path).display().to_string()),
    }
}

impl Home {
    /// A place in the bundle (`bundle.yaml:12`), as people and editors find it.
    pub(super) fn place(&self, at: &str) -> String {
        match self {
            _ if at.is_empty() => String::new(),
            Self::Directory(directory) => directory.join(at).display().to_string(),
            Self::CaseFile(file) => format!("{file} ({at})"),
        }
    }

    /// The bundle as a whole.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Directory(directory) if directory.as_os_str().is_empty() => ".".to_owned(),
            Self::Directory(directory) => directory.display().to_string(),
            Self::CaseFile(file) => file.clone(),
        }
    }
}

/// A path without detours: `a/tests/../b` is `a/b`.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detours_are_taken_out_of_paths() {
        for (written, plain_path) in [
            ("a/tests/../b", "a/b"),
            ("./a/./b", "a/b"),
            ("../x", "../x"),
            ("a/../../x", "../x"),
            ("tests/..", ""),
        ] {
            assert_eq!(plain(Path::new(written)), Path::new(plain_path), "{written}");
        }
    }

    #[test]
    fn places_are_told_with_the_way_to_them() {
        let directory = Home::Directory("my/policy".into());
        assert_eq!(directory.place("bundle.yaml:7"), "my/policy/bundle.yaml:7");
        assert_eq!(directory.place(""), "");
        let inside = Home::CaseFile("a.cases.yaml".into());
        assert_eq!(inside.place("bundle.yaml:7"), "a.cases.yaml (bundle.yaml:7)");
        assert_eq!(Home::Directory(PathBuf::new()).name(), ".");
    }
}
