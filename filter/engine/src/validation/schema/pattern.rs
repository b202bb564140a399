//! Patterns: most are anchored sequences of character classes, which need no regular expression engine.
//!
//! `^[A-Za-z0-9_-]{1,50}$`, `^\d{4}-\d{2}-\d{2}$`, `^[0-9a-f]{64}$`: one look per byte instead of a virtual
//! machine. Everything else goes to `regex-lite`, whose time is linear in the text; neither backtracks.

use regex_lite::{Regex, RegexBuilder};

/// The largest compiled pattern, in bytes; enough for `[a-z]{1000}`.
const MAX_COMPILED: usize = 256 * 1024;

/// The longest pattern.
const MAX_PATTERN: usize = 2048;

/// A loaded pattern.
#[derive(Debug)]
pub(super) enum Pattern {
    /// Anchored runs of ASCII characters.
    Runs(Vec<Run>),
    /// One of some literal beginnings: `^(?:PNG|JFIF)`, however long the text is.
    Beginnings(Vec<String>),
    /// Anything else.
    Regex(Box<Regex>),
}

/// Characters of one class, as many in a row as the bounds say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    class: u128,
    min: u32,
    max: u32,
}

impl Pattern {
    /// Loads a pattern.
    pub(super) fn load(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATTERN {
            return Err(format!("the pattern has more than {MAX_PATTERN} bytes; shorten it"));
        }
        if let Some(runs) = runs(text) {
            return Ok(Self::Runs(runs));
        }
        if let Some(beginnings) = beginnings(text) {
            return Ok(Self::Beginnings(beginnings));
        }
        match RegexBuilder::new(text).size_limit(MAX_COMPILED).build() {
            Ok(regex) => Ok(Self::Regex(Box::new(regex))),
            Err(problem) => Err(format!("the pattern `{text}` cannot be used: {problem}")),
        }
    }

    /// Whether it matches anywhere in a text.
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Runs(runs) => runs_match(runs, text.as_bytes()),
            Self::Beginnings(beginnings) => beginnings.iter().any(|b| text.starts_with(b.as_str())),
            Self::Regex(regex) => regex.is_match(text),
        }
    }

    /// What a match costs per byte, in steps of evaluation.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Self::Runs(_) | Self::Beginnings(_) => 0,
            Self::Regex(regex) => 4 + regex.as_str().len() as u64 / 8,
        }
    }
}

/// Greedy matching is exact here: a run that can vary in length is followed by one that shares no
/// character with it and is not empty, so giving a character back never helps.
fn runs_match(runs: &[Run], text: &[u8]) -> bool {
    let mut rest = text;
    for run in runs {
        let most = rest.iter().take(run.max as usize);
        let taken = most.take_while(|b| **b < 128 && run.class >> **b & 1 == 1).count();
        if taken < run.min as usize {
            return false;
        }
        rest = rest.get(taken..).unwrap_or(b"");
    }
    rest.is_empty()
}

/// Reads `^...$` as runs. `None` for anything that is more than that.
fn runs(pattern: &str) -> Option<Vec<Run>> {
    let inner = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let mut rest = inner.as_bytes();
    let mut runs: Vec<Run> = Vec::new();
    while !rest.is_empty() {
        let (class, after) = class(rest)?;
        let (min, max, after) = repetition(after)?;
        rest = after;
        runs.push(Run { class, min, max });
    }
    let exact = runs
        .iter()
        .zip(runs.iter().skip(1))
        .all(|(one, next)| one.min == one.max || (one.class & next.class == 0 && next.min > 0));
    exact.then_some(runs)
}

/// Reads `^(?:a|b)` and `^a` as literals. `None` for anything that is more than that.
fn beginnings(pattern: &str) -> Option<Vec<String>> {
    let inner = pattern.strip_prefix('^')?;
    let alternatives = match inner.strip_prefix("(?:").and_then(|inner| inner.strip_suffix(')')) {
        Some(alternatives) => alternatives,
        // Without the group, `^` would belong to the first alternative only.
        None if inner.contains('|') => return None,
        None => inner,
    };
    let literal = !alternatives.contains(['\\', '.', '*', '+', '?', '{', '}', '(', ')', '[', ']', '^', '$']);
    literal.then(|| alternatives.split('|').map(str::to_owned).collect())
}

fn bit(byte: u8) -> u128 {
    1_u128.checked_shl(u32::from(byte)).unwrap_or(0)
}

fn between(first: u8, last: u8) -> u128 {
    (first..=last).map(bit).fold(0, |all, one| all | one)
}

fn class(text: &[u8]) -> Option<(u128, &[u8])> {
    let (first, after) = text.split_first()?;
    match first {
        b'[' => bracket(after),
        b'\\' => escape(after),
        b'.' | b'(' | b')' | b'*' | b'+' | b'?' | b'{' | b'}' | b']' | b'|' | b'^' | b'$' => None,
        plain if plain.is_ascii() => Some((bit(*plain), after)),
        _ => None,
    }
}

fn escape(text: &[u8]) -> Option<(u128, &[u8])> {
    let (first, after) = text.split_first()?;
    // `\d`, `\w` and `\s` never get here: the compiler spells them out, as their meaning differs.
    let plain = first.is_ascii_punctuation();
    plain.then_some((bit(*first), after))
}

fn bracket(text: &[u8]) -> Option<(u128, &[u8])> {
    let mut class = 0;
    let mut rest = text;
    loop {
        let (first, after) = rest.split_first()?;
        let single = match first {
            b']' if class != 0 => return Some((class, after)),
            b']' | b'[' | b'^' | b'&' | b'~' => return None,
            b'\\' => escape(after)?,
            plain if plain.is_ascii() => (bit(*plain), after),
            _ => return None,
        };
        let start = single.0.trailing_zeros() as u8;
        rest = single.1;
        if let [b'-', end, ..] = rest
            && *end != b']'
        {
            if !end.is_ascii_alphanumeric() || *end < start {
                return None;
            }
            class |= between(start, *end);
            rest = rest.get(2..)?;
        } else {
            class |= bit(start);
        }
    }
}

fn repetition(text: &[u8]) -> Option<(u32, u32, &[u8])> {
    let bounds = match text.split_first() {
        Some((b'*', after)) => (0, u32::MAX, after),
        Some((b'+', after)) => (1, u32::MAX, after),
        Some((b'?', after)) => (0, 1, after),
        Some((b'{', after)) => {
            let end = after.iter().position(|b| *b == b'}')?;
            let inner = std::str::from_utf8(after.get(..end)?).ok()?;
            let (min, max) = match inner.split_once(',') {
                None => (inner.parse().ok()?, inner.parse().ok()?),
                Some((min, "")) => (min.parse().ok()?, u32::MAX),
                Some((min, max)) => (min.parse().ok()?, max.parse().ok()?),
            };
            (min, max, after.get(end + 1..)?)
        }
        _ => (1, 1, text),
    };
    // A second quantifier, or a lazy one: leave it to the engine that knows.
    let plain = !matches!(bounds.2.first(), Some(b'*' | b'+' | b'?' | b'{')) && bounds.0 <= bounds.1;
    plain.then_some(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn anchored_classes_are_runs() {
        for simple in [
            "^[A-Za-z0-9_-]{1,50}$",
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            "^[0-9a-f]{64}$",
            r"^\+[1-9][0-9]{1,14}$",
            "^$",
            "^a*b+$",
            "^v[0-9]+\\.[0-9]+$",
        ] {
            assert!(matches!(Pattern::load(simple), Ok(Pattern::Runs(_))), "{simple}");
        }
        for other in [
            "[a-z]", "^a", "a$", "^(a|b)$", "^a*a$", "^.$", "^[^a]$", "^a*b*$", "^a+?$", "^é$", "^a|b$",
            "^\\$",
        ] {
            assert!(!matches!(Pattern::load(other), Ok(Pattern::Runs(_))), "{other}");
        }
    }

    #[test]
    fn literal_beginnings_need_no_regular_expression() {
        for (pattern, yes, no) in
            [("^a", "abc", "ba"), ("^(?:iVBO|/9j/)", "/9j/4AAQ", "x/9j/"), ("^", "anything", "")]
        {
            let loaded = Pattern::load(pattern).unwrap();
            assert!(matches!(loaded, Pattern::Beginnings(_)), "{pattern}");
            assert_eq!(loaded.cost(), 0);
            let regex = Regex::new(pattern).unwrap();
            for text in [yes, no] {
                assert_eq!(loaded.matches(text), regex.is_match(text), "{pattern} on {text}");
            }
        }
        for more in ["^a|b", "^(?:a|b)c", "^(?:a)|(?:b)", "^(?:a.)", "^a+", "^a$b", "(?:a)", "^(?i:a)"] {
            assert!(!matches!(Pattern::load(more), Ok(Pattern::Beginnings(_))), "{more}");
        }
    }

    #[test]
    fn a_pattern_that_is_too_large_is_refused() {
        assert!(Pattern::load("(((a{100}){100}){100}").is_err());
        assert!(Pattern::load("((a{100}){100}){100}").is_err());
        assert!(Pattern::load(&"a".repeat(MAX_PATTERN + 1)).is_err());
    }

    proptest! {
        #[test]
        fn runs_and_regex_agree(
            pattern in r"\^((\[[a-c0-2_.-]{1,4}\]|[a-c]|\\\.|\\-)([*+?]|\{[0-2]\}|\{[0-2],[2-4]\}|\{1,\})?){0,4}\$",
            texts in proptest::collection::vec("[a-c0-2_.é-]{0,6}", 8),
        ) {
            // `[--2]` is a range in ECMA-262, and the difference of two classes in the oracle.
            prop_assume!(!pattern.contains("--"));
            if let (Some(runs), Ok(regex)) = (runs(&pattern), Regex::new(&pattern)) {
                for text in texts {
                    prop_assert_eq!(runs_match(&runs, text.as_bytes()), regex.is_match(&text), "{} {}", pattern, text);
                }
            }
        }
    }
}
