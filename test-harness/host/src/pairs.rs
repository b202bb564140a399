//! Header maps as bytes: the form in which maps cross the border between host and module.
//!
//! A little-endian count, then the two lengths of each pair, then each name and each value with a NUL behind it.
//! Source: `src/pairs_util.cc` and `include/proxy-wasm/limits.h` of proxy-wasm-cpp-host. Envoy reads strictly: the
//! lengths must fill the buffer to the byte and each NUL must be there. What it cannot read becomes an empty
//! list **without an error**, so that a module which miscounts by one replaces a header map by nothing.

/// Names with their values, as bytes that need not be UTF-8.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The longest buffer that the host reads (`PROXY_WASM_HOST_PAIRS_MAX_BYTES`).
pub const MAX_BYTES: usize = 1024 * 1024;

/// The most pairs that the host reads (`PROXY_WASM_HOST_PAIRS_MAX_COUNT`).
pub const MAX_COUNT: usize = 1024;

/// The bytes of a list of pairs; an empty list gives a count of zero, four bytes.
///
/// This is the form of maps inside of property values (`serializeValue` in Envoy's `common/wasm/context.cc`).
pub fn encode<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Vec<u8> {
    // Lengths beyond 32 bits cannot occur: a module's whole memory is smaller. The conversion saturates.
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = Vec::new();
    out.extend_from_slice(&u32::try_from(pairs.len()).unwrap_or(u32::MAX).to_le_bytes());
    for (name, value) in pairs {
        out.extend_from_slice(&length(name.as_ref()));
        out.extend_from_slice(&length(value.as_ref()));
    }
    for (name, value) in pairs {
        for bytes in [name.as_ref(), value.as_ref()] {
            out.extend_from_slice(bytes);
            out.push(0);
        }
    }
    out
}

/// The bytes that `proxy_get_header_map_pairs` gives: none at all for an empty map, otherwise [`encode`].
///
/// Source: `get_header_map_pairs` in `src/exports.cc`, which answers an absent or empty map with an empty string.
pub fn encode_map<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Vec<u8> {
    if pairs.is_empty() { Vec::new() } else { encode(pairs) }
}

/// The pairs of a buffer from a module; an empty list if the buffer is malformed, too long or has too many.
pub fn decode(buffer: &[u8]) -> Pairs {
    if buffer.len() > MAX_BYTES {
        return Vec::new();
    }
    read(buffer).unwrap_or_default()
}

fn read(buffer: &[u8]) -> Option<Pairs> {
    let (count, rest) = take_u32(buffer)?;
    if count > MAX_COUNT {
        return None;
    }
    let (mut table, mut text) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_length, after) = take_u32(table)?;
        let (value_length, after) = take_u32(after)?;
        table = after;
        let (name, after) = take_text(text, name_length)?;
        let (value, after) = take_text(after, value_length)?;
        text = after;
        pairs.push((name.to_vec(), value.to_vec()));
    }
    text.is_empty().then_some(pairs)
}

fn take_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn take_text(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(length)?;
    let (&nul, rest) = rest.split_first()?;
    (nul == 0).then_some((text, rest))
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, MAX_COUNT, decode, encode, encode_map};

    fn pairs(list: &[(&str, &str)]) -> super::Pairs {
        list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn one_pair_byte_by_byte() {
        let bytes = encode(&pairs(&[("ab", "c")]));
        assert_eq!(bytes, b"\x01\0\0\0\x02\0\0\0\x01\0\0\0ab\0c\0");
        assert_eq!(decode(&bytes), pairs(&[("ab", "c")]));
    }

    #[test]
    fn order_repetition_and_empty_texts_survive() {
        let list = pairs(&[("b", "1"), ("a", ""), ("", "x"), ("b", "2")]);
        assert_eq!(decode(&encode(&list)), list);
    }

    #[test]
    fn bytes_that_are_no_text_survive_even_with_a_nul_inside() {
        let list = vec![(vec![0xff, 0, 0x80], vec![0, 0])];
        assert_eq!(decode(&encode(&list)), list);
    }

    #[test]
    fn an_empty_list_is_four_bytes_and_an_empty_map_none() {
        let none: &[(&[u8], &[u8])] = &[];
        assert_eq!(encode(none), [0; 4]);
        assert_eq!(encode_map(none), b"");
        assert_eq!(encode_map(&[("a", "b")]), encode(&[("a", "b")]));
    }

    #[test]
    fn each_truncation_and_each_extension_reads_as_nothing() {
        let bytes = encode(&pairs(&[("name", "value"), ("n", "v")]));
        assert_eq!(decode(&bytes).len(), 2);
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_empty(), "cut at {end}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(decode(&longer).is_empty());
    }

    #[test]
    fn a_missing_nul_reads_as_nothing() {
        let bytes = encode(&pairs(&[("ab", "c")]));
        for place in [14, 16] {
            let mut broken = bytes.clone();
            assert_eq!(broken[place], 0);
            broken[place] = b'!';
            assert!(decode(&broken).is_empty(), "at {place}");
        }
    }

    #[test]
    fn the_limits_are_the_host_s() {
        let list = |count: usize| vec![(b"a".to_vec(), b"b".to_vec()); count];
        assert_eq!(decode(&encode(&list(MAX_COUNT))).len(), MAX_COUNT);
        assert!(decode(&encode(&list(MAX_COUNT + 1))).is_empty());
        let sized = |size: usize| encode(&[(b"a".to_vec(), vec![b'x'; size - 4 - 8 - 3])]);
        assert_eq!(sized(MAX_BYTES).len(), MAX_BYTES);
        assert_eq!(decode(&sized(MAX_BYTES)).len(), 1);
        assert!(decode(&sized(MAX_BYTES + 1)).is_empty());
    }

    #[test]
    fn lengths_that_overflow_read_as_nothing() {
        assert!(decode(b"\xff\xff\xff\xff").is_empty());
        assert!(decode(b"\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xffab\0c\0").is_empty());
    }
}
