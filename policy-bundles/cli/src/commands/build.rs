//! `bartizan build`: from a bundle to what the filter loads.

use std::path::PathBuf;

use bartizan_compiler::{Compiled, artifact, canonical, compile_dir, render};
use bartizan_engine::envelope::payload::MAX_NUMBER;
use bartizan_engine::plan::Plan;
use clap::Args;

use super::check::summary;
use super::inline::Deployment;
use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, json_text, shown};

const AFTER_HELP: &str = "\
Examples:
  bartizan build my-policy -o edge.bundle      the artifact, to be signed
  bartizan build my-policy -o edge.bundle --revision 1234 --by ci-1234
  bartizan build my-policy --inline            the plugin configuration, for Envoy's StringValue
  bartizan build my-policy --inline=envoy      a whole http_filters entry, as YAML
  bartizan build my-policy --plan              the plan alone

The same sources give the same bytes, wherever they lie. With one error nothing is built.
Diagnostics go to standard error.

Exit codes: 0 built; 1 errors, nothing was written; 2 usage; 3 cannot write";

/// Compiles a bundle into an artifact, or into what else a filter reads.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Build {
    /// The bundle directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Where to write; standard output by default. An existing file is replaced in one step.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The revision, instead of the bundle's own: pipelines number their builds.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=MAX_NUMBER))]
    revision: Option<u64>,
    /// Who builds: a person or a pipeline, for the artifact.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["plan", "inline"])]
    by: Option<String>,
    /// Gives the plan alone, as canonical JSON, instead of an artifact.
    #[arg(long, conflicts_with = "inline")]
    plan: bool,
    #[command(flatten)]
    deployment: Deployment,
    /// The form of diagnostics.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(build: &Build, screen: &Screen) -> Result<Outcome, Failure> {
    let mut compiled = compile_dir(&build.directory);
    compiled.warn_of_time(super::now());
    if let (Some(plan), Some(revision)) = (&mut compiled.plan, build.revision) {
        plan.revision = revision;
    }
    match build.format {
        Format::Text => screen.err(&compiled.render(screen.paints_err())),
        Format::Json => screen.err(&json_text(&render::json(&compiled.diagnostics))),
    }
    let Some(plan) = &compiled.plan else {
        let place = shown(&build.directory);
        screen.err(&summary(&place, &compiled, false, screen.paints_err()));
        return Ok(Outcome::Problems);
    };
    let text = match built(build, &compiled, plan)? {
        Ok(text) => text,
        Err(problem) => {
            screen.complain(&problem);
            return Ok(Outcome::Problems);
        }
    };
    let Some(output) = &build.output else {
        screen.data(&text)?;
        return Ok(Outcome::Fine);
    };
    files::write(output, text.as_bytes())?;
    let (place, name, revision) = (shown(output), &plan.name, plan.revision);
    screen.err(&format!("built {place}: bundle `{name}` revision {revision}, {} bytes\n", text.len()));
    if !build.plan && build.deployment.inline.is_none() {
        screen.err(&format!("next: bartizan sign {place} --key KEY\n"));
    }
    Ok(Outcome::Fine)
}

/// What was asked for, or why this bundle cannot be that.
fn built(build: &Build, compiled: &Compiled, plan: &Plan) -> Result<Result<String, String>, Failure> {
    if !build.plan && build.deployment.inline.is_none() {
        let payload = artifact::payload(compiled, None, build.by.as_deref());
        let bytes = payload.and_then(|payload| artifact::envelope(&payload, &[]));
        // An envelope is ASCII.
        return Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
    }
    let value =
        serde_json::to_value(plan).map_err(|e| Failure::new(format!("the plan cannot be written: {e}")))?;
    if build.plan {
        return Ok(Ok(format!("{}\n", canonical::json(&value))));
    }
    Ok(Ok(build.deployment.configuration(plan, &[("plan", value)])))
}
