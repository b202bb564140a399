//! Who has a place: connections, and clients that wait for a change.
//!
//! A server that one client fills delivers no policy to the others. So an address has a share of the places, and when all
//! are taken, the connection gives way that has been without a request for longest.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

/// What a connection does, for whoever decides when it has done nothing for too long.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    /// Requests that are being answered.
    requests: AtomicU64,
    /// When an answer made progress last, in milliseconds since it began.
    last: AtomicU64,
    /// Somebody else needs the place.
    pub(super) give_way: Notify,
}

impl Activity {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { began: Instant::now(), requests: zero(), last: zero(), give_way: Notify::new() }
    }

    /// An answer makes progress.
    pub(super) fn now(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    fn is_answered(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    /// When it has been idle for long enough, if nothing happens.
    pub(super) fn deadline(&self, idle: Duration) -> Instant {
        (if self.is_answered() { Instant::now() } else { self.last() }) + idle
    }
}

/// Counts a request while it lives: its client may go at any moment.
pub(super) struct Counted(Arc<Activity>);

impl Counted {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
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

/// What one address has. There is an entry for as long as it has anything, so the table is as small as the limits are.
#[derive(Debug, Default)]
struct Share {
    connections: u32,
    waiting: u32,
}

#[derive(Debug, Default)]
struct Table {
    shares: HashMap<IpAddr, Share>,
    connections: BTreeMap<u64, Arc<Activity>>,
    next: u64,
}

/// The places of a server.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Table>);

/// A connection's place, while it lives.
#[derive(Debug)]
pub(super) struct Seat {
    places: Arc<Places>,
    address: IpAddr,
    number: u64,
    pub(super) activity: Arc<Activity>,
    /// INVARIANT: given back after the connection has left the table, as a field is dropped last: a connection that has
    /// no place any more is not asked to give way.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

/// A waiting client's place, while it lives.
#[derive(Debug)]
pub(super) struct Waiting<'p> {
    places: &'p Places,
    address: IpAddr,
}

impl Places {
    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it is held, and counts are better than none.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection of this address, unless it has so many already.
    pub(super) fn connection(self: &Arc<Self>, address: IpAddr, most: u32) -> Option<Seat> {
        let address = whose(address);
        let mut table = self.table();
        let share = table.shares.entry(address).or_default();
        if share.connections >= most {
            return None;
        }
        share.connections += 1;
        let (number, activity) = (table.next, Arc::new(Activity::new()));
        table.next += 1;
        table.connections.insert(number, Arc::clone(&activity));
        Some(Seat { places: Arc::clone(self), address, number, activity, place: None })
    }

    /// A place for a client that waits, unless its address has so many already.
    pub(super) fn waiting(&self, address: IpAddr, most: u32) -> Option<Waiting<'_>> {
        let address = whose(address);
        let mut table = self.table();
        let share = table.shares.entry(address).or_default();
        if share.waiting >= most {
            return None;
        }
        share.waiting += 1;
        Some(Waiting { places: self, address })
    }

    /// Has the connection give way that has been without a request for longest, but not the one that needs the place.
    pub(super) fn make_room(&self, but: &Seat) {
        let mut table = self.table();
        let idle =
            table.connections.iter().filter(|(number, one)| **number != but.number && !one.is_answered());
        let longest = idle.min_by_key(|(_, one)| one.last()).map(|(number, _)| *number);
        // Taken out, so that it is not asked twice while it leaves.
        if let Some(longest) = longest.and_then(|number| table.connections.remove(&number)) {
            longest.give_way.notify_one();
        }
    }

    fn leave(&self, address: IpAddr, leave: impl FnOnce(&mut Share)) {
        let mut table = self.table();
        if let Some(share) = table.shares.get_mut(&address) {
            leave(share);
            if share.connections == 0 && share.waiting == 0 {
                table.shares.remove(&address);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.places.table().connections.remove(&self.number);
        self.places.leave(self.address, |share| share.connections = share.connections.saturating_sub(1));
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.places.leave(self.address, |share| share.waiting = share.waiting.saturating_sub(1));
    }
}

/// Who is behind an address: of IPv6 everybody has a network of 64 bits, at least.
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_leaves_nothing_behind() {
        let places = Arc::new(Places::default());
        let at = |text: &str| places.connection(text.parse().unwrap(), 2);
        let (first, second) = (at("192.0.2.1").unwrap(), at("::ffff:192.0.2.1").unwrap());
        assert!(at("192.0.2.1").is_none());
        let others = [at("192.0.2.2").unwrap(), at("2001:db8::1").unwrap(), at("2001:db8::2:3:4:5").unwrap()];
        assert!(at("2001:db8::9").is_none() && at("2001:db8:0:1::9").is_some());
        drop(first);
        let third = at("192.0.2.1").unwrap();
        let waits = places.waiting("192.0.2.1".parse().unwrap(), 1).unwrap();
        assert!(places.waiting("192.0.2.1".parse().unwrap(), 1).is_none());
        drop((second, third, others, waits));
        let table = places.table();
        assert!(table.shares.is_empty() && table.connections.is_empty());
    }
}
