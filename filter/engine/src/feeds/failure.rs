//! Every reason for which a feed gives nothing that can be used: one table, from which the names of metrics and the docs
//! page are made.
//!
//! A code is a promise: dashboards and alerts count it. A code may be added, never renamed or given another meaning.

use std::fmt;

use crate::envelope::refused::printable;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $remedy:literal;)+) => {
        /// What went wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$name,)+];

            /// The stable code, as it stands in logs and in the names of metrics.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Kind::$name => $code,)+ }
            }

            /// What the docs page says about it.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Kind::$name => concat!($($doc),+),)+ }
            }

            /// What to do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Kind::$name => $remedy,)+ }
            }
        }
    };
}

kinds! {
    /// The proxy does not know the cluster, or did not send the request.
    NoCluster = "no-cluster", "define the cluster in the proxy's configuration, or name another in the policy";
    /// The connection broke before the answer was complete.
    NoAnswer = "no-answer", "look at the server and the network between";
    /// The answer did not come in time.
    Timeout = "timeout", "look at the server, or raise `timeout`";
    /// The server, or the proxy in its place, answered with 5xx.
    ServerError = "server-error", "look at the server; the proxy itself answers 503 when it cannot reach it";
    /// There is nothing at that path (404, 410).
    NotFound = "not-found", "correct the place in the policy";
    /// The server asks for credentials (401, 403).
    Unauthorized = "unauthorized", "serve it without credentials: public keys are no secret";
    /// The server sends elsewhere (3xx). Redirects are not followed.
    Redirected = "redirected", "name the place itself in the policy";
    /// The server answered with another status than 200 or 304.
    UnexpectedStatus = "unexpected-status", "look at what serves that path";
    /// The server says that nothing has changed, and was not asked whether it has.
    NotModifiedUnasked = "not-modified-unasked", "look at caches between the proxy and the server";
    /// The answer is not of the type that it should be.
    WrongContentType = "wrong-content-type", "serve it as `application/json`";
    /// The answer is compressed, and nobody asked for that.
    ContentEncoded = "content-encoded", "serve it without `content-encoding`";
    /// The answer is larger than the policy allows.
    Oversized = "oversized", "raise `max_size` in the policy if the server is right";
    /// The content is not what it should be. It is refused whole.
    Malformed = "malformed", "correct it at the server";
    /// The keys are well-formed, and none of them can verify a token: the issuer has withdrawn its keys, or the policy accepts other algorithms.
    NoUsableKey = "no-usable-key", "look whether the issuer has keys, and for which algorithms";
    /// The discovery document is malformed.
    DiscoveryMalformed = "discovery-malformed", "correct it at the issuer";
    /// The discovery document is that of another issuer.
    WrongIssuer = "wrong-issuer", "write the issuer in the policy byte by byte as it is in the document";
    /// The discovery document names keys at a place that the policy does not allow.
    ForeignKeys = "foreign-keys", "list the origin of the keys under `keys_at` if it is the issuer's";
    /// The proxy's shared data did not take it.
    NotShared = "not-shared", "give the plugin's `vm_config` a `vm_id`, and look at the proxy's log";
}

/// Why an attempt changed nothing, for metrics and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The stable reason.
    pub kind: Kind,
    /// What was found: lower case, one line. It holds nothing that is not printable.
    pub detail: String,
}

impl Failure {
    /// A failure. What is not printable in the detail, which may quote the answer, is replaced.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: printable(detail.into()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code(), self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_lower_case_words() {
        let codes: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(kind.code().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", kind.code());
            assert!(!kind.explanation().trim().is_empty() && !kind.remedy().is_empty());
        }
    }

    #[test]
    fn a_detail_is_one_short_line() {
        let failure = Failure::new(Kind::Malformed, "a\nb".repeat(1000));
        assert!(failure.detail.starts_with("a?ba?b") && failure.detail.len() < 520, "{}", failure.detail);
    }
}
