//! `bartizan build`: from a bundle to what the filter loads.

use std::io::Write;
use std::path::{Path, PathBuf};

use bartizan_compiler::{canonical, compile_dir, render};
use bartizan_engine::authentication::plan::KeySource;
use bartizan_engine::plan::Plan;
use clap::{ArgAction, Args, ValueEnum};
use serde_json::{Value, json};

use super::check::summary;
use crate::output::{Failure, Format, Outcome, Screen};

const AFTER_HELP: &str = "\
Examples:
  bartizan build my-policy -o plan.json        the plan alone
  bartizan build my-policy --inline            the plugin configuration, for Envoy's StringValue
  bartizan build my-policy --inline=envoy      a whole http_filters entry, as YAML

With one error nothing is built. Diagnostics go to standard error.

Exit codes: 0 built; 1 errors, nothing was written; 2 usage; 3 cannot write";

/// Compiles a bundle into the plan that the filter executes.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Build {
    /// The bundle directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Where to write; standard output by default. An existing file is replaced in one step.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Gives the plugin configuration with the plan in it, instead of the plan alone.
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "json")]
    inline: Option<Inline>,
    /// Whether Envoy's plugin configuration has `allow_on_headers_stop_iteration: true`. Say `false` for
    /// hosts that cannot set it (Istio's WasmPlugin alone): then headers go upstream before the body is judged.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, requires = "inline")]
    hold_headers: bool,
    /// Whose code checks RSA and ECDSA signatures.
    #[arg(long, value_enum, default_value_t = Signatures::Auto, requires = "inline")]
    signatures: Signatures,
    /// The form of diagnostics.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Inline {
    /// The plugin configuration as JSON.
    Json,
    /// An entry of `http_filters` as YAML.
    Envoy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Signatures {
    /// The proxy's, if they pass a self-test; else the filter's own.
    Auto,
    /// The proxy's, or none at all.
    Host,
    /// The filter's own.
    Wasm,
}

impl Signatures {
    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Host => "host",
            Self::Wasm => "wasm",
        }
    }
}

pub(crate) fn run(build: &Build, screen: &Screen) -> Result<Outcome, Failure> {
    let compiled = compile_dir(&build.directory);
    match build.format {
        Format::Text => screen.err(&compiled.render(screen.paints_err())),
        Format::Json => screen.err(&format!("{:#}\n", render::json(&compiled.diagnostics))),
    }
    let Some(plan) = &compiled.plan else {
        let place = build.directory.display().to_string();
        screen.err(&summary(&place, &compiled, false, screen.paints_err()));
        return Ok(Outcome::Problems);
    };
    let text = artifact(build, plan)?;
    let Some(output) = &build.output else {
        screen.out(&text)?;
        return Ok(Outcome::Fine);
    };
    write(output, text.as_bytes())?;
    screen.err(&format!(
        "built {}: bundle `{}` revision {}, {} bytes\n",
        output.display(),
        plan.name,
        plan.revision,
        text.len()
    ));
    Ok(Outcome::Fine)
}

fn artifact(build: &Build, plan: &Plan) -> Result<String, Failure> {
    let value =
        serde_json::to_value(plan).map_err(|e| Failure::new(format!("the plan cannot be written: {e}")))?;
    let Some(inline) = build.inline else {
        return Ok(format!("{}\n", canonical::json(&value)));
    };
    let settings = json!({"hold_headers": build.hold_headers, "signatures": build.signatures.word()});
    let configuration = canonical::json(&json!({"plan": value, "settings": settings}));
    Ok(match inline {
        Inline::Json => format!("{configuration}\n"),
        Inline::Envoy => envoy(plan, &configuration, build.hold_headers),
    })
}

/// An entry of `http_filters`. The choices in it are explained in envoy/standalone/envoy.yaml.
fn envoy(plan: &Plan, configuration: &str, hold_headers: bool) -> String {
    let secrets: Vec<Value> = plan
        .authentication
        .jwt
        .iter()
        .filter_map(|jwt| match &jwt.keys {
            KeySource::Secret { env } => Some(Value::from(env.as_str())),
            KeySource::Jwks(_) => None,
        })
        .collect();
    let secrets = canonical::json(&Value::Array(secrets));
    // In single quotes YAML reads everything as it stands but the quote itself.
    let quoted = configuration.replace('\'', "''");
    format!(
        "- name: bartizan
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      name: bartizan
      root_id: bartizan
      failure_policy: FAIL_RELOAD
      reload_config: {{backoff: {{base_interval: 1s, max_interval: 10s}}}}
      allow_on_headers_stop_iteration: {hold_headers}
      vm_config:
        vm_id: bartizan-{name}
        runtime: envoy.wasm.runtime.v8
        code: {{local: {{filename: /etc/envoy/bartizan.wasm}}}}
        environment_variables: {{host_env_keys: {secrets}}}
      configuration:
        \"@type\": type.googleapis.com/google.protobuf.StringValue
        value: '{quoted}'
",
        name = plan.name,
    )
}

/// Writes a file in one step: whoever reads it sees the old one or the new one, and never half of one.
fn write(target: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let name =
        target.file_name().ok_or_else(|| Failure::new(format!("{} is not a file", target.display())))?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = target.with_file_name(temporary);
    let written = std::fs::File::create_new(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, target));
    written.map_err(|error| {
        // The half-written file is of no use; that it may stay behind is not worth a second error.
        let _ = std::fs::remove_file(&temporary);
        Failure::at(target, &error)
    })
}
