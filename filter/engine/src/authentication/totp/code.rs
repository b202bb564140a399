//! One-time codes: HOTP (RFC 4226) over a counter, TOTP (RFC 6238) over the time.

use hmac_sha1_compact::HMAC as HmacSha1;
use serde::Deserialize;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use superboring::reexports::hmac_sha256::HMAC as HmacSha256;

use crate::host::Now;

/// How long a code is shown. RFC 6238, section 5.2, recommends it, and authenticator apps know no other.
pub const STEP_S: u64 = 30;

/// How many steps before and after the present one are looked at (RFC 6238, sections 5.2 and 6): for a clock that is
/// off, and for a code that was typed as it changed.
const SKEW_STEPS: u64 = 1;

/// The hash beneath the codes of a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    /// SHA-1, which every authenticator app knows. Collisions do not matter to an HMAC.
    #[default]
    #[serde(rename = "SHA1")]
    Sha1,
    /// SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
    /// SHA-512.
    #[serde(rename = "SHA512")]
    Sha512,
}

impl Algorithm {
    /// The name, as `otpauth` URIs and tables of users have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// How long a secret should be: as long as the hash (RFC 4226, section 4, R6; RFC 6238, section 5.1).
    #[must_use]
    pub const fn secret_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn mac(self, secret: &[u8], message: &[u8], into: &mut [u8; 64]) -> usize {
        let mut put = |mac: &[u8]| {
            into.iter_mut().zip(mac).for_each(|(to, from)| *to = *from);
            mac.len()
        };
        match self {
            Self::Sha1 => put(&HmacSha1::mac(message, secret)),
            Self::Sha256 => put(&HmacSha256::mac(message, secret)),
            Self::Sha512 => put(&hmac_sha512::HMAC::mac(message, secret)),
        }
    }
}

/// The time step of a moment (RFC 6238, section 4.2, with T0 = 0).
#[must_use]
pub const fn step(now: Now) -> u64 {
    now.secs() / STEP_S
}

/// The code of a counter (RFC 4226, section 5.3, with the dynamic truncation of any hash as RFC 6238 has it).
/// With `digits` beyond 9 the number has no more of them.
#[must_use]
pub fn hotp(algorithm: Algorithm, secret: &[u8], counter: u64, digits: u32) -> u32 {
    let mut mac = [0; 64];
    let length = algorithm.mac(secret, &counter.to_be_bytes(), &mut mac);
    let mac = mac.get(..length).unwrap_or_default();
    // The last byte says where: with at least twenty bytes, fifteen and four are always within.
    let offset = usize::from(mac.last().copied().unwrap_or_default() & 0xf);
    let word = mac.get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    (u32::from_be_bytes(word) & 0x7fff_ffff) % 10_u32.checked_pow(digits).unwrap_or(u32::MAX)
}

/// The code of a time step as it is typed.
#[must_use]
pub fn text(algorithm: Algorithm, secret: &[u8], step: u64, digits: u32) -> String {
    format!("{:0width$}", hotp(algorithm, secret, step, digits), width = digits as usize)
}

/// The number that a code is: exactly so many ASCII digits. Nothing is trimmed, for a header is not typed.
pub(super) fn read(code: &[u8], digits: u32) -> Option<u32> {
    if code.len() != digits as usize || !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    code.iter().try_fold(0_u32, |number, digit| {
        number.checked_mul(10)?.checked_add(u32::from(digit.wrapping_sub(b'0')))
    })
}

/// The latest step around this moment that has this code. All steps are computed and compared, and without a branch on
/// what is compared, so that the time it takes says nothing about the code.
pub(super) fn find(algorithm: Algorithm, secret: &[u8], digits: u32, code: u32, now: Now) -> Option<u64> {
    let present = step(now);
    let (mut found, mut at) = (Choice::from(0), 0_u64);
    for step in present.saturating_sub(SKEW_STEPS)..=present.saturating_add(SKEW_STEPS) {
        let same = hotp(algorithm, secret, step, digits).ct_eq(&code);
        at = u64::conditional_select(&at, &step, same);
        found |= same;
    }
    bool::from(found).then_some(at)
}

/// Decodes Base32 (RFC 4648, section 6) as people write secrets: in either case, with spaces, with or without padding.
#[must_use]
pub fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0_u32);
    let text: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')).collect();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    for byte in text.iter().take(text.len().saturating_sub(padding)) {
        let value = match byte.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter.wrapping_sub(b'A'),
            digit @ b'2'..=b'7' => digit.wrapping_sub(b'2').wrapping_add(26),
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        count = count.wrapping_add(5);
        if count >= 8 {
            count = count.wrapping_sub(8);
            bytes.push((bits >> count & 0xff) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // What is left over of the last character is zero, and less than a character: or it is cut off.
    (padding <= 6 && count < 5 && bits == 0).then_some(bytes)
}

/// Encodes Base32 without padding.
#[must_use]
pub fn to_base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0_u32);
    let mut put = |value: u32| {
        text.push(char::from(ALPHABET.get((value & 31) as usize).copied().unwrap_or(b'A')));
    };
    for byte in bytes {
        bits = (bits << 8 | u32::from(*byte)) & 0xffff;
        count = count.wrapping_add(8);
        while count >= 5 {
            count = count.wrapping_sub(5);
            put(bits >> count);
        }
    }
    if count > 0 {
        put(bits << (5_u32.wrapping_sub(count)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4226, appendix D.
    #[test]
    fn the_vectors_of_hotp() {
        let expected =
            [755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871, 520_489];
        for (counter, code) in expected.into_iter().enumerate() {
            assert_eq!(hotp(Algorithm::Sha1, b"12345678901234567890", counter as u64, 6), code, "{counter}");
        }
    }

    /// RFC 6238, appendix B; the secrets are those of its reference implementation in appendix A, for the table has
    /// them too short (erratum 2866).
    #[test]
    fn the_vectors_of_totp() {
        let digits = |count: usize| "1234567890".repeat(7).as_bytes()[..count].to_vec();
        let (one, two, five) = (digits(20), digits(32), digits(64));
        for (time, sha1, sha256, sha512) in [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ] {
            // Nanoseconds in 64 bits end in the year 2554, before the last of the times.
            let step = if time > 18_000_000_000 { time / STEP_S } else { step(Now::from_secs(time)) };
            for (algorithm, secret, code) in [
                (Algorithm::Sha1, &one, sha1),
                (Algorithm::Sha256, &two, sha256),
                (Algorithm::Sha512, &five, sha512),
            ] {
                assert_eq!(text(algorithm, secret, step, 8), code, "{time} {}", algorithm.name());
            }
        }
    }

    #[test]
    fn a_code_is_exactly_so_many_digits() {
        assert_eq!(read(b"012345", 6), Some(12_345));
        assert_eq!(read(b"99999999", 8), Some(99_999_999));
        for bad in [
            &b""[..],
            b"12345",
            b"1234567",
            b"12345 ",
            b" 12345",
            b"+12345",
            b"-12345",
            b"12345x",
            "１２".as_bytes(),
        ] {
            assert_eq!(read(bad, 6), None, "{bad:?}");
        }
    }

    #[test]
    fn a_step_before_and_a_step_after_are_good() {
        let (secret, now) = (b"12345678901234567890", Now::from_secs(3000));
        for (away, found) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let step = step(now).checked_add_signed(away).unwrap();
            let code = hotp(Algorithm::Sha1, secret, step, 6);
            assert_eq!(find(Algorithm::Sha1, secret, 6, code, now), found.then_some(step), "{away}");
        }
        // At the beginning of time there is no step before.
        let first = hotp(Algorithm::Sha1, secret, 0, 6);
        assert_eq!(find(Algorithm::Sha1, secret, 6, first, Now::from_secs(0)), Some(0));
    }

    /// RFC 4648, section 10.
    #[test]
    fn the_vectors_of_base32() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "MY======"),
            ("fo", "MZXQ===="),
            ("foo", "MZXW6==="),
            ("foob", "MZXW6YQ="),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI======"),
        ] {
            assert_eq!(base32(encoded).unwrap(), plain.as_bytes(), "{encoded}");
            assert_eq!(to_base32(plain.as_bytes()), encoded.trim_end_matches('='));
        }
        assert_eq!(base32("gezd gnbv").unwrap(), b"12345");
        for bad in ["M", "MZX", "MZXW6Y", "M1", "M0", "MZ", "MY======="] {
            assert_eq!(base32(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn base32_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(base32(&to_base32(&bytes)), Some(bytes));
        }

        #[test]
        fn what_is_found_has_the_code(code in 0u32..1_000_000, secs in 0u64..4_000_000_000) {
            let (secret, now) = (b"12345678901234567890", Now::from_secs(secs));
            if let Some(step) = find(Algorithm::Sha1, secret, 6, code, now) {
                prop_assert_eq!(hotp(Algorithm::Sha1, secret, step, 6), code);
            }
        }
    }
}
