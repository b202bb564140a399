//! A policy in force in a real Envoy, as a place where cases run.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bartizan_cases::driver::{Broken, Driver};
use bartizan_cases::expand::Target;
use bartizan_cases::format::Http;
use bartizan_cases::wire::{Lines, Observed, Seen, Wire};
use tokio::runtime::Handle;

use crate::client::{self, Protocol, Silence, h2};
use crate::deploy::{Guard, Stage};
use crate::message::{Body, Request, Response};
use crate::report::UNSAYABLE;
use crate::upstream::Answer;

/// One of the policies of an Envoy, over one version of HTTP. It waits for answers, so that it must not run on a thread
/// that others need to get on.
pub(crate) struct Driven {
    stage: Arc<Stage>,
    pub(crate) guard: Arc<Guard>,
    protocol: Protocol,
    runtime: Handle,
    /// HTTP/2 has no way to say a request of this run, which ended there.
    pub(crate) unsayable: bool,
}

impl Driver for Driven {
    fn target(&self) -> Target {
        target(self.protocol)
    }

    /// Each run has a client and a subject of its own, or a policy of its own: nothing of theirs is spent.
    fn fresh(&mut self) -> Result<(), Broken> {
        Ok(())
    }

    fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn send(&mut self, wire: &Wire) -> Result<Observed, Broken> {
        let request = request(wire);
        if self.protocol == Protocol::Http2 && h2::sayable(&request).is_err() {
            self.unsayable = true;
            return Err(Broken(UNSAYABLE.to_owned()));
        }
        self.runtime.block_on(self.observe(wire, &request))
    }
}

impl Driven {
    /// To be made where the runtime is at hand.
    pub(crate) fn new(stage: Arc<Stage>, guard: Arc<Guard>, protocol: Protocol) -> Self {
        Self { stage, guard, protocol, runtime: Handle::current(), unsayable: false }
    }

    async fn observe(&self, wire: &Wire, request: &Request) -> Result<Observed, Broken> {
        let case = wire.number.to_string();
        let answer = Answer {
            status: wire.answer.status,
            headers: wire.answer.headers.clone(),
            body: wire.answer.body.clone(),
        };
        self.stage.upstream.expect(&case, answer);
        let response = match &wire.certificate {
            None => client::send(self.guard.address, Some(wire.peer), self.protocol, request).await,
            Some(certificate) => {
                let relay = client::tls::relay(self.guard.address, Some(wire.peer), certificate).await;
                let relay = relay.map_err(|error| Broken(format!("{error:#}")))?;
                client::send(relay, None, self.protocol, request).await
            }
        };
        let seen = self.stage.upstream.take(&case);
        if seen.len() > 1 {
            return Ok(Observed::broken("upstream saw the request more than once"));
        }
        let upstream = seen.into_iter().next().map(|seen| Seen {
            method: seen.method,
            path: seen.path.into_bytes(),
            host: seen.host.into_bytes(),
            headers: seen.headers,
            body: seen.body,
            trailers: seen.trailers,
        });
        observed(response, upstream)
    }
}

/// What came back. A request that reached nobody, and an answer that is not HTTP, say nothing of the proxy.
fn observed(response: Result<Response, Silence>, upstream: Option<Seen>) -> Result<Observed, Broken> {
    match response {
        Ok(Response { status, headers, body, .. }) => {
            Ok(Observed { status, headers, body, upstream, ..Observed::default() })
        }
        Err(silence @ (Silence::Unsent(_) | Silence::NotHttp(_))) => Err(Broken(silence.to_string())),
        Err(silence) => {
            let closed = matches!(silence, Silence::Closed(_));
            Ok(Observed { upstream, closed, ..Observed::broken(silence.to_string()) })
        }
    }
}

pub(crate) const fn target(protocol: Protocol) -> Target {
    match protocol {
        Protocol::Http1 => Target::Envoy(Http::V1),
        Protocol::Http2 => Target::Envoy(Http::V2),
    }
}

/// A case's request for the clients of this crate.
pub(crate) fn request(wire: &Wire) -> Request {
    let trailers: Lines = wire.trailers.clone();
    let body = match &wire.body {
        None if trailers.is_empty() => Body::None,
        None => Body::Pieces { pieces: Vec::new(), sized: false, trailers },
        Some(pieces) if wire.chunked || !trailers.is_empty() => {
            Body::Pieces { pieces: pieces.clone(), sized: false, trailers }
        }
        Some(pieces) => Body::Pieces { pieces: pieces.clone(), sized: true, trailers },
    };
    Request {
        method: wire.method.clone(),
        path: wire.path.clone(),
        host: wire.host.clone(),
        headers: wire.headers.clone(),
        body,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_proxy_that_nobody_reaches_is_no_proxy_that_closed() {
        let came = |silence| observed(Err(silence), None);
        for broken in [Silence::Unsent(anyhow!("x")), Silence::NotHttp(anyhow!("x"))] {
            assert!(came(broken).is_err());
        }
        assert!(came(Silence::Closed(anyhow!("x"))).unwrap().closed);
        let cut = came(Silence::CutOff(anyhow!("x"))).unwrap();
        assert!(!cut.closed && cut.note.is_some());
        let hangs = came(Silence::Hangs).unwrap();
        assert!(!hangs.closed && hangs.note.unwrap().contains("hangs"));
    }
}
