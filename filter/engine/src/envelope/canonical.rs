//! Canonical JSON (RFC 8785): one content, one text.
//!
//! What is signed is bytes, and what they say must not depend on who reads them. A text that [`check`] accepts
//! names no member twice, has no blanks, spells every string and number in the one way there is, and so is what
//! [`write()`] makes of it. Numbers are doubles (RFC 8785, section 3.2.2.3): a whole number beyond 2^53 that no double
//! holds is refused.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

/// The most levels of objects and arrays, which is what `serde_json` reads.
const MAX_DEPTH: usize = 128;

/// Up to here every whole number is a double of its own: 2^53 - 1 has 16 digits.
const EXACT: u64 = (1 << 53) - 1;

/// Where a text is not canonical JSON: the offset in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The offset.
    pub at: usize,
}

/// Writes a value. A whole number that no double holds keeps its digits, and [`check`] refuses it.
#[must_use]
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    write_to(value, &mut out);
    out
}

fn write_to(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(left, _), (right, _)| order(left, right));
            out.push('{');
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_to(&Value::from(name.as_str()), out);
                out.push(':');
                write_to(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_to(item, out);
            }
            out.push(']');
        }
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(double) => out.push_str(&number_text(double)),
            None => out.push_str(&number.to_string()),
        },
        // serde_json spells strings as section 3.2.2.2 asks.
        plain => out.push_str(&plain.to_string()),
    }
}

/// Names are sorted by their UTF-16 code units (section 3.2.3), which is not the order of code points.
fn order(left: &str, right: &str) -> Ordering {
    if left.is_ascii() && right.is_ascii() {
        left.cmp(right)
    } else {
        left.encode_utf16().cmp(right.encode_utf16())
    }
}

/// `Number::toString` of ECMAScript (section 3.2.2.3), from the same digits that `serde_json` finds: the fewest that
/// tell the double from its neighbours.
fn number_text(double: f64) -> String {
    let Some(shortest) = Number::from_f64(double).map(|number| number.to_string()) else {
        return "null".to_owned();
    };
    let (sign, unsigned) = match shortest.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", shortest.as_str()),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    // The point stands before the digit with this number, counted from the first that is not zero.
    let zeros = all.len().saturating_sub(digits.len());
    let signed = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
    let point = signed(whole.len())
        .saturating_sub(signed(zeros))
        .saturating_add(exponent.trim_start_matches('+').parse().unwrap_or(0));
    let digits = digits.trim_end_matches('0');
    let count = signed(digits.len());
    let zeros = |number: i32| "0".repeat(usize::try_from(number).unwrap_or(0));
    let split =
        |at: i32| usize::try_from(at).ok().and_then(|at| digits.split_at_checked(at)).unwrap_or((digits, ""));
    if digits.is_empty() {
        return "0".to_owned();
    }
    if count <= point && point <= 21 {
        format!("{sign}{digits}{}", zeros(point.saturating_sub(count)))
    } else if 0 < point && point <= 21 {
        let (before, after) = split(point);
        format!("{sign}{before}.{after}")
    } else if -6 < point && point <= 0 {
        format!("{sign}0.{}{digits}", zeros(point.saturating_neg()))
    } else {
        let (first, rest) = split(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{sign}{first}{dot}{rest}e{:+}", point.saturating_sub(1))
    }
}

/// Whether a text is canonical JSON. Nothing is built, and time is linear.
///
/// # Errors
/// When it is not, with the place.
pub fn check(bytes: &[u8]) -> Result<(), Fault> {
    let text = std::str::from_utf8(bytes).map_err(|error| Fault { at: error.valid_up_to() })?;
    let mut reader = Reader { text, at: 0 };
    reader.value(MAX_DEPTH)?;
    if reader.at == text.len() { Ok(()) } else { Err(Fault { at: reader.at }) }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault<T>(&self) -> Result<T, Fault> {
        Err(Fault { at: self.at })
    }

    /// Takes this byte, if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at = self.at.saturating_add(usize::from(here));
        here
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.takes(byte) { Ok(()) } else { self.fault() }
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        word.bytes().try_for_each(|byte| self.expect(byte))
    }

    fn value(&mut self, levels: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(b'{') => self.object(levels),
            Some(b'[') => self.array(levels),
            Some(b'"') => self.string().map(drop),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.fault(),
        }
    }

    fn array(&mut self, levels: usize) -> Result<(), Fault> {
        let Some(levels) = levels.checked_sub(1) else { return self.fault() };
        self.expect(b'[')?;
        if self.takes(b']') {
            return Ok(());
        }
        loop {
            self.value(levels)?;
            if !self.takes(b',') {
                return self.expect(b']');
            }
        }
    }

    fn object(&mut self, levels: usize) -> Result<(), Fault> {
        let Some(levels) = levels.checked_sub(1) else { return self.fault() };
        self.expect(b'{')?;
        if self.takes(b'}') {
            return Ok(());
        }
        let mut last: Option<Cow<'t, str>> = None;
        loop {
            let start = self.at;
            let name = unescaped(self.string()?);
            // Strictly ascending, so no name comes twice.
            if last.is_some_and(|last| order(&last, &name) != Ordering::Less) {
                return Err(Fault { at: start });
            }
            last = Some(name);
            self.expect(b':')?;
            self.value(levels)?;
            if !self.takes(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// A string, without its quotes and as it is spelled.
    fn string(&mut self) -> Result<&'t str, Fault> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0x20..) => self.at = self.at.saturating_add(1),
                _ => return self.fault(),
            }
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        self.expect(b'"')?;
        Ok(raw)
    }

    /// Only what must be escaped is, and what has a short form has that.
    fn escape(&mut self) -> Result<(), Fault> {
        self.expect(b'\\')?;
        match self.peek() {
            Some(b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r') => {
                self.at = self.at.saturating_add(1);
                Ok(())
            }
            _ => {
                self.word("u00")?;
                let digits = self.text.as_bytes().get(self.at..self.at.saturating_add(2));
                let long = match digits {
                    Some([b'0', low]) => matches!(low, b'0'..=b'7' | b'b' | b'e' | b'f'),
                    Some([b'1', low]) => matches!(low, b'0'..=b'9' | b'a'..=b'f'),
                    _ => false,
                };
                if !long {
                    return self.fault();
                }
                self.at = self.at.saturating_add(2);
                Ok(())
            }
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'0'..=b'9')) {
            self.at = self.at.saturating_add(1);
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let exact = digits.len() <= 16
            && digits.bytes().all(|b| b.is_ascii_digit())
            && digits.parse::<u64>().is_ok_and(|number| number <= EXACT)
            && !digits.starts_with('0');
        // What Rust reads and JSON does not (`+1`, `1.`, `.5`) is never what comes out.
        let good = exact || text.parse::<f64>().is_ok_and(|n| n.is_finite() && number_text(n) == text);
        if good { Ok(()) } else { Err(Fault { at: start }) }
    }
}

/// What a string says whose spelling is canonical.
fn unescaped(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        out.push(match (c, c == '\\') {
            (c, false) => c,
            (_, true) => match rest.next() {
                Some('b') => '\u{8}',
                Some('t') => '\t',
                Some('n') => '\n',
                Some('f') => '\u{c}',
                Some('r') => '\r',
                Some('u') => {
                    let code =
                        rest.by_ref().take(4).filter_map(|c| c.to_digit(16)).fold(0, |all, d| all * 16 + d);
                    char::from_u32(code).unwrap_or('\u{fffd}')
                }
                Some(plain) => plain,
                None => '\\',
            },
        });
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 8785, appendix B.
    const NUMBERS: [(u64, &str); 25] = [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        (0x4024_0000_0000_0000, "10"),
    ];

    #[test]
    fn numbers_are_spelled_as_the_rfc_spells_them() {
        for (bits, text) in NUMBERS {
            assert_eq!(number_text(f64::from_bits(bits)), text);
            if bits != 0x8000_0000_0000_0000 {
                assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
            }
        }
    }

    #[test]
    fn members_are_sorted_by_utf_16() {
        // RFC 8785, section 3.2.3: the smiley has a surrogate first, which is below U+FB33.
        let names = ["\r", "1", "\u{80}", "\u{f6}", "\u{20ac}", "\u{1f600}", "\u{fb33}"];
        let value: Value = names.iter().rev().map(|name| ((*name).to_owned(), Value::from(1))).collect();
        let text = write(&value);
        let found: Vec<_> =
            names.iter().map(|name| text.find(&Value::from(*name).to_string()).unwrap()).collect();
        assert!(found.is_sorted(), "{text}");
        assert_eq!(check(text.as_bytes()), Ok(()));
        assert!(check("{\"\u{fb33}\":1,\"\u{1f600}\":1}".as_bytes()).is_err());
        // RFC 8785, section 3.2.2.
        let literals = r#"{"numbers":[1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        let value: Value = serde_json::from_str(literals).unwrap();
        assert_eq!(
            write(&value),
            r#"{"literals":[null,true,false],"numbers":[1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "[",
            "\"",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "nul",
            "true ",
            " true",
            "[1, 2]",
            "{ }",
            "01",
            "1.0",
            "1e2",
            "1E+22",
            "-0",
            "+1",
            ".5",
            "1.",
            "--1",
            "0.0",
            "9007199254740993",
            "18446744073709551615",
            "1e400",
            "NaN",
            "inf",
            "1e21",
            "0x1",
            "1_0",
            "\"\\/\"",
            "\"\\u0041\"",
            "\"\\u000A\"",
            "\"\\u000a\"",
            "\"\\u001F\"",
            "\"\\ud83d\\ude00\"",
            "\"\\x\"",
            "\"a\nb\"",
            "{\"b\":1,\"a\":1}",
            "{\"a\":1,\"a\":1}",
            "{\"\\n\":1,\"\\n\":1}",
            "1 2",
            "{}{}",
        ] {
            assert!(check(text.as_bytes()).is_err(), "{text}");
        }
        assert!(check(b"\"\xff\"").is_err());
        for text in
            ["{}", "[]", "\"\\u001f\\n\"", "\"\u{7f}\"", "[[],{\"\":null}]", "-1", "9007199254740991", "0.5"]
        {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(nested(MAX_DEPTH).as_bytes()), Ok(()));
        assert!(check(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(check("[".repeat(1_000_000).as_bytes()).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(1i64 << 53) + 1..(1i64 << 53)).prop_map(Value::from),
            // serde_json reads a long fraction to the nearest double or its neighbour, so these have a few digits.
            (any::<i32>(), 1u8..9)
                .prop_map(|(n, scale)| Value::from(f64::from(n) / 10f64.powi(scale.into()))),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_double_has_one_spelling_and_is_read_back(bits in any::<u64>()) {
            let double = f64::from_bits(bits);
            prop_assume!(double.is_finite());
            let text = number_text(double);
            prop_assert_eq!(check(text.as_bytes()), Ok(()), "{}", &text);
            prop_assert_eq!(text.parse::<f64>().unwrap(), double);
        }

        #[test]
        fn what_is_written_is_canonical_and_reads_back(value in any_json()) {
            let text = write(&value);
            prop_assert_eq!(check(text.as_bytes()), Ok(()), "{}", &text);
            let again: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(write(&again), text);
        }

        #[test]
        fn a_text_that_was_changed_is_another_content_or_refused(
            value in any_json(), at in any::<prop::sample::Index>(), bit in 0u8..8,
        ) {
            let mut bytes = write(&value).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            // What passes is what would be written: so there is no second text for any content.
            if check(&bytes).is_ok() {
                let read: Value = serde_json::from_slice(&bytes).unwrap();
                prop_assert_eq!(write(&read).into_bytes(), bytes);
            }
        }

        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = check(&bytes);
        }
    }
}
