//! What workers share, and how it is written down.
//!
//! Whoever reads a record gets it from shared data, which other workers, older releases and other modules of the same
//! `vm_id` may have written: what cannot be read counts as absent, and nothing in it is believed that matters.

use serde::{Deserialize, Serialize};

use super::answer::is_tag;
use super::source::is_digest;
use crate::envelope::Current;
use crate::envelope::key::hex;
use crate::host::{Host, Loaded, Stored};

/// The version of these records.
const VERSION: u32 = 1;

/// How all keys begin. The number is that of the records, so that two releases in one process do not write over each other's.
const PREFIX: &str = "follow.1";

/// The longest record that is read.
const LONGEST: usize = 8 * 1024;

/// A bundle that is or was in force, for comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Its name.
    pub name: String,
    /// Its revision.
    pub revision: u64,
    /// The SHA-256 of its payload.
    pub digest: Digest,
}

impl Mark {
    /// The same, for the envelope's checks.
    #[must_use]
    pub fn current(&self) -> Current<'_> {
        Current { name: &self.name, revision: self.revision, digest: self.digest.0 }
    }
}

/// The newest bundle that was ever accepted from a source, under any trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// What it is.
    pub mark: Mark,
    /// Which slots it lies in: see [`Slots::id`].
    pub home: String,
    /// The SHA-256 of the artifact as it came.
    pub bytes: Digest,
    /// In which of the two slots the artifact lies.
    pub second: bool,
    /// The identifiers of the keys that vouched for it. Under a trust that they would not satisfy it counts for nothing: a
    /// key that is not trusted any more must not stop those that are.
    pub signers: Vec<String>,
}

/// A SHA-256, in hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        hex(&digest.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "not 64 hexadecimal digits";
        let digit = |b: u8| match b {
            b'0'..=b'9' => Ok(b - b'0'),
            b'a'..=b'f' => Ok(b - b'a' + 10),
            _ => Err(WRONG),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if !rest.is_empty() {
            return Err(WRONG);
        }
        let bytes = pairs.iter().map(|[high, low]| Ok(digit(*high)? << 4 | digit(*low)?));
        let bytes: Vec<u8> = bytes.collect::<Result<_, Self::Error>>()?;
        bytes.try_into().map(Self).map_err(|_| WRONG)
    }
}

/// What was accepted last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// What it is.
    pub mark: Mark,
    /// The SHA-256 of the artifact as it came.
    pub bytes: Digest,
    /// In which of the two slots the artifact lies.
    pub second: bool,
    /// What the server calls it: an entity tag, or the digest of a manifest.
    pub tag: Option<String>,
    /// Somebody found other bytes: whoever asks next asks for all of it.
    pub torn: bool,
}

/// How following goes, for all workers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    /// What was accepted last.
    pub accepted: Option<Accepted>,
    /// When to ask again, in milliseconds since 1970.
    pub next: u64,
    /// How far ahead that was when it was planned, in milliseconds.
    pub wait: u64,
    /// When a poll was good, in seconds since 1970.
    pub succeeded: Option<u64>,
    /// How many polls in a row the server was in trouble.
    pub troubles: u32,
    /// The code of what went wrong in the last poll.
    pub wrong: Option<String>,
}

/// Who asks just now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    version: u32,
    /// Until when, in milliseconds since 1970.
    pub until: u64,
    /// The number that whoever asks has drawn.
    pub holder: u64,
}

impl Lease {
    /// A lease.
    #[must_use]
    pub const fn new(until: u64, holder: u64) -> Self {
        Self { version: VERSION, until, holder }
    }
}

/// A record, and the version to write it over; nothing, if there is none yet.
pub type Found<T> = (Option<T>, Option<u32>);

/// The proxy did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

pub(crate) trait Versioned {
    fn version(&mut self) -> &mut u32;
}

impl Versioned for State {
    fn version(&mut self) -> &mut u32 {
        &mut self.version
    }
}

impl Versioned for Lease {
    fn version(&mut self) -> &mut u32 {
        &mut self.version
    }
}

/// The slots of one source.
#[derive(Debug, Clone)]
pub struct Slots {
    id: String,
    lease: String,
    state: String,
    bytes: [String; 2],
    floor: String,
}

impl Slots {
    /// The slots for a source under a trust. What may never be rolled back is remembered for the source alone, for
    /// a change of keys must not make one forget it.
    #[must_use]
    pub fn new(source: &[u8; 32], trust: &[u8]) -> Self {
        let id = hex(&crate::envelope::key::sha256(&[source.as_slice(), trust].concat()));
        Self::of(id.chars().take(32).collect(), source)
    }

    /// The slots of an [id](Slots::id) that was found in shared data.
    #[must_use]
    pub fn at(id: &str, source: &[u8; 32]) -> Option<Self> {
        let good = id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| Self::of(id.to_owned(), source))
    }

    /// By what slots are told apart.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn of(id: String, source: &[u8; 32]) -> Self {
        let source: String = hex(source).chars().take(32).collect();
        Self {
            lease: format!("{PREFIX}.{id}.lease"),
            state: format!("{PREFIX}.{id}.state"),
            bytes: [format!("{PREFIX}.{id}.bytes.0"), format!("{PREFIX}.{id}.bytes.1")],
            floor: format!("{PREFIX}.{source}.floor"),
            id,
        }
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

    /// How following goes.
    ///
    /// # Errors
    /// When the proxy does not say.
    pub fn state(&self, host: &mut dyn Host) -> Result<Found<State>, Broken> {
        let (mut state, version): Found<State> = versioned(read(host, &self.state)?);
        // It goes into a header.
        let good = |tag: &String| is_tag(tag.as_bytes()) || is_digest(tag);
        if let Some(accepted) = state.as_mut().and_then(|state| state.accepted.as_mut()) {
            accepted.tag = accepted.tag.take().filter(good);
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

    /// The newest bundle that was ever accepted from the source.
    ///
    /// # Errors
    /// When the proxy does not say.
    pub fn floor(&self, host: &mut dyn Host) -> Result<Found<Floor>, Broken> {
        read(host, &self.floor)
    }

    /// Replaces the newest bundle that was ever accepted; `false` if somebody else was faster.
    ///
    /// # Errors
    /// When the proxy does not do it.
    pub fn set_floor(&self, host: &mut dyn Host, floor: &Floor, over: Option<u32>) -> Result<bool, Broken> {
        write(host, &self.floor, floor, over)
    }

    /// Whether a bundle was ever in force in any worker, from whatever source.
    ///
    /// # Errors
    /// When the proxy does not say.
    pub fn ever(&self, host: &mut dyn Host) -> Result<bool, Broken> {
        let mut bytes = Vec::new();
        match host.load(&format!("{PREFIX}.ever"), &mut bytes) {
            Loaded::Present(_) => Ok(true),
            Loaded::Absent => Ok(false),
            Loaded::Failed => Err(Broken),
        }
    }

    /// Notes that a bundle was in force; true if that is known from now on.
    pub fn note_ever(&self, host: &mut dyn Host) -> bool {
        host.store(&format!("{PREFIX}.ever"), b"1", None) != Stored::Failed
    }

    /// An artifact.
    ///
    /// # Errors
    /// When the proxy does not give it.
    pub fn bytes(&self, host: &mut dyn Host, second: bool) -> Result<Found<Vec<u8>>, Broken> {
        let [one, two] = &self.bytes;
        let mut bytes = Vec::new();
        match host.load(if second { two } else { one }, &mut bytes) {
            Loaded::Present(version) => Ok((Some(bytes), Some(version))),
            Loaded::Absent => Ok((None, None)),
            Loaded::Failed => Err(Broken),
        }
    }

    /// Replaces an artifact; `false` if somebody else was faster.
    ///
    /// # Errors
    /// When the proxy does not do it.
    pub fn set_bytes(
        &self,
        host: &mut dyn Host,
        second: bool,
        bytes: &[u8],
        over: Option<u32>,
    ) -> Result<bool, Broken> {
        let [one, two] = &self.bytes;
        stored(host.store(if second { two } else { one }, bytes, over))
    }
}

/// A record of another version is none.
pub(crate) fn versioned<T: Versioned>((mut record, version): Found<T>) -> Found<T> {
    if record.as_mut().is_some_and(|record| *record.version() != VERSION) {
        record = None;
    }
    (record, version)
}

pub(crate) fn read<T: for<'de> Deserialize<'de>>(
    host: &mut dyn Host,
    slot: &str,
) -> Result<Found<T>, Broken> {
    let mut bytes = Vec::new();
    match host.load(slot, &mut bytes) {
        Loaded::Present(version) => {
            let record = Some(&bytes).filter(|bytes| bytes.len() <= LONGEST);
            Ok((record.and_then(|bytes| serde_json::from_slice(bytes).ok()), Some(version)))
        }
        Loaded::Absent => Ok((None, None)),
        Loaded::Failed => Err(Broken),
    }
}

pub(crate) fn write<T: Serialize>(
    host: &mut dyn Host,
    slot: &str,
    record: &T,
    over: Option<u32>,
) -> Result<bool, Broken> {
    let bytes = serde_json::to_vec(record).map_err(|_| Broken)?;
    stored(host.store(slot, &bytes, over))
}

pub(crate) const fn stored(stored: Stored) -> Result<bool, Broken> {
    match stored {
        Stored::Yes => Ok(true),
        Stored::Conflict => Ok(false),
        Stored::Failed => Err(Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::TestHost;
    use proptest::prelude::*;

    fn state(revision: u64, tag: Option<String>) -> State {
        let mark = Mark { name: "edge".into(), revision, digest: Digest([7; 32]) };
        let accepted = Some(Accepted { mark, bytes: Digest([9; 32]), second: true, tag, torn: false });
        State {
            accepted,
            next: 5,
            succeeded: Some(6),
            troubles: 7,
            wrong: Some("x".into()),
            ..State::default()
        }
    }

    #[test]
    fn what_is_written_is_read_and_only_over_what_was_read() {
        let (mut host, slots) = (TestHost::default(), Slots::new(&[1; 32], b"trust"));
        assert_eq!(slots.state(&mut host), Ok((None, None)));
        assert_eq!(slots.set_state(&mut host, state(1, None), None), Ok(true));
        assert_eq!(slots.set_state(&mut host, state(2, None), None), Ok(false));
        let (found, version) = slots.state(&mut host).unwrap();
        assert_eq!(found.map(|state| state.accepted), Some(state(1, None).accepted));
        assert_eq!(slots.set_state(&mut host, state(3, Some("\"a\"".into())), version), Ok(true));
        assert_eq!(slots.set_state(&mut host, state(4, None), version), Ok(false));
        assert_eq!(slots.set_bytes(&mut host, false, b"a", None), Ok(true));
        assert_eq!(slots.bytes(&mut host, true), Ok((None, None)));
        assert_eq!(slots.bytes(&mut host, false).unwrap().0.as_deref(), Some(b"a".as_slice()));
        host.broken = true;
        assert_eq!(slots.state(&mut host), Err(Broken));
        assert_eq!(slots.set_state(&mut host, state(5, None), version), Err(Broken));
    }

    #[test]
    fn two_sources_and_two_trusts_share_nothing_but_what_they_should() {
        let [one, two, three] = [([1; 32], b"a"), ([1; 32], b"b"), ([2; 32], b"a")]
            .map(|(source, trust)| Slots::new(&source, trust));
        assert!(one.state != two.state && one.state != three.state && two.state != three.state);
        assert!(one.floor == two.floor && one.floor != three.floor);
    }

    #[test]
    fn a_record_of_another_version_is_none() {
        let (mut host, slots) = (TestHost::default(), Slots::new(&[1; 32], b"trust"));
        let mut later = serde_json::to_value(state(1, None)).unwrap();
        later["version"] = (VERSION + 1).into();
        host.store(&slots.state, later.to_string().as_bytes(), None);
        let (found, version) = slots.state(&mut host).unwrap();
        assert!(found.is_none() && version.is_some(), "it can be written over");
    }

    #[test]
    fn what_is_no_tag_is_never_sent() {
        let (mut host, slots) = (TestHost::default(), Slots::new(&[1; 32], b"trust"));
        for (tag, kept) in [("\"a\"", true), ("x\r\nhost: y", false), ("\"a\r\nb: c\"", false)] {
            let (_, version) = slots.state(&mut host).unwrap();
            assert_eq!(slots.set_state(&mut host, state(1, Some(tag.into())), version), Ok(true));
            let found = slots.state(&mut host).unwrap().0.unwrap().accepted.unwrap().tag;
            assert_eq!(found.is_some(), kept, "{tag:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (mut host, slots) = (TestHost::default(), Slots::new(&[1; 32], b""));
            host.store(&slots.state, &bytes, None);
            host.store(&slots.lease, &bytes, None);
            host.store(&slots.floor, &bytes, None);
            prop_assert!(slots.state(&mut host).is_ok_and(|(_, version)| version.is_some()));
            prop_assert!(slots.lease(&mut host).is_ok() && slots.floor(&mut host).is_ok());
        }

        #[test]
        fn digests_are_read_as_they_are_written(bytes: [u8; 32], text in "[0-9a-fA-F]{62,66}") {
            prop_assert_eq!(Digest::try_from(String::from(Digest(bytes))), Ok(Digest(bytes)));
            if let Ok(digest) = Digest::try_from(text.clone()) {
                prop_assert_eq!(String::from(digest), text);
            }
        }
    }
}
