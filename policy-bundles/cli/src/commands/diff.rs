//! `bartizan diff`: what changes from one bundle to another, in words.

mod compare;
mod document;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use bartizan_compiler::artifact::Artifact;
use bartizan_compiler::{compile_dir, load};
use bartizan_engine::plan::{MAX_PLAN_BYTES, Plan};
use clap::Args;
use serde_json::{Value, json};

use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, count, paint, printable, shown};
use compare::{Change, Kind};
use document::Document;

const AFTER_HELP: &str = "\
Examples:
  bartizan diff current.bundle new.bundle
  bartizan diff current.bundle my-policy          an artifact and the directory it may come from
  bartizan diff old.bundle new.bundle --format json | jq '.changes[] | select(.section == \"routes\")'

OLD and NEW are artifacts, plans or bundle directories; what the filter would not load is not compared. Signatures, the
places of rules in files, and orders that mean nothing, such as that of routes, make no difference. Of what was added
every field is told. Keys, schemas and what is too long to show have a digest.

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
                screen.complain(&format!("{}: {}", shown(path), printable(&problem)));
                return Ok(Outcome::NotRun);
            }
        }
    }
    let [old, new] = documents.as_slice() else { return Ok(Outcome::NotRun) };
    let changes = compare::documents(old, new);
    match diff.format {
        Format::Json => screen.json(&report(diff, &changes))?,
        Format::Text => screen.out(&text(&changes, screen.paints_out()))?,
    }
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
        // Of two rules for one thing, which only a plan that is not loaded can have, readers may take either.
        let loaded = Plan::parse(&bytes).and_then(|plan| load(plan.clone()).map(|_| plan));
        let plan = loaded.map_err(|error| error.to_string());
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
        // A whole item that came or went has a line; what it brings, or what changed inside of one, stands under its name.
        if let (Some(name), true, Kind::Added | Kind::Removed) =
            (&first.item, first.field.is_empty(), first.kind)
        {
            let what = if first.kind == Kind::Removed { compare::summary(first) } else { String::new() };
            let text = format!("{} {}{what}", first.kind.sign(), printable(name));
            out += &format!("  {}\n", paint(colour, first.kind.colour(), &text));
            if first.kind == Kind::Added {
                for (field, value) in compare::fields("", &first.new) {
                    out += &format!("      {}: {value}\n", printable(&field));
                }
            }
            continue;
        }
        let mut indent = "  ";
        if let Some(name) = &first.item {
            indent = "      ";
            if item != Some(name) {
                item = Some(name);
                let text = format!("~ {}", printable(name));
                out += &format!("  {}\n", paint(colour, Kind::Changed.colour(), &text));
            }
        }
        // So has a whole part of an item, such as what is read of a further content type.
        let (parts, values): (Vec<&Change>, Vec<&Change>) =
            same.iter().partition(|change| change.kind == Kind::Added && change.new.is_object());
        for (field, value) in parts.iter().flat_map(|part| compare::fields(&part.field, &part.new)) {
            let value = paint(colour, Kind::Added.colour(), &format!("+ {value}"));
            out += &format!("{indent}{}: {value}\n", printable(&field));
        }
        let words: Vec<String> = values.iter().map(|change| told(change, colour)).collect();
        if !words.is_empty() {
            out += &format!("{indent}{}: {}\n", printable(&first.field), words.join(", "));
        }
    }
    out + &format!("{}\n", count(changes.len(), "difference"))
}

fn told(change: &Change, colour: bool) -> String {
    match change.kind {
        Kind::Added => paint(colour, change.kind.colour(), &format!("+ {}", compare::words(&change.new))),
        Kind::Removed => paint(colour, change.kind.colour(), &format!("- {}", compare::words(&change.old))),
        Kind::Changed => {
            let (old, new) = compare::both(&change.old, &change.new);
            format!("{old} -> {new}")
        }
    }
}
