use super::padding::{self, hash, mask};
use super::*;
use jwt_simple::prelude::{RS256PublicKey, RSAPublicKeyLike as _};
use proptest::prelude::*;
use rsa::BigUint;
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use std::sync::OnceLock;
use superboring::hash::MessageDigest;
use superboring::pkey::PKey;
use superboring::rsa::Padding;
use superboring::sign::{RsaPssSaltlen, Verifier};

/// A key pair: ours, the library's, and the private exponent.
struct Pair {
    own: RsaKey,
    library: RS256PublicKey,
    modulus: BigUint,
    private: BigUint,
}

/// Keys of the sizes that are in use, and of two whose last byte is not full.
fn pairs() -> &'static [Pair] {
    static PAIRS: OnceLock<Vec<Pair>> = OnceLock::new();
    PAIRS.get_or_init(|| [2048, 2049, 2055, 3072, 4096].map(pair).into())
}

fn pair(bits: usize) -> Pair {
    let private = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).unwrap();
    let (n, e) = (private.n().to_bytes_be(), private.e().to_bytes_be());
    Pair {
        own: RsaKey::new(&n, &e).unwrap(),
        library: RS256PublicKey::from_components(&n, &e).unwrap(),
        modulus: private.n().clone(),
        private: private.d().clone(),
    }
}

impl Pair {
    /// What opens to this text.
    fn close(&self, text: &[u8]) -> Vec<u8> {
        let number = BigUint::from_bytes_be(text).modpow(&self.private, &self.modulus).to_bytes_be();
        [vec![0; self.own.modulus.len() - number.len()], number].concat()
    }

    fn verify(&self, pss: bool, digest: Digest, message: &[u8], signature: &[u8]) -> bool {
        let own = if pss {
            self.own.verify_pss(digest, message, signature)
        } else {
            self.own.verify_pkcs1(digest, message, signature)
        };
        assert_eq!(own, self.library(pss, digest, message, signature), "{signature:02x?}");
        own
    }

    /// What the library says, which is what jwt-simple verifies with. It has yet to look at the length.
    fn library(&self, pss: bool, digest: Digest, message: &[u8], signature: &[u8]) -> bool {
        let digest = match digest {
            Digest::Sha256 => MessageDigest::sha256(),
            Digest::Sha384 => MessageDigest::sha384(),
            Digest::Sha512 => MessageDigest::sha512(),
        };
        let key = PKey::from_rsa(self.library.public_key().as_ref().clone()).unwrap();
        let mut verifier = Verifier::new(digest, &key).unwrap();
        verifier.set_rsa_padding(if pss { Padding::PKCS1_PSS } else { Padding::PKCS1 }).unwrap();
        verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).unwrap();
        verifier.verify_oneshot(signature, message).unwrap_or(false)
    }

    fn encode(&self, pss: bool, digest: Digest, message: &[u8]) -> Vec<u8> {
        let length = self.own.modulus.len();
        if pss {
            encode_pss(digest, message, bits(&self.own.modulus))
        } else {
            padding::pkcs1(digest, message, length).unwrap()
        }
    }
}

/// EMSA-PSS-ENCODE (RFC 8017, section 9.1.1), as long as a modulus of so many bits.
fn encode_pss(digest: Digest, message: &[u8], bits: usize) -> Vec<u8> {
    let hashed = hash(digest, &[message]);
    let salt = vec![0x5a; hashed.len()];
    let seed = hash(digest, &[&[0; 8], &hashed, &salt]);
    let length = (bits - 1).div_ceil(8);
    let filling = length - 2 * hashed.len() - 2;
    let mut block = [vec![0; filling], vec![1], salt].concat();
    let mask = mask(digest, &seed, block.len());
    block.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    block[0] &= 0xff >> (8 * length - (bits - 1));
    [vec![0; bits.div_ceil(8) - length], block, seed, vec![0xbc]].concat()
}

const DIGESTS: [Digest; 3] = [Digest::Sha256, Digest::Sha384, Digest::Sha512];

#[test]
fn good_signatures_are_good_and_for_one_message_padding_and_digest() {
    for pair in pairs() {
        for (pss, digest) in [false, true].into_iter().flat_map(|pss| DIGESTS.map(|digest| (pss, digest))) {
            let signature = pair.close(&pair.encode(pss, digest, b"a message"));
            assert!(pair.verify(pss, digest, b"a message", &signature));
            assert!(!pair.verify(pss, digest, b"a massage", &signature));
            assert!(!pair.verify(!pss, digest, b"a message", &signature));
            for other in DIGESTS.into_iter().filter(|other| *other != digest) {
                assert!(!pair.verify(pss, other, b"a message", &signature));
            }
        }
    }
}

#[test]
fn numbers_out_of_range_are_no_signatures() {
    for pair in pairs() {
        let length = pair.own.modulus.len();
        let good = pair.close(&pair.encode(false, Digest::Sha256, b"a message"));
        let number = |number: BigUint| {
            let bytes = number.to_bytes_be();
            [vec![0; length.saturating_sub(bytes.len())], bytes].concat()
        };
        let one = BigUint::from(1u8);
        let bad = [
            vec![0; length],
            number(one.clone()),
            number(&pair.modulus - &one),
            // The modulus opens to zero, the number after it to one, and s + n to what s does.
            number(pair.modulus.clone()),
            number(&pair.modulus + &one),
            number(&pair.modulus + BigUint::from_bytes_be(&good)),
            vec![0xff; length],
            good[1..].to_vec(),
            [&[0], &good[..]].concat(),
            [&good[..], &[0]].concat(),
            vec![],
        ];
        for bad in bad {
            for pss in [false, true] {
                assert!(!pair.own.verify_pkcs1(Digest::Sha256, b"a message", &bad));
                assert!(!pair.own.verify_pss(Digest::Sha256, b"a message", &bad));
                // The library is told the same after a look at length and range.
                if pair.own.in_range(&bad) {
                    assert!(!pair.verify(pss, Digest::Sha256, b"a message", &bad));
                }
            }
        }
    }
}

#[test]
fn what_opens_to_almost_the_padding_is_refused() {
    let pair = &pairs()[0];
    let digest = Digest::Sha256;
    let good = pair.encode(false, digest, b"a message");
    let info = good.len() - 51;
    let alter = |at: usize, byte: u8| {
        let mut text = good.clone();
        text[at] = byte;
        text
    };
    let texts = [
        alter(1, 2),
        alter(2, 0),
        alter(9, 0),
        alter(info - 1, 0xff),
        // Parameters that are no NULL, or lengths that are a little longer: what lenient parsers let pass.
        alter(info + 15, 0x04),
        alter(info + 1, 0x32),
        alter(info + 16, 1),
        // Bleichenbacher's: the digest is moved to the front, and anything follows.
        [&[0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0], &good[info..], &[0xab; 194]].concat(),
        // Without the NULL, which some signers left out (RFC 8017, appendix B.1, has it).
        [
            &[0, 1][..],
            &[0xff; 204],
            &[0, 0x30, 0x2f, 0x30, 0x0b],
            &good[info + 4..info + 15],
            &good[info + 17..],
        ]
        .concat(),
    ];
    for text in texts {
        assert_eq!(text.len(), good.len());
        assert!(!pair.verify(false, digest, b"a message", &pair.close(&text)), "{text:02x?}");
    }
    assert!(pair.verify(false, digest, b"a message", &pair.close(&good)));
}

#[test]
fn pss_with_another_salt_or_trailer_is_refused() {
    let (pair, digest) = (&pairs()[0], Digest::Sha256);
    let hashed = hash(digest, &[b"a message"]);
    for salt in [0, 20, 31, 32, 33, 64] {
        let seed = hash(digest, &[&[0; 8], &hashed, &vec![7; salt]]);
        for trailer in [0xbc, 0xcc] {
            let mut block = [vec![0; 256 - 32 - 2 - salt], vec![1], vec![7; salt]].concat();
            let mask = mask(digest, &seed, block.len());
            block.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
            block[0] &= 0x7f;
            let signature = pair.close(&[block, seed.clone(), vec![trailer]].concat());
            let good = salt == 32 && trailer == 0xbc;
            assert_eq!(pair.own.verify_pss(digest, b"a message", &signature), good, "{salt} {trailer:x}");
            // The library takes any trailer of RFC 8017 and no other, and salts of the digest's length.
            assert_eq!(pair.library(true, digest, b"a message", &signature), good, "{salt} {trailer:x}");
        }
    }
}

#[test]
fn each_bit_of_an_encoding_counts() {
    for bits in [2048, 2049, 2050, 2055, 2056] {
        for digest in DIGESTS {
            let good = encode_pss(digest, b"a message", bits);
            assert!(padding::is_pss(digest, b"a message", &good, bits), "{bits} {digest:?}");
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(!padding::is_pss(digest, b"a message", &bad, bits), "{bits} {digest:?} {bit}");
            }
        }
    }
}

#[test]
fn short_texts_do_not_panic() {
    for length in 0..140 {
        for digest in DIGESTS {
            assert!(!padding::is_pss(digest, b"", &vec![0xbc; length], (length * 8).max(1)));
            assert_eq!(padding::pkcs1(digest, b"", length).is_some(), length >= 30 + hash(digest, &[]).len());
        }
    }
}

#[test]
fn keys_are_written_for_the_host_as_the_library_writes_them() {
    for pair in pairs() {
        assert_eq!(pair.own.spki, pair.library.to_der().unwrap());
    }
}

#[test]
fn keys_are_judged_as_the_library_judges_them() {
    let good = &pairs()[0].own.modulus;
    let sized = |bits: usize| {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] >>= modulus.len() * 8 - bits;
        modulus
    };
    let mut even = good.clone();
    *even.last_mut().unwrap() &= 0xfe;
    let exponents: [&[u8]; 7] = [&[1, 0, 1], &[3], &[1], &[17], &[1, 0, 0], &[1, 0, 3], &[1, 0, 0, 1]];
    for modulus in [
        good.clone(),
        even,
        sized(1024),
        sized(2047),
        sized(2048),
        sized(2049),
        sized(4096),
        sized(4097),
        vec![3],
    ] {
        for exponent in exponents {
            let library = RS256PublicKey::from_components(&modulus, exponent);
            assert_eq!(
                RsaKey::new(&modulus, exponent).is_ok(),
                library.is_ok(),
                "{} {exponent:?}",
                bits(&modulus)
            );
        }
    }
    assert!(RsaKey::new(&[], &[1, 0, 1]).is_err());
    assert!(RsaKey::new(good, &[]).is_err());
    assert!(RsaKey::new(&[&[0], &good[..]].concat(), &[1, 0, 1]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn any_text_gets_the_librarys_answer(
        which in 0usize..5, pss: bool, digest in prop::sample::select(&DIGESTS[..]),
        message in prop::collection::vec(any::<u8>(), 0..100), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let pair = &pairs()[which];
        let mut text = pair.encode(pss, digest, &message);
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let good = text == pair.encode(pss, digest, &message);
        // A text above the modulus closes to the signature of its remainder.
        prop_assert_eq!(pair.verify(pss, digest, &message, &pair.close(&text)), good);
    }

    #[test]
    fn any_signature_gets_the_librarys_answer(which in 0usize..5, pss: bool, signature in prop::collection::vec(any::<u8>(), 256..=257)) {
        let pair = &pairs()[which];
        if pair.own.in_range(&signature) {
            prop_assert!(!pair.verify(pss, Digest::Sha256, b"a message", &signature));
        }
    }
}
