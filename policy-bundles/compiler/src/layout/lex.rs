//! The words of the YAML that we take, each with its place. What is not understood here is left alone by whoever asks.

use super::Problem;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `-` before an item.
    Dash,
    /// `:` behind a key.
    Colon,
    /// `,` between brackets.
    Comma,
    /// `[` or `{`.
    Open,
    /// `]` or `}`.
    Close,
    /// A text, a number, a truth value: as it is written, with its quotes.
    Scalar,
    /// `&name` or `!tag` before a value.
    Property,
    /// The first line of a text in lines (`|` or `>`), and its lines. The number is the column that they are held
    /// against: that of the key or the dash before.
    Block(usize),
    /// `#` to the end of the line.
    Comment,
    /// `---` at the beginning.
    Start,
}

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    /// As it is written.
    pub(super) text: &'t str,
    /// The line where it begins, from 0.
    pub(super) line: usize,
    /// The line where it ends.
    pub(super) last: usize,
    /// The column where it begins, from 0.
    pub(super) column: usize,
}

/// Divides a text into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Problem> {
    let mut lexer = Lexer { rest: text, line: 0, column: 0, depth: 0, found: Vec::new() };
    while lexer.step()? {}
    Ok(lexer.found)
}

struct Lexer<'t> {
    rest: &'t str,
    line: usize,
    column: usize,
    /// How many brackets are open.
    depth: usize,
    found: Vec<Token<'t>>,
}

impl<'t> Lexer<'t> {
    /// Takes the next token; false at the end.
    fn step(&mut self) -> Result<bool, Problem> {
        let blank = self.rest.chars().take_while(|c| c.is_ascii_whitespace()).map(char::len_utf8).sum();
        self.skip(blank);
        let spaced = self.column == 0 || blank > 0;
        let mut chars = self.rest.chars();
        let Some(first) = chars.next() else { return Ok(false) };
        let alone = chars.next().is_none_or(|next| next.is_ascii_whitespace());
        match first {
            '#' if spaced => self.take(Kind::Comment, line_of(self.rest).len()),
            '[' | '{' => {
                self.depth = self.depth.saturating_add(1);
                self.take(Kind::Open, 1);
            }
            ']' | '}' if self.depth > 0 => {
                self.depth = self.depth.saturating_sub(1);
                self.take(Kind::Close, 1);
            }
            ',' if self.depth > 0 => self.take(Kind::Comma, 1),
            ':' if alone || (self.depth > 0 && self.ends_a_key(chars.as_str())) => self.take(Kind::Colon, 1),
            '-' if alone && self.depth == 0 => self.take(Kind::Dash, 1),
            '-' if self.column == 0 && is_mark(line_of(self.rest), "---") => {
                if self.found.iter().any(|token| token.kind != Kind::Comment) {
                    return Err(self.problem("a second document"));
                }
                self.take(Kind::Start, 3);
            }
            '|' | '>' if self.depth == 0 => self.block()?,
            '"' | '\'' => self.quoted(first)?,
            '?' if alone => return Err(self.problem("a key behind `?`")),
            '&' | '!' => {
                let length = self.word();
                self.take(Kind::Property, length);
            }
            '*' => {
                let length = self.word();
                self.take(Kind::Scalar, length);
            }
            '%' | '@' | '`' | ']' | '}' | ',' => {
                return Err(self.problem(&format!("a value that begins with `{first}`")));
            }
            '.' if self.column == 0 && is_mark(line_of(self.rest), "...") => {
                return Err(self.problem("`...`"));
            }
            _ => {
                let length = self.plain();
                self.take(Kind::Scalar, length);
            }
        }
        Ok(true)
    }

    fn problem(&self, what: &str) -> Problem {
        Problem::at(self.line, format!("{what} is nothing that is laid out here; write it in another way"))
    }

    fn skip(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        for c in passed.chars() {
            if c == '\n' {
                self.line = self.line.saturating_add(1);
                self.column = 0;
            } else {
                self.column = self.column.saturating_add(1);
            }
        }
        self.rest = rest;
    }

    fn take(&mut self, kind: Kind, bytes: usize) {
        let (line, column) = (self.line, self.column);
        let written = self.rest.get(..bytes).unwrap_or(self.rest);
        // A carriage return is white space in every YAML.
        let text = if kind == Kind::Comment { written.trim_end() } else { written };
        self.skip(bytes);
        self.found.push(Token { kind, text, line, last: self.line, column });
    }

    /// Between brackets a colon ends a key also before a bracket or a comma, and right behind quotes (JSON).
    fn ends_a_key(&self, behind: &str) -> bool {
        let quoted = self.found.last().is_some_and(|last| {
            last.kind == Kind::Close || last.kind == Kind::Scalar && last.text.starts_with(['"', '\''])
        });
        quoted || behind.starts_with([',', '[', ']', '{', '}'])
    }

    /// The length of a scalar without quotes, on this line.
    fn plain(&self) -> usize {
        let line = line_of(self.rest);
        let mut end = line.len();
        let mut before = ' ';
        for (at, c) in line.char_indices() {
            let next = line.get(at..).and_then(|rest| rest.chars().nth(1));
            let colon = c == ':'
                && (next.is_none_or(|next| next.is_ascii_whitespace())
                    || self.depth > 0 && next.is_some_and(|next| ",[]{}".contains(next)));
            let bracket = self.depth > 0 && ",[]{}".contains(c);
            if at > 0 && (colon || bracket || c == '#' && before.is_ascii_whitespace()) {
                end = at;
                break;
            }
            before = c;
        }
        line.get(..end).unwrap_or(line).trim_end().len().max(1)
    }

    /// The length of what goes on to the next blank, or between brackets to the next of them.
    fn word(&self) -> usize {
        let ends = |c: char| c.is_ascii_whitespace() || self.depth > 0 && ",[]{}".contains(c);
        self.rest.find(ends).unwrap_or(self.rest.len()).max(1)
    }

    fn quoted(&mut self, quote: char) -> Result<(), Problem> {
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c == '\\' && quote == '"' {
                chars.next();
            } else if c == quote {
                if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == quote) {
                    chars.next();
                    continue;
                }
                self.take(Kind::Scalar, at.saturating_add(1));
                return Ok(());
            }
        }
        Err(self.problem("a quote without an end"))
    }

    /// A text in lines: all that follow and are indented more than the key or the dash before.
    fn block(&mut self) -> Result<(), Problem> {
        let before = self.found.iter().rev().filter(|token| token.kind != Kind::Comment);
        let mut before = before.skip_while(|token| matches!(token.kind, Kind::Colon | Kind::Property));
        let Some(parent) = before.next().filter(|token| matches!(token.kind, Kind::Dash | Kind::Scalar))
        else {
            return Err(self.problem("a text in lines without a key"));
        };
        let parent = parent.column;
        let mut length = 0_usize;
        let mut good = 0_usize;
        for (number, line) in self.rest.split_inclusive('\n').enumerate() {
            let indent = line.len().saturating_sub(line.trim_start_matches(' ').len());
            let blank = line.trim_matches([' ', '\n', '\r']).is_empty();
            if number > 0 && !blank && indent <= parent {
                break;
            }
            length = length.saturating_add(line.len());
            if number == 0 || !blank {
                good = length;
            }
        }
        // Blank lines at the end are lines of the file, unless the text asks to keep them.
        let keeps = line_of(self.rest).split('#').next().is_some_and(|head| head.contains('+'));
        let all = if keeps { length } else { good };
        let text = self.rest.get(..all).unwrap_or(self.rest);
        let text = text.strip_suffix('\n').unwrap_or(text);
        self.take(Kind::Block(parent), text.len());
        Ok(())
    }
}

/// Whether a line is a mark between documents: something may stand behind it.
fn is_mark(line: &str, mark: &str) -> bool {
    line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// The first line of a text.
fn line_of(text: &str) -> &str {
    text.split('\n').next().unwrap_or_default()
}
