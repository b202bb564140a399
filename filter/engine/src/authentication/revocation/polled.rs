//! A list that is fetched while the plan stays: which document is in force.
//!
//! A document that is malformed, older than what is in force, or the same version with another content changes nothing:
//! the last good one stays, through any outage. Before the first one has come nobody can say what is revoked, so nobody
//! is let in.

use super::document::{self, Called, Document, DocumentError};
use super::list::List;
use crate::envelope::key::sha256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Polled {
    in_force: Option<InForce>,
}

#[derive(Debug)]
struct InForce {
    version: u64,
    digest: [u8; 32],
    list: List,
    left_out: usize,
}

/// A document that may come into force.
#[derive(Debug)]
pub(in crate::authentication) struct Newer(InForce);

impl Polled {
    /// Reads a document; `None` if it is the one in force.
    ///
    /// # Errors
    /// When it may not come into force, and why.
    pub(super) fn read(
        &self,
        bytes: &[u8],
        issuers: &dyn Fn(&str) -> Option<Called>,
    ) -> Result<Option<Newer>, DocumentError> {
        let digest = sha256(bytes);
        if self.in_force.as_ref().is_some_and(|known| known.digest == digest) {
            return Ok(None);
        }
        let Document { version, list, left_out } = document::read(bytes, issuers)?;
        match self.in_force.as_ref().map(|known| known.version) {
            Some(known) if version < known => Err(DocumentError::Older { found: version, known }),
            Some(known) if version == known => Err(DocumentError::Changed { version }),
            _ => Ok(Some(Newer(InForce { version, digest, list, left_out }))),
        }
    }

    /// Puts a document in force.
    pub(super) fn replace(&mut self, newer: Newer) {
        self.in_force = Some(newer.0);
    }

    /// The list, if one has ever come.
    pub(super) fn list(&self) -> Option<&List> {
        self.in_force.as_ref().map(|known| &known.list)
    }

    /// How many entries of the document are about nobody.
    pub(super) fn left_out(&self) -> usize {
        self.in_force.as_ref().map_or(0, |known| known.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::list::{Asked, Revoked};
    use super::*;
    use crate::host::Now;

    /// What came of a document: whether it was new.
    fn take(polled: &mut Polled, text: &str) -> Result<bool, DocumentError> {
        let newer = polled.read(text.as_bytes(), &|name| Some(Called::method(name, &[name])))?;
        let is_new = newer.is_some();
        newer.into_iter().for_each(|newer| polled.replace(newer));
        Ok(is_new)
    }

    fn judge(polled: &Polled, jti: &str) -> Option<Revoked> {
        let asked =
            Asked { issuer: "corp", jti: Some(jti), token: true, issued_at: Some(0), ..Asked::default() };
        polled.list().unwrap().judge(&asked, Now::from_secs(5))
    }

    const ONE: &str = r#"{"version":1,"tokens":["a"]}"#;
    const TWO: &str = r#"{"version":2,"tokens":["b"]}"#;

    #[test]
    fn only_what_is_newer_takes_its_place() {
        let mut polled = Polled::default();
        assert!(take(&mut polled, "{}").is_err());
        assert!(polled.list().is_none(), "nothing good has come yet");
        assert_eq!(take(&mut polled, TWO), Ok(true));
        assert_eq!(take(&mut polled, TWO), Ok(false));
        assert_eq!(take(&mut polled, ONE), Err(DocumentError::Older { found: 1, known: 2 }));
        assert_eq!(take(&mut polled, r#"{"version":2}"#), Err(DocumentError::Changed { version: 2 }));
        assert!(take(&mut polled, r#"{"version":3,"tokens":[1]}"#).is_err());
        assert_eq!(judge(&polled, "b"), Some(Revoked::Token), "the last good list stays");
        assert_eq!(take(&mut polled, r#"{"version":3}"#), Ok(true));
        assert_eq!(judge(&polled, "b"), None);
    }
}
