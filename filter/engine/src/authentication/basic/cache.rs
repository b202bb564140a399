//! Credentials that were verified before.
//!
//! A verification takes the worker's thread for a good part of a second, and clients send their password with every
//! request. What is kept is no password but a keyed hash of method, name and password, under a key that is random and
//! nowhere else; whoever can read the memory of the proxy sees passwords come by anyway.
//!
//! The cache belongs to one [`super::super::Authenticator`], so a changed plan, and with it a changed user or password,
//! starts with an empty one. It has room for [`CREDENTIALS`], in sets of [`WAYS`]; only what was verified is in it, so
//! wrong guesses put nothing in and drive nothing out.

use subtle::ConstantTimeEq as _;
use superboring::reexports::hmac_sha256;

const SETS: usize = 128;
const WAYS: usize = 4;

/// The most credentials that are remembered.
#[cfg(test)]
const CREDENTIALS: usize = SETS * WAYS;

/// What stands for a method's credentials.
pub(super) type Tag = [u8; 32];

/// See the module.
pub(super) struct Cache {
    key: [u8; 32],
    /// `SETS * WAYS` of them, or none before the first.
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
    pub(super) fn new(seed: [u64; 2]) -> Self {
        let [one, two] = seed.map(u64::to_le_bytes);
        let key = hmac_sha256::HMAC::mac(b"verified passwords", [one, two].concat());
        Self { key, tags: Vec::new(), way: 0 }
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
            self.tags.resize(SETS * WAYS, None);
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
        let start = tag.first().map_or(0, |byte| usize::from(*byte) % SETS) * WAYS;
        self.tags.get_mut(start..start + WAYS).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_nothing_else() {
        let mut cache = Cache::new([1, 2]);
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
        assert_ne!(Cache::new([1, 3]).tag(0, "alice", b"secret"), tag, "another key");
    }

    #[test]
    fn it_never_grows_and_keeps_no_password() {
        let mut cache = Cache::new([1, 2]);
        for n in 0..5000_u32 {
            let tag = cache.tag(0, "alice", &n.to_le_bytes());
            cache.insert(tag);
            assert!(cache.has(&tag));
        }
        assert_eq!(cache.tags.len(), CREDENTIALS);
        assert!(cache.tags.iter().flatten().count() <= CREDENTIALS);
    }
}
