//! Nonces that the server provides (RFC 9449, section 9), without a memory for them.
//!
//! A nonce is a keyed hash of the number of the time slot it was made in. It is good in its slot and in the next, so
//! for at least one length of a slot. A proof with it cannot have been made before: whoever had the key of a client
//! for a moment cannot make proofs for later.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use superboring::reexports::hmac_sha256::HMAC;

use crate::host::Now;

/// Makes nonces and knows them again.
pub(super) struct Nonces {
    key: Vec<u8>,
    slot_ns: u64,
}

// By hand, so that no key reaches a log through `{:?}`.
impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nonces").field("slot_ns", &self.slot_ns).finish_non_exhaustive()
    }
}

/// So many bytes of the hash: nobody can guess as many bits.
const BYTES: usize = 18;

impl Nonces {
    /// `lifetime_s` is the length of a slot.
    pub(super) fn new(key: Vec<u8>, lifetime_s: u64) -> Self {
        Self { key, slot_ns: lifetime_s.saturating_mul(1_000_000_000).max(1) }
    }

    /// The nonce that proofs should have now.
    pub(super) fn current(&self, now: Now) -> String {
        self.of(now.nanos() / self.slot_ns)
    }

    /// Whether a nonce was made here, in this slot or in the one before.
    pub(super) fn knows(&self, nonce: &str, now: Now) -> bool {
        let slot = now.nanos() / self.slot_ns;
        [Some(slot), slot.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|slot| self.of(slot).as_bytes().ct_eq(nonce.as_bytes()).into())
    }

    fn of(&self, slot: u64) -> String {
        // The same key may serve elsewhere: what is hashed says what it is for.
        let message = [b"bartizan dpop nonce ".as_slice(), &slot.to_be_bytes()].concat();
        let hash = HMAC::mac(message, &self.key);
        URL_SAFE_NO_PAD.encode(hash.get(..BYTES).unwrap_or(&hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_lives_for_one_to_two_slots() {
        let nonces = Nonces::new(b"key".to_vec(), 60);
        let made = nonces.current(Now::from_secs(120));
        for (at, good) in
            [(59, false), (119, false), (120, true), (179, true), (239, true), (240, false), (9999, false)]
        {
            assert_eq!(nonces.knows(&made, Now::from_secs(at)), good, "{at}");
        }
        assert_eq!(made.len(), 24);
        assert_ne!(made, nonces.current(Now::from_secs(180)));
    }

    #[test]
    fn only_with_the_key() {
        let (ours, theirs) = (Nonces::new(b"key".to_vec(), 60), Nonces::new(b"kez".to_vec(), 60));
        assert!(!ours.knows(&theirs.current(Now::from_secs(5)), Now::from_secs(5)));
        for bad in ["", "a", &format!("{}=", ours.current(Now::from_secs(5)))] {
            assert!(!ours.knows(bad, Now::from_secs(5)), "{bad}");
        }
        assert!(!format!("{ours:?}").contains("key"));
    }
}
