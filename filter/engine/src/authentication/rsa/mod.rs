//! RSA signatures of tokens: PKCS#1 v1.5 and PSS (RFC 8017, sections 8.2.2 and 8.1.2), to be checked only.
//!
//! Both paddings are checked by building what must be there and comparing all of it. Nothing is parsed, so
//! nothing can be parsed too kindly: forgeries against small exponents (Bleichenbacher, 2006) live from
//! checks that skip a part.

mod modulus;
mod padding;

use self::modulus::Modulus;
use super::roca;
use crate::host::Digest;

/// A public key.
pub(super) struct RsaKey {
    modulus: Vec<u8>,
    arithmetic: Modulus,
    /// The key as `SubjectPublicKeyInfo` (RFC 3279, section 2.3.1), for the host.
    pub(super) spki: Vec<u8>,
}

/// The exponent that everybody uses, and the only one here: small ones have a history of forgeries, and large
/// ones buy nothing but time.
const EXPONENT: [u8; 3] = [1, 0, 1];

impl RsaKey {
    /// A key from its big-endian modulus and exponent, without leading zeros.
    pub(super) fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, String> {
        let weak =
            || "not an RSA modulus of 2048 to 4096 bits with the exponent 65537; use such a key".to_owned();
        if !(2048..=4096).contains(&bits(modulus)) || exponent != EXPONENT {
            return Err(weak());
        }
        // Refuses even ones: no product of two odd primes.
        let arithmetic = Modulus::new(modulus).ok_or_else(weak)?;
        if roca::is_vulnerable(modulus) {
            return Err("made by a broken generator (CVE-2017-15361), can be factored; replace it".into());
        }
        Ok(Self { spki: spki(modulus, exponent), modulus: modulus.to_vec(), arithmetic })
    }

    /// RFC 8017, sections 5.2.2 and 8.2.2: exactly as long as the modulus, and smaller than it.
    pub(super) fn in_range(&self, signature: &[u8]) -> bool {
        signature.len() == self.modulus.len() && signature < self.modulus.as_slice()
    }

    /// Whether this is the key's PKCS#1 v1.5 signature over the message.
    pub(super) fn verify_pkcs1(&self, digest: Digest, message: &[u8], signature: &[u8]) -> bool {
        self.in_range(signature)
            && padding::pkcs1(digest, message, signature.len())
                .is_some_and(|expected| self.arithmetic.power_65537(signature) == expected)
    }

    /// Whether this is one of the key's PSS signatures over the message, with a salt as long as the digest.
    pub(super) fn verify_pss(&self, digest: Digest, message: &[u8], signature: &[u8]) -> bool {
        self.in_range(signature)
            && padding::is_pss(digest, message, &self.arithmetic.power_65537(signature), bits(&self.modulus))
    }
}

/// How many bits a big-endian number without leading zeros has.
fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

/// DER of `SEQUENCE { SEQUENCE { rsaEncryption, NULL }, BIT STRING { SEQUENCE { modulus, exponent } } }`.
fn spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    const RSA_ENCRYPTION: [u8; 15] =
        [0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0];
    let integer = |number: &[u8]| {
        // A first bit that is set would make it negative.
        let sign: &[u8] = if number.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
        der(0x02, &[sign, number])
    };
    let key = der(0x30, &[&integer(modulus), &integer(exponent)]);
    der(0x30, &[&RSA_ENCRYPTION, &der(0x03, &[&[0], &key])])
}

/// One DER value, of less than 64 KiB.
fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let length: usize = contents.iter().map(|part| part.len()).sum();
    let [.., high, low] = length.to_be_bytes();
    let length: &[u8] = match length {
        0..0x80 => &[low],
        0x80..0x100 => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, &contents.concat()].concat()
}

#[cfg(test)]
mod tests;
