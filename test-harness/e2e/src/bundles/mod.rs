//! Signed bundles in a real Envoy: in its configuration, and followed from servers good and bad.

pub(crate) mod crew;
mod first;
mod follow;
mod inline;
mod large;
mod live;
pub(crate) mod load;
pub(crate) mod log;
pub(crate) mod make;
mod oci;
mod poll;
mod refusals;
mod registry;
mod restart;
mod rows;
mod served;
pub(crate) mod server;
pub(crate) mod site;
mod slow;
mod update;

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

/// The scenes, in the order in which they run.
const SCENES: [&str; 11] = [
    "inline", "refusals", "first", "restart", "update", "rotate", "expiry", "poll", "follow", "large", "oci",
];

/// Runs the scenes whose names contain a text, all without one, and prints what came of them.
///
/// # Errors
/// When anything is otherwise than it should be, or no scene is called so.
pub async fn bundles(only: Option<&str>) -> Result<()> {
    let chosen: Vec<_> =
        SCENES.into_iter().filter(|name| only.is_none_or(|only| name.contains(only))).collect();
    ensure!(!chosen.is_empty(), "no scene is called so; there are {}", SCENES.join(", "));
    for name in chosen {
        let started = Instant::now();
        let told = match name {
            "inline" => inline::inline().await,
            "refusals" => refusals::refusals().await,
            "first" => first::first().await,
            "restart" => restart::restart().await,
            "update" => update::update().await,
            "rotate" => update::rotate().await,
            "expiry" => update::expiry().await,
            "poll" => poll::poll().await,
            "follow" => follow::follow().await,
            "large" => large::large().await,
            "oci" => oci::oci().await,
            _ => bail!("the scene `{name}` has no code"),
        };
        let told = told.with_context(|| format!("bundles, the scene `{name}`"))?;
        println!("bundles, {name}: {told}, in {:.1} s", started.elapsed().as_secs_f32());
    }
    Ok(())
}
