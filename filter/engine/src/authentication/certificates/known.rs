//! Certificates that were judged already: a client shows the same one with every request.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::authentication::identity::Identity;

/// So many certificates are remembered in each worker. When there are more, all are forgotten: it costs each client one
/// reading of its certificate.
const MAX_KNOWN: usize = 1_024;
/// What is told in more bytes is judged each time.
const MAX_KEY_BYTES: usize = 4 * 1024;

/// The index of a way, and whose the certificate is for it.
type Judged = (usize, Option<Rc<Identity>>);

/// The identities of certificates, or that no rule accepts them, by what was told of them. Nothing here is ever out of date: what was told has the
/// digest in it, and the rules come with the plan.
#[derive(Debug, Default)]
pub(super) struct KnownCertificates {
    by_key: BTreeMap<Vec<u8>, Vec<Judged>>,
}

impl KnownCertificates {
    /// The identity that a way, by its index, made of what was told: nobody's, if no rule accepted it.
    #[expect(clippy::option_option, reason = "not known, and known to be nobody's, differ")]
    pub(super) fn get(&self, key: &[u8], method: usize) -> Option<Option<Rc<Identity>>> {
        self.by_key.get(key)?.iter().find(|(of, _)| *of == method).map(|(_, identity)| identity.clone())
    }

    pub(super) fn insert(&mut self, key: &[u8], method: usize, identity: Option<Rc<Identity>>) {
        if key.len() > MAX_KEY_BYTES {
            return;
        }
        if self.by_key.len() >= MAX_KNOWN && !self.by_key.contains_key(key) {
            self.by_key.clear();
        }
        let identities = self.by_key.entry(key.to_vec()).or_default();
        identities.retain(|(of, _)| *of != method);
        identities.push((method, identity));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::Kind;

    #[test]
    fn there_is_an_end_to_it() {
        let mut known = KnownCertificates::default();
        let identity = |method| Rc::new(Identity::new(Kind::Certificate, method, "m", "s".into()));
        for number in 0..=MAX_KNOWN {
            known.insert(&number.to_be_bytes(), 0, Some(identity(0)));
        }
        assert_eq!(known.by_key.len(), 1);
        assert!(known.get(&MAX_KNOWN.to_be_bytes(), 0).is_some());
        assert!(known.get(&MAX_KNOWN.to_be_bytes(), 1).is_none());
        known.insert(&MAX_KNOWN.to_be_bytes(), 1, None);
        assert!(known.get(&MAX_KNOWN.to_be_bytes(), 1).is_some_and(|identity| identity.is_none()));
        known.insert(&vec![0; MAX_KEY_BYTES + 1], 0, Some(identity(0)));
        assert_eq!(known.by_key.len(), 1);
    }
}
