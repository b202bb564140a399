//! `bartizan schema`: the JSON Schema of the language, and the list of its fields.

use clap::{Args, ValueEnum};

use crate::output::{Failure, Outcome, Screen};

const AFTER_HELP: &str = "\
Examples:
  bartizan schema > bundle.schema.json
  bartizan schema --part > part.schema.json      of what other teams write, `part.yaml`
  bartizan schema --format markdown | less

  Editors with the YAML language server complete and check a bundle whose first line is
  # yaml-language-server: $schema=bundle.schema.json

Exit codes: 0 done; 2 usage; 3 cannot write";

/// Prints the JSON Schema of the policy language, for editors.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Schema {
    /// The form of the schema.
    #[arg(long, value_enum, default_value_t = Form::Json)]
    format: Form,
    /// The schema of a `part.yaml`.
    #[arg(long, conflicts_with = "format")]
    part: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// JSON Schema 2020-12.
    Json,
    /// A list of all fields, for people.
    Markdown,
}

pub(crate) fn run(schema: &Schema, screen: &Screen) -> Result<Outcome, Failure> {
    match schema.format {
        Form::Json if schema.part => screen.data(&bartizan_spec::schema::part_schema_text())?,
        Form::Json => screen.data(&bartizan_spec::schema::bundle_schema_text())?,
        Form::Markdown => screen.out(&bartizan_spec::reference::fields_markdown())?,
    }
    Ok(Outcome::Fine)
}
