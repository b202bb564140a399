//! Headers that are one to some servers and two to others.
//!
//! CGI and its heirs (RFC 3875, section 4.1.18) turn `x-user` into `HTTP_X_USER`, and `x_user` and, here and
//! there, `x.user` as well. A header that was checked, removed or set by the policy could so come a second
//! time under another spelling, and which of the two the application sees is up to chance.

use std::collections::HashSet;

/// Headers that say what the request is or where it came from, whatever the policy names.
const ALWAYS: [&str; 9] = [
    "content-encoding",
    "content-length",
    "content-type",
    "transfer-encoding",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// The headers that no other spelling may stand for.
#[derive(Debug)]
pub(crate) struct Aliases {
    exact: HashSet<Box<[u8]>>,
    folded: HashSet<Box<[u8]>>,
    /// One of those is named with another character than letters, digits and `-`: then the plain spelling stands
    /// for it as well.
    any_odd: bool,
}

impl Aliases {
    /// For the headers that a policy names, in lower case.
    pub(crate) fn of<'n>(named: impl Iterator<Item = &'n str>) -> Self {
        let exact: HashSet<Box<[u8]>> = named.chain(ALWAYS).map(|name| Box::from(name.as_bytes())).collect();
        let folded: HashSet<Box<[u8]>> = exact.iter().map(|name| fold(name)).collect();
        let any_odd = exact.iter().any(|name| !folded.contains(name));
        Self { exact, folded, any_odd }
    }

    /// Whether plain names have to be asked for too.
    pub(crate) const fn any_odd(&self) -> bool {
        self.any_odd
    }

    /// Whether some server takes this header for one of those, and it is not.
    pub(crate) fn hold(&self, name: &[u8]) -> bool {
        (self.any_odd || name.iter().any(|b| *b != folded(*b)))
            && self.folded.contains(&fold(name))
            && !self.exact.contains(name)
    }
}

fn fold(name: &[u8]) -> Box<[u8]> {
    name.iter().copied().map(folded).collect()
}

const fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte } else { b'-' }
}

/// Whether some server reads the one name as the other.
pub(crate) fn reads_as(name: &[u8], other: &str) -> bool {
    name.len() == other.len() && name.iter().zip(other.as_bytes()).all(|(a, b)| folded(*a) == folded(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_are_known_and_the_named_one_is_not_one() {
        let aliases = Aliases::of(["x-user", "x_token"].into_iter());
        for name in ["x_user", "x.user", "x!user", "x.token", "x_forwarded-for", "content_type"] {
            assert!(aliases.hold(name.as_bytes()), "{name}");
        }
        for name in ["x-user", "x_token", "x_users", "xuser", "client_id", "x-forwarded-for"] {
            assert!(!aliases.hold(name.as_bytes()), "{name}");
        }
        assert!(aliases.hold(b"x-token"), "the plain spelling of a name that is not plain");
        assert!(!Aliases::of(["x-user"].into_iter()).any_odd());
        assert!(reads_as(b"x_http_method", "x-http-method") && !reads_as(b"x-http-metho", "x-http-method"));
    }
}
