//! Values, and how they are written down.

use crate::pairs::{self, Pairs};
use crate::{Status, protobuf};

/// A value of a property, of dynamic metadata or of a node's metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value, as in JSON. It cannot be written down.
    Null,
    /// A text, or bytes.
    Text(Vec<u8>),
    /// A signed number; times and durations too, in nanoseconds.
    Int(i64),
    /// A number without sign.
    Uint(u64),
    /// A floating-point number: every number of a protobuf `Struct`.
    Double(f64),
    /// A truth value.
    Bool(bool),
    /// A list.
    List(Vec<Self>),
    /// A map; in a message it is a protobuf `Struct`.
    Map(Vec<(Vec<u8>, Self)>),
    /// A protobuf message: number, name and value of each field.
    Message(Vec<(u32, &'static str, Self)>),
    /// A field of a message that is a map of messages.
    MessageMap(Vec<(Vec<u8>, Self)>),
    /// An object of Envoy's own whose fields can be read one by one. As a whole it is written as an empty map.
    Object(Vec<(&'static str, Self)>),
}

impl Value {
    /// A text.
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().to_vec())
    }

    /// The value under a name: a key of a map, a field of a message, an index of a list.
    ///
    /// # Errors
    /// [`Status::NotFound`] if there is none, or if the value has no parts.
    pub(super) fn part(self, name: &[u8]) -> Result<Self, Status> {
        let found = match self {
            Self::Map(entries) | Self::MessageMap(entries) => {
                entries.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            Self::Message(fields) => {
                fields.into_iter().find(|(_, field, _)| field.as_bytes() == name).map(|(_, _, value)| value)
            }
            Self::Object(fields) => {
                fields.into_iter().find(|(field, _)| field.as_bytes() == name).map(|(_, value)| value)
            }
            Self::List(items) => std::str::from_utf8(name)
                .ok()
                .and_then(|text| text.trim_ascii().parse::<i32>().ok())
                .and_then(|index| usize::try_from(index).ok())
                .and_then(|index| items.into_iter().nth(index)),
            _ => None,
        };
        found.ok_or(Status::NotFound)
    }

    /// The bytes that a module gets.
    ///
    /// # Errors
    /// [`Status::SerializationFailure`] for [`Value::Null`], alone or inside.
    pub(super) fn serialise(&self) -> Result<Vec<u8>, Status> {
        Ok(match self {
            Self::Null => return Err(Status::SerializationFailure),
            Self::Text(bytes) => bytes.clone(),
            Self::Int(number) => number.to_le_bytes().to_vec(),
            Self::Uint(number) => number.to_le_bytes().to_vec(),
            Self::Double(number) => number.to_le_bytes().to_vec(),
            Self::Bool(truth) => vec![u8::from(*truth)],
            Self::Message(_) => self.to_protobuf(),
            Self::List(items) => {
                let items: Result<Pairs, Status> =
                    items.iter().map(|item| Ok((item.serialise()?, Vec::new()))).collect();
                pairs::encode(&items?)
            }
            Self::Object(_) => pairs::encode::<&[u8], &[u8]>(&[]),
            Self::Map(entries) | Self::MessageMap(entries) => {
                let entries: Result<Pairs, Status> =
                    entries.iter().map(|(key, value)| Ok((key.clone(), value.serialise()?))).collect();
                pairs::encode(&entries?)
            }
        })
    }

    /// The content of a protobuf message: of the message itself, of a `Struct`, or of a `ListValue`.
    fn to_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Message(fields) => {
                for (number, _, value) in fields {
                    value.push_field(&mut out, *number);
                }
            }
            Self::Map(entries) => {
                for (key, value) in entries {
                    push_entry(&mut out, 1, key, &value.to_struct_value());
                }
            }
            Self::List(items) => {
                for item in items {
                    protobuf::push_message(&mut out, 1, &item.to_struct_value());
                }
            }
            _ => {}
        }
        out
    }

    fn push_field(&self, out: &mut Vec<u8>, number: u32) {
        match self {
            Self::Null | Self::Object(_) => {}
            Self::Text(bytes) => protobuf::push_bytes(out, number, bytes),
            Self::Int(value) => protobuf::push_number(out, number, value.cast_unsigned()),
            Self::Uint(value) => protobuf::push_number(out, number, *value),
            Self::Bool(truth) => protobuf::push_number(out, number, u64::from(*truth)),
            Self::Double(value) => protobuf::push_double(out, number, *value),
            Self::MessageMap(entries) => {
                for (key, value) in entries {
                    push_entry(out, number, key, &value.to_protobuf());
                }
            }
            // A field that is a message is left out if nothing is in it, as one that was never set.
            Self::List(_) | Self::Map(_) | Self::Message(_) => {
                let content = self.to_protobuf();
                if !content.is_empty() {
                    protobuf::push_message(out, number, &content);
                }
            }
        }
    }

    /// The content of a `google.protobuf.Value`, whose arms are written down even if they are zero.
    fn to_struct_value(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Null | Self::Object(_) => out.extend_from_slice(&[0x08, 0]),
            Self::Double(number) => protobuf::push_present_double(&mut out, 2, *number),
            #[expect(clippy::cast_precision_loss, reason = "a Struct has no other numbers than doubles")]
            Self::Int(number) => protobuf::push_present_double(&mut out, 2, *number as f64),
            #[expect(clippy::cast_precision_loss, reason = "a Struct has no other numbers than doubles")]
            Self::Uint(number) => protobuf::push_present_double(&mut out, 2, *number as f64),
            Self::Text(bytes) => protobuf::push_message(&mut out, 3, bytes),
            Self::Bool(truth) => out.extend_from_slice(&[0x20, u8::from(*truth)]),
            Self::Map(_) | Self::MessageMap(_) | Self::Message(_) => {
                protobuf::push_message(&mut out, 5, &self.to_protobuf());
            }
            Self::List(_) => protobuf::push_message(&mut out, 6, &self.to_protobuf()),
        }
        out
    }
}

fn push_entry(out: &mut Vec<u8>, number: u32, key: &[u8], value: &[u8]) {
    let mut entry = Vec::new();
    protobuf::push_message(&mut entry, 1, key);
    protobuf::push_message(&mut entry, 2, value);
    protobuf::push_message(out, number, &entry);
}
