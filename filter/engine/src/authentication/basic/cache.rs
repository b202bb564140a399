//! Credentials that were verified before.
//!
//! A verification takes the worker's thread for a good part of a second, and clients send their password with every
//! request. What is kept is no password but a keyed hash of method, name and password, under a key that is random and
//! nowhere else; whoever can read the memory of the proxy sees passwords come by anyway.
//!
//! The cache belongs to one [`super::super::Authenticator`], so a changed plan, and with it a changed user or password,
//! starts with an empty one. It has room for all users, and for twice as many, as it is in sets of [`WAYS`] and not every set is
//! as full; only what was verified is in it, so wrong guesses put nothing in and drive nothing out.

use subtle::ConstantTimeEq as _;
use superboring::reexports::hmac_sha256;

const MIN_SETS: usize = 64;
/// The most sets: a megabyte, for more users than there may be in a list.
const MAX_SETS: usize = 4096;
const WAYS: usize = 8;

/// What stands for a method's credentials.
pub(super) type Tag = [u8; 32];

/// See the module.
pub(super) struct Cache {
    key: [u8; 32],
    sets: usize,
    /// `WAYS` of them for each set, or none before the first.
    tags: Vec<Option<Tag>>,
    way: usize,
}

/// The key is not for logs.
impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl Cache {
    /// An empty cache for so many users.
    pub(super) fn new(seed: [u64; 2], users: usize) -> Self {
        let [one, two] = seed.map(u64::to_le_bytes);
        let key = hmac_sha256::HMAC::mac(b"verified passwords", [one, two].concat());
        let sets = (users / 4).clamp(MIN_SETS, MAX_SETS).next_power_of_two();
        Self { key, sets, tags: Vec::new(), way: 0 }
    }

    /// What stands for these credentials.
    pub(super) fn tag(&self, method: usize, name: &str, password: &[u8]) -> Tag {
        let mut mac = hmac_sha256::HMAC::new(self.key);
        mac.update(method.to_le_bytes());
        mac.update(name.len().to_le_bytes());
        mac.update(name);
        mac.update(password);
        mac.finalize()
    }

    pub(super) fn has(&mut self, tag: &Tag) -> bool {
        let set = self.set(tag).iter().flatten();
        set.fold(subtle::Choice::from(0), |found, known| found | known.ct_eq(tag)).into()
    }

    pub(super) fn insert(&mut self, tag: Tag) {
        if self.tags.is_empty() {
            self.tags.resize(self.sets.saturating_mul(WAYS), None);
        }
        // In turn: those that come back are verified once more, which is what they would cost without a cache.
        self.way = (self.way + 1) % WAYS;
        let way = self.way;
        let set = self.set(&tag);
        let place = set.iter().position(Option::is_none).unwrap_or(way);
        if let Some(place) = set.get_mut(place) {
            *place = Some(tag);
        }
    }

    pub(super) fn remove(&mut self, tag: &Tag) {
        for known in self.set(tag) {
            if known.is_some_and(|known| bool::from(known.ct_eq(tag))) {
                *known = None;
            }
        }
    }

    fn set(&mut self, tag: &Tag) -> &mut [Option<Tag>] {
        // Nobody without the key can choose a set.
        let number = tag.first_chunk::<2>().map_or(0, |bytes| usize::from(u16::from_le_bytes(*bytes)));
        let start = (number % self.sets).saturating_mul(WAYS);
        self.tags.get_mut(start..start.saturating_add(WAYS)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_nothing_else() {
        let mut cache = Cache::new([1, 2], 1);
        let tag = cache.tag(0, "alice", b"secret");
        assert!(!cache.has(&tag));
        cache.remove(&tag);
        cache.insert(tag);
        assert!(cache.has(&tag));
        for (method, name, password) in [
            (1, "alice", &b"secret"[..]),
            (0, "alic", b"esecret"),
            (0, "alice", b"secre"),
            (0, "bob", b"secret"),
        ] {
            let other = cache.tag(method, name, password);
            assert!(!cache.has(&other), "{name}");
        }
        assert_ne!(Cache::new([1, 3], 1).tag(0, "alice", b"secret"), tag, "another key");
    }

    #[test]
    fn it_never_grows_and_keeps_no_password() {
        let mut cache = Cache::new([1, 2], 1);
        for n in 0..5000_u32 {
            let tag = cache.tag(0, "alice", &n.to_le_bytes());
            cache.insert(tag);
            assert!(cache.has(&tag));
        }
        assert_eq!(cache.tags.len(), MIN_SETS * WAYS);
    }

    #[test]
    fn there_is_room_for_every_user() {
        for users in [1, 100, 512, 1000, 5000, 8191] {
            let mut cache = Cache::new([1, 2], users);
            let tags: Vec<Tag> = (0..users).map(|n| cache.tag(0, &format!("user-{n}"), b"secret")).collect();
            tags.iter().for_each(|tag| cache.insert(*tag));
            let there = tags.iter().filter(|tag| cache.has(tag)).count();
            assert!(there >= users - users / 50, "{there} of {users}");
        }
        let mut cache = Cache::new([1, 2], usize::MAX);
        cache.insert([7; 32]);
        assert_eq!(cache.tags.len(), MAX_SETS * WAYS, "and no more than that");
    }
}
