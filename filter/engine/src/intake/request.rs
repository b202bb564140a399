//! A request with one meaning.

use std::borrow::Cow;

/// A header map as the proxy hands it over: lower-case names, raw values, in order, pseudo-headers too.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    pairs: &'a [(&'a [u8], &'a [u8])],
    /// The lengths that names have, as bits: most names that are asked for are not there, and their length
    /// mostly says so already.
    lengths: u64,
}

impl<'a> Headers<'a> {
    /// Wraps pairs whose names are already lower-case.
    #[must_use]
    pub fn new(pairs: &'a [(&'a [u8], &'a [u8])]) -> Self {
        let lengths = pairs.iter().fold(0, |lengths, (name, _)| lengths | bit(name.len()));
        Self { pairs, lengths }
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.pairs.iter().copied()
    }

    /// All values of a lower-case name, in order.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let pairs = if self.lengths & bit(name.len()) == 0 { &[] } else { self.pairs };
        pairs.iter().filter(move |(n, _)| *n == name.as_bytes()).map(|(_, v)| *v)
    }

    /// The first value of a lower-case name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are no pairs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

/// The bit of a length; lengths that are equal have equal bits.
const fn bit(length: usize) -> u64 {
    1 << (length % 64)
}

/// A request as every room after intake sees it. Only intake makes one.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) host: Cow<'a, str>,
    pub(super) path: Cow<'a, str>,
    pub(super) query: Option<&'a str>,
    pub(super) headers: Headers<'a>,
    pub(super) odd_names: bool,
}

impl<'a> Request<'a> {
    /// The method, as sent.
    #[must_use]
    pub fn method(&self) -> &str {
        self.method
    }

    /// The host without port, lower-case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The canonical path, percent-encoded where it must be.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The raw query without `?`; known to be valid ASCII with valid percent-encoding.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// Whether a header's name has a byte that is neither a letter, a digit nor `-`.
    #[must_use]
    pub(crate) fn has_odd_names(&self) -> bool {
        self.odd_names
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }
}
