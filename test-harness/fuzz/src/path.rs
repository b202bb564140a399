//! Paths: what passes has one reading, and its canonical form is canonical.

use bartizan_engine::intake::path::canonical;
use bartizan_engine::intake::percent::{Plus, decode};

/// Any bytes as a raw path.
pub fn run(data: &[u8]) -> bool {
    let Ok(form) = canonical(data) else { return false };
    let form = form.into_owned();
    let again = canonical(form.as_bytes()).map(|again| again.into_owned());
    assert_eq!(again.as_deref(), Ok(form.as_str()), "the canonical form has another canonical form");
    assert!(form.starts_with('/') && !form.contains("//") && form.is_ascii(), "{form}");

    // A server that resolves segments and then decodes them, and one that decodes the path and then splits it. They
    // are given the raw path and the canonical one: all four must see the same resource.
    let readings = [
        split_then_decode(data),
        split_then_decode(form.as_bytes()),
        decode_then_split(data),
        decode_then_split(form.as_bytes()),
    ];
    let [Some(first), rest @ ..] = &readings else { panic!("{form}: its encoding is malformed") };
    for reading in rest {
        assert_eq!(reading.as_ref(), Some(first), "{form}: two servers see two resources");
    }
    for segment in first {
        let text = std::str::from_utf8(segment).expect("a segment is UTF-8 once decoded");
        assert!(!text.chars().any(|c| matches!(c, '/' | '\\' | ';') || c.is_ascii_control()), "{form}");
        assert!(text != "." && text != "..", "{form}");
        // Who decodes twice sees nothing else: no `%` with two hex digits is left.
        let twice = segment
            .windows(3)
            .any(|w| matches!(w, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()));
        assert!(!twice, "{form}: a second decoding gives another path");
    }
    true
}

fn split_then_decode(path: &[u8]) -> Option<Vec<Vec<u8>>> {
    resolve(path.split(|b| *b == b'/'))
        .iter()
        .map(|s| decode(s, Plus::Plus).map(|d| d.into_owned()))
        .collect()
}

fn decode_then_split(path: &[u8]) -> Option<Vec<Vec<u8>>> {
    let decoded = decode(path, Plus::Plus)?;
    Some(resolve(decoded.split(|b| *b == b'/')).iter().map(|s| s.to_vec()).collect())
}

/// Merges slashes and resolves dot segments. A slash at the end stays, as an empty segment.
fn resolve<'p>(segments: impl Iterator<Item = &'p [u8]>) -> Vec<&'p [u8]> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut slash = false;
    for segment in segments {
        slash = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    if slash {
        kept.push(b"");
    }
    kept
}
