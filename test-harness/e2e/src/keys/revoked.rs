//! Tokens that are revoked after every worker has let them in: by a list that is fetched, and by a bundle that is followed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, ensure};
use bartizan_cases::format::Token;
use bartizan_cases::mint::Mint;
use bartizan_compiler::artifact;
use serde_json::{Value, json};

use super::outage::UNAVAILABLE;
use super::post::{self, KEYS, Post, bundle, jwks};
use super::rotation::{SHARED, START, until};
use super::seen::{Load, Seen};
use crate::bundles::crew::Crew;
use crate::bundles::make::{Maker, NAME, Signer, value};
use crate::bundles::server::{Behaviour, BundleServer};
use crate::bundles::site::{self, FOLLOWED, INTERVAL, Site};
use crate::deploy::now;
use crate::message::Request;
use crate::upstream::Upstream;

/// What is told of a token that was revoked.
const REVOKED: &str = "401 token-revoked";

/// The ways to name a token, each with its claims.
fn named() -> [(&'static str, Value); 3] {
    [
        ("token that is listed", json!({"jti": "listed"})),
        ("token of a session that is listed", json!({"sid": "s-1"})),
        ("token of a subject that is listed", json!({"sub": "mallory"})),
    ]
}

/// A request with a token that has these claims.
fn with(mint: &Mint, claims: &Value) -> Result<Request> {
    let claims: BTreeMap<String, Value> = serde_json::from_value(claims.clone())?;
    let token = Token { key: Some("es256-0".to_owned()), claims, ..Token::default() };
    Ok(Request::new("GET", "/").bearer(&mint.token(&token, now()?, "alice").map_err(Error::msg)?))
}

/// By a list that is fetched, which then goes wrong in several ways.
///
/// # Errors
/// When a worker lets in what is listed, for longer than it may take to know, or refuses anybody else.
pub(super) async fn polled() -> Result<String> {
    const NAME: &str = "polled";
    const REFRESH: Duration = Duration::from_secs(1);
    let serving = |list: Value| {
        let documents = [(KEYS, jwks(&["es256-0"])?), ("/revoked", list.to_string().into_bytes())];
        Ok::<_, Error>(Behaviour::Documents(documents.map(|(path, body)| (path.to_owned(), body)).into()))
    };
    let listed = |version: u64| json!({"version": version, "tokens": ["listed"], "sessions": [{"sid": "s-1"}], "subjects": ["mallory"]});
    let upstream = Upstream::start().await?;
    let server = BundleServer::start(serving(json!({"version": 1}))?)?;
    let remote = |path: &str| {
        format!(
            "remote: {{cluster: {NAME}, uri: 'https://issuer.test{path}', refresh: 1s, min_refresh: 1s, timeout: 1s}}"
        )
    };
    let text = bundle(&remote(KEYS), &format!("  revoked: {{{}}}\n", remote("/revoked")));
    let posts = [Post::compile(NAME, &text, &[], server.address())?];
    let envoy = post::start(&posts, &upstream, &BTreeMap::new()).await?;
    let [post] = posts;
    let mut crew = Crew::assemble(&envoy, envoy.listener(NAME)?, NAME).await?;
    let mut seen = Seen::new();
    until(&mut crew, &mut seen, "the first of all", "200", START, || post.request("es256-0")).await?;
    seen.only("the first of all", &["200", UNAVAILABLE])?;
    let mut tokens = Vec::new();
    for (who, claims) in named() {
        let request = with(post.mint(), &claims)?;
        // The second time it is remembered.
        for _ in 0..2 {
            seen.all(who, &crew.ask(&request).await?, Duration::ZERO);
        }
        seen.exactly(who, "200", 2 * crew.len())?;
        tokens.push((who, request));
    }
    let other = Arc::new(with(post.mint(), &json!({"jti": "other", "sid": "s-2"}))?);
    let load =
        Load::on_all_workers(&envoy, NAME, Arc::new(move |_| Ok(vec![("everybody else", (*other).clone())])));
    let load = load.await?;
    server.behave(serving(listed(2))?);
    let mut slowest = Duration::ZERO;
    for (who, request) in &tokens {
        let going = format!("{who}, when the list comes");
        let took =
            until(&mut crew, &mut seen, &going, REVOKED, REFRESH + SHARED, || Ok(request.clone())).await?;
        slowest = slowest.max(took);
    }
    // Whatever becomes of the list, what was revoked stays so.
    for behaviour in [
        serving(json!({"version": 1}))?,
        serving(json!({"version": 2}))?,
        serving(json!({"version": 3, "tokns": []}))?,
        Behaviour::answer("500 Internal Server Error", &[], b""),
    ] {
        server.behave(behaviour);
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            for (who, request) in &tokens {
                seen.all(&format!("{who}, while lists are bad"), &crew.ask(request).await?, Duration::ZERO);
            }
        }
    }
    server.behave(serving(json!({"version": 3, "tokens": ["listed"], "sessions": [{"sid": "s-1"}]}))?);
    let back = tokens.last().context("there are tokens")?;
    let again = "a subject that is listed no longer";
    until(&mut crew, &mut seen, again, "200", REFRESH + SHARED + SHARED, || Ok(back.1.clone())).await?;
    for (who, request) in tokens.iter().take(2) {
        seen.all(&format!("{who}, while lists are bad"), &crew.ask(request).await?, Duration::ZERO);
    }
    seen.add(load.end().await?);
    seen.print();
    seen.only("everybody else", &["200"])?;
    for (who, _) in &tokens {
        seen.only(&format!("{who}, when the list comes"), &["200", REVOKED])?;
        seen.only(&format!("{who}, while lists are bad"), &[REVOKED])?;
    }
    let counted = post::counters(&envoy).await?;
    for kind in ["malformed", "server-error"] {
        ensure!(counted.get(&format!("refused.{kind}")) > Some(&0), "`{kind}` was not counted: {counted:?}");
    }
    post::end(envoy).await?;
    Ok(format!(
        "tokens that every worker remembered, listed by token, session and subject, were refused on all {} workers {} ms after the list came, and while it was rolled back, malformed and away; of {} others none",
        crew.len(),
        slowest.as_millis(),
        seen.count("everybody else", "200")
    ))
}

/// By the next revision of a bundle.
///
/// # Errors
/// When a worker lets in what is listed when it should have the bundle, or refuses anybody else.
pub(super) async fn followed() -> Result<String> {
    const SITE: &str = "revoked";
    let maker = Maker::new();
    let upstream = Upstream::start().await?;
    let (first, mint) = edition(&maker, 1, "{}\n")?;
    let server = BundleServer::start(Behaviour::Publish(first.clone()))?;
    let site = Site::new(SITE, &maker, server.address())?.with("bundle", value(&first)?);
    let config = site::configuration(&[site], upstream.address(), &BTreeMap::new())?;
    let envoy = post::launch(&config, &BTreeMap::new()).await?;
    let mut crew = Crew::assemble(&envoy, envoy.listener(SITE)?, SITE).await?;
    let mut seen = Seen::new();
    let mut tokens = Vec::new();
    for (who, claims) in named() {
        let request = with(&mint, &claims)?;
        for _ in 0..2 {
            seen.all(who, &crew.ask(&request).await?, Duration::ZERO);
        }
        seen.exactly(who, "200", 2 * crew.len())?;
        tokens.push((who, request));
    }
    let other = Arc::new(with(&mint, &json!({"jti": "other", "sid": "s-2"}))?);
    let load =
        Load::on_all_workers(&envoy, SITE, Arc::new(move |_| Ok(vec![("everybody else", (*other).clone())])));
    let load = load.await?;
    let (second, _) = edition(&maker, 2, "tokens: [listed]\nsessions: [{sid: s-1}]\nsubjects: [mallory]\n")?;
    server.behave(Behaviour::Publish(second));
    let mut slowest = Duration::ZERO;
    for (who, request) in &tokens {
        let going = format!("{who}, when the bundle comes");
        let took =
            until(&mut crew, &mut seen, &going, REVOKED, FOLLOWED + INTERVAL, || Ok(request.clone())).await?;
        slowest = slowest.max(took);
        seen.all(&format!("{who}, afterwards"), &crew.ask(request).await?, Duration::ZERO);
    }
    seen.add(load.end().await?);
    seen.print();
    seen.only("everybody else", &["200"])?;
    for (who, _) in &tokens {
        seen.exactly(&format!("{who}, afterwards"), REVOKED, crew.len())?;
    }
    post::end(envoy).await?;
    Ok(format!(
        "tokens that every worker remembered were refused on all {} workers {} ms after a bundle that lists them was published; of {} others none",
        crew.len(),
        slowest.as_millis(),
        seen.count("everybody else", "200")
    ))
}

/// A signed bundle with this list, and who signs its tokens.
fn edition(maker: &Maker, revision: u64, list: &str) -> Result<(Vec<u8>, Mint)> {
    let text = bundle("jwks: corp.json", "  revoked: {file: data/revoked.yaml}\n");
    let text = text.replacen("name: keys\n", &format!("name: {NAME}\nrevision: {revision}\n"), 1);
    let files = [
        ("bundle.yaml", text.into_bytes()),
        ("corp.json", jwks(&["es256-0"])?),
        ("data/revoked.yaml", list.as_bytes().to_vec()),
    ];
    let files = files.map(|(path, bytes)| (path.to_owned(), bytes));
    let compiled = bartizan_compiler::compile_files(files.into());
    let plan = compiled.plan.as_ref().with_context(|| compiled.render(false))?;
    let mint = Mint::for_plan(plan);
    let payload = artifact::payload(&compiled, None, None).map_err(Error::msg)?;
    Ok((maker.sign(&payload, &[Signer::First, Signer::Second])?, mint))
}
