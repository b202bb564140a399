//! `--inline`: the plugin configuration with a policy in it.

use bartizan_compiler::canonical;
use bartizan_engine::authentication::plan::KeySource;
use bartizan_engine::authentication::totp::plan::TableSource;
use bartizan_engine::plan::Plan;
use clap::{ArgAction, Args, ValueEnum};
use serde_json::{Value, json};

/// What only the deployment knows.
#[derive(Debug, Args)]
pub(super) struct Deployment {
    /// Prints the plugin configuration with the policy in it, ready to paste.
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "json")]
    pub(super) inline: Option<Inline>,
    /// Whether Envoy's plugin configuration has `allow_on_headers_stop_iteration: true`. Say `false` for
    /// hosts that cannot set it (Istio's WasmPlugin alone): then headers go upstream before the body is judged.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, requires = "inline")]
    hold_headers: bool,
    /// Whose code checks RSA and ECDSA signatures.
    #[arg(long, value_enum, default_value_t = Signatures::Auto, requires = "inline")]
    signatures: Signatures,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Inline {
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

impl Deployment {
    /// The configuration in the form that was asked for. The policy is its plan, or an artifact and a trust.
    pub(super) fn configuration(&self, plan: &Plan, policy: &[(&str, Value)]) -> String {
        let mut configuration =
            json!({"settings": {"hold_headers": self.hold_headers, "signatures": self.signatures.word()}});
        if let Value::Object(members) = &mut configuration {
            members.extend(policy.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        }
        let text = canonical::json(&configuration);
        match self.inline {
            Some(Inline::Envoy) => envoy(plan, &text, self.hold_headers),
            Some(Inline::Json) | None => format!("{text}\n"),
        }
    }
}

/// An entry of `http_filters`. The choices in it are explained in envoy/standalone/envoy.yaml.
fn envoy(plan: &Plan, configuration: &str, hold_headers: bool) -> String {
    let of_issuers = plan.authentication.jwt.iter().filter_map(|jwt| match &jwt.keys {
        KeySource::Secret { env } => Some(env.as_str()),
        KeySource::Sealed { key_env, .. } => Some(key_env.as_str()),
        KeySource::Jwks(_) | KeySource::Remote { .. } => None,
    });
    let of_keys = plan.authentication.api_keys.iter().filter_map(|keys| keys.pepper.as_deref());
    let of_tables = plan.authentication.totp.iter().map(|totp| match &totp.users {
        TableSource::Env { env } => env.as_str(),
        TableSource::Sealed { key_env, .. } => key_env.as_str(),
    });
    let secrets: Vec<Value> = of_issuers.chain(of_keys).chain(of_tables).map(Value::from).collect();
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
