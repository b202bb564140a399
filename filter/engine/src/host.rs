//! What the engine asks of whoever hosts it. Every method may fail, and each failure has a meaning.

use std::net::IpAddr;

/// The time of one decision: nanoseconds since the Unix epoch, read once per request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(u64);

impl Now {
    /// A time given in nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A time given in whole seconds since the Unix epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, as a JWT `NumericDate` counts them (RFC 7519, section 2).
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
}

/// The digest a signature was made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// What a compare-and-swap on a shared slot came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The value is in place.
    Yes,
    /// Somebody else wrote first: load again and decide anew.
    Conflict,
    /// The host could not do it at all.
    Failed,
}

/// A shared slot as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// The slot holds what was appended to the buffer; the number is the version to swap against.
    Present(u32),
    /// The slot was never written.
    Absent,
    /// The host could not read it.
    Failed,
}

/// What can be asked of the certificate that the peer of the downstream connection presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerCertificate {
    /// SHA-256 of it, in hexadecimal.
    Digest,
    /// Its subject in the form of RFC 2253.
    Subject,
    /// All of it: PEM, percent-encoded.
    Pem,
}

/// Envoy's side, as far as the engine needs it.
pub trait Host {
    /// The address of the peer of the downstream connection, `None` where the host has none (a pipe).
    fn peer_address(&mut self) -> Option<IpAddr>;

    /// Something of the certificate that the peer presented; `None` if it presented none. That the peer has the key of
    /// it is sure. Who issued it, the host may have found out or not.
    fn peer_certificate(&mut self, _: PeerCertificate) -> Option<Vec<u8>> {
        None
    }

    /// Reads a slot that all workers share into `into` (which is cleared first).
    fn load(&mut self, slot: &str, into: &mut Vec<u8>) -> Loaded;

    /// Replaces a slot if it still has `version`; with `None`, creates it if it is still absent.
    /// Both are atomic over all workers.
    fn store(&mut self, slot: &str, value: &[u8], version: Option<u32>) -> Stored;

    /// Checks an RSA PKCS#1 v1.5 or ECDSA (ASN.1 DER) signature with the proxy's own cryptography.
    /// `None` says that the host cannot tell, and the engine then checks in its own code.
    fn verify_signature(
        &mut self,
        digest: Digest,
        spki_der: &[u8],
        signature: &[u8],
        message: &[u8],
    ) -> Option<bool>;
}

#[cfg(any(test, feature = "testing"))]
pub mod testing {
    //! A host for tests: slots in memory, a peer that is set, no signature checks of its own.

    use std::collections::HashMap;
    use std::net::IpAddr;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::{Digest, Host, Loaded, PeerCertificate, Stored};

    /// Slots that several [`TestHost`]s share, as Envoy's workers share theirs.
    pub type Slots = Arc<Mutex<HashMap<String, (Vec<u8>, u32)>>>;

    /// A host in memory.
    #[derive(Debug, Default, Clone)]
    pub struct TestHost {
        /// The peer of the connection.
        pub peer: Option<IpAddr>,
        /// The shared slots.
        pub slots: Slots,
        /// Whether the slots fail.
        pub broken: bool,
        /// The certificate that the peer presented: its digest, its subject, itself.
        pub certificate: Option<[Vec<u8>; 3]>,
    }

    impl TestHost {
        /// A host whose connection comes from `peer`; from nowhere if that is not an address.
        #[must_use]
        pub fn with_peer(peer: &str) -> Self {
            Self { peer: peer.parse().ok(), ..Self::default() }
        }
    }

    impl Host for TestHost {
        fn peer_address(&mut self) -> Option<IpAddr> {
            self.peer
        }

        fn peer_certificate(&mut self, what: PeerCertificate) -> Option<Vec<u8>> {
            let [digest, subject, pem] = self.certificate.clone()?;
            Some(match what {
                PeerCertificate::Digest => digest,
                PeerCertificate::Subject => subject,
                PeerCertificate::Pem => pem,
            })
        }

        fn load(&mut self, slot: &str, into: &mut Vec<u8>) -> Loaded {
            into.clear();
            if self.broken {
                return Loaded::Failed;
            }
            match self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(slot) {
                Some((value, version)) => {
                    into.extend_from_slice(value);
                    Loaded::Present(*version)
                }
                None => Loaded::Absent,
            }
        }

        fn store(&mut self, slot: &str, value: &[u8], version: Option<u32>) -> Stored {
            if self.broken {
                return Stored::Failed;
            }
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            match (slots.get_mut(slot), version) {
                (Some((stored, current)), Some(version)) if *current == version => {
                    value.clone_into(stored);
                    *current = current.wrapping_add(1);
                    Stored::Yes
                }
                (None, None) => {
                    slots.insert(slot.to_owned(), (value.to_owned(), 1));
                    Stored::Yes
                }
                _ => Stored::Conflict,
            }
        }

        fn verify_signature(&mut self, _: Digest, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
            None
        }
    }
}
