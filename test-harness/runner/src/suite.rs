//! Finds case files, loads them, and prepares their bundles.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bartizan_compiler::{BUNDLE_FILE, compile_dir, compile_files};
use bartizan_engine::plan::Plan;
use serde_json::{Map, Value};

use crate::expand::{self, Run};
use crate::format::{self, BundleSource, CaseError, FileText, InlineBundle, Keys, Suite};
use crate::mint::Mint;
use crate::mint::keys::KeyName;
use crate::patch::{self, Secrets};

/// How case files are called.
pub const SUFFIX: &str = ".cases.yaml";

/// The host that requests name unless they say otherwise.
const HOST: &str = "api.example.com";

/// A case file that was read and checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Where the file is.
    pub path: PathBuf,
    /// The file as people speak of it: relative to the root it was found under.
    pub file: String,
    /// What stands in it.
    pub suite: Suite,
    /// What is run.
    pub runs: Vec<Run>,
}

impl Loaded {
    /// Reads a case file. `root` is taken off its name in messages.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(path: &Path, root: &Path) -> Result<Self, Vec<CaseError>> {
        let file = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
        let text = fs::read_to_string(path)
            .map_err(|e| vec![CaseError::new(&file, format!("cannot be read: {e}"))])?;
        let (suite, runs) = parse(&text, &file)?;
        Ok(Self { path: path.to_owned(), file, suite, runs })
    }
}

/// A suite's bundle, compiled, with keys that the mint has.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The plan.
    pub plan: Plan,
    /// Values for the environment variables that the plan names.
    pub secrets: Secrets,
    /// Makes the tokens.
    pub mint: Mint,
}

impl Loaded {
    /// Compiles the bundle of the suite and gives its issuers the keys the suite asks for.
    ///
    /// # Errors
    /// All diagnostics, if the bundle does not compile.
    pub fn prepare(&self) -> Result<Prepared, String> {
        let compiled = match &self.suite.bundle {
            BundleSource::Directory(directory) => {
                compile_dir(&self.path.parent().unwrap_or(Path::new(".")).join(directory))
            }
            BundleSource::Inline(bundle) => compile_files(files(bundle)?),
        };
        let Some(mut plan) = compiled.plan.clone() else {
            return Err(format!("{}: the bundle does not compile:\n{}", self.file, compiled.render(false)));
        };
        let secrets = match self.suite.keys {
            Keys::Test => patch::use_test_keys(&mut plan)?,
            Keys::Bundle => patch::secrets(&plan),
        };
        let mint = Mint::for_plan(&plan);
        Ok(Prepared { plan, secrets, mint })
    }
}

fn files(bundle: &InlineBundle) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut files = BTreeMap::from([(BUNDLE_FILE.to_owned(), bundle.text.clone().into_bytes())]);
    for (path, file) in &bundle.files {
        let text = match file {
            FileText::Text(text) => text.clone(),
            FileText::Jwks(set) => {
                let mut keys = Vec::new();
                for entry in &set.jwks {
                    let mut jwk = KeyName::parse(&entry.key)?.jwk()?;
                    for (member, value) in &entry.with {
                        if value.is_null() {
                            jwk.remove(member);
                        } else {
                            jwk.insert(member.clone(), value.clone());
                        }
                    }
                    keys.push(Value::Object(jwk));
                }
                serde_json::json!({ "keys": keys }).to_string()
            }
        };
        files.insert(path.clone(), text.into_bytes());
    }
    Ok(files)
}

/// Reads all case files under a directory, in the order of their names.
///
/// # Errors
/// All that is wrong with any of them; that there are none is wrong too.
pub fn load_all(root: &Path) -> Result<Vec<Loaded>, Vec<CaseError>> {
    let mut paths = Vec::new();
    find(root, &mut paths).map_err(|e| vec![CaseError::new(root.display().to_string(), e.to_string())])?;
    paths.sort();
    if paths.is_empty() {
        return Err(vec![CaseError::new(root.display().to_string(), format!("has no *{SUFFIX}"))]);
    }
    let (mut loaded, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        match Loaded::load(&path, root) {
            Ok(suite) => loaded.push(suite),
            Err(mut wrong) => errors.append(&mut wrong),
        }
    }
    if errors.is_empty() { Ok(loaded) } else { Err(errors) }
}

/// Adds the paths of all case files under a directory, in no certain order.
///
/// # Errors
/// When a directory cannot be read.
pub fn find(directory: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, into)?;
        } else if path.to_string_lossy().ends_with(SUFFIX) {
            into.push(path);
        }
    }
    Ok(())
}

/// The line in which a case is named.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let named = |line: &str| {
        let (before, value) = line.split_once("name:")?;
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let rest = value.strip_prefix(name)?.trim_start_matches(['"', '\'']).trim_start();
        let ends = rest.is_empty() || rest.starts_with([',', '}', '#']);
        (ends && before.trim().trim_start_matches('-').trim_start().trim_start_matches('{').is_empty())
            .then_some(())
    };
    text.lines().position(|line| named(line).is_some()).map(|index| index.saturating_add(1))
}

/// Reads the text of a case file; `file` stands in messages.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(text: &str, file: &str) -> Result<(Suite, Vec<Run>), Vec<CaseError>> {
    // Typed first, for errors with line and column; then as plain values, in which rows are filled in.
    let suite = Suite::parse(text, file).map_err(|e| vec![e])?;
    let written: Value = format::read(text, file).map_err(|e| vec![e])?;
    let mut defaults = Map::new();
    defaults.insert("host".into(), HOST.into());
    defaults.extend(written.get("request").and_then(Value::as_object).cloned().unwrap_or_default());
    let cases = written.get("cases").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (mut runs, mut errors) = (Vec::new(), Vec::new());
    let mut names = std::collections::BTreeSet::new();
    for (case, written) in suite.cases.iter().zip(cases) {
        if !names.insert(case.name.as_str()) {
            errors.push(CaseError::new(file, format!("two cases are called `{}`", case.name)));
        }
        match expand::expand(file, case, written, &defaults) {
            Ok(mut expanded) => runs.append(&mut expanded),
            Err(mut error) => {
                if let Some(line) = line_of(text, &case.name) {
                    error.place = format!("{file}:{line}: {}", case.name);
                }
                errors.push(error);
            }
        }
    }
    if runs.is_empty() && errors.is_empty() {
        errors.push(CaseError::new(file, "has no cases"));
    }
    if errors.is_empty() { Ok((suite, runs)) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_of_a_file_come_at_once() {
        let text = "bundle: x\ncases:\n  - {name: a, request: {path: '/${x}'}}\n  - {name: a, request: {path: '/${y}'}}\n";
        let errors = parse(text, "s").unwrap_err();
        assert_eq!(errors.len(), 3, "{errors:?}");
    }

    #[test]
    fn what_is_wrong_in_a_case_names_file_line_and_field() {
        let text = "bundle: x\ncases:\n  - {name: ab, request: {path: /}}\n  - name: a\n    request: {path: '/${x}'}\n";
        let errors = parse(text, "s").unwrap_err();
        let [error] = errors.as_slice() else { panic!("{errors:?}") };
        assert_eq!(error.place, "s:4: a");
        assert!(error.problem.contains("${x}"), "{error}");
        let simulated = text.replace("path: '/${x}'", "simulate: {worker: 1}");
        assert!(parse(&simulated, "s").unwrap_err()[0].to_string().starts_with("s:4: a: `simulate`"));
    }

    #[test]
    fn no_cases_is_an_error() {
        assert!(parse("bundle: x\ncases: []\n", "s").is_err());
    }
}
