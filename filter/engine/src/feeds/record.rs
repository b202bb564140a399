//! What workers share of a feed, and how it is written down.
//!
//! The rules are those of [`crate::delivery::record`]: what cannot be read counts as absent, and nothing in it is believed
//! that matters.

use serde::{Deserialize, Serialize};

use crate::delivery::answer::is_tag;
use crate::delivery::record::{Broken, Digest, Found, Lease, Versioned, read, stored, versioned, write};
use crate::envelope::key::hex;
use crate::host::{Host, Loaded};

/// The version of these records.
const VERSION: u32 = 1;

/// How all keys begin. The number is that of the records, so that two releases in one process do not write over each other's.
const PREFIX: &str = "feed.1";

/// The content that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Its SHA-256.
    pub bytes: Digest,
    /// In which of the two slots it lies.
    pub second: bool,
    /// What the server calls it.
    pub tag: Option<String>,
    /// Where it came from: the SHA-256 of the place. A tag of one place says nothing at another.
    pub place: Digest,
}

/// How a feed goes, for all workers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    /// What was fetched last.
    pub content: Option<Content>,
    /// When to ask again, in milliseconds since 1970.
    pub next: u64,
    /// How far ahead that was when it was planned, in milliseconds.
    pub wait: u64,
    /// When the last attempt ended, in milliseconds since 1970.
    pub tried: Option<u64>,
    /// How many attempts have ended: who waits for one sees by it that there was one.
    pub attempts: u64,
    /// When the content was last known to be what the server has, in milliseconds since 1970.
    pub succeeded: Option<u64>,
    /// How many attempts in a row went wrong.
    pub troubles: u32,
    /// The code of what went wrong in the last attempt.
    pub wrong: Option<String>,
}

impl Versioned for State {
    fn version(&mut self) -> &mut u32 {
        &mut self.version
    }
}

/// The slots of one feed.
#[derive(Debug, Clone)]
pub struct Slots {
    lease: String,
    state: String,
    content: [String; 2],
    last: String,
}

impl Slots {
    /// The slots for an [id](super::Source::id) and the [id of its place](super::Source::place_id).
    #[must_use]
    pub fn new(id: &[u8; 32], place: &[u8; 32]) -> Self {
        let name = |id: &[u8; 32], name: &str| {
            let id: String = hex(id).chars().take(32).collect();
            format!("{PREFIX}.{id}.{name}")
        };
        let slot = |what: &str| name(id, what);
        let content = [slot("content.0"), slot("content.1")];
        Self { lease: slot("lease"), state: slot("state"), content, last: name(place, "last") }
    }

    /// Who asks just now.
    ///
    /// # Errors
    /// When the proxy does not say.
    pub fn lease(&self, host: &mut dyn Host) -> Result<Found<Lease>, Broken> {
        Ok(versioned(read(host, &self.lease)?))
    }

    /// Replaces the lease; `false` if somebody else was faster.
    ///
    /// # Errors
    /// When the proxy does not do it.
    pub fn set_lease(&self, host: &mut dyn Host, lease: &Lease, over: Option<u32>) -> Result<bool, Broken> {
        write(host, &self.lease, lease, over)
    }

    /// How it goes.
    ///
    /// # Errors
    /// When the proxy does not say.
    pub fn state(&self, host: &mut dyn Host) -> Result<Found<State>, Broken> {
        let (mut state, version): Found<State> = versioned(read(host, &self.state)?);
        // It goes into a header.
        if let Some(content) = state.as_mut().and_then(|state| state.content.as_mut()) {
            content.tag = content.tag.take().filter(|tag| is_tag(tag.as_bytes()));
        }
        Ok((state, version))
    }

    /// Replaces the state; `false` if somebody else was faster.
    ///
    /// # Errors
    /// When the proxy does not do it.
    pub fn set_state(
        &self,
        host: &mut dyn Host,
        mut state: State,
        over: Option<u32>,
    ) -> Result<bool, Broken> {
        state.version = VERSION;
        write(host, &self.state, &state, over)
    }

    /// Content.
    ///
    /// # Errors
    /// When the proxy does not give it.
    pub fn content(&self, host: &mut dyn Host, second: bool) -> Result<Found<Vec<u8>>, Broken> {
        let mut bytes = Vec::new();
        match host.load(self.slot(second), &mut bytes) {
            Loaded::Present(version) => Ok((Some(bytes), Some(version))),
            Loaded::Absent => Ok((None, None)),
            Loaded::Failed => Err(Broken),
        }
    }

    /// Replaces content; `false` if somebody else was faster.
    ///
    /// # Errors
    /// When the proxy does not do it.
    pub fn set_content(
        &self,
        host: &mut dyn Host,
        second: bool,
        bytes: &[u8],
        over: Option<u32>,
    ) -> Result<bool, Broken> {
        stored(host.store(self.slot(second), bytes, over))
    }

    /// What was fetched last at this place under any policy, and when, in milliseconds since 1970.
    ///
    /// # Errors
    /// When the proxy does not give it.
    pub fn last(&self, host: &mut dyn Host) -> Result<Option<(u64, Vec<u8>)>, Broken> {
        let mut bytes = Vec::new();
        match host.load(&self.last, &mut bytes) {
            Loaded::Present(_) => {
                let last = bytes.split_first_chunk();
                Ok(last.map(|(time, content)| (u64::from_be_bytes(*time), content.to_owned())))
            }
            Loaded::Absent => Ok(None),
            Loaded::Failed => Err(Broken),
        }
    }

    /// Notes what was fetched last at this place, in one write. If it fails there is only less for a new policy to begin with.
    pub fn set_last(&self, host: &mut dyn Host, time: u64, content: &[u8]) {
        let version = match host.load(&self.last, &mut Vec::new()) {
            Loaded::Present(version) => Some(version),
            Loaded::Absent => None,
            Loaded::Failed => return,
        };
        host.store(&self.last, &[&time.to_be_bytes(), content].concat(), version);
    }

    fn slot(&self, second: bool) -> &str {
        let [one, two] = &self.content;
        if second { two } else { one }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::TestHost;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_and_only_over_what_was_read() {
        let (mut host, slots) = (TestHost::default(), Slots::new(&[1; 32], &[2; 32]));
        let state = |attempts| State { attempts, wrong: Some("x".into()), ..State::default() };
        assert_eq!(slots.state(&mut host), Ok((None, None)));
        assert_eq!(slots.set_state(&mut host, state(1), None), Ok(true));
        assert_eq!(slots.set_state(&mut host, state(2), None), Ok(false));
        let (found, version) = slots.state(&mut host).unwrap();
        assert_eq!(found.map(|state| state.attempts), Some(1));
        assert_eq!(slots.set_state(&mut host, state(3), version), Ok(true));
        assert_eq!(slots.set_state(&mut host, state(4), version), Ok(false));
        assert_eq!(slots.set_content(&mut host, false, b"a", None), Ok(true));
        assert_eq!(slots.content(&mut host, true), Ok((None, None)));
        assert_eq!(slots.content(&mut host, false).unwrap().0.as_deref(), Some(b"a".as_slice()));
        host.broken = true;
        assert_eq!(slots.state(&mut host), Err(Broken));
    }

    #[test]
    fn a_feed_has_five_keys_and_never_another() {
        let (mut host, slots) = (TestHost::default(), Slots::new(&[1; 32], &[2; 32]));
        for round in 0..5 {
            let (_, version) = slots.state(&mut host).unwrap();
            slots.set_state(&mut host, State { attempts: round, ..State::default() }, version).unwrap();
            let (_, version) = slots.lease(&mut host).unwrap();
            slots.set_lease(&mut host, &Lease::new(round, 1), version).unwrap();
            slots.set_last(&mut host, round, b"x");
            for second in [false, true] {
                let (_, version) = slots.content(&mut host, second).unwrap();
                slots.set_content(&mut host, second, b"x", version).unwrap();
            }
        }
        assert_eq!(host.slots.lock().unwrap().len(), 5);
        assert_eq!(slots.last(&mut host), Ok(Some((4, b"x".to_vec()))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (mut host, slots) = (TestHost::default(), Slots::new(&[1; 32], &[2; 32]));
            host.store(&slots.state, &bytes, None);
            host.store(&slots.lease, &bytes, None);
            host.store(&slots.last, &bytes, None);
            prop_assert_eq!(slots.last(&mut host).unwrap().is_some(), bytes.len() >= 8);
            prop_assert!(slots.state(&mut host).is_ok_and(|(_, version)| version.is_some()));
            prop_assert!(slots.lease(&mut host).is_ok());
        }
    }
}
