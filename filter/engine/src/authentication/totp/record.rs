//! What the workers remember together of one user and her secret: which codes were used, which attempts failed, which
//! credentials a code has raised.
//!
//! The record has room for a fixed number of each, so a slot never grows beyond [`MAX_BYTES`].

/// The most failed attempts that are remembered, and so the most that a policy may allow.
pub(super) const FAILURES: usize = 10;

/// How many raised credentials of a user are remembered: one for each device, say.
const RAISED: usize = 4;

/// What the record of this form begins with.
pub(super) const VERSION: u8 = 2;

/// The longest record: version, step, and two lists with a length before each.
#[cfg(test)]
const MAX_BYTES: usize = 1 + 8 + 2 + FAILURES * 8 + RAISED * 24;

/// The fingerprint of a credential.
pub(super) type Credential = [u8; 16];

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The latest time step whose code was used: one that is not later is used up.
    /// Zero before the first; the codes of that step are of January 1970.
    pub(super) step: u64,
    /// The seconds of failed attempts, oldest first.
    failures: Vec<u64>,
    /// Credentials, and the second of the code that raised each; oldest first.
    raised: Vec<(Credential, u64)>,
}

impl Record {
    /// Reads a record. `None` for anything that this engine has not written.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (step, mut rest) = number(rest)?;
        let list = |most: usize, rest: &mut &[u8]| {
            let (count, after) = rest.split_first()?;
            *rest = after;
            let count = usize::from(*count);
            (count <= most).then_some(count)
        };
        let mut failures = Vec::new();
        for _ in 0..list(FAILURES, &mut rest)? {
            let (second, after) = number(rest)?;
            failures.push(second);
            rest = after;
        }
        let mut raised = Vec::new();
        for _ in 0..list(RAISED, &mut rest)? {
            let (credential, after) = rest.split_first_chunk::<16>()?;
            let (second, after) = number(after)?;
            raised.push((*credential, second));
            rest = after;
        }
        rest.is_empty().then_some(Self { step, failures, raised })
    }

    /// Writes the record.
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let count = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        into.clear();
        into.push(VERSION);
        into.extend_from_slice(&self.step.to_le_bytes());
        into.push(count(self.failures.len()));
        self.failures.iter().for_each(|second| into.extend_from_slice(&second.to_le_bytes()));
        into.push(count(self.raised.len()));
        for (credential, second) in &self.raised {
            into.extend_from_slice(credential);
            into.extend_from_slice(&second.to_le_bytes());
        }
    }

    /// How many seconds nobody may try, if as many attempts failed within the last `window` seconds as are allowed.
    /// Exact: an attempt counts for this long and no longer. One that is later than now is of a clock that was set
    /// back since; it counts as now, or a user would be locked out for as long as the clock was wrong.
    pub(super) fn exhausted(&self, allowed: usize, window: u64, now: u64) -> Option<u64> {
        // Times may be out of order after a clock was set back, so each is looked at.
        let mut ends: Vec<u64> = self
            .failures
            .iter()
            .map(|second| (*second).min(now).saturating_add(window))
            .filter(|end| *end > now)
            .collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        // As soon as this one ends, fewer than `allowed` count.
        ends.get(allowed.saturating_sub(1)).map(|end| end.saturating_sub(now))
    }

    /// Notes a failed attempt.
    pub(super) fn fail(&mut self, now: u64) {
        self.failures.iter_mut().for_each(|second| *second = (*second).min(now));
        if self.failures.len() >= FAILURES {
            self.failures.remove(0);
        }
        self.failures.push(now);
    }

    /// Whether a credential was raised less than `span` seconds ago. What seems to lie in the future was raised by a
    /// clock that was set back since, and counts for nothing.
    pub(super) fn is_raised(&self, credential: &Credential, span: u64, now: u64) -> bool {
        self.raised.iter().any(|(raised, second)| {
            raised == credential && now.checked_sub(*second).is_some_and(|age| age < span)
        })
    }

    /// Raises a credential; the one that was raised first goes if there is no room.
    pub(super) fn raise(&mut self, credential: Credential, now: u64) {
        self.raised.retain(|(raised, _)| *raised != credential);
        if self.raised.len() >= RAISED {
            self.raised.remove(0);
        }
        self.raised.push((credential, now));
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(record: &Record) -> Record {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert!(bytes.len() <= MAX_BYTES);
        Record::decode(&bytes).unwrap()
    }

    #[test]
    fn a_record_never_grows() {
        let mut record = Record::default();
        for n in 0..1000_u64 {
            record.step = n;
            record.fail(n);
            record.raise([n as u8; 16], n);
            assert_eq!(round(&record), record);
        }
    }

    #[test]
    fn what_was_not_written_here_is_no_record() {
        let mut bytes = Vec::new();
        Record::default().encode(&mut bytes);
        assert!(Record::decode(&bytes).is_some());
        bytes.push(0);
        assert!(Record::decode(&bytes).is_none(), "more than a record");
        for length in 0..bytes.len() - 1 {
            assert!(Record::decode(&bytes[..length]).is_none(), "cut off");
        }
        assert!(Record::decode(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_none(), "another version");
        let many = [&[VERSION][..], &[0; 8], &[11], &[0; 88], &[0]].concat();
        assert!(Record::decode(&many).is_none(), "more failures than there is room for");
    }

    #[test]
    fn attempts_count_for_the_window_and_no_longer() {
        let mut record = Record::default();
        for second in [100, 110, 120] {
            assert_eq!(record.exhausted(3, 60, second), None);
            record.fail(second);
        }
        assert_eq!(record.exhausted(3, 60, 120), Some(40));
        assert_eq!(record.exhausted(3, 60, 159), Some(1));
        assert_eq!(record.exhausted(3, 60, 160), None);
        // The clock was set back by an hour: the window from now on, and not an hour more.
        record.fail(4000);
        record.fail(4000);
        record.fail(4000);
        assert_eq!(record.exhausted(3, 60, 400), Some(60));
    }

    #[test]
    fn a_credential_is_raised_for_its_span() {
        let mut record = Record::default();
        record.raise([1; 16], 100);
        assert!(record.is_raised(&[1; 16], 60, 100) && record.is_raised(&[1; 16], 60, 159));
        assert!(!record.is_raised(&[1; 16], 60, 160), "over");
        assert!(!record.is_raised(&[1; 16], 60, 99), "the clock was set back");
        assert!(!record.is_raised(&[2; 16], 60, 100), "another credential");
        assert!(!record.is_raised(&[1; 16], 0, 100), "nothing is remembered");
        for n in 2..=5 {
            record.raise([n; 16], 101);
        }
        assert!(!record.is_raised(&[1; 16], 60, 101), "there is room for four");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(record) = Record::decode(&bytes) {
                let mut again = Vec::new();
                record.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
