//! `bartizan token`: tokens for development, made and looked at.

mod inspect;
mod judge;
mod mint;

use clap::{Args, Subcommand};

use crate::output::{Failure, Outcome, Screen};

const AFTER_HELP: &str = "\
Examples:
  bartizan token mint --bundle my-policy --test-key --role viewer
  bartizan token inspect --bundle my-policy < token.txt

For development. Tokens that let people in come from an issuer.

Exit codes: 0 done, and the token would be accepted; 1 it is none, or would be refused; 2 usage; 3 cannot read or write";

/// Makes tokens for development, and says what is in one and what a bundle makes of it.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Token {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Mint(Box<mint::Mint>),
    Inspect(inspect::Inspect),
}

pub(crate) fn run(token: &Token, screen: &Screen) -> Result<Outcome, Failure> {
    match &token.what {
        What::Mint(mint) => mint::run(mint, screen),
        What::Inspect(inspect) => inspect::run(inspect, screen),
    }
}
