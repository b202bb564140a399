//! What of a certificate (RFC 5280) says who somebody is, and until when.
//!
//! Envoy's properties show the first URI and the first DNS name only, and no dates. So the certificate itself
//! is read, once for each that is new: it says how many names there are (a SPIFFE certificate has exactly one
//! URI, X509-SVID, section 2) and when it ends, which nobody looks at again while a connection lasts. That it
//! was issued by somebody who is trusted is for Envoy to find out; nothing here checks a signature.
//!
//! The reader takes DER and nothing else (X.690, section 10): lengths in their shortest form, tags of one byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::intake::percent::triplet;

/// The most bytes of a certificate.
const MAX_DER: usize = 16 * 1024;
/// The most names of one kind: each rule looks at each.
pub(super) const MAX_NAMES: usize = 100;

/// What a certificate says. Times are in seconds since 1970, and never before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    pub(super) uris: Vec<String>,
    pub(super) dns: Vec<String>,
    /// Whether it may issue others: then it is nobody's own.
    pub(super) authority: bool,
}

/// The DER of a certificate in PEM (RFC 7468) with percent-encoding, as Envoy gives it.
pub(super) fn der(url_encoded_pem: &[u8]) -> Option<Vec<u8>> {
    if url_encoded_pem.len() > 3 * MAX_DER {
        return None;
    }
    let mut pem = Vec::with_capacity(url_encoded_pem.len());
    let mut rest = url_encoded_pem;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            pem.push(triplet(tail)?);
            rest = tail.get(2..)?;
        } else {
            pem.push(byte);
        }
    }
    let body = pem.trim_ascii().strip_prefix(b"-----BEGIN CERTIFICATE-----")?;
    let body = body.strip_suffix(b"-----END CERTIFICATE-----")?;
    let base64: Vec<u8> = body.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    STANDARD.decode(base64).ok()
}

impl Leaf {
    /// Reads a certificate; `None` if it is not one.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        if der.len() > MAX_DER {
            return None;
        }
        let mut whole = Der(der);
        let mut certificate = Der(whole.take(SEQUENCE)?);
        whole.end()?;
        let mut tbs = Der(certificate.take(SEQUENCE)?);
        certificate.take(SEQUENCE)?; // signatureAlgorithm
        certificate.take(BIT_STRING)?;
        certificate.end()?;
        tbs.optional(0xa0)?; // version
        tbs.take(INTEGER)?; // serialNumber
        tbs.take(SEQUENCE)?; // signature
        tbs.take(SEQUENCE)?; // issuer
        let mut validity = Der(tbs.take(SEQUENCE)?);
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        validity.end()?;
        tbs.take(SEQUENCE)?; // subject
        tbs.take(SEQUENCE)?; // subjectPublicKeyInfo
        tbs.optional(0x81)?; // issuerUniqueID
        tbs.optional(0x82)?; // subjectUniqueID
        let mut leaf = Self { not_before, not_after, ..Self::default() };
        if let Some(extensions) = tbs.optional(0xa3)? {
            leaf.extensions(extensions)?;
        }
        tbs.end()?;
        Some(leaf)
    }

    fn extensions(&mut self, extensions: &[u8]) -> Option<()> {
        let mut outer = Der(extensions);
        let mut list = Der(outer.take(SEQUENCE)?);
        outer.end()?;
        let (mut names, mut constraints) = (false, false);
        while !list.0.is_empty() {
            let mut extension = Der(list.take(SEQUENCE)?);
            let id = extension.take(OBJECT_IDENTIFIER)?;
            extension.optional(BOOLEAN)?; // critical
            let value = extension.take(OCTET_STRING)?;
            extension.end()?;
            // RFC 5280, section 4.2: one of each at most. Of two lists of names each reader may take another.
            match id {
                // 2.5.29.17, subjectAltName
                [0x55, 0x1d, 0x11] if !std::mem::replace(&mut names, true) => self.names(value)?,
                // 2.5.29.19, basicConstraints
                [0x55, 0x1d, 0x13] if !std::mem::replace(&mut constraints, true) => {
                    let mut whole = Der(value);
                    let mut constraints = Der(whole.take(SEQUENCE)?);
                    whole.end()?;
                    self.authority = constraints.optional(BOOLEAN)?.is_some_and(|ca| ca != [0]);
                }
                [0x55, 0x1d, 0x11 | 0x13] => return None,
                _ => {}
            }
        }
        Some(())
    }

    fn names(&mut self, value: &[u8]) -> Option<()> {
        let mut whole = Der(value);
        let mut names = Der(whole.take(SEQUENCE)?);
        whole.end()?;
        while !names.0.is_empty() {
            let (tag, name) = names.next()?;
            let list = match tag {
                0x82 => &mut self.dns,
                0x86 => &mut self.uris,
                _ => continue,
            };
            // An IA5String. A NUL or a line in it has fooled readers before.
            if list.len() >= MAX_NAMES || !name.iter().all(u8::is_ascii_graphic) {
                return None;
            }
            list.push(std::str::from_utf8(name).ok()?.to_owned());
        }
        Some(())
    }
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// A walk over DER values that follow each other.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// The tag and the contents of the next value.
    fn next(&mut self) -> Option<(u8, &'d [u8])> {
        let (tag, length, rest) = match *self.0 {
            [tag, length @ 0..=0x7f, ref rest @ ..] => (tag, usize::from(length), rest),
            [tag, 0x81, length @ 0x80..=0xff, ref rest @ ..] => (tag, usize::from(length), rest),
            [tag, 0x82, high @ 1..=0xff, low, ref rest @ ..] => {
                (tag, usize::from(u16::from_be_bytes([high, low])), rest)
            }
            _ => return None,
        };
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, contents))
    }

    fn take(&mut self, wanted: u8) -> Option<&'d [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, contents)| contents)
    }

    /// The next value if it has this tag.
    #[expect(clippy::option_option, reason = "malformed, absent, there: all three differ")]
    fn optional(&mut self, wanted: u8) -> Option<Option<&'d [u8]>> {
        if self.0.first() == Some(&wanted) { Some(Some(self.take(wanted)?)) } else { Some(None) }
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// RFC 5280, section 4.1.2.5: in UTC, with seconds; two digits of a year mean 1950 to 2049. Dates before 1970
/// count as 1970.
fn time((tag, text): (u8, &[u8])) -> Option<u64> {
    let (text, short) = match tag {
        0x17 => (text, true),
        0x18 => (text, false),
        _ => return None,
    };
    let digits = text.strip_suffix(b"Z")?;
    if digits.len() != if short { 12 } else { 14 } || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut rest = digits;
    let mut number = |width: usize| {
        let (digits, tail) = rest.split_at_checked(width)?;
        rest = tail;
        Some(digits.iter().fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0')))
    };
    let year = match (short, number(if short { 2 } else { 4 })?) {
        (true, year @ 50..) => 1900 + year,
        (true, year) => 2000 + year,
        (false, year) => year,
    };
    let (month, day) = (number(2)?, number(2)?);
    let (hour, minute, second) = (number(2)?, number(2)?, number(2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if year < 1970 {
        return Some(0);
    }
    // Days since 1970, with years that begin in March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    let days = (365 * year + leaps + (153 * month + 2) / 5 + day).checked_sub(719_469)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
#[path = "x509_tests.rs"]
pub(super) mod tests;
