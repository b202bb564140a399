//! Following a real OCI registry: by a tag that moves, and by a digest that pins.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::crew::Crew;
use super::follow::{march, none_refused};
use super::make::{Edition, Maker, mark};
use super::registry::Registry;
use super::site::{self, REPOSITORY, Site};
use crate::upstream::Upstream;

const TAG: &str = "by-tag";
const DIGEST: &str = "by-digest";

/// How many changes there are.
const CHANGES: u64 = 5;

/// How long the first fetch may take.
const START: Duration = Duration::from_secs(10);

/// Follows a tag under load while it moves, and stays with a digest.
///
/// # Errors
/// As for [`march`], and when the digest does not pin.
pub(crate) async fn oci() -> Result<String> {
    let maker = Maker::new();
    let upstream = Upstream::start().await?;
    let registry = Registry::start().await?;
    let pinned = registry.push(REPOSITORY, "stable", 1, maker.artifact(&Edition::new(1))?).await?;
    let site = |name, reference: &str| Site::oci(name, &maker, registry.address(), reference);
    let sites = [site(TAG, "stable")?, site(DIGEST, &pinned)?];
    let mut envoy = site::start(&sites, upstream.address()).await?;
    let mut crews = Vec::new();
    for name in [TAG, DIGEST] {
        let mut crew = Crew::assemble(&envoy, envoy.listener(name)?, name).await?;
        crew.wait_for(&mark(1), &["503 no-policy"], START).await?;
        crews.push(crew);
    }
    let march = march((&envoy, TAG), &upstream, (1, CHANGES), async |edition| {
        registry.push(REPOSITORY, "stable", edition.revision, maker.artifact(edition)?).await?;
        Ok(())
    })
    .await?;
    for (crew, expected) in crews.iter_mut().zip([mark(1 + CHANGES), mark(1)]) {
        let marks = crew.marks().await?;
        ensure!(marks.iter().all(|shown| *shown == expected), "expected `{expected}`, got {marks:?}");
    }
    none_refused(&envoy).await?;
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke");
    envoy.stop().await;
    Ok(format!("from an OCI registry, by a tag: {march}; the one that follows a digest stayed with it"))
}
