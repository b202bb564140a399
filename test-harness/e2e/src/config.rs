//! Envoy's configuration for a test: the one people deploy, with ports and paths of this run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use bartizan_cases::format::Certificate;
use bartizan_cases::mint::certificate::{self, Made};
use serde_json::{Value, json};

use crate::client::tls::SERVER;

/// What a run changes in `envoy/standalone/envoy.yaml`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Envoy to start; the one in use, if none is given.
    pub envoy: Option<PathBuf>,
    /// The module.
    pub module: PathBuf,
    /// The plugin configuration: plan and settings, as JSON text.
    pub configuration: String,
    /// The namespace of shared state.
    pub vm_id: String,
    /// Where allowed requests go.
    pub upstream: SocketAddr,
    /// The port of the listener; 0 takes a free one.
    pub port: u16,
    /// Worker threads.
    pub concurrency: u32,
    /// Whether the listener takes connections over TLS too, and verifies the certificates of clients that have one.
    pub tls: bool,
    /// Whether the listener lets `x-forwarded-client-cert` through.
    pub forwards_certificates: bool,
    /// Secrets, by the names the policy gives them.
    pub environment: BTreeMap<String, String>,
}

impl Settings {
    /// Settings for a module and a configuration, with two workers.
    #[must_use]
    pub fn new(module: PathBuf, configuration: String, upstream: SocketAddr) -> Self {
        Self {
            envoy: None,
            module,
            configuration,
            vm_id: "bartizan".to_owned(),
            upstream,
            port: 0,
            concurrency: 2,
            tls: false,
            forwards_certificates: false,
            environment: BTreeMap::new(),
        }
    }
}

/// The root of the checkout that this harness was built from.
///
/// # Errors
/// When the program was moved to a machine without it.
pub fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().context("the checkout that this program was built in is gone; build it anew")
}

/// The module under test: `$BARTIZAN_WASM`, or what `make build` left.
///
/// # Errors
/// When there is none.
pub fn module() -> Result<PathBuf> {
    let path = match std::env::var_os("BARTIZAN_WASM") {
        Some(path) => PathBuf::from(path),
        None => root()?.join("dist/bartizan.wasm"),
    };
    path.canonicalize().with_context(|| format!("no module at {}; run `make build`", path.display()))
}

/// The configuration people deploy, as it was when this was built: whoever has the program needs no checkout.
const STANDALONE: &str = include_str!("../../../envoy/standalone/envoy.yaml");

/// `envoy/standalone/envoy.yaml` with its marked lines filled in.
///
/// # Errors
/// When the file no longer has a place that is filled in here.
pub fn standalone(settings: &Settings) -> Result<Value> {
    let file = "envoy/standalone/envoy.yaml";
    let mut config: Value = serde_saphyr::from_str(STANDALONE).context(file)?;

    let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    let plugin = format!("{manager}/http_filters/0/typed_config/config");
    let names: Vec<&String> = settings.environment.keys().collect();
    let upstream = "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
    let changes = [
        ("/admin/address/socket_address/port_value".to_owned(), json!(0)),
        ("/static_resources/listeners/0/address/socket_address/port_value".to_owned(), json!(settings.port)),
        (format!("{plugin}/vm_config/vm_id"), json!(settings.vm_id)),
        (format!("{plugin}/vm_config/code/local/filename"), json!(settings.module)),
        (format!("{plugin}/vm_config/environment_variables/host_env_keys"), json!(names)),
        (format!("{plugin}/configuration/value"), json!(settings.configuration)),
        (format!("{upstream}/address"), json!(settings.upstream.ip().to_string())),
        (format!("{upstream}/port_value"), json!(settings.upstream.port())),
    ];
    for (place, value) in changes {
        let found = config.pointer_mut(&place);
        *found.with_context(|| format!("{file} has no {place} any more"))? = value;
    }
    Ok(config)
}

/// One configuration for several policies in one Envoy: each has a listener, a plugin and a `vm_id` of its own,
/// made from the same file and called by the `vm_id`. They share the upstream.
///
/// # Errors
/// As for [`standalone`], and when the policies cannot share a process.
pub fn together(policies: &[Settings]) -> Result<Value> {
    let (first, others) = policies.split_first().context("no policy to put in force")?;
    let mut config = standalone(first)?;
    let mut listeners = vec![named(&config, first)?];
    for policy in others {
        ensure!(policy.upstream == first.upstream, "`{}` has another upstream", policy.vm_id);
        ensure!(policy.concurrency == first.concurrency, "`{}` wants other workers", policy.vm_id);
        let taken = listeners.iter().any(|listener| listener.get("name") == Some(&json!(policy.vm_id)));
        // Envoy would take the second for a newer version of the first.
        ensure!(!taken, "two policies are called `{}`", policy.vm_id);
        listeners.push(named(&standalone(policy)?, policy)?);
    }
    let place = config.pointer_mut("/static_resources/listeners");
    *place.context("the configuration has no listeners any more")? = Value::Array(listeners);
    Ok(config)
}

/// The listener of a policy, under a name that Envoy repeats in its log and its statistics.
fn named(config: &Value, policy: &Settings) -> Result<Value> {
    let mut listener = config
        .pointer("/static_resources/listeners/0")
        .context("the configuration has no listener any more")?
        .clone();
    for place in ["/name", "/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config/name"]
    {
        let found = listener.pointer_mut(place);
        *found.with_context(|| format!("the listener has no {place} any more"))? = json!(policy.vm_id);
    }
    if policy.forwards_certificates {
        let manager = listener.pointer_mut("/filter_chains/0/filters/0/typed_config");
        let manager =
            manager.and_then(Value::as_object_mut).context("the listener has no filters any more")?;
        manager.insert("forward_client_cert_details".to_owned(), json!("ALWAYS_FORWARD_ONLY"));
    }
    if policy.tls {
        both_ways(&mut listener)?;
    }
    Ok(listener)
}

/// Lets a listener take plain connections and such over TLS, by what the first bytes look like.
fn both_ways(listener: &mut Value) -> Result<()> {
    let made = |of: Result<Made, String>| of.map_err(|error| anyhow!(error));
    let authority = made(certificate::authority())?;
    let name = Certificate { dns: vec![SERVER.to_owned()], ..Certificate::default() };
    let server = made(certificate::make(&name, 0))?;
    let text = |pem: String| json!({"inline_string": pem});
    let context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificates": [{"certificate_chain": text(server.pem()), "private_key": text(server.key_pem())}],
            "validation_context": {"trusted_ca": text(authority.pem())},
        },
    });
    let chains = listener.pointer_mut("/filter_chains").and_then(Value::as_array_mut);
    let chains = chains.context("the listener has no filter chains any more")?;
    let mut plain = chains.pop().context("the listener has no filter chain any more")?;
    let mut secure = plain.clone();
    put(&mut plain, "filter_chain_match", json!({"transport_protocol": "raw_buffer"}))?;
    put(&mut secure, "filter_chain_match", json!({"transport_protocol": "tls"}))?;
    put(
        &mut secure,
        "transport_socket",
        json!({"name": "envoy.transport_sockets.tls", "typed_config": context}),
    )?;
    chains.extend([plain, secure]);
    let inspector = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
    let inspector =
        json!({"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": inspector}});
    put(listener, "listener_filters", json!([inspector]))
}

fn put(object: &mut Value, name: &str, value: Value) -> Result<()> {
    object.as_object_mut().context("not an object any more")?.insert(name.to_owned(), value);
    Ok(())
}

/// The same for containers: clients on all addresses, and names instead of this machine's paths.
///
/// # Errors
/// As for [`standalone`].
pub fn container(configuration: String, secrets: &BTreeMap<String, String>) -> Result<Value> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 8081));
    let mut settings = Settings::new("/etc/bartizan/bartizan.wasm".into(), configuration, nowhere);
    settings.port = 8080;
    settings.environment.clone_from(secrets);
    let mut config = standalone(&settings)?;
    let upstream = "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
    let changes = [
        ("/admin/address/socket_address/port_value".to_owned(), json!(9901)),
        ("/static_resources/listeners/0/address/socket_address/address".to_owned(), json!("0.0.0.0")),
        (format!("{upstream}/address"), json!("upstream")),
    ];
    for (place, value) in changes {
        *config.pointer_mut(&place).with_context(|| format!("the configuration has no {place}"))? = value;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_marked_line_is_filled_in_and_every_filled_line_is_marked() {
        let text = std::fs::read_to_string(root().unwrap().join("envoy/standalone/envoy.yaml")).unwrap();
        // admin, listener, module, secrets, policy, upstream (its address and port stand on one line).
        assert_eq!(text.lines().skip_while(|l| l.starts_with('#')).filter(|l| l.contains("HERE")).count(), 6);
        let settings = Settings::new("m.wasm".into(), "{\"plan\":{}}".into(), "127.0.0.1:9".parse().unwrap());
        let config = standalone(&settings).unwrap().to_string();
        let container = container("{}".to_owned(), &BTreeMap::new()).unwrap().to_string();
        assert!(container.contains("0.0.0.0") && container.contains("\"upstream\""));
        for value in ["m.wasm", "{\\\"plan\\\":{}}", "\"port_value\":9"] {
            assert!(config.contains(value), "{value}");
        }
    }

    #[test]
    fn policies_together_differ_where_they_must() {
        let part = |name: &str, upstream: &str| {
            let plan = format!("plan of {name}");
            let mut settings = Settings::new("m.wasm".into(), plan, upstream.parse().unwrap());
            settings.vm_id = name.to_owned();
            settings
        };
        let config = together(&[part("a", "127.0.0.1:9"), part("b", "127.0.0.1:9")]).unwrap();
        let listeners = config["static_resources"]["listeners"].as_array().unwrap();
        assert_eq!(listeners.len(), 2);
        for (listener, name) in listeners.iter().zip(["a", "b"]) {
            let plugin = "/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config";
            let plugin = listener.pointer(plugin).unwrap();
            assert_eq!((&listener["name"], &plugin["name"]), (&json!(name), &json!(name)));
            assert_eq!(plugin["vm_config"]["vm_id"], name);
            assert_eq!(plugin["configuration"]["value"], format!("plan of {name}"));
        }
        assert!(together(&[]).is_err());
        assert!(together(&[part("a", "127.0.0.1:9"), part("a", "127.0.0.1:9")]).is_err());
        assert!(together(&[part("a", "127.0.0.1:9"), part("b", "127.0.0.1:8")]).is_err());
    }
}
