//! What the simulated Envoy reads from modules by itself: pairs, protobuf, arguments of foreign functions, header maps.

use bartizan_host::foreign::{self, ForeignContext, NAMES};
use bartizan_host::pairs::{MAX_BYTES, MAX_COUNT, Pairs, decode, encode};
use bartizan_host::properties::{LifeSpan, Prototype};
use bartizan_host::protobuf::{Value, bytes, fields, number, push_bytes, push_number, text};
use bartizan_host::{HeaderKind, HeaderMap, Status};

/// Any bytes, as each of these. True if they are something.
pub fn run(data: &[u8]) -> bool {
    let list = decode(data);
    assert!(list.is_empty() || encode(&list) == data, "pairs have one form");
    let made: Pairs = data
        .split(|b| *b == b'\n')
        .take(MAX_COUNT)
        .map(|line| {
            let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
            let (name, value) = line.split_at_checked(colon).unwrap_or((line, b""));
            (name.to_vec(), value.get(1..).unwrap_or_default().to_vec())
        })
        .collect();
    let written = encode(&made);
    assert!(written.len() > MAX_BYTES || decode(&written) == made, "what is written reads back");
    headers(&made);
    let message = protobuf(data);
    for name in NAMES {
        let result = foreign::call(name.as_bytes(), data, &mut Nobody);
        if let ("compress", Ok(small)) = (name, &result) {
            let again = foreign::call(b"uncompress", small, &mut Nobody);
            assert_eq!(again.as_deref(), Ok(data), "what was compressed comes out again");
        }
    }
    message || !list.is_empty()
}

fn headers(pairs: &Pairs) {
    for kind in
        [HeaderKind::Request, HeaderKind::RequestTrailers, HeaderKind::Response, HeaderKind::ResponseTrailers]
    {
        let map = HeaderMap::from_pairs(kind, pairs.iter().map(|(n, v)| (n, v)));
        let again = HeaderMap::from_pairs(kind, map.iter());
        assert_eq!(map, again, "a map made of a map is that map");
        let size: usize = map.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert_eq!(map.byte_size(), size);
        if let Some((name, _)) = pairs.first() {
            let mut map = map;
            map.set(name, b"v");
            assert_eq!((map.get(name), map.values(name).count()), (Some(&b"v"[..]), 1));
            assert_eq!((map.remove(name), map.get(name)), (1, None));
        }
    }
}

fn protobuf(data: &[u8]) -> bool {
    let Some(read) = fields(data) else { return false };
    // A message behind a message is a message (protobuf's own rule for merging), and the last value counts.
    let twice = [data, data].concat();
    let merged = fields(&twice);
    assert_eq!(merged.map(|fields| fields.len()), Some(2 * read.len()));
    let mut written = Vec::new();
    for (number, value) in &read {
        match value {
            Value::Varint(value) => push_number(&mut written, *number, *value),
            Value::Bytes(value) => push_bytes(&mut written, *number, value),
            Value::Fixed64(_) | Value::Fixed32(_) | Value::Group => {}
        }
    }
    let again = fields(&written).expect("what was written can be read");
    let kept = |fields: &[(u32, Value<'_>)]| -> Vec<String> {
        let empty = |value: &Value<'_>| match value {
            Value::Varint(value) => *value == 0,
            Value::Bytes(value) => value.is_empty(),
            Value::Fixed64(_) | Value::Fixed32(_) | Value::Group => true,
        };
        fields.iter().filter(|(_, value)| !empty(value)).map(|field| format!("{field:?}")).collect()
    };
    assert_eq!(kept(&again), kept(&read), "what is written reads back");
    for field in 1..4 {
        let _ = (bytes(&read, field), text(&read, field), number(&read, field));
    }
    true
}

/// A context that takes everything.
struct Nobody;

impl ForeignContext for Nobody {
    fn declare_property(&mut self, _: &[u8], _: Prototype) -> Result<(), Status> {
        Ok(())
    }

    fn set_filter_state(&mut self, _: &[u8], _: &[u8], _: LifeSpan) -> Result<(), Status> {
        Ok(())
    }

    fn clear_route_cache(&mut self) {}
}
