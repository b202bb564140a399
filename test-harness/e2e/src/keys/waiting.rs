//! Requests that come before the first keys: they wait, not more of them than may, and what they bring along reaches upstream whole.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::post::{self, Post, serving};
use super::rotation::UNKNOWN;
use super::seen::Seen;
use crate::bundles::crew::connections;
use crate::bundles::server::{Behaviour, BundleServer, Pause};
use crate::client::{Protocol, connect, h1, h2};
use crate::message::{Body, Request, Response};
use crate::upstream::{CASE_HEADER, Upstream};

/// As many as wait in one worker (`waiting.rs` of the filter).
const MOST: usize = 128;

/// How long a request may wait in these scenes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What is told of too many.
const BUSY: &str = "503 busy, retry-after";

/// Policies whose issuer answers when the gate is closed.
struct Gated {
    posts: Vec<Post>,
    server: BundleServer,
    gate: Arc<Semaphore>,
}

fn gated(names: &[&str]) -> Result<Gated> {
    let gate = Arc::new(Semaphore::new(0));
    let good = Box::new(serving(&["es256-0"])?);
    let server = BundleServer::start(Behaviour::Later(Pause::Until(Arc::clone(&gate)), good))?;
    let pace = format!("refresh: 1h, min_refresh: 1s, timeout: {}s", TIMEOUT.as_secs());
    let posts = names.iter().map(|name| Post::fetching(name, &pace, server.address()));
    Ok(Gated { posts: posts.collect::<Result<_>>()?, server, gate })
}

/// Sends more requests than may wait to every worker while the first fetch is under way.
///
/// # Errors
/// When another number of them waits, those that wait are not let in when the keys come, or others wait too.
pub(super) async fn first() -> Result<String> {
    const NAME: &str = "first";
    /// Streams of one connection: Envoy takes a hundred.
    const STREAMS: usize = 80;
    let upstream = Upstream::start().await?;
    let Gated { posts, server, gate } = gated(&[NAME])?;
    let envoy = post::start(&posts, &upstream, &BTreeMap::new()).await?;
    let post = posts.first().context("a policy")?;
    let mut lines = Vec::new();
    let mut workers = BTreeSet::new();
    for (worker, stream) in connections(&envoy, envoy.listener(NAME)?, NAME, 2).await? {
        workers.insert(worker);
        lines.push(h2::Connection::new(stream).await?);
    }
    let mut asking = JoinSet::new();
    for line in &lines {
        for _ in 0..STREAMS {
            let (mut line, request) = (line.clone(), post.request("es256-0")?);
            asking.spawn(async move {
                let began = Instant::now();
                Ok::<_, anyhow::Error>((line.exchange(&request).await?, began.elapsed()))
            });
        }
    }
    // Whoever may not wait is told so at once, while all others still wait.
    let (mut seen, sent) = (Seen::new(), lines.len() * STREAMS);
    let turned_away = sent - workers.len() * MOST;
    for _ in 0..turned_away {
        let next = tokio::time::timeout(Duration::from_secs(5), asking.join_next()).await;
        let next = next.context("more requests wait than may")?;
        let (answer, took) = next.context("all are answered")???;
        seen.note("beyond those that may wait", &answer, took);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    ensure!(asking.try_join_next().is_none(), "a request that may wait was answered before the keys came");
    // Whoever needs no keys waits for nobody.
    for line in &mut lines {
        let began = Instant::now();
        let answer = line.exchange(&Request::new("GET", "/open")).await?;
        seen.note("public route, meanwhile", &answer, began.elapsed());
        ensure!(began.elapsed() < Duration::from_secs(1), "a public route took {:?}", began.elapsed());
    }
    ensure!(
        upstream.requests() == lines.len() as u64,
        "BREAK-IN: upstream saw {} requests",
        upstream.requests()
    );
    let released = Instant::now();
    gate.close();
    let waiting = asking.len();
    while let Some(done) = asking.join_next().await {
        let (answer, took) = done??;
        seen.note("those that waited", &answer, took);
    }
    let took = released.elapsed();
    for line in &mut lines {
        seen.note(
            "afterwards, a key that is not there",
            &line.exchange(&post.request("es256-1")?).await?,
            Duration::ZERO,
        );
    }
    seen.print();
    seen.exactly("those that waited", "200", workers.len() * MOST)?;
    seen.exactly("beyond those that may wait", BUSY, turned_away)?;
    seen.exactly("public route, meanwhile", "200", lines.len())?;
    seen.only("afterwards, a key that is not there", &[UNKNOWN])?;
    ensure!(took < Duration::from_secs(3), "the keys came, and requests waited {took:?} after that");
    let asked = server.asked().len();
    ensure!((1..=2).contains(&asked), "{asked} fetches, for the first keys and for one unknown key");
    post::end(envoy).await?;
    Ok(format!(
        "of {sent} requests to {} workers {waiting} waited for the first keys and were let in {} ms after those came, {turned_away} were turned away at once",
        workers.len(),
        took.as_millis()
    ))
}

/// Uploads as large as this.
const LARGE: usize = 3 * 1024 * 1024;

/// How an upload is sent.
struct Upload {
    what: String,
    address: SocketAddr,
    protocol: Protocol,
    /// Whether it comes in pieces, and its length is not declared.
    pieces: bool,
    key: &'static str,
}

/// Sends large bodies that pass unread, and whose head has to wait.
///
/// # Errors
/// When one does not reach upstream as it is, or anything of one reaches it whose token is bad.
pub(super) async fn upload() -> Result<String> {
    /// With the limit of `envoy/standalone/envoy.yaml` for what is held back, and with Envoy's own, which is less than what is sent.
    const NAMES: [&str; 2] = ["upload", "upload-small"];
    let upstream = Upstream::start().await?;
    let Gated { posts, server: _server, gate } = gated(&NAMES)?;
    let mut config = post::configuration(&posts, &upstream)?;
    let host =
        "/static_resources/listeners/1/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0";
    let host = config.pointer_mut(host).and_then(Value::as_object_mut).context("a virtual host")?;
    ensure!(
        host.remove("request_body_buffer_limit").is_some(),
        "the configuration has no limit for held bodies any more"
    );
    let envoy = post::launch(&config, &BTreeMap::new()).await?;
    let post = posts.first().context("a policy")?;
    let mut bytes = 0_u32;
    let body: Vec<u8> = std::iter::repeat_with(|| {
        bytes = bytes.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.to_be_bytes()[0]
    })
    .take(LARGE)
    .collect();
    let mut uploads = Vec::new();
    for (what, pieces, key) in [
        ("upload with its length", false, "es256-0"),
        ("upload in pieces", true, "es256-0"),
        ("upload with its length, bad token", false, "es256-stranger"),
        ("upload in pieces, bad token", true, "es256-stranger"),
    ] {
        for (name, what) in NAMES.into_iter().zip([what.to_owned(), format!("{what}, small buffer")]) {
            let address = envoy.listener(name)?;
            uploads.extend(Protocol::ALL.map(|protocol| Upload {
                what: what.clone(),
                address,
                protocol,
                pieces,
                key,
            }));
        }
    }
    let mut asking = JoinSet::new();
    for (number, upload) in uploads.iter().enumerate() {
        let case = format!("upload-{number}");
        upstream.hold(&case);
        upstream.release(&case);
        let token = post.request(upload.key)?;
        let mut request = Request::new("POST", "/upload").header(CASE_HEADER, &case);
        request.headers.extend(token.headers);
        request = request.body("application/octet-stream", body.clone());
        if upload.pieces {
            let pieces = body.chunks(65_536).map(<[u8]>::to_vec).collect();
            request.body = Body::Pieces { pieces, sized: false, trailers: Vec::new() };
        }
        let (what, address, protocol) = (upload.what.clone(), upload.address, upload.protocol);
        asking.spawn(async move {
            let began = Instant::now();
            let answer = exchange(address, protocol, &request)
                .await
                .with_context(|| format!("{what} over {protocol}"))?;
            Ok::<_, anyhow::Error>((what, answer, began.elapsed()))
        });
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let early: Vec<_> = std::iter::from_fn(|| asking.try_join_next()).collect();
    gate.close();
    let mut seen = Seen::new();
    let ended = early.len();
    for done in early {
        if let Ok((what, answer, took)) = done? {
            seen.note(&what, &answer, took);
        }
    }
    while let Some(done) = asking.join_next().await {
        let (what, answer, took) = done??;
        seen.note(&what, &answer, took);
    }
    seen.print();
    ensure!(ended == 0, "{ended} uploads ended before the keys came");
    for (number, upload) in uploads.iter().enumerate() {
        let arrived = upstream.take(&format!("upload-{number}"));
        let Upload { what, protocol, key, .. } = upload;
        if *key == "es256-0" {
            let [one] = arrived.as_slice() else {
                anyhow::bail!("{what} over {protocol}: upstream saw {} requests", arrived.len())
            };
            ensure!(one.whole, "{what} over {protocol}: upstream saw no end of it");
            ensure!(one.body == body, "{what} over {protocol}: upstream got {} other bytes", one.body.len());
        } else {
            ensure!(arrived.is_empty(), "BREAK-IN: {what} over {protocol}");
        }
    }
    for Upload { what, key, .. } in &uploads {
        let wanted = if *key == "es256-0" { "200" } else { UNKNOWN };
        seen.exactly(what, wanted, Protocol::ALL.len())?;
    }
    post::end(envoy).await?;
    Ok(format!(
        "{} uploads of {LARGE} bytes waited for the first keys, over HTTP/1.1 and HTTP/2; those with good tokens reached upstream byte for byte, of the others nothing did",
        uploads.len()
    ))
}

async fn exchange(address: SocketAddr, protocol: Protocol, request: &Request) -> Result<Response> {
    let stream = connect(address, None).await?;
    let exchange = async {
        match protocol {
            Protocol::Http1 => h1::Connection::new(stream).exchange(request).await,
            Protocol::Http2 => h2::Connection::new(stream).await?.exchange(request).await,
        }
    };
    tokio::time::timeout(TIMEOUT, exchange).await.context("no answer")?
}
