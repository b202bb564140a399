//! What was used once and must not be used again, in fixed memory that all workers share.
//!
//! A table has a fixed number of sets; a key belongs to one of them, by its hash. A set holds up to [`WAYS`]
//! entries, each a 64-bit fingerprint and the time at which the thing was *made*, and a *floor*. When a set is
//! full, the entry that was made first goes, the new one being among them, and the floor rises to its time.
//! What was made at or before the floor is refused.
//!
//! Therefore nothing is ever used twice: what was used is either in its set or at or below the floor. The price
//! is paid the other way: under more uses than a table holds, what took long to arrive is refused. A table
//! needs no clock, no window and no sweeping. It keeps the newest, and what it drops first is what has expired,
//! or will next. So neither a clock that is set back nor a policy with a longer window brings anything back.
//!
//! That holds if the maker's own word fixes `made`: a time that the signature covers, or the step of a code.
//! It holds for the life of the proxy: shared data is memory, and a restart forgets it.
//!
//! With the default of 65,536 entries, 2,048 sets of 32, a use reads and writes half a kilobyte. At 150 uses a
//! second a table holds the whole of 300 s; at 3,000 a second it refuses what was under way for 15 s or so.
//!
//! A set is a version byte, the floor, then the entries, all numbers little-endian `u64`s.

use std::hash::{DefaultHasher, Hasher};

use crate::host::{Host, Loaded, Now, Stored};

/// Entries of a set. Many, because sets do not fill evenly: with 32 a table that is half full practically
/// never has a full set.
const WAYS: usize = 32;

/// The version of the layout.
const LAYOUT: u8 = 1;

/// How many entries a table has if nothing else is said.
pub(super) const DEFAULT_ENTRIES: u32 = 65_536;
/// The most entries of a table: 16 MB.
const MAX_ENTRIES: u32 = 1 << 20;
/// The fewest entries of a table.
const MIN_ENTRIES: u32 = 1024;

/// Into how many shares a table is cut, where it is cut by owner.
const SHARES: u64 = 8;

/// How often a lost race is run again. Whoever loses, somebody else won: with a handful of workers whoever
/// loses this often meets sets that do not work at all.
const MAX_TRIES: usize = 1000;

/// What a table says of one use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Used {
    /// It was never used, and from now on it is.
    First,
    /// It was used before.
    Again,
    /// It was made so long ago that the table no longer knows. To be refused: it may have been used.
    TooOld,
    /// The table cannot be read or written. To be refused.
    Failed,
}

/// A table of what was used.
#[derive(Debug)]
pub(super) struct Replay {
    /// `replay`, the name, and dots: what the names of all its sets begin with.
    prefix: Box<str>,
    sets: u64,
    seed: [u64; 2],
    name: String,
    bytes: Vec<u8>,
}

impl Replay {
    /// A table with this many entries. Tables of one name share what they remember, also over plans. The seed is
    /// secret and the same in all workers: with it nobody can choose what shares a set.
    ///
    /// # Errors
    /// When the name or the number of entries is none that a table can have.
    pub(super) fn load(name: &str, entries: u32, seed: [u64; 2]) -> Result<Self, String> {
        if !entries.is_power_of_two() || !(MIN_ENTRIES..=MAX_ENTRIES).contains(&entries) {
            return Err(format!("not a power of two from {MIN_ENTRIES} to {MAX_ENTRIES}"));
        }
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        if name.is_empty() || name.len() > 128 || !name.bytes().all(fine) {
            return Err("a table's name is one to 128 letters, digits, `-`, `_`, `.` or `/`".into());
        }
        let sets = u64::from(entries) / WAYS as u64;
        // The number of sets is part of the name: a key that moved to another set would be first there.
        let prefix = format!("replay.{name}.{sets}.").into();
        Ok(Self { prefix, sets, seed, name: String::new(), bytes: Vec::new() })
    }

    /// Notes a use. `key` says what was used: its parts count one by one, so `["a", "bc"]` is not `["ab", "c"]`.
    /// `made` is when it was made, by its maker's own word; whoever asks has judged already whether that is
    /// recent enough and not too far ahead.
    #[allow(dead_code, reason = "for what has no owner; tests use it")]
    pub(super) fn first(&mut self, key: &[&[u8]], made: Now, host: &mut dyn Host) -> Used {
        let [place, fingerprint] = self.seed.map(|half| hash(half, key));
        self.note(place, fingerprint, made, host)
    }

    /// As [`Self::first`], in the share of `owner`: an eighth of the sets, chosen by who it is. Whoever may sign can
    /// lift floors by signing much, and so only those of the few that share with him.
    pub(super) fn first_of(&mut self, owner: &[u8], key: &[&[u8]], made: Now, host: &mut dyn Host) -> Used {
        let [place, fingerprint] = self.seed.map(|half| hash(half, key));
        let [start, _] = self.seed.map(|half| hash(half, &[owner]));
        // There are a power of two of sets, and 32 at least: the share is the lower bits, whose it is the upper ones.
        let share = self.sets / SHARES;
        let place = start % SHARES * share + place % share.max(1);
        self.note(place, fingerprint, made, host)
    }

    fn note(&mut self, place: u64, fingerprint: u64, made: Now, host: &mut dyn Host) -> Used {
        let Self { prefix, sets, name, bytes, .. } = self;
        name.clear();
        name.push_str(prefix);
        // Names are few and fixed, for shared data forgets none: behind the prefix is a number below `sets`.
        name.push_str(itoa::Buffer::new().format(place & sets.saturating_sub(1)));
        for _ in 0..MAX_TRIES {
            let version = match host.load(name, bytes) {
                Loaded::Present(version) => Some(version),
                Loaded::Absent => None,
                Loaded::Failed => return Used::Failed,
            };
            let mut set = match version {
                None => Set::default(),
                Some(_) => match Set::decode(bytes) {
                    Some(set) => set,
                    // Somebody else's bytes: nothing is known of what was used.
                    None => return Used::Failed,
                },
            };
            match set.note(fingerprint, made.nanos()) {
                Used::First => {}
                refused => return refused,
            }
            set.encode(bytes);
            match host.store(name, bytes, version) {
                Stored::Yes => return Used::First,
                Stored::Conflict => {}
                Stored::Failed => return Used::Failed,
            }
        }
        Used::Failed
    }
}

fn hash(seed: u64, parts: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(seed);
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}

/// One thing that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    fingerprint: u64,
    made: u64,
}

/// One set, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Set {
    floor: u64,
    entries: Vec<Entry>,
}

impl Set {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&layout, rest) = bytes.split_first()?;
        let (floor, rest) = rest.split_first_chunk::<8>()?;
        let (pairs, odd) = rest.as_chunks::<16>();
        if layout != LAYOUT || !odd.is_empty() || pairs.len() > WAYS {
            return None;
        }
        let mut entries = Vec::with_capacity(WAYS);
        for pair in pairs {
            let (fingerprint, made) = pair.split_first_chunk::<8>()?;
            let made = made.first_chunk::<8>()?;
            let (fingerprint, made) = (u64::from_le_bytes(*fingerprint), u64::from_le_bytes(*made));
            entries.push(Entry { fingerprint, made });
        }
        Some(Self { floor: u64::from_le_bytes(*floor), entries })
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.clear();
        into.push(LAYOUT);
        into.extend_from_slice(&self.floor.to_le_bytes());
        for entry in &self.entries {
            into.extend_from_slice(&entry.fingerprint.to_le_bytes());
            into.extend_from_slice(&entry.made.to_le_bytes());
        }
    }

    /// Judges a use, and remembers it if it is the first.
    fn note(&mut self, fingerprint: u64, made: u64) -> Used {
        // The entries come first: whoever was used stays used, wherever the floor is.
        if self.entries.iter().any(|entry| entry.fingerprint == fingerprint) {
            return Used::Again;
        }
        if made <= self.floor {
            return Used::TooOld;
        }
        let fresh = Entry { fingerprint, made };
        if self.entries.len() < WAYS {
            self.entries.push(fresh);
            return Used::First;
        }
        match self.entries.iter_mut().min_by_key(|entry| entry.made) {
            Some(oldest) if oldest.made < made => {
                self.floor = self.floor.max(oldest.made);
                *oldest = fresh;
            }
            // The new one is the oldest: the floor alone remembers it.
            _ => self.floor = self.floor.max(made),
        }
        Used::First
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
