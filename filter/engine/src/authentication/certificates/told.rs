//! What a request tells of a client certificate: by its connection, or by a header of trusted proxies.

use superboring::reexports::hmac_sha256::Hash;

use super::accept::Certificate;
use super::digests::{self, Fingerprint};
use super::plan::CertificateSource;
use super::x509::{self, Leaf};
use super::xfcc::{self, Element, XfccError};
use crate::host::{Host, PeerCertificate};
use crate::intake::request::Headers;

/// The header in which proxies tell of the certificates that they saw.
pub(in crate::authentication) const XFCC: &str = "x-forwarded-client-cert";

/// A certificate that was told of, as far as it is needed to know it again.
#[derive(Debug)]
pub(super) enum Told<'r> {
    Connection(Fingerprint),
    Header(Element<'r>),
}

/// Why what was told is not believed, as a sentence for the operator.
pub(super) type Wrong = &'static str;

/// What is told from here, if anything.
pub(super) fn find<'r>(
    source: CertificateSource,
    headers: Headers<'r>,
    host: &mut dyn Host,
) -> Result<Option<Told<'r>>, Wrong> {
    match source {
        CertificateSource::Connection => Ok(of_connection(host)?.map(Told::Connection)),
        CertificateSource::Xfcc { trusted_hops } => {
            let mut elements = match xfcc::read(headers.all(XFCC)) {
                Ok(elements) => elements,
                Err(XfccError::TooFew) => return Ok(None),
                Err(XfccError::Malformed(why)) => return Err(why),
            };
            let connection = of_connection(host)?;
            let hops = usize::try_from(trusted_hops).unwrap_or(usize::MAX);
            // What this proxy wrote itself says no more than the connection does, and it is the last element. If it is
            // not, a name in the certificate wrote what stands behind it: Envoy puts no quotes around those.
            let ours = |element: &Element<'_>| connection.is_some() && hash_of(element) == connection;
            match elements.iter().rposition(ours) {
                Some(index) if index + 1 < elements.len() => {
                    return Err("x-forwarded-client-cert has more behind what is told of the connection");
                }
                Some(_) if hops == 1 => return Ok(connection.map(Told::Connection)),
                _ => {}
            }
            let wanted = elements.len().checked_sub(hops).filter(|index| *index < elements.len());
            Ok(wanted.map(|index| Told::Header(elements.swap_remove(index))))
        }
    }
}

/// The certificate of the connection, if it has one.
fn of_connection(host: &mut dyn Host) -> Result<Option<Fingerprint>, Wrong> {
    let Some(digest) = host.peer_certificate(PeerCertificate::Digest).filter(|d| !d.is_empty()) else {
        return Ok(None);
    };
    let digest = std::str::from_utf8(&digest).ok().and_then(digests::read);
    digest.map(Some).ok_or("the proxy gave no digest of the certificate")
}

fn hash_of(element: &Element<'_>) -> Option<Fingerprint> {
    element.hash.and_then(digests::read)
}

/// The fingerprint of the certificate that is told from here, if one is.
pub(in crate::authentication) fn fingerprint(
    source: CertificateSource,
    headers: Headers<'_>,
    host: &mut dyn Host,
) -> Result<Option<Fingerprint>, Wrong> {
    match find(source, headers, host)? {
        None => Ok(None),
        Some(Told::Connection(digest)) => Ok(Some(digest)),
        Some(Told::Header(element)) => fingerprint_of(&element).map(Some),
    }
}

fn fingerprint_of(element: &Element<'_>) -> Result<Fingerprint, Wrong> {
    let hash = element.hash.ok_or("x-forwarded-client-cert has no `Hash`")?;
    digests::read(hash).ok_or("`Hash` of x-forwarded-client-cert is not SHA-256 in hexadecimal")
}

impl Told<'_> {
    /// What a later request that tells of the same certificate has in common with this one.
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Connection(digest) => digest,
            Self::Header(element) => element.raw.as_bytes(),
        }
    }

    /// All that is told of it, and its dates if they are told. `verified` says whether the listener verifies.
    pub(super) fn certificate(
        &self,
        verified: bool,
        host: &mut dyn Host,
    ) -> Result<(Certificate, Option<Leaf>), Wrong> {
        match self {
            Self::Connection(digest) => {
                let pem = host.peer_certificate(PeerCertificate::Pem).unwrap_or_default();
                let der = x509::der(&pem).filter(|der| Hash::hash(der) == *digest);
                let der = der.ok_or("the proxy gave no certificate with its digest")?;
                let mut leaf = Leaf::read(&der).ok_or("the certificate cannot be read")?;
                let subject = host.peer_certificate(PeerCertificate::Subject).unwrap_or_default();
                let certificate = Certificate {
                    fingerprint: *digest,
                    subject: String::from_utf8(subject).map_err(|_| "the subject is not UTF-8")?,
                    uris: std::mem::take(&mut leaf.uris),
                    dns: std::mem::take(&mut leaf.dns),
                    verified,
                };
                Ok((certificate, Some(leaf)))
            }
            Self::Header(element) => {
                let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
                let certificate = Certificate {
                    fingerprint: fingerprint_of(element)?,
                    subject: element.subject.unwrap_or_default().to_owned(),
                    uris: list(&element.uris),
                    dns: list(&element.dns),
                    // A proxy before this one, as the operator says by `trusted_hops`: it is trusted to have looked.
                    verified: true,
                };
                Ok((certificate, None))
            }
        }
    }
}
