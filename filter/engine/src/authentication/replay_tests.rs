use super::*;
use crate::host::testing::TestHost;
use crate::host::{Digest, Host};
use proptest::prelude::*;
use std::collections::HashSet;
use std::net::IpAddr;

const SEED: [u64; 2] = [11, 12];

fn table() -> Replay {
    Replay::load("test", MIN_ENTRIES, SEED).unwrap()
}

fn at(secs: u64) -> Now {
    Now::from_secs(secs)
}

#[test]
fn once_and_never_again_on_any_worker() {
    let mut here = TestHost::default();
    let mut there = here.clone();
    assert_eq!(table().first(&[b"client", b"n1"], at(100), &mut here), Used::First);
    assert_eq!(table().first(&[b"client", b"n1"], at(100), &mut there), Used::Again);
    assert_eq!(table().first(&[b"client", b"n1"], at(200), &mut there), Used::Again, "a nonce is used once");
    assert_eq!(table().first(&[b"client", b"n2"], at(100), &mut there), Used::First);
    assert_eq!(
        table().first(&[b"clientn", b"1"], at(100), &mut there),
        Used::First,
        "parts count one by one"
    );
}

#[test]
fn an_owner_fills_a_share_and_no_more() {
    let mut host = TestHost::default();
    let mut table = table();
    for n in 0..20_000u64 {
        table.first_of(b"flood", &[&n.to_le_bytes()], at(1000 + n), &mut host);
    }
    assert_eq!(host.slots.lock().unwrap().len() as u64, table.sets / SHARES);
    assert_eq!(table.first_of(b"flood", &[b"late"], at(1000), &mut host), Used::TooOld);
    assert_eq!(table.first_of(b"flood", &[&19_999u64.to_le_bytes()], at(20_999), &mut host), Used::Again);
    let others = (0..100u64).filter(|n| {
        table.first_of(&n.to_le_bytes(), &[b"late", &n.to_le_bytes()], at(1000), &mut host) == Used::First
    });
    assert!(others.count() > 70, "most others lie elsewhere");
}

#[test]
fn tables_of_other_names_remember_other_things() {
    let mut host = TestHost::default();
    assert_eq!(table().first(&[b"x"], at(100), &mut host), Used::First);
    let mut other = Replay::load("other", MIN_ENTRIES, SEED).unwrap();
    assert_eq!(other.first(&[b"x"], at(100), &mut host), Used::First);
}

#[test]
fn a_full_table_refuses_what_is_old_and_never_lets_a_replay_through() {
    let mut host = TestHost::default();
    let mut table = table();
    let total = 20 * u64::from(MIN_ENTRIES);
    for n in 0..total {
        assert_eq!(table.first(&[&n.to_le_bytes()], at(1000 + n), &mut host), Used::First, "{n}: in order");
    }
    for n in 0..total {
        let again = table.first(&[&n.to_le_bytes()], at(1000 + n), &mut host);
        assert!(matches!(again, Used::Again | Used::TooOld), "{n}");
    }
    assert_eq!(table.first(&[b"late"], at(1000), &mut host), Used::TooOld);
    assert_eq!(
        table.first(&[b"fresh"], at(1000 + total), &mut host),
        Used::First,
        "what is new has its place"
    );
    let slots = host.slots.lock().unwrap();
    assert_eq!(slots.len(), MIN_ENTRIES as usize / WAYS);
    assert!(slots.values().all(|(bytes, _)| bytes.len() <= 9 + 16 * WAYS), "fixed memory");
}

#[test]
fn a_table_that_is_half_full_refuses_nothing_in_any_order() {
    let mut host = TestHost::default();
    let mut table = Replay::load("half", DEFAULT_ENTRIES, SEED).unwrap();
    for n in 0..u64::from(DEFAULT_ENTRIES) / 2 {
        let made = 1000 + n.wrapping_mul(7919) % 300;
        assert_eq!(table.first(&[&n.to_le_bytes()], at(made), &mut host), Used::First, "{n}");
    }
}

#[test]
fn what_cannot_be_read_or_written_is_refused() {
    let mut broken = TestHost { broken: true, ..TestHost::default() };
    assert_eq!(table().first(&[b"x"], at(1), &mut broken), Used::Failed);
    let mut host = TestHost::default();
    assert_eq!(table().first(&[b"x"], at(1), &mut host), Used::First);
    for (bytes, _) in host.slots.lock().unwrap().values_mut() {
        bytes.push(0);
    }
    assert_eq!(table().first(&[b"x"], at(1), &mut host), Used::Failed);
}

#[test]
fn tables_that_cannot_be() {
    for (name, entries) in [("", 1024), ("a b", 1024), ("a", 0), ("a", 512), ("a", 1025), ("a", 1 << 21)] {
        assert!(Replay::load(name, entries, SEED).is_err(), "{name} {entries}");
    }
    assert!(Replay::load(&"a".repeat(129), 1024, SEED).is_err());
    assert!(Replay::load("hooks-1/eu_2.x", DEFAULT_ENTRIES, SEED).is_ok());
}

#[test]
fn bytes_that_are_no_set() {
    let mut full = Set::default();
    (0..WAYS as u64).for_each(|n| assert_eq!(full.note(n, n + 1), Used::First));
    let mut bytes = Vec::new();
    full.encode(&mut bytes);
    assert_eq!(Set::decode(&bytes), Some(full));
    for cut in 1..16 {
        assert_eq!(Set::decode(&bytes[..bytes.len() - cut]), None, "{cut}");
    }
    let mut longer = bytes.clone();
    longer.extend_from_slice(&[0; 16]);
    assert_eq!(Set::decode(&longer), None, "one entry too many");
    bytes[0] = 2;
    assert_eq!(Set::decode(&bytes), None, "another layout");
    assert_eq!(Set::decode(&[]), None);
}

/// A host that lets another worker in between every load and the store after it, until `visits` is used up.
struct Interrupted<'a> {
    inner: TestHost,
    visits: &'a mut dyn Iterator<Item = (u64, u64)>,
    table: Replay,
    firsts: &'a mut Vec<u64>,
}

impl Host for Interrupted<'_> {
    fn peer_address(&mut self) -> Option<IpAddr> {
        None
    }

    fn load(&mut self, slot: &str, into: &mut Vec<u8>) -> Loaded {
        let loaded = self.inner.load(slot, into);
        if let Some((key, made)) = self.visits.next()
            && self.table.first(&[&key.to_le_bytes()], at(made), &mut self.inner) == Used::First
        {
            self.firsts.push(key);
        }
        loaded
    }

    fn store(&mut self, slot: &str, value: &[u8], version: Option<u32>) -> Stored {
        self.inner.store(slot, value, version)
    }

    fn verify_signature(&mut self, _: Digest, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }
}

proptest! {
    /// Whatever comes in whatever order, with whatever times: nothing is first twice, and what is dropped is
    /// never newer than what is kept.
    #[test]
    fn a_set_never_forgets(uses in proptest::collection::vec((0u64..120, 1u64..50), 1..400)) {
        let mut set = Set::default();
        let mut made_of = std::collections::HashMap::new();
        let mut used = HashSet::new();
        let mut bytes = Vec::new();
        for (key, made) in uses {
            // A thing is made once: its time belongs to it.
            let made = *made_of.entry(key).or_insert(made);
            if set.note(key, made) == Used::First {
                prop_assert!(used.insert(key), "{} was let through twice", key);
            }
            set.encode(&mut bytes);
            set = Set::decode(&bytes).unwrap();
            prop_assert!(set.entries.len() <= WAYS);
            prop_assert!(set.entries.iter().all(|entry| entry.made >= set.floor));
        }
    }

    /// The same when another worker comes in at every moment at which one could.
    #[test]
    fn no_interleaving_lets_a_replay_through(
        mine in proptest::collection::vec((0u64..60, 1u64..6), 1..80),
        theirs in proptest::collection::vec((0u64..60, 1u64..6), 0..80),
    ) {
        let inner = TestHost::default();
        let mut firsts = Vec::new();
        let made = |key: u64, made: u64| made + key % 7;
        let mut visits = theirs.into_iter().map(|(key, _)| (key, made(key, 1)));
        // All in one set, or they would hardly ever meet.
        let narrow = || { let mut table = table(); table.sets = 1; table };
        let mut host = Interrupted { inner, visits: &mut visits, table: narrow(), firsts: &mut firsts };
        let mut table = narrow();
        let mut own = Vec::new();
        for (key, _) in mine {
            if table.first(&[&key.to_le_bytes()], at(made(key, 1)), &mut host) == Used::First {
                own.push(key);
            }
        }
        firsts.extend(own);
        let distinct: HashSet<_> = firsts.iter().collect();
        prop_assert_eq!(distinct.len(), firsts.len(), "{:?}", firsts);
    }
}

#[test]
fn threads_share_what_they_used() {
    for round in 0..10 {
        let shared = TestHost::default();
        let firsts: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    let mut host = shared.clone();
                    scope.spawn(move || {
                        let mut table = table();
                        (0..300u64)
                            .filter(|n| table.first(&[&n.to_le_bytes()], at(9), &mut host) == Used::First)
                            .count()
                    })
                })
                .collect();
            workers.into_iter().map(|w| w.join().unwrap()).sum()
        });
        assert_eq!(firsts, 300, "round {round}: each once, on one of four workers");
    }
}

/// What a use costs, without the host: `cargo test --release -- --ignored --nocapture replay_costs`.
#[test]
#[ignore = "a measurement"]
fn replay_costs() {
    let mut host = TestHost::default();
    let mut table = Replay::load("cost", DEFAULT_ENTRIES, SEED).unwrap();
    let uses = 500_000u64;
    let start = std::time::Instant::now();
    for n in 0..uses {
        table.first(&[b"client", &n.to_le_bytes()], at(n / 200), &mut host);
    }
    println!("{:?} for each of {uses} uses, the sets full for most of them", start.elapsed() / uses as u32);
}
