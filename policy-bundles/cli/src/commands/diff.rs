//! `bartizan diff`: what changes from one bundle to another, in words.

mod compare;
mod document;

use std::path::{Path, PathBuf};

use bartizan_compiler::artifact::Artifact;
use bartizan_compiler::compile_dir;
use bartizan_engine::plan::{MAX_PLAN_BYTES, Plan};
use clap::Args;
use serde_json::{Value, json};

use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, count, paint};
use compare::{Change, Kind};
use document::Document;

const AFTER_HELP: &str = "\
Examples:
  bartizan diff current.bundle new.bundle
  bartizan diff current.bundle my-policy          an artifact and the directory it may come from
  bartizan diff old.bundle new.bundle --format json | jq '.changes[] | select(.section == \"routes\")'

OLD and NEW are artifacts, plans or bundle directories. Signatures, the places of rules in files, and orders that mean
nothing are not compared.

Exit codes: 0 the same; 1 different; 2 usage, or one of them is not a bundle; 3 cannot read";

/// Says what changes from one bundle to another: routes, rules, limits, keys, headers.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Diff {
    /// What was: an artifact, a plan or a bundle directory.
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// What will be.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(diff: &Diff, screen: &Screen) -> Result<Outcome, Failure> {
    let mut documents = Vec::new();
    for path in [&diff.old, &diff.new] {
        match document(path)? {
            Ok(document) => documents.push(document),
            Err(problem) => {
                screen.complain(&format!("{}: {problem}", path.display()));
                return Ok(Outcome::NotRun);
            }
        }
    }
    let [old, new] = documents.as_slice() else { return Ok(Outcome::NotRun) };
    let changes = compare::documents(old, new);
    screen.out(&match diff.format {
        Format::Json => format!("{:#}\n", report(diff, &changes)),
        Format::Text => text(&changes, screen.paints_out()),
    })?;
    Ok(if changes.is_empty() { Outcome::Fine } else { Outcome::Problems })
}

fn document(path: &Path) -> Result<Result<Document, String>, Failure> {
    if path.is_dir() {
        let compiled = compile_dir(path);
        let problem =
            || format!("the bundle has {}; see `bartizan check`", count(compiled.errors(), "error"));
        let plan = compiled.plan.as_ref().ok_or_else(problem);
        return Ok(plan.and_then(|plan| document::of(plan, &compiled.release)));
    }
    let bytes = files::read(path, u64::try_from(MAX_PLAN_BYTES).unwrap_or(u64::MAX))?;
    let is_plan =
        serde_json::from_slice::<Value>(&bytes).is_ok_and(|value| value.get("plan_version").is_some());
    if is_plan {
        let plan = Plan::parse(&bytes).map_err(|error| error.to_string());
        return Ok(plan.and_then(|plan| document::of(&plan, &Default::default())));
    }
    let artifact = Artifact::read(&bytes).map_err(|refused| refused.to_string());
    Ok(artifact.and_then(|artifact| {
        let about = &artifact.about;
        let release = bartizan_compiler::Release {
            labels: about.labels.clone(),
            not_before: about.not_before,
            expires: about.expires,
            when_expired: about.when_expired,
        };
        document::of(&artifact.plan, &release)
    }))
}

fn report(diff: &Diff, changes: &[Change]) -> Value {
    let changes: Vec<Value> = changes
        .iter()
        .map(|change| {
            json!({"section": change.section, "item": change.item, "field": change.field,
                   "change": change.kind.name(), "old": change.old, "new": change.new})
        })
        .collect();
    json!({"old": diff.old.display().to_string(), "new": diff.new.display().to_string(), "changes": changes})
}

fn text(changes: &[Change], colour: bool) -> String {
    if changes.is_empty() {
        return "no difference\n".to_owned();
    }
    let mut out = String::new();
    let (mut section, mut item) = (None, None);
    // What came to a list and what went from it stands in one line.
    for same in changes.chunk_by(|a, b| (a.section, &a.item, &a.field) == (b.section, &b.item, &b.field)) {
        let Some(first) = same.first() else { continue };
        if section != Some(first.section) {
            section = Some(first.section);
            item = None;
            out += &format!("{}\n", paint(colour, "1", first.section));
        }
        // A whole item that came or went is one line; what changed inside of one stands under its name.
        if let (Some(name), true) = (&first.item, first.field.is_empty()) {
            let text = format!("{} {name}{}", first.kind.sign(), compare::summary(first));
            out += &format!("  {}\n", paint(colour, first.kind.colour(), &text));
            continue;
        }
        let mut indent = "  ";
        if let Some(name) = &first.item {
            indent = "      ";
            if item != Some(name) {
                item = Some(name);
                out += &format!("  {}\n", paint(colour, Kind::Changed.colour(), &format!("~ {name}")));
            }
        }
        let words = same.iter().map(|change| {
            let (old, new) = (compare::words(&change.old), compare::words(&change.new));
            match change.kind {
                Kind::Added => paint(colour, change.kind.colour(), &format!("+ {new}")),
                Kind::Removed => paint(colour, change.kind.colour(), &format!("- {old}")),
                Kind::Changed => format!("{old} -> {new}"),
            }
        });
        let words: Vec<String> = words.collect();
        out += &format!("{indent}{}: {}\n", first.field, words.join(", "));
    }
    out + &format!("{}\n", count(changes.len(), "difference"))
}
