//! The chains that are compared: the same proxy and the same request, with different filters.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use bartizan_cases::format::Token;
use bartizan_cases::mint::Mint;
use bartizan_e2e::{config, envoy::Envoy};
use bartizan_engine::plan::Plan;
use serde_json::{Value, json};

/// What all chains share: the policy, its keys, a token.
pub(crate) struct Material {
    plan: Plan,
    jwks: String,
    token: String,
    noop: PathBuf,
    module: PathBuf,
}

impl Material {
    pub(crate) fn gather() -> Result<Self> {
        let root = config::root()?;
        let (plan, jwks) = compile("bundle")?;
        let now = now()?;
        let wanted = Token {
            claims: [("roles".to_owned(), json!(["reader"])), ("exp".to_owned(), json!("+6h"))].into(),
            ..Token::default()
        };
        let token = Mint::for_plan(&plan).token(&wanted, now, "bench").map_err(|e| anyhow!(e))?;
        let noop = root.join("dist/noop.wasm");
        anyhow::ensure!(noop.exists(), "no module at {}; run `make bench`, which builds it", noop.display());
        Ok(Self { plan, jwks, token, noop, module: config::module()? })
    }

    pub(crate) fn module_bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.module)?.len())
    }
}

/// The plan of a bundle in this folder, and its key set.
pub(crate) fn compile(name: &str) -> Result<(Plan, String)> {
    let bundle = config::root()?.join("test-harness/bench").join(name);
    let compiled = bartizan_compiler::compile_dir(&bundle);
    let report = compiled.render(false);
    let plan = compiled.plan.with_context(|| format!("{}:\n{report}", bundle.display()))?;
    Ok((plan, std::fs::read_to_string(bundle.join("keys/test.jwks.json"))?))
}

/// Seconds since 1970.
pub(crate) fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// One chain of filters and the request it gets.
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    filters: Vec<Value>,
    request: Vec<u8>,
}

/// A chain in its Envoy.
pub(crate) struct Running {
    pub(crate) envoy: Envoy,
    pub(crate) request: Vec<u8>,
}

impl Chain {
    pub(crate) fn all(material: &Material) -> Result<Vec<Self>> {
        let bartizan = || material.bartizan("wasm");
        let chain = |name, filters, path: &str| Self { name, filters, request: material.request(path) };
        Ok(vec![
            chain("bare proxy", vec![], "/plain"),
            chain("a wasm filter that does nothing", vec![wasm("noop", &material.noop, "")], "/plain"),
            chain("native, token cache on", material.native(true), "/plain"),
            chain("native, as it ships", material.native(false), "/plain"),
            chain("bartizan, the same job", vec![bartizan()], "/plain"),
            chain("bartizan, and attacks looked for", vec![bartizan()], "/inspected"),
            chain("bartizan, public route", vec![bartizan()], "/public"),
        ])
    }

    pub(crate) async fn start(&self) -> Result<Running> {
        let envoy = Envoy::start_with(&configuration(&self.filters), 1, &BTreeMap::new()).await?;
        Ok(Running { envoy, request: self.request.clone() })
    }

    /// The same in an Envoy that logs every call across the boundary.
    pub(crate) async fn start_traced(&self) -> Result<Running> {
        let envoy = Envoy::start_logging(&configuration(&self.filters), 1, &BTreeMap::new(), "trace").await?;
        Ok(Running { envoy, request: self.request.clone() })
    }

    /// Bartizan doing the native chain's job.
    pub(crate) fn bartizan(material: &Material) -> Self {
        Self {
            name: "bartizan",
            filters: vec![material.bartizan("wasm")],
            request: material.request("/plain"),
        }
    }
}

impl Material {
    fn request(&self, path: &str) -> Vec<u8> {
        request(path, &self.token)
    }

    /// The module with the plan. The token is cached after its first use, so who checks signatures
    /// (`signatures`) does not matter here.
    fn bartizan(&self, signatures: &str) -> Value {
        bartizan(&self.plan, &self.module, signatures)
    }

    /// Envoy's own filters for the same: token, role, limit, headers.
    fn native(&self, cache: bool) -> Vec<Value> {
        let mut more = json!({"payload_in_metadata": "claims"});
        if cache && let Some(more) = more.as_object_mut() {
            more.insert("jwt_cache_config".into(), json!({"jwt_cache_size": 1000}));
        }
        let header = |(name, value): (&str, &str)| json!({"append": {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}});
        let headers: Vec<Value> = [
            ("strict-transport-security", "max-age=63072000"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "default-src 'none'"),
            ("cross-origin-resource-policy", "same-origin"),
        ]
        .into_iter()
        .map(header)
        .collect();
        let role = json!({"metadata": {
            "filter": "envoy.filters.http.jwt_authn",
            "path": [{"key": "claims"}, {"key": "roles"}],
            "value": {"list_match": {"one_of": {"string_match": {"exact": "reader"}}}},
        }});
        let bucket = json!({"max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s"});
        let always = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
        vec![
            jwt_authn(&self.jwks, &more),
            json!({"name": "rbac", "typed_config": {
                "@type": format!("{API}.rbac.v3.RBAC"),
                "rules": {"action": "ALLOW", "policies": {"reader": {
                    "permissions": [{"url_path": {"path": {"exact": "/plain"}}}],
                    "principals": [role],
                }}},
            }}),
            json!({"name": "limit", "typed_config": {
                "@type": format!("{API}.local_ratelimit.v3.LocalRateLimit"),
                "stat_prefix": "bench", "token_bucket": bucket,
                "filter_enabled": always, "filter_enforced": always,
                // `x-ratelimit-limit`, `-remaining` and `-reset`, as in the policy.
                "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
            }}),
            json!({"name": "headers", "typed_config": {
                "@type": format!("{API}.header_mutation.v3.HeaderMutation"),
                "mutations": {"response_mutations": headers},
            }}),
        ]
    }
}

const API: &str = "type.googleapis.com/envoy.extensions.filters.http";

pub(crate) fn request(path: &str, token: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: api.example.com\r\nuser-agent: bench/1.0\r\naccept: */*\r\n\
         authorization: Bearer {token}\r\n\r\n"
    )
    .into_bytes()
}

pub(crate) fn bartizan(plan: &Plan, module: &std::path::Path, signatures: &str) -> Value {
    let configuration = json!({"plan": plan, "settings": {"hold_headers": true, "signatures": signatures}});
    wasm("bartizan", module, &configuration.to_string())
}

/// Envoy's own filter for tokens, with more members for its provider.
pub(crate) fn jwt_authn(jwks: &str, more: &Value) -> Value {
    let mut provider = json!({
        "issuer": "https://login.example.com/", "audiences": ["example-api"],
        "local_jwks": {"inline_string": jwks},
    });
    if let (Some(provider), Some(more)) = (provider.as_object_mut(), more.as_object()) {
        provider.extend(more.clone());
    }
    json!({"name": "jwt", "typed_config": {
        "@type": format!("{API}.jwt_authn.v3.JwtAuthentication"),
        "providers": {"bench": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}],
    }})
}

fn wasm(name: &str, module: &std::path::Path, configuration: &str) -> Value {
    json!({"name": name, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": name, "root_id": name, "failure_policy": "FAIL_RELOAD",
            "allow_on_headers_stop_iteration": true,
            "vm_config": {"vm_id": name, "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module}}},
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
        },
    }})
}

/// A proxy that answers by itself, so that only the chain is measured.
pub(crate) fn configuration(filters: &[Value]) -> Value {
    let mut filters = filters.to_vec();
    filters.push(json!({"name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}));
    let loopback = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    json!({
        "admin": {"address": loopback(0)},
        "static_resources": {"listeners": [{
            "name": "bench", "address": loopback(0),
            "filter_chains": [{"filters": [{"name": "http", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "bench", "codec_type": "HTTP1", "use_remote_address": true,
                "http_filters": filters,
                "route_config": {"virtual_hosts": [{
                    "name": "all", "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"},
                                "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}],
                }]},
            }}]}],
        }]},
    })
}
