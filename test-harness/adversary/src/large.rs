//! Large policies: how long one is built, how large its artifact is, and how long a VM takes to load it.
//!
//! Sizes are held to what was promised. Times depend on the machine and its neighbours, so they are told and fail nothing.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bartizan_compiler::artifact::{self, public_pem};
use bartizan_compiler::compile_str;
use bartizan_host::{Module, Proxy};
use serde_json::{Value, json};

use crate::artifacts::Signed;
use crate::policy::{VM_ID, usual};

/// The most bytes of an artifact for each thousand routes.
const MOST_BYTES_PER_THOUSAND: usize = 1024 * 1024;

/// What one call of the module may take: a large policy takes more than what usually means that it never returns.
const FUEL: u64 = 40_000_000_000;

/// The VMs of a proxy with one worker: that, the canary's and the main thread's.
const VMS: u32 = 3;

/// A bundle with so many routes: each with a method, a permission and a limit, every third with a body.
fn bundle(routes: usize) -> String {
    let mut text = String::from(
        "apiVersion: bartizan/v1\nname: large\nauthentication:\n  jwt:\n    - {name: corp, issuer: corp, audiences: [api], \
         algorithms: [HS256], keys: {secret: {env: CORP_SECRET}}, map: {roles: roles}}\n\
         roles: {admin: {permissions: [\"*\"]}}\nlimits: {api: {key: client.address, rate: 600/1m}}\n\
         defaults: {limits: [api]}\nroutes:\n",
    );
    for number in 0..routes {
        let (group, kind) = (number / 50, number % 50);
        let path = format!("/api/v1/group-{group}/thing-{kind}/{{id}}");
        let rest = match number % 3 {
            0 => "methods: [POST], body: {max_size: 16KiB, json: {max_depth: 8}}",
            1 => "methods: [GET]",
            _ => "methods: [PUT, DELETE], hosts: [api.example.com]",
        };
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "  - {{path: \"{path}\", access: {{permission: \"thing-{kind}:use:{{id}}\"}}, {rest}}}"
        );
    }
    text
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How long a proxy takes to start with a configuration, for each of its VMs; the best of three.
fn start(module: &Module, configuration: &str) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let builder = Proxy::builder(module)
            .vm_id(VM_ID)
            .allow_on_headers_stop_iteration(true)
            .fuel(FUEL)
            .variable("CORP_SECRET", "0123456789abcdef0123456789abcdef")
            .configuration(configuration);
        let started = Instant::now();
        let proxy = builder.workers(1).start()?;
        best = best.min(started.elapsed().checked_div(VMS).unwrap_or_default());
        if !configuration.is_empty() {
            let took_it = proxy.log().iter().any(|line| line.message.contains("bundle `large` revision 1"));
            ensure!(took_it, "the policy is not in force");
        }
    }
    Ok(best)
}

/// Builds a bundle with so many routes, loads it, and gives the line that tells of it.
///
/// # Errors
/// When its artifact is too large, or it does not come into force.
pub fn run(module: &Module, routes: usize) -> Result<String> {
    let text = bundle(routes);
    let started = Instant::now();
    let compiled = compile_str(&text);
    let payload = artifact::payload(&compiled, None, None).map_err(anyhow::Error::msg)?;
    let built = started.elapsed();
    let signed = Signed::text("apiVersion: bartizan/v1\nname: key\nroutes: [{path: /, access: public}]\n")?;
    let envelope: Value = signed.artifact(&payload, &[0])?;
    let bytes = envelope.to_string().len();
    let most = routes.div_ceil(1000).saturating_mul(MOST_BYTES_PER_THOUSAND);
    ensure!(bytes <= most, "an artifact with {routes} routes has {bytes} bytes, the most is {most}");
    let pem = signed.keys.first().map(|key| key.public()).transpose().map_err(anyhow::Error::msg)?;
    let pem = pem.map(|key| public_pem(&key)).unwrap_or_default();
    let trust = json!({"keys": [{"pem": pem}]});
    let configuration = json!({"bundle": envelope, "trust": trust, "settings": usual()}).to_string();
    let (bare, loaded) = (start(module, "")?, start(module, &configuration)?);
    let unoptimised = if cfg!(debug_assertions) { " (not optimised)" } else { "" };
    Ok(format!(
        "large: {routes} routes built in {:.0} ms{unoptimised}, the artifact has {bytes} bytes, a VM starts with it in {:.1} ms, \
         without in {:.2} ms",
        ms(built),
        ms(loaded),
        ms(bare),
    ))
}
