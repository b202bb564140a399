//! Attack detection: does a value read as SQL injection, cross-site scripting, or path traversal?
//!
//! A value is judged as it stands and as applications would come to read it: percent-decoded (twice, for
//! the proxy behind the proxy), with HTML entities and `\u` escapes resolved, and out of base64. The
//! grammar-based judges of `libinjectionrs` know SQL and HTML; traversal is judged here.
//!
//! False alarms matter as much as misses, so nothing here matches single characters or keywords:
//! `O'Brien`, `it's 5 > 3` and `select a colour` are what people write.

mod base64;
pub(crate) mod classes;
mod decode;
mod injection;
mod phrases;
mod request;
mod traversal;

#[cfg(test)]
mod tests;

use classes::{Classes, DIGIT, JOINT, LETTER, SHARP, SLASH};

pub use request::inspect_request;

/// A kind of attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// SQL injection.
    Sqli,
    /// Cross-site scripting.
    Xss,
    /// Path traversal, or a file that only the system should read.
    Traversal,
}

impl Attack {
    /// The reason to refuse with.
    #[must_use]
    pub const fn reason(self) -> crate::reason::Reason {
        use crate::reason::Reason;
        match self {
            Self::Sqli => Reason::AttackSqli,
            Self::Xss => Reason::AttackXss,
            Self::Traversal => Reason::AttackTraversal,
        }
    }

    /// What it is called in details for operators.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqli => "sql injection",
            Self::Xss => "cross-site scripting",
            Self::Traversal => "path traversal",
        }
    }
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looking {
    /// SQL injection.
    pub sqli: bool,
    /// Cross-site scripting.
    pub xss: bool,
    /// Path traversal and system files.
    pub traversal: bool,
}

impl Looking {
    /// Whether anything is looked for.
    #[must_use]
    pub const fn for_anything(&self) -> bool {
        self.sqli || self.xss || self.traversal
    }
}

/// How many times a value is decoded before the last judgement. Each round resolves percent-encoding,
/// entities and escapes together, so two rounds see through double encoding and through one mixture.
const ROUNDS: usize = 2;

/// Judges one value: a decoded query value, a header, a string of a body. Any bytes will do.
#[must_use]
pub fn inspect(value: &[u8], looking: &Looking) -> Option<Attack> {
    judge(value, Classes::of(value), looking)
}

/// Judges a value whose byte classes are known already.
#[inline]
pub(crate) fn judge(value: &[u8], classes: Classes, looking: &Looking) -> Option<Attack> {
    // A single word, number, id, date or address: no syntax to attack with.
    let plain = classes.only(LETTER | DIGIT) || (classes.only(LETTER | DIGIT | JOINT) && !is_jointed(value));
    if plain && value.len() < base64::SHORTEST {
        return None;
    }
    if !looking.for_anything() {
        return None;
    }
    judge_slowly(value, classes, looking)
}

/// Whether joints stand together (`--` is a comment, `..` a parent directory, `@@` a variable).
fn is_jointed(value: &[u8]) -> bool {
    value.windows(2).any(|pair| matches!(pair, b"--" | b".." | b"@@"))
}

fn judge_slowly(value: &[u8], classes: Classes, looking: &Looking) -> Option<Attack> {
    if let Some(attack) = judge_text(value, classes, looking, Form::Sent) {
        return Some(attack);
    }
    if classes.only(LETTER | DIGIT | JOINT | SLASH) {
        // Nothing in it can be an escape; all it can be is base64.
        let inner = base64::decode(value)?;
        return judge_text(&inner, Classes::of(&inner), looking, Form::Decoded)
            .or_else(|| judge_decoded(&inner, looking));
    }
    judge_decoded(value, looking)
}

/// Judges what a value becomes in each round of decoding.
fn judge_decoded(value: &[u8], looking: &Looking) -> Option<Attack> {
    let mut current = std::borrow::Cow::Borrowed(value);
    for _ in 0..ROUNDS {
        let Some(next) = decode::round(&current) else { break };
        if let Some(attack) = judge_text(&next, Classes::of(&next), looking, Form::Decoded) {
            return Some(attack);
        }
        current = std::borrow::Cow::Owned(next);
    }
    None
}

/// How a text was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As the client sent it.
    Sent,
    /// In disguise, which honest prose does not wear.
    Decoded,
}

/// Judges a text as it stands.
fn judge_text(text: &[u8], classes: Classes, looking: &Looking, form: Form) -> Option<Attack> {
    if looking.traversal && traversal::is_attack(text, classes, form) {
        return Some(Attack::Traversal);
    }
    if looking.xss && classes.any(SHARP | SLASH) {
        let markup = injection::may_be_xss(text) && injection::is_xss(text);
        if markup || (injection::may_have_script_phrase(text) && phrases::has_script(text)) {
            return Some(Attack::Xss);
        }
    }
    if looking.sqli && injection::may_be_sqli(text, classes) {
        let fragment = injection::is_sqli(text);
        if fragment || (injection::may_have_sql_phrase(text) && phrases::has_sql(text)) {
            return Some(Attack::Sqli);
        }
    }
    None
}

/// The classes without which neither markup nor most SQL can be written.
const SYNTAX: u8 = SHARP | SLASH;
