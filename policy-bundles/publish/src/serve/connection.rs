//! Connections: how many, for how long, and how they end.
//!
//! A client can hold a connection in four ways, and each has an end: it says nothing, or sends a request byte by byte; it
//! keeps a connection for later; it does not take what it is sent (all three: the idle time); it waits for a change (the
//! longest wait).

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use super::Shared;
use super::answer::answer;
use super::log::{Access, Note};

/// The largest head of a request. Ours have some hundred bytes.
const HEAD: u32 = 16 * 1024;

/// The most headers of a request.
const HEADERS: usize = 64;

/// The requests of one HTTP/2 connection at once: each may wait for a change.
const STREAMS: u32 = 128;

/// A write of more bytes than this is part of an answer. Pings of HTTP/2 would keep any connection for ever.
const PING: usize = 64;

/// Takes connections until the server is to stop.
pub(super) async fn accept(listener: TcpListener, places: Arc<Semaphore>, shared: Arc<Shared>) {
    let mut stopping = shared.stopping.clone();
    let mut broken = false;
    loop {
        let next = async {
            // The place first: without one a client waits in the queue of the operating system, and costs us nothing.
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((place, listener.accept().await?))
        };
        let stopped = async { drop(stopping.wait_for(|stopped| *stopped).await) };
        let accepted = tokio::select! {
            biased;
            () = stopped => return,
            accepted = next => accepted,
        };
        match accepted {
            Ok((place, (stream, client))) => {
                broken = false;
                // Small answers should not wait for more.
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, client, place, Arc::clone(&shared)));
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some connections end first, and say it once.
                if !std::mem::replace(&mut broken, true) {
                    let what = error.to_string().to_lowercase();
                    shared.log.note(&Note::Trouble { place: "connections cannot be taken", what: &what });
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// What a connection does, for whoever decides when it has done nothing for too long.
#[derive(Debug)]
struct Activity {
    began: Instant,
    /// Requests that are being answered.
    requests: AtomicU64,
    /// When an answer made progress last, in milliseconds since it began.
    last: AtomicU64,
}

impl Activity {
    fn now(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    /// When it has been idle for long enough, if nothing happens.
    fn deadline(&self, idle: Duration) -> Instant {
        let last = if self.requests.load(Ordering::Relaxed) > 0 {
            Instant::now()
        } else {
            self.began + Duration::from_millis(self.last.load(Ordering::Relaxed))
        };
        last + idle
    }
}

/// Counts a request while it lives: its client may go at any moment.
struct Counted(Arc<Activity>);

impl Counted {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now();
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(
    stream: TcpStream,
    client: std::net::SocketAddr,
    _place: OwnedSemaphorePermit,
    shared: Arc<Shared>,
) {
    let activity =
        Arc::new(Activity { began: Instant::now(), requests: AtomicU64::new(0), last: AtomicU64::new(0) });
    let idle = shared.limits.idle;
    let io = Watched { stream, activity: Arc::clone(&activity) };
    let service = service_fn(|request: http::Request<Incoming>| {
        let (counted, shared) = (Counted::new(&activity), Arc::clone(&shared));
        async move {
            let _counted = counted;
            let mut access = Access::new(&shared.log, client, &request);
            let response = answer(&request, &shared).await;
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
