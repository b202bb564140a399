//! `bartizan sign`: adds signatures to an artifact.

use std::path::PathBuf;

use bartizan_compiler::artifact::SigningKey;
use clap::Args;
use serde_json::json;

use super::verify::{problem, said};
use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, count, shown};

const AFTER_HELP: &str = "\
Examples:
  bartizan sign edge.bundle --key release.key
  bartizan sign edge.bundle --key security.key                 a second signature, by somebody else
  bartizan sign edge.bundle --key a.key --key b.key -o signed.bundle

What no filter would load is not signed; when it is valid is not looked at. Bad signatures in the name of a key that
signs are dropped, and where there is no room one that names no key. Keys are `PRIVATE KEY` in PEM (PKCS#8), Ed25519 or P-256.

Exit codes: 0 signed; 1 the artifact or a key is wrong, nothing was written; 2 usage; 3 cannot read or write";

/// Signs an artifact, beside the signatures that it has.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Sign {
    /// The artifact.
    #[arg(value_name = "ARTIFACT")]
    artifact: PathBuf,
    /// A private key to sign with; may be given several times.
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// Where to write; the artifact itself by default. An existing file is replaced in one step.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(sign: &Sign, screen: &Screen) -> Result<Outcome, Failure> {
    let place = sign.artifact.display().to_string();
    let mut artifact = match files::open_artifact(&sign.artifact)? {
        Ok(artifact) => artifact,
        Err(refused) => {
            screen.out(&said(&place, &refused, sign.format, screen))?;
            return Ok(Outcome::Problems);
        }
    };
    let mut by = Vec::new();
    for path in &sign.key {
        let file = path.display().to_string();
        let signed = SigningKey::from_pem(&files::read_key(path)?).and_then(|key| {
            artifact.sign(&key)?;
            key.public()
        });
        match signed {
            Ok(key) => by.push(json!({"key": file, "keyid": key.id(), "algorithm": key.algorithm().name()})),
            Err(what) => {
                screen.out(&problem(&place, &format!("{file}: {what}"), sign.format, screen))?;
                return Ok(Outcome::Problems);
            }
        }
    }
    let target = sign.output.as_ref().unwrap_or(&sign.artifact);
    match artifact.to_bytes() {
        Ok(bytes) => files::write(target, &bytes)?,
        Err(what) => {
            screen.out(&problem(&place, &what, sign.format, screen))?;
            return Ok(Outcome::Problems);
        }
    }
    let (name, revision) = (&artifact.about.plan.name, artifact.about.plan.revision);
    let all = artifact.envelope.signatures.len();
    match sign.format {
        Format::Json => screen.json(&json!({
            "artifact": target.display().to_string(), "signed": true, "name": name, "revision": revision, "by": by,
            "signatures": all,
        }))?,
        Format::Text => {
            let target = shown(target);
            screen.out(&format!(
                "signed {target}: bundle `{name}` revision {revision}, {} by now\nnext: bartizan verify {target} --trust KEY.pub\n",
                count(all, "signature")
            ))?;
        }
    }
    Ok(Outcome::Fine)
}
