//! Every reason for which a bundle source gives nothing that can be used: one table, from which the docs page and the
//! names of metrics are made, beside that of [`envelope::Kind`].
//!
//! A code is a promise: dashboards and alerts count it. A code may be added, never renamed or given another meaning.

use std::fmt;

use crate::envelope::{self, Refused};

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $remedy:literal;)+) => {
        /// What went wrong on the way, before or after an artifact was judged.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Fault] = &[$(Fault::$name,)+];

            /// The stable code, as it stands in logs and in the names of metrics.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Fault::$name => $code,)+ }
            }

            /// What the docs page says about it.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Fault::$name => concat!($($doc),+),)+ }
            }

            /// What to do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Fault::$name => $remedy,)+ }
            }
        }
    };
}

faults! {
    /// The proxy does not know the cluster, or did not send the request.
    NoCluster = "no-cluster", "define the cluster that `source` names in the proxy's configuration";
    /// The connection broke before the answer was complete.
    NoAnswer = "no-answer", "look at the bundle server and the network between";
    /// The answer did not come in time.
    Timeout = "timeout", "look at the bundle server, or raise `timeout_ms`";
    /// The server, or the proxy in its place, answered with 5xx.
    ServerError = "server-error", "look at the bundle server; the proxy itself answers 503 when it cannot reach it";
    /// There is nothing at that path (404, 410).
    NotFound = "not-found", "publish the bundle there, or correct the path in `source`";
    /// The server asks for other credentials (401, 403).
    Unauthorized = "unauthorized", "correct the credentials that `authorization` names";
    /// The server sends elsewhere (3xx). Redirects are not followed.
    Redirected = "redirected", "name the place itself in `source`";
    /// The server answered with another status than 200 or 304.
    UnexpectedStatus = "unexpected-status", "look at what serves that path";
    /// The server says that nothing has changed, and was not asked whether it has.
    NotModifiedWithoutBundle = "not-modified-without-bundle", "look at caches between the proxy and the bundle server";
    /// The answer is of another type than an artifact.
    WrongContentType = "wrong-content-type", "serve it as `application/vnd.dsse.envelope.v1+json` or `application/json`";
    /// The answer is compressed, and nobody asked for that.
    ContentEncoded = "content-encoded", "serve it without `content-encoding`";
    /// What the registry has under that name is no manifest of a bundle.
    ManifestInvalid = "manifest-invalid", "push it with `bartizan push`";
    /// What came is not what its digest or size says.
    DigestMismatch = "digest-mismatch", "look at the registry and at whoever may write to it";
    /// The bundle is right and does not load in this deployment.
    DoesNotLoad = "does-not-load", "give the proxy what the bundle needs, such as the environment variables of its secrets";
    /// The proxy's shared data did not take it.
    NotShared = "not-shared", "give the plugin's `vm_config` a `vm_id`, and look at the proxy's log";
}

/// Why a poll changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Something on the way.
    Fault(Fault),
    /// The artifact itself.
    Artifact(envelope::Kind),
}

impl Kind {
    /// All kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        let faults = Fault::ALL.iter().copied().map(Self::Fault);
        faults.chain(envelope::Kind::ALL.iter().copied().map(Self::Artifact))
    }

    /// The stable code, as it stands in logs and in the names of metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.code(),
            Self::Artifact(kind) => kind.code(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.remedy(),
            Self::Artifact(kind) => kind.remedy(),
        }
    }

    /// Whether the server is in trouble, and better off with fewer questions. One that gives a bad artifact is not: the
    /// sooner its correction is seen the better.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        use Fault::{NoAnswer, NoCluster, ServerError, Timeout, Unauthorized};
        matches!(self, Self::Fault(NoCluster | NoAnswer | Timeout | ServerError | Unauthorized))
    }
}

/// Why a poll changed nothing, for metrics and for people.
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
    pub fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self { kind: Kind::Fault(fault), detail: envelope::refused::printable(detail.into()) }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self { kind: Kind::Artifact(refused.kind), detail: refused.detail }
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
        let codes: BTreeSet<_> = Kind::all().map(Kind::code).collect();
        assert_eq!(codes.len(), Fault::ALL.len() + envelope::Kind::ALL.len());
        for fault in Fault::ALL {
            assert!(fault.code().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", fault.code());
            assert!(!fault.explanation().trim().is_empty() && !fault.remedy().is_empty());
        }
    }

    #[test]
    fn a_detail_is_one_short_line() {
        let failure = Failure::new(Fault::WrongContentType, "a\nb".repeat(1000));
        assert!(failure.detail.starts_with("a?ba?b") && failure.detail.len() < 520, "{}", failure.detail);
    }
}
