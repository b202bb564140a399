//! Many names, and what is said of each.
//!
//! One text and sixteen bytes for each name: 100,000 names of 36 bytes are 5.3 MB. A search by halves looks at 17
//! of them.

use super::plan::NamesPlan;

/// The most names of a list.
pub const MAX_NAMES: usize = 250_000;

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 512;

/// A second so late that it never comes, or that everything was before it. 2106 is as good as that.
const NEVER: u32 = u32::MAX;

/// An entry as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry<'n> {
    pub(super) name: &'n str,
    /// The number of the issuer that is meant; `None` for all.
    pub(super) issuer: Option<u16>,
    /// The second before which the entry matters; `None` for ever.
    pub(super) until: Option<u64>,
    /// The second before which a token must have been issued to be meant; `None` for all.
    pub(super) before: Option<u64>,
}

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    text: String,
    entries: Vec<Held>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    /// Where the name ends in the text; a line break follows.
    end: u32,
    until: u32,
    before: u32,
    /// The number of the issuer plus one, or 0.
    issuer: u16,
}

/// What is said of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    /// Everything that was issued before this second; `None` for everything.
    pub(super) before: Option<u64>,
}

impl Names {
    /// The entries, in whichever order they come.
    ///
    /// # Errors
    /// When there are too many of them, or a name is none.
    pub(super) fn new(mut entries: Vec<Entry<'_>>) -> Result<Self, &'static str> {
        if entries.len() > MAX_NAMES {
            return Err("has more than 250,000 entries");
        }
        entries.sort_unstable();
        let mut names = Self::default();
        names.entries.reserve_exact(entries.len());
        names.text.reserve_exact(entries.iter().map(|entry| entry.name.len().saturating_add(1)).sum());
        for entry in entries {
            names.push(entry)?;
        }
        Ok(names)
    }

    /// What a plan says, which must be in order.
    pub(super) fn load(plan: &NamesPlan, issuers: usize) -> Result<Self, &'static str> {
        let count = usize::try_from(plan.count).unwrap_or(usize::MAX);
        if count > MAX_NAMES {
            return Err("has more than 250,000 entries");
        }
        let columns = [plan.until.len(), plan.before.len(), plan.issuer.len()];
        if columns.iter().any(|length| *length != 0 && *length != count) {
            return Err("has columns of several lengths; build the bundle anew");
        }
        let mut names = Self::default();
        names.entries.reserve_exact(count);
        names.text.reserve_exact(plan.names.len().saturating_add(1));
        let second = |column: &[u64], index: usize| column.get(index).copied().filter(|second| *second != 0);
        let mut before: Option<&str> = None;
        for (index, name) in plan.names.split('\n').take(if count == 0 { 0 } else { usize::MAX }).enumerate()
        {
            if before.replace(name).is_some_and(|before| before > name) {
                return Err("is not in order; build the bundle anew");
            }
            let issuer = match plan.issuer.get(index).copied().unwrap_or(0) {
                0 => None,
                number if usize::try_from(number).is_ok_and(|number| number <= issuers) => {
                    u16::try_from(number.saturating_sub(1)).ok()
                }
                _ => return Err("has an issuer that is not there; build the bundle anew"),
            };
            let (until, before) = (second(&plan.until, index), second(&plan.before, index));
            names.push(Entry { name, issuer, until, before })?;
        }
        if names.entries.len() != count || count == 0 && !plan.names.is_empty() {
            return Err("does not have as many names as it says; build the bundle anew");
        }
        Ok(names)
    }

    fn push(&mut self, entry: Entry<'_>) -> Result<(), &'static str> {
        if entry.name.is_empty()
            || entry.name.len() > MAX_NAME_BYTES
            || entry.name.chars().any(char::is_control)
        {
            return Err("has a name that is empty, longer than 512 bytes, or with control characters");
        }
        // Beyond 2106 an entry lasts for ever and means everything: more is revoked, never less.
        let late = |second: Option<u64>| second.map_or(NEVER, |s| u32::try_from(s).unwrap_or(NEVER));
        self.text.push_str(entry.name);
        let held = Held {
            end: u32::try_from(self.text.len()).map_err(|_| "is too large")?,
            until: late(entry.until),
            before: late(entry.before),
            issuer: entry.issuer.map_or(0, |issuer| issuer.saturating_add(1)),
        };
        self.text.push('\n');
        self.entries.push(held);
        Ok(())
    }

    fn name(&self, index: usize) -> &str {
        let end = |index: usize| self.entries.get(index).and_then(|held| usize::try_from(held.end).ok());
        let start = match index.checked_sub(1) {
            Some(before) => end(before).unwrap_or_default().saturating_add(1),
            None => 0,
        };
        end(index).and_then(|end| self.text.get(start..end)).unwrap_or_default()
    }

    /// What is said of a name of this issuer, at this second, by the entry that means most.
    pub(super) fn find(&self, name: &str, issuer: Option<u16>, now: u64) -> Option<Said> {
        if self.entries.is_empty() {
            return None;
        }
        let (mut from, mut to) = (0, self.entries.len());
        while from < to {
            let middle = from.midpoint(to);
            if self.name(middle) < name { from = middle.saturating_add(1) } else { to = middle }
        }
        let of_issuer = |held: &Held| {
            held.issuer == 0 || issuer.map(|issuer| issuer.saturating_add(1)) == Some(held.issuer)
        };
        let matters = |held: &Held| held.until == NEVER || now < u64::from(held.until);
        (from..self.entries.len())
            .take_while(|index| self.name(*index) == name)
            .filter_map(|index| self.entries.get(index))
            .filter(|held| of_issuer(held) && matters(held))
            .map(|held| held.before)
            .max()
            .map(|before| Said { before: (before != NEVER).then_some(u64::from(before)) })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
