//! The keys that a command line trusts.

use std::path::PathBuf;

use bartizan_engine::envelope::Trust;
use bartizan_engine::envelope::trust::{TrustPlan, TrustedKey};
use clap::Args;

use crate::files;
use crate::output::{Failure, shown};

/// Which keys to trust, and what they must vouch for.
#[derive(Debug, Args)]
pub(crate) struct Trusted {
    /// The public keys to trust: `PUBLIC KEY` in PEM, or a JSON Web Key.
    #[arg(long, value_name = "KEY", num_args = 1..)]
    pub(crate) trust: Vec<PathBuf>,
    /// How many of them must have signed.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "trust")]
    pub(crate) threshold: usize,
    /// The name that the bundle must have.
    #[arg(long, value_name = "NAME", requires = "trust")]
    pub(crate) name: Option<String>,
}

impl Trusted {
    /// The trust, if there is any; or what is wrong with a key.
    pub(crate) fn load(&self) -> Result<Result<Option<Trust>, String>, Failure> {
        if self.trust.is_empty() {
            return Ok(Ok(None));
        }
        Ok(load(&self.trust, self.threshold, self.name.as_deref())?.map(|(_, trust)| Some(trust)))
    }
}

/// The trust in the keys of these files, as a configuration writes it and ready to use; or what is wrong with a key.
pub(super) fn load(
    files: &[PathBuf],
    threshold: usize,
    name: Option<&str>,
) -> Result<Result<(TrustPlan, Trust), String>, Failure> {
    let mut keys = Vec::new();
    for path in files {
        let text = files::read_key(path)?;
        let key = if text.trim_start().starts_with('{') {
            match serde_json::from_str(&text) {
                Ok(jwk) => TrustedKey { jwk: Some(jwk), ..TrustedKey::default() },
                Err(error) => return Ok(Err(format!("{}: not a JSON Web Key: {error}", shown(path)))),
            }
        } else {
            TrustedKey { pem: Some(text), ..TrustedKey::default() }
        };
        keys.push(key);
    }
    let plan = TrustPlan { keys, threshold, name: name.map(str::to_owned) };
    Ok(match Trust::load(&plan) {
        Ok(trust) => Ok((plan, trust)),
        Err(error) => {
            // `keys[1].pem` is the second file, for people.
            let file = files
                .iter()
                .enumerate()
                .find(|(index, _)| error.place.starts_with(&format!("keys[{index}]")));
            Err(match file {
                Some((_, path)) => format!("{}: {}", shown(path), error.problem),
                None => error.to_string(),
            })
        }
    })
}
