//! Form bodies: `application/x-www-form-urlencoded`, read strictly.
//!
//! The URL standard reads anything as a form; applications do not agree on what. Refused here: a percent
//! sign without two hex digits, text that is not UTF-8, control characters and bytes beyond ASCII that are
//! not encoded (servers guess the charset of those), and a field without a name. Names may repeat, since a
//! multiple selection is sent that way; each of the values is inspected.

use crate::intake::percent::{self, Plus};

use super::inspect::{self, Attack, Looking, classes::Classes};

/// Why a form is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormError {
    /// It is not a form that everybody reads alike.
    Malformed(&'static str),
    /// It has too many fields, or a name or value is too long.
    Limit(&'static str),
    /// A name or a value is an attack; the number of the field, from one.
    Attack(usize, Attack),
}

/// Checks a form.
pub(crate) fn check(
    body: &[u8],
    max_fields: u32,
    max_value_bytes: u32,
    looking: &Looking,
) -> Result<(), FormError> {
    if body.is_empty() {
        return Ok(());
    }
    for (position, field) in body.split(|b| *b == b'&').enumerate() {
        if position >= max_fields as usize {
            return Err(FormError::Limit("too many fields"));
        }
        let mut parts = field.splitn(2, |b| *b == b'=');
        let name = parts.next().unwrap_or(b"");
        if name.is_empty() {
            return Err(FormError::Malformed("a field without a name"));
        }
        for part in [Some(name), parts.next()].into_iter().flatten() {
            if !part.iter().all(|b| (b' '..=b'~').contains(b)) {
                return Err(FormError::Malformed("a byte that must be percent-encoded"));
            }
            let Some(decoded) = percent::decode(part, Plus::Space) else {
                return Err(FormError::Malformed("a percent sign without two hex digits"));
            };
            if decoded.len() > max_value_bytes as usize {
                return Err(FormError::Limit("a name or value is too long"));
            }
            if std::str::from_utf8(&decoded).is_err() {
                return Err(FormError::Malformed("not UTF-8"));
            }
            if let Some(attack) = inspect::judge(&decoded, Classes::of(&decoded), looking) {
                return Err(FormError::Attack(position + 1, attack));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Looking = Looking { sqli: true, xss: true, traversal: true };

    fn check_all(body: &str) -> Result<(), FormError> {
        check(body.as_bytes(), 3, 20, &ALL)
    }

    #[test]
    fn reads_what_forms_send() {
        for good in
            ["", "a=1", "a=", "a", "a=1&a=2&b=3", "a=b c", "name=O%27Brien", "q=caf%C3%A9+au+lait", "e=a%3Db"]
        {
            assert_eq!(check_all(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn refuses_what_is_read_in_two_ways() {
        for bad in
            ["a=%", "a=%1", "a=%zz", "a=%+1", "&", "a=1&", "=1", "a=1&&b=2", "a=\u{e9}", "a=%ff", "a=\n"]
        {
            assert!(matches!(check_all(bad), Err(FormError::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn counts_and_measures() {
        assert_eq!(check_all("a=1&b=2&c=3&d=4"), Err(FormError::Limit("too many fields")));
        assert_eq!(check_all("a=12345678901234567890"), Ok(()));
        assert!(matches!(check_all("a=123456789012345678901"), Err(FormError::Limit(_))));
        assert!(matches!(check_all("a23456789012345678901=1"), Err(FormError::Limit(_))));
        // Twenty characters, each sent as three bytes.
        assert_eq!(check_all(&format!("a={}", "%61".repeat(20))), Ok(()));
    }

    #[test]
    fn inspects_names_and_values() {
        assert_eq!(check_all("a=1&b=1%27+or+1%3D1--"), Err(FormError::Attack(2, Attack::Sqli)));
        assert_eq!(check_all("%3Cscript%3E=1"), Err(FormError::Attack(1, Attack::Xss)));
        assert_eq!(check_all("f=..%2F..%2Fetc%2Fpasswd"), Err(FormError::Attack(1, Attack::Traversal)));
    }
}
