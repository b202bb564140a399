//! Tokens, laid out. Each line of the source becomes a line, with its place worked out anew: two spaces for each level,
//! lists one level further in than their key, what stands between brackets one level further in than its line.

use super::Problem;
use super::align::{self, Line};
use super::lex::{Kind, Token};

/// The spaces of a level.
const STEP: usize = 2;

/// A mapping or list without brackets that is open.
#[derive(Debug, Clone, Copy)]
struct Container {
    /// Its column in the source.
    source: usize,
    /// Its column here.
    column: usize,
    is_list: bool,
}

struct Emitter {
    out: Vec<Line>,
    open: Vec<Container>,
    /// For each open bracket, how far the line is indented on which it stands.
    brackets: Vec<usize>,
    /// Comments whose place depends on what comes: the column in the source, the text, and whether a line is free before.
    waiting: Vec<(usize, String, bool)>,
}

/// The tokens of a text as the lines of another.
pub(super) fn lines(tokens: &[Token<'_>]) -> Result<String, Problem> {
    let mut emitter =
        Emitter { out: Vec::new(), open: Vec::new(), brackets: Vec::new(), waiting: Vec::new() };
    let mut rest = tokens;
    let mut before: Option<&Token<'_>> = None;
    while let Some(first) = rest.first() {
        // A line goes on behind a text in quotes that takes several.
        let mut last = first.last;
        let mut count = 1;
        while let Some(next) = rest.get(count).filter(|next| next.line == last) {
            last = next.last;
            count = count.saturating_add(1);
        }
        let (line, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        let blank = before.map_or(0, |before| first.line.saturating_sub(before.last).saturating_sub(1));
        emitter.line(line, blank, before)?;
        before = line.last();
        rest = after;
    }
    emitter.tell(None);
    Ok(align::text(&mut emitter.out))
}

impl Emitter {
    fn line(
        &mut self,
        tokens: &[Token<'_>],
        blank: usize,
        before: Option<&Token<'_>>,
    ) -> Result<(), Problem> {
        let [first, rest @ ..] = tokens else { return Ok(()) };
        if first.kind == Kind::Comment && self.brackets.is_empty() {
            self.waiting.push((first.column, first.text.to_owned(), blank > 0));
            return Ok(());
        }
        // Of a text without quotes that goes on, the free lines are part.
        let goes_on = first.kind == Kind::Scalar
            && self.brackets.is_empty()
            && !is_colon(rest.first(), first)
            && before.is_some_and(|before| before.kind == Kind::Scalar);
        let placed = self.place(first, rest);
        self.tell(Some((first.column, placed)));
        for _ in 0..if goes_on { blank } else { blank.min(1) } {
            self.out.push(Line::default());
        }
        if first.kind == Kind::Start && !rest.iter().all(|token| token.kind == Kind::Comment) {
            return Err(Problem::at(first.line, "something stands behind `---`; give it a line of its own"));
        }
        self.write(placed, tokens)
    }

    /// Where a line begins.
    fn place(&mut self, first: &Token<'_>, rest: &[Token<'_>]) -> usize {
        if let Some(bracket) = self.brackets.last() {
            return if first.kind == Kind::Close { *bracket } else { bracket.saturating_add(STEP) };
        }
        let is_list = first.kind == Kind::Dash;
        let is_key = first.kind == Kind::Scalar && is_colon(rest.first(), first);
        if first.kind == Kind::Start {
            return 0;
        }
        if !is_list && !is_key {
            // A value on a line of its own belongs to the key or the dash before.
            while self.open.last().is_some_and(|top| top.source >= first.column) && self.open.len() > 1 {
                self.open.pop();
            }
            return self.open.last().map_or(0, |top| top.column.saturating_add(STEP));
        }
        let ends = |top: &Container| {
            top.source > first.column || top.source == first.column && top.is_list && !is_list
        };
        while self.open.last().is_some_and(ends) {
            self.open.pop();
        }
        match self.open.last() {
            Some(top) if top.source == first.column && top.is_list == is_list => top.column,
            top => {
                let column = top.map_or(0, |top| top.column.saturating_add(STEP));
                self.open.push(Container { source: first.column, column, is_list });
                column
            }
        }
    }

    /// Writes the comments that waited, when it is known where the next line stands, in the source and here.
    fn tell(&mut self, next: Option<(usize, usize)>) {
        for (column, text, free) in std::mem::take(&mut self.waiting) {
            let level = self.open.iter().rev().find(|container| container.source <= column);
            let indent = match (next, level) {
                (Some((source, here)), _) if source == column => here,
                (_, Some(level)) if level.source == column => level.column,
                (Some((_, here)), _) => here,
                (None, level) => level.map_or(0, |level| level.column),
            };
            if free {
                self.out.push(Line::default());
            }
            self.out.push(Line { indent, comment: Some((0, text)), only_comment: true, ..Line::default() });
        }
    }

    fn write(&mut self, indent: usize, tokens: &[Token<'_>]) -> Result<(), Problem> {
        let mut line = Line { indent, ..Line::default() };
        let mut column = indent;
        // How far the line is indented for what it opens: behind its dashes.
        let mut level = indent;
        let mut before: Option<Kind> = None;
        let is_first_key = tokens.first().is_some_and(|first| first.kind == Kind::Scalar)
            && tokens.get(1).is_some_and(|second| second.kind == Kind::Colon)
            && self.brackets.is_empty();
        for (index, token) in tokens.iter().enumerate() {
            let after_dash = before == Some(Kind::Dash);
            if after_dash {
                column = column.saturating_add(STEP);
                level = column;
                let is_list = token.kind == Kind::Dash;
                if is_list
                    || token.kind == Kind::Scalar && is_colon(tokens.get(index.saturating_add(1)), token)
                {
                    self.open.push(Container { source: token.column, column, is_list });
                }
            }
            if token.kind == Kind::Comment {
                line.only_comment = index == 0;
                line.comment = Some((token.column, token.text.to_owned()));
                break;
            }
            if is_first_key && index == 2 && token.line == token.last && !matches!(token.kind, Kind::Block(_))
            {
                line.value = Some(token.column);
                line.head = std::mem::take(&mut line.tail);
            } else if space_between(before, token.kind) {
                line.tail.push(' ');
            }
            match token.kind {
                Kind::Scalar if token.line < token.last => self.long(&mut line, token, level),
                Kind::Scalar => line.tail.push_str(&quoted(token.text)),
                Kind::Block(parent) => {
                    self.block(line, token, parent)?;
                    return Ok(());
                }
                Kind::Open => {
                    self.brackets.push(level);
                    line.tail.push_str(token.text);
                }
                Kind::Close => {
                    self.brackets.pop();
                    line.tail.push_str(token.text);
                }
                Kind::Dash | Kind::Colon | Kind::Comma | Kind::Comment | Kind::Start | Kind::Property => {
                    line.tail.push_str(token.text)
                }
            }
            before = Some(token.kind);
        }
        self.out.push(line);
        Ok(())
    }

    /// A text in quotes that takes several lines: YAML folds them, so how they are indented is nothing of the text.
    fn long(&mut self, line: &mut Line, token: &Token<'_>, level: usize) {
        let indent = level.saturating_add(STEP);
        let mut parts = token.text.split('\n').peekable();
        let mut first = true;
        while let Some(part) = parts.next() {
            let part = if first { part } else { part.trim_start_matches([' ', '\t']) };
            // A blank behind a backslash is one that is meant.
            let trimmed = part.trim_end_matches([' ', '\t']);
            let kept = if parts.peek().is_none() || trimmed.ends_with('\\') { part } else { trimmed };
            line.tail.push_str(kept);
            first = false;
            if parts.peek().is_some() {
                let next = Line { indent, ..Line::default() };
                self.out.push(std::mem::replace(line, next));
            }
        }
    }

    /// A text in lines: moved as a whole.
    fn block(&mut self, mut line: Line, token: &Token<'_>, parent: usize) -> Result<(), Problem> {
        let mut lines = token.text.split('\n');
        let head = lines.next().unwrap_or_default().trim_end();
        let (mark, comment) = match head.split_once('#') {
            Some((mark, comment)) => (mark.trim_end(), Some(comment)),
            None => (head, None),
        };
        line.tail.push_str(mark);
        let column = token.column.saturating_add(head.chars().count());
        line.comment = comment.map(|comment| (column, format!("#{comment}")));
        self.out.push(line);
        let digit = mark.chars().find_map(|c| c.to_digit(10)).and_then(|digit| usize::try_from(digit).ok());
        let own = self.open.iter().rev().find(|container| container.source == parent);
        let own = own.ok_or_else(|| {
            Problem::at(token.line, "a text in lines stands where no key or dash begins a line")
        })?;
        let indent = own.column.saturating_add(digit.unwrap_or(STEP));
        let spaces = |line: &str| line.len().saturating_sub(line.trim_start_matches(' ').len());
        let written = lines.clone().find(|line| !line.trim_matches(' ').is_empty()).map(spaces);
        let source = digit.map_or(written.unwrap_or_default(), |digit| parent.saturating_add(digit));
        for text in lines {
            let inside = text.get(source..).unwrap_or_default();
            let moved = if inside.is_empty() { String::new() } else { " ".repeat(indent) + inside };
            self.out.push(Line { tail: moved, verbatim: true, ..Line::default() });
        }
        Ok(())
    }
}

fn is_colon(next: Option<&Token<'_>>, key: &Token<'_>) -> bool {
    next.is_some_and(|next| next.kind == Kind::Colon && next.line == key.last)
}

fn space_between(before: Option<Kind>, next: Kind) -> bool {
    let ends = matches!(next, Kind::Colon | Kind::Comma | Kind::Close);
    match before {
        None | Some(Kind::Open) => false,
        Some(Kind::Scalar | Kind::Close) => !ends,
        Some(before) => before != Kind::Comma || next != Kind::Close,
    }
}

/// The same text in double quotes, if nothing in it would then have to be escaped.
fn quoted(text: &str) -> String {
    let inner = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    match inner {
        Some(inner) if !inner.contains(['"', '\\', '\'']) => format!("\"{inner}\""),
        _ => text.to_owned(),
    }
}
