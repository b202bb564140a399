//! Schemas against the JSON-Schema-Test-Suite, draft 2020-12.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bartizan_compiler::schema::{self, Options};
use bartizan_conformance::bodies::JsonRoute;
use bartizan_conformance::vectors;
use serde_json::Value;

/// Groups or single tests that are not run or get another answer, and why. A name that ends in `*` stands
/// for all that begin so. An entry that nothing needs fails the run.
const SKIPS: &[(&str, &str)] = &[
    ("enum/empty enum", "an empty `enum` admits nothing and is refused at build time as a mistake"),
    ("pattern/pattern with Unicode property*", PROPERTIES),
    ("patternProperties/patternProperties with Unicode property*", PROPERTIES),
    ("optional/ecmascript-regex/patterns always use unicode semantics*", PROPERTIES),
    ("optional/ecmascript-regex/pattern with non-ASCII digits*", PROPERTIES),
    ("optional/ecmascript-regex/patternProperties with non-ASCII digits*", PROPERTIES),
    ("vocabulary/*", "custom meta-schemas are another dialect; bundles that name one are refused"),
    (
        "optional/format-assertion/*",
        "custom meta-schemas are another dialect; bundles that name one are refused",
    ),
    ("optional/cross-draft/*", "older dialects are not understood; bundles that name one are refused"),
    (
        "optional/dependencies-compatibility/*",
        "`dependencies` is of older drafts; bundles that use it are refused",
    ),
    ("format/ecmascript-regex/*", "the format `regex` cannot be checked and is refused at build time"),
    ("format/regex/*", "the format `regex` cannot be checked and is refused at build time"),
    ("format/hostname/validation of A-label (punycode) host names/*", IDNA),
    ("format/idn-email/*", IDNA),
    ("format/idn-hostname/*", IDNA),
    ("format/iri/*", "the format `iri` cannot be checked and is refused at build time"),
    ("format/iri-reference/*", "the format `iri-reference` cannot be checked and is refused at build time"),
    ("format/uri-template/*", "the format `uri-template` cannot be checked and is refused at build time"),
    (
        "format/unknown/*",
        "an unknown format is refused at build time: it would look like a check and be none",
    ),
];

const PROPERTIES: &str = "`\\p{..}` needs Unicode tables in the module; refused at build time, with a remedy";
const IDNA: &str = "the tables of IDNA 2008 are too large for the module; A-labels are checked in form only";

/// Finds the files the suite refers to: its remotes, and the meta-schemas.
fn load(folder: &Path, uri: &str) -> Result<Value, String> {
    if let Some(path) = uri.strip_prefix("http://localhost:1234/") {
        let path = folder.join("json-schema/remotes").join(path);
        let text = std::fs::read(&path).map_err(|e| e.to_string())?;
        return serde_json::from_slice(&text).map_err(|e| e.to_string());
    }
    use referencing::meta;
    let found = match uri.strip_prefix("https://json-schema.org/draft/2020-12/") {
        Some("schema") => &meta::DRAFT202012,
        Some("meta/core") => &meta::DRAFT202012_CORE,
        Some("meta/applicator") => &meta::DRAFT202012_APPLICATOR,
        Some("meta/unevaluated") => &meta::DRAFT202012_UNEVALUATED,
        Some("meta/validation") => &meta::DRAFT202012_VALIDATION,
        Some("meta/meta-data") => &meta::DRAFT202012_META_DATA,
        Some("meta/format-annotation") => &meta::DRAFT202012_FORMAT_ANNOTATION,
        Some("meta/content") => &meta::DRAFT202012_CONTENT,
        _ => return Err("not in the suite".into()),
    };
    Ok(Value::clone(found))
}

fn member<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.get(name).unwrap_or(&Value::Null)
}

#[derive(Default)]
struct Run {
    passed: usize,
    skipped: usize,
    used: BTreeSet<&'static str>,
    wrong: Vec<String>,
}

impl Run {
    fn skip(&mut self, name: &str) -> bool {
        let listed = SKIPS.iter().find(|(pattern, _)| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *pattern,
        });
        if let Some((pattern, _)) = listed {
            self.used.insert(pattern);
        }
        listed.is_some()
    }

    fn file(&mut self, folder: &Path, path: &Path, label: &str, options: Options) -> Result<(), String> {
        let text = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let groups: Value = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        for group in groups.as_array().into_iter().flatten() {
            let group_name = format!("{label}/{}", member(group, "description").as_str().unwrap_or(""));
            let tests = member(group, "tests").as_array().cloned().unwrap_or_default();
            let schema = member(group, "schema").clone();
            let mut find = |uri: &str| match uri {
                "test.json" => Ok(schema.clone()),
                other => load(folder, other),
            };
            let route = schema::compile("test.json", &mut find, options)
                .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
                .and_then(|program| JsonRoute::new(Some(program)).map_err(|e| e.to_string()));
            let route = match route {
                Ok(route) => route,
                Err(problem) => {
                    if self.skip(&group_name) {
                        self.skipped += tests.len();
                    } else {
                        self.wrong.push(format!("{group_name}: {problem}"));
                    }
                    continue;
                }
            };
            for test in tests {
                let name = format!("{group_name}/{}", member(&test, "description").as_str().unwrap_or(""));
                let expected = member(&test, "valid").as_bool();
                let verdict = route.satisfies(member(&test, "data").to_string().as_bytes());
                if verdict.as_ref().ok() == expected.as_ref() {
                    self.passed += 1;
                } else if self.skip(&name) {
                    self.skipped += 1;
                } else {
                    self.wrong.push(format!("{name}: expected {expected:?}, got {verdict:?}"));
                }
            }
        }
        Ok(())
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
    files.sort();
    Ok(files)
}

fn label(path: &Path, prefix: &str) -> String {
    format!("{prefix}{}", path.file_stem().unwrap_or_default().to_string_lossy())
}

#[test]
fn json_schema_test_suite() -> Result<(), String> {
    let Some(folder) = vectors::folder()? else { return Ok(()) };
    let suite = folder.join("json-schema/draft2020-12");
    // The required tests ask for the letter of the standard: formats and unknown keywords are annotations.
    let letter = Options { check_formats: false, refuse_unknown: false };
    let formats = Options { check_formats: true, ..letter };
    let mut run = Run::default();
    let mut counts = Vec::new();
    for (part, options, prefix) in
        [("", letter, ""), ("optional", letter, "optional/"), ("optional/format", formats, "format/")]
    {
        let before = (run.passed, run.skipped);
        for path in files(&suite.join(part))? {
            run.file(&folder, &path, &label(&path, prefix), options)?;
        }
        counts.push((prefix, run.passed - before.0, run.skipped - before.1));
    }
    for (prefix, passed, skipped) in &counts {
        println!("json schema {prefix}: {passed} passed, {skipped} skipped");
    }
    // All that is required but what is listed; the floor keeps a broken checkout of the suite from passing.
    let required = counts.first().map_or(0, |(_, passed, _)| *passed);
    if required < 1_280 {
        run.wrong.push(format!("only {required} of the required tests ran"));
    }
    for (name, reason) in SKIPS {
        println!("  {name}: {reason}");
        if !run.used.contains(name) {
            run.wrong.push(format!("{name} is listed as a skip and needs none; take it off the list"));
        }
    }
    assert!(run.wrong.is_empty(), "{} wrong:\n{}", run.wrong.len(), run.wrong.join("\n"));
    Ok(())
}
