//! What one worker takes over from the others, and what it makes of content, whoever fetched it.

use super::failure::{Failure, Kind};
use super::fetcher::{Fetcher, Reader, TRIES};
use super::record::{Content, State};
use crate::delivery::record::Digest;
use crate::envelope::key::sha256;
use crate::host::Host;

/// What readers made of content that they have taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Took {
    /// It says what they had before, perhaps in other bytes.
    pub same: bool,
    /// Why it gives them nothing that they can use, though it is well-formed.
    pub lack: Option<String>,
}

/// What was found in shared data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nothing new.
    Nothing,
    /// Content that the readers here have taken over.
    Taken,
    /// Content that another worker took over and the readers here do not. Told once for each content.
    Refused(Failure),
}

impl Fetcher {
    /// Takes over what another worker has fetched, or this one in an earlier life.
    pub fn look(&mut self, host: &mut dyn Host, read: Reader<'_>) -> Look {
        let untold = self.untold.take();
        match (self.look_now(host, read), untold) {
            (Look::Nothing, Some(look)) => look,
            (look, _) => look,
        }
    }

    /// The same for a request, which tells nobody; `true` if something was taken over. What there is to tell is told by
    /// the next look.
    pub fn look_quietly(&mut self, host: &mut dyn Host, read: Reader<'_>) -> bool {
        let look = self.look_now(host, read);
        let is_taken = look == Look::Taken;
        if look != Look::Nothing {
            self.untold = Some(look);
        }
        is_taken
    }

    fn look_now(&mut self, host: &mut dyn Host, read: Reader<'_>) -> Look {
        for _ in 0..TRIES {
            let Ok((state, version)) = self.slots.state(host) else { return Look::Nothing };
            self.state = state.unwrap_or_default();
            let Some(content) = self.state.content.clone() else { return self.inherit(host, read) };
            if self.taken == Some(content.bytes) {
                self.good = self.state.succeeded;
                return Look::Nothing;
            }
            if self.given == Some(content.bytes) || self.is_passed(&content) {
                return Look::Nothing;
            }
            let Ok((bytes, _)) = self.slots.content(host, content.second) else { return Look::Nothing };
            let Some(bytes) = bytes.filter(|bytes| sha256(bytes) == content.bytes.0) else {
                // It was replaced meanwhile, which the next look sees, or it is torn, and is to be fetched anew.
                let mut torn = self.state.clone();
                (torn.content, torn.next, torn.wait) = (None, 0, 0);
                if self.slots.set_state(host, torn, version) != Ok(false) {
                    return Look::Nothing;
                }
                continue;
            };
            if bytes.len() > self.source.max_bytes {
                // Whole, and only too large for this worker: it is not for this worker to take it from the others.
                self.given = Some(content.bytes);
                let detail = format!("{} bytes; the most is {}", bytes.len(), self.source.max_bytes);
                return Look::Refused(Failure::new(Kind::Oversized, detail));
            }
            return match self.take(&bytes, content.bytes, self.state.succeeded, read) {
                Ok(true) => Look::Taken,
                Ok(false) => Look::Nothing,
                Err(failure) => Look::Refused(failure),
            };
        }
        Look::Nothing
    }

    /// Where nothing was fetched so far under what this policy accepts: begins with what another policy fetched last from the
    /// same place, if the readers here take it. A bundle that accepts one algorithm more needs no issuer to be there.
    fn inherit(&mut self, host: &mut dyn Host, read: Reader<'_>) -> Look {
        if self.has_inherited || self.taken.is_some() {
            return Look::Nothing;
        }
        let Ok(last) = self.slots.last(host) else { return Look::Nothing };
        self.has_inherited = true;
        let Some((good, bytes)) = last.filter(|(_, bytes)| bytes.len() <= self.source.max_bytes) else {
            return Look::Nothing;
        };
        // What is refused here was not meant for this policy, which asks for itself at once: there is nothing to tell.
        match self.take(&bytes, Digest(sha256(&bytes)), Some(good), read) {
            Ok(true) => Look::Taken,
            Ok(false) | Err(_) => Look::Nothing,
        }
    }

    /// Gives content to the readers; `true` if they have something else now. `good` is when it was known to be what the server has.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        digest: Digest,
        good: Option<u64>,
        read: Reader<'_>,
    ) -> Result<bool, Failure> {
        self.given = Some(digest);
        let took = read(bytes).map_err(|problem| Failure::new(Kind::Malformed, problem))?;
        self.taken = Some(digest);
        self.good = good;
        self.lack = took.lack.map(|lack| Failure::new(Kind::NoUsableKey, lack));
        Ok(!took.same)
    }

    /// Whether shared content is what this worker has gone beyond, with content that could not be shared. Whatever is
    /// fetched after that was known to be right at another time.
    fn is_passed(&self, content: &Content) -> bool {
        self.passed == Some((content.bytes, self.state.succeeded))
    }

    /// How it goes, as this worker saw it last.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Whether the readers here have content.
    #[must_use]
    pub const fn has_content(&self) -> bool {
        self.taken.is_some()
    }

    /// Why the content that the readers here have gives them nothing that they can use, if it does not.
    #[must_use]
    pub const fn lack(&self) -> Option<&Failure> {
        self.lack.as_ref()
    }

    /// When what the readers here have was last known to be what the server has, in milliseconds since 1970.
    #[must_use]
    pub const fn good(&self) -> Option<u64> {
        self.good
    }
}
