//! The bundle server: artifacts of directories and files, over HTTP/1.1 and cleartext HTTP/2.
//!
//! Files are looked at a few times each second (`shelf`), read once, judged, and then served from memory. So an answer
//! is never half of a file, no request reaches the file system, and what somebody breaks on disk stays as it was for
//! clients. A request asks for a name; nothing else of it leads anywhere. A client that has the newest artifact may wait
//! for the next (`answer`). Slow and silent clients are cut off (`connection`).

mod answer;
mod conditions;
mod connection;
pub mod log;
mod places;
mod shelf;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bartizan_engine::envelope::Trust;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

pub use self::log::Log;
use self::log::Note;
use self::places::Places;
use self::shelf::{Scanner, Shelf};

/// What a server does, and how much of it.
#[derive(Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Files, and directories whose `*.bundle` files are served.
    pub paths: Vec<PathBuf>,
    /// If it is there, only what this trust takes is served.
    pub trust: Option<Trust>,
    /// Limits.
    pub limits: Limits,
}

/// How much, and for how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once. For a further one the one gives way that has been without a request for longest.
    pub connections: u32,
    /// Connections of one address at once. Further ones are closed.
    pub per_address: u32,
    /// Clients that wait for a change at once. Further ones are answered without waiting.
    pub waiting: u32,
    /// The same of one address.
    pub waiting_per_address: u32,
    /// The longest that a client may wait for a change.
    pub longest_wait: Duration,
    /// How long a client may take for a request or until the next one, or not take what it is sent. Proxies keep
    /// connections between polls, so this is best longer than their interval.
    pub idle: Duration,
    /// How long answers may take to end once the server is to stop.
    pub grace: Duration,
    /// The time between two looks at the files.
    pub look: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            per_address: 256,
            waiting: 10_000,
            waiting_per_address: 2500,
            longest_wait: Duration::from_secs(300),
            idle: Duration::from_secs(90),
            grace: Duration::from_secs(10),
            look: Duration::from_millis(200),
        }
    }
}

/// A look at the files that takes longer is spoken of.
const LONG: Duration = Duration::from_secs(5);

/// What the tasks of a server share.
#[derive(Debug)]
struct Shared {
    shelf: watch::Receiver<Arc<Shelf>>,
    stopping: watch::Receiver<bool>,
    waiting: Arc<Semaphore>,
    places: Arc<Places>,
    limits: Limits,
    log: Log,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    connections: Arc<Semaphore>,
    tasks: [JoinHandle<()>; 2],
}

impl Server {
    /// Looks at the files, and then listens.
    ///
    /// # Errors
    /// When a path cannot be read or served, or the address is not free; with the place and what is wrong there.
    pub async fn start(config: Config, log: Log) -> Result<Self, String> {
        let mut scanner = Scanner::new(&config.paths, config.trust, log.clone())?;
        let (mut scanner, first) = off_thread(move || {
            let first = scanner.look();
            (scanner, first)
        })
        .await?;
        let (shelves, shelf) = watch::channel(first.unwrap_or_default());
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|error| format!("{}: {}", config.listen, error.to_string().to_lowercase()))?;
        let address = listener.local_addr().map_err(|error| error.to_string().to_lowercase())?;
        let (stop, stopping) = watch::channel(false);
        let connections = Arc::new(Semaphore::new(permits(config.limits.connections)));
        let shared = Arc::new(Shared {
            shelf,
            stopping: stopping.clone(),
            waiting: Arc::new(Semaphore::new(permits(config.limits.waiting))),
            places: Arc::default(),
            limits: config.limits,
            log,
        });
        let accepting = connection::accept(listener, Arc::clone(&connections), Arc::clone(&shared));
        let (pause, log) = (shared.limits.look, shared.log.clone());
        let mut ends = stopping;
        let looking = async move {
            loop {
                let stopped = async { drop(ends.wait_for(|stopped| *stopped).await) };
                if tokio::time::timeout(pause, stopped).await.is_ok() {
                    return;
                }
                let mut looked = std::pin::pin!(off_thread(move || {
                    let changed = scanner.look();
                    (scanner, changed)
                }));
                let mut told = false;
                let looked = loop {
                    let stopped = async { drop(ends.wait_for(|stopped| *stopped).await) };
                    tokio::select! {
                        looked = looked.as_mut() => break looked,
                        // A file system that hangs keeps nobody from ending.
                        () = stopped => return,
                        () = tokio::time::sleep(LONG), if !told => {
                            told = true;
                            let what = "the file system does not answer; what is served stays as it is";
                            log.note(&Note::Trouble { place: "looking at the files", what });
                        }
                    }
                };
                let Ok((back, changed)) = looked else { return };
                scanner = back;
                if let Some(shelf) = changed {
                    shelves.send_replace(shelf);
                }
            }
        };
        let tasks = [tokio::spawn(accepting), tokio::spawn(looking)];
        Ok(Self { address, shared, stop, connections, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there are now.
    #[must_use]
    pub fn connections(&self) -> usize {
        permits(self.shared.limits.connections).saturating_sub(self.connections.available_permits())
    }

    /// How many artifacts it serves now.
    #[must_use]
    pub fn artifacts(&self) -> usize {
        self.shared.shelf.borrow().len()
    }

    /// Takes no further connections, answers everybody who waits at once, and lets the answers that are under way end,
    /// within the time of grace.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let [accepting, looking] = self.tasks;
        // They end by the same signal; a task that has panicked has ended too.
        let _ = accepting.await;
        let all = self.shared.limits.connections;
        // A connection keeps its permit while it lives.
        let _ = tokio::time::timeout(self.shared.limits.grace, self.connections.acquire_many(all)).await;
        let _ = looking.await;
        self.shared.log.flush();
    }
}

fn permits(number: u32) -> usize {
    usize::try_from(number).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS)
}

/// Runs what reads files and computes digests beside the tasks, not among them.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
}
