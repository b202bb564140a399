//! `bartizan serve`: a server that proxies follow bundles from.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bartizan_publish::serve::log::Form;
use bartizan_publish::serve::{Config, Limits, Log, Server};
use clap::Args;
use serde_json::json;
use tokio::runtime::Builder;

use super::trusted::Trusted;
use crate::output::{Failure, Format, Outcome, Screen};

const AFTER_HELP: &str = "\
Examples:
  bartizan serve dist                                 every dist/*.bundle, on 127.0.0.1:8090
  bartizan serve edge.bundle --listen 0.0.0.0:8090
  bartizan serve dist --trust release.pub             only what this key has signed
  bartizan serve dist --format json                   the log as JSON lines
  curl -i http://127.0.0.1:8090/edge.bundle
  curl -i http://127.0.0.1:8090/edge.bundle -H 'if-none-match: \"<the etag>\"' -H 'prefer: wait=60'

The address is printed on standard output, the log goes to standard error. A file that was replaced is noticed within
a second; one that is no artifact is never served, and the last good one stays. A client that has the newest artifact
and sends `prefer: wait=N` is answered when there is another, or after N seconds. There is no TLS: bundles are signed,
and a proxy in front can add it. Ctrl-C or SIGTERM ends it.

Exit codes: 0 it was told to end; 1 the trust is wrong; 2 usage; 3 cannot read, or cannot listen";

/// Serves artifacts over HTTP, for proxies to follow.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Serve {
    /// Artifacts, and directories whose `*.bundle` files are served, each as `/FILE-NAME`.
    #[arg(value_name = "DIR|FILE", required = true, num_args = 1..)]
    paths: Vec<PathBuf>,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// The longest time that a client may wait for a change, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    max_wait: u64,
    /// How many connections there may be at once; for a further one, one without a request gives way.
    #[arg(long, value_name = "NUMBER", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// How many connections one address may have; further ones are closed.
    #[arg(long, value_name = "NUMBER", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections_per_address: u32,
    #[command(flatten)]
    trusted: Trusted,
    /// The form of the log, and of the line with the address.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(serve: &Serve, screen: &Screen) -> Result<Outcome, Failure> {
    let trust = match serve.trusted.load()? {
        Ok(trust) => trust,
        Err(what) => {
            screen.complain(&what);
            return Ok(Outcome::Problems);
        }
    };
    let limits = Limits {
        connections: serve.max_connections,
        per_address: serve.max_connections_per_address,
        longest_wait: Duration::from_secs(serve.max_wait),
        ..Limits::default()
    };
    let config = Config { listen: serve.listen, paths: serve.paths.clone(), trust, limits };
    let form = match serve.format {
        Format::Text => Form::Text,
        Format::Json => Form::Json,
    };
    let told = |error: io::Error| Failure::new(format!("the server cannot run: {error}"));
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(told)?;
    let done = runtime.block_on(async {
        // Before it listens, so that nobody who has read the address can end it the hard way.
        let mut signals = Signals::new().map_err(told)?;
        let log = Log::new(form, Box::new(io::stderr()));
        let server = Server::start(config, log).await.map_err(Failure::new)?;
        let address = server.address();
        screen.out(&match serve.format {
            Format::Text => format!("listening on http://{address}\n"),
            Format::Json => format!("{}\n", json!({"listening": address.to_string()})),
        })?;
        signals.next().await;
        // Whoever is asked twice does not wait for anybody.
        tokio::select! {
            () = server.stop() => {}
            () = signals.next() => {}
        }
        Ok(Outcome::Fine)
    });
    // A thread may hang in a file system; nobody waits for it.
    runtime.shutdown_background();
    done
}

/// What tells a server to end.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Ends with the next one.
    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        // Without a handler the system ends us by itself.
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
