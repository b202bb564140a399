//! The JSON reader: RFC 8259 to the letter, limits and inspection in the same pass, no recursion.

use super::super::inspect::{
    self, Attack, Looking,
    classes::{self, Classes},
};
use super::super::plan::JsonLimits;
use super::tape::{Entry, Kind, OPEN, Tape};

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// It is not JSON, or not JSON that everybody reads alike.
    Malformed {
        /// Offset of the first byte that is wrong.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// It is larger than allowed in some direction.
    Limit {
        /// JSON pointer.
        pointer: String,
        /// Which limit.
        what: &'static str,
    },
    /// A string or a member name is an attack.
    Attack {
        /// JSON pointer.
        pointer: String,
        /// Which one.
        attack: Attack,
    },
}

/// Parses a document. Beyond RFC 8259 it refuses what readers are known to disagree about: a byte order
/// mark, duplicate member names (after decoding), and escapes that name half a surrogate pair.
pub(crate) fn parse<'a>(
    bytes: &'a [u8],
    limits: &JsonLimits,
    looking: &Looking,
) -> Result<Tape<'a>, JsonError> {
    let malformed = |at, what| Err(JsonError::Malformed { at, what });
    let source = match std::str::from_utf8(bytes) {
        Ok(source) => source,
        Err(problem) => return malformed(problem.valid_up_to(), "not UTF-8"),
    };
    if bytes.len() >= OPEN as usize {
        return malformed(0, "too large to be read");
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        return malformed(0, "a byte order mark");
    }
    let mut parser = Parser {
        bytes,
        at: 0,
        tape: Tape::new(source),
        open: Vec::with_capacity(8),
        limits,
        looking,
        values: 0,
        scratch: Vec::new(),
    };
    match parser.document() {
        Ok(()) => Ok(parser.tape),
        Err(stop) => Err(parser.explain(stop)),
    }
}

/// A problem before its place is worked out.
enum Stop {
    Malformed(&'static str),
    Limit(u32, &'static str),
    Attack(u32, Attack),
}

/// A container that is being read.
struct Frame {
    index: u32,
    count: u32,
    object: bool,
}

struct Parser<'a, 'p> {
    bytes: &'a [u8],
    at: usize,
    tape: Tape<'a>,
    open: Vec<Frame>,
    limits: &'p JsonLimits,
    looking: &'p Looking,
    values: u32,
    scratch: Vec<u64>,
}

impl Parser<'_, '_> {
    fn explain(self, stop: Stop) -> JsonError {
        match stop {
            Stop::Malformed(what) => JsonError::Malformed { at: self.at, what },
            Stop::Limit(index, what) => JsonError::Limit { pointer: self.tape.view().pointer(index), what },
            Stop::Attack(index, attack) => {
                JsonError::Attack { pointer: self.tape.view().pointer(index), attack }
            }
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn white(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn document(&mut self) -> Result<(), Stop> {
        loop {
            // Here a value begins.
            self.white();
            let opened = self.value()?;
            if opened {
                continue;
            }
            // Here a value has ended: close what ends with it, or go on to the next one.
            loop {
                self.white();
                let Some(frame) = self.open.last_mut() else {
                    let rest = self.peek();
                    return if rest.is_none() { Ok(()) } else { Err(Stop::Malformed("data after the end")) };
                };
                frame.count += 1;
                let object = frame.object;
                match self.bytes.get(self.at) {
                    Some(b',') => {
                        self.at += 1;
                        self.room_for_one_more()?;
                        if object {
                            self.white();
                            self.name()?;
                        }
                        break;
                    }
                    Some(b'}') if object => self.close()?,
                    Some(b']') if !object => self.close()?,
                    _ => return Err(Stop::Malformed("expected `,` or the end of the container")),
                }
            }
        }
    }

    /// Reads a scalar or the opening of a container. True if a value must follow.
    fn value(&mut self) -> Result<bool, Stop> {
        self.values += 1;
        if self.values > self.limits.max_values {
            return Err(Stop::Limit(0, "too many values"));
        }
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                let (index, classes) = self.string()?;
                let entry = self.tape.view().entry(index);
                if entry.end - entry.start > self.limits.max_string_bytes {
                    return Err(Stop::Limit(index, "a string is too long"));
                }
                self.inspect(index, classes)?;
                Ok(false)
            }
            Some(b'{') => self.container(Kind::Object),
            Some(b'[') => self.container(Kind::Array),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(b't') => self.literal(b"true", Kind::True),
            Some(b'f') => self.literal(b"false", Kind::False),
            Some(b'n') => self.literal(b"null", Kind::Null),
            None => Err(Stop::Malformed("the document ends too early")),
            Some(_) => Err(Stop::Malformed("expected a value")),
        }
    }

    fn container(&mut self, kind: Kind) -> Result<bool, Stop> {
        let index = self.push(kind, false, self.at, self.at);
        if self.open.len() >= self.limits.max_depth as usize {
            return Err(Stop::Limit(index, "nested too deep"));
        }
        let object = kind == Kind::Object;
        self.open.push(Frame { index, count: 0, object });
        self.at += 1;
        self.white();
        match self.peek() {
            Some(b'}') if object => self.close().map(|()| false),
            Some(b']') if !object => self.close().map(|()| false),
            _ => {
                self.room_for_one_more()?;
                if object {
                    self.name()?;
                }
                Ok(true)
            }
        }
    }

    fn room_for_one_more(&self) -> Result<(), Stop> {
        let Some(frame) = self.open.last() else { return Ok(()) };
        let (most, what) = if frame.object {
            (self.limits.max_object_members, "an object has too many members")
        } else {
            (self.limits.max_array_items, "an array has too many items")
        };
        if frame.count >= most { Err(Stop::Limit(frame.index, what)) } else { Ok(()) }
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        self.at += 1;
        let next = self.tape.entries.len() as u32;
        if let Some(entry) = self.tape.entries.get_mut(frame.index as usize) {
            entry.next = next;
            entry.extra = frame.count;
        }
        if frame.object && frame.count > 1 && self.has_duplicates(frame.index) {
            return Err(Stop::Malformed("two members of an object have the same name"));
        }
        Ok(())
    }

    /// Whether two members have the same name. Names are sorted by hash, and by their bytes where hashes
    /// collide, so that no choice of names makes this slower than `n log n`.
    fn has_duplicates(&mut self, object: u32) -> bool {
        let Self { tape, scratch, .. } = self;
        let view = tape.view();
        scratch.clear();
        scratch.extend(
            view.members(object).map(|(name, _)| u64::from(view.entry(name).extra) << 32 | u64::from(name)),
        );
        let text = |packed: u64| view.text(view.entry(packed as u32));
        scratch.sort_unstable_by(|a, b| (a >> 32).cmp(&(b >> 32)).then_with(|| text(*a).cmp(text(*b))));
        scratch.iter().zip(scratch.iter().skip(1)).any(|(a, b)| a >> 32 == b >> 32 && text(*a) == text(*b))
    }

    /// Reads a member name and the colon.
    fn name(&mut self) -> Result<(), Stop> {
        if self.peek() != Some(b'"') {
            return Err(Stop::Malformed("expected a member name"));
        }
        self.at += 1;
        let (index, classes) = self.string()?;
        let entry = self.tape.view().entry(index);
        if entry.end - entry.start > self.limits.max_key_bytes {
            let object = self.open.last().map_or(0, |f| f.index);
            return Err(Stop::Limit(object, "a member name is too long"));
        }
        let hash = hash(self.tape.view().text(entry).as_bytes());
        if let Some(entry) = self.tape.entries.get_mut(index as usize) {
            entry.extra = hash;
        }
        self.inspect(index, classes)?;
        self.white();
        if self.peek() != Some(b':') {
            return Err(Stop::Malformed("expected `:` after a member name"));
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn inspect(&self, index: u32, classes: Classes) -> Result<(), Stop> {
        let text = self.tape.view().text(self.tape.view().entry(index)).as_bytes();
        match inspect::judge(text, classes, self.looking) {
            None => Ok(()),
            Some(attack) => Err(Stop::Attack(index, attack)),
        }
    }

    /// Reads a string after its opening quote. The classes are those of the decoded text.
    fn string(&mut self) -> Result<(u32, Classes), Stop> {
        let start = self.at;
        let mut seen = 0;
        while let Some(byte) = self.peek() {
            let class = classes::of(byte);
            if class & classes::STOP != 0 {
                break;
            }
            seen |= class;
            self.at += 1;
        }
        match self.peek() {
            Some(b'"') => {
                let index = self.push(Kind::String, false, start, self.at);
                self.at += 1;
                Ok((index, Classes(seen)))
            }
            Some(b'\\') => {
                let from = self.tape.decoded.len();
                let plain = self.tape.source.get(start..self.at).unwrap_or("");
                self.tape.decoded.push_str(plain);
                self.escaped_string()?;
                let to = self.tape.decoded.len();
                let classes = Classes::of(self.tape.decoded.as_bytes().get(from..).unwrap_or(b""));
                Ok((self.push(Kind::String, true, from, to), classes))
            }
            None => Err(Stop::Malformed("a string does not end")),
            Some(_) => Err(Stop::Malformed("a control character in a string")),
        }
    }

    /// Decodes the rest of a string that has escapes.
    fn escaped_string(&mut self) -> Result<(), Stop> {
        loop {
            let start = self.at;
            while self.peek().is_some_and(|b| classes::of(b) & classes::STOP == 0) {
                self.at += 1;
            }
            self.tape.decoded.push_str(self.tape.source.get(start..self.at).unwrap_or(""));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let escape = self.bytes.get(self.at + 1).copied();
                    self.at += 2;
                    let decoded = match escape {
                        Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
                        Some(b'b') => '\u{8}',
                        Some(b'f') => '\u{c}',
                        Some(b'n') => '\n',
                        Some(b'r') => '\r',
                        Some(b't') => '\t',
                        Some(b'u') => self.unicode()?,
                        _ => return Err(Stop::Malformed("an unknown escape")),
                    };
                    self.tape.decoded.push(decoded);
                }
                None => return Err(Stop::Malformed("a string does not end")),
                Some(_) => return Err(Stop::Malformed("a control character in a string")),
            }
        }
    }

    /// Reads the four digits of an escape, and the second half of a surrogate pair.
    fn unicode(&mut self) -> Result<char, Stop> {
        const LONELY: Stop = Stop::Malformed("half a surrogate pair");
        let first = self.four_digits()?;
        let code = match first {
            0xd800..=0xdbff => {
                if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
                    return Err(LONELY);
                }
                self.at += 2;
                match self.four_digits()? {
                    second @ 0xdc00..=0xdfff => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => return Err(LONELY),
                }
            }
            other => other,
        };
        // `None` is a low surrogate on its own.
        char::from_u32(code).ok_or(LONELY)
    }

    fn four_digits(&mut self) -> Result<u32, Stop> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            let Some(digit) = digit else { return Err(Stop::Malformed("an escape needs four hex digits")) };
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<(), Stop> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(Stop::Malformed("expected a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.one_or_more_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.one_or_more_digits()?;
        }
        // What may follow is judged by the caller: `01` and `1x` fail there.
        self.push(Kind::Number, false, start, self.at);
        Ok(())
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn one_or_more_digits(&mut self) -> Result<(), Stop> {
        let start = self.at;
        self.digits();
        if self.at == start { Err(Stop::Malformed("expected a digit")) } else { Ok(()) }
    }

    fn literal(&mut self, text: &[u8], kind: Kind) -> Result<bool, Stop> {
        if self.bytes.get(self.at..self.at + text.len()) != Some(text) {
            return Err(Stop::Malformed("expected a value"));
        }
        self.push(kind, false, self.at, self.at + text.len());
        self.at += text.len();
        Ok(false)
    }

    /// Appends an entry. Offsets fit: the body is shorter than [`OPEN`], and so is what it decodes to.
    fn push(&mut self, kind: Kind, copied: bool, start: usize, end: usize) -> u32 {
        let index = self.tape.entries.len() as u32;
        let next = if matches!(kind, Kind::Array | Kind::Object) { OPEN } else { index + 1 };
        self.tape.entries.push(Entry { kind, copied, start: start as u32, end: end as u32, next, extra: 0 });
        index
    }
}

/// FNV-1a. Who makes names collide gains nothing: see `has_duplicates`.
pub(crate) fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
