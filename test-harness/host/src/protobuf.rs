//! The little of protobuf that Envoy's foreign functions and gRPC callouts need: fields in, fields out.
//!
//! A message is malformed where the C++ parser of Envoy says so (`ParseFromString`): a varint of more than ten
//! bytes, a field number of zero, a wire type that does not exist, a length beyond the end, a group that does not
//! close. Fields nobody knows are skipped, and of a field that occurs twice the last counts.

/// How deep groups may nest, as in the C++ parser.
const MAX_DEPTH: usize = 100;

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0: numbers, booleans, enums.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: texts, bytes, messages.
    Bytes(&'a [u8]),
    /// Wire types 3 and 4: a group, which is read over.
    Group,
    /// Wire type 5.
    Fixed32(u32),
}

/// The fields of a message in their order; `None` if it is malformed.
pub fn fields(message: &[u8]) -> Option<Vec<(u32, Value<'_>)>> {
    let mut rest = message;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (number, wire_type) = take_tag(&mut rest)?;
        // A group that ends here never began.
        let value = if wire_type == 4 { None } else { take_value(&mut rest, number, wire_type, 0) }?;
        fields.push((number, value));
    }
    Some(fields)
}

/// The last value of a `bytes` field, empty if there is none.
pub fn bytes<'a>(fields: &[(u32, Value<'a>)], number: u32) -> &'a [u8] {
    let found = fields.iter().rev().find_map(|field| match field {
        (other, Value::Bytes(bytes)) if *other == number => Some(*bytes),
        _ => None,
    });
    found.unwrap_or_default()
}

/// The last value of a `string` field, empty if there is none; `None` if one of its values is no UTF-8, which
/// makes a proto3 message malformed.
pub fn text<'a>(fields: &[(u32, Value<'a>)], number: u32) -> Option<&'a str> {
    let mut last = "";
    for field in fields {
        if let (other, Value::Bytes(bytes)) = field
            && *other == number
        {
            last = std::str::from_utf8(bytes).ok()?;
        }
    }
    Some(last)
}

/// The last value of a number, a boolean or an enum, zero if there is none.
pub fn number(fields: &[(u32, Value<'_>)], number: u32) -> u64 {
    let found = fields.iter().rev().find_map(|field| match field {
        (other, Value::Varint(value)) if *other == number => Some(*value),
        _ => None,
    });
    found.unwrap_or_default()
}

/// Appends a `string` or `bytes` field; an empty one is left out, as proto3 does.
pub fn push_bytes(message: &mut Vec<u8>, number: u32, value: &[u8]) {
    if !value.is_empty() {
        push_message(message, number, value);
    }
}

/// Appends a message, or a text that is there even if it is empty.
pub fn push_message(message: &mut Vec<u8>, number: u32, content: &[u8]) {
    push_varint(message, u64::from(number) << 3 | 2);
    push_varint(message, u64::try_from(content.len()).unwrap_or(u64::MAX));
    message.extend_from_slice(content);
}

/// Appends a `double` field; zero is left out, as proto3 does.
pub fn push_double(message: &mut Vec<u8>, number: u32, value: f64) {
    if value.to_bits() != 0 {
        push_present_double(message, number, value);
    }
}

/// Appends a `double` field, zero too.
pub fn push_present_double(message: &mut Vec<u8>, number: u32, value: f64) {
    push_varint(message, u64::from(number) << 3 | 1);
    message.extend_from_slice(&value.to_le_bytes());
}

/// Appends a number, a boolean or an enum; zero is left out, as proto3 does.
pub fn push_number(message: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        push_varint(message, u64::from(number) << 3);
        push_varint(message, value);
    }
}

fn push_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    message.push(value.to_le_bytes()[0]);
}

fn take_tag(rest: &mut &[u8]) -> Option<(u32, u8)> {
    let before = rest.len();
    let tag = u32::try_from(take_varint(rest)?).ok()?;
    if before - rest.len() > 5 {
        return None;
    }
    let number = tag >> 3;
    (number != 0).then_some((number, (tag & 7) as u8))
}

fn take_value<'a>(rest: &mut &'a [u8], number: u32, wire_type: u8, depth: usize) -> Option<Value<'a>> {
    Some(match wire_type {
        0 => Value::Varint(take_varint(rest)?),
        1 => Value::Fixed64(u64::from_le_bytes(*take_chunk(rest)?)),
        2 => {
            let length = usize::try_from(take_varint(rest)?).ok()?;
            let (bytes, after) = rest.split_at_checked(length)?;
            *rest = after;
            Value::Bytes(bytes)
        }
        3 if depth < MAX_DEPTH => loop {
            match take_tag(rest)? {
                (end, 4) if end == number => break Value::Group,
                (_, 4) => return None,
                (inner, wire_type) => take_value(rest, inner, wire_type, depth + 1)?,
            };
        },
        5 => Value::Fixed32(u32::from_le_bytes(*take_chunk(rest)?)),
        _ => return None,
    })
}

fn take_chunk<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (chunk, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(chunk)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        // Bits beyond the 64th fall off, as they do in the C++ parser.
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{
        Value, bytes, fields, number, push_bytes, push_double, push_message, push_number,
        push_present_double, text,
    };

    #[test]
    fn each_wire_type_is_read() {
        let message = b"\x08\x96\x01\x11\x01\0\0\0\0\0\0\0\x1a\x02hi\x23\x28\x01\x24\x35\x02\0\0\0";
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Fixed64(1)),
            (3, Value::Bytes(b"hi")),
            (4, Value::Group),
            (6, Value::Fixed32(2)),
        ];
        assert_eq!(fields(message).unwrap(), expected);
    }

    #[test]
    fn what_is_written_reads_back_and_defaults_are_left_out() {
        let mut message = Vec::new();
        push_bytes(&mut message, 1, &[7; 300]);
        push_number(&mut message, 16, u64::MAX);
        push_bytes(&mut message, 3, b"");
        push_number(&mut message, 4, 0);
        let fields = fields(&message).unwrap();
        assert_eq!(fields.len(), 2);
        assert_eq!(bytes(&fields, 1), [7; 300]);
        assert_eq!(number(&fields, 16), u64::MAX);
        assert_eq!((bytes(&fields, 3), number(&fields, 4), text(&fields, 3)), (&b""[..], 0, Some("")));
    }

    #[test]
    fn doubles_and_empty_messages_may_be_written_though_they_say_nothing() {
        let mut message = Vec::new();
        push_double(&mut message, 1, 0.0);
        push_double(&mut message, 2, 1.5);
        push_present_double(&mut message, 3, 0.0);
        push_message(&mut message, 4, b"");
        let expected =
            [(2, Value::Fixed64(1.5f64.to_bits())), (3, Value::Fixed64(0)), (4, Value::Bytes(b""))];
        assert_eq!(fields(&message).unwrap(), expected);
    }

    #[test]
    fn the_last_of_a_field_counts_and_another_type_is_another_field() {
        let mut message = Vec::new();
        push_bytes(&mut message, 1, b"first");
        push_bytes(&mut message, 1, b"last");
        push_number(&mut message, 1, 5);
        let fields = fields(&message).unwrap();
        assert_eq!((bytes(&fields, 1), number(&fields, 1)), (&b"last"[..], 5));
    }

    #[test]
    fn malformed_messages_are_refused() {
        for message in [
            &b"\x08"[..],                                        // no value
            b"\x08\x80",                                         // half a varint
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // a varint of eleven bytes
            b"\x00\x01",                                         // field zero
            b"\x0a\x05abc",                                      // too short
            b"\x09abc",                                          // too short
            b"\x0dabc",                                          // too short
            b"\x0e",                                             // wire type 6
            b"\x0c",                                             // a group that ends without beginning
            b"\x0b\x08\x01",                                     // a group without end
            b"\x0b\x14",                                         // a group that ends as another
            b"\x80\x80\x80\x80\x80\x01\x01",                     // a tag of more than 32 bits
            b"\x88\x80\x80\x80\x80\x00\x01",                     // a tag of six bytes
        ] {
            assert_eq!(fields(message), None, "{message:?}");
        }
        assert_eq!(fields(&[0x0b; 100_000]), None, "deep nesting ends");
    }

    #[test]
    fn a_text_must_be_utf_8() {
        let fields = fields(b"\x0a\x01\xff\x0a\x02ok\x12\x01\xff").unwrap();
        assert_eq!(text(&fields, 1), None);
        assert_eq!(bytes(&fields, 2), b"\xff");
    }
}
