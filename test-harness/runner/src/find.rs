//! Finds case files, and what somebody may have meant to be one: a file that is quietly left out shows nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use bartizan_compiler::BUNDLE_FILE;

use crate::format::CaseError;

/// How case files are called.
pub const SUFFIX: &str = ".cases.yaml";

/// What was found under a directory, each in the order of the names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Case files.
    pub cases: Vec<PathBuf>,
    /// Files that are case files but for the way their name is written: nobody would run them.
    pub misnamed: Vec<PathBuf>,
    /// Other YAML files in directories called `tests`, but for those of bundles.
    pub others: Vec<PathBuf>,
}

/// Looks for case files under a directory. Directories whose name begins with a dot are left out.
///
/// # Errors
/// When a directory cannot be read.
pub fn find(directory: &Path) -> Result<Found, CaseError> {
    let mut found = Found::default();
    let inside = directory.canonicalize().is_ok_and(|path| path.ends_with(TESTS))
        && !directory.join(BUNDLE_FILE).is_file();
    walk(directory, inside, &mut BTreeSet::new(), &mut found)?;
    found.cases.sort();
    found.misnamed.sort();
    found.others.sort();
    Ok(found)
}

/// The directory of a bundle that its cases are in.
const TESTS: &str = "tests";

/// `tests` says that this is such a directory, or one in it. A link may lead back to where one was.
fn walk(
    directory: &Path,
    tests: bool,
    seen: &mut BTreeSet<PathBuf>,
    found: &mut Found,
) -> Result<(), CaseError> {
    let wrong = |error: std::io::Error| unreadable(&directory.display().to_string(), &error);
    if !seen.insert(directory.canonicalize().map_err(wrong)?) {
        return Ok(());
    }
    for entry in fs::read_dir(directory).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let bundle = path.join(BUNDLE_FILE).is_file();
            if !name.starts_with('.') {
                walk(&path, !bundle && (tests || name == TESTS), seen, found)?;
            }
        } else if name.ends_with(SUFFIX) {
            found.cases.push(path);
        } else if is_misnamed(&name) || (tests && is_yaml(&name) && has_cases(&path)) {
            found.misnamed.push(path);
        } else if tests && is_yaml(&name) {
            found.others.push(path);
        }
    }
    Ok(())
}

fn is_yaml(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// Whether somebody meant a case file: `a.cases.yml`, `A.Cases.YAML`.
#[must_use]
pub fn is_misnamed(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.ends_with(SUFFIX) && is_yaml(&lower) && stem(&lower).ends_with(".cases")
}

/// Whether the text looks like a case file.
fn has_cases(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.lines().any(|line| line.starts_with("cases:")))
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// What is wrong with a case file whose name is not that of one.
#[must_use]
pub fn misnamed(path: &Path) -> CaseError {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = stem(&name);
    let cases =
        stem.len().checked_sub(".cases".len()).and_then(|end| Some((stem.get(..end)?, stem.get(end..)?)));
    let first = cases.filter(|(_, end)| end.eq_ignore_ascii_case(".cases")).map_or(stem, |(first, _)| first);
    let problem =
        format!("case files are called *{SUFFIX}, and others are not run; rename it to {first}{SUFFIX}");
    CaseError::new(plain(path).display().to_string(), problem)
}

pub(crate) fn unreadable(file: &str, error: &std::io::Error) -> CaseError {
    CaseError::new(file, format!("cannot be read: {}", error.to_string().to_lowercase()))
}

/// A path without detours, for people: `a/tests/../b` is `a/b`.
#[must_use]
pub fn plain(path: &Path) -> PathBuf {
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
    fn everything_that_may_be_a_case_file_is_found() {
        let root = std::env::temp_dir().join(format!("bartizan-find-{}", std::process::id()));
        for (name, text) in [
            ("bundle.yaml", ""),
            ("beside.cases.yaml", ""),
            ("schemas/a.yaml", "cases: []"),
            ("tests/deep/a.cases.yaml", ""),
            ("tests/b.cases.yml", ""),
            ("tests/c.Cases.yaml", ""),
            ("tests/d.yaml", "bundle: ..\ncases:\n"),
            ("tests/e.YML", "services:\n"),
            ("tests/readme.md", ""),
            ("tests/other/bundle.yaml", ""),
            ("tests/other/keys.yaml", ""),
            ("else/f.cases.YAML", ""),
            (".git/g.cases.yaml", ""),
        ] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let _ = std::os::unix::fs::symlink("..", root.join("tests/back"));
        let found = find(&root).unwrap();
        let tests = find(&root.join("tests")).unwrap();
        fs::remove_dir_all(&root).unwrap();
        let names = |paths: &[PathBuf]| {
            let names = paths.iter().map(|path| path.strip_prefix(&root).unwrap().display().to_string());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&found.cases), "beside.cases.yaml tests/deep/a.cases.yaml");
        let misnamed = "tests/b.cases.yml tests/c.Cases.yaml tests/d.yaml";
        assert_eq!(names(&found.misnamed), format!("else/f.cases.YAML {misnamed}"));
        assert_eq!(names(&found.others), "tests/e.YML");
        assert!(names(&tests.misnamed).ends_with("tests/d.yaml"), "{tests:?}");
    }

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
    fn names_that_are_almost_right_are_told_the_right_one() {
        for (name, right) in [
            ("a.cases.yml", "a.cases.yaml"),
            ("A.Cases.YAML", "A.cases.yaml"),
            ("x.CASES.Yml", "x.cases.yaml"),
            ("first.yaml", "first.cases.yaml"),
            ("größe.yml", "größe.cases.yaml"),
        ] {
            let error = misnamed(Path::new(name));
            assert!(error.problem.ends_with(&format!("rename it to {right}")), "{error}");
        }
        assert!(is_misnamed("a.cases.yml") && is_misnamed("a.Cases.yaml"));
        assert!(!is_misnamed("a.cases.yaml") && !is_misnamed("cases.yaml") && !is_misnamed("a.yaml"));
    }
}
