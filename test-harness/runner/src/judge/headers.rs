//! Compares header lines with what is expected of them, byte by byte.

use std::collections::BTreeMap;

use super::all;
use super::bytes::{around, difference, show};
use crate::format::HeaderMatch;
use crate::wire::Lines;

pub(super) fn judge_headers(
    what: &str,
    expected: &BTreeMap<String, Option<HeaderMatch>>,
    got: &Lines,
    wrong: &mut Vec<String>,
) {
    for (name, expected) in expected {
        let values: Vec<&[u8]> = all(got, name).collect();
        if fits(expected.as_ref(), &values) {
            continue;
        }
        if let (Some(HeaderMatch::Equals(expected)), [one]) = (expected, values.as_slice())
            && let Some(at) = difference(one, expected.as_bytes())
        {
            let (one, expected) = (around(one, at), around(expected.as_bytes(), at));
            wrong.push(format!("{what} {name} should be `{expected}`, is `{one}`"));
            continue;
        }
        let values: Vec<String> = values.into_iter().map(show).collect();
        wrong.push(match expected {
            None => format!("{what} {name} should be absent, is {values:?}"),
            Some(expected) => format!("{what} {name} should be {expected:?}, is {values:?}"),
        });
    }
}

fn fits(expected: Option<&HeaderMatch>, values: &[&[u8]]) -> bool {
    let single = match values {
        [one] => Some(*one),
        _ => None,
    };
    match expected {
        None => values.is_empty(),
        Some(HeaderMatch::Present) => !values.is_empty(),
        Some(HeaderMatch::Equals(value)) => single == Some(value.as_bytes()),
        // Lines of one header and one line with commas are the same (RFC 9110, section 5.2); Envoy joins.
        Some(HeaderMatch::All(expected)) => {
            list(values.iter().copied()) == list(expected.iter().map(String::as_bytes))
        }
        Some(HeaderMatch::Contains(text)) => {
            single.is_some_and(|value| value.windows(text.len()).any(|part| part == text.as_bytes()))
        }
        // What is no text matches none.
        Some(HeaderMatch::Matches(pattern)) => {
            regex_lite::Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| {
                single.and_then(|v| std::str::from_utf8(v).ok()).is_some_and(|v| regex.is_match(v))
            })
        }
    }
}

fn list<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
    values.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).collect()
}
