//! Counts what ran, and holds the list of vectors that are answered otherwise than they are marked.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Vectors that get another answer here than they are marked with, and the reason. They are run too: the
/// day one of them gets the answer it is marked with, its entry is stale and the test says so.
#[derive(Debug, Clone)]
pub struct Deviation {
    /// The numbers (`tcId`).
    pub ids: &'static [RangeInclusive<u64>],
    /// Why.
    pub reason: &'static str,
}

/// The outcome of one file.
#[derive(Debug)]
pub struct Tally {
    file: &'static str,
    deviations: &'static [Deviation],
    valid: usize,
    invalid: usize,
    deviated: BTreeSet<u64>,
    wrong: Vec<String>,
}

impl Tally {
    /// Starts to count for one file.
    #[must_use]
    pub fn new(file: &'static str, deviations: &'static [Deviation]) -> Self {
        Self { file, deviations, valid: 0, invalid: 0, deviated: BTreeSet::new(), wrong: Vec::new() }
    }

    /// Records one vector: how it is marked, and whether it was accepted.
    pub fn record(&mut self, id: u64, comment: &str, marked_valid: bool, accepted: bool) {
        let listed =
            self.deviations.iter().flat_map(|deviation| deviation.ids).any(|range| range.contains(&id));
        match (marked_valid, accepted) {
            _ if listed && marked_valid != accepted => {
                self.deviated.insert(id);
            }
            (true, true) => self.valid += 1,
            (false, false) => self.invalid += 1,
            (true, false) => self.wrong.push(format!("{id} ({comment}) is valid and was refused")),
            (false, true) => self.wrong.push(format!("{id} ({comment}) is invalid and was accepted")),
        }
    }

    /// Records a failure of another kind.
    pub fn fail(&mut self, problem: String) {
        self.wrong.push(problem);
    }

    /// Prints the counts.
    ///
    /// # Errors
    /// When a vector got the wrong answer, a listed one did not deviate, or one of the halves is empty.
    pub fn finish(mut self) -> Result<(), String> {
        let Self { file, valid, invalid, .. } = self;
        println!(
            "{file}: {valid} valid verified, {invalid} invalid refused, {} skipped:",
            self.deviated.len()
        );
        for Deviation { ids, reason } in self.deviations {
            println!("  {ids:?}: {reason}");
            for id in ids.iter().cloned().flatten().filter(|id| !self.deviated.contains(id)) {
                self.wrong.push(format!("{id} is listed as a skip and needs none; take it off the list"));
            }
        }
        if valid == 0 || invalid == 0 {
            self.wrong.push("a run without valid or without invalid vectors proves nothing".to_owned());
        }
        if self.wrong.is_empty() { Ok(()) } else { Err(format!("{file}: {}", self.wrong.join("; "))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[Deviation] = &[Deviation { ids: &[7..=7], reason: "for the test" }];

    #[test]
    fn both_halves_count() {
        let run = |vectors: &[(u64, bool, bool)]| {
            let mut tally = Tally::new("x", LIST);
            for (id, marked, accepted) in vectors {
                tally.record(*id, "", *marked, *accepted);
            }
            tally.finish()
        };
        assert!(run(&[(1, true, true), (2, false, false), (7, true, false)]).is_ok());
        assert!(run(&[]).is_err(), "empty");
        assert!(run(&[(1, true, true), (7, true, false)]).is_err(), "no invalid one");
        assert!(run(&[(2, false, false), (7, true, false)]).is_err(), "no valid one");
        assert!(run(&[(1, true, true), (2, false, false)]).is_err(), "a stale entry");
        assert!(run(&[(1, true, true), (2, false, false), (7, true, true)]).is_err(), "a stale entry");
        assert!(run(&[(1, true, false), (2, false, false), (7, true, false)]).is_err());
        assert!(run(&[(1, true, true), (2, false, true), (7, true, false)]).is_err());
    }
}
