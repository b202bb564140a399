//! `bartizan schema`: the JSON Schema of the language.

use clap::Args;

use crate::output::{Failure, Outcome, Screen};

const AFTER_HELP: &str = "\
Examples:
  bartizan schema > bundle.schema.json

  Editors with the YAML language server complete and check a bundle whose first line is
  # yaml-language-server: $schema=bundle.schema.json

Exit codes: 0 done; 2 usage; 3 cannot write";

/// Prints the JSON Schema of the policy language, for editors.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Schema {}

pub(crate) fn run(screen: &Screen) -> Result<Outcome, Failure> {
    screen.out(&bartizan_spec::schema::bundle_schema_text())?;
    Ok(Outcome::Fine)
}
