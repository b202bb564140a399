//! Issuers that do what few do: keys without names, and no keys at all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bartizan_cases::format::Token;
use serde_json::Value;

use super::outage::UNAVAILABLE;
use super::post::{self, KEYS, Post, jwks, serving};
use super::rotation::{SHARED, START, UNKNOWN, ready, until};
use super::seen::Seen;
use crate::bundles::crew::Crew;
use crate::bundles::server::{Behaviour, BundleServer};
use crate::message::Request;
use crate::upstream::Upstream;

/// A server whose keys have no names.
fn nameless(names: &[&str]) -> Result<Behaviour> {
    let mut set: Value = serde_json::from_slice(&jwks(names)?)?;
    for key in set.get_mut("keys").and_then(Value::as_array_mut).context("a list of keys")? {
        key.as_object_mut().context("a key")?.remove("kid");
    }
    Ok(Behaviour::Documents(BTreeMap::from([(KEYS.to_owned(), set.to_string().into_bytes())])))
}

/// A request with a token that names no key.
fn unnamed(post: &Post, key: &str) -> Result<Request> {
    let header = BTreeMap::from([("kid".to_owned(), Value::Null)]);
    let token = Token { key: Some(key.to_owned()), header, ..Token::default() };
    Ok(Request::new("GET", "/").bearer(&post.token(token)?))
}

/// Keys without names change too: who comes with the new one gets in, and who comes with a foreign one causes no more fetches.
///
/// # Errors
/// When a token of the new key is refused, or one of another let in.
pub(super) async fn unnamed_keys() -> Result<String> {
    const NAME: &str = "nameless";
    let upstream = Upstream::start().await?;
    let server = BundleServer::start(nameless(&["es256-0"])?)?;
    let posts = [Post::fetching(NAME, "refresh: 1h, min_refresh: 1s, timeout: 2s", server.address())?];
    let envoy = post::start(&posts, &upstream, &BTreeMap::new()).await?;
    let [post] = posts;
    let mut crew = Crew::assemble(&envoy, envoy.listener(NAME)?, NAME).await?;
    let mut seen = Seen::new();
    until(&mut crew, &mut Seen::new(), "the first key", "200", START, || unnamed(&post, "es256-0")).await?;
    for (old, new) in [("es256-0", "es256-1"), ("es256-1", "es256-0")] {
        let remembered = unnamed(&post, old)?;
        seen.all("old key, while served", &crew.ask(&remembered).await?, Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(1200)).await;
        server.behave(nameless(&[new])?);
        let _ = server.asked();
        let began = Instant::now();
        let answers = crew.ask_at_once(|_| unnamed(&post, new)).await?;
        seen.all("first tokens of the new key", &answers, began.elapsed());
        let asked = server.asked().len();
        ensure!(asked == 1, "{asked} fetches for one new key");
        until(&mut crew, &mut seen, "old key, while it goes", UNKNOWN, SHARED, || Ok(remembered.clone()))
            .await?;
        for _ in 0..20 {
            seen.all("foreign key", &crew.ask(&unnamed(&post, "es256-stranger")?).await?, Duration::ZERO);
        }
        let asked = server.asked().len();
        ensure!(asked <= 1, "{asked} fetches for tokens of a foreign key, within a second");
    }
    seen.print();
    for who in ["old key, while served", "first tokens of the new key"] {
        seen.exactly(who, "200", 2 * crew.len())?;
    }
    seen.exactly("foreign key", UNKNOWN, 40 * crew.len())?;
    post::end(envoy).await?;
    Ok(format!(
        "keys without names changed twice: the first tokens of the new one got in, and {} of a foreign one did not",
        40 * crew.len()
    ))
}

/// An issuer withdraws its only key, and gives another one later.
///
/// # Errors
/// When anybody is let in by a key that was withdrawn, or called bad while there is none.
pub(super) async fn withdrawn() -> Result<String> {
    const NAME: &str = "withdrawn";
    const REFRESH: Duration = Duration::from_secs(1);
    let upstream = Upstream::start().await?;
    let server = BundleServer::start(serving(&["es256-0"])?)?;
    let post = Post::fetching(NAME, "refresh: 1s, min_refresh: 1s, timeout: 1s", server.address())?;
    let (envoy, mut crew, post) = ready(post, "es256-0", &upstream).await?;
    let remembered = post.request("es256-0")?;
    let mut seen = Seen::new();
    seen.all("only key, while served", &crew.ask(&remembered).await?, Duration::ZERO);
    server.behave(Behaviour::answer("200 OK", &[("content-type", "application/json")], b"{\"keys\": []}"));
    let gone = "only key, when it is withdrawn";
    let took =
        until(&mut crew, &mut seen, gone, UNAVAILABLE, REFRESH + SHARED, || Ok(remembered.clone())).await?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        seen.all("while there is no key", &crew.ask(&remembered).await?, Duration::ZERO);
        seen.all("while there is no key", &crew.ask(&post.request("es256-0")?).await?, Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let counted = post::counters(&envoy).await?;
    server.behave(serving(&["es256-1"])?);
    until(&mut crew, &mut seen, "next key", "200", REFRESH + SHARED, || post.request("es256-1")).await?;
    seen.all("only key, when there is another", &crew.ask(&remembered).await?, Duration::ZERO);
    seen.print();
    seen.exactly("only key, while served", "200", crew.len())?;
    seen.only(gone, &["200", UNAVAILABLE])?;
    seen.only("while there is no key", &[UNAVAILABLE])?;
    seen.only("next key", &["200", UNAVAILABLE])?;
    seen.only("only key, when there is another", &[UNKNOWN])?;
    ensure!(counted.get("refused.no-usable-key") > Some(&0), "an empty key set was not counted: {counted:?}");
    ensure!(counted.get("missing") == Some(&1), "no key is there, and it is not shown: {counted:?}");
    post::end(envoy).await?;
    Ok(format!(
        "the only key was gone on every worker {} ms after it was withdrawn; 503 until there was another",
        took.as_millis()
    ))
}
