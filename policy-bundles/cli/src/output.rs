//! Terminals, formats and exit codes.
//!
//! Whatever a command says goes through [`Screen`], which lets nothing steer a terminal: names of files and cases, and
//! all that an unsigned artifact says, come from anybody. What stands in a line of a report goes through [`printable`]
//! before, so that it cannot make a line of its own either.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

pub(crate) use bartizan_engine::envelope::refused::is_hidden;
use clap::ValueEnum;
use serde_json::Value;

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

    /// Writes a report to standard output.
    pub(crate) fn out(&self, text: &str) -> Result<(), Failure> {
        write_out(&harmless(text, self.paints_out()))
    }

    /// Writes a report for programs to standard output.
    pub(crate) fn json(&self, value: &Value) -> Result<(), Failure> {
        write_out(&json_text(value))
    }

    /// Writes JSON that was asked for as it is, byte by byte. On a terminal the same is written with escapes.
    pub(crate) fn data(&self, json: &str) -> Result<(), Failure> {
        if io::stdout().is_terminal() { write_out(&escaped(json)) } else { write_out(json) }
    }

    /// Writes to standard error, where nothing can be done about a failure.
    pub(crate) fn err(&self, text: &str) {
        let _ = io::stderr().lock().write_all(harmless(text, self.paints_err()).as_bytes());
    }

    /// Says why a command could not do its work.
    pub(crate) fn complain(&self, what: &str) {
        let head = paint(self.paints_err(), "1;31", "error");
        let lines: Vec<String> = what.lines().map(printable).collect();
        self.err(&format!("{head}: {}\n", lines.join("\n")));
    }
}

/// Whoever closed the pipe has read enough: that is no failure.
fn write_out(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// A text that cannot steer a terminal: what is hidden in it is written as `\u{1b}`.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// A report that cannot steer a terminal, and still has its lines and, if it is painted, its colours.
fn harmless(report: &str, painted: bool) -> String {
    let mut out = String::with_capacity(report.len());
    let mut rest = report.chars();
    while let Some(c) = rest.next() {
        let colour = if painted && c == ESCAPE { colour_code(rest.as_str()) } else { None };
        if let Some((code, behind)) = colour {
            out.extend([ESCAPE, '[']);
            out.push_str(code);
            out.push('m');
            rest = behind.chars();
        } else if is_hidden(c) && c != '\n' && c != '\t' {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// One of our colours at the beginning of what follows an escape (`[1;31m`), and what stands behind it.
fn colour_code(text: &str) -> Option<(&'static str, &str)> {
    COLOURS.iter().find_map(|code| {
        let behind = text.strip_prefix('[')?.strip_prefix(*code)?.strip_prefix('m')?;
        Some((*code, behind))
    })
}

/// A JSON document for a screen or a program: what its writers leave as it is and would steer a terminal has escapes.
pub(crate) fn json_text(value: &Value) -> String {
    escaped(&format!("{value:#}\n"))
}

/// The same JSON, with nothing hidden but its line breaks.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_hidden(c) {
            // It stands in a text: between texts there are no other than line breaks.
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A path for people.
pub(crate) fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// What begins a colour.
const ESCAPE: char = '\u{1b}';

/// The colours of all reports, and what ends them. Nothing else that begins like a colour reaches a screen.
const COLOURS: [&str; 10] = ["0", "1", "31", "32", "33", "1;31", "1;32", "1;33", "1;34", BLACK_ON_WHITE];

/// Of the colours that no theme changes: what scanners of QR codes need.
pub(crate) const BLACK_ON_WHITE: &str = "38;5;16;48;5;231";

/// A text in one of [`COLOURS`], if colours are wanted.
pub(crate) fn paint(colour: bool, code: &str, text: &str) -> String {
    if colour { format!("{ESCAPE}[{code}m{text}{ESCAPE}[0m") } else { text.to_owned() }
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
        assert_eq!(printable("\u{7f}\u{85}\u{2066}"), "\\u{7f}\\u{85}\\u{2066}");
    }

    #[test]
    fn a_report_keeps_its_lines_and_its_own_colours_alone() {
        for code in COLOURS {
            let painted = paint(true, code, "a\tb\n");
            assert_eq!(harmless(&painted, true), painted);
            assert!(!harmless(&painted, false).contains(ESCAPE));
        }
        for hidden in [
            "\u{1b}[8m",
            "\u{1b}[2J",
            "\u{1b}[",
            "\u{1b}",
            "\u{1b}]0;m",
            "\u{7f}",
            "\u{9b}1m",
            "\r",
            "\u{202e}",
        ] {
            let shown = harmless(&format!("a{hidden}b"), true);
            assert_eq!(shown, format!("a{}b", printable(hidden)));
            assert!(!shown.contains(is_hidden), "{shown}");
        }
    }

    #[test]
    fn json_says_the_same_and_hides_nothing() {
        let value = Value::from("\u{1b}[2J\u{7f}\u{9b}\u{202e}\n\t大");
        let text = json_text(&value);
        assert_eq!(text, "\"\\u001b[2J\\u007f\\u009b\\u202e\\n\\t大\"\n");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
