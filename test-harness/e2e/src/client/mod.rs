//! Clients that send what they are told, well-formed or not.

pub mod h1;
pub mod h2;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::{TcpSocket, TcpStream};

use crate::message::{Request, Response};

/// How long an answer may take before it counts as a hang. Envoy's own time-outs are shorter.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The protocols of this harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge, in clear text.
    Http2,
}

impl Protocol {
    /// Both of them.
    pub const ALL: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// Opens a connection, from a chosen address of this machine where `from` is given.
///
/// # Errors
/// When the address cannot be bound or nobody listens.
pub async fn connect(to: SocketAddr, from: Option<IpAddr>) -> Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from.filter(|from| *from != IpAddr::V4(Ipv4Addr::LOCALHOST)) {
        socket.bind(SocketAddr::new(from, 0)).with_context(|| format!("cannot send from {from}"))?;
    }
    let stream = socket.connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends one request over a connection of its own.
///
/// # Errors
/// When there is no answer, or one that is not HTTP.
pub async fn send(
    to: SocketAddr,
    from: Option<IpAddr>,
    protocol: Protocol,
    request: &Request,
) -> Result<Response> {
    let exchange = async {
        let stream = connect(to, from).await?;
        match protocol {
            Protocol::Http1 => h1::Connection::new(stream).exchange(request).await,
            Protocol::Http2 => h2::Connection::new(stream).await?.exchange(request).await,
        }
    };
    tokio::time::timeout(PATIENCE, exchange).await.context("no answer: the request hangs")?
}
