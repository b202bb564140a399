//! How the filter asks, and what it shows of itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bartizan_publish::MEDIA_TYPE;
use serde_json::json;

use super::crew::Crew;
use super::follow::none_refused;
use super::make::{Edition, Maker, mark, value};
use super::served::Served;
use super::server::{Behaviour, BundleServer};
use super::site::{self, FOLLOWED, Site};
use crate::envoy::Envoy;
use crate::upstream::Upstream;

const SITE: &str = "poll";

/// What the filter says to the server, from the environment of its VM.
const CREDENTIALS: (&str, &str) = ("BARTIZAN_E2E_TOKEN", "Bearer e2e-9f2c1a");

/// Looks at the requests of the filter while nothing changes, and at what it shows.
///
/// # Errors
/// When it asks too often, too seldom or otherwise than documented, or shows something that is not so.
pub(crate) async fn poll() -> Result<String> {
    let maker = Maker::new();
    let upstream = Upstream::start().await?;
    let first = maker.artifact(&Edition::new(1))?;
    let server = BundleServer::start(Behaviour::Publish(first.clone()))?;
    let (name, secret) = CREDENTIALS;
    let site = Site::new(SITE, &maker, server.address())?
        .with("bundle", value(&first)?)
        .source("authorization", json!({"env": name}));
    let environment = BTreeMap::from([(name.to_owned(), secret.to_owned())]);
    let mut envoy = site::start_with(&[site], upstream.address(), &environment).await?;
    let mut crew = Crew::assemble(&envoy, envoy.listener(SITE)?, SITE).await?;
    crew.wait_for(&mark(1), &[], FOLLOWED).await?;
    server.behave(Behaviour::Publish(maker.artifact(&Edition::new(2))?));
    crew.wait_for(&mark(2), &[&mark(1)], FOLLOWED + site::INTERVAL).await?;
    let polls = polite(&server, &envoy).await?;
    status(&maker, &server, &envoy, &mut crew, 2).await?;
    ensure!(!envoy.log()?.contains(secret), "the credentials are in the log");
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke");
    envoy.stop().await;
    let (waited, longest) = waiting(&maker, &upstream).await?;
    Ok(format!(
        "{polls} polls of {} workers in 5 s at rest, each with the entity tag; gauges show what is so; with `wait_ms` {waited} polls in 5 s, and changes in force after {} ms at the most",
        crew.len(),
        longest.as_millis()
    ))
}

/// Has the server hold its answers until there is a change: fewer polls, and changes are there sooner than a long interval says.
async fn waiting(maker: &Maker, upstream: &Upstream) -> Result<(usize, Duration)> {
    let server = Served::start(&maker.artifact(&Edition::new(1))?).await?;
    let site = Site::new(SITE, maker, server.address())?.source("wait_ms", json!(20_000));
    let mut envoy = site::start(&[site], upstream.address()).await?;
    let mut crew = Crew::assemble(&envoy, envoy.listener(SITE)?, SITE).await?;
    crew.wait_for(&mark(1), &["503 no-policy"], FOLLOWED + site::INTERVAL).await?;
    tokio::time::sleep(FOLLOWED).await;
    let _ = server.answers();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let answered: usize = server.answers().values().sum();
    ensure!(answered <= 1, "{answered} answers in 5 s, although the server was to wait for 20 s");
    let mut longest = Duration::ZERO;
    for revision in 2..=5 {
        server.publish(&maker.artifact(&Edition::new(revision))?)?;
        let took = crew.wait_for(&mark(revision), &[&mark(revision - 1)], FOLLOWED).await?;
        longest = longest.max(took);
    }
    none_refused(&envoy).await?;
    envoy.alive()?;
    envoy.stop().await;
    server.stop().await;
    Ok((answered, longest))
}

/// Looks at the requests of the filter for five seconds in which nothing changes, and returns how many there were.
async fn polite(server: &BundleServer, envoy: &Envoy) -> Result<usize> {
    let rest = Duration::from_secs(5);
    // The last publication may be fetched still.
    tokio::time::sleep(site::INTERVAL).await;
    let _ = server.asked();
    tokio::time::sleep(rest).await;
    let asked = server.asked();
    for request in &asked {
        let of = |name| request.header(name).unwrap_or_default().to_owned();
        ensure!(request.line == format!("GET {}", site::PATH), "the filter asks for `{}`", request.line);
        ensure!(of("host") == "bundles.internal", "the filter asks `{}`", of("host"));
        ensure!(
            of("if-none-match").len() == 66,
            "the filter asks with `if-none-match: {}`",
            of("if-none-match")
        );
        ensure!(of("user-agent").starts_with("bartizan/"), "the filter is called `{}`", of("user-agent"));
        ensure!(
            of("authorization") == CREDENTIALS.1,
            "the filter sends `authorization: {}`",
            of("authorization")
        );
        ensure!(of("accept").starts_with(MEDIA_TYPE), "the filter accepts `{}`", of("accept"));
    }
    // One worker polls for all: each interval, or up to a tenth sooner.
    let most = rest.as_millis().div_ceil(site::INTERVAL.as_millis() * 9 / 10) + 2;
    let least = rest.as_millis() / site::INTERVAL.as_millis() / 2;
    let number = asked.len() as u128;
    ensure!((least..=most).contains(&number), "{number} polls in {rest:?}, expected {least} to {most}");
    let polls = site::counters(envoy).await?.get("wasmcustom.bartizan.bundle.polls").copied();
    ensure!(polls >= Some(number as u64), "{number} polls came, and {polls:?} were counted");
    Ok(asked.len())
}

/// Checks what the filter shows of itself: the revision in force, the last success, and a bundle that has expired.
async fn status(
    maker: &Maker,
    server: &BundleServer,
    envoy: &Envoy,
    crew: &mut Crew,
    revision: u64,
) -> Result<()> {
    let now = crate::deploy::now()?;
    gauge(envoy, "revision", |shown| shown == revision).await?;
    gauge(envoy, "expired", |shown| shown == 0).await?;
    gauge(envoy, "last_success", |shown| shown + 10 >= now && shown <= now + 10).await?;
    gauge(envoy, "age_seconds", |shown| shown <= 3).await?;
    // One that is kept beyond its end, as nothing else is said in it: loudly, and still in force.
    let edition = Edition::new(revision + 1);
    server.behave(Behaviour::Publish(maker.expiring(&edition, now + 4)?));
    let shown = mark(revision + 1);
    crew.wait_for(&shown, &[&mark(revision)], FOLLOWED).await?;
    gauge(envoy, "expired", |shown| shown == 1).await?;
    crew.wait_for(&shown, &[], FOLLOWED).await?;
    server.behave(Behaviour::Publish(maker.artifact(&Edition::new(revision + 2))?));
    crew.wait_for(&mark(revision + 2), &[&shown], FOLLOWED).await?;
    gauge(envoy, "expired", |shown| shown == 0).await?;
    gauge(envoy, "revision", |shown| shown == revision + 2).await
}

/// Waits until a gauge of the bundle is as it should be.
async fn gauge(envoy: &Envoy, name: &str, right: impl Fn(u64) -> bool) -> Result<()> {
    let full = format!("wasmcustom.bartizan.bundle.{name}");
    let started = Instant::now();
    loop {
        let shown = site::counters(envoy).await?.get(&full).copied();
        let shown = shown.with_context(|| format!("envoy has no gauge {full}"))?;
        if right(shown) {
            return Ok(());
        }
        ensure!(started.elapsed() < Duration::from_secs(8), "the gauge {full} stays at {shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
