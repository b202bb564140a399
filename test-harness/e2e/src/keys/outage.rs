//! An issuer that is away: whoever is known stays known, nothing is said about tokens of keys that cannot be asked for, and it
//! is found again when it is back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bartizan_cases::format::Token;
use serde_json::json;

use super::post::{self, Post, serving};
use super::rotation::{SHARED, UNKNOWN, ready, until};
use super::seen::Load;
use crate::bundles::crew::Crew;
use crate::bundles::log::Log;
use crate::bundles::server::{Behaviour, BundleServer, Then, answer};
use crate::message::Request;
use crate::upstream::Upstream;

const NAME: &str = "outage";

/// What is told where nobody can say whether there is such a key.
pub(super) const UNAVAILABLE: &str = "503 keys-unavailable, retry-after";

/// The ways of being away, and what is logged of each.
const WAYS: [&str; 4] = ["server-error", "server-error", "timeout", "no-answer"];

/// Lets the issuer be away for so long, and then come back with another key.
///
/// # Errors
/// When a token of a key that was there is refused, one of another key is called bad, or the issuer is not found again.
pub(super) async fn outage(away: Duration) -> Result<String> {
    // As the defaults are to an outage of five minutes, or so.
    let refresh = away.as_secs().div_ceil(10).clamp(2, 30);
    let pace = format!("refresh: {refresh}s, min_refresh: 1s, timeout: 500ms");
    let upstream = Upstream::start().await?;
    let mut server = BundleServer::start(serving(&["es256-0"])?)?;
    let post = Post::fetching(NAME, &pace, server.address())?;
    let (envoy, _, post) = ready(post, "es256-0", &upstream).await?;
    let log = Log::from_now(&envoy, NAME)?;
    let lasting = BTreeMap::from([("exp".to_owned(), json!("+2h"))]);
    let lasting = Token { key: Some("es256-0".to_owned()), claims: lasting, ..Token::default() };
    let remembered = Request::new("GET", "/").bearer(&post.token(lasting)?);
    let script = {
        let (post, remembered) = (Arc::clone(&post), remembered.clone());
        move |round: usize| {
            let mut all = vec![
                ("known key, new token", post.request("es256-0")?),
                ("known key, known token", remembered.clone()),
            ];
            // A token of a key that the issuer will have, and one of a key that nobody ever has.
            if round.is_multiple_of(10) {
                all.push(("new key, while the issuer is away", post.request("es256-1")?));
                all.push(("made-up key, while the issuer is away", post.unknown()?));
            }
            Ok(all)
        }
    };
    // Until the first attempt has failed, the issuer is there as far as anybody can know.
    server.behave(Behaviour::answer("500 Internal Server Error", &[], b""));
    log.wait_within(&envoy, &["cannot be fetched: server-error"], Duration::from_secs(refresh) + SHARED)
        .await?;
    let _ = server.asked();
    let load = Load::on_all_workers(&envoy, NAME, Arc::new(script)).await?;
    let (began, mut logged) = (Instant::now(), Vec::new());
    for (number, kind) in WAYS.iter().enumerate() {
        match number {
            0 => {
                server.behave(Behaviour::answer("503 Service Unavailable", &[("retry-after", "86400")], b""))
            }
            1 => server.close().await,
            2 => {
                server.open()?;
                server.behave(Behaviour::Send(Vec::new(), Then::Hold));
            }
            _ => {
                let whole =
                    answer("200 OK", &[("content-type", "application/json")], &post::jwks(&["es256-1"])?);
                let half = whole.split_at(whole.len() / 2).0.to_vec();
                server.behave(Behaviour::Send(half, Then::Close));
            }
        }
        tokio::time::sleep(away / u32::try_from(WAYS.len())?).await;
        logged.push(*kind);
    }
    let away = began.elapsed();
    let mut seen = load.end().await?;
    let asked = server.asked().len();
    // Envoy has closed connections that had nothing to do.
    let mut crew = Crew::assemble(&envoy, envoy.listener(NAME)?, NAME).await?;
    // The issuer is back with another key: nobody who has it is called bad meanwhile.
    server.behave(serving(&["es256-1"])?);
    let came = until(
        &mut crew,
        &mut seen,
        "new key, when the issuer is back",
        "200",
        Duration::from_secs(3),
        || post.request("es256-1"),
    )
    .await?;
    seen.all("old key, when the issuer is back", &crew.ask(&remembered).await?, Duration::ZERO);
    seen.all("new key, when the issuer is back", &crew.ask(&post.request("es256-1")?).await?, Duration::ZERO);
    log.wait_for(&envoy, &["can be fetched again"]).await?;
    seen.print();
    for who in ["known key, new token", "known key, known token"] {
        seen.only(who, &["200"])?;
    }
    for who in ["new key, while the issuer is away", "made-up key, while the issuer is away"] {
        seen.only(who, &[UNAVAILABLE])?;
        // `timeout`, and half a second.
        let longest = seen.longest(who);
        ensure!(longest < Duration::from_millis(1500), "{who}: a request waited {longest:?}");
    }
    seen.only("new key, when the issuer is back", &["200", UNAVAILABLE])?;
    seen.only("old key, when the issuer is back", &[UNKNOWN])?;
    let most = away.as_secs() + 2;
    ensure!(asked as u64 <= most, "{asked} attempts in {away:.1?}, at the most once in a second");
    let counted = post::counters(&envoy).await?;
    for kind in WAYS {
        let count = counted.get(&format!("refused.{kind}")).copied().unwrap_or(0);
        ensure!(count > 0, "`{kind}` was never counted: {counted:?}");
    }
    // Each trouble is told once, however many attempts there are.
    let lines = log.lines(&envoy)?;
    let troubles = lines.iter().filter(|line| line.contains("cannot be fetched")).count();
    ensure!(troubles == 3, "expected a line for each of server-error, timeout and no-answer: {lines:#?}");
    post::end(envoy).await?;
    Ok(format!(
        "{:.0} s without the issuer in {} ways: {} requests of known keys, none refused; {} of others, all told to come again; {asked} attempts that reached it; \
         {} ms after it was back its new key was believed on every worker",
        away.as_secs_f32(),
        logged.len(),
        seen.count("known key, new token", "200") + seen.count("known key, known token", "200"),
        seen.count("new key, while the issuer is away", UNAVAILABLE)
            + seen.count("made-up key, while the issuer is away", UNAVAILABLE),
        came.as_millis()
    ))
}
