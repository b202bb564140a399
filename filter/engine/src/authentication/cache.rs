//! Tokens that were verified before.
//!
//! A verification in plain Rust costs a hundred times what everything else of a request costs, and clients
//! send the same token for minutes. The cache holds at most [`TOKENS`] tokens and [`BYTES`] bytes; it
//! belongs to one [`super::Authenticator`], so a changed plan starts with an empty one.
//!
//! What an attacker can do with it: only tokens that were verified are stored, and they are compared in
//! full, so nothing but a real token is ever found. The table has sets of [`WAYS`] entries, so a lookup
//! costs at most [`WAYS`] comparisons of one number and one of bytes, whatever was stored. Sets are
//! chosen by the end of the signature: who could choose that could sign.
//!
//! Eviction: within a full set the first entry, from where the last search ended, that was not used since
//! it was last passed over (second chance). When the bytes do not fit, the same over the whole table.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::identity::Identity;
use crate::bytes::same;

/// The most tokens.
pub(super) const TOKENS: usize = SETS * WAYS;
const SETS: usize = 512;
const WAYS: usize = 8;

/// The most bytes of tokens and what they stand for, as weighed by [`cost`].
pub(super) const BYTES: usize = 4 * 1024 * 1024;

/// How many bytes at the end of a token choose its place: 24 bytes of signature.
const HASHED: usize = 32;

#[derive(Debug)]
struct Entry {
    hash: u64,
    used: bool,
    cost: usize,
    token: Box<[u8]>,
    identity: Rc<Identity>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct TokenCache {
    /// `SETS * WAYS` slots, or none before the first token.
    slots: Vec<Option<Entry>>,
    bytes: usize,
    way: usize,
    hand: usize,
}

/// What a token costs to keep: its own bytes, and those of everything it was verified to say. Claims as a
/// tree take many times their text where they are deeply nested, so they are weighed and not guessed: a
/// user who may fill in a claim at the issuer must not decide how much memory a worker has.
fn cost(token: &[u8], identity: &Identity) -> usize {
    let texts = |list: &[String]| list.iter().map(|text| size_of::<String>() + text.len()).sum::<usize>();
    let forwarded: usize = identity.forwarded.iter().map(|(name, value)| 48 + name.len() + value.len()).sum();
    let acr = identity.strength.acr.as_ref().map_or(0, String::len);
    let lists = texts(&identity.roles)
        + texts(&identity.permissions)
        + texts(&identity.strength.amr)
        + acr
        + forwarded;
    size_of::<Identity>() + token.len() + lists + members(&identity.claims)
}

/// A node of the map's tree has room for eleven members and is at least half full, but for the first.
fn members(map: &Map<String, Value>) -> usize {
    const NODE: usize = 12 * (size_of::<String>() + size_of::<Value>());
    let inner: usize = map.iter().map(|(name, value)| name.len() + weight(value)).sum();
    (map.len() / 5 + 1) * NODE + inner
}

/// What a value has beside itself. The reader of tokens bounds the depth.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        // A list may have grown to twice what it needs.
        Value::Array(list) => list.iter().map(|item| 2 * size_of::<Value>() + weight(item)).sum(),
        Value::Object(map) => members(map),
    }
}

impl TokenCache {
    /// The identity that this token was verified to be. Its dates are for the caller to judge.
    pub(super) fn get(&mut self, token: &[u8]) -> Option<&Rc<Identity>> {
        let hash = hash(token);
        let entry = set_mut(&mut self.slots, hash)
            .iter_mut()
            .flatten()
            .find(|entry| entry.hash == hash && same(&entry.token, token))?;
        entry.used = true;
        Some(&entry.identity)
    }

    /// Stores a token that has just been verified.
    pub(super) fn insert(&mut self, token: &[u8], identity: Rc<Identity>) {
        let cost = cost(token, &identity);
        if cost > BYTES {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize_with(TOKENS, || None);
        }
        while self.bytes > BYTES - cost {
            self.sweep();
        }
        let hash = hash(token);
        let start = self.way;
        let set = set_mut(&mut self.slots, hash);
        let Some(way) = place(set, start) else { return };
        self.way = (way + 1) % WAYS;
        if let Some(slot) = set.get_mut(way) {
            // A new entry has yet to be used: a token that is seen once goes before one that comes back.
            let entry = Entry { hash, used: false, cost, token: token.into(), identity };
            let old = slot.replace(entry);
            self.bytes = self.bytes.saturating_sub(old.map_or(0, |old| old.cost)).saturating_add(cost);
        }
    }

    /// Takes away the tokens of some identities.
    pub(super) fn forget(&mut self, which: impl Fn(&Identity) -> bool) {
        for slot in &mut self.slots {
            if let Some(entry) = slot.take_if(|entry| which(&entry.identity)) {
                self.bytes = self.bytes.saturating_sub(entry.cost);
            }
        }
    }

    /// Moves the hand by one slot, and evicts what it finds there unless it was used.
    fn sweep(&mut self) {
        self.hand = (self.hand + 1) % TOKENS;
        if let Some(slot) = self.slots.get_mut(self.hand)
            && let Some(entry) = slot
        {
            if std::mem::take(&mut entry.used) {
                return;
            }
            self.bytes = self.bytes.saturating_sub(entry.cost);
            *slot = None;
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }
}

/// The set that tokens with this hash belong to.
fn set_mut(slots: &mut [Option<Entry>], hash: u64) -> &mut [Option<Entry>] {
    #[expect(clippy::cast_possible_truncation, reason = "only the low bits choose the set")]
    let start = (hash as usize % SETS) * WAYS;
    slots.get_mut(start..start + WAYS).unwrap_or_default()
}

/// The way to put a new entry in: an empty one, or the one to evict.
fn place(set: &mut [Option<Entry>], start: usize) -> Option<usize> {
    if let Some(empty) = set.iter().position(Option::is_none) {
        return Some(empty);
    }
    let ways = (0..WAYS).map(|step| (start + step) % WAYS);
    for way in ways {
        match set.get_mut(way) {
            Some(Some(entry)) if entry.used => entry.used = false,
            _ => return Some(way),
        }
    }
    Some(start % WAYS)
}

/// Folds the end of the token into a number: it is the most random part there is.
fn hash(token: &[u8]) -> u64 {
    let end = token.get(token.len().saturating_sub(HASHED)..).unwrap_or(token);
    end.chunks(8).fold(0x9e37_79b9_7f4a_7c15, |hash, chunk| {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        let mixed = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 32)
    })
}

#[cfg(test)]
mod tests;
