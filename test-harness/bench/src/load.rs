//! The load, and the CPU time it costs the proxy.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use bartizan_e2e::envoy::Envoy;

use crate::chains::Running;

/// Connections that are kept open and used in turn: enough to keep one worker busy.
const CONNECTIONS: usize = 8;

/// Sends the same request so many times and returns the CPU time per request, in microseconds.
pub(crate) async fn round(running: &Running, requests: usize) -> Result<f64> {
    send(&running.envoy, std::slice::from_ref(&running.request), requests).await
}

/// Sends so many requests, these in turn, and returns the CPU time per request, in microseconds.
pub(crate) async fn send(envoy: &Envoy, requests: &[Vec<u8>], times: usize) -> Result<f64> {
    let pid = envoy.pid().context("the proxy has ended")?;
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(TcpStream::connect(envoy.address()).await?);
    }
    let each = times.div_ceil(CONNECTIONS);
    let requests: Arc<[Vec<u8>]> = requests.into();
    let before = cpu_nanos(pid)?;
    let tasks: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(first, client)| tokio::spawn(client_loop(client, Arc::clone(&requests), first, each)))
        .collect();
    for task in tasks {
        task.await??;
    }
    let spent = cpu_nanos(pid)?.saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of one round are far below 2^52")]
    Ok(spent as f64 / 1000.0 / (each * CONNECTIONS) as f64)
}

async fn client_loop(
    mut client: TcpStream,
    requests: Arc<[Vec<u8>]>,
    first: usize,
    times: usize,
) -> Result<()> {
    client.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    for request in requests.iter().cycle().skip(first).step_by(CONNECTIONS).take(times) {
        client.write_all(request).await?;
        buffer.clear();
        // Every chain answers alike: a head, and the body `ok`.
        while !buffer.ends_with(b"\r\n\r\nok") {
            if client.read_buf(&mut buffer).await? == 0 {
                bail!("the proxy closed the connection after {:?}", String::from_utf8_lossy(&buffer));
            }
            if buffer.len() > 12 && !buffer.starts_with(b"HTTP/1.1 200") {
                bail!("the proxy answered {:?}", String::from_utf8_lossy(&buffer));
            }
        }
    }
    Ok(())
}

/// CPU time of all threads of a process. The scheduler counts it in nanoseconds; `/proc/PID/stat` has ticks of
/// ten milliseconds, too coarse for a round.
fn cpu_nanos(pid: u32) -> Result<u64> {
    let mut total = 0u64;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let nanos: u64 = text.split(' ').next().unwrap_or_default().parse().context("schedstat")?;
        total = total.saturating_add(nanos);
    }
    Ok(total)
}
