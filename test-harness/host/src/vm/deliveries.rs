//! What comes to a module unasked: the answers of its callouts, and news of its queues.

use std::time::Duration;

use super::Vm;
use super::state::State;
use crate::Status;
use crate::clusters::{Delivery, Event};
use crate::headers::HeaderMap;

/// What came of a callout, while the module is told.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    root: u32,
    pub(super) http: Option<(HeaderMap, Vec<u8>, Option<HeaderMap>)>,
    pub(super) initial_metadata: Option<HeaderMap>,
    pub(super) trailing_metadata: Option<HeaderMap>,
    pub(super) message: Option<Vec<u8>>,
}

impl State {
    /// What came of a callout, if it is the caller's own.
    pub(super) fn delivered(&self) -> Option<&Delivered> {
        Some(&self.delivered).filter(|delivered| delivered.root == self.root_of(self.context()))
    }
}

impl Vm {
    /// A queue that this VM registered has a new item.
    pub(crate) fn queue_ready(&mut self, context: u32, token: u32) {
        if self.store.data().contexts.contains_key(&context) {
            self.call(context, "proxy_on_queue_ready", &[context, token]);
            self.run_after();
        }
    }

    /// When something is due in this VM: a tick, or the answer of a callout.
    pub(crate) fn next_event(&self) -> Option<Duration> {
        [self.next_tick(), self.next_delivery()].into_iter().flatten().min()
    }

    /// When the next answer of a callout is due.
    pub(crate) fn next_delivery(&self) -> Option<Duration> {
        self.store.data().callouts.next_due()
    }

    /// Tells the module what has come of its callouts until now, one by one, and says of how many. What it calls out
    /// meanwhile waits for the next round.
    pub(crate) fn deliver(&mut self) -> u64 {
        let now = self.store.data().env.now();
        let mut count = 0;
        for _ in 0..self.store.data().callouts.count_due(now) {
            let Some(delivery) = self.store.data_mut().callouts.next_delivery(now) else { break };
            self.tell(delivery);
            count += 1;
        }
        count
    }

    fn tell(&mut self, delivery: Delivery) {
        let Delivery { context, token, event } = delivery;
        let state = self.store.data_mut();
        let Some(root) = state.root_mut(context) else { return };
        let count = |map: &HeaderMap| u32::try_from(map.len()).unwrap_or(u32::MAX);
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut delivered = Delivered { root: context, ..Delivered::default() };
        let mut broken = false;
        let (callback, arguments) = match event {
            Event::HttpResponse { headers, body, trailers } => {
                let counts = [count(&headers), size(&body), trailers.as_ref().map_or(0, count)];
                delivered.http = Some((headers, body, trailers));
                ("proxy_on_http_call_response", [&[context, token], &counts[..]].concat())
            }
            Event::HttpFailure => {
                root.status = (Status::BrokenConnection.code(), b"reset".to_vec());
                broken = true;
                ("proxy_on_http_call_response", vec![context, token, 0, 0, 0])
            }
            Event::GrpcInitialMetadata(metadata) => {
                let arguments = vec![context, token, count(&metadata)];
                delivered.initial_metadata = Some(metadata);
                ("proxy_on_grpc_receive_initial_metadata", arguments)
            }
            Event::GrpcMessage(message) => {
                let arguments = vec![context, token, size(&message)];
                delivered.message = Some(message);
                ("proxy_on_grpc_receive", arguments)
            }
            Event::GrpcTrailingMetadata(metadata) => {
                let arguments = vec![context, token, count(&metadata)];
                delivered.trailing_metadata = Some(metadata);
                ("proxy_on_grpc_receive_trailing_metadata", arguments)
            }
            Event::GrpcClose { status, message } => {
                root.status = (status, message);
                broken = true;
                ("proxy_on_grpc_close", vec![context, token, status])
            }
        };
        state.delivered = delivered;
        self.call(context, callback, &arguments);
        let state = self.store.data_mut();
        state.delivered = Delivered::default();
        // The number stays, the text does not.
        if let Some(root) = state.root_mut(context).filter(|_| broken) {
            root.status.1.clear();
        }
        self.run_after();
    }
}
