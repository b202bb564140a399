//! Many keys in fixed memory: the layout of one shared slot, and what happens when it is full.
//!
//! A limit has a fixed number of slots; a key belongs to one of them, by its hash. A slot holds up to
//! [`WAYS`] entries, told apart by a 64-bit fingerprint, and a *floor*. Eviction rule: when a ninth key
//! comes, the entry that is fullest again the soonest is dropped, and the floor is raised to its state. A
//! key that has no entry begins at the floor.
//!
//! Therefore no key ever gets more than its budget: whatever a dropped key had used is at most what the
//! floor says, and that is where it goes on when it comes back. The price is paid the other way: under a
//! flood of new keys, a new key may find its bucket emptier than it should be. With the default of 16,384
//! entries that takes some 16,384 other keys, all of them short of a token at the same moment, for each
//! token that is withheld.
//!
//! A slot is `windows: u8`, then the floor, then the entries; each is a fingerprint (zero for the floor)
//! and one time per window, little-endian `u64`s.

/// Entries per slot.
pub(super) const WAYS: usize = 8;
/// The most windows of a limit.
pub(super) const MAX_WINDOWS: usize = 4;

/// The state of one key: for each window, the time at which its bucket is full.
pub(super) type State = [u64; MAX_WINDOWS];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    fingerprint: u64,
    state: State,
}

/// One slot, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    floor: State,
    entries: [Option<Entry>; WAYS],
}

impl Slot {
    /// A slot that nobody used.
    pub(super) const fn empty() -> Self {
        Self { floor: [0; MAX_WINDOWS], entries: [None; WAYS] }
    }

    /// Reads a slot. `None` if the bytes are not a slot: nothing is known then about what was used.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&windows, mut rest) = bytes.split_first()?;
        let windows = usize::from(windows);
        if windows == 0 || windows > MAX_WINDOWS {
            return None;
        }
        let mut slot = Self::empty();
        slot.floor = read_entry(&mut rest, windows)?.state;
        for place in &mut slot.entries {
            if rest.is_empty() {
                return Some(slot);
            }
            *place = Some(read_entry(&mut rest, windows)?);
        }
        rest.is_empty().then_some(slot)
    }

    /// Writes a slot.
    pub(super) fn encode(&self, windows: usize, into: &mut Vec<u8>) {
        let windows = windows.clamp(1, MAX_WINDOWS);
        into.clear();
        into.push(u8::try_from(windows).unwrap_or(1));
        write_entry(into, 0, &self.floor, windows);
        for entry in self.entries.iter().flatten() {
            write_entry(into, entry.fingerprint, &entry.state, windows);
        }
    }

    /// The state of a key: its own, or the floor.
    pub(super) fn state(&self, fingerprint: u64) -> State {
        self.entries.iter().flatten().find(|e| e.fingerprint == fingerprint).map_or(self.floor, |e| e.state)
    }

    /// Brings times that are later than the first of a window's pair down to the second. True if there was
    /// one: the slot is then to be written even if nothing is charged.
    pub(super) fn cap(&mut self, windows: impl Iterator<Item = (u64, u64)> + Clone) -> bool {
        let mut capped = false;
        let states = std::iter::once(&mut self.floor)
            .chain(self.entries.iter_mut().flatten().map(|entry| &mut entry.state));
        for state in states {
            for (time, (latest, empty)) in state.iter_mut().zip(windows.clone()) {
                if *time > latest {
                    *time = empty;
                    capped = true;
                }
            }
        }
        capped
    }

    /// Sets the state of a key, dropping another one if there is no room.
    pub(super) fn set(&mut self, fingerprint: u64, state: State) {
        let fresh = Entry { fingerprint, state };
        if let Some(entry) = self.entries.iter_mut().flatten().find(|e| e.fingerprint == fingerprint) {
            *entry = fresh;
            return;
        }
        if let Some(place) = self.entries.iter_mut().find(|e| e.is_none()) {
            *place = Some(fresh);
            return;
        }
        let soonest = self.entries.iter_mut().flatten().min_by_key(|e| e.state.iter().copied().max());
        if let Some(victim) = soonest {
            for (floor, used) in self.floor.iter_mut().zip(victim.state) {
                *floor = (*floor).max(used);
            }
            *victim = fresh;
        }
    }
}

fn read_entry(rest: &mut &[u8], windows: usize) -> Option<Entry> {
    let fingerprint = read_number(rest)?;
    let mut state = [0; MAX_WINDOWS];
    for number in state.iter_mut().take(windows) {
        *number = read_number(rest)?;
    }
    // A limit that gained a window since the slot was written: the new window counts as used as the worst
    // of the old ones, for what was used in it is not known.
    let worst = state.iter().copied().max().unwrap_or(0);
    for number in state.iter_mut().skip(windows) {
        *number = worst;
    }
    Some(Entry { fingerprint, state })
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let (number, tail) = rest.split_first_chunk::<8>()?;
    *rest = tail;
    Some(u64::from_le_bytes(*number))
}

fn write_entry(into: &mut Vec<u8>, fingerprint: u64, state: &State, windows: usize) {
    into.extend_from_slice(&fingerprint.to_le_bytes());
    for number in state.iter().take(windows) {
        into.extend_from_slice(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn state(first: u64) -> State {
        [first, 0, 0, 0]
    }

    #[test]
    fn what_is_written_is_read() {
        let mut slot = Slot::empty();
        for key in 1..=9 {
            slot.set(key, [key * 10, key * 100, 0, 0]);
        }
        let mut bytes = Vec::new();
        slot.encode(2, &mut bytes);
        let read = Slot::decode(&bytes).unwrap();
        for key in 2..=9 {
            assert_eq!(read.state(key).get(..2), slot.state(key).get(..2), "{key}");
        }
        assert_eq!(read.state(1).get(..2), Some(&[10u64, 100][..]), "the dropped key goes on at the floor");
    }

    #[test]
    fn bytes_that_are_no_slot() {
        for bytes in [&[][..], &[0], &[9], &[1, 2, 3], &[1; 16], &[1; 18]] {
            assert_eq!(Slot::decode(bytes), None, "{bytes:?}");
        }
        let mut full = Vec::new();
        let mut slot = Slot::empty();
        (1..=8).for_each(|k| slot.set(k, state(k)));
        slot.encode(1, &mut full);
        full.extend_from_slice(&[0; 16]);
        assert_eq!(Slot::decode(&full), None, "one entry too many");
    }

    #[test]
    fn a_limit_that_gains_a_window_gives_nothing_away() {
        let mut slot = Slot::empty();
        slot.set(7, [50, 0, 0, 0]);
        let mut bytes = Vec::new();
        slot.encode(1, &mut bytes);
        assert_eq!(Slot::decode(&bytes).unwrap().state(7), [50; 4]);
    }

    proptest! {
        /// However keys come and go, what the slot says of a key is never less than what it really used.
        #[test]
        fn no_key_is_ever_forgotten(moves in proptest::collection::vec((1u64..40, 1u64..20, 1u64..20), 1..300)) {
            let mut slot = Slot::empty();
            let mut truth: HashMap<u64, [u64; 2]> = HashMap::new();
            let mut bytes = Vec::new();
            for (key, first, second) in moves {
                let held = slot.state(key);
                let real = truth.entry(key).or_default();
                prop_assert!(held[0] >= real[0] && held[1] >= real[1]);
                *real = [real[0] + first, real[1] + second];
                slot.set(key, [held[0] + first, held[1] + second, 0, 0]);
                slot.encode(2, &mut bytes);
                slot = Slot::decode(&bytes).unwrap();
            }
        }
    }
}
