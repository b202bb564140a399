//! `bartizan pull`: an artifact out of an OCI registry, judged before it is written.

use std::path::PathBuf;

use bartizan_engine::envelope::dsse::Envelope;
use bartizan_engine::envelope::payload::{About, Head};
use bartizan_engine::envelope::{Current, Kind, Refused, Trust, admit};
use bartizan_publish::oci;
use bartizan_publish::oci::reference::Reference;
use clap::Args;
use serde_json::json;

use super::now;
use super::registry::{Access, Trouble};
use super::trusted::Trusted;
use super::verify::{in_force, problem, said};
use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, printable, shown};

const AFTER_HELP: &str = "\
Examples:
  bartizan pull registry.internal/policies/edge:stable -o edge.bundle --trust release.pub
  bartizan pull registry.internal/edge@sha256:<64 digits> -o edge.bundle --trust a.pub b.pub --threshold 2
  bartizan pull localhost:5000/edge:v7 -o edge.bundle --unverified       to look at, not to use

Nothing is written that the trust refuses, nor over a newer artifact of the same bundle. Without --name any bundle that
the keys have signed is taken. An existing file is replaced in one step. Digests are always checked.
Credentials come from --username, the environment (BARTIZAN_REGISTRY=HOST:PORT, and BARTIZAN_REGISTRY_USERNAME and
BARTIZAN_REGISTRY_PASSWORD for it) or `auths` in docker's config.json; credential helpers are not run.

Exit codes: 0 pulled; 1 the artifact is refused, or a key or what was given is wrong; 2 usage;
3 cannot write, or the registry does not give it";

/// Pulls an artifact from an OCI registry.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Pull {
    /// Which: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST.
    #[arg(value_name = "REFERENCE", value_parser = Reference::parse)]
    reference: Reference,
    /// Where to write it.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write it whoever has signed it.
    #[arg(long, required_unless_present = "trust", conflicts_with_all = ["trust", "threshold", "name"])]
    unverified: bool,
    /// Replace an artifact by an older one of the same bundle, or by another of the same revision.
    #[arg(long, requires = "trust")]
    allow_older: bool,
    #[command(flatten)]
    trusted: Trusted,
    #[command(flatten)]
    access: Access,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(pull: &Pull, screen: &Screen) -> Result<Outcome, Failure> {
    let place = pull.reference.to_string();
    let trust = match pull.trusted.load()? {
        Ok(trust) => trust,
        Err(what) => {
            screen.out(&problem(&place, &what, pull.format, screen))?;
            return Ok(Outcome::Problems);
        }
    };
    let pulled = pull
        .access
        .registry(&pull.reference, false)
        .and_then(|mut registry| Ok(oci::pull(&mut registry, &pull.reference.which)?));
    let pulled = match pulled {
        Ok(pulled) => pulled,
        Err(trouble) => return Trouble::say(trouble, &place, pull.format, screen),
    };
    let over = if pull.allow_older { None } else { before(pull, &pulled.artifact)? };
    let about = match judged(&pulled.artifact, trust.as_ref(), over.as_ref()) {
        Ok(about) => about,
        Err(refused) => {
            screen.out(&said(&place, &refused, pull.format, screen))?;
            return Ok(Outcome::Problems);
        }
    };
    files::write(&pull.output, &pulled.artifact)?;
    let (digest, verified) = (&pulled.digest, trust.is_some());
    match pull.format {
        Format::Json => screen.json(&json!({
            "reference": place, "done": true, "artifact": pull.output.display().to_string(), "verified": verified,
            "name": about.plan.name, "revision": about.plan.revision, "digest": digest, "layer": pulled.manifest.layer,
            "annotations": pulled.manifest.annotations,
        }))?,
        Format::Text => {
            let how = if verified { "verified" } else { "NOT VERIFIED" };
            screen.out(&format!(
                "pulled {} from {place}: bundle `{}` revision {}, {how}\n  {digest}\n",
                shown(&pull.output), printable(&about.plan.name), about.plan.revision
            ))?;
        }
    }
    Ok(Outcome::Fine)
}

/// What the file is that would be replaced, if it is an artifact of the same bundle: whoever may move a tag must not bring an
/// older policy back.
fn before(pull: &Pull, new: &[u8]) -> Result<Option<(Head, [u8; 32])>, Failure> {
    if !pull.output.exists() {
        return Ok(None);
    }
    let old = in_force(&files::read_artifact(&pull.output)?).ok();
    Ok(old.filter(|(old, _)| in_force(new).is_ok_and(|(new, _)| new.name == old.name)))
}

/// What an artifact says, if it may be written.
fn judged(artifact: &[u8], trust: Option<&Trust>, over: Option<&(Head, [u8; 32])>) -> Result<About, Refused> {
    let Some(trust) = trust else { return About::read(&Envelope::parse(artifact)?.payload) };
    let over =
        over.map(|(head, digest)| Current { name: &head.name, revision: head.revision, digest: *digest });
    let admitted = admit(artifact, trust, now(), over)?;
    // Its plan must load too, as it must in the filter.
    bartizan_compiler::load(admitted.plan().clone())
        .map_err(|error| Refused::new(Kind::PlanInvalid, error.to_string()))?;
    Ok(admitted.about().clone())
}
