//! `bartizan inspect`: what is in an artifact.

use std::fmt::Write as _;
use std::path::PathBuf;

use bartizan_compiler::artifact::Artifact;
use bartizan_engine::envelope::key::{hex, sha256};
use bartizan_engine::plan::Plan;
use clap::Args;
use serde_json::{Value, json};

use super::verify::{looked_at, moment, validity};
use crate::output::{Failure, Format, Outcome, Screen, count, paint, printable};

const AFTER_HELP: &str = "\
Examples:
  bartizan inspect edge.bundle
  bartizan inspect edge.bundle --format json | jq .sources
  bartizan inspect edge.bundle --plan | jq '.routes[].path'

Signatures are listed and not checked: that needs keys to trust, see `bartizan verify`.

Exit codes: 0 done; 1 no filter would load it; 2 usage; 3 cannot read";

/// Shows what is in an artifact, whoever has signed it.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Inspect {
    /// The artifact.
    #[arg(value_name = "ARTIFACT")]
    artifact: PathBuf,
    /// Prints the plan in it, as indented JSON, and nothing else.
    #[arg(long, conflicts_with = "format")]
    plan: bool,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(inspect: &Inspect, screen: &Screen) -> Result<Outcome, Failure> {
    let Some(artifact) = looked_at(&inspect.artifact, inspect.format, screen)? else {
        return Ok(Outcome::Problems);
    };
    match (inspect.plan, inspect.format) {
        (true, _) => {
            let plan = serde_json::to_value(&artifact.plan)
                .map_err(|error| Failure::new(format!("the plan cannot be written: {error}")))?;
            screen.json(&plan)?;
        }
        (false, Format::Json) => screen.json(&report(&artifact))?,
        (false, Format::Text) => screen.out(&text(&artifact, screen.paints_out()))?,
    }
    Ok(Outcome::Fine)
}

fn digest(artifact: &Artifact) -> String {
    format!("sha256:{}", hex(&sha256(&artifact.envelope.payload)))
}

fn report(artifact: &Artifact) -> Value {
    let about = &artifact.about;
    let signatures: Vec<Value> = artifact
        .envelope
        .signatures
        .iter()
        .map(|signature| json!({"keyid": signature.keyid, "bytes": signature.sig.len()}))
        .collect();
    json!({
        "name": about.plan.name,
        "revision": about.plan.revision,
        "plan_version": about.plan.plan_version,
        "digest": digest(artifact),
        "labels": about.labels,
        "not_before": moment(about.not_before),
        "expires": moment(about.expires),
        "when_expired": about.when_expired.name(),
        "builder": {"name": about.builder.name, "version": about.builder.version, "by": about.builder.by},
        "signatures": signatures,
        "sources": about.sources,
        "payload_bytes": artifact.envelope.payload.len(),
        "contents": contents(&artifact.plan).into_iter().collect::<serde_json::Map<_, _>>(),
    })
}

fn contents(plan: &Plan) -> [(String, Value); 6] {
    [
        ("routes", plan.routes.len()),
        ("roles", plan.authorization.roles.len()),
        ("limits", plan.limits.len()),
        ("issuers", plan.authentication.jwt.len()),
        ("schemas", plan.validation.schemas.len()),
        ("networks", plan.network.deny.len().saturating_add(plan.network.allow.len())),
    ]
    .map(|(what, number)| (what.to_owned(), number.into()))
}

fn text(artifact: &Artifact, colour: bool) -> String {
    let about = &artifact.about;
    let mut out = String::new();
    let title = format!("bundle `{}` revision {}", about.plan.name, about.plan.revision);
    let _ = writeln!(out, "{}", paint(colour, "1", &title));
    // Nobody has vouched for any of it yet.
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(out, "  {what:<11} {}", printable(value));
    };
    line("digest", &digest(artifact));
    line("validity", &validity(about));
    for (name, value) in &about.labels {
        line("label", &format!("{name} = {value}"));
    }
    let by = about.builder.by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
    line("built with", &format!("{} {}{by}", about.builder.name, about.builder.version));
    let (bytes, version) = (artifact.envelope.payload.len(), about.plan.plan_version);
    line("payload", &format!("{}, plan version {version}", count(bytes, "byte")));
    let parts = contents(&artifact.plan).map(|(what, number)| {
        let singular = what.strip_suffix('s').unwrap_or(&what).to_owned();
        count(usize::try_from(number.as_u64().unwrap_or(0)).unwrap_or(usize::MAX), &singular)
    });
    line("contents", &parts.join(", "));
    if artifact.envelope.signatures.is_empty() {
        line("signatures", "none; no filter takes it before it is signed");
    }
    for signature in &artifact.envelope.signatures {
        let name = if signature.keyid.is_empty() { "a key without a name" } else { &signature.keyid };
        // The name of a key is written by anybody, as long as they like.
        let name: String = name.chars().take(128).collect();
        line("signed", &format!("says it is by {name} (not checked)"));
    }
    for (path, digest) in &about.sources {
        line("source", &format!("{path} {digest}"));
    }
    out
}
