//! The `bartizan` command: what one does with policy bundles on a laptop or in a pipeline.
//!
//! One file per command under [`commands`]; [`output`] knows about terminals, formats and exit codes.
#![forbid(unsafe_code)]

mod commands;
mod files;
mod library;
mod output;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use output::{Colour, Outcome, Screen};

const AFTER_HELP: &str = "\
Exit codes:
  0  done, nothing wrong
  1  something is wrong with the bundle, a case, the request or the artifact, and it was said what;
     or two bundles differ (`diff`), or a file is not laid out (`fmt --check`)
  2  the command line is wrong, or there was nothing to run
  3  a file or directory could not be read or written, or a registry does not answer as it should

A first bundle:
  bartizan init my-policy
  bartizan check my-policy
  bartizan test my-policy
  bartizan build my-policy -o edge.bundle
  bartizan keygen -o release
  bartizan sign edge.bundle --key release.key
  bartizan verify edge.bundle --trust release.pub";

/// Writes, checks, explains, tests, builds and signs policy bundles for the Bartizan filter.
#[derive(Debug, Parser)]
#[command(name = "bartizan", version, about, after_help = AFTER_HELP, arg_required_else_help = true)]
struct Cli {
    /// Whether to use colours. NO_COLOR in the environment switches them off too.
    #[arg(long, visible_alias = "colour", value_enum, default_value_t = Colour::Auto, global = true)]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(commands::init::Init),
    Check(commands::check::Check),
    Fmt(commands::fmt::Fmt),
    Build(commands::build::Build),
    Keygen(commands::keygen::Keygen),
    Seal(commands::seal::Seal),
    Sign(commands::sign::Sign),
    Verify(commands::verify::Verify),
    Inspect(commands::inspect::Inspect),
    Diff(commands::diff::Diff),
    Push(commands::push::Push),
    Pull(commands::pull::Pull),
    Serve(commands::serve::Serve),
    Explain(commands::explain::Explain),
    Test(commands::test::Test),
    Token(commands::token::Token),
    ApiKey(commands::api_key::ApiKey),
    HashKey(commands::hash_key::HashKey),
    Password(commands::password::Password),
    Totp(commands::totp::Totp),
    Schema(commands::schema::Schema),
    Reasons(commands::reasons::Reasons),
    Completions(commands::completions::Completions),
    Man(commands::man::Pages),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let screen = Screen::new(cli.color);
    let result = match cli.command {
        Command::Init(init) => commands::init::run(&init, &screen),
        Command::Check(check) => commands::check::run(&check, &screen),
        Command::Fmt(fmt) => commands::fmt::run(&fmt, &screen),
        Command::Build(build) => commands::build::run(&build, &screen),
        Command::Keygen(keygen) => commands::keygen::run(&keygen, &screen),
        Command::Seal(seal) => commands::seal::run(&seal, &screen),
        Command::Sign(sign) => commands::sign::run(&sign, &screen),
        Command::Verify(verify) => commands::verify::run(&verify, &screen),
        Command::Inspect(inspect) => commands::inspect::run(&inspect, &screen),
        Command::Diff(diff) => commands::diff::run(&diff, &screen),
        Command::Push(push) => commands::push::run(&push, &screen),
        Command::Pull(pull) => commands::pull::run(&pull, &screen),
        Command::Serve(serve) => commands::serve::run(&serve, &screen),
        Command::Explain(explain) => commands::explain::run(&explain, &screen),
        Command::Test(test) => commands::test::run(&test, &screen),
        Command::Token(token) => commands::token::run(&token, &screen),
        Command::ApiKey(api_key) => commands::api_key::run(&api_key, &screen),
        Command::HashKey(hash_key) => commands::hash_key::run(&hash_key, &screen),
        Command::Password(password) => commands::password::run(&password, &screen),
        Command::Totp(totp) => commands::totp::run(&totp, &screen),
        Command::Schema(schema) => commands::schema::run(&schema, &screen),
        Command::Reasons(reasons) => commands::reasons::run(&reasons, &screen),
        Command::Completions(shell) => commands::completions::run(&shell, Cli::command(), &screen),
        Command::Man(pages) => commands::man::run(&pages, Cli::command(), &screen),
    };
    match result {
        Ok(outcome) => outcome.into(),
        Err(failure) => {
            screen.complain(&failure.to_string());
            Outcome::Failed.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_an_example() {
        let command = super::Cli::command();
        command.clone().debug_assert();
        let inner = command.get_subcommands().flat_map(|sub| sub.get_subcommands());
        for sub in command.get_subcommands().chain(inner) {
            let help = sub.clone().render_long_help().to_string();
            assert!(help.contains("Examples:") && help.contains("bartizan "), "{}", sub.get_name());
            assert!(help.contains("Exit codes:"), "{}", sub.get_name());
        }
    }
}
