//! Reading (RFC 9651, section 4.2). One pass, no recursion: nothing nests deeper than a list in a list.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{
    Bare, Dictionary, InnerList, Item, List, Malformed, Member, Parameters, Parsed, begins_key, begins_token,
    in_key, in_token,
};

/// Reads an item. The lines of a field that came several times are joined with `, ` before.
///
/// # Errors
/// When it is none.
pub fn item(text: &[u8]) -> Result<Parsed<Item>, Malformed> {
    whole(text, |reader| reader.item())
}

/// Reads a list; empty text is an empty one.
///
/// # Errors
/// When it is none.
pub fn list(text: &[u8]) -> Result<Parsed<List>, Malformed> {
    whole(text, |reader| {
        let mut members = Vec::new();
        while !reader.rest.is_empty() {
            members.push(reader.member()?);
            reader.comma()?;
        }
        Ok(members)
    })
}

/// Reads a dictionary; empty text is an empty one.
///
/// # Errors
/// When it is none.
pub fn dictionary(text: &[u8]) -> Result<Parsed<Dictionary>, Malformed> {
    whole(text, |reader| {
        let mut members = Dictionary::new();
        let mut places = Places::default();
        while !reader.rest.is_empty() {
            let key = reader.key()?;
            let member = if reader.take(b'=') {
                reader.member()?
            } else {
                Member::Item(Item { value: Bare::Boolean(true), parameters: reader.parameters()? })
            };
            reader.repeated |= put(&mut members, &mut places, key, member)?;
            reader.comma()?;
        }
        Ok(members)
    })
}

fn whole<T>(
    text: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Parsed<T>, Malformed> {
    let mut reader = Reader { rest: text, repeated: false };
    reader.spaces();
    let value = read(&mut reader)?;
    reader.spaces();
    if reader.rest.is_empty() { Ok(Parsed { value, repeated: reader.repeated }) } else { Err(Malformed) }
}

/// Where each key is. A search for each would take minutes for what fits in a few headers.
type Places<'t> = HashMap<&'t [u8], usize>;

/// Sets a key, in its first place and with its last value. True if it was there.
fn put<'t, T>(
    members: &mut Vec<(String, T)>,
    places: &mut Places<'t>,
    key: &'t [u8],
    value: T,
) -> Result<bool, Malformed> {
    let place = *places.entry(key).or_insert(members.len());
    match members.get_mut(place) {
        Some((_, old)) => {
            *old = value;
            Ok(true)
        }
        None => {
            members.push((text(key)?, value));
            Ok(false)
        }
    }
}

struct Reader<'t> {
    rest: &'t [u8],
    repeated: bool,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) { Ok(()) } else { Err(Malformed) }
    }

    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'t [u8] {
        let length = self.rest.iter().take_while(|byte| fits(**byte)).count();
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    fn spaces(&mut self) {
        self.take_while(|byte| byte == b' ');
    }

    /// What follows a member: nothing, or a comma and another one.
    fn comma(&mut self) -> Result<(), Malformed> {
        let blank = |byte| matches!(byte, b' ' | b'\t');
        self.take_while(blank);
        if self.rest.is_empty() {
            return Ok(());
        }
        self.expect(b',')?;
        self.take_while(blank);
        if self.rest.is_empty() { Err(Malformed) } else { Ok(()) }
    }

    fn member(&mut self) -> Result<Member, Malformed> {
        if self.take(b'(') { self.inner_list().map(Member::Inner) } else { self.item().map(Member::Item) }
    }

    fn inner_list(&mut self) -> Result<InnerList, Malformed> {
        let mut items = Vec::new();
        loop {
            self.spaces();
            if self.take(b')') {
                return Ok(InnerList { items, parameters: self.parameters()? });
            }
            items.push(self.item()?);
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return Err(Malformed);
            }
        }
    }

    fn item(&mut self) -> Result<Item, Malformed> {
        Ok(Item { value: self.bare()?, parameters: self.parameters()? })
    }

    fn parameters(&mut self) -> Result<Parameters, Malformed> {
        let mut parameters = Parameters::new();
        let mut places = Places::default();
        while self.take(b';') {
            self.spaces();
            let key = self.key()?;
            let value = if self.take(b'=') { self.bare()? } else { Bare::Boolean(true) };
            self.repeated |= put(&mut parameters, &mut places, key, value)?;
        }
        Ok(parameters)
    }

    fn key(&mut self) -> Result<&'t [u8], Malformed> {
        if !self.peek().is_some_and(begins_key) {
            return Err(Malformed);
        }
        Ok(self.take_while(in_key))
    }

    fn bare(&mut self) -> Result<Bare, Malformed> {
        match self.peek().ok_or(Malformed)? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string().map(Bare::String),
            b':' => self.bytes().map(Bare::Bytes),
            b'?' => self.boolean().map(Bare::Boolean),
            b'@' => {
                self.next();
                match self.number()? {
                    Bare::Integer(seconds) => Ok(Bare::Date(seconds)),
                    _ => Err(Malformed),
                }
            }
            b'%' => self.display().map(Bare::Display),
            first if begins_token(first) => text(self.take_while(in_token)).map(Bare::Token),
            _ => Err(Malformed),
        }
    }

    /// Section 4.2.4: at most fifteen digits, or twelve, a point, and one to three.
    fn number(&mut self) -> Result<Bare, Malformed> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        let value = digits(whole).filter(|_| whole.len() <= 15).ok_or(Malformed)?;
        if !self.take(b'.') {
            return Ok(Bare::Integer(sign * value));
        }
        let part = self.take_while(|byte| byte.is_ascii_digit());
        let thousandths = match part.len() {
            1 => 100,
            2 => 10,
            3 => 1,
            _ => return Err(Malformed),
        };
        if whole.len() > 12 {
            return Err(Malformed);
        }
        let fraction = digits(part).ok_or(Malformed)?.saturating_mul(thousandths);
        Ok(Bare::Decimal(sign * value.saturating_mul(1000).saturating_add(fraction)))
    }

    fn string(&mut self) -> Result<String, Malformed> {
        self.expect(b'"')?;
        let mut string = Vec::new();
        loop {
            match self.next().ok_or(Malformed)? {
                b'"' => return String::from_utf8(string).map_err(|_| Malformed),
                b'\\' => match self.next() {
                    Some(escaped @ (b'"' | b'\\')) => string.push(escaped),
                    _ => return Err(Malformed),
                },
                byte @ 0x20..=0x7e => string.push(byte),
                _ => return Err(Malformed),
            }
        }
    }

    /// Only base64 that we would write ourselves (section 4.2.7 leaves it open): one value, one spelling.
    fn bytes(&mut self) -> Result<Vec<u8>, Malformed> {
        self.expect(b':')?;
        let encoded = self.take_while(|byte| byte != b':');
        self.expect(b':')?;
        STANDARD.decode(encoded).map_err(|_| Malformed)
    }

    fn boolean(&mut self) -> Result<bool, Malformed> {
        self.expect(b'?')?;
        match self.next() {
            Some(b'1') => Ok(true),
            Some(b'0') => Ok(false),
            _ => Err(Malformed),
        }
    }

    fn display(&mut self) -> Result<String, Malformed> {
        self.expect(b'%')?;
        self.expect(b'"')?;
        let mut bytes = Vec::new();
        loop {
            match self.next().ok_or(Malformed)? {
                b'"' => return String::from_utf8(bytes).map_err(|_| Malformed),
                b'%' => bytes.push(self.hex()? << 4 | self.hex()?),
                byte @ 0x20..=0x7e => bytes.push(byte),
                _ => return Err(Malformed),
            }
        }
    }

    /// A digit in lower case (section 4.2.10).
    fn hex(&mut self) -> Result<u8, Malformed> {
        match self.next() {
            Some(digit @ b'0'..=b'9') => Ok(digit & 0x0f),
            Some(digit @ b'a'..=b'f') => Ok((digit & 0x0f) + 9),
            _ => Err(Malformed),
        }
    }
}

/// The number that digits say; there must be one, and it must fit.
fn digits(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed)
}
