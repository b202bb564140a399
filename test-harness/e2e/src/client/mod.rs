//! Clients that send what they are told, well-formed or not.

pub mod h1;
pub mod h2;
pub mod tls;

use std::fmt;
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

/// Marks an error that came before anything of the request was on its way.
#[derive(Debug)]
pub(crate) struct Unsent;

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request was not sent")
    }
}

/// Marks an error that came after the first byte of an answer.
#[derive(Debug)]
pub(crate) struct Begun;

impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer breaks off")
    }
}

/// Why there is no answer, or not the whole of one.
#[derive(Debug)]
pub enum Silence {
    /// The request never got to anybody: no address to send from, nobody listens.
    Unsent(anyhow::Error),
    /// The server closed or reset after the request was on its way, and before any of an answer.
    Closed(anyhow::Error),
    /// The server closed or reset in the middle of its answer.
    CutOff(anyhow::Error),
    /// What came is not HTTP.
    NotHttp(anyhow::Error),
    /// Nothing came in time.
    Hangs,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(why) | Self::Closed(why) | Self::CutOff(why) => write!(f, "{why:#}"),
            Self::NotHttp(why) => write!(f, "the answer is not HTTP: {why:#}"),
            Self::Hangs => f.write_str("no answer: the request hangs"),
        }
    }
}

impl std::error::Error for Silence {}

impl Silence {
    /// What an exchange that was begun ended with.
    fn of(why: anyhow::Error) -> Self {
        let ended = |cause: &(dyn std::error::Error + 'static)| {
            cause.is::<std::io::Error>()
                || cause.downcast_ref::<::h2::Error>().is_some_and(|error| error.is_io() || error.is_remote())
        };
        if why.is::<Unsent>() {
            Self::Unsent(why)
        } else if why.chain().any(ended) {
            if why.is::<Begun>() { Self::CutOff(why) } else { Self::Closed(why) }
        } else {
            Self::NotHttp(why)
        }
    }
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
) -> Result<Response, Silence> {
    send_within(PATIENCE, to, from, protocol, request).await
}

async fn send_within(
    patience: Duration,
    to: SocketAddr,
    from: Option<IpAddr>,
    protocol: Protocol,
    request: &Request,
) -> Result<Response, Silence> {
    let exchange = async {
        let stream = connect(to, from).await.context(Unsent)?;
        match protocol {
            Protocol::Http1 => h1::Connection::new(stream).exchange(request).await,
            Protocol::Http2 => h2::Connection::new(stream).await.context(Unsent)?.exchange(request).await,
        }
    };
    match tokio::time::timeout(patience, exchange).await {
        Ok(answer) => answer.map_err(Silence::of),
        Err(_) => Err(Silence::Hangs),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What is told of a server that reads something and answers this; nothing: it waits.
    async fn told(protocol: Protocol, answer: Option<&'static [u8]>) -> Result<Response, Silence> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The connection is read to its end, so that it closes and is not reset.
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes).await.unwrap();
            match answer {
                Some(answer) => stream.write_all(answer).await.unwrap(),
                None => std::future::pending().await,
            }
        });
        let request = Request::new("GET", "/");
        let told = send_within(Duration::from_millis(300), address, None, protocol, &request).await;
        server.abort();
        told
    }

    #[tokio::test]
    async fn only_what_a_server_ended_was_ended_by_it() {
        for protocol in Protocol::ALL {
            let closed = told(protocol, Some(b"")).await;
            assert!(matches!(closed, Err(Silence::Closed(_))), "{protocol}: {closed:?}");
            let hangs = told(protocol, None).await;
            assert!(matches!(hangs, Err(Silence::Hangs)), "{protocol}: {hangs:?}");
            let other =
                told(protocol, Some(b"SSH-2.0-OpenSSH_9.6 and some more of this, enough of it\r\n\r\n"))
                    .await;
            assert!(matches!(other, Err(Silence::NotHttp(_))), "{protocol}: {other:?}");
        }
    }

    /// An answer that a client saw the beginning of is no silence.
    #[tokio::test]
    async fn an_answer_that_breaks_off_is_no_closed_connection() {
        for answer in [&b"HTTP/1.1 20"[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"] {
            let told = told(Protocol::Http1, Some(answer)).await;
            assert!(matches!(told, Err(Silence::CutOff(_))), "{told:?}");
        }
        // An empty SETTINGS frame and its acknowledgement; `:status: 200` from the static table; four bytes; GOAWAY is missing.
        let frames = b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x04\0\0\0\0\0\x01what";
        let told = told(Protocol::Http2, Some(frames)).await;
        assert!(matches!(told, Err(Silence::CutOff(_))), "{told:?}");
    }

    #[tokio::test]
    async fn what_reached_nobody_was_ended_by_nobody() {
        // A port that was free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        // An address for documentation (RFC 5737) is nobody's.
        for from in [None, Some(IpAddr::from([192, 0, 2, 1]))] {
            for protocol in Protocol::ALL {
                let told = send(free, from, protocol, &Request::new("GET", "/")).await;
                assert!(matches!(told, Err(Silence::Unsent(_))), "{protocol} from {from:?}: {told:?}");
            }
        }
    }
}
