//! JSON bodies, with `serde_json` as the oracle.

use bartizan_engine::strict_json::{Bounds, StrictJsonError, parse_object};
use bartizan_engine::validation::plan::JsonLimits;
use bartizan_engine::validation::testing::{Read, read_json};
use serde_json::Value;

/// Below the depth at which the oracle gives up.
const DEPTH: u32 = 100;

/// Any bytes as a JSON body.
pub fn run(data: &[u8]) -> bool {
    let limits = JsonLimits {
        max_depth: DEPTH,
        max_string_bytes: u32::MAX,
        max_key_bytes: u32::MAX,
        max_array_items: u32::MAX,
        max_object_members: u32::MAX,
        max_values: u32::MAX,
    };
    let oracle = serde_json::from_slice::<Value>(data);
    let read = read_json(data, &limits);
    let accepted = !matches!(read, Read::Refused(_));
    match (read, oracle) {
        (Read::Value(ours), Ok(theirs)) => {
            assert_eq!(ours, theirs, "two values");
            assert!(unique(data), "a duplicate member passed");
        }
        // The oracle has no number for `1e999`; the engine compares numbers as they are written.
        (Read::Beyond, Err(error)) if error.to_string().starts_with("number out of range") => {}
        (Read::Value(_) | Read::Beyond, theirs) => panic!("accepted here, and by serde_json: {theirs:?}"),
        (Read::Refused(why), Ok(_)) => {
            let stricter =
                !unique(data) || why.contains("nested too deep") || data.starts_with(b"\xef\xbb\xbf");
            assert!(stricter, "serde_json accepts it, refused here: {why}");
        }
        (Read::Refused(_), Err(_)) => {}
    }
    object(data);
    accepted
}

/// Whether no object names a member twice, by the other reader: that of tokens and key sets.
fn unique(data: &[u8]) -> bool {
    let whole = [b"{\"v\":", data, b"}"].concat();
    let bounds = Bounds { max_bytes: whole.len(), max_depth: 1000 };
    !matches!(parse_object(&whole, bounds), Err(StrictJsonError::DuplicateMember { .. }))
}

/// The reader of tokens and key sets: what it accepts is what `serde_json` reads.
fn object(data: &[u8]) {
    let bounds = Bounds { max_bytes: 1 << 20, max_depth: 16 };
    if let Ok(ours) = parse_object(data, bounds) {
        let theirs = serde_json::from_slice::<Value>(data).ok();
        assert_eq!(Some(Value::Object(ours)), theirs, "two values, of a token");
    }
}
