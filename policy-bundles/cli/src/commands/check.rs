//! `bartizan check`: everything that is wrong with a bundle, at once.

use std::path::PathBuf;

use bartizan_compiler::{Compiled, compile_dir, render};
use clap::Args;
use serde_json::json;

use crate::output::{Failure, Format, Outcome, Screen, count, paint, shown};

const AFTER_HELP: &str = "\
Examples:
  bartizan check my-policy
  bartizan check --deny-warnings policies/*      in a pipeline
  bartizan check --format json my-policy         for an editor or a bot

Exit codes: 0 nothing wrong; 1 errors (or warnings with --deny-warnings); 2 usage; 3 cannot write";

/// Reports everything that is wrong with bundles, each with its place and a remedy.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Check {
    /// The bundle directories.
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,
    /// Takes warnings for errors.
    #[arg(long)]
    deny_warnings: bool,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(check: &Check, screen: &Screen) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Fine;
    let mut documents = Vec::new();
    for directory in &check.directories {
        let mut compiled = compile_dir(directory);
        compiled.warn_of_time(super::now());
        let refused = compiled.errors() > 0 || (check.deny_warnings && compiled.warnings() > 0);
        if refused {
            outcome = Outcome::Problems;
        }
        match check.format {
            Format::Json => documents.push(json!({
                "bundle": directory.display().to_string(),
                "errors": compiled.errors(),
                "warnings": compiled.warnings(),
                "accepted": !refused,
                "diagnostics": render::json(&compiled.diagnostics),
            })),
            Format::Text => {
                let colour = screen.paints_out();
                screen.out(&compiled.render(colour))?;
                screen.out(&summary(&shown(directory), &compiled, check.deny_warnings, colour))?;
            }
        }
    }
    if check.format == Format::Json {
        screen.json(&json!({"bundles": documents}))?;
    }
    Ok(outcome)
}

/// The last line: what came of it, and what to do next.
pub(crate) fn summary(place: &str, compiled: &Compiled, deny_warnings: bool, colour: bool) -> String {
    let (errors, warnings) = (compiled.errors(), compiled.warnings());
    let found = match (errors, warnings) {
        (0, w) => count(w, "warning"),
        (e, 0) => count(e, "error"),
        (e, w) => format!("{}, {}", count(e, "error"), count(w, "warning")),
    };
    let Some(plan) = &compiled.plan else {
        let head = paint(colour, "1;31", "refused");
        return format!("{head} {place}: {found}; next: correct them, then bartizan check {place}\n");
    };
    let size = format!(
        "bundle `{}` revision {}: {}, {}, {}",
        plan.name,
        plan.revision,
        count(plan.routes.len(), "route"),
        count(plan.authorization.roles.len(), "role"),
        count(plan.limits.len(), "limit"),
    );
    match (warnings, deny_warnings) {
        (0, _) => {
            let head = paint(colour, "1;32", "fine");
            format!("{head} {place}: {size}\nnext: bartizan build {place} -o {}.bundle\n", plan.name)
        }
        (_, false) => {
            let head = paint(colour, "1;33", "fine, but");
            format!(
                "{head} {place}: {size}; {found} to read\nnext: bartizan build {place} -o {}.bundle\n",
                plan.name
            )
        }
        (_, true) => {
            let head = paint(colour, "1;31", "refused");
            format!("{head} {place}: {found}, and warnings are denied\n")
        }
    }
}
