//! Connections: how many, for how long, and how they end.
//!
//! A client can hold a connection in four ways, and each has an end: it says nothing, or sends a request byte by byte; it
//! keeps a connection for later; it does not take what it is sent (all three: the idle time); it waits for a change (the
//! longest wait).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::answer::answer;
use super::log::{Access, Note};
use super::places::{Activity, Counted, Seat};

/// The largest head of a request. Ours have some hundred bytes.
const HEAD: u32 = 16 * 1024;

/// The most headers of a request.
const HEADERS: usize = 64;

/// The requests of one HTTP/2 connection at once: each may wait for a change.
const STREAMS: u32 = 128;

/// A write of more bytes than this is part of an answer. Pings of HTTP/2 would keep any connection for ever.
const PING: usize = 64;

/// How long a new connection waits for one to give way before another is asked.
const AGAIN: Duration = Duration::from_millis(100);

/// Takes connections until the server is to stop.
pub(super) async fn accept(listener: TcpListener, places: Arc<Semaphore>, shared: Arc<Shared>) {
    let mut stopping = shared.stopping.clone();
    // What is said once, until it is over.
    let (mut broken, mut greedy) = (false, false);
    loop {
        let next = next(&listener, &places, &shared);
        let stopped = async { drop(stopping.wait_for(|stopped| *stopped).await) };
        let accepted = tokio::select! {
            biased;
            () = stopped => return,
            accepted = next => accepted,
        };
        match accepted {
            Ok(Ok(connection)) => {
                (broken, greedy) = (false, false);
                tokio::spawn(serve(connection, Arc::clone(&shared)));
            }
            Ok(Err(client)) => {
                if !std::mem::replace(&mut greedy, true) {
                    let what =
                        format!("its {} connections are the most of one address", shared.limits.per_address);
                    shared.log.note(&Note::Trouble { place: &client.ip().to_string(), what: &what });
                }
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some connections end first.
                if !std::mem::replace(&mut broken, true) {
                    let what = error.to_string().to_lowercase();
                    shared.log.note(&Note::Trouble { place: "connections cannot be taken", what: &what });
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A connection with everything that it needs.
struct Connection {
    stream: TcpStream,
    client: SocketAddr,
    seat: Seat,
}

/// Takes the next connection; or closes it at once if its address has its share.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    shared: &Shared,
) -> io::Result<Result<Connection, SocketAddr>> {
    let (stream, client) = listener.accept().await?;
    // Small answers should not wait for more.
    let _ = stream.set_nodelay(true);
    let Some(seat) = shared.places.connection(client.ip(), shared.limits.per_address) else {
        return Ok(Err(client));
    };
    let mut seat = seat;
    let place = match Arc::clone(places).try_acquire_owned() {
        Ok(place) => place,
        Err(_) => loop {
            shared.places.make_room(&seat);
            // If all are being answered, nobody gives way now, and somebody may soon. Further clients wait in the queue of
            // the operating system.
            let place = Arc::clone(places).acquire_owned();
            if let Ok(place) = tokio::time::timeout(AGAIN, place).await {
                break place.map_err(io::Error::other)?;
            }
        },
    };
    seat.place = Some(place);
    Ok(Ok(Connection { stream, client, seat }))
}

async fn serve(connection: Connection, shared: Arc<Shared>) {
    let Connection { stream, client, seat } = connection;
    let activity = Arc::clone(&seat.activity);
    let idle = shared.limits.idle;
    let io = Watched { stream, activity: Arc::clone(&activity) };
    let service = service_fn(|request: http::Request<Incoming>| {
        let (counted, shared) = (Counted::new(&activity), Arc::clone(&shared));
        async move {
            let _counted = counted;
            let mut access = Access::new(&shared.log, client, &request);
            let response = answer(&request, client.ip(), &shared).await;
            access.answered(response.status(), response.body().size_hint().exact().unwrap_or(0));
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Counted from when it waits for a request, so this is also how long a connection may be kept for later.
        .header_read_timeout(idle)
        .max_headers(HEADERS)
        .max_buf_size(usize::try_from(HEAD).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD)
        // Whoever waits for a change is asked whether it is still there.
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut stopping = shared.stopping.clone();
    let mut deadline = std::pin::pin!(sleep(idle));
    let mut ending = false;
    loop {
        let stopped = async { drop(stopping.wait_for(|stopped| *stopped).await) };
        tokio::select! {
            // A connection that breaks is the client's doing, and its own trouble.
            _ = connection.as_mut() => return,
            () = activity.give_way.notified() => return,
            () = stopped, if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
                deadline.as_mut().reset(Instant::now() + shared.limits.grace);
            }
            () = deadline.as_mut() => {
                if ending {
                    return;
                }
                let until = activity.deadline(idle);
                if until <= Instant::now() {
                    // What is said last, that it ends, may take a moment.
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                    deadline.as_mut().reset(Instant::now() + shared.limits.grace.min(idle));
                } else {
                    deadline.as_mut().reset(until);
                }
            }
        }
    }
}

/// A stream that tells when an answer goes over it.
struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl Watched {
    fn watch(&self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(poll, Poll::Ready(Ok(bytes)) if bytes > PING) {
            self.activity.now();
        }
        poll
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What a client sends is no sign of life but a request: bytes could come one by one, for ever.
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
