//! A worker thread, where streams begin.

use std::fmt;
use std::sync::Arc;

use super::threads::{Core, Loaded};
use crate::environment::{FailurePolicy, lock, nanos};
use crate::exchange::Origin;
use crate::message::{Protocol, Request};
use crate::properties::{Attributes, ConnectionState};
use crate::stream::{Answer, Stream};

/// A worker thread of a proxy.
#[derive(Clone)]
pub struct Worker {
    pub(super) core: Arc<Core>,
    pub(super) number: usize,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Worker {
    /// A new stream on a connection of its own, to be walked step by step.
    pub fn open(&self) -> Stream {
        let attributes = self.core.env.settings.attributes.clone();
        self.open_on(attributes, ConnectionState::default(), Protocol::default())
    }

    /// A new stream with these surroundings. Streams of one connection have its state in common.
    pub fn open_on(&self, attributes: Attributes, connection: ConnectionState, protocol: Protocol) -> Stream {
        let started = nanos(self.core.env.now());
        let origin = Origin { attributes, connection, protocol, started };
        let plugin = self.core.plugin(self.number);
        let open = self.core.env.settings.failure_policy == FailurePolicy::Open;
        match plugin {
            Some(Loaded { vm, root, .. }) => {
                let filtered = {
                    let vm = lock(&vm);
                    !(open && vm.failed.is_some())
                };
                Stream::open(self.core.clone(), vm, root, filtered, origin)
            }
            None => Stream::unfiltered(self.core.clone(), origin),
        }
    }

    /// Sends a request, lets upstream answer it, and gives what the client gets.
    ///
    /// While the module holds the stream and waits for callouts, time moves on to their answers, for five
    /// minutes at most. For nothing else does it move.
    pub fn send(&self, request: Request) -> Answer {
        let attributes =
            request.attributes.clone().unwrap_or_else(|| self.core.env.settings.attributes.clone());
        self.open_on(attributes, request.connection.clone(), request.protocol).run(request)
    }

    /// Why the VM of this worker has failed, if it has.
    pub fn failure(&self) -> Option<String> {
        let vm = lock(self.core.worker(self.number)?).plugin.as_ref()?.vm.clone();
        lock(&vm).failed.clone()
    }
}
