//! A proxy that is not there: one connection, and shared slots that nobody else uses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bartizan_engine::host::{Digest, Host, Loaded, Stored};

/// The host of one explained request.
#[derive(Debug)]
pub(crate) struct DryHost {
    peer: IpAddr,
    slots: BTreeMap<String, (u32, Vec<u8>)>,
}

impl DryHost {
    pub(crate) fn new(peer: IpAddr) -> Self {
        Self { peer, slots: BTreeMap::new() }
    }
}

impl Host for DryHost {
    fn peer_address(&mut self) -> Option<IpAddr> {
        Some(self.peer)
    }

    fn load(&mut self, slot: &str, into: &mut Vec<u8>) -> Loaded {
        into.clear();
        match self.slots.get(slot) {
            Some((version, value)) => {
                into.extend_from_slice(value);
                Loaded::Present(*version)
            }
            None => Loaded::Absent,
        }
    }

    fn store(&mut self, slot: &str, value: &[u8], version: Option<u32>) -> Stored {
        let present = self.slots.get(slot).map(|(version, _)| *version);
        if present != version {
            return Stored::Conflict;
        }
        let next = present.unwrap_or(0).wrapping_add(1);
        self.slots.insert(slot.to_owned(), (next, value.to_vec()));
        Stored::Yes
    }

    fn verify_signature(&mut self, _: Digest, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        // There is no proxy to ask: the engine checks in its own code.
        None
    }
}
