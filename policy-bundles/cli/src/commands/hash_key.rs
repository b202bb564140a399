//! `bartizan hash-key`: API keys, and what of them may stand in a policy.

mod strength;

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use bartizan_engine::envelope::key::{hex, sha256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::json;

use crate::output::{Failure, Format, Outcome, Screen};

const AFTER_HELP: &str = "\
Examples:
  bartizan hash-key                              a new key, and its hash
  bartizan hash-key --stdin < key.txt            the hash of a key that there is
  pass show api/device-7 | bartizan hash-key --stdin
  bartizan hash-key --pepper-env API_KEY_PEPPER  HMAC-SHA-256 with the value of that variable

The hash is `sha256:` or `hmac-sha256:` and 64 hexadecimal digits, of the key as it is sent. A plain SHA-256 is enough for
keys that nobody can guess, and for no others: what may have less than 128 random bits is refused. Of a key that you bring
that is an estimate. A key is never an argument: the list of processes and the history of the shell would have it.

Exit codes: 0 done; 1 the key or the pepper is too weak; 2 usage; 3 cannot read or write";

/// Makes an API key, or reads one, and prints the hash that a policy holds in its place.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct HashKey {
    /// Reads the key from standard input instead of making one; a line break at its end is none of it.
    #[arg(long)]
    stdin: bool,
    /// The random bytes of a new key.
    #[arg(long, value_name = "NUMBER", default_value_t = 32, conflicts_with = "stdin",
          value_parser = clap::value_parser!(u16).range(16..=256))]
    bytes: u16,
    /// The environment variable that holds a pepper, at least 32 bytes: a secret of the proxy, kept apart from the hashes.
    #[arg(long, value_name = "NAME")]
    pepper_env: Option<String>,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The largest key, in bytes: it travels in a header.
const MAX_KEY_BYTES: usize = 1024;

/// The shortest pepper, in bytes (RFC 2104, section 3: the length of the hash).
const MIN_PEPPER_BYTES: usize = 32;

pub(crate) fn run(hash_key: &HashKey, screen: &Screen) -> Result<Outcome, Failure> {
    let pepper = match hash_key.pepper_env.as_deref().map(pepper).transpose() {
        Ok(pepper) => pepper,
        Err(what) => return refused(&what, screen),
    };
    let (key, bits) = if hash_key.stdin {
        match strength::judge(&read(screen)?) {
            Ok(judged) => judged,
            Err(what) => return refused(&what, screen),
        }
    } else {
        let mut bytes = vec![0; usize::from(hash_key.bytes)];
        getrandom::fill(&mut bytes).map_err(|error| Failure::new(format!("no random numbers: {error}")))?;
        (URL_SAFE_NO_PAD.encode(&bytes), u32::from(hash_key.bytes).saturating_mul(8))
    };
    let hash = hash(&key, pepper.as_deref());
    // Who brought a key has it.
    let made = (!hash_key.stdin).then_some(key);
    match hash_key.format {
        Format::Json => screen.json(&json!({"key": made, "hash": hash, "bits": bits}))?,
        Format::Text => match made {
            Some(key) => {
                screen.out(&format!("key   {key}\nhash  {hash}\n"))?;
                screen.err("give the key to its client, it is shown this once; the hash is for the policy\n");
            }
            None => screen.out(&format!("{hash}\n"))?,
        },
    }
    Ok(Outcome::Fine)
}

/// What a policy holds in the place of a key.
pub(super) fn hash(key: &str, pepper: Option<&[u8]>) -> String {
    match pepper {
        Some(pepper) => format!("hmac-sha256:{}", hex(&hmac_sha256::HMAC::mac(key.as_bytes(), pepper))),
        None => format!("sha256:{}", hex(&sha256(key.as_bytes()))),
    }
}

fn refused(what: &str, screen: &Screen) -> Result<Outcome, Failure> {
    screen.complain(what);
    Ok(Outcome::Problems)
}

/// The pepper in a variable of the environment.
pub(super) fn pepper(name: &str) -> Result<Vec<u8>, String> {
    let value = std::env::var_os(name)
        .ok_or_else(|| format!("{name} is not set; export the pepper under this name"))?;
    let value = value.into_encoded_bytes();
    if value.len() < MIN_PEPPER_BYTES {
        return Err(format!(
            "the pepper in {name} has {} bytes; take at least {MIN_PEPPER_BYTES} random ones: openssl rand -hex 32",
            value.len()
        ));
    }
    Ok(value)
}

/// Reads the key, and one byte more of one that is too large, so that it is seen to be.
fn read(screen: &Screen) -> Result<Vec<u8>, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        screen.err("reading the key from standard input; end with a line break and Ctrl-D\n");
    }
    let most = u64::try_from(MAX_KEY_BYTES).unwrap_or(u64::MAX).saturating_add(3);
    let mut key = Vec::new();
    stdin
        .lock()
        .take(most)
        .read_to_end(&mut key)
        .map_err(|error| Failure::at(Path::new("standard input"), &error))?;
    for end in [b"\n", b"\r"] {
        if key.ends_with(end) {
            key.pop();
        }
    }
    Ok(key)
}
