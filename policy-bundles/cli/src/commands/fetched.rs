//! Keys that a proxy would fetch. Here nothing is fetched: they come from files, or are missing.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bartizan_engine::authentication::keys::KeySet;
use bartizan_engine::authentication::plan::KeySource;
use bartizan_engine::plan::Plan;
use clap::Args;

/// The largest key set.
const MAX_BYTES: u64 = 1024 * 1024;

/// Key sets in the place of those that a proxy fetches.
#[derive(Debug, Default, Args)]
pub(crate) struct Fetched {
    /// A JWK set in the place of the one that a proxy would fetch for this issuer; may be repeated.
    #[arg(long = "keys", value_name = "ISSUER=FILE", value_parser = named)]
    keys: Vec<(String, PathBuf)>,
}

fn named(text: &str) -> Result<(String, PathBuf), &'static str> {
    let (name, file) = text
        .split_once('=')
        .filter(|(name, file)| !name.is_empty() && !file.is_empty())
        .ok_or("write ISSUER=FILE, with the issuer's name in the bundle")?;
    Ok((name.to_owned(), PathBuf::from(file)))
}

impl Fetched {
    /// Puts the key sets into the plan, as if they had been fetched.
    ///
    /// # Errors
    /// If there is no such issuer, its keys are not fetched, or a file is not a key set that the filter would take.
    pub(crate) fn supply(&self, plan: &mut Plan) -> Result<(), String> {
        for (name, file) in &self.keys {
            let Some(jwt) = plan.authentication.jwt.iter_mut().find(|jwt| jwt.name == *name) else {
                return Err(format!("--keys: no issuer is named `{name}`"));
            };
            if !matches!(jwt.keys, KeySource::Remote { .. }) {
                return Err(format!("--keys: the keys of `{name}` are in the bundle and not fetched"));
            }
            let text = read(file)?;
            KeySet::from_jwks(&text, &jwt.algorithms)
                .map_err(|error| format!("{}: {error}", file.display()))?;
            jwt.keys = KeySource::Jwks(text);
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| format!("{}: {}", file.display(), error.to_string().to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_supplied_where_they_would_be_fetched() {
        let bundle = "apiVersion: bartizan/v1\nname: a\nauthentication: {jwt: [{name: corp, issuer: a, audiences: [b], algorithms: [EdDSA], keys: {remote: {cluster: c, uri: 'https://a/'}}}]}\nroutes: [{path: /, access: authenticated}]\n";
        let plan = bartizan_compiler::compile_str(bundle).plan.unwrap();
        let supply = |text: &str| {
            let (mut plan, keys) = (plan.clone(), vec![named(text).unwrap()]);
            Fetched { keys }
                .supply(&mut plan)
                .map(|()| matches!(plan.authentication.jwt[0].keys, KeySource::Jwks(_)))
        };
        let directory = std::env::temp_dir().join(format!("bartizan-keys-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (good, bad) = (directory.join("good.json"), directory.join("bad.json"));
        // RFC 8037, appendix A.2.
        std::fs::write(
            &good,
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        )
        .unwrap();
        std::fs::write(&bad, r#"{"keys":[]}"#).unwrap();
        assert_eq!(supply(&format!("corp={}", good.display())), Ok(true));
        assert!(supply(&format!("corp={}", bad.display())).is_err_and(|e| e.contains("0 keys; add")));
        assert!(
            supply("corp=/nowhere").is_err()
                && supply("other=/nowhere").is_err_and(|e| e.contains("`other`"))
        );
        assert!(named("corp").is_err() && named("=x").is_err());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
