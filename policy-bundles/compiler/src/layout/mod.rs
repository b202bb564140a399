//! One layout for the YAML of bundles: indentation, spaces, blank lines, quotes. Comments, line breaks and the order of
//! everything stay. Nothing is printed anew: what was written is laid out, word by word.
//!
//! INVARIANT: a text that comes out is read as the one that went in, and comes out of here as it is. [`format()`] looks,
//! and gives nothing back that is not so.

mod align;
mod emit;
mod lex;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::yaml;

/// Why a text is not laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is there, and what to do about it.
    pub what: String,
}

impl Problem {
    fn at(line: usize, what: impl Into<String>) -> Self {
        Self { line: line.saturating_add(1), what: what.into() }
    }
}

/// The same text in the one layout.
///
/// # Errors
/// When it is not YAML as bundles take it, or means something else afterwards, which would be a fault of ours.
pub fn format(text: &str) -> Result<String, Problem> {
    let plain = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let before = events(&plain)?;
    let formatted = emit::lines(&lex::tokens(&plain)?)?;
    let fault = |what: &str| {
        let line = first_difference(&plain, &formatted).saturating_sub(1);
        Problem::at(line, format!("{what} here: a fault of the formatter, report it; nothing is changed"))
    };
    if events(&formatted).as_ref() != Ok(&before) {
        return Err(fault("the layout would change the meaning"));
    }
    let again = emit::lines(&lex::tokens(&formatted)?)?;
    if again == formatted { Ok(formatted) } else { Err(fault("the layout would not be the last one")) }
}

/// The first line, from 1, in which two texts differ.
#[must_use]
pub fn first_difference(old: &str, new: &str) -> usize {
    let same = old.split('\n').zip(new.split('\n')).take_while(|(old, new)| old == new).count();
    same.saturating_add(1)
}

/// What a reader of YAML sees, whatever it makes of it: everything but places, comments, and which quotes a text has.
fn events(text: &str) -> Result<Vec<String>, Problem> {
    let mut seen = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| {
            let (what, help) = yaml::explain(error.info());
            Problem { line: error.marker().line(), what: format!("{what}; {help}") }
        })?;
        seen.push(match event {
            Event::DocumentStart(_) => "document".to_owned(),
            Event::Scalar(text, style, anchor, tag) => {
                format!("{} {anchor} {tag:?} {text}", style == ScalarStyle::Plain)
            }
            other => format!("{other:?}"),
        });
    }
    Ok(seen)
}

#[cfg(test)]
mod tests;
