//! Columns. Who has put the values or the comments of lines that follow each other into one column meant it: they stay in
//! one, the leftmost that there is room for. All others stand one space behind the colon, or two before the comment.

/// A line on its way out.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// How many spaces it begins with.
    pub(super) indent: usize,
    /// Up to a colon, if a value follows on the line that could stand in a column.
    pub(super) head: String,
    /// The column of that value in the source.
    pub(super) value: Option<usize>,
    /// The rest, but a comment at its end.
    pub(super) tail: String,
    /// A comment at the end, and its column in the source.
    pub(super) comment: Option<(usize, String)>,
    /// Whether it is a comment and nothing else.
    pub(super) only_comment: bool,
    /// Whether it is part of a text that is kept as it is.
    pub(super) verbatim: bool,
}

impl Line {
    fn is_blank(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty() && self.comment.is_none()
    }
}

/// Puts the lines together.
pub(super) fn text(lines: &mut [Line]) -> String {
    values(lines);
    comments(lines);
    let mut out = String::new();
    for line in lines {
        if line.verbatim {
            out.push_str(&line.tail);
        } else if !line.is_blank() {
            out.extend(std::iter::repeat_n(' ', line.indent));
            out.push_str(&line.head);
            out.push_str(&line.tail);
            if let Some((spaces, comment)) = &line.comment {
                out.extend(std::iter::repeat_n(' ', *spaces));
                out.push_str(comment);
            }
        }
        out.push('\n');
    }
    out
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Widens the heads of lines whose values stood in one column. Comments between them do not part them.
fn values(lines: &mut [Line]) {
    let mut from = 0;
    while from < lines.len() {
        let (mut widest, mut count, mut to) = (0, 0_usize, from);
        let start = lines.get(from).map(|line| (line.indent, line.value));
        while let (Some(line), Some((indent, value @ Some(_)))) = (lines.get(to), start) {
            if !line.only_comment {
                if line.indent != indent || line.value != value {
                    break;
                }
                widest = widest.max(width(&line.head));
                count = count.saturating_add(1);
            }
            to = to.saturating_add(1);
        }
        for line in lines.iter_mut().take(to).skip(from).filter(|line| !line.only_comment) {
            let room = if count > 1 { widest.saturating_sub(width(&line.head)) } else { 0 };
            line.head.extend(std::iter::repeat_n(' ', room.saturating_add(1)));
        }
        from = to.max(from.saturating_add(1));
    }
}

/// Turns the columns of comments at the end of lines into the spaces before them.
fn comments(lines: &mut [Line]) {
    let length =
        |line: &Line| line.indent.saturating_add(width(&line.head)).saturating_add(width(&line.tail));
    let column = |line: &Line| line.comment.as_ref().filter(|_| !line.only_comment).map(|(at, _)| *at);
    let mut from = 0;
    while from < lines.len() {
        let start = lines.get(from).and_then(column);
        let mut to = from;
        while start.is_some() && lines.get(to).is_some_and(|line| column(line) == start) {
            to = to.saturating_add(1);
        }
        let group = lines.iter().take(to).skip(from);
        let widest = group.map(length).max().unwrap_or_default();
        for line in lines.iter_mut().take(to).skip(from) {
            let spaces = widest.saturating_sub(length(line)).saturating_add(2);
            if let Some((at, _)) = &mut line.comment {
                *at = spaces;
            }
        }
        from = to.max(from.saturating_add(1));
    }
    for line in lines.iter_mut().filter(|line| line.only_comment) {
        if let Some((at, _)) = &mut line.comment {
            *at = 0;
        }
    }
}
