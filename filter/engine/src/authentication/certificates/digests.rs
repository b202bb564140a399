//! Fingerprints: SHA-256 digests of certificates, in a sorted table.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// SHA-256 of a certificate in DER.
pub type Fingerprint = [u8; 32];

/// The most entries of one table.
pub const MAX_FINGERPRINTS: usize = 100_000;

/// A fingerprint as people write it: 64 hexadecimal digits in either case, with or without colons between the bytes.
#[must_use]
pub fn read(text: &str) -> Option<Fingerprint> {
    let mut bytes = Fingerprint::default();
    let colons = text.len() == 95;
    if !colons && text.len() != 64 {
        return None;
    }
    let mut rest = text.as_bytes();
    for (index, byte) in bytes.iter_mut().enumerate() {
        if colons && index > 0 {
            rest = rest.strip_prefix(b":")?;
        }
        let (pair, tail) = rest.split_first_chunk::<2>()?;
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let [high, low] = *pair;
        *byte = digit(high)? << 4 | digit(low)?;
        rest = tail;
    }
    Some(bytes)
}

/// The one spelling in which it is shown: lower-case digits.
#[must_use]
pub fn shown(fingerprint: &Fingerprint) -> String {
    fingerprint
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|d| char::from_digit(d.into(), 16))
        .collect()
}

/// A table of fingerprints, looked up by binary search.
#[derive(Debug, Default)]
pub(super) struct Digests {
    sorted: Vec<Fingerprint>,
}

impl Digests {
    /// Reads a table from the plan: base64 of the digests one after another, in ascending order, each once.
    pub(super) fn load(blob: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(blob).map_err(|_| "not base64; build the bundle anew".to_owned())?;
        let (sorted, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() {
            return Err("not whole digests; build the bundle anew".to_owned());
        }
        if sorted.len() > MAX_FINGERPRINTS {
            return Err(format!("{} fingerprints; the most is {MAX_FINGERPRINTS}", sorted.len()));
        }
        if sorted.iter().zip(sorted.iter().skip(1)).any(|(a, b)| a >= b) {
            return Err("not in ascending order; build the bundle anew".to_owned());
        }
        Ok(Self { sorted: sorted.to_vec() })
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The index of a fingerprint in the table.
    pub(super) fn find(&self, fingerprint: &Fingerprint) -> Option<usize> {
        self.sorted.binary_search(fingerprint).ok()
    }
}

/// The form of a table in the plan. The digests are sorted and must differ.
#[must_use]
pub fn blob(sorted: &[Fingerprint]) -> String {
    STANDARD.encode(sorted.as_flattened())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let plain = "00ff".repeat(16);
        let colons: Vec<&str> = (0..32).map(|i| if i % 2 == 0 { "00" } else { "FF" }).collect();
        assert_eq!(read(&plain), read(&colons.join(":")));
        assert_eq!(read(&plain).map(|f| shown(&f)), Some(plain.clone()));
        for bad in [
            "",
            "00",
            &plain.replace('f', "g"),
            &format!("{plain}00"),
            &colons.join("-"),
            &plain.replacen('0', "+", 1),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn tables() {
        let table = [[1u8; 32], [2; 32], [9; 32]];
        let digests = Digests::load(&blob(&table)).unwrap();
        assert_eq!((digests.find(&[2; 32]), digests.find(&[3; 32]), digests.len()), (Some(1), None, 3));
        for bad in [blob(&[[2; 32], [1; 32]]), blob(&[[1; 32], [1; 32]]), "AAAA".into(), "?".into()] {
            assert!(Digests::load(&bad).is_err(), "{bad}");
        }
        assert!(Digests::load("").unwrap().find(&[0; 32]).is_none());
    }
}
