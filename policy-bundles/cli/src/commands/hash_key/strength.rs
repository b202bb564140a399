//! How hard a key is to guess, as far as one can see it.
//!
//! Nobody can tell a random text from one that was thought of. What is seen: which characters there are, and what repeats
//! or counts. A random key is taken but for one in many thousands; a phrase is counted as what English has.

use std::collections::BTreeSet;

use super::MAX_KEY_BYTES;

/// The least that a key may have: what nobody ever tries out.
const MIN_BITS: u32 = 128;

/// A repetition or a row of this length is no chance.
const PATTERN: usize = 6;

/// The key as text and its estimated bits, or why it is none to take.
pub(super) fn judge(key: &[u8]) -> Result<(String, u32), String> {
    if key.is_empty() {
        return Err(
            "there is no key on standard input; pipe one in, or have one made without --stdin".to_owned()
        );
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(format!("the key is longer than {MAX_KEY_BYTES} bytes; it has to fit into a header"));
    }
    if !key.iter().all(u8::is_ascii_graphic) {
        return Err(
            "the key has other characters than letters, digits and signs of ASCII; it has to pass a header \
                    unchanged, so encode it: base64url or hexadecimal"
                .to_owned(),
        );
    }
    let bits = bits(key);
    if bits < MIN_BITS {
        return Err(format!(
            "the key may have about {bits} random bits, at least {MIN_BITS} are needed; have one made: bartizan hash-key"
        ));
    }
    Ok((String::from_utf8_lossy(key).into_owned(), bits))
}

/// An estimate that is rather too low.
fn bits(key: &[u8]) -> u32 {
    let plain: Vec<u8> = key.iter().copied().filter(|b| *b != b'-').collect();
    if plain.iter().all(u8::is_ascii_hexdigit) {
        let is_uuid = key.len() == 36 && plain.len() == 32;
        // Of a random UUID six bits are fixed (RFC 9562, section 5.4).
        return (count(symbols(&plain)) * 4).saturating_sub(if is_uuid { 6 } else { 0 });
    }
    let number = |of: fn(&u8) -> bool| key.iter().filter(|b| of(b)).count();
    let (lower, upper) = (number(u8::is_ascii_lowercase), number(u8::is_ascii_uppercase));
    let digits = number(u8::is_ascii_digit);
    let kinds: BTreeSet<&u8> = key.iter().filter(|b| b.is_ascii_punctuation()).collect();
    // Letters alone are words, unless there are many capitals between them: words are guessed, and have about two bits a letter.
    let is_phrase = digits == 0 && kinds.len() < 5 && (lower == 0 || upper * 5 < lower + upper);
    let tenths = if is_phrase {
        20
    } else {
        let letters = 26 * usize::from(lower > 0) + 26 * usize::from(upper > 0);
        // Tenths of bits for each character.
        match letters + 10 * usize::from(digits > 0) + kinds.len().min(2) {
            0..16 => 30,
            16..32 => 40,
            32..48 => 50,
            _ => 59,
        }
    };
    count(symbols(key)) * tenths / 10
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX / 100)
}

/// The number of characters, where what was there before, and what counts up or down or stays, counts little.
fn symbols(key: &[u8]) -> usize {
    let mut found = 0;
    let mut at = 0;
    while at < key.len() {
        let (before, rest) = key.split_at_checked(at).unwrap_or((key, &[]));
        let again = (0..before.len()).map(|from| common(key.get(from..).unwrap_or_default(), rest)).max();
        let again = again.unwrap_or(0);
        let row = row(rest);
        let length = again.max(row);
        if length >= PATTERN {
            found += 2;
            at += length;
        } else {
            found += 1;
            at += 1;
        }
    }
    found
}

/// How far two texts are the same.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// How long a text counts up, counts down, or stays where it is.
fn row(text: &[u8]) -> usize {
    let step = |pair: &[u8]| match pair {
        [a, b] => i16::from(*b) - i16::from(*a),
        _ => i16::MAX,
    };
    let mut pairs = text.windows(2).map(step).peekable();
    let Some(first) = pairs.peek().copied().filter(|step| (-1..=1).contains(step)) else { return 0 };
    pairs.take_while(|step| *step == first).count() + 1
}

#[cfg(test)]
mod tests {
    use bartizan_engine::envelope::key::{hex, sha256};
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn random_keys_are_taken() {
        for n in 0_u32..2000 {
            let random = sha256(&n.to_be_bytes());
            let half = &random[..16];
            for key in [
                hex(half),
                URL_SAFE_NO_PAD.encode(half),
                STANDARD.encode(random),
                hex(&random).to_uppercase(),
            ] {
                assert!(judge(key.as_bytes()).is_ok(), "{key}: {:?}", judge(key.as_bytes()));
            }
        }
    }

    #[test]
    fn what_can_be_guessed_is_refused() {
        for key in [
            "hunter2",
            "correct-horse-battery-staple",
            "thequickbrownfoxjumpsoverthelazydog",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "0123456789abcdef0123456789abcdef",
            "00000000000000000000000000000000000000000001",
            "Passw0rdPassw0rdPassw0rdPassw0rdPassw0rd",
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
            "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "f47ac10b58cc4372a5670e02b2c3d47",
            "123456789012345678901234567890",
        ] {
            let refused = judge(key.as_bytes()).expect_err(key);
            assert!(refused.contains("random bits") && !refused.contains(key), "{refused}");
        }
    }

    #[test]
    fn what_does_not_pass_a_header_is_refused() {
        let key = hex(&sha256(b"a"));
        for bad in
            [String::new(), format!("{key} "), format!("{key}\n{key}"), format!("{key}é"), key.repeat(17)]
        {
            assert!(judge(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(judge(key.as_bytes()), Ok((key.clone(), 256)));
    }
}
