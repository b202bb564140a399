//! Where in a JSON text a value stands: JSON Schemas are reported by JSON pointer, and people think in lines.

use crate::diagnostic::Span;

/// Where the value behind a JSON pointer (RFC 6901) starts, or the key it stands behind. The text is known
/// to be JSON; in one that is not, the place is wherever the walk ended, or none.
#[must_use]
pub fn locate(text: &str, pointer: &str) -> Option<Span> {
    let steps: Vec<String> =
        pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    let mut walk = Walk { text, at: 0 };
    walk.blank();
    let mut range = (walk.at, walk.value_end()?);
    for step in steps {
        walk.at = range.0;
        range = walk.child(&step)?;
    }
    Some(span(text, range))
}

/// The place of a line and column as `serde_json` counts them.
#[must_use]
pub fn at(line: usize, column: usize) -> Span {
    Span { line: count(line), column: count(column.max(1)), length: 1, ..Span::default() }
}

fn span(text: &str, (start, end): (usize, usize)) -> Span {
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
    let written = text.get(start..end).unwrap_or_default().lines().next().unwrap_or_default();
    Span {
        line: count(line),
        column: count(column),
        length: count(written.trim_end().chars().count().max(1)),
        ..Span::default()
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

struct Walk<'t> {
    text: &'t str,
    at: usize,
}

impl Walk<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn blank(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.step();
        }
    }

    /// The end of the string that starts here.
    fn string_end(&mut self) -> Option<usize> {
        self.step();
        loop {
            match self.peek()? {
                b'\\' => self.step(),
                b'"' => {
                    self.step();
                    return Some(self.at);
                }
                _ => {}
            }
            self.step();
        }
    }

    /// The end of the value that starts here: brackets are counted, so depth costs nothing.
    fn value_end(&mut self) -> Option<usize> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string_end()?;
                }
                b'{' | b'[' => {
                    depth = depth.saturating_add(1);
                    self.step();
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.step();
                }
                b',' | b':' => self.step(),
                b if b.is_ascii_whitespace() => self.step(),
                _ => {
                    while self.peek().is_some_and(|b| !b.is_ascii_whitespace() && !b",]}".contains(&b)) {
                        self.step();
                    }
                }
            }
            if depth == 0 {
                return Some(self.at);
            }
        }
    }

    /// The range of the member or item of the value that starts here. A member's range begins at its key.
    fn child(&mut self, step: &str) -> Option<(usize, usize)> {
        let object = self.peek()? == b'{';
        let wanted: Option<usize> = if object { None } else { Some(step.parse().ok()?) };
        let mut index = 0_usize;
        self.step();
        loop {
            self.blank();
            if matches!(self.peek()?, b'}' | b']') {
                return None;
            }
            let key = if object {
                let start = self.at;
                let end = self.string_end()?;
                self.blank();
                self.step();
                self.blank();
                Some(self.text.get(start..end)?)
            } else {
                None
            };
            let start = self.at;
            let end = self.value_end()?;
            let named = key.is_some_and(|k| serde_json::from_str::<String>(k).is_ok_and(|k| k == step));
            if named || wanted == Some(index) {
                return Some((start, end));
            }
            index = index.saturating_add(1);
            self.blank();
            if self.peek()? == b',' {
                self.step();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\n  \"a\": {\"b/c\": [1, \"x,]\", {\"d\": true}]},\n  \"e\\u0041\": 12\n}\n";

    #[test]
    fn values_are_found_by_pointer() {
        for (pointer, line, column, length) in [
            ("", 1, 1, 1),
            ("/a", 2, 8, 32),
            ("/a/b~1c/1", 2, 20, 5),
            ("/a/b~1c/2/d", 2, 33, 4),
            ("/eA", 3, 14, 2),
        ] {
            assert_eq!(
                locate(TEXT, pointer),
                Some(Span { line, column, length, ..Span::default() }),
                "{pointer}"
            );
        }
        assert_eq!(locate(TEXT, "/nope"), None);
        assert_eq!(locate(TEXT, "/a/b~1c/9"), None);
    }

    #[test]
    fn texts_that_are_not_json_end() {
        for text in ["", "{", "{\"", "[", "[1", "{\"a\"", "{\"a\":", "]", "\\", "{\"a\" 1}", "[,,,"] {
            let _ = locate(text, "/a/b");
            let _ = locate(text, "/0");
        }
        let _ = locate(&"[".repeat(1_000_000), "/0/0/0");
    }
}
