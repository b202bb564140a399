//! What a policy fetches, in a real Envoy with several workers: keys of issuers that change, are away, and misbehave, lists of
//! what was revoked; and what may be used once.

mod bad;
mod bad_rows;
mod flood;
mod odd;
mod once;
mod outage;
mod post;
mod revoked;
mod rotation;
mod seen;
mod waiting;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// The scenes, in the order in which they run.
const SCENES: [&str; 12] = [
    "overlap",
    "swap",
    "nameless",
    "withdrawn",
    "outage",
    "flood",
    "bad",
    "first",
    "upload",
    "polled",
    "followed",
    "once",
];

/// How long the issuer is away if nobody says otherwise.
pub const OUTAGE: Duration = Duration::from_secs(12);

/// Runs the scenes whose names contain a text, all without one, and prints what clients saw. The issuer is away for so long.
///
/// # Errors
/// When anything is otherwise than it should be, or no scene is called so.
pub async fn keys(only: Option<&str>, outage: Duration) -> Result<()> {
    let chosen: Vec<_> =
        SCENES.into_iter().filter(|name| only.is_none_or(|only| name.contains(only))).collect();
    ensure!(!chosen.is_empty(), "no scene is called so; there are {}", SCENES.join(", "));
    for name in chosen {
        let started = Instant::now();
        let told = match name {
            "overlap" => rotation::overlap().await,
            "swap" => rotation::swap().await,
            "nameless" => odd::unnamed_keys().await,
            "withdrawn" => odd::withdrawn().await,
            "outage" => outage::outage(outage).await,
            "flood" => flood::flood().await,
            "bad" => bad::bad().await,
            "first" => waiting::first().await,
            "upload" => waiting::upload().await,
            "polled" => revoked::polled().await,
            "followed" => revoked::followed().await,
            "once" => once::once().await,
            _ => bail!("the scene `{name}` has no code"),
        };
        let told = told.with_context(|| format!("keys, the scene `{name}`"))?;
        println!("keys, {name}: {told}, in {:.1} s", started.elapsed().as_secs_f32());
    }
    Ok(())
}
