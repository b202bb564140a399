//! Tokens of keys that nobody has, in great numbers: they make nobody ask the issuer more often than it may be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::outage::UNAVAILABLE;
use super::post::{self, Post, serving};
use super::rotation::{SHARED, UNKNOWN, ready, until};
use super::seen::{Load, Seen};
use crate::bundles::crew::connections;
use crate::bundles::load::Line;
use crate::bundles::server::{Behaviour, BundleServer};
use crate::client::h1;
use crate::envoy::Envoy;
use crate::upstream::Upstream;

const NAME: &str = "flood";

/// Connections to each worker.
const LINES: usize = 8;

/// How many tokens of made-up keys there are.
const FLOOD: usize = 10_000;

/// Ten thousand tokens of made-up keys, over all workers at once, and as many more while the issuer is away.
///
/// # Errors
/// When they cause more fetches than `min_refresh` allows, or anybody else is refused.
pub(super) async fn flood() -> Result<String> {
    let upstream = Upstream::start().await?;
    let server = BundleServer::start(serving(&["es256-0"])?)?;
    let post = Post::fetching(NAME, "refresh: 1h, min_refresh: 1s, timeout: 1s", server.address())?;
    let (envoy, mut crew, post) = ready(post, "es256-0", &upstream).await?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let remembered = post.request("es256-0")?;
    let (known, again) = (Arc::clone(&post), remembered.clone());
    let load = Load::on_all_workers(
        &envoy,
        NAME,
        Arc::new(move |_| {
            Ok(vec![
                ("known key, new token", known.request("es256-0")?),
                ("known key, known token", again.clone()),
            ])
        }),
    )
    .await?;
    let (mut seen, mut fetches) = (Seen::new(), Vec::new());
    for (is_away, who) in [(false, "made-up key"), (true, "made-up key, while the issuer is away")] {
        if is_away {
            server.behave(Behaviour::answer("500 Internal Server Error", &[], b""));
            // Until an attempt has failed, nobody knows that it will.
            let waits = "made-up key, until an attempt has failed";
            until(&mut crew, &mut seen, waits, UNAVAILABLE, SHARED, || post.unknown()).await?;
        }
        let before = post::counters(&envoy).await?;
        let _ = server.asked();
        let began = Instant::now();
        seen.add(poured(&envoy, who, &post).await?);
        let took = began.elapsed();
        let asked = server.asked().len() as u64;
        let most = took.as_secs() + 1;
        // Just before, somebody asked for the one: a short flood comes too early for another.
        let least = took.as_secs().saturating_sub(1).max(u64::from(!is_away));
        ensure!(asked >= least, "{FLOOD} tokens of unknown keys caused {asked} fetches in {took:.1?}");
        ensure!(asked <= most, "{FLOOD} tokens of unknown keys caused {asked} fetches in {took:.1?}");
        let after = post::counters(&envoy).await?;
        let counted = after.get("unknown_kid_refetches").zip(before.get("unknown_kid_refetches"));
        let counted = counted.map(|(after, before)| after - before);
        ensure!(
            counted.is_some_and(|counted| counted.abs_diff(asked) <= 1),
            "{asked} fetches for unknown keys, and {counted:?} were counted"
        );
        fetches.push(format!("{asked} fetches in {:.1} s", took.as_secs_f32()));
    }
    seen.add(load.end().await?);
    seen.all("known key, known token", &crew.ask(&remembered).await?, Duration::ZERO);
    seen.print();
    for who in ["known key, new token", "known key, known token"] {
        seen.only(who, &["200"])?;
    }
    seen.exactly("made-up key", UNKNOWN, FLOOD)?;
    seen.exactly("made-up key, while the issuer is away", UNAVAILABLE, FLOOD)?;
    post::end(envoy).await?;
    let slowest = seen.longest("known key, new token").max(seen.longest("known key, known token"));
    Ok(format!(
        "{FLOOD} tokens of made-up keys caused {}, as many more while the issuer was away {}; nobody else was refused, the longest of {} requests took {} ms",
        fetches.first().map_or("", String::as_str),
        fetches.last().map_or("", String::as_str),
        seen.count("known key, new token", "200") + seen.count("known key, known token", "200"),
        slowest.as_millis()
    ))
}

/// Sends so many tokens over connections to all workers, as fast as they are answered.
async fn poured(envoy: &Envoy, who: &'static str, post: &Arc<Post>) -> Result<Seen> {
    let lines = connections(envoy, envoy.listener(NAME)?, NAME, LINES).await?;
    let left = Arc::new(AtomicUsize::new(FLOOD));
    let mut clients = JoinSet::new();
    for (_, stream) in lines {
        let (post, left) = (Arc::clone(post), Arc::clone(&left));
        clients.spawn(async move {
            let mut line = Line::Http1(h1::Connection::new(stream));
            let mut seen = Seen::new();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                let request = post.unknown()?;
                let began = Instant::now();
                let answer = line.exchange(&request).await?;
                seen.note(who, &answer, began.elapsed());
            }
            Ok::<_, anyhow::Error>(seen)
        });
    }
    let mut seen = Seen::new();
    while let Some(client) = clients.join_next().await {
        seen.add(client??);
    }
    Ok(seen)
}
