//! What stands for credentials in files: digests of keys, and the names of those who bear them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{Problem, checked_text, refuse_unless, text_type};

checked_text! {
    /// The digest of an API key, as `bartizan hash-key` prints it: `sha256:` or `hmac-sha256:` and 64 hexadecimal digits.
    KeyHash, "bartizan-key-hash", "^(hmac-)?sha256:[0-9a-f]{64}$", ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"], |text| {
        let digits = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("hmac-sha256:"));
        let good = |digits: &str| digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        refuse_unless(digits.is_some_and(good), || Problem::new(
            // What stands here may be the key itself: never repeat it.
            "this is not the hash of a key",
            "write `sha256:` or `hmac-sha256:` and 64 lower-case hexadecimal digits, as `bartizan hash-key --stdin` prints them; the key itself never stands in a bundle: take it out, and treat it as leaked",
        ))
    }
}

impl KeyHash {
    /// Whether it was made with a pepper.
    #[must_use]
    pub fn is_peppered(&self) -> bool {
        self.0.starts_with("hmac-")
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let digits = self.0.rsplit(':').next().unwrap_or_default().as_bytes();
        let value = |digit: u8| {
            if digit.is_ascii_digit() { digit - b'0' } else { digit.wrapping_sub(b'a').wrapping_add(10) }
        };
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.as_chunks::<2>().0) {
            let [high, low] = pair.map(value);
            *byte = high << 4 | low;
        }
        digest
    }
}

checked_text! {
    /// Who somebody is, as the policy calls it: 1 to 256 bytes without control characters.
    Subject, "bartizan-subject", r"^[^\x00-\x1f\x7f]{1,256}$", ["device-7", "alice@example.com"], |text| {
        named(text, 256, "a subject")
    }
}

checked_text! {
    /// What a token calls itself, its session or its subject: 1 to 512 bytes without control characters.
    ListedName, "bartizan-listed-name", r"^[^\x00-\x1f\x7f]{1,512}$", ["8a7c2f90-1d3e-4b56-9a01-5f2e7c8d9b10"], |text| {
        named(text, 512, "what a token can be called")
    }
}

fn named(text: &str, most: usize, what: &str) -> Result<(), Problem> {
    let good = (1..=most).contains(&text.len()) && !text.chars().any(char::is_control);
    refuse_unless(good, || {
        Problem::new(
            format!("{text:?} is not {what}"),
            format!(
                "use 1 to {most} bytes without control characters, exactly as the token or the file has it"
            ),
        )
    })
}
