//! `bartizan init`: a bundle to start from.

use std::path::PathBuf;

use clap::Args;

use crate::library;
use crate::output::{Failure, Outcome, Screen, shown};

const AFTER_HELP: &str = "\
Examples:
  bartizan init my-policy                      the smallest useful bundle
  bartizan init --from iot-gateway my-policy   another ready-made one
  bartizan init --list                         what there is

Exit codes: 0 done; 1 there is something in the way, nothing was written; 2 usage; 3 cannot write";

/// The schema beside a bundle, for editors.
const SCHEMA_FILE: &str = "bundle.schema.json";
const PART_SCHEMA_FILE: &str = "part.schema.json";

/// Makes a new bundle from a ready-made one. Never writes over anything.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Init {
    /// The ready-made bundle to start from.
    #[arg(long, value_name = "NAME", default_value = "minimal")]
    from: String,
    /// Lists the ready-made bundles.
    #[arg(long, conflicts_with = "directory")]
    list: bool,
    /// The directory to make; it must not exist, or be empty.
    #[arg(value_name = "DIR", required_unless_present = "list")]
    directory: Option<PathBuf>,
}

pub(crate) fn run(init: &Init, screen: &Screen) -> Result<Outcome, Failure> {
    let Some(directory) = &init.directory else {
        return list(screen);
    };
    let Some(files) = library::files(&init.from) else {
        let help = bartizan_compiler::suggest::remedy(&init.from, library::names(), "ready-made bundles");
        screen.complain(&format!("there is no ready-made bundle `{}`; {help}", init.from));
        return Ok(Outcome::Problems);
    };
    if directory.exists() {
        let mut entries = std::fs::read_dir(directory).map_err(|e| Failure::at(directory, &e))?;
        if entries.next().is_some() {
            let place = shown(directory);
            screen.complain(&format!("{place} is not empty; name another directory, nothing was written"));
            return Ok(Outcome::Problems);
        }
    }
    for (path, bytes) in &files {
        let target = directory.join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Failure::at(parent, &e))?;
        }
        let bytes = match schema_of(path) {
            Some(schema) => with_schema(bytes, &schema),
            None => bytes.to_vec(),
        };
        std::fs::write(&target, bytes).map_err(|e| Failure::at(&target, &e))?;
    }
    let mut schemas = vec![(SCHEMA_FILE, bartizan_spec::schema::bundle_schema_text())];
    if files.iter().any(|(path, _)| is_part(path)) {
        schemas.push((PART_SCHEMA_FILE, bartizan_spec::schema::part_schema_text()));
    }
    for (name, text) in &schemas {
        let schema = directory.join(name);
        std::fs::write(&schema, text).map_err(|e| Failure::at(&schema, &e))?;
    }
    let place = shown(directory);
    screen.out(&format!(
        "made {place} from `{}`: {} files\n\nnext:\n  1. edit {place}/bundle.yaml: name, issuer, audiences, routes\n  2. put your issuer's public keys into {place}/keys; those there now are test keys\n  3. bartizan check {place}\n",
        init.from,
        files.len().saturating_add(schemas.len()),
    ))?;
    Ok(Outcome::Fine)
}

fn list(screen: &Screen) -> Result<Outcome, Failure> {
    let names = library::names();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    for name in names {
        screen.out(&format!("{name:width$}  {}\n", library::description(name).unwrap_or_default()))?;
    }
    Ok(Outcome::Fine)
}

fn is_part(path: &str) -> bool {
    path.ends_with(&format!("/{}", bartizan_compiler::PART_FILE))
}

/// Where the schema of a file of the bundle is, as seen from that file.
fn schema_of(path: &str) -> Option<String> {
    if path == bartizan_compiler::BUNDLE_FILE {
        return Some(SCHEMA_FILE.to_owned());
    }
    is_part(path).then(|| format!("{}{PART_SCHEMA_FILE}", "../".repeat(path.matches('/').count())))
}

/// In the repository the schema is somewhere else than in a bundle that stands alone.
fn with_schema(bytes: &[u8], schema: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line.strip_prefix("# yaml-language-server:") {
            Some(_) => format!("# yaml-language-server: $schema={schema}"),
            None => line.to_owned(),
        })
        .collect();
    format!("{}\n", lines.join("\n")).into_bytes()
}
