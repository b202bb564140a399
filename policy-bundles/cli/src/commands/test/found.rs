//! Finds case files and reads them. A file that cannot be read is an error of its own and stops no other.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bartizan_cases::find::{self, SUFFIX, plain};
use bartizan_cases::format::BundleSource;
use bartizan_cases::lint;
use bartizan_cases::suite::Loaded;
use bartizan_compiler::BUNDLE_FILE;

use super::Stop;
use crate::output::shown;

/// What there is to run.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Case files that read.
    pub(super) suites: Vec<Loaded>,
    /// Those that do not: the file, and all that is wrong with it.
    pub(super) unread: Vec<(String, Vec<String>)>,
    /// What is worth a warning in the names of files.
    warnings: Vec<Warning>,
}

/// What shows less than somebody may think.
#[derive(Debug, Clone)]
pub(super) struct Warning {
    pub(super) file: String,
    pub(super) line: Option<usize>,
    /// Empty for a whole file.
    pub(super) case: String,
    pub(super) problem: String,
}

/// Where a suite's bundle is, so that a place in it can be told to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Home {
    /// In a directory.
    Directory(PathBuf),
    /// In the case file itself.
    CaseFile(String),
}

/// Finds the case files under a directory, or takes one of them.
///
/// # Errors
/// When there is nothing to find.
pub(super) fn find(directory: &Path) -> Result<Found, Stop> {
    let place = shown(directory);
    let kind = std::fs::metadata(directory).map_err(|error| {
        Stop::Unreadable(match error.kind() {
            ErrorKind::NotFound => {
                format!("{place}: there is no such file or directory; give a bundle, a directory of case files, or one case file")
            }
            _ => format!("{place}: {}", error.to_string().to_lowercase()),
        })
    })?;
    if !kind.is_dir() {
        return one(directory).map_err(Stop::NotRun);
    }
    let files = find::find(directory).map_err(|error| Stop::Unreadable(error.to_string()))?;
    let mut found = Found::default();
    for path in &files.cases {
        found.read(path, directory);
    }
    found.unread.extend(files.misnamed.iter().map(|path| {
        let error = find::misnamed(path);
        (plain(path).display().to_string(), vec![error.to_string()])
    }));
    found.warnings.extend(files.others.iter().map(|path| Warning {
        file: plain(path).display().to_string(),
        line: None,
        case: String::new(),
        problem: format!("is YAML among the tests and no case file by its name, so that it is not read; call it *{SUFFIX}, or move it"),
    }));
    if found.suites.is_empty() && found.unread.is_empty() {
        return Err(Stop::NotRun(nothing(directory)));
    }
    Ok(found)
}

/// One case file by its name.
fn one(path: &Path) -> Result<Found, String> {
    let (place, name) = (shown(path), path.file_name().unwrap_or_default().to_string_lossy());
    if name == BUNDLE_FILE {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.map_or_else(|| ".".to_owned(), shown);
        return Err(format!(
            "{place} is no case file; for the cases of this bundle give its directory, {directory}"
        ));
    }
    if find::is_misnamed(&name) {
        return Err(find::misnamed(path).to_string());
    }
    if !name.ends_with(SUFFIX) {
        return Err(format!("{place} is no case file: those are called *{SUFFIX}; give one, or a bundle"));
    }
    let mut found = Found::default();
    found.read(path, path.parent().unwrap_or(Path::new("")));
    Ok(found)
}

fn nothing(directory: &Path) -> String {
    let place = match plain(directory) {
        path if path.as_os_str().is_empty() => "this directory".to_owned(),
        path => shown(&path),
    };
    if directory.join(BUNDLE_FILE).is_file() {
        let first = plain(&directory.join("tests").join(format!("first{SUFFIX}")));
        format!(
            "{place} has no cases, and without cases nothing is shown; write {} with `bundle: ..` and `cases:`, or see how \
             `bartizan init DIR --from iot-gateway` has them",
            shown(&first)
        )
    } else {
        format!(
            "{place} is no bundle (it has no {BUNDLE_FILE}) and has no *{SUFFIX} in it; give a bundle or its cases, or make a \
             bundle with `bartizan init DIR`"
        )
    }
}

impl Found {
    /// Reads a case file; `root` is taken off its name.
    fn read(&mut self, path: &Path, root: &Path) {
        match Loaded::load(path, root) {
            Ok(suite) => self.suites.push(suite),
            Err(wrong) => {
                // Places are told as the reader finds them, from where the command was called.
                let place = plain(path).display().to_string();
                let relative = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
                let told = wrong.iter().map(|error| match error.place.strip_prefix(relative.as_ref()) {
                    Some(rest) => format!("{place}{rest}: {}", error.problem),
                    None => error.to_string(),
                });
                let told = told.collect();
                self.unread.push((place, told));
            }
        }
    }

    /// What is worth a warning in the cases that are run.
    pub(super) fn warnings(&self, filter: Option<&str>) -> Vec<Warning> {
        let mut warnings = self.warnings.clone();
        for suite in &self.suites {
            let alone = lint::alone(&suite.runs).into_iter();
            let wanted = alone.filter(|run| filter.is_none_or(|text| run.label().contains(text)));
            warnings.extend(wanted.map(|run| Warning {
                file: plain(&suite.path).display().to_string(),
                line: suite.lines.get(&run.case).copied(),
                case: run.case.clone(),
                problem: lint::ALONE.to_owned(),
            }));
        }
        warnings
    }

    /// Checks that a filter leaves something.
    pub(super) fn check(&self, filter: Option<&str>) -> Result<(), Stop> {
        let Some(text) = filter else { return Ok(()) };
        let mut runs = self.suites.iter().flat_map(|suite| &suite.runs);
        if !self.unread.is_empty() || runs.clone().any(|run| run.label().contains(text)) {
            return Ok(());
        }
        let some = runs.next().map(|run| format!(", such as `{}`", run.label())).unwrap_or_default();
        Err(Stop::NotRun(format!(
            "no case has `{text}` in its file, name or row, and an empty run shows nothing; there are {}{some}",
            self.suites.iter().map(|suite| suite.runs.len()).sum::<usize>()
        )))
    }
}

impl Warning {
    /// File and line, as far as they are known, and the case.
    pub(super) fn place(&self) -> String {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        let case = if self.case.is_empty() { String::new() } else { format!(": {}", self.case) };
        format!("{}{line}{case}", self.file)
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

#[cfg(test)]
mod tests {
    use super::*;

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
