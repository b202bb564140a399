//! Issuers that change their keys, with a time in which both are good and without one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::post::{self, Post, serving};
use super::seen::{Load, Seen, told};
use crate::bundles::crew::Crew;
use crate::bundles::server::{Behaviour, BundleServer, Pause};
use crate::envoy::Envoy;
use crate::message::Request;
use crate::upstream::Upstream;

/// How long a worker may take to have what another has fetched: two ticks, and what a busy machine adds.
pub(super) const SHARED: Duration = Duration::from_millis(1500);

/// How long the first fetch may take.
pub(super) const START: Duration = Duration::from_secs(15);

/// What is told of a token whose key is not there.
pub(super) const UNKNOWN: &str = "401 token-invalid";

/// Asks every worker with a new request until all answer so, and returns how long that took. No worker goes back.
pub(super) async fn until(
    crew: &mut Crew,
    seen: &mut Seen,
    who: &str,
    wanted: &str,
    patience: Duration,
    request: impl Fn() -> Result<Request>,
) -> Result<Duration> {
    let started = Instant::now();
    let mut there = vec![false; crew.len()];
    loop {
        let began = Instant::now();
        let request = request()?;
        let answers = crew.ask_at_once(|_| Ok(request.clone())).await?;
        seen.all(who, &answers, began.elapsed());
        let got: Vec<_> = answers.iter().map(told).collect();
        for (there, got) in there.iter_mut().zip(&got) {
            ensure!(!*there || got == wanted, "{who}: a worker that answered `{wanted}` now answers `{got}`");
            *there = got == wanted;
        }
        let elapsed = started.elapsed();
        if there.iter().all(|there| *there) {
            return Ok(elapsed);
        }
        ensure!(
            elapsed < patience,
            "{who}: after {elapsed:.1?} the workers answer {got:?}, not all `{wanted}`"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An Envoy with one policy that has keys already, and a connection to each worker.
pub(super) async fn ready(post: Post, key: &str, upstream: &Upstream) -> Result<(Envoy, Crew, Arc<Post>)> {
    let name = post.site.name.clone();
    let posts = [post];
    let envoy = post::start(&posts, upstream, &BTreeMap::new()).await?;
    let mut crew = Crew::assemble(&envoy, envoy.listener(&name)?, &name).await?;
    let [post] = posts;
    until(&mut crew, &mut Seen::new(), "the first key", "200", START, || post.request(key)).await?;
    Ok((envoy, crew, Arc::new(post)))
}

/// The old key and the new one are served together for a while, and then the old one is taken away.
///
/// # Errors
/// When a token is refused whose key is served, or one is let through whose key has been taken away for long enough.
pub(super) async fn overlap() -> Result<String> {
    const NAME: &str = "overlap";
    const REFRESH: Duration = Duration::from_secs(1);
    // What clients send: with the old key, with both, with the new one, and the old one again although it is gone.
    const OLD: u8 = 0;
    const BOTH: u8 = 1;
    const NEW: u8 = 2;
    const GONE: u8 = 3;
    let upstream = Upstream::start().await?;
    let server = BundleServer::start(serving(&["es256-0"])?)?;
    let post = Post::fetching(NAME, "refresh: 1s, min_refresh: 1s, timeout: 1s", server.address())?;
    let (envoy, mut crew, post) = ready(post, "es256-0", &upstream).await?;
    let began = Instant::now();
    let phase = Arc::new(AtomicU8::new(OLD));
    let remembered = post.request("es256-0")?;
    let load = Load::on_all_workers(&envoy, NAME, {
        let (post, phase, remembered) = (Arc::clone(&post), Arc::clone(&phase), remembered.clone());
        Arc::new(move |_| {
            let mut round = Vec::new();
            let phase = phase.load(Ordering::Relaxed);
            if phase <= BOTH {
                round.push(("old key, new token", post.request("es256-0")?));
                round.push(("old key, known token", remembered.clone()));
            }
            if phase >= BOTH {
                round.push(("new key", post.request("es256-1")?));
            }
            if phase >= GONE {
                round.push(("old key, taken away", post.request("es256-0")?));
                round.push(("old key, taken away", remembered.clone()));
            }
            Ok(round)
        })
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.behave(serving(&["es256-0", "es256-1"])?);
    // An issuer serves a new key before it signs with it.
    tokio::time::sleep(REFRESH + SHARED).await;
    phase.store(BOTH, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    phase.store(NEW, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.behave(serving(&["es256-1"])?);
    let mut seen = Seen::new();
    let gone = until(&mut crew, &mut seen, "old key, while it goes", UNKNOWN, REFRESH + SHARED, || {
        Ok(remembered.clone())
    })
    .await?;
    phase.store(GONE, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    seen.add(load.end().await?);
    let took = began.elapsed();
    seen.print();
    for who in ["old key, new token", "old key, known token", "new key"] {
        seen.only(who, &["200"])?;
    }
    seen.only("old key, taken away", &[UNKNOWN])?;
    let counted = post::counters(&envoy).await?;
    let asked = server.asked().len();
    let most = usize::try_from(took.as_secs())? + 3;
    ensure!(asked <= most, "{asked} fetches in {took:.1?}, at the most once in a second");
    ensure!(counted.get("changes") == Some(&3), "three key sets came, and {counted:?} were counted");
    post::end(envoy).await?;
    Ok(format!(
        "{} requests over {} workers, none refused whose key was served; the old key was gone on every worker {} ms after it was taken away; {asked} fetches",
        seen.total(),
        crew.len(),
        gone.as_millis()
    ))
}

/// One key goes and another comes at the same moment, three times: whoever comes first with the new one waits, and gets in.
///
/// # Errors
/// When a token of the new key is refused, more is fetched than once, or the old key is believed afterwards.
pub(super) async fn swap() -> Result<String> {
    const NAME: &str = "swap";
    const THINKS: Duration = Duration::from_millis(400);
    let upstream = Upstream::start().await?;
    let server = BundleServer::start(serving(&["es256-0"])?)?;
    // What is not fetched for a token is not fetched at all.
    let post = Post::fetching(NAME, "refresh: 1h, min_refresh: 1s, timeout: 2s", server.address())?;
    let (envoy, mut crew, post) = ready(post, "es256-0", &upstream).await?;
    let (mut seen, mut slowest) = (Seen::new(), Duration::ZERO);
    let mut old = "es256-0";
    let rounds = ["es256-1", "es256-stranger", "es256-0"];
    for (round, new) in rounds.into_iter().enumerate() {
        let remembered = post.request(old)?;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let before = post::counters(&envoy).await?;
        seen.all("old key, while served", &crew.ask(&remembered).await?, Duration::ZERO);
        let _ = server.asked();
        server.behave(Behaviour::Later(Pause::For(THINKS), Box::new(serving(&[new])?)));
        let began = Instant::now();
        let answers = crew.ask_at_once(|_| post.request(new)).await?;
        let waited = began.elapsed();
        seen.all("first tokens of the new key", &answers, waited);
        seen.exactly("first tokens of the new key", "200", answers.len() * (round + 1))?;
        ensure!(
            waited >= THINKS,
            "the keys came after {THINKS:?}, and requests that need them waited {waited:?}"
        );
        let asked = server.asked().len();
        ensure!(asked == 1, "{asked} fetches for one new key");
        let went =
            until(&mut crew, &mut seen, "old key, while it goes", UNKNOWN, SHARED, || Ok(remembered.clone()));
        slowest = slowest.max(went.await?);
        let after = post::counters(&envoy).await?;
        let grown = |name: &str| after.get(name).zip(before.get(name)).map(|(after, before)| after - before);
        ensure!(grown("changes") == Some(1), "one key set came: {before:?} and then {after:?}");
        // Tokens of the key that went are of an unknown key now, and may cause one more by the time it is counted.
        let for_unknown = grown("unknown_kid_refetches");
        ensure!(matches!(for_unknown, Some(1 | 2)), "{before:?} and then {after:?}");
        seen.all("new key", &crew.ask(&post.request(new)?).await?, Duration::ZERO);
        old = new;
    }
    seen.print();
    seen.exactly("old key, while served", "200", rounds.len() * crew.len())?;
    seen.only("new key", &["200"])?;
    post::end(envoy).await?;
    Ok(format!(
        "{} times another key, fetched once by the first tokens that it signed, which waited and got in; the old one gone on every worker {} ms later at the most",
        rounds.len(),
        slowest.as_millis()
    ))
}
