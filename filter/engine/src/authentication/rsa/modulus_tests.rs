use super::*;
use proptest::prelude::*;
use rsa::BigUint;

fn power(modulus: &[u8], base: &[u8]) -> Vec<u8> {
    Modulus::new(modulus).unwrap().power_65537(base)
}

/// What the library of the crate `rsa` says.
fn expected(modulus: &[u8], base: &[u8]) -> Vec<u8> {
    let number = BigUint::from_bytes_be;
    let power = number(base).modpow(&number(&[1, 0, 1]), &number(modulus)).to_bytes_be();
    [vec![0; base.len() - power.len().min(base.len())], power].concat()
}

/// An odd modulus, and a number below it of the same length.
fn pair(size: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    // Bytes of only ones and only zeros are where carries go wrong.
    let byte = prop_oneof![3 => any::<u8>(), 1 => Just(0), 1 => Just(0xff)];
    (prop::collection::vec(byte.clone(), size), 0u8..3, prop::collection::vec(byte, MAX_BYTES)).prop_map(
        |(mut modulus, small, other)| {
            if let Some(first) = modulus.first_mut() {
                *first = (*first).max(1);
            }
            if let Some(last) = modulus.last_mut() {
                *last |= 1;
            }
            if modulus == [1] {
                modulus = vec![3];
            }
            let number = BigUint::from_bytes_be(&other) % BigUint::from_bytes_be(&modulus);
            let number = match small {
                // Close to the modulus, and close to zero.
                0 => BigUint::from_bytes_be(&modulus) - 1u8,
                1 => BigUint::from(u64::from(other[0])) % BigUint::from_bytes_be(&modulus),
                _ => number,
            };
            let number = number.to_bytes_be();
            let base = [vec![0; modulus.len() - number.len()], number].concat();
            (modulus, base)
        },
    )
}

#[test]
fn small_numbers_by_hand() {
    // 65537 = 16 * 4096 + 1, and the group modulo 17 has 16 elements: each number to that power is itself.
    for base in 0..17 {
        assert_eq!(power(&[17], &[base]), [base]);
    }
    assert_eq!(power(&[1, 1], &[0, 3]), [0, 3]);
}

#[test]
fn what_is_no_modulus_is_refused() {
    for bad in
        [vec![], vec![0], vec![1], vec![2], vec![0, 3], vec![0xff; 511].into_iter().chain([0xfe]).collect()]
    {
        assert!(Modulus::new(&bad).is_none(), "{bad:?}");
    }
    assert!(Modulus::new(&[0xff; MAX_BYTES]).is_some());
    assert!(Modulus::new(&[0xff; MAX_BYTES + 1]).is_none());
}

#[test]
fn columns_hold_the_largest_sums() {
    // Tests are compiled with overflow checks, so a sum that does not fit would panic.
    for bytes in [1, 3, 4, 256, 257, 384, MAX_BYTES] {
        let modulus = vec![0xff; bytes];
        let mut base = modulus.clone();
        *base.last_mut().unwrap() = 0xfe;
        // One less than the modulus is minus one, and stays so to any odd power.
        assert_eq!(power(&modulus, &base), base);
        let modulus = [vec![1], vec![0; bytes], vec![1]].concat();
        if modulus.len() <= MAX_BYTES {
            let base = [vec![1], vec![0; bytes + 1]].concat();
            assert_eq!(power(&modulus, &base), base);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn short_moduli_agree_with_the_library((modulus, base) in pair(1usize..40)) {
        prop_assert_eq!(power(&modulus, &base), expected(&modulus, &base));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn long_moduli_agree_with_the_library(
        (modulus, base) in prop_oneof![pair(256usize), pair(257usize), pair(384usize), pair(256usize..=512), pair(512usize)],
    ) {
        prop_assert_eq!(power(&modulus, &base), expected(&modulus, &base));
    }
}
