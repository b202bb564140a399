//! Floods: a budget of a hundred admits a hundred, and one of a thousand a thousand, however many connections and
//! workers there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::client::{self, Protocol, h1, h2};
use crate::config;
use crate::deploy::{Policy, Post, Signatures, Stage};
use crate::message::Request;

/// The budgets of `bundles/burst`, and where they hold.
pub const BUDGETS: [(usize, &str); 2] = [(100, "/limited"), (1000, "/limited-less")];

/// The budgets that so many requests use up, and where they hold.
///
/// # Errors
/// When they use up none: such a flood would show nothing.
pub fn budgets(requests: usize) -> Result<Vec<(usize, &'static str)>> {
    let (flooded, spared): (Vec<_>, Vec<_>) = BUDGETS.into_iter().partition(|(budget, _)| *budget < requests);
    let possible: Vec<_> =
        spared.iter().map(|(budget, _)| format!("{} for the budget of {budget}", budget + 1)).collect();
    ensure!(
        !flooded.is_empty(),
        "{requests} requests use up no budget; send at least {}",
        possible.join(", ")
    );
    Ok(flooded)
}

/// The policy, once for each protocol, for each flood needs a budget that nobody has touched.
///
/// # Errors
/// When the bundle does not compile.
pub fn posts() -> Result<Vec<Post>> {
    let policy = Policy::compile(&config::root()?.join("test-harness/e2e/bundles/burst"))?;
    Ok(Protocol::ALL.map(|protocol| Post::new(name(protocol), policy.clone(), Signatures::Auto)).to_vec())
}

fn name(protocol: Protocol) -> String {
    format!("flood over {protocol}")
}

/// Sends so many requests at once over so many connections, and returns the answers by status.
///
/// # Errors
/// When not exactly the budget is let through, or anything but 200 and 429 is answered.
pub async fn burst(
    stage: &mut Stage,
    requests: usize,
    connections: usize,
    protocol: Protocol,
    (budget, path): (usize, &'static str),
) -> Result<BTreeMap<u16, usize>> {
    let address = stage.guard(&name(protocol))?.address;
    let before = stage.upstream.requests();
    let left = Arc::new(AtomicUsize::new(requests));
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let left = Arc::clone(&left);
        clients.spawn(async move {
            let request = Request::new("GET", path);
            let mut line = Line::open(address, protocol).await?;
            let mut statuses = Vec::new();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                statuses.push(line.status(&request).await?);
            }
            Ok::<_, anyhow::Error>(statuses)
        });
    }
    let mut answers = BTreeMap::new();
    while let Some(statuses) = clients.join_next().await {
        for status in statuses?? {
            *answers.entry(status).or_default() += 1;
        }
    }
    stage.unharmed().await?;
    let reached = stage.upstream.requests() - before;
    let expected = BTreeMap::from([(200, budget), (429, requests.saturating_sub(budget))]);
    ensure!(answers == expected, "{protocol}: expected {expected:?}, got {answers:?}");
    ensure!(reached == budget as u64, "{protocol}: upstream saw {reached} requests, expected {budget}");
    Ok(answers)
}

enum Line {
    Http1(h1::Connection),
    Http2(h2::Connection),
}

impl Line {
    async fn open(address: std::net::SocketAddr, protocol: Protocol) -> Result<Self> {
        let stream = client::connect(address, None).await?;
        Ok(match protocol {
            Protocol::Http1 => Self::Http1(h1::Connection::new(stream)),
            Protocol::Http2 => Self::Http2(h2::Connection::new(stream).await?),
        })
    }

    async fn status(&mut self, request: &Request) -> Result<u16> {
        let response = match self {
            Self::Http1(connection) => connection.exchange(request).await?,
            Self::Http2(connection) => connection.exchange(request).await?,
        };
        Ok(response.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_uses_up_a_budget_or_is_refused() {
        let sizes =
            |requests| budgets(requests).map(|all| all.iter().map(|(size, _)| *size).collect::<Vec<_>>());
        let refusal = sizes(100).unwrap_err().to_string();
        let expected = "100 requests use up no budget; send at least 101 for the budget of 100, 1001 for the budget of 1000";
        assert_eq!(refusal, expected);
        assert_eq!(sizes(101).unwrap(), [100]);
        assert_eq!(sizes(1000).unwrap(), [100]);
        assert_eq!(sizes(1001).unwrap(), [100, 1000]);
    }
}
