//! Taking over what another worker, or this one in an earlier life, has accepted.

use std::cmp::Reverse;

use super::failure::{Failure, Fault};
use super::follower::{Follower, InForce, Tick, Tried};
use super::record::{Broken, Digest, Floor, Mark, Slots, State};
use super::schedule;
use crate::envelope::key::sha256;
use crate::envelope::{self, Kind, Refused, Vouched};
use crate::host::Host;

/// The waits before what did not come into force is tried again, in milliseconds.
const WAITS: (u64, u64) = (1_000, 30_000);

/// What may be taken over, and where it lies.
struct Candidate {
    slots: Slots,
    mark: Mark,
    bytes: Digest,
    second: bool,
    /// Whether this trust is known to have accepted it, so that it is news if it does not any more.
    counts: bool,
}

impl Follower {
    /// What was accepted before, if it is to come into force here; and whether a bundle ever was in force anywhere, as far as
    /// anybody knows. Under a trust that is new, that is what was accepted under another, if this one vouches for it too.
    pub fn resume(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        mine: Option<&Mark>,
    ) -> (Option<Result<Vouched, Failure>>, bool) {
        let (Ok((state, version)), Ok((floor, written)), Ok(ever)) =
            (self.slots.state(host), self.slots.floor(host), self.slots.ever(host))
        else {
            return (None, true);
        };
        // A record that cannot be read may have said so.
        let spoilt = state.is_none() && version.is_some();
        let state = state.unwrap_or_default();
        let ever = ever || spoilt || written.is_some() || state.accepted.is_some();
        (self.pick(host, now, mine, &state, version, floor.as_ref()), ever)
    }

    /// What there is to do now, in milliseconds since 1970, with what is in force here.
    pub fn tick(&mut self, host: &mut dyn Host, now: u64, mine: Option<&Mark>) -> Tick {
        if mine.is_some() && !self.noted {
            self.noted = self.slots.note_ever(host);
        }
        let Ok((state, version)) = self.slots.state(host) else { return Tick::default() };
        let (floor, written) = self.slots.floor(host).unwrap_or_default();
        let state = state.unwrap_or_default();
        let ever = written.is_some() || state.accepted.is_some();
        let picked = self.pick(host, now, mine, &state, version, floor.as_ref());
        // What was picked up is in force here only after this tick: whoever asks before that asks for all of it again.
        let ask = if matches!(picked, Some(Ok(_))) { None } else { self.poll(host, now, mine, &state) };
        Tick { state: Some(state), ever, picked, ask }
    }

    /// Whether a floor is one that this trust would have accepted.
    pub(super) fn counts(&self, floor: &Floor) -> bool {
        self.trust.is_met_by(&floor.signers, &floor.mark.name)
    }

    /// The newest that was accepted, if it is newer than what is in force here.
    fn pick(
        &mut self,
        host: &mut dyn Host,
        now: u64,
        mine: Option<&Mark>,
        state: &State,
        version: Option<u32>,
        floor: Option<&Floor>,
    ) -> Option<Result<Vouched, Failure>> {
        let mut candidates = Vec::new();
        if let Some(floor) = floor
            && let Some(slots) = Slots::at(&floor.home, &self.source.id())
        {
            let Floor { mark, bytes, second, .. } = floor.clone();
            // Its signers are those that the trust of whoever wrote it knows; the artifact may have more.
            let counts = self.counts(floor);
            candidates.push(Candidate { slots, mark, bytes, second, counts });
        }
        if let Some(accepted) = &state.accepted {
            let (slots, mark) = (self.slots.clone(), accepted.mark.clone());
            let (bytes, second) = (accepted.bytes, accepted.second);
            candidates.push(Candidate { slots, mark, bytes, second, counts: true });
        }
        candidates.sort_by_key(|candidate| Reverse(candidate.mark.revision));
        let mut wrong = None;
        for candidate in candidates {
            let Candidate { mark, bytes, .. } = &candidate;
            let goes_back = mine.is_some_and(|mine| mine.revision == mark.revision)
                || self
                    .least(mine)
                    .is_some_and(|least| least.name != mark.name || least.revision > mark.revision);
            if goes_back || !self.may_try(*bytes, now) {
                continue;
            }
            match self.take(host, now, mine, &candidate, floor) {
                Ok(vouched) => return Some(Ok(vouched)),
                // What was accepted under another trust is nothing that this one misses.
                Err(_) if !candidate.counts => continue,
                Err(failure) => {
                    wrong.get_or_insert(failure);
                }
            }
            let own = candidate.slots.id() == self.slots.id();
            if let Some(accepted) = state.accepted.as_ref().filter(|accepted| own && !accepted.torn) {
                // Whoever asks next asks for all of it.
                let mut torn = state.clone();
                torn.accepted = Some(super::record::Accepted { torn: true, ..accepted.clone() });
                let _ = self.slots.set_state(host, torn, version);
            }
        }
        wrong.map(Err)
    }

    /// Whether to try these bytes now: what fails for a passing reason is tried again soon.
    fn may_try(&mut self, bytes: Digest, now: u64) -> bool {
        let (least, most) = WAITS;
        if let Some(tried) = self.tried.iter_mut().find(|tried| tried.bytes == bytes) {
            if !schedule::due(tried.again, now, tried.wait) {
                return false;
            }
            tried.wait = tried.wait.saturating_mul(2).min(most);
            tried.again = now.saturating_add(tried.wait);
            return true;
        }
        self.tried.truncate(3);
        self.tried.insert(0, Tried { bytes, again: now.saturating_add(least), wait: least });
        true
    }

    /// Judges what lies in shared data. It is not believed: the artifact is judged as if it had just come, but that one which was
    /// accepted here before may have expired since.
    fn take(
        &self,
        host: &mut dyn Host,
        now: u64,
        mine: Option<&Mark>,
        candidate: &Candidate,
        floor: Option<&Floor>,
    ) -> Result<Vouched, Failure> {
        let wrong = |detail| Failure::new(Fault::NotShared, detail);
        let bytes = match candidate.slots.bytes(host, candidate.second) {
            Ok((Some(bytes), _)) if sha256(&bytes) == candidate.bytes.0 => bytes,
            Ok((None, _)) => return Err(wrong("what was accepted is not in shared data")),
            Ok(_) => return Err(wrong("what is in shared data is not what was accepted")),
            Err(Broken) => return Err(wrong("shared data cannot be read")),
        };
        let vouched = envelope::vouch(&bytes, &self.trust, self.least(mine).map(Mark::current))?;
        if InForce::of(vouched.about(), vouched.digest()).mark != candidate.mark {
            return Err(wrong("what is in shared data is not what it is said to be"));
        }
        let was_accepted = floor.is_some_and(|floor| floor.mark == candidate.mark);
        match vouched.in_time(now / 1_000) {
            Err(Refused { kind: Kind::Expired, .. }) if was_accepted => Ok(vouched),
            Err(refused) => Err(refused.into()),
            Ok(()) => Ok(vouched),
        }
    }
}
