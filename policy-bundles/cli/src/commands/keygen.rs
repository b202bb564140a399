//! `bartizan keygen`: a pair of keys, for signing bundles or for sealing secrets.

use std::path::{Path, PathBuf};

use bartizan_compiler::artifact::{SigningKey, public_pem};
use bartizan_engine::envelope::key::Algorithm;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, shown};

const AFTER_HELP: &str = "\
Examples:
  bartizan keygen -o release                    release.key to sign with, release.pub to trust
  bartizan keygen --algorithm p256 -o release   for hardware and services that have no Ed25519
  bartizan keygen --sealing -o filter           filter.pub to seal secrets for the filter that has filter.key

The private key is readable by its owner only, and is not encrypted: keep it where your secrets are.

Exit codes: 0 done; 1 there is something in the way, nothing was written; 2 usage; 3 cannot write";

/// Makes a pair of keys, for signing bundles or for sealing secrets. Never writes over anything.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Keygen {
    /// What the keys are for.
    #[arg(long, value_enum, default_value_t)]
    algorithm: Choice,
    /// Makes keys for sealing secrets (P-256): see `bartizan seal`. Use them for nothing else.
    #[arg(long, conflicts_with = "algorithm")]
    sealing: bool,
    /// Where to write: NAME.key and NAME.pub.
    #[arg(short, long, value_name = "NAME")]
    output: PathBuf,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// Ed25519 (RFC 8032): small, fast and deterministic.
    #[default]
    Ed25519,
    /// ECDSA on P-256 (FIPS 186-5).
    P256,
}

pub(crate) fn run(keygen: &Keygen, screen: &Screen) -> Result<Outcome, Failure> {
    let (private, public) = (beside(&keygen.output, "key"), beside(&keygen.output, "pub"));
    for path in [&private, &public] {
        if path.symlink_metadata().is_ok() {
            let place = shown(path);
            screen.complain(&format!("{place} is there already; choose another name, nothing was written"));
            return Ok(Outcome::Problems);
        }
    }
    let key = SigningKey::generate(match keygen.algorithm {
        Choice::Ed25519 if !keygen.sealing => Algorithm::Ed25519,
        Choice::Ed25519 | Choice::P256 => Algorithm::P256,
    });
    let half = key.public().map_err(Failure::new)?;
    files::write_new(&private, &key.to_pem().map_err(Failure::new)?, true)?;
    // Half a pair would only be in the way of the next try.
    files::write_new(&public, &public_pem(&half), false).inspect_err(|_| {
        let _ = std::fs::remove_file(&private);
    })?;
    match keygen.format {
        Format::Json => screen.json(&json!({
            "algorithm": key.algorithm().name(),
            "keyid": half.id(),
            "private": private.display().to_string(),
            "public": public.display().to_string(),
        }))?,
        Format::Text => {
            let (private, public) = (shown(&private), shown(&public));
            let (whom, next) = match keygen.sealing {
                true => ("seals", format!("bartizan seal --for BUNDLE/ISSUER --to {public}")),
                false => ("verifies", format!("bartizan sign ARTIFACT --key {private}")),
            };
            screen.out(&format!(
                "made {private} (keep it secret) and {public} (give it to whoever {whom})\nkey {}, {}\n\
                 next: {next}\n",
                half.id(),
                key.algorithm().name(),
            ))?;
        }
    }
    Ok(Outcome::Fine)
}

/// `a.b` becomes `a.b.key`: a dot in a name starts no extension.
fn beside(name: &Path, extension: &str) -> PathBuf {
    let mut path = name.as_os_str().to_owned();
    path.push(".");
    path.push(extension);
    path.into()
}
