//! HTTP/2 with prior knowledge.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpStream;

use super::{Begun, Unsent};
use crate::message::{Body, Headers, Request, Response};

/// A connection to a server; requests may run side by side on clones of it.
#[derive(Clone)]
pub struct Connection {
    sender: SendRequest<Bytes>,
}

impl Connection {
    /// Speaks HTTP/2 over a stream.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn new(stream: TcpStream) -> Result<Self> {
        let (sender, connection) = h2::client::Builder::new()
            .max_header_list_size(1024 * 1024)
            .handshake(stream)
            .await
            .context("no HTTP/2 handshake")?;
        // It ends by itself when the last sender is gone; its error reaches each request as well.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When the request cannot be said in HTTP/2, or the stream is reset before an answer.
    pub async fn exchange(&mut self, request: &Request) -> Result<Response> {
        let head = head(request).context(Unsent)?;
        let ready = self.sender.clone().ready().await;
        let mut sender = ready.context("the connection is closed").context(Unsent)?;
        let ends = matches!(request.body, Body::None);
        let (answer, mut stream) =
            sender.send_request(head, ends).context("cannot send the request").context(Unsent)?;
        let sending = async {
            match &request.body {
                Body::None => {}
                Body::Sized(body) => send_data(&mut stream, body, true).await?,
                Body::Pieces { pieces, trailers, .. } => {
                    for piece in pieces {
                        send_data(&mut stream, piece, false).await?;
                        tokio::task::yield_now().await;
                    }
                    if trailers.is_empty() {
                        stream.send_data(Bytes::new(), true)?;
                    } else {
                        stream.send_trailers(header_map(trailers)?)?;
                    }
                }
            }
            Ok::<(), anyhow::Error>(())
        };
        // An early refusal resets the stream in the middle of the body: its answer counts, not the reset.
        let receiving = async { answer.await.context("no answer") };
        let (sent, received) = tokio::join!(sending, receiving);
        match received {
            Ok(answer) => read(answer).await.context(Begun),
            // What was received says how it ended.
            Err(error) => Err(match sent {
                Err(sent) => error.context(format!("{sent:#}")),
                Ok(()) => error,
            }),
        }
    }
}

/// Whether a request can be said in HTTP/2 by this client at all.
///
/// # Errors
/// With the part that cannot.
pub fn sayable(request: &Request) -> Result<()> {
    head(request).map(|_| ())
}

async fn send_data(stream: &mut h2::SendStream<Bytes>, data: &[u8], last: bool) -> Result<()> {
    let mut rest = Bytes::copy_from_slice(data);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let granted = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let granted = granted.context("the stream was closed while sending")??;
        let piece = rest.split_to(granted.min(rest.len()));
        if !piece.is_empty() {
            stream.send_data(piece, false)?;
        }
    }
    if last {
        stream.send_data(Bytes::new(), true)?;
    }
    Ok(())
}

async fn read(answer: http::Response<h2::RecvStream>) -> Result<Response> {
    let (head, mut stream) = answer.into_parts();
    let mut response =
        Response { status: head.status.as_u16(), headers: header_list(&head.headers), ..Response::default() };
    while let Some(data) = stream.data().await {
        let data = data.context("the body breaks off")?;
        stream.flow_control().release_capacity(data.len())?;
        response.body.extend_from_slice(&data);
    }
    if let Some(trailers) = stream.trailers().await.context("the trailers break off")? {
        response.trailers = header_list(&trailers);
    }
    Ok(response)
}

fn head(request: &Request) -> Result<http::Request<()>> {
    let host = request.host.clone().unwrap_or_default();
    let uri = http::Uri::builder()
        .scheme("http")
        .authority(host.as_slice())
        .path_and_query(request.path.as_slice())
        .build()
        .context("a target that this client cannot put into HTTP/2")?;
    let mut head = http::Request::builder()
        .method(request.method.as_str())
        .uri(uri)
        .version(http::Version::HTTP_2)
        .body(())
        .context("a method that this client cannot put into HTTP/2")?;
    *head.headers_mut() = header_map(&request.headers)?;
    let length = match &request.body {
        Body::Sized(body) => Some(body.len()),
        Body::Pieces { pieces, sized: true, .. } => Some(pieces.iter().map(Vec::len).sum()),
        Body::None | Body::Pieces { .. } => None,
    };
    if let Some(length) = length {
        head.headers_mut().append(http::header::CONTENT_LENGTH, length.into());
    }
    Ok(head)
}

fn header_map(headers: &Headers) -> Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name).context("no header name")?;
        map.append(name, HeaderValue::from_bytes(value).context("no header value")?);
    }
    Ok(map)
}

fn header_list(map: &HeaderMap) -> Headers {
    map.iter().map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}
