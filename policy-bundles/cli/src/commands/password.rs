//! `bartizan password`: hashes for Basic users.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use bartizan_engine::authentication::basic::users::{COSTS, Hash, MAX_PASSWORD_BYTES, is_acceptable};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::output::{Failure, Format, Outcome, Screen};

const AFTER_HELP: &str = "\
Examples:
  bartizan password hash < password.txt
  bartizan password hash --user alice < password.txt     a line for a htpasswd file

Exit codes: 0 done; 1 the password is of no use; 2 usage; 3 cannot read or write";

/// Makes the hashes that stand for passwords of Basic users.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Password {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Hash(HashPassword),
}

const HASH_HELP: &str = "\
Examples:
  bartizan password hash < password.txt                  $2b$10$...
  bartizan password hash --user alice < password.txt     alice:$2b$10$...
  openssl rand -base64 18 | tee password.txt | bartizan password hash --cost 8

The password is read from standard input, without the line break at its end: as an argument, the list of processes and the
history of the shell would have it. It has at most 72 bytes, for bcrypt does not look at more.

The proxy's worker computes the hash when it first sees the password, and does nothing else meanwhile: about 30 ms at a cost of
8, 200 ms at 10, 600 ms at 12. Passwords that are random and long need no high cost; those that people make up do.

Exit codes: 0 done; 1 the password is of no use; 2 usage; 3 cannot read or write";

/// Hashes a password with bcrypt.
#[derive(Debug, Args)]
#[command(after_help = HASH_HELP)]
struct HashPassword {
    /// How much work a hash is: each step doubles it.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(i64::from(*COSTS.start())..=i64::from(*COSTS.end())))]
    cost: u32,
    /// The user, for a line of a htpasswd file.
    #[arg(long, value_parser = user)]
    user: Option<String>,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn user(text: &str) -> Result<String, String> {
    let good = (1..=256).contains(&text.len()) && !text.chars().any(|c| c.is_control() || c == ':');
    good.then(|| text.to_owned())
        .ok_or_else(|| "1 to 256 bytes without colons and control characters".to_owned())
}

pub(crate) fn run(password: &Password, screen: &Screen) -> Result<Outcome, Failure> {
    let What::Hash(hash) = &password.what;
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        screen.err(
            "reading the password from standard input, where it is seen; end with a line break and Ctrl-D\n",
        );
    }
    let mut bytes = Vec::new();
    stdin
        .lock()
        .take(4096)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::at(Path::new("standard input"), &error))?;
    for end in [b"\n", b"\r"] {
        if bytes.ends_with(end) {
            bytes.pop();
        }
    }
    let text = std::str::from_utf8(&bytes).ok().filter(|text| !text.chars().any(char::is_control));
    if text.is_none() || !is_acceptable(&bytes) {
        screen.complain(&format!(
            "the password is empty, longer than {MAX_PASSWORD_BYTES} bytes, not UTF-8, or has control characters; pipe in one line of text"
        ));
        return Ok(Outcome::Problems);
    }
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| Failure::new(format!("no random numbers: {error}")))?;
    let Some(made) = Hash::make(&bytes, hash.cost, salt) else {
        return Err(Failure::new("the password cannot be hashed"));
    };
    match hash.format {
        Format::Text => match &hash.user {
            Some(user) => screen.out(&format!("{user}:{made}\n"))?,
            None => screen.out(&format!("{made}\n"))?,
        },
        Format::Json => screen.json(&json!({"user": hash.user, "hash": made, "cost": hash.cost}))?,
    }
    Ok(Outcome::Fine)
}
