//! Terminals, formats and exit codes.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, nothing wrong.
    Fine,
    /// Something is wrong with what was given, and it was said what.
    Problems,
    /// What was asked for could not be run.
    NotRun,
    /// A file could not be read or written.
    Failed,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        // 2 is what the command-line parser itself exits with.
        ExitCode::from(match outcome {
            Outcome::Fine => 0,
            Outcome::Problems => 1,
            Outcome::NotRun => 2,
            Outcome::Failed => 3,
        })
    }
}

/// Why a command could not do its work: a place, and what is wrong there.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    pub(crate) fn at(path: &Path, error: &io::Error) -> Self {
        Self(format!("{}: {}", shown(path), error.to_string().to_lowercase()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(format!("the output cannot be written: {}", error.to_string().to_lowercase()))
    }
}

/// The form of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where output goes.
#[derive(Debug)]
pub(crate) struct Screen {
    colour: Colour,
}

impl Screen {
    pub(crate) fn new(colour: Colour) -> Self {
        Self { colour }
    }

    /// Whether a stream gets colours.
    fn paints(&self, terminal: bool) -> bool {
        match self.colour {
            Colour::Always => true,
            Colour::Never => false,
            // https://no-color.org: set and not empty.
            Colour::Auto => {
                let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
                terminal && !unwanted && !dumb
            }
        }
    }

    pub(crate) fn paints_out(&self) -> bool {
        self.paints(io::stdout().is_terminal())
    }

    pub(crate) fn paints_err(&self) -> bool {
        self.paints(io::stderr().is_terminal())
    }

    /// Writes to standard output. Whoever closed the pipe has read enough: that is no failure.
    pub(crate) fn out(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => Ok(result?),
        }
    }

    /// Writes to standard error, where nothing can be done about a failure.
    pub(crate) fn err(&self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Says why a command could not do its work.
    pub(crate) fn complain(&self, what: &str) {
        let head = paint(self.paints_err(), "1;31", "error");
        let lines: Vec<String> = what.lines().map(printable).collect();
        self.err(&format!("{head}: {}\n", lines.join("\n")));
    }
}

/// A text that cannot steer a terminal: what is invisible there (control characters, and those that turn the direction
/// of what follows) is written as `\u{1b}`. Names of files and cases come from anybody.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Whether a character does something to the screen instead of standing on it.
pub(crate) fn is_hidden(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// A path for people.
pub(crate) fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// A text in a colour, if colours are wanted.
pub(crate) fn paint(colour: bool, code: &str, text: &str) -> String {
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// `1 error`, `2 errors`.
pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_steers_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\u{9b}1mc\r\u{202e}d"), "a\\u{1b}[2Jb\\u{9b}1mc\\u{d}\\u{202e}d");
        assert_eq!(printable("größer, 大 [1]"), "größer, 大 [1]");
        assert_eq!(shown(Path::new("a\u{7}/b")), "a\\u{7}/b");
    }
}
