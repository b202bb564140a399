//! The engine's [`Host`], on top of Envoy.

use std::net::{IpAddr, SocketAddr};

use bartizan_engine::host::{Digest, Host, Loaded, PeerCertificate, Stored};

use crate::host::{self, Status};
use crate::signature::{self, Signatures};

/// A version that no value has. Envoy numbers them from one and ignores the version of a key that is not
/// there, both under one lock: so a write with this version succeeds only if the key is absent.
const NEVER: u32 = u32::MAX;

/// Envoy, as the engine sees it during one callback.
pub(crate) struct Proxy {
    signatures: Signatures,
}

impl Proxy {
    pub(crate) fn new(signatures: Signatures) -> Self {
        Self { signatures }
    }
}

impl Host for Proxy {
    fn peer_address(&mut self) -> Option<IpAddr> {
        let text = host::property("source\0address").ok()?;
        let text = std::str::from_utf8(&text).ok()?;
        text.parse::<SocketAddr>().map(|s| s.ip()).or_else(|_| text.parse()).ok()
    }

    fn peer_certificate(&mut self, what: PeerCertificate) -> Option<Vec<u8>> {
        let property = match what {
            PeerCertificate::Digest => "connection\0sha256_peer_certificate_digest",
            PeerCertificate::Subject => "connection\0subject_peer_certificate",
            PeerCertificate::Pem => "connection\0peer_certificate",
        };
        host::property(property).ok()
    }

    fn load(&mut self, slot: &str, into: &mut Vec<u8>) -> Loaded {
        match host::shared(slot) {
            Ok((value, version)) => {
                *into = value;
                Loaded::Present(version)
            }
            Err(Status::NOT_FOUND) => {
                into.clear();
                Loaded::Absent
            }
            Err(_) => Loaded::Failed,
        }
    }

    fn store(&mut self, slot: &str, value: &[u8], version: Option<u32>) -> Stored {
        match host::set_shared(slot, value, version.unwrap_or(NEVER)) {
            Ok(()) => Stored::Yes,
            Err(Status::CAS_MISMATCH) => Stored::Conflict,
            Err(_) => Stored::Failed,
        }
    }

    fn verify_signature(
        &mut self,
        digest: Digest,
        spki_der: &[u8],
        signature: &[u8],
        message: &[u8],
    ) -> Option<bool> {
        match self.signatures {
            Signatures::Host => signature::verify(digest, spki_der, signature, message),
            Signatures::Wasm => None,
        }
    }
}
