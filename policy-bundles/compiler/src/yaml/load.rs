//! From text to the tree.

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Marked};

use super::node::{Key, Meaning, Node, Scalar, Value};
use crate::diagnostic::{Diagnostic, Report, Severity, Span};

/// The deepest nesting. The language needs less than ten.
const MAX_DEPTH: usize = 64;

/// Reads one document. Reports what is wrong, and gives nothing back if no tree can be made of it.
pub fn load(file: &str, text: &str, report: &mut Report) -> Option<Node> {
    load_file(file, 0, text, report)
}

/// Reads one document, of the file with this number.
pub fn load_file(file: &str, number: u16, text: &str, report: &mut Report) -> Option<Node> {
    let mut loader = Loader {
        file,
        number,
        lines: text.lines().collect(),
        report,
        open: Vec::new(),
        root: None,
        aliases: BTreeSet::new(),
        sound: true,
    };
    loader.refuse_characters(text);
    // After a refused character or tab the parser's own message would only confuse.
    let sound = loader.sound;
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, marked)) => loader.event(event, marked)?,
            Err(error) => {
                if sound {
                    loader.syntax(error.marker(), error.info());
                }
                return None;
            }
        }
    }
    let (root, sound) = (loader.root.take(), loader.sound);
    match root {
        Some(root) if sound => Some(root),
        Some(_) => None,
        None => {
            report.push(Diagnostic {
                file: file.to_owned(),
                span: Span::default(),
                severity: Severity::Error,
                code: "yaml-empty",
                message: format!("`{file}` is empty"),
                help: "start from a ready-made bundle: `bartizan init DIR`".to_owned(),
            });
            None
        }
    }
}

/// A mapping or list whose end has not come yet.
enum Open {
    List { start: Marker, items: Vec<Node> },
    Map { start: Marker, members: Vec<(Key, Node)>, known: BTreeMap<String, Span>, key: Option<Key> },
}

struct Loader<'t, 'r> {
    file: &'t str,
    number: u16,
    lines: Vec<&'t str>,
    report: &'r mut Report,
    open: Vec<Open>,
    root: Option<Node>,
    /// Lines whose aliases were reported.
    aliases: BTreeSet<u32>,
    /// Nothing was found that makes the tree worthless for further checks.
    sound: bool,
}

impl Loader<'_, '_> {
    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.report.push(Diagnostic {
            file: self.file.to_owned(),
            span,
            severity: Severity::Error,
            code,
            message: message.into(),
            help: help.into(),
        });
    }

    /// `None` stops loading.
    fn event(&mut self, event: Event<'_>, marked: Marked) -> Option<()> {
        let span = self.span(marked.start, marked.end);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                if self.root.is_some() {
                    self.error(
                        "yaml-documents",
                        span,
                        "a second document starts here",
                        "a bundle is one document; remove the `---` line",
                    );
                    return None;
                }
            }
            Event::Alias(_) => {
                self.sound = false;
                // One a line is enough: a bomb has thousands.
                if self.aliases.insert(span.line) {
                    let help = "write the value out; what many routes share goes to `defaults`";
                    self.error("yaml-alias", span, "aliases are not part of the policy language", help);
                }
                let text = Scalar { text: String::new(), meaning: Meaning::Null };
                self.place(Node { span, value: Value::Scalar(text) });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_decoration(anchor, tag.as_deref(), span);
                let meaning = if style == ScalarStyle::Plain { meaning(&text) } else { Meaning::Text };
                self.place(Node { span, value: Value::Scalar(Scalar { text: text.into_owned(), meaning }) });
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_decoration(anchor, tag.as_deref(), span);
                self.enter(Open::List { start: marked.start, items: Vec::new() }, span)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_decoration(anchor, tag.as_deref(), span);
                let (members, known) = (Vec::new(), BTreeMap::new());
                self.enter(Open::Map { start: marked.start, members, known, key: None }, span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (start, value) = match self.open.pop()? {
                    Open::List { start, items } => (start, Value::List(items)),
                    Open::Map { start, members, .. } => (start, Value::Map(members)),
                };
                let span = self.span(start, marked.end);
                self.place(Node { span, value });
            }
        }
        Some(())
    }

    fn enter(&mut self, open: Open, span: Span) -> Option<()> {
        if self.open.len() >= MAX_DEPTH {
            self.error(
                "yaml-depth",
                span,
                format!("this is nested deeper than {MAX_DEPTH} levels"),
                "check the brackets; the policy language needs less than ten levels",
            );
            return None;
        }
        self.open.push(open);
        Some(())
    }

    fn refuse_decoration(&mut self, anchor: usize, tag: Option<&saphyr_parser::Tag>, span: Span) {
        if anchor != 0 {
            self.error(
                "yaml-anchor",
                span,
                "anchors are not part of the policy language",
                "remove the `&name`; what many routes share goes to `defaults`",
            );
        }
        if let Some(tag) = tag {
            let shown = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
            self.error(
                "yaml-tag",
                span,
                format!("the tag `{shown}` is not part of the policy language"),
                "remove the tag; put a text that looks like a number in quotes",
            );
        }
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match open {
            Open::List { items, .. } => items.push(node),
            Open::Map { members, known, key, .. } => match key.take() {
                Some(key) => {
                    // A key that was reported is kept out, so that nothing is said about it twice.
                    if !key.text.is_empty() {
                        members.push((key, node));
                    }
                }
                None => {
                    let (new, problem) = as_key(node, known);
                    *key = Some(new);
                    if let Some((code, span, message, help)) = problem {
                        self.error(code, span, message, help);
                    }
                }
            },
        }
    }

    fn syntax(&mut self, marker: &Marker, info: &str) {
        // What is missing at the end of a file is missing after its last character.
        let last =
            self.lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |n| n.saturating_add(1));
        let span = if marker.line() > last {
            let line = last.checked_sub(1).and_then(|n| self.lines.get(n)).copied().unwrap_or_default();
            let column = line.trim_end().chars().count().saturating_add(1);
            Span { line: count(last), column: count(column), length: 1, file: self.number }
        } else {
            self.span(*marker, *marker)
        };
        let (message, help) = explain(info);
        self.error("yaml-syntax", span, message, help);
    }

    /// Characters that a reader of the file cannot see, or sees in another place than where they are.
    fn refuse_characters(&mut self, text: &str) {
        if !text.bytes().any(|b| b < 0x20 && b != b'\n' || b >= 0x80 || b == 0x7f) {
            return;
        }
        for (index, line) in text.lines().enumerate() {
            let number = count(index.saturating_add(1));
            let indentation = line.chars().take_while(|c| c.is_whitespace()).count();
            for (column, character) in line.chars().enumerate() {
                self.sound &= character == '\t' && column >= indentation || !is_refused(character);
                let column_number = count(column.saturating_add(1));
                let span = Span { line: number, column: column_number, length: 1, file: self.number };
                match character {
                    '\t' if column < indentation && indentation < line.chars().count() => {
                        self.error(
                            "yaml-tab",
                            span,
                            "this line is indented with a tab",
                            "indent with spaces",
                        );
                        break;
                    }
                    '\t' => {}
                    c if is_invisible(c) => {
                        let message =
                            format!("there is an invisible character here (U+{:04X})", u32::from(character));
                        self.error(
                            "yaml-character",
                            span,
                            message,
                            "remove it: it makes the policy read differently from what it says",
                        );
                    }
                    c if c.is_control() => {
                        let message = format!("there is a control character here (U+{:04X})", u32::from(c));
                        self.error("yaml-character", span, message, "remove it");
                    }
                    _ => {}
                }
            }
        }
    }

    /// The part of a range that is on its first line, without blanks or a comment at the end.
    fn span(&self, start: Marker, end: Marker) -> Span {
        let length = if end.line() == start.line() {
            end.col().saturating_sub(start.col())
        } else {
            let line =
                start.line().checked_sub(1).and_then(|n| self.lines.get(n)).copied().unwrap_or_default();
            let line = line.split_once(" #").map_or(line, |(before, _)| before);
            line.trim_end().chars().count().saturating_sub(start.col())
        };
        Span {
            line: count(start.line()),
            column: count(start.col().saturating_add(1)),
            length: count(length.max(1)),
            file: self.number,
        }
    }
}

fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn is_refused(character: char) -> bool {
    character.is_control() || is_invisible(character)
}

type KeyProblem = (&'static str, Span, String, &'static str);

fn as_key(node: Node, known: &mut BTreeMap<String, Span>) -> (Key, Option<KeyProblem>) {
    let span = node.span;
    let refused = Key { span, text: String::new() };
    let Value::Scalar(scalar) = node.value else {
        let help = "a key is a plain word; put a value with brackets in quotes";
        return (refused, Some(("yaml-key", span, "a key cannot be a list or a mapping".to_owned(), help)));
    };
    if scalar.text.is_empty() {
        let help = "write a name before the colon";
        return (refused, Some(("yaml-key", span, "a key is empty".to_owned(), help)));
    }
    if scalar.text == "<<" {
        let help = "write the fields out; what many routes share goes to `defaults`";
        return (
            refused,
            Some(("yaml-merge", span, "merge keys are not part of the policy language".to_owned(), help)),
        );
    }
    match known.get(&scalar.text) {
        Some(first) => {
            let message = format!(
                "`{}` is written twice, first on line {}",
                super::node::shorten(&scalar.text),
                first.line
            );
            (refused, Some(("duplicate-key", span, message, "keep one of the two")))
        }
        None => {
            known.insert(scalar.text.clone(), span);
            (Key { span, text: scalar.text }, None)
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What a plain scalar means in the core schema (YAML 1.2.2, section 10.3.2). `yes`, `no`, `on` and `off`
/// are texts, as in every YAML since 2009.
fn meaning(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "true" | "True" | "TRUE" => return Meaning::Bool(true),
        "false" | "False" | "FALSE" => return Meaning::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Meaning::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Meaning::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        _ => {}
    }
    let radix = |digits: &str, radix: u32| {
        let good = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        good.then(|| Meaning::Integer(i64::from_str_radix(digits, radix).ok()))
    };
    if let Some(found) = text.strip_prefix("0x").and_then(|digits| radix(digits, 16)) {
        return found;
    }
    if let Some(found) = text.strip_prefix("0o").and_then(|digits| radix(digits, 8)) {
        return found;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Meaning::Integer(text.strip_prefix('+').unwrap_or(text).parse().ok());
    }
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    let number = mantissa.bytes().any(|b| b.is_ascii_digit())
        && unsigned.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    match text.parse::<f64>() {
        Ok(value) if number => Meaning::Float(value),
        _ => Meaning::Text,
    }
}

/// The parser's messages, in words that help.
pub(crate) fn explain(info: &str) -> (String, &'static str) {
    let help = if info.contains("did not find expected key") || info.contains("block mapping") {
        "check the indentation of this line and the one above; siblings start in the same column"
    } else if info.contains("mapping values are not allowed") {
        "put a text with a colon in quotes, and check the indentation"
    } else if info.contains("',' or ']'") || info.contains("',' or '}'") || info.contains("flow") {
        "a bracket or comma is missing here or above; put a text with brackets in quotes"
    } else if info.contains("quoted") || info.contains("escape") {
        "check the quotes of this text; in double quotes a backslash is written `\\\\`"
    } else if info.contains("anchor") || info.contains("alias") {
        "anchors and aliases are not part of the policy language; put a text that starts with `*` or `&` in quotes"
    } else if info.contains("cannot start any token") {
        "put a text that starts with this character in quotes"
    } else if info.contains("recursion") || info.contains("depth") {
        "check the brackets; the policy language needs less than ten levels"
    } else {
        "check this line and the one above: colons, indentation, quotes, brackets"
    };
    (format!("this is not YAML: {}", info.trim_end_matches('.').to_lowercase()), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> (Option<Node>, Vec<Diagnostic>) {
        let mut report = Report::default();
        let node = load("bundle.yaml", text, &mut report);
        (node, report.finish())
    }

    fn span(line: u32, column: u32, length: u32) -> Span {
        Span { line, column, length, file: 0 }
    }

    #[test]
    fn every_value_knows_its_place() {
        let (node, diagnostics) =
            loaded("a: hello   # c\nb:\n  - {x: 1, y: 'q'}\n  - [1, 2]\nc: \"日本\"\nd:  plain text \n");
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let node = node.unwrap();
        assert_eq!(node.get("a").unwrap().span, span(1, 4, 5));
        assert_eq!(node.entry("a").unwrap().0.span, span(1, 1, 1));
        let Value::List(items) = &node.get("b").unwrap().value else { panic!() };
        assert_eq!(items[0].span, span(3, 5, 14));
        assert_eq!(items[0].get("y").unwrap().span, span(3, 15, 3));
        assert_eq!(items[1].span, span(4, 5, 6));
        assert_eq!(node.get("c").unwrap().span, span(5, 4, 4));
        assert_eq!(node.get("d").unwrap().span, span(6, 5, 10));
    }

    #[test]
    fn scalars_mean_what_yaml_1_2_says() {
        for (text, expected) in [
            ("true", Meaning::Bool(true)),
            ("yes", Meaning::Text),
            ("12", Meaning::Integer(Some(12))),
            ("-12", Meaning::Integer(Some(-12))),
            ("0x1F", Meaning::Integer(Some(31))),
            ("0o17", Meaning::Integer(Some(15))),
            ("99999999999999999999", Meaning::Integer(None)),
            ("1.5", Meaning::Float(1.5)),
            ("1e3", Meaning::Float(1000.0)),
            ("1.2.3.4", Meaning::Text),
            ("10s", Meaning::Text),
            ("e", Meaning::Text),
            (".", Meaning::Text),
            ("-", Meaning::Text),
            ("infinity", Meaning::Text),
            ("nan", Meaning::Text),
            ("~", Meaning::Null),
        ] {
            assert_eq!(meaning(text), expected, "{text}");
        }
    }

    #[test]
    fn what_lets_two_readers_see_two_policies_is_refused() {
        for (text, code) in [
            ("a: 1\na: 2\n", "duplicate-key"),
            ("a: &x 1\n", "yaml-anchor"),
            ("a: &x [1]\nb: *x\n", "yaml-alias"),
            ("a: !!str 1\n", "yaml-tag"),
            ("<<: {a: 1}\n", "yaml-merge"),
            ("a: 1\n---\nb: 2\n", "yaml-documents"),
            ("? [a]\n: 1\n", "yaml-key"),
            (": 1\n", "yaml-key"),
            ("a:\n\tb: 1\n", "yaml-tab"),
            ("a: x\u{202e}y\n", "yaml-character"),
            ("a: \u{1}\n", "yaml-character"),
            ("a: [1\n", "yaml-syntax"),
            ("a: b: c\n", "yaml-syntax"),
            ("", "yaml-empty"),
            ("# only\n", "yaml-empty"),
        ] {
            let (_, diagnostics) = loaded(text);
            assert!(diagnostics.iter().any(|d| d.code == code), "{text:?}: {diagnostics:?}");
        }
    }

    #[test]
    fn deep_nesting_and_alias_bombs_end_early() {
        let (node, diagnostics) = loaded(&"[".repeat(100_000));
        assert!(node.is_none() && !diagnostics.is_empty());
        let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
        for (this, last) in ["b", "c", "d", "e", "f"].iter().zip(["a", "b", "c", "d", "e"]) {
            bomb.push_str(&format!(
                "{this}: &{this} [*{last}, *{last}, *{last}, *{last}, *{last}, *{last}]\n"
            ));
        }
        let (node, diagnostics) = loaded(&bomb);
        assert!(node.is_none() && diagnostics.len() < 100);
    }

    #[test]
    fn line_ends_of_windows_are_line_ends() {
        let (node, diagnostics) = loaded("a: 1\r\nb:\r\n  - x\r\n");
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        assert_eq!(node.unwrap().get("a").unwrap().span, span(1, 4, 1));
        let (_, diagnostics) = loaded("a: 1\rb: 2\n");
        assert!(!diagnostics.is_empty(), "a carriage return alone is a line end for some readers only");
    }

    #[test]
    fn all_duplicates_are_reported_at_once() {
        let (_, diagnostics) = loaded("a: 1\na: 2\nb: {c: 1, c: 2}\n");
        assert_eq!(diagnostics.len(), 2, "{diagnostics:?}");
    }
}
