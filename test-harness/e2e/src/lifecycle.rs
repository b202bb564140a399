//! What happens around requests: a policy that changes under load, one that cannot be used, none at all, and
//! an Envoy that cannot hold headers back.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::client::{Protocol, send};
use crate::config::{self, Settings};
use crate::deploy::Signatures;
use crate::envoy::Envoy;
use crate::message::Request;
use crate::upstream::{Answer, CASE_HEADER, Upstream};

/// How long an update may take to be in force or refused.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many good policies follow one another under load.
const UPDATES: usize = 5;

/// A policy that marks every response, so that one can see which policy judged it.
fn marked(mark: &str) -> Result<String> {
    let bundle = format!(
        "apiVersion: bartizan/v1\nname: lifecycle\n\
         routes:\n  - {{path: /open, methods: [GET], access: public}}\n\
         \x20 - {{path: /post, methods: [POST], access: public, body: {{max_size: 1KiB, json: {{}}}}}}\n\
         headers: {{response: {{set: {{x-policy: {mark}}}}}}}\n"
    );
    let compiled = bartizan_compiler::compile_str(&bundle);
    let report = compiled.render(false);
    let plan = compiled.plan.with_context(|| report)?;
    Ok(json!({"plan": plan, "settings": {"signatures": Signatures::Auto.word()}}).to_string())
}

/// Changes the policy of a running Envoy, and returns how many requests were judged meanwhile.
///
/// # Errors
/// When a request fails or is judged by no known policy, a good policy does not come into force, or a bad
/// one does anything but leave the old one in force and say why.
pub async fn updates() -> Result<usize> {
    let upstream = Upstream::start().await?;
    let directory = tempfile::Builder::new().prefix("bartizan-lds-").tempdir()?;
    let file = directory.path().join("listeners.json");
    let settings = Settings::new(config::module()?, marked("p0")?, upstream.address());
    let (bootstrap, mut listener) = dynamic(&config::standalone(&settings)?, &file)?;
    // The same port from the beginning: a listener that moves from port 0 to the port it got is a new one, and
    // when Envoy closes the old one the kernel resets whoever was still waiting to be accepted there.
    let reserved = reserve()?;
    let address = reserved.local_addr()?;
    *place(&mut listener, "/address/socket_address/port_value")? = json!(address.port());
    publish(&file, &listener)?;
    let mut envoy = Envoy::start_with(&bootstrap, 2, &BTreeMap::new()).await?;
    ensure!(envoy.address() == address, "envoy listens on {} and not on {address}", envoy.address());
    let done = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            let mut requests = 0usize;
            while !done.load(Ordering::Relaxed) {
                let response = send(address, None, Protocol::Http1, &Request::new("GET", "/open"))
                    .await
                    .with_context(|| format!("after {requests} requests, while policies change"))?;
                let mark = response.header("x-policy").unwrap_or_default().to_owned();
                ensure!(
                    response.status == 200 && mark.starts_with('p'),
                    "{} under `{mark}`",
                    response.status
                );
                requests += 1;
            }
            Ok(requests)
        }
    });
    for number in 0..UPDATES {
        let rejected = counter(&envoy, "lds.update_rejected").await?;
        *place(&mut listener, CONFIGURATION)? = json!(r#"{"plan": {"plan_version": 99}}"#);
        publish(&file, &listener)?;
        wait("the refusal of a bad plan", async || {
            Ok(counter(&envoy, "lds.update_rejected").await? > rejected)
        })
        .await?;
        ensure!(mark(&envoy).await? == format!("p{number}"), "a bad plan changed the policy in force");
        let next = format!("p{}", number + 1);
        *place(&mut listener, CONFIGURATION)? = json!(marked(&next)?);
        publish(&file, &listener)?;
        wait("a new policy", async || Ok(mark(&envoy).await? == next)).await?;
    }
    done.store(true, Ordering::Relaxed);
    let requests = load.await??;
    let log = envoy.log()?;
    ensure!(
        log.contains("plan_version: this filter reads plan version"),
        "the log does not say what was wrong"
    );
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke");
    envoy.stop().await;
    Ok(requests)
}

/// Without a policy every request is refused, with or without a body, and none hangs or reaches upstream.
///
/// # Errors
/// When one is not.
pub async fn without_policy() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut envoy = Envoy::start(&Settings::new(config::module()?, "{}".into(), upstream.address())).await?;
    for protocol in Protocol::ALL {
        for request in
            [Request::new("GET", "/open"), Request::new("POST", "/post").body("application/json", "{}")]
        {
            let response = send(envoy.address(), None, protocol, &request).await?;
            let reason = response.reason().unwrap_or_default();
            ensure!((response.status, reason.as_str()) == (503, "no-policy"), "{} {reason}", response.status);
        }
    }
    ensure!(upstream.requests() == 0, "a request reached upstream");
    envoy.alive()?;
    envoy.stop().await;
    Ok(())
}

/// On a host that cannot hold headers back, with the setting that says so: nothing hangs, good bodies pass,
/// and of a bad body upstream never gets the whole.
///
/// # Errors
/// When it is otherwise.
pub async fn without_holding() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut configuration: Value = serde_json::from_str(&marked("p0")?)?;
    *place(&mut configuration, "/settings")? = json!({"hold_headers": false});
    let settings = Settings::new(config::module()?, configuration.to_string(), upstream.address());
    let mut config = config::standalone(&settings)?;
    *place(&mut config, &format!("/static_resources/listeners/0{PLUGIN}/allow_on_headers_stop_iteration"))? =
        json!(false);
    let mut envoy = Envoy::start_with(&config, 2, &BTreeMap::new()).await?;
    for protocol in Protocol::ALL {
        let post = |body: &'static str| Request::new("POST", "/post").body("application/json", body);
        let plain = send(envoy.address(), None, protocol, &Request::new("GET", "/open")).await?;
        let good = send(envoy.address(), None, protocol, &post(r#"{"a":1}"#)).await?;
        ensure!(
            (plain.status, good.status) == (200, 200),
            "{} {} over {protocol}",
            plain.status,
            good.status
        );
        upstream.expect("bad", Answer { status: 200, ..Answer::default() });
        let bad =
            send(envoy.address(), None, protocol, &post(r#"{"a":1"#).header(CASE_HEADER, "bad")).await?;
        let reason = bad.reason().unwrap_or_default();
        ensure!(reason == "body-malformed", "{} {reason} over {protocol}", bad.status);
        // Upstream has begun to see this request; it ends broken, and without the body.
        let seen = upstream.take("bad");
        let begun = seen.iter().all(|s| s.body.is_empty() && !s.whole);
        ensure!(begun, "upstream got a refused body over {protocol}");
    }
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke");
    envoy.stop().await;
    Ok(())
}

/// Where the plugin is in a listener.
const PLUGIN: &str = "/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config";
/// Where its configuration is.
pub(crate) const CONFIGURATION: &str =
    "/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config/configuration/value";

/// Splits a static configuration into a bootstrap that watches a file, and the listener for that file.
pub(crate) fn dynamic(config: &Value, file: &Path) -> Result<(Value, Value)> {
    let mut bootstrap = config.clone();
    let listener = place(&mut bootstrap, "/static_resources/listeners/0")?.take();
    *place(&mut bootstrap, "/static_resources/listeners")? = json!([]);
    let watched = file.parent().context("a file in a directory")?;
    let resources = json!({"lds_config": {"path_config_source": {
        "path": file, "watched_directory": {"path": watched}}, "resource_api_version": "V3"}});
    let members = bootstrap.as_object_mut().context("a mapping")?;
    members.insert("dynamic_resources".into(), resources);
    members.insert("node".into(), json!({"id": "e2e", "cluster": "e2e"}));
    Ok((bootstrap, listener))
}

/// Puts a listener where Envoy looks for it: by a rename, so that Envoy never reads half a file.
pub(crate) fn publish(file: &Path, listener: &Value) -> Result<()> {
    let mut resource = listener.clone();
    let members = resource.as_object_mut().context("a mapping")?;
    members.insert("@type".into(), json!("type.googleapis.com/envoy.config.listener.v3.Listener"));
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, json!({"version_info": "", "resources": [resource]}).to_string())?;
    Ok(std::fs::rename(&fresh, file)?)
}

/// Keeps a free port of the loopback for Envoy, which may bind it too, while nobody else can be given it.
pub(crate) fn reserve() -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    Ok(socket)
}

async fn mark(envoy: &Envoy) -> Result<String> {
    let response = send(envoy.address(), None, Protocol::Http1, &Request::new("GET", "/open")).await?;
    Ok(response.header("x-policy").unwrap_or_default().to_owned())
}

pub(crate) async fn counter(envoy: &Envoy, name: &str) -> Result<u64> {
    let stats = envoy.stats(name).await?;
    stats.values().next().copied().with_context(|| format!("envoy does not count `{name}`"))
}

pub(crate) async fn wait(what: &str, mut happened: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !happened().await? {
        if started.elapsed() > PATIENCE {
            bail!("{what} did not come within {} s", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

pub(crate) fn place<'v>(value: &'v mut Value, pointer: &str) -> Result<&'v mut Value> {
    value.pointer_mut(pointer).with_context(|| format!("the configuration has no {pointer} any more"))
}
