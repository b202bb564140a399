//! Loads case files, and prepares their bundles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bartizan_compiler::{BUNDLE_FILE, compile_dir, compile_files};
use bartizan_engine::authentication::plan::KeySource;
use bartizan_engine::plan::Plan;
use serde_json::{Map, Value};

use crate::expand::{self, Run};
use crate::find::{SUFFIX, find, misnamed, plain, unreadable};
use crate::format::{
    self, BundleSource, CaseError, FileText, InlineBundle, Keys, Only, Place, Places, Suite,
};
use crate::lint;
use crate::mint::Mint;
use crate::patch::{self, Secrets};
use crate::remote::{self, Servers};

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
    /// The line in which each case is named, where it was found.
    pub lines: BTreeMap<String, usize>,
}

impl Loaded {
    /// Reads a case file. `root` is taken off its name in messages.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(path: &Path, root: &Path) -> Result<Self, Vec<CaseError>> {
        let file = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
        let text = fs::read_to_string(path).map_err(|e| vec![unreadable(&file, &e)])?;
        let (suite, runs) = parse(&text, &file)?;
        let names = suite.cases.iter().map(|case| &case.name);
        let lines = names.filter_map(|name| Some((name.clone(), lines_of(&text, name).next()?))).collect();
        Ok(Self { path: path.to_owned(), file, suite, runs, lines })
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
    /// The servers that the filter asks by itself.
    pub servers: Servers,
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
            return Err(format!(
                "{} does not compile:\n{}",
                self.bundle(),
                compiled.render(false).trim_end()
            ));
        };
        let servers = Servers::new(&self.suite.remote)?;
        let fetched: Vec<_> = plan.authentication.jwt.iter().map(|jwt| jwt.keys.clone()).collect();
        let mut secrets = match self.suite.keys {
            Keys::Test => patch::use_test_keys(&mut plan)?,
            Keys::Bundle => patch::secrets(&plan),
        };
        for (jwt, keys) in plan.authentication.jwt.iter_mut().zip(fetched) {
            if !servers.is_empty() && matches!(keys, KeySource::Remote { .. }) {
                jwt.keys = keys;
            }
        }
        secrets.extend(self.suite.environment.clone());
        let mint = Mint::for_plan(&plan);
        Ok(Prepared { plan, secrets, mint, servers })
    }
}

impl Loaded {
    /// The bundle, for messages.
    fn bundle(&self) -> String {
        match &self.suite.bundle {
            BundleSource::Directory(directory) => {
                let beside = self.path.parent().unwrap_or(Path::new(""));
                let place = plain(&beside.join(directory));
                let here = if place.as_os_str().is_empty() { Path::new(".") } else { &place };
                format!("the bundle in {}", here.display())
            }
            BundleSource::Inline(_) => "the bundle in this case file".to_owned(),
        }
    }
}

fn files(bundle: &InlineBundle) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut files = BTreeMap::from([(BUNDLE_FILE.to_owned(), bundle.text.clone().into_bytes())]);
    for (path, file) in &bundle.files {
        let text = match file {
            FileText::Text(text) => text.clone(),
            FileText::Jwks(set) => remote::jwks(&set.jwks)?,
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
    let place = root.display().to_string();
    let found = find(root).map_err(|error| vec![error])?;
    let mut errors: Vec<CaseError> = found.misnamed.iter().map(|path| misnamed(path)).collect();
    if found.cases.is_empty() && errors.is_empty() {
        return Err(vec![CaseError::new(place, format!("has no *{SUFFIX}"))]);
    }
    let mut loaded = Vec::new();
    for path in found.cases {
        match Loaded::load(&path, root) {
            Ok(suite) => loaded.push(suite),
            Err(mut wrong) => errors.append(&mut wrong),
        }
    }
    if errors.is_empty() { Ok(loaded) } else { Err(errors) }
}

/// The lines in which something is named so.
fn lines_of<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let named = move |line: &str| {
        let (before, value) = line.split_once("name:")?;
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let rest = value.strip_prefix(name)?.trim_start_matches(['"', '\'']).trim_start();
        let ends = rest.is_empty() || rest.starts_with([',', '}', '#']);
        (ends && before.trim().trim_start_matches('-').trim_start().trim_start_matches('{').is_empty())
            .then_some(())
    };
    text.lines().zip(1..).filter_map(move |(line, number)| named(line).map(|()| number))
}

/// Reads the text of a case file; `file` stands in messages.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(text: &str, file: &str) -> Result<(Suite, Vec<Run>), Vec<CaseError>> {
    if text.trim().is_empty() {
        return Err(vec![CaseError::new(file, "is empty; a case file has a `bundle:` and `cases:`")]);
    }
    // Typed first, for errors with line and column; then as plain values, in which rows are filled in.
    let suite = Suite::parse(text, file).map_err(|e| vec![e])?;
    let written: Value = format::read(text, file).map_err(|e| vec![e])?;
    let mut defaults = Map::new();
    defaults.insert("host".into(), HOST.into());
    defaults.extend(written.get("request").and_then(Value::as_object).cloned().unwrap_or_default());
    let cases = written.get("cases").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (mut runs, mut errors) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    // `times` is how often the name was met before.
    let at = |case: &str, times: usize| match lines_of(text, case).nth(times) {
        Some(line) => format!("{file}:{line}: {case}"),
        None => format!("{file}: {case}"),
    };
    for (case, written) in suite.cases.iter().zip(cases) {
        if !names.insert(case.name.as_str()) {
            errors.push(CaseError::new(at(&case.name, 1), "another case has this name; give it its own"));
        }
        match expand::expand(file, case, written, &defaults) {
            Ok(mut expanded) => runs.append(&mut expanded),
            Err(error) => errors.push(CaseError::new(at(&case.name, 0), error.problem)),
        }
    }
    if !suite.remote.is_empty() {
        runs.iter_mut().for_each(only_without_network);
    }
    if errors.is_empty() {
        let wrong = lint::wrong(&runs).into_iter();
        errors.extend(wrong.map(|(case, problem)| CaseError::new(at(case, 0), problem)));
        let used = runs.iter().flat_map(|run| &run.steps).flat_map(expand::RunStep::names).collect();
        let tokens = defaults.get("tokens").and_then(Value::as_object).cloned().unwrap_or_default();
        errors.extend(expand::idle(&tokens, &used).map_err(|problem| CaseError::new(file, problem)).err());
    }
    if runs.is_empty() && errors.is_empty() {
        errors.push(CaseError::new(file, "has no cases; write some under `cases:`"));
    }
    if errors.is_empty() { Ok((suite, runs)) } else { Err(errors) }
}

/// In a real Envoy nobody answers for the servers of a suite.
fn only_without_network(run: &mut Run) {
    let only = run.only.get_or_insert_with(|| Only {
        run: None,
        http: None,
        because: "the answers of `remote` are given natively and simulated alone".to_owned(),
    });
    only.run.get_or_insert_with(|| Places::of(&[Place::Native, Place::Simulated]));
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
    fn the_second_of_two_with_one_name_is_told() {
        let text = "bundle: x\ncases:\n  - {name: a}\n  - {name: b}\n  - name: a\n";
        let errors = parse(text, "s").unwrap_err();
        assert_eq!(errors[0].to_string(), "s:5: a: another case has this name; give it its own");
    }

    #[test]
    fn a_case_is_found_by_its_name() {
        let text = "bundle: ..\ncases:\n  - name: a b\n    near: a\n  - {name: \"a\", expect: allow}\n  - name: 'c'\n";
        let line = |name| lines_of(text, name).next();
        assert_eq!((line("a b"), line("a"), line("c"), line("nobody")), (Some(3), Some(5), Some(6), None));
    }

    #[test]
    fn a_token_of_the_file_that_no_case_uses_is_an_error() {
        let text =
            "bundle: x\nrequest: {tokens: {t: {}}}\ncases: [{name: a}, {name: b, request: {path: /x}}]\n";
        assert!(parse(text, "s").unwrap_err()[0].problem.starts_with("the token `t`"));
        assert!(parse(&text.replace("/x", "'/${token.t}'"), "s").is_ok());
    }

    #[test]
    fn no_cases_is_an_error() {
        assert!(parse("bundle: x\ncases: []\n", "s").is_err());
    }
}
