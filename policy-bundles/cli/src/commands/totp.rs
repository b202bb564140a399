//! `bartizan totp`: second factors, enrolled and tried out.

mod enroll;
mod qr;

use std::io::Read as _;
use std::path::Path;

use bartizan_engine::authentication::totp;
use bartizan_engine::host::Now;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::output::{Failure, Format, Outcome, Screen};

const AFTER_HELP: &str = "\
Examples:
  bartizan totp enroll --user alice --issuer Example     a secret with its QR code, the entry of the table, backup codes
  bartizan totp backup-codes --user alice                new backup codes instead of the ones that are used up
  bartizan totp code < secret.txt                        the code of this moment

Exit codes: 0 done; 1 what was given is of no use; 2 usage; 3 cannot read or write";

/// Makes secrets for authenticator apps, backup codes, and codes to try them with.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Totp {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Enroll(enroll::Enroll),
    BackupCodes(enroll::BackupCodes),
    Code(Code),
}

pub(crate) fn run(totp: &Totp, screen: &Screen) -> Result<Outcome, Failure> {
    match &totp.what {
        What::Enroll(enroll) => enroll::run(enroll, screen),
        What::BackupCodes(codes) => enroll::backup_codes(codes, screen),
        What::Code(code) => code.run(screen),
    }
}

/// The hash beneath the codes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Algorithm {
    /// What every authenticator app knows.
    #[default]
    Sha1,
    /// SHA-256; many apps do not know it, and some say nothing and show other codes.
    Sha256,
    /// SHA-512; the same is true of it.
    Sha512,
}

impl Algorithm {
    const fn engine(self) -> totp::Algorithm {
        match self {
            Self::Sha1 => totp::Algorithm::Sha1,
            Self::Sha256 => totp::Algorithm::Sha256,
            Self::Sha512 => totp::Algorithm::Sha512,
        }
    }
}

const CODE_HELP: &str = "\
Examples:
  bartizan totp code < secret.txt                        the secret in Base32
  bartizan totp code --digits 8 --algorithm sha256 < secret.txt
  bartizan totp code --at 1700000000 < secret.txt        the code of another moment
  curl -H \"x-totp-code: $(bartizan totp code < secret.txt)\" https://api.example.com/admin

The secret is read from standard input: as an argument, the list of processes and the history of the shell would have it.

Exit codes: 0 done; 1 this is no secret; 2 usage; 3 cannot read";

/// Prints the code that an authenticator app would show, to try out a policy.
#[derive(Debug, Args)]
#[command(after_help = CODE_HELP)]
struct Code {
    /// The hash beneath the codes.
    #[arg(long, value_enum, default_value_t)]
    algorithm: Algorithm,
    /// How many digits a code has.
    #[arg(long, default_value_t = 6, value_parser = digits)]
    digits: u32,
    /// The moment, in seconds since 1970; now by default.
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn digits(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|digits| matches!(digits, 6 | 8))
        .ok_or_else(|| "codes have 6 or 8 digits".to_owned())
}

impl Code {
    fn run(&self, screen: &Screen) -> Result<Outcome, Failure> {
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .take(1024)
            .read_to_string(&mut text)
            .map_err(|error| Failure::at(Path::new("standard input"), &error))?;
        let Some(secret) = totp::base32(text.trim()).filter(|secret| !secret.is_empty()) else {
            screen.complain("there is no secret in Base32 (RFC 4648, section 6) on standard input; `bartizan totp enroll` makes one");
            return Ok(Outcome::Problems);
        };
        let now = self.at.unwrap_or_else(super::now);
        let step = totp::step(Now::from_secs(now));
        let code = totp::text(self.algorithm.engine(), &secret, step, self.digits);
        let left = totp::STEP_S.saturating_sub(now % totp::STEP_S);
        match self.format {
            Format::Text => screen.out(&format!("{code}\n"))?,
            Format::Json => screen.json(&json!({"code": code, "seconds_left": left}))?,
        }
        Ok(Outcome::Fine)
    }
}
