//! `bartizan fmt`: one layout for the files of bundles.

use std::path::{Path, PathBuf};

use bartizan_cases::find;
use bartizan_compiler::{
    BUNDLE_FILE, Compiled, MAX_BUNDLE_BYTES, PART_FILE, canonical, compile_dir, compile_dir_with, layout,
};
use clap::Args;
use serde_json::{Value, json};

use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, count, paint, printable, shown};

const AFTER_HELP: &str = "\
Examples:
  bartizan fmt my-policy                  bundle.yaml, parts and case files
  bartizan fmt --check policies/*         in a pipeline: writes nothing, fails if something would change
  bartizan fmt bundle.yaml                one file

The layout: two spaces a level, lists indented under their key, one blank behind colons and commas, no two free lines,
double quotes where nothing must be escaped. Comments, line breaks and the order of everything stay, and so do columns
that were lined up. A file is written only if it then means the same: its YAML is read again, and the bundle is compiled
before and after. Links are not written through.

Exit codes: 0 in the layout; 1 with --check something is not, or a file cannot be laid out; 2 usage; 3 cannot read or write";

/// Lays out the YAML of bundles in one way, and never changes what it means.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Fmt {
    /// Bundle directories, or single YAML files; this directory if there is none.
    #[arg(value_name = "DIR", default_value = ".")]
    places: Vec<PathBuf>,
    /// Writes nothing, and says what would change.
    #[arg(long)]
    check: bool,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What becomes of a file.
enum Fate {
    /// It is in the layout.
    Good,
    /// It is not, from this line on; the new text.
    Changed(usize, String),
    /// It stays as it is: the line, if it is known, and why.
    Left(Option<usize>, String),
}

pub(crate) fn run(fmt: &Fmt, screen: &Screen) -> Result<Outcome, Failure> {
    let mut reports = Vec::new();
    let (mut changed, mut left, mut all) = (0, 0, 0);
    for path in found(&fmt.places)? {
        let fate = judge(&path)?;
        all += 1;
        let (line, problem) = match &fate {
            Fate::Good => (None, None),
            Fate::Changed(line, text) => {
                if !fmt.check {
                    files::rewrite(&path, text.as_bytes())?;
                }
                changed += 1;
                (Some(*line), None)
            }
            Fate::Left(line, why) => {
                left += 1;
                (*line, Some(why))
            }
        };
        match fmt.format {
            Format::Json => reports.push(json!({
                "file": path.display().to_string(), "line": line, "problem": problem,
                "changed": matches!(fate, Fate::Changed(..)),
            })),
            Format::Text => screen.out(&told(&path, &fate, fmt.check, screen.paints_out()))?,
        }
    }
    let verb = if fmt.check { "would change" } else { "changed" };
    match fmt.format {
        Format::Json => screen.json(&json!({"files": reports, "written": !fmt.check && changed > 0}))?,
        Format::Text => {
            let left = if left > 0 { format!(", {left} left alone") } else { String::new() };
            screen.out(&format!("{}: {changed} {verb}{left}\n", count(all, "file")))?;
        }
    }
    Ok(if left > 0 || (fmt.check && changed > 0) { Outcome::Problems } else { Outcome::Fine })
}

/// A line of the report; nothing for a file that is as it should be.
fn told(path: &Path, fate: &Fate, check: bool, colour: bool) -> String {
    let place = shown(path);
    match fate {
        Fate::Good => String::new(),
        Fate::Changed(line, _) if check => {
            format!("{} {place}:{line}; next: bartizan fmt {place}\n", paint(colour, "1;33", "would change"))
        }
        Fate::Changed(line, _) => {
            format!("{} {place}, from line {line} on\n", paint(colour, "1;32", "laid out"))
        }
        Fate::Left(line, why) => {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("{} {place}{line}: {}\n", paint(colour, "1;31", "left alone"), printable(why))
        }
    }
}

/// The files that are meant: of a bundle its `bundle.yaml`, its parts and its case files. Others may be anybody's.
fn found(places: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for place in places {
        if !place.is_dir() {
            all.push(place.clone());
            continue;
        }
        let found = find::find(place).map_err(|error| Failure::new(error.to_string()))?;
        let policy = policies(place);
        if policy.is_empty() && found.cases.is_empty() {
            let place = shown(place);
            return Err(Failure::new(format!(
                "{place} has no {BUNDLE_FILE}; name a bundle directory or a file"
            )));
        }
        all.extend(policy);
        all.extend(found.cases);
    }
    Ok(all)
}

/// What is written of a bundle or a part: also of its parts, if they lie where they lie by default.
fn policies(place: &Path) -> Vec<PathBuf> {
    let mut all = vec![place.join(BUNDLE_FILE), place.join(PART_FILE)];
    let parts = std::fs::read_dir(place.join("parts")).into_iter().flatten().flatten();
    let mut parts: Vec<PathBuf> = parts.map(|part| part.path().join(PART_FILE)).collect();
    parts.sort();
    all.extend(parts);
    all.retain(|path| path.symlink_metadata().is_ok());
    all
}

fn judge(path: &Path) -> Result<Fate, Failure> {
    let metadata = path.symlink_metadata().map_err(|error| Failure::at(path, &error))?;
    if metadata.is_symlink() {
        return Ok(Fate::Left(None, "a link; name the file that it leads to".to_owned()));
    }
    let bytes = files::read(path, MAX_BUNDLE_BYTES)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BUNDLE_BYTES {
        return Ok(Fate::Left(None, format!("larger than {MAX_BUNDLE_BYTES} bytes; split it")));
    }
    let Ok(old) = String::from_utf8(bytes) else {
        return Ok(Fate::Left(None, "not UTF-8 text; save the file as UTF-8".to_owned()));
    };
    let new = match layout::format(&old) {
        Ok(new) => new,
        Err(problem) => return Ok(Fate::Left(Some(problem.line), problem.what)),
    };
    if new == old {
        return Ok(Fate::Good);
    }
    let line = layout::first_difference(&old, &new);
    let is_bundle = path.file_name().is_some_and(|name| name == BUNDLE_FILE);
    if is_bundle && !compiles_alike(path, &new) {
        let why = "the bundle would be another one: a fault of the formatter, report it; nothing is changed";
        return Ok(Fate::Left(Some(line), why.to_owned()));
    }
    Ok(Fate::Changed(line, new))
}

/// Whether a bundle gives the same plan and the same diagnostics with this text, but for the numbers of lines.
fn compiles_alike(path: &Path, text: &str) -> bool {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    said(&compile_dir(directory)) == said(&compile_dir_with(directory, text))
}

/// Everything that the compiler says of a bundle, without the numbers of lines: the plan byte by byte, what is told of the
/// release, and the diagnostics.
fn said(compiled: &Compiled) -> (Option<String>, String, Vec<(String, String)>) {
    let plan = compiled.plan.as_ref().and_then(|plan| serde_json::to_value(plan).ok()).map(|mut plan| {
        without_lines(&mut plan);
        canonical::json(&plan)
    });
    let told = compiled.diagnostics.iter().map(|found| (found.code.to_owned(), found.file.clone()));
    // Where a name comes from the line of a thing, the order of the messages may be another one.
    let mut told: Vec<(String, String)> = told.collect();
    told.sort();
    (plan, format!("{:?}", compiled.release), told)
}

/// Takes the numbers out of `bundle.yaml:12`, where a plan says where something was written.
fn without_lines(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "at" => {
                        if let Some((file, _)) = text.rsplit_once(':') {
                            *text = file.to_owned();
                        }
                    }
                    _ => without_lines(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_lines),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the formatter never does must be seen if it did.
    #[test]
    fn another_meaning_is_seen() {
        let directory = std::env::temp_dir().join(format!("bartizan-fmt-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join(BUNDLE_FILE);
        let text =
            "apiVersion: bartizan/v1\nname: a\n\nroutes: [{path: /, methods: [GET], access: public}]\n";
        std::fs::write(&path, text).unwrap();
        assert!(compiles_alike(&path, &text.replace("\n\n", "\n")));
        assert!(!compiles_alike(&path, &text.replace("GET", "PUT")));
        assert!(!compiles_alike(&path, &text.replace("public", "nobody")));
        assert!(!compiles_alike(&path, &text.replace("name: a", "name: a\nlabels: {a: b}")));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
