//! `bartizan push`: an artifact into an OCI registry.

use std::path::PathBuf;

use bartizan_compiler::artifact::Artifact;
use bartizan_engine::envelope::admit;
use bartizan_publish::oci::reference::{Reference, Which};
use bartizan_publish::oci::{self, Pushed};
use bartizan_spec::time::Moment;
use clap::Args;
use serde_json::json;

use super::now;
use super::registry::{Access, Trouble};
use super::trusted::Trusted;
use super::verify::{problem, said};
use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, printable};

const AFTER_HELP: &str = "\
Examples:
  bartizan push edge.bundle registry.internal/policies/edge:stable
  bartizan push edge.bundle localhost:5000/edge:v7 --trust release.pub      only if it verifies
  echo \"$PASSWORD\" | bartizan push edge.bundle registry.internal/edge:v7 --username ci --password-stdin
  bartizan push edge.bundle registry.internal/edge:v7 --format json | jq -r .digest

What is there already is not sent again. The same artifact gives the same digest; with SOURCE_DATE_EPOCH set, the
manifest has that time as `created`. Credentials come from --username, the environment (BARTIZAN_REGISTRY=HOST:PORT, and BARTIZAN_REGISTRY_USERNAME and
BARTIZAN_REGISTRY_PASSWORD for it) or `auths` in docker's config.json; credential helpers are not run.
docs/bundles.md has the media types.

Exit codes: 0 pushed, or there already; 1 the artifact, a key or what was given is wrong; 2 usage;
3 cannot read, or the registry does not take it";

/// Pushes a signed artifact to an OCI registry.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Push {
    /// The artifact.
    #[arg(value_name = "ARTIFACT")]
    artifact: PathBuf,
    /// Where to: REGISTRY/REPOSITORY:TAG.
    #[arg(value_name = "REFERENCE", value_parser = tagged)]
    reference: Reference,
    /// Push an artifact that nobody has signed, which no filter takes.
    #[arg(long, conflicts_with_all = ["trust", "threshold", "name"])]
    unsigned: bool,
    #[command(flatten)]
    trusted: Trusted,
    #[command(flatten)]
    access: Access,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A reference with a tag: what has a digest is there already.
fn tagged(text: &str) -> Result<Reference, String> {
    let reference = Reference::parse(text)?;
    match (&reference.which, text.ends_with(&format!(":{}", reference.which))) {
        (Which::Tag(_), true) => Ok(reference),
        _ => Err(format!("`{text}`: a tag is needed to push; write REGISTRY/REPOSITORY:TAG")),
    }
}

pub(crate) fn run(push: &Push, screen: &Screen) -> Result<Outcome, Failure> {
    let place = push.artifact.display().to_string();
    let wrong = |what: &str| {
        screen.out(&problem(&place, what, push.format, screen))?;
        Ok(Outcome::Problems)
    };
    let bytes = files::read_artifact(&push.artifact)?;
    let trust = match push.trusted.load()? {
        Ok(trust) => trust,
        Err(what) => return wrong(&what),
    };
    let judged = Artifact::read(&bytes).and_then(|artifact| match &trust {
        Some(trust) => admit(&bytes, trust, now(), None).map(|_| artifact),
        None => Ok(artifact),
    });
    let artifact = match judged {
        Ok(artifact) => artifact,
        Err(refused) => {
            screen.out(&said(&place, &refused, push.format, screen))?;
            return Ok(Outcome::Problems);
        }
    };
    if artifact.envelope.signatures.is_empty() && !push.unsigned {
        return wrong(
            "nobody has signed it, so no filter takes it; sign it with `bartizan sign`, or say --unsigned",
        );
    }
    let created = match created() {
        Ok(created) => created,
        Err(what) => return wrong(&what),
    };
    let (name, revision) = (&artifact.about.plan.name, artifact.about.plan.revision);
    let reference = push.reference.to_string();
    let pushed = push.access.registry(&push.reference, true).and_then(|mut registry| {
        let tag = push.reference.which.to_string();
        Ok(oci::push(&mut registry, &tag, &bytes, name, revision, created.as_deref())?)
    });
    let pushed = match pushed {
        Ok(pushed) => pushed,
        Err(trouble) => return Trouble::say(trouble, &reference, push.format, screen),
    };
    let Pushed { digest, layer, changed } = &pushed;
    match push.format {
        Format::Json => screen.json(&json!({
            "reference": reference, "done": true, "artifact": place, "name": name, "revision": revision, "digest": digest,
            "layer": layer, "changed": changed,
        }))?,
        Format::Text => {
            let did = if *changed { "pushed" } else { "unchanged" };
            let (place, Reference { registry, repository, .. }) = (printable(&place), &push.reference);
            screen.out(&format!(
                "{did} {place} at {reference}: bundle `{name}` revision {revision}\n  {registry}/{repository}@{digest}\n"
            ))?;
        }
    }
    Ok(Outcome::Fine)
}

/// The time for the annotations: only one that is given, or no two pushes would be the same.
fn created() -> Result<Option<String>, String> {
    let Some(epoch) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let seconds = epoch.to_str().and_then(|text| text.parse().ok()).and_then(Moment::of_seconds);
    let moment =
        seconds.ok_or("SOURCE_DATE_EPOCH is not a number of seconds since 1970; correct or unset it")?;
    Ok(Some(moment.to_string()))
}
