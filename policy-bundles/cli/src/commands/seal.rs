//! `bartizan seal`: a secret that may lie in a bundle, for only the filter can open it.

use std::io::Read as _;
use std::path::PathBuf;

use bartizan_compiler::artifact::seal;
use bartizan_engine::authentication::totp::{MAX_TABLE_BYTES, check_table};
use bartizan_engine::envelope::key::PublicKey;
use bartizan_spec::text::{BundleName, Name};
use clap::Args;
use serde_json::json;

use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, shown};

const AFTER_HELP: &str = "\
Examples:
  bartizan keygen --sealing -o filter                          filter.key is for the proxy's VM alone
  bartizan seal --for edge/corp --to filter.pub < secret.txt   for the issuer `corp` of the bundle `edge`
  openssl rand -base64 48 | tee secret.txt | bartizan seal --for edge/corp --to filter.pub
  bartizan seal --for edge/staff --to filter.pub --table < table.json > staff.sealed
                                                               the users of the second factor `staff`

In the bundle the issuer then says
  keys: {secret: {sealed: TEXT, key: {env: FILTER_KEY}}}
and the VM has filter.key, or the base64 in it, in its environment variable FILTER_KEY.

The secret is read from standard input, without the line break at its end. It opens for this bundle and this issuer only.
A second factor says
  users: {file: staff.sealed, key: {env: FILTER_KEY}}

Exit codes: 0 sealed; 1 the secret or the key is of no use; 2 usage; 3 cannot read";

/// The longest secret.
const MAX_SECRET_BYTES: u64 = 1024;

/// What HS256 asks for at the least (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// Seals the secret of an issuer to the key of a filter, so that it may lie in a bundle.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Seal {
    /// What the secret is for: the name of the bundle, a slash, the name of the issuer.
    #[arg(long = "for", value_name = "BUNDLE/ISSUER", value_parser = place)]
    place: (String, String),
    /// The public key of the filter, from `bartizan keygen --sealing`.
    #[arg(long, value_name = "KEY.pub")]
    to: PathBuf,
    /// What is sealed is the table of users of a second factor, made of what `bartizan totp enroll` prints.
    #[arg(long)]
    table: bool,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn place(text: &str) -> Result<(String, String), String> {
    let (bundle, issuer) =
        text.split_once('/').ok_or("name the bundle and the issuer with a slash between: edge/corp")?;
    bundle.parse::<BundleName>().map_err(|problem| problem.to_string())?;
    issuer.parse::<Name>().map_err(|problem| problem.to_string())?;
    Ok((bundle.to_owned(), issuer.to_owned()))
}

pub(crate) fn run(seal_: &Seal, screen: &Screen) -> Result<Outcome, Failure> {
    let file = shown(&seal_.to);
    let key = match PublicKey::from_pem(&files::read_key(&seal_.to)?) {
        Ok(key) => key,
        Err(problem) => {
            screen.complain(&format!("{file}: {problem}"));
            return Ok(Outcome::Problems);
        }
    };
    let most = if seal_.table { MAX_TABLE_BYTES as u64 } else { MAX_SECRET_BYTES };
    let mut secret = Vec::new();
    std::io::stdin()
        .lock()
        .take(most.saturating_add(1))
        .read_to_end(&mut secret)
        .map_err(|error| Failure::new(format!("standard input: {}", error.to_string().to_lowercase())))?;
    // An editor or a command ends its line; the secret has no line break. The text is never shown again.
    if secret.last() == Some(&b'\n') {
        secret.pop();
        if secret.last() == Some(&b'\r') {
            secret.pop();
        }
    }
    if seal_.table {
        if let Err(problem) = check_table(&secret) {
            screen.complain(&problem);
            return Ok(Outcome::Problems);
        }
        return sealed(seal_, &secret, &key, &file, screen);
    }
    let long = u64::try_from(secret.len()).unwrap_or(u64::MAX) > MAX_SECRET_BYTES;
    if secret.len() < MIN_SECRET_BYTES || long {
        let problem = format!(
            "the secret has {} {} bytes; give {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES}, such as those of `openssl rand -base64 48`",
            if long { "more than" } else { "only" },
            if long { usize::try_from(MAX_SECRET_BYTES).unwrap_or(usize::MAX) } else { secret.len() },
        );
        screen.complain(&problem);
        return Ok(Outcome::Problems);
    }
    sealed(seal_, &secret, &key, &file, screen)
}

fn sealed(
    seal_: &Seal,
    secret: &[u8],
    key: &PublicKey,
    file: &str,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    let (bundle, issuer) = &seal_.place;
    match seal(secret, bundle, issuer, key) {
        Ok(sealed) => {
            match seal_.format {
                Format::Text => screen.out(&format!("{sealed}\n"))?,
                Format::Json => screen.json(&json!({
                    "sealed": sealed, "bundle": bundle, "issuer": issuer, "keyid": key.id(),
                }))?,
            }
            Ok(Outcome::Fine)
        }
        Err(problem) => {
            screen.complain(&format!("{file}: {problem}"));
            Ok(Outcome::Problems)
        }
    }
}
