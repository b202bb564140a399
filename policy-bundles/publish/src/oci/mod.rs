//! Artifacts in OCI registries, by the distribution specification 1.1: [`push`] and [`pull`].
//!
//! A registry is not trusted. What it answers is limited in size, what it sends is held against its digest, and what it
//! says about itself reaches no terminal unescaped. Credentials go to the registry they are for, and to the token server it
//! names, and nowhere else.

mod auth;
mod client;
pub mod credentials;
mod manifest;
mod pull;
mod push;
pub mod reference;

use std::fmt;

pub use client::{Registry, Transport};
pub use manifest::{ARTIFACT_TYPE, CREATED, Manifest};
pub use pull::{Pulled, pull};
pub use push::{Pushed, push};

/// Why an exchange with a registry failed. The kinds are those by which the filter counts what its sources answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// A stable code.
    pub kind: Kind,
    /// What happened, and where.
    pub detail: String,
}

impl Error {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code(), self.detail)
    }
}

/// A member of an object; `null` of anything else.
fn member<'v>(value: &'v serde_json::Value, name: &str) -> &'v serde_json::Value {
    value.get(name).unwrap_or(&serde_json::Value::Null)
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal;)+) => {
        /// Kinds of failures.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Kind {
            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Kind::$name => $code,)+ }
            }
        }
    };
}

kinds! {
    /// Nobody answers: no such host, a refused or broken connection, TLS that fails.
    NoAnswer = "no-answer";
    /// It takes too long.
    Timeout = "timeout";
    /// A status of 500 or more.
    ServerError = "server-error";
    /// There is no such repository, manifest or blob.
    NotFound = "not-found";
    /// It wants other credentials, or any.
    Unauthorized = "unauthorized";
    /// It redirects where it should not.
    Redirected = "redirected";
    /// Another status than the specification has here.
    UnexpectedStatus = "unexpected-status";
    /// An answer is not what the specification says.
    InvalidAnswer = "invalid-answer";
    /// An answer is larger than it may be.
    Oversized = "oversized";
    /// The manifest is none of a bundle.
    ManifestInvalid = "manifest-invalid";
    /// The bytes are not those of the digest.
    DigestMismatch = "digest-mismatch";
}

impl Kind {
    /// Whether what is in the registry is wrong, and not the way there.
    #[must_use]
    pub const fn is_about_the_artifact(self) -> bool {
        matches!(self, Self::ManifestInvalid | Self::DigestMismatch | Self::Oversized)
    }
}
