//! Patterns: from ECMA-262, in which JSON Schema writes them, to what the engine's matcher reads.
//!
//! The two agree on most things and differ on a few that matter: `\s` and `.`, escapes of code points, and
//! characters that are literal in one and syntax in the other. What cannot be said without backtracking
//! (references, look-around) or without Unicode tables (`\p{..}`) is refused.

use std::iter::Peekable;
use std::str::Chars;

/// A pattern that cannot be translated.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsupported {
    pub(super) problem: String,
    pub(super) remedy: String,
}

impl Unsupported {
    pub(super) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

/// `\s` in ECMA-262: white space and line terminators.
const SPACES: &str = r"\t-\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";

/// Translates a pattern.
pub(super) fn translate(pattern: &str) -> Result<String, Unsupported> {
    let mut translator = Translator { rest: pattern.chars().peekable(), out: String::new() };
    while let Some(c) = translator.rest.next() {
        match c {
            '\\' => translator.escape()?,
            '[' => translator.class()?,
            '(' => translator.group()?,
            '.' => translator.out.push_str(r"[^\n\r\u{2028}\u{2029}]"),
            '{' => translator.brace(),
            '}' | ']' => translator.literal(c),
            other => translator.out.push(other),
        }
    }
    Ok(translator.out)
}

struct Translator<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
}

impl Translator<'_> {
    fn literal(&mut self, c: char) {
        if c.is_ascii_alphanumeric() || !c.is_ascii() || c == '_' || c == ' ' {
            self.out.push(c);
        } else if c.is_ascii_punctuation() {
            self.out.push('\\');
            self.out.push(c);
        } else {
            self.out.push_str(&format!("\\x{:02x}", u32::from(c)));
        }
    }

    /// `{` is a quantifier if it reads as one, and a character otherwise.
    fn brace(&mut self) {
        let body: String = self.rest.clone().take_while(|c| *c != '}').collect();
        let closed = self.rest.clone().nth(body.chars().count()) == Some('}');
        let (min, max) = body.split_once(',').unwrap_or((&body, ""));
        let number = |n: &str| n.bytes().all(|b| b.is_ascii_digit());
        if closed && !min.is_empty() && number(min) && number(max) {
            self.out.push('{');
        } else {
            self.out.push_str("\\{");
            return;
        }
        for c in self.rest.by_ref() {
            self.out.push(c);
            if c == '}' {
                return;
            }
        }
    }

    fn group(&mut self) -> Result<(), Unsupported> {
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        match self.rest.next() {
            Some(':') => self.out.push_str("?:"),
            Some('<') if !matches!(self.rest.peek(), Some('=' | '!')) => {
                // A name serves nothing without references.
                self.rest.by_ref().find(|c| *c == '>');
            }
            _ => {
                let problem = "look-ahead, look-behind and flags in a pattern are not supported";
                return Err(Unsupported::new(problem, "say it with `allOf` and `not`, or with two patterns"));
            }
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Unsupported> {
        let Some(c) = self.rest.next() else {
            return Err(Unsupported::new(
                "the pattern ends in a backslash",
                "write `\\\\\\\\` for a backslash",
            ));
        };
        match c {
            'd' => self.out.push_str("[0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'D' => self.out.push_str("[^0-9]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str(&format!("[{SPACES}]")),
            'S' => self.out.push_str(&format!("[^{SPACES}]")),
            'b' => self.out.push_str("\\b"),
            'B' => self.out.push_str("\\B"),
            other => {
                let c = self.character(other)?;
                self.literal(c);
            }
        }
        Ok(())
    }

    /// The character that an escape stands for.
    fn character(&mut self, c: char) -> Result<char, Unsupported> {
        let broken =
            || Unsupported::new("the pattern has an unfinished escape", "write `\\xHH` or `\\uHHHH`");
        Ok(match c {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'f' => '\u{c}',
            '0' if !self.rest.peek().is_some_and(char::is_ascii_digit) => '\0',
            'c' => {
                let letter = self.rest.next().filter(char::is_ascii_alphabetic).ok_or_else(broken)?;
                char::from(letter as u8 & 31)
            }
            'x' => char::from_u32(self.hex(2).ok_or_else(broken)?).ok_or_else(broken)?,
            'u' if self.rest.next_if_eq(&'{').is_some() => {
                let digits: String = self.rest.by_ref().take_while(|c| *c != '}').collect();
                u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).ok_or_else(broken)?
            }
            'u' => {
                let first = self.hex(4).ok_or_else(broken)?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    let mut low = || {
                        self.rest.next_if_eq(&'\\')?;
                        self.rest.next_if_eq(&'u')?;
                        self.hex(4).filter(|low| (0xdc00..0xe000).contains(low))
                    };
                    0x10000 + ((first - 0xd800) << 10) + (low().ok_or_else(broken)? - 0xdc00)
                } else {
                    first
                };
                char::from_u32(code).ok_or_else(broken)?
            }
            'p' | 'P' => {
                let remedy = "write the characters as ranges, as in `[A-Za-zÀ-ÖØ-öø-ÿ]`";
                return Err(Unsupported::new("Unicode properties in a pattern are not supported", remedy));
            }
            'k' | '1'..='9' => {
                let problem = "references to groups in a pattern are not supported";
                return Err(Unsupported::new(problem, "repeat what the group says"));
            }
            other if !other.is_ascii_alphanumeric() => other,
            other => {
                let problem = format!("`\\{other}` in a pattern means nothing in ECMA-262");
                return Err(Unsupported::new(problem, format!("write `{other}`")));
            }
        })
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..digits {
            value = value << 4 | self.rest.next()?.to_digit(16)?;
        }
        Some(value)
    }

    fn class(&mut self) -> Result<(), Unsupported> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        if self.rest.next_if_eq(&']').is_some() {
            // `[^]` is any character, `[]` is none.
            self.out.push_str(if negated { "(?s:.)" } else { "[^\\x00-\\u{10ffff}]" });
            return Ok(());
        }
        self.out.push_str(if negated { "[^" } else { "[" });
        let unfinished =
            || Unsupported::new("a `[` in the pattern is not closed", "close it, or write `\\\\[`");
        loop {
            let c = self.rest.next().ok_or_else(unfinished)?;
            if c == ']' {
                self.out.push(']');
                return Ok(());
            }
            let Some(first) = self.class_member(c)? else { continue };
            // A hyphen makes a range if a single character stands on either side.
            let mut ahead = self.rest.clone();
            let range = ahead.next() == Some('-') && !matches!(ahead.next(), Some(']') | None);
            let set = {
                let mut ahead = self.rest.clone();
                ahead.next();
                ahead.next() == Some('\\') && matches!(ahead.next(), Some('d' | 'w' | 's' | 'D' | 'W' | 'S'))
            };
            if !range || set {
                self.literal(first);
                continue;
            }
            self.rest.next();
            let c = self.rest.next().ok_or_else(unfinished)?;
            let Some(last) = self.class_member(c)? else { return Err(unfinished()) };
            if last < first {
                let problem = format!("the range `{first}-{last}` in the pattern is empty");
                return Err(Unsupported::new(problem, "turn it around"));
            }
            self.literal(first);
            self.out.push('-');
            self.literal(last);
        }
    }

    /// A single character of a class; sets are written out at once, and `None` returned.
    fn class_member(&mut self, c: char) -> Result<Option<char>, Unsupported> {
        if c != '\\' {
            return Ok(Some(c));
        }
        let set = match self.rest.peek() {
            Some('d') => "0-9",
            Some('w') => "0-9A-Za-z_",
            Some('s') => SPACES,
            Some('D') => "\\D",
            Some('W') => "\\W",
            Some('S') => {
                let problem = "`\\S` inside `[..]` of a pattern is not supported";
                return Err(Unsupported::new(problem, "use alternatives: `(?:\\\\S|[..])`"));
            }
            Some('b') => {
                self.rest.next();
                return Ok(Some('\u{8}'));
            }
            Some(other) => {
                let other = *other;
                self.rest.next();
                return self.character(other).map(Some);
            }
            None => return Err(Unsupported::new("the pattern ends in a backslash", "")),
        };
        self.rest.next();
        self.out.push_str(set);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_agrees_stays_and_what_differs_is_said_otherwise() {
        for (ecma, ours) in [
            ("^[A-Za-z0-9_-]{1,50}$", "^[A-Za-z0-9_\\-]{1,50}$"),
            (r"^\d{4}-\d{2}$", "^[0-9]{4}-[0-9]{2}$"),
            (r"[\d\-.]", r"[0-9\-\.]"),
            (r"[\w-.]", r"[0-9A-Za-z_\-\.]"),
            (r"[a-\d]", r"[a\-0-9]"),
            (r"\/a\.b", r"\/a\.b"),
            (r"\u00e9\x41\u{1f600}\ud83d\ude00", "éA😀😀"),
            ("[^]", "(?s:.)"),
            ("[[]", r"[\[]"),
            ("[a&&b]", r"[a\&\&b]"),
            ("a{,3}", r"a\{,3\}"),
            ("a{x}", r"a\{x\}"),
            ("a{2,}?", "a{2,}?"),
            ("(?<year>a)", "(a)"),
            ("(?:a|b)+", "(?:a|b)+"),
            (r"\cJ\0", r"\x0a\x00"),
        ] {
            assert_eq!(translate(ecma).as_deref(), Ok(ours), "{ecma}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        for bad in [
            "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?i)a", r"(a)\1", r"\p{L}", r"\k<a>", r"\a", r"\Z",
            r"\u12", r"\x4", "[a", "[b-a]", r"a\", r"[\S]", r"\ud800",
        ] {
            assert!(translate(bad).is_err(), "{bad}");
        }
    }
}
