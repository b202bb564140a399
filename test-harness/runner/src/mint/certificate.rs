//! Makes client certificates (RFC 5280): what a case asks for, and nothing that is chance, so that a fingerprint may
//! stand in a bundle.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};

use crate::format::Certificate;

/// A certificate with what proxies tell of it, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The certificate itself.
    pub der: Vec<u8>,
    /// SHA-256 of it, in lower-case hexadecimal.
    pub sha256: String,
    /// The subject in the form of RFC 2253.
    pub subject: String,
    /// The URIs among its names.
    pub uris: Vec<String>,
    /// The DNS names among its names.
    pub dns: Vec<String>,
    /// The key, as a DER of PKCS#8.
    pub key: Vec<u8>,
}

/// Who signs and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Authority,
    Client,
}

/// The key of the authority that signs all certificates here; another one that nobody trusts; the clients'.
const AUTHORITY: [u8; 32] = [0x41; 32];
const STRANGER: [u8; 32] = [0x42; 32];
const CLIENT: [u8; 32] = [0x43; 32];

const AUTHORITY_NAME: &str = "CN=Bartizan Test CA";

/// The certificate of the authority that listeners trust.
///
/// # Errors
/// Never: it is always the same.
pub fn authority() -> Result<Made, String> {
    let written = Certificate { subject: Some(AUTHORITY_NAME.into()), ..Certificate::default() };
    make_as(&written, 0, Role::Authority)
}

/// Makes what a case asks for. `now` is in seconds since 1970.
///
/// # Errors
/// When a date or the subject cannot be read.
pub fn make(written: &Certificate, now: u64) -> Result<Made, String> {
    make_as(written, now, Role::Client)
}

fn make_as(written: &Certificate, now: u64, role: Role) -> Result<Made, String> {
    let signer = match (role, written.untrusted) {
        (_, true) => STRANGER,
        _ => AUTHORITY,
    };
    let own = if role == Role::Authority { signer } else { CLIENT };
    let key = SigningKey::from_slice(&own).map_err(|e| e.to_string())?;
    let signer = SigningKey::from_slice(&signer).map_err(|e| e.to_string())?;
    let subject = written.subject.clone().unwrap_or_else(|| "CN=client".to_owned());
    let date = |text: &Option<String>, otherwise: &str| match text {
        None => Ok(der_time(otherwise)),
        Some(text) => {
            let at = super::relative(text, now)
                .ok_or_else(|| format!("certificate: `{text}` is no date such as +1h"))?;
            Ok::<_, String>(der_time(&utc(at)))
        }
    };
    let algorithm = sequence(&[oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])]);
    let mut extensions = Vec::new();
    let names: Vec<Vec<u8>> = (written.dns.iter().map(|name| tlv(0x82, name.as_bytes())))
        .chain(written.uris.iter().map(|uri| tlv(0x86, uri.as_bytes())))
        .collect();
    if !names.is_empty() {
        extensions.push(extension(&[0x55, 0x1d, 0x11], false, &sequence(&names)));
    }
    let issues = role == Role::Authority || written.authority;
    let constraints = if issues { sequence(&[tlv(0x01, &[0xff])]) } else { sequence(&[]) };
    extensions.push(extension(&[0x55, 0x1d, 0x13], true, &constraints));
    let tbs = sequence(&[
        tlv(0xa0, &tlv(0x02, &[2])),
        tlv(0x02, &[if role == Role::Authority { 1 } else { 2 }]),
        algorithm.clone(),
        name(AUTHORITY_NAME)?,
        sequence(&[date(&written.from, "20200101000000Z")?, date(&written.until, "20491231235959Z")?]),
        name(&subject)?,
        public_key(&key),
        tlv(0xa3, &sequence(&extensions)),
    ]);
    let signature: Signature = signer.sign(&tbs);
    let der = sequence(&[tbs, algorithm, bits(signature.to_der().as_bytes())]);
    let digest = hmac_sha256::Hash::hash(&der);
    let sha256 = digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let (uris, dns) = (written.uris.clone(), written.dns.clone());
    Ok(Made { der, sha256, subject, uris, dns, key: private_key(&own, &key) })
}

impl Made {
    /// PEM (RFC 7468).
    #[must_use]
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// The key in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }

    /// PEM with percent-encoding, as Envoy tells it.
    #[must_use]
    pub fn url_encoded_pem(&self) -> String {
        self.pem().chars().fold(String::new(), |mut text, character| {
            match character {
                '\n' => text.push_str("%0A"),
                ' ' => text.push_str("%20"),
                '+' => text.push_str("%2B"),
                '/' => text.push_str("%2F"),
                '=' => text.push_str("%3D"),
                plain => text.push(plain),
            }
            text
        })
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// The DER of a value: its tag, its length in the shortest form, and its contents.
fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let mut der = vec![tag];
    match (high, low) {
        (0, 0..=0x7f) => der.push(low),
        (0, _) => der.extend_from_slice(&[0x81, low]),
        _ => der.extend_from_slice(&[0x82, high, low]),
    }
    der.extend_from_slice(contents);
    der
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn oid(bytes: &[u8]) -> Vec<u8> {
    tlv(0x06, bytes)
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], bytes].concat())
}

fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(id)];
    if critical {
        parts.push(tlv(0x01, &[0xff]));
    }
    parts.push(tlv(0x04, value));
    sequence(&parts)
}

const P256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const EC: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

fn point(key: &SigningKey) -> Vec<u8> {
    key.verifying_key().to_sec1_point(false).as_bytes().to_vec()
}

fn public_key(key: &SigningKey) -> Vec<u8> {
    sequence(&[sequence(&[oid(&EC), oid(&P256)]), bits(&point(key))])
}

/// RFC 5208 and RFC 5915.
fn private_key(scalar: &[u8], key: &SigningKey) -> Vec<u8> {
    let inner = sequence(&[tlv(0x02, &[1]), tlv(0x04, scalar), tlv(0xa1, &bits(&point(key)))]);
    sequence(&[tlv(0x02, &[0]), sequence(&[oid(&EC), oid(&P256)]), tlv(0x04, &inner)])
}

/// A name from RFC 2253, without escapes. What stands first there stands last in the certificate.
fn name(written: &str) -> Result<Vec<u8>, String> {
    let mut parts = Vec::new();
    for part in written.split(',').filter(|part| !part.is_empty()).rev() {
        let (kind, value) =
            part.split_once('=').ok_or_else(|| format!("certificate: `{part}` has no `=`"))?;
        let kind = match kind {
            "CN" => 3,
            "C" => 6,
            "O" => 10,
            "OU" => 11,
            other => return Err(format!("certificate: `{other}` is none of CN, C, O and OU")),
        };
        let pair = sequence(&[oid(&[0x55, 0x04, kind]), tlv(0x0c, value.as_bytes())]);
        parts.push(tlv(0x31, &pair));
    }
    Ok(sequence(&parts))
}

/// RFC 5280, section 4.1.2.5: dates until 2049 have two digits of the year.
fn der_time(text: &str) -> Vec<u8> {
    match text.strip_prefix("20") {
        Some(short) if text < "2050" => tlv(0x17, short.as_bytes()),
        _ => tlv(0x18, text.as_bytes()),
    }
}

/// `YYYYMMDDHHMMSSZ`.
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, year) =
        if month < 10 { (month + 3, year + era * 400) } else { (month - 9, year + era * 400 + 1) };
    format!("{year:04}{month:02}{date:02}{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(utc(0), "19700101000000Z");
        assert_eq!(utc(951_825_600), "20000229120000Z");
        assert_eq!(utc(1_709_251_199), "20240229235959Z");
        assert_eq!(utc(1_795_300_729), "20261121223849Z");
    }

    #[test]
    fn a_certificate_is_the_same_each_time() {
        let written = Certificate { uris: vec!["spiffe://a/b".into()], ..Certificate::default() };
        assert_eq!(make(&written, 1), make(&written, 2));
        assert_ne!(make(&written, 1), make(&Certificate::default(), 1));
        assert_eq!(make(&written, 1).unwrap().sha256.len(), 64);
        assert!(make(&Certificate { until: Some("soon".into()), ..Certificate::default() }, 1).is_err());
        assert!(make(&Certificate { subject: Some("X=1".into()), ..Certificate::default() }, 1).is_err());
    }
}
