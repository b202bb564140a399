//! One round of decoding, as an application on the way to its database or its page would do it.

/// Decodes percent-encoding (`%41`, `%u0041`), HTML entities, `\u0041` and `\x41` escapes, and full-width
/// forms. `None` if there was nothing to decode. What is malformed stays as it is: a `%` in prose is a `%`.
pub(super) fn round(text: &[u8]) -> Option<Vec<u8>> {
    // Most values have nothing to decode, and then nothing is copied.
    let start = (0..text.len()).find(|at| text.get(*at..).and_then(encoded).is_some())?;
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(text.get(..start)?);
    let mut rest = text.get(start..)?;
    while let Some((first, after)) = rest.split_first() {
        match encoded(rest) {
            Some((code, length)) => {
                push(code, &mut out);
                rest = after.get(length..).unwrap_or(b"");
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    Some(out)
}

/// The unit that a text begins with in disguise, and how many bytes the disguise has after its first.
fn encoded(text: &[u8]) -> Option<(Unit, usize)> {
    let (first, after) = text.split_first()?;
    match first {
        b'%' => percent(after),
        b'&' => entity(after),
        b'\\' => escape(after),
        0xef => full_width(after),
        _ => None,
    }
}

/// A decoded unit: a byte (below 256) or a character.
type Unit = u32;

fn push(unit: Unit, out: &mut Vec<u8>) {
    if let Ok(byte) = u8::try_from(unit) {
        out.push(byte);
    } else if let Some(character) = char::from_u32(unit) {
        // Characters that fonts and databases fold to ASCII are judged as ASCII.
        let folded = fold(character);
        out.extend_from_slice(folded.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Full-width forms (U+FF01 to U+FF5E) fold to ASCII under NFKC, which databases and templates apply.
fn fold(character: char) -> char {
    match u32::from(character) {
        code @ 0xff01..=0xff5e => char::from_u32(code - 0xfee0).unwrap_or(character),
        _ => character,
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    let mut value: u32 = 0;
    for digit in digits {
        value = value << 4 | char::from(*digit).to_digit(16)?;
    }
    Some(value)
}

fn percent(after: &[u8]) -> Option<(Unit, usize)> {
    if let Some(b'u' | b'U') = after.first() {
        // The escapes of old IIS and of JavaScript's `escape()`.
        return Some((hex(after.get(1..5)?)?, 5));
    }
    Some((hex(after.get(..2)?)?, 2))
}

fn escape(after: &[u8]) -> Option<(Unit, usize)> {
    match after.first()? {
        b'u' if after.get(1) == Some(&b'{') => {
            let end = after.iter().take(10).position(|b| *b == b'}')?;
            let digits = after.get(2..end)?;
            if digits.is_empty() { None } else { Some((hex(digits)?, end + 1)) }
        }
        b'u' => Some((hex(after.get(1..5)?)?, 5)),
        b'x' => Some((hex(after.get(1..3)?)?, 3)),
        _ => None,
    }
}

fn full_width(after: &[u8]) -> Option<(Unit, usize)> {
    let (second, third) = (u32::from(*after.first()?), u32::from(*after.get(1)?));
    let code = 0xf000 | (second & 0x3f) << 6 | third & 0x3f;
    (second & 0xc0 == 0x80 && third & 0xc0 == 0x80 && (0xff01..=0xff5e).contains(&code)).then_some((code, 2))
}

fn entity(after: &[u8]) -> Option<(Unit, usize)> {
    if let Some(number) = after.strip_prefix(b"#") {
        let (digits, radix, skipped) = match number.first()? {
            b'x' | b'X' => (number.get(1..)?, 16, 2),
            _ => (number, 10, 1),
        };
        // Browsers accept any number of leading zeros and a missing semicolon.
        let length = digits.iter().take(16).take_while(|b| char::from(**b).is_digit(radix)).count();
        let mut value: u32 = 0;
        for digit in digits.iter().take(length) {
            value = value.saturating_mul(radix).saturating_add(char::from(*digit).to_digit(radix)?);
        }
        let semicolon = usize::from(digits.get(length) == Some(&b';'));
        return if length == 0 { None } else { Some((value, skipped + length + semicolon)) };
    }
    const NAMED: &[(&[u8], u8)] = &[
        (b"lt;", b'<'),
        (b"gt;", b'>'),
        (b"quot;", b'"'),
        (b"apos;", b'\''),
        (b"amp;", b'&'),
        (b"colon;", b':'),
        (b"lpar;", b'('),
        (b"rpar;", b')'),
        (b"sol;", b'/'),
        (b"bsol;", b'\\'),
        (b"equals;", b'='),
        (b"grave;", b'`'),
        (b"period;", b'.'),
        (b"NewLine;", b'\n'),
        (b"Tab;", b'\t'),
        (b"newline;", b'\n'),
        (b"tab;", b'\t'),
    ];
    NAMED.iter().find(|(name, _)| after.starts_with(name)).map(|(name, byte)| (u32::from(*byte), name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once(text: &str) -> Option<String> {
        round(text.as_bytes()).map(|b| String::from_utf8_lossy(&b).into_owned())
    }

    #[test]
    fn decodes_every_disguise() {
        for disguise in [
            "%3cb>",
            "%u003cb>",
            "&lt;b>",
            "&#60;b>",
            "&#x3C;b>",
            "&#0000060b>",
            "\\u003cb>",
            "\\x3cb>",
            "\\u{3c}b>",
            "\u{ff1c}b>",
            "%uff1cb>",
        ] {
            assert_eq!(once(disguise).as_deref(), Some("<b>"), "{disguise}");
        }
        assert_eq!(once("%253cb>").as_deref(), Some("%3cb>"));
    }

    #[test]
    fn leaves_prose_alone() {
        for prose in [
            "100% sure",
            "R&D",
            "AT&T; &c.",
            "C:\\Users",
            "\\u12",
            "%",
            "&",
            "&#;",
            "\\x",
            "%u12",
            "\u{ef}",
            "&#x",
        ] {
            assert_eq!(once(prose), None, "{prose}");
        }
    }
}
