//! How many calls into the proxy a request makes: Envoy's own trace log counts them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use bartizan_e2e::envoy::Envoy;

use crate::chains::{Chain, Material};
use crate::load;

/// Calls of one request with a cached token, by name.
pub(crate) async fn count(material: &Material) -> Result<BTreeMap<String, usize>> {
    let (few, many) = (8, 16);
    let mut running = Chain::bartizan(material).start_traced().await?;
    load::round(&running, few).await?;
    let before = calls(&running.envoy).await?;
    load::round(&running, many).await?;
    let after = calls(&running.envoy).await?;
    running.envoy.alive()?;
    let mut per_request = BTreeMap::new();
    for (name, total) in after {
        let made = total - before.get(&name).copied().unwrap_or(0);
        if made > 0 {
            ensure!(made % many == 0, "`{name}` was called {made} times by {many} equal requests");
            per_request.insert(name, made / many);
        }
    }
    ensure!(!per_request.is_empty(), "envoy's trace log has no host calls");
    Ok(per_request)
}

async fn calls(envoy: &Envoy) -> Result<BTreeMap<String, usize>> {
    // Envoy writes its log out every 50 ms.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut calls = BTreeMap::new();
    for line in envoy.log()?.lines() {
        // `[vm->host] env.proxy_get_header_map_pairs(0, ...)`, and a second line with the result.
        let Some((_, call)) = line.split_once("[vm->host] ") else { continue };
        let Some((name, _)) = call.split_once('(') else { continue };
        let name = name.rsplit('.').next().unwrap_or(name);
        *calls.entry(name.to_owned()).or_default() += 1;
    }
    Ok(calls)
}
