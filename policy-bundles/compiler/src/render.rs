//! Diagnostics as people and as programs read them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};
use unicode_width::UnicodeWidthChar;

use crate::diagnostic::{Diagnostic, Severity};

/// The code of diagnostics whose source line is not shown, because a secret may stand in it.
pub const HIDDEN: &str = "secret-in-bundle";

/// The most characters of a source line that are shown.
const WIDTH: usize = 160;

/// All diagnostics as text, each with its line and the offending part underlined.
#[must_use]
pub fn text(diagnostics: &[Diagnostic], sources: &BTreeMap<String, String>, colour: bool) -> String {
    let paint = Paint { colour };
    let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut out = String::new();
    // Whatever else is said of a line with a secret in it.
    let secret: BTreeSet<(&str, u32)> =
        diagnostics.iter().filter(|d| d.code == HIDDEN).map(|d| (d.file.as_str(), d.span.line)).collect();
    for diagnostic in diagnostics {
        let of_file = lines.entry(diagnostic.file.as_str()).or_insert_with(|| {
            sources.get(&diagnostic.file).map(|text| text.lines().collect()).unwrap_or_default()
        });
        let hidden = secret.contains(&(diagnostic.file.as_str(), diagnostic.span.line));
        one(&mut out, diagnostic, if hidden { &[] } else { of_file }, paint);
        out.push('\n');
    }
    out
}

/// All diagnostics as a JSON array, in the order of the text.
#[must_use]
pub fn json(diagnostics: &[Diagnostic]) -> Value {
    let one = |d: &Diagnostic| {
        json!({
            "severity": d.severity.name(),
            "code": d.code,
            "file": d.file,
            "line": d.span.line,
            "column": d.span.column,
            "length": d.span.length,
            "message": d.message,
            "help": d.help,
        })
    };
    Value::Array(diagnostics.iter().map(one).collect())
}

#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn severity(self, severity: Severity, text: &str) -> String {
        let code = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
        };
        self.with(code, text)
    }

    fn frame(self, text: &str) -> String {
        self.with("1;34", text)
    }

    fn strong(self, text: &str) -> String {
        self.with("1", text)
    }
}

fn one(out: &mut String, diagnostic: &Diagnostic, lines: &[&str], paint: Paint) {
    let Diagnostic { span, severity, .. } = diagnostic;
    let head = paint.severity(*severity, &format!("{}[{}]", severity.name(), diagnostic.code));
    // Writing into a string cannot fail.
    let _ = writeln!(out, "{head}{}", paint.strong(&format!(": {}", plain(&diagnostic.message))));
    if span.line == 0 {
        let _ = writeln!(out, " {} {}", paint.frame("-->"), plain(&diagnostic.file));
        let _ = writeln!(out, "  {} help: {}", paint.frame("="), plain(&diagnostic.help));
        return;
    }
    let number = span.line.to_string();
    let margin = " ".repeat(number.len());
    let place = format!("{}:{}:{}", plain(&diagnostic.file), span.line, span.column);
    let _ = writeln!(out, "{margin}{} {place}", paint.frame("-->"));
    let line = usize::try_from(span.line).ok().and_then(|n| n.checked_sub(1)).and_then(|n| lines.get(n));
    if let Some(line) = line {
        let (shown, before, under) = excerpt(line, *span);
        let bar = paint.frame("|");
        let _ = writeln!(out, "{margin} {bar}");
        let _ = writeln!(out, "{} {bar} {shown}", paint.frame(&number));
        let marks = paint.severity(*severity, &"^".repeat(under.max(1)));
        let _ = writeln!(out, "{margin} {bar} {}{marks}", " ".repeat(before));
    }
    let _ = writeln!(out, "{margin} {} help: {}", paint.frame("="), plain(&diagnostic.help));
}

/// The line as it is shown, the columns before the marks, and the columns under them. Long lines are cut
/// around the marks.
fn excerpt(line: &str, span: crate::diagnostic::Span) -> (String, usize, usize) {
    let start = usize::try_from(span.column).unwrap_or(1).saturating_sub(1);
    let length = usize::try_from(span.length).unwrap_or(1).max(1);
    let total = line.chars().count();
    let from = if total > WIDTH { start.saturating_sub(40) } else { 0 };
    let (mut shown, mut before, mut under) = (String::new(), 0_usize, 0_usize);
    if from > 0 {
        shown.push_str("...");
        before = before.saturating_add(3);
    }
    for (index, character) in line.chars().enumerate().skip(from).take(WIDTH) {
        let character = harmless(character);
        let width = character.width().unwrap_or(0);
        if index < start {
            before = before.saturating_add(width);
        } else if index < start.saturating_add(length) {
            under = under.saturating_add(width);
        }
        shown.push(character);
    }
    if total.saturating_sub(from) > WIDTH {
        shown.push_str("...");
    }
    (shown.trim_end().to_owned(), before, under)
}

/// A bundle may come from a stranger: it shall not move the cursor or turn the reading direction of the
/// terminal that shows it.
fn harmless(character: char) -> char {
    match character {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            '\u{fffd}'
        }
        c => c,
    }
}

fn plain(text: &str) -> String {
    text.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Span;

    fn example(line: u32, column: u32, length: u32) -> Diagnostic {
        Diagnostic {
            file: "bundle.yaml".to_owned(),
            span: Span { line, column, length, file: 0 },
            severity: Severity::Error,
            code: "unknown-field",
            message: "unknown field `acess`".to_owned(),
            help: "did you mean `access`?".to_owned(),
        }
    }

    #[test]
    fn the_offending_text_is_underlined() {
        let sources = BTreeMap::from([("bundle.yaml".to_owned(), "a: 1\n  acess: public\n".to_owned())]);
        let expected = "error[unknown-field]: unknown field `acess`\n --> bundle.yaml:2:3\n  |\n2 |   acess: public\n  |   ^^^^^\n  = help: did you mean `access`?\n\n";
        assert_eq!(text(&[example(2, 3, 5)], &sources, false), expected);
        assert!(text(&[example(2, 3, 5)], &sources, true).contains("\x1b[1;31m"));
    }

    #[test]
    fn wide_and_hostile_characters_keep_the_marks_in_place() {
        let sources = BTreeMap::from([("bundle.yaml".to_owned(), "\u{1b}[2J\u{202e}日本: x".to_owned())]);
        let shown = text(&[example(1, 6, 2)], &sources, false);
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.contains("^^^^\n"), "two wide characters are four columns: {shown}");
    }

    #[test]
    fn a_place_that_is_not_there_is_no_crash() {
        let shown = text(&[example(99, 99, 99), example(0, 0, 0)], &BTreeMap::new(), false);
        assert!(shown.contains("bundle.yaml:99:99"));
    }

    #[test]
    fn long_lines_are_cut_around_the_marks() {
        let line = format!("{}acess{}", "x".repeat(5000), "y".repeat(5000));
        let sources = BTreeMap::from([("bundle.yaml".to_owned(), line)]);
        let shown = text(&[example(1, 5001, 5)], &sources, false);
        assert!(shown.len() < 800, "{}", shown.len());
        assert!(shown.contains("acess"));
    }
}
