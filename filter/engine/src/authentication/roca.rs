//! Recognises RSA moduli made by the broken generator of CVE-2017-15361 ("ROCA").
//!
//! Its primes have the form `k * M + (65537^a mod M)` with `M` a product of small primes, so the modulus is
//! a power of 65537 modulo each of those primes. A random modulus is one modulo all of them with a chance
//! of less than one in 10^8; such keys of 2048 bits can be factored, so a token they signed proves nothing.

/// Odd primes whose product divides `M` for every key size; those of which 65537 generates the whole
/// group tell nothing and are harmless.
const PRIMES: [u16; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether a big-endian modulus has the fingerprint.
pub(super) fn is_vulnerable(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|&prime| {
        let prime = u32::from(prime);
        let residue = modulus.iter().fold(0u32, |rest, &byte| ((rest << 8) | u32::from(byte)) % prime);
        is_power_of_65537(residue, prime)
    })
}

fn is_power_of_65537(residue: u32, prime: u32) -> bool {
    let generator = 65_537 % prime;
    let mut power = 1;
    // The group has at most `prime - 1` elements.
    for _ in 0..prime {
        if power == residue {
            return true;
        }
        power = power * generator % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_the_generator_have_the_fingerprint() {
        assert!(is_vulnerable(&[1]));
        assert!(is_vulnerable(&[1, 0, 1]));
        // 65537^4, big-endian.
        assert!(is_vulnerable(&[1, 0, 4, 0, 6, 0, 4, 0, 1]));
        assert!(!is_vulnerable(&[1, 0, 4, 0, 6, 0, 4, 0, 2]));
        assert!(!is_vulnerable(&[0]));
    }

    #[test]
    fn chance_alone_does_not_reach_it() {
        // A splitmix sequence stands for random moduli.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let modulus: Vec<u8> = (0..4)
                .flat_map(|_| {
                    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                    (z ^ (z >> 31)).to_be_bytes()
                })
                .collect();
            assert!(!is_vulnerable(&modulus));
        }
    }
}
