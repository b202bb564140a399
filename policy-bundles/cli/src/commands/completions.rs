//! `bartizan completions`: what a shell must know to complete the command line.

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

use crate::output::{Failure, Outcome, Screen};

const AFTER_HELP: &str = "\
Examples:
  bartizan completions bash > ~/.local/share/bash-completion/completions/bartizan
  bartizan completions zsh > \"${fpath[1]}/_bartizan\"
  bartizan completions fish > ~/.config/fish/completions/bartizan.fish

Exit codes: 0 done; 2 usage; 3 cannot write";

/// Prints the completions of the command line for a shell.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Choice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// GNU Bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
}

pub(crate) fn run(
    completions: &Completions,
    mut command: Command,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    let shell = match completions.shell {
        Choice::Bash => Shell::Bash,
        Choice::Zsh => Shell::Zsh,
        Choice::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    screen.out(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Fine)
}
