//! Simulated upstream clusters for the callouts of a module: HTTP calls, unary gRPC calls and gRPC streams.
//!
//! [`Clusters`] is the table of clusters that an Envoy knows, each with a programmed [`Answer`]; it is shared by all
//! VMs. [`Callouts`] is what one VM has under way: it hands out tokens, keeps the simulated time of each event and says
//! what is [due](Callouts::due). Nothing here reads a clock: time is what the caller says it is.

mod answer;
mod callouts;
mod grpc;
mod grpc_calls;
mod http_calls;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::answer::{Answer, Step};
pub use self::callouts::{Callouts, Delivery, Event};
pub(crate) use self::grpc::status_of_http;
pub use self::http_calls::HttpCall;
use crate::headers::HeaderMap;
use crate::pairs::Pairs;

/// How many calls a cluster remembers; older ones are forgotten, so that long runs need no more memory.
pub const REMEMBERED_CALLS: usize = 1024;

/// The kinds of callout, with the numbers that are the low bits of their tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// `proxy_http_call`.
    Http,
    /// `proxy_grpc_call`.
    Grpc,
    /// `proxy_grpc_stream`.
    GrpcStream,
}

/// What an upstream sees of one callout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What kind of callout it is.
    pub kind: CallKind,
    /// The headers as the module gave them, with `content-length` if there is a body. For gRPC, the initial metadata
    /// and the `:path` of service and method. What Envoy's router adds on the way is not here.
    pub headers: HeaderMap,
    /// The body, or the message of a gRPC call without its frame. Empty when a stream opens.
    pub body: Vec<u8>,
    /// The trailers, for HTTP only.
    pub trailers: Pairs,
    /// Whether the module has nothing more to say: false only when a stream opens or goes on.
    pub end_of_stream: bool,
    /// How long the module waits; `None` is for ever.
    pub timeout: Option<Duration>,
    /// When it came.
    pub at: Duration,
    /// How many calls this cluster saw before.
    pub number: u64,
}

/// The clusters of one Envoy. Clones are handles on the same table.
#[derive(Clone, Default)]
pub struct Clusters(Arc<Mutex<Table>>);

type Table = BTreeMap<Vec<u8>, Arc<Mutex<Cluster>>>;

struct Cluster {
    answer: Box<dyn FnMut(&Call) -> Answer + Send>,
    seen: u64,
    calls: VecDeque<Call>,
}

impl Clusters {
    /// Adds a cluster whose answers a closure computes, or puts it in the place of the one with that name.
    ///
    /// For a gRPC stream the closure is asked when the stream opens, for each message, and once more if the module
    /// ends the stream without a message; its answers follow each other. The closure must not use this table.
    pub fn add(&self, name: impl AsRef<[u8]>, answer: impl FnMut(&Call) -> Answer + Send + 'static) {
        let cluster = Cluster { answer: Box::new(answer), seen: 0, calls: VecDeque::new() };
        lock(&self.0).insert(name.as_ref().to_vec(), Arc::new(Mutex::new(cluster)));
    }

    /// Adds a cluster that gives these answers one after the other and then the last one again and again. With an
    /// empty list it never answers.
    pub fn add_answers(&self, name: impl AsRef<[u8]>, answers: impl IntoIterator<Item = Answer>) {
        let mut answers: VecDeque<Answer> = answers.into_iter().collect();
        self.add(name, move |_| {
            let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
            next.unwrap_or_else(Answer::never)
        });
    }

    /// Removes a cluster. Calls that are under way go on.
    pub fn remove(&self, name: impl AsRef<[u8]>) -> bool {
        lock(&self.0).remove(name.as_ref()).is_some()
    }

    /// Whether there is a cluster of this name.
    pub fn contains(&self, name: impl AsRef<[u8]>) -> bool {
        lock(&self.0).contains_key(name.as_ref())
    }

    /// How many calls a cluster has seen, of all VMs.
    pub fn seen(&self, name: impl AsRef<[u8]>) -> u64 {
        self.find(name.as_ref()).map_or(0, |cluster| lock(&cluster).seen)
    }

    /// The calls that a cluster has seen, the last [`REMEMBERED_CALLS`] of them, oldest first.
    pub fn calls(&self, name: impl AsRef<[u8]>) -> Vec<Call> {
        self.find(name.as_ref())
            .map(|cluster| lock(&cluster).calls.iter().cloned().collect())
            .unwrap_or_default()
    }

    fn find(&self, name: &[u8]) -> Option<Arc<Mutex<Cluster>>> {
        lock(&self.0).get(name).cloned()
    }

    /// Shows a call to a cluster; `None` if there is no such cluster.
    fn ask(&self, name: &[u8], mut call: Call) -> Option<Answer> {
        let cluster = self.find(name)?;
        let mut cluster = lock(&cluster);
        call.number = cluster.seen;
        cluster.seen = cluster.seen.saturating_add(1);
        let answer = (cluster.answer)(&call);
        if cluster.calls.len() == REMEMBERED_CALLS {
            cluster.calls.pop_front();
        }
        cluster.calls.push_back(call);
        Some(answer)
    }
}

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = lock(&self.0);
        f.debug_set().entries(table.keys().map(|name| String::from_utf8_lossy(name))).finish()
    }
}

/// A closure that panicked has failed its test already; the table itself is whole.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
