//! One path, one meaning.
//!
//! Servers disagree on dot segments, doubled slashes, encoded slashes, `;` parameters and double encoding,
//! and every disagreement has been a way around somebody's access rule. What has one reading is rewritten to
//! its canonical form (RFC 3986, section 6.2.2), and upstream receives that form; what has two is refused.
//!
//! In the canonical form: triplets of unreserved characters are decoded, the others have upper-case digits;
//! characters that no URI may carry raw are encoded; slashes are single; there are no dot segments.

use std::borrow::Cow;

use super::percent::{push_triplet, triplet};

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// It is not a path at all; the text says why.
    Malformed(&'static str),
    /// Two servers may read it in two ways; the text says where.
    Ambiguous(&'static str),
}

/// The canonical form of a raw path without its query.
///
/// # Errors
/// When the path is malformed or ambiguous.
pub fn canonical(raw: &[u8]) -> Result<Cow<'_, str>, PathError> {
    if raw.first() != Some(&b'/') {
        return Err(PathError::Malformed("it does not begin with a slash"));
    }
    if is_canonical(raw) {
        // Every byte was seen to be plain ASCII.
        if let Ok(text) = std::str::from_utf8(raw) {
            return Ok(Cow::Borrowed(text));
        }
    }
    let text = normalise(raw)?;
    remove_dot_segments(&text).map(Cow::Owned)
}

/// Whether the path needs no rewriting: plain bytes only, no doubled slash, no segment that begins with a dot.
fn is_canonical(raw: &[u8]) -> bool {
    let mut previous = 0u8;
    raw.iter().all(|&byte| {
        let fine = is_plain(byte) && !(previous == b'/' && (byte == b'/' || byte == b'.'));
        previous = byte;
        fine
    })
}

/// Bytes that stand for themselves: `/` and pchar without `%` and `;` (RFC 3986, section 3.3).
const fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@'
        )
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Brings every character to its one spelling and refuses those with two meanings.
fn normalise(raw: &[u8]) -> Result<String, PathError> {
    let mut text = String::with_capacity(raw.len());
    // The bytes of the current segment as the last server will see them: for UTF-8 and hidden dots.
    let mut segment: Vec<u8> = Vec::with_capacity(32);
    let mut decoded_dot = false;
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'/' => {
                end_segment(&mut segment, &mut decoded_dot)?;
                if !text.ends_with('/') {
                    text.push('/');
                }
            }
            b'%' => {
                let value =
                    triplet(tail).ok_or(PathError::Malformed("`%` is not followed by two hex digits"))?;
                rest = tail.get(2..).unwrap_or_default();
                refuse_encoded(value)?;
                segment.push(value);
                if is_unreserved(value) {
                    decoded_dot |= value == b'.';
                    text.push(char::from(value));
                } else {
                    push_triplet(&mut text, value);
                }
            }
            b'\\' => return Err(PathError::Ambiguous("a backslash, which some servers read as a slash")),
            b';' => return Err(PathError::Ambiguous("a `;`, which some servers cut off with what follows")),
            b'?' | b'#' => return Err(PathError::Malformed("a query or fragment delimiter in the path")),
            0..=0x20 | 0x7f => return Err(PathError::Malformed("a control character or space")),
            0x80.. => return Err(PathError::Malformed("a raw byte outside ASCII")),
            plain if is_plain(plain) => {
                segment.push(plain);
                text.push(char::from(plain));
            }
            // Left: `"<>[]^`{|}`, which some clients send raw.
            other => {
                segment.push(other);
                push_triplet(&mut text, other);
            }
        }
    }
    end_segment(&mut segment, &mut decoded_dot)?;
    refuse_double_encoding(&text)?;
    Ok(text)
}

/// Refuses an encoded `%` with two hex digits behind it. It is looked for in what upstream will get: in
/// `%25%32%66` the digits are encoded too, and only once they are decoded is it the `%252f` it stands for.
fn refuse_double_encoding(text: &str) -> Result<(), PathError> {
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte == b'%' && tail.starts_with(b"25") && triplet(tail.get(2..).unwrap_or_default()).is_some() {
            return Err(PathError::Ambiguous("an encoding of an encoding"));
        }
    }
    Ok(())
}

/// Refuses an encoded character that a second decoding, or another server, would take for a delimiter.
fn refuse_encoded(value: u8) -> Result<(), PathError> {
    match value {
        b'/' | b'\\' => Err(PathError::Ambiguous("an encoded slash or backslash")),
        b';' => Err(PathError::Ambiguous("an encoded `;`")),
        0..=0x1f | 0x7f => Err(PathError::Malformed("an encoded control character")),
        _ => Ok(()),
    }
}

fn end_segment(segment: &mut Vec<u8>, decoded_dot: &mut bool) -> Result<(), PathError> {
    if std::str::from_utf8(segment).is_err() {
        return Err(PathError::Malformed("not UTF-8 once decoded"));
    }
    if *decoded_dot && matches!(segment.as_slice(), b"." | b"..") {
        return Err(PathError::Ambiguous("an encoded dot segment"));
    }
    segment.clear();
    *decoded_dot = false;
    Ok(())
}

/// Resolves `.` and `..` (RFC 3986, section 5.2.4), but refuses to climb above the root.
fn remove_dot_segments(path: &str) -> Result<String, PathError> {
    let mut kept: Vec<&str> = Vec::new();
    let mut trailing_slash = false;
    for segment in path.split('/').skip(1) {
        trailing_slash = false;
        match segment {
            "." => trailing_slash = true,
            ".." => {
                if kept.pop().is_none() {
                    return Err(PathError::Ambiguous("dot segments that climb above the root"));
                }
                trailing_slash = true;
            }
            "" => trailing_slash = true,
            other => kept.push(other),
        }
    }
    let mut resolved = String::with_capacity(path.len());
    for segment in &kept {
        resolved.push('/');
        resolved.push_str(segment);
    }
    if trailing_slash || resolved.is_empty() {
        resolved.push('/');
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ok(raw: &str) -> String {
        canonical(raw.as_bytes()).unwrap_or_else(|e| panic!("{raw}: {e:?}")).into_owned()
    }

    #[test]
    fn canonical_forms() {
        for (raw, want) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b", "/a/b"),
            ("//a", "/a"),
            ("/a/", "/a/"),
            ("/a/.", "/a/"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b//..", "/a/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/...", "/a/..."),
            ("/%61%2d%7e", "/a-~"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b", "/a%20b"),
            ("/a|b{c}", "/a%7Cb%7Bc%7D"),
            ("/100%25", "/100%25"),
            ("/a%2eb", "/a.b"),
            ("/a:b@c", "/a:b@c"),
        ] {
            assert_eq!(ok(raw), want, "{raw}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for raw in [
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a;b",
            "/a;x=1/b",
            "/a%3bb",
            "/..",
            "/../a",
            "/a/../../b",
            "/%2e%2e/a",
            "/.%2e/a",
            "/a/%2e",
            "/a%252fb",
            "/a%2525",
            "/%25%32%66",
            "/%25%32f",
            "/%252%46",
            "/%25%32%65%25%32%65/admin",
            "/%25%32%35%32%66",
        ] {
            assert!(matches!(canonical(raw.as_bytes()), Err(PathError::Ambiguous(_))), "{raw}");
        }
    }

    #[test]
    fn malformed_paths_are_refused() {
        let cases: [&[u8]; 14] = [
            b"",
            b"a",
            b"*",
            b"http://x/",
            b"/%",
            b"/%4",
            b"/%zz",
            b"/%00",
            b"/a\0",
            b"/a b",
            b"/\xc3\xa9",
            b"/%ff",
            b"/%c0%af",
            b"/a#b",
        ];
        for raw in cases {
            assert!(matches!(canonical(raw), Err(PathError::Malformed(_))), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn canonicalising_twice_changes_nothing(
            raw in "/([a-z0-9./%{}|+:@~-]|%25|%3[0-9]|%6[1-6]|%2[efEF]|%C3%A9){0,40}",
        ) {
            if let Ok(once) = canonical(raw.as_bytes()) {
                let twice = canonical(once.as_bytes());
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
                prop_assert!(!once.contains("//"));
                prop_assert!(!once.split('/').any(|s| s == "." || s == ".."));
            }
        }

        #[test]
        fn no_bytes_panic(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut path = vec![b'/'];
            path.extend(raw);
            let _ = canonical(&path);
        }
    }
}
