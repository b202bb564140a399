//! What an RSA signature must be when it is opened (RFC 8017, section 9).

use superboring::reexports::{hmac_sha256, hmac_sha512};

use crate::host::Digest;

/// What PKCS#1 v1.5 makes of a message (section 9.2), for a modulus of so many bytes. There is exactly one
/// such text for each message, so a comparison with it is the whole check.
pub(super) fn pkcs1(digest: Digest, message: &[u8], length: usize) -> Option<Vec<u8>> {
    // DER of the `DigestInfo` up to the digest itself (section 9.2, note 1).
    let (info, size): (&[u8], u8) = match digest {
        Digest::Sha256 => (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], 32),
        Digest::Sha384 => (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2], 48),
        Digest::Sha512 => (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3], 64),
    };
    let start = [0x30, 17 + size, 0x30, 13, 0x06, 9];
    let end = [[&start, info, &[0x05, 0, 0x04, size]].concat(), hash(digest, &[message])].concat();
    // At least eight bytes of filling.
    let filling = length.checked_sub(end.len() + 3).filter(|filling| *filling >= 8)?;
    Some([&[0, 1], vec![0xff; filling].as_slice(), &[0], &end].concat())
}

/// Whether an opened signature is a PSS encoding of the message (section 9.1.2, whose steps are numbered here)
/// with MGF1 of the same digest and a salt as long as it. `bits` are those of the modulus.
pub(super) fn is_pss(digest: Digest, message: &[u8], opened: &[u8], bits: usize) -> bool {
    // One bit less than the modulus has, so for some moduli the first byte holds nothing.
    let unused = opened.len() * 8 - (bits - 1);
    let encoded = match opened.split_first() {
        Some((first, rest)) if unused == 8 => {
            if *first != 0 {
                return false;
            }
            rest
        }
        _ => opened,
    };
    let unused = unused % 8;
    // 1 and 2.
    let hashed = hash(digest, &[message]);
    // 3 to 5.
    let Some((0xbc, encoded)) = encoded.split_last().map(|(last, rest)| (*last, rest)) else { return false };
    let Some(split) = encoded.len().checked_sub(hashed.len()) else { return false };
    let Some((masked, seed)) = encoded.split_at_checked(split) else { return false };
    let Some(filling) = masked.len().checked_sub(hashed.len() + 1) else { return false };
    // 6.
    if masked.first().is_none_or(|first| first.leading_zeros() < unused as u32) {
        return false;
    }
    // 7 to 9.
    let mut block = mask(digest, seed, masked.len());
    for (byte, masked) in block.iter_mut().zip(masked) {
        *byte ^= masked;
    }
    if let Some(first) = block.first_mut() {
        *first &= 0xff >> unused;
    }
    // 10 and 11.
    let Some((zeros, [1, salt @ ..])) = block.split_at_checked(filling) else { return false };
    // 12 to 14.
    zeros.iter().all(|byte| *byte == 0) && hash(digest, &[&[0; 8], &hashed, salt]) == seed
}

/// MGF1 (appendix B.2.1).
pub(super) fn mask(digest: Digest, seed: &[u8], length: usize) -> Vec<u8> {
    let mut mask = Vec::with_capacity(length + 64);
    for counter in 0u32.. {
        if mask.len() >= length {
            break;
        }
        mask.extend(hash(digest, &[seed, &counter.to_be_bytes()]));
    }
    mask.truncate(length);
    mask
}

/// The digest of some bytes one after the other.
pub(super) fn hash(digest: Digest, parts: &[&[u8]]) -> Vec<u8> {
    match digest {
        Digest::Sha256 => {
            let mut state = hmac_sha256::Hash::new();
            parts.iter().for_each(|part| state.update(part));
            state.finalize().to_vec()
        }
        Digest::Sha384 => {
            let mut state = hmac_sha512::sha384::Hash::new();
            parts.iter().for_each(|part| state.update(part));
            state.finalize().to_vec()
        }
        Digest::Sha512 => {
            let mut state = hmac_sha512::Hash::new();
            parts.iter().for_each(|part| state.update(part));
            state.finalize().to_vec()
        }
    }
}
