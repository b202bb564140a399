//! Loops over bytes that take sixteen at a time.
//!
//! In wasm the comparison of two slices is a call to a loop over single bytes, and the compiler makes no
//! better one of a search that may end early. Tokens are long and every request brings one.

/// How many bytes are looked at together: a vector of wasm.
const WIDE: usize = 16;

/// Whether two texts are the same. It is not made to hide where they differ.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    let (left, left_end) = left.as_chunks::<WIDE>();
    let (right, right_end) = right.as_chunks::<WIDE>();
    let differences = left
        .iter()
        .zip(right)
        .fold(0, |all, (l, r)| all | (u128::from_ne_bytes(*l) ^ u128::from_ne_bytes(*r)));
    left.len() == right.len() && differences == 0 && left_end == right_end
}

/// What there is in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Contents {
    /// A control character that is no tab.
    pub(crate) control: bool,
    /// A byte beyond ASCII.
    pub(crate) beyond_ascii: bool,
    pub(crate) comma: bool,
}

/// Looks through a text once, or twice if there is more in it than visible ASCII and spaces.
pub(crate) fn contents(text: &[u8]) -> Contents {
    let (rare, comma) = match text.last_chunk::<WIDE>() {
        // The last sixteen overlap with what was seen, which does no harm.
        Some(last) => {
            let (most, end) = (look(text.as_chunks::<WIDE>().0.as_flattened()), look(last));
            (most.0 | end.0, most.1 | end.1)
        }
        None => look(text),
    };
    if rare != 0 { slowly(text) } else { Contents { comma: comma != 0, ..Contents::default() } }
}

/// Whether there is a byte below a space, DEL or one beyond ASCII; and whether there is a comma. The compiler makes
/// vectors of this loop because it has no early end and sums up in bytes.
fn look(text: &[u8]) -> (u8, u8) {
    text.iter().fold((0, 0), |(rare, comma), &byte| {
        (rare | u8::from(byte.wrapping_sub(b' ') >= 0x5f), comma | u8::from(byte == b','))
    })
}

fn slowly(text: &[u8]) -> Contents {
    text.iter().fold(Contents::default(), |seen, &byte| Contents {
        control: seen.control | (byte < 0x20) & (byte != b'\t') | (byte == 0x7f),
        beyond_ascii: seen.beyond_ascii | (byte >= 0x80),
        comma: seen.comma | (byte == b','),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_are_the_same_if_they_are_equal(
            text in proptest::collection::vec(any::<u8>(), 0..80), at in any::<prop::sample::Index>(), bit in 0u8..8,
        ) {
            prop_assert!(same(&text, &text.clone()));
            prop_assert!(!same(&text, &[&text[..], &[0]].concat()));
            if !text.is_empty() {
                let mut other = text.clone();
                other[at.index(text.len())] ^= 1 << bit;
                prop_assert!(!same(&text, &other));
                prop_assert!(!same(&text, &text[1..]));
            }
        }

        #[test]
        fn nothing_is_overlooked(text in proptest::collection::vec(
            prop_oneof![8 => 0x20u8..0x7f, 1 => Just(b','), 1 => Just(b'\t'), 1 => any::<u8>()], 0..60,
        )) {
            let expected = Contents {
                control: text.iter().any(|b| b.is_ascii_control() && *b != b'\t'),
                beyond_ascii: !text.is_ascii(),
                comma: text.contains(&b','),
            };
            prop_assert_eq!(contents(&text), expected);
        }
    }
}
