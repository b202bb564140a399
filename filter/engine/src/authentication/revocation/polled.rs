//! A list that is fetched while the plan stays: which document is in force, and how old it may get.
//!
//! A document that is malformed, older than what is in force, or the same version with another content changes nothing:
//! the last good one stays. Before the first one has come nobody can say what is revoked, so nobody is let in.

use super::document::{self, Document, DocumentError};
use super::list::{Asked, List, Revoked};
use crate::envelope::key::sha256;
use crate::host::Now;

/// What a list says, or that it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    Revoked(Revoked),
    /// No list has ever come.
    Missing,
    /// The list was not confirmed for longer than the policy allows.
    Stale,
}

/// What came of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is in force from now on; so many entries were left out, as their issuer is not there.
    New { version: u64, left_out: usize },
    /// It is what was in force before.
    Same,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Polled {
    in_force: Option<InForce>,
    /// How long a list may go unconfirmed, in nanoseconds; `None` for ever.
    pub(super) max_age_ns: Option<u64>,
}

#[derive(Debug)]
struct InForce {
    version: u64,
    digest: [u8; 32],
    list: List,
    confirmed: Now,
}

impl Polled {
    /// Takes a document that was fetched at this moment.
    ///
    /// # Errors
    /// When it changes nothing, and why.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        issuers: &dyn Fn(&str) -> Option<String>,
        fetched: Now,
    ) -> Result<Taken, DocumentError> {
        let digest = sha256(bytes);
        if let Some(known) = self.in_force.as_mut().filter(|known| known.digest == digest) {
            known.confirmed = known.confirmed.max(fetched);
            return Ok(Taken::Same);
        }
        let Document { version, list, left_out } = document::read(bytes, issuers)?;
        match self.in_force.as_ref().map(|known| known.version) {
            Some(known) if version < known => return Err(DocumentError::Older { found: version, known }),
            Some(known) if version == known => return Err(DocumentError::Changed { version }),
            _ => {}
        }
        self.in_force = Some(InForce { version, digest, list, confirmed: fetched });
        Ok(Taken::New { version, left_out })
    }

    /// What the list says at this moment.
    pub(super) fn judge(&self, asked: &Asked<'_>, now: Now) -> Verdict {
        match self.fresh(now) {
            Ok(list) => list.judge(asked, now).map_or(Verdict::Fine, Verdict::Revoked),
            Err(verdict) => verdict,
        }
    }

    /// The list, unless there is none that counts.
    pub(super) fn fresh(&self, now: Now) -> Result<&List, Verdict> {
        let known = self.in_force.as_ref().ok_or(Verdict::Missing)?;
        let age = now.nanos().saturating_sub(known.confirmed.nanos());
        if self.max_age_ns.is_some_and(|most| age > most) { Err(Verdict::Stale) } else { Ok(&known.list) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Now {
        Now::from_secs(second)
    }

    fn take(polled: &mut Polled, text: &str, second: u64) -> Result<Taken, DocumentError> {
        polled.take(text.as_bytes(), &|name| Some(name.to_owned()), at(second))
    }

    fn asked(jti: &str) -> Asked<'_> {
        Asked {
            issuer: "corp",
            subject: "alice",
            jti: Some(jti),
            token: true,
            issued_at: Some(0),
            ..Asked::default()
        }
    }

    const ONE: &str = r#"{"version":1,"tokens":["a"]}"#;
    const TWO: &str = r#"{"version":2,"tokens":["b"]}"#;
    const REVOKED: Verdict = Verdict::Revoked(Revoked::Token);

    #[test]
    fn before_the_first_list_nobody_is_let_in() {
        let mut polled = Polled::default();
        assert_eq!(polled.judge(&asked("x"), at(0)), Verdict::Missing);
        assert!(take(&mut polled, "{}", 0).is_err());
        assert_eq!(polled.judge(&asked("x"), at(0)), Verdict::Missing);
        take(&mut polled, ONE, 0).unwrap();
        assert_eq!(polled.judge(&asked("x"), at(0)), Verdict::Fine);
        assert_eq!(polled.judge(&asked("a"), at(0)), REVOKED);
    }

    #[test]
    fn only_what_is_newer_takes_its_place() {
        let mut polled = Polled::default();
        assert_eq!(take(&mut polled, TWO, 0), Ok(Taken::New { version: 2, left_out: 0 }));
        assert_eq!(take(&mut polled, TWO, 1), Ok(Taken::Same));
        assert_eq!(take(&mut polled, ONE, 2), Err(DocumentError::Older { found: 1, known: 2 }));
        assert_eq!(take(&mut polled, r#"{"version":2}"#, 3), Err(DocumentError::Changed { version: 2 }));
        assert!(take(&mut polled, r#"{"version":3,"tokens":[1]}"#, 4).is_err());
        assert_eq!(polled.judge(&asked("b"), at(5)), REVOKED, "the last good list stays");
        assert_eq!(take(&mut polled, r#"{"version":3}"#, 6), Ok(Taken::New { version: 3, left_out: 0 }));
        assert_eq!(polled.judge(&asked("b"), at(6)), Verdict::Fine);
    }

    #[test]
    fn a_list_that_nobody_confirms_gets_old() {
        let mut polled = Polled { max_age_ns: Some(10_000_000_000), ..Polled::default() };
        take(&mut polled, ONE, 100).unwrap();
        assert_eq!(polled.judge(&asked("x"), at(110)), Verdict::Fine);
        assert_eq!(polled.judge(&asked("x"), at(111)), Verdict::Stale);
        // What is refused is no confirmation; the same once more is one, and an old one is none.
        assert!(take(&mut polled, "{}", 111).is_err());
        assert_eq!(polled.judge(&asked("x"), at(111)), Verdict::Stale);
        assert_eq!(take(&mut polled, ONE, 111), Ok(Taken::Same));
        assert_eq!(take(&mut polled, ONE, 90), Ok(Taken::Same));
        assert_eq!(polled.judge(&asked("x"), at(121)), Verdict::Fine);
        // A clock that goes back makes nothing older.
        assert_eq!(polled.judge(&asked("x"), at(50)), Verdict::Fine);
    }
}
