//! Fuzz targets.
//!
//! A target is a plain function that takes any bytes and panics if a law is broken. The same functions run over their
//! committed corpora as tests (`tests/corpora.rs`) and under libFuzzer (`bins/`, `make fuzz`).
#![forbid(unsafe_code)]
#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a target reports by a panic, and its fixtures are files of this repository"
)]

pub mod bundle;
pub mod cases;
pub mod envelope;
pub mod fixture;
pub mod form;
pub mod guest;
pub mod headers;
pub mod json;
pub mod path;
pub mod plan;
pub mod query;
pub mod request;
pub mod token;
pub mod wire;

/// A target: its name, which is that of its corpus too, and what it does with an input.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name.
    pub name: &'static str,
    /// Runs one input. True if what it holds was accepted and not refused: a corpus needs both.
    pub run: fn(&[u8]) -> bool,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "bundle", run: bundle::run },
    Target { name: "cases", run: cases::run },
    Target { name: "envelope", run: envelope::run },
    Target { name: "form", run: form::run },
    Target { name: "guest", run: guest::run },
    Target { name: "headers", run: headers::run },
    Target { name: "json", run: json::run },
    Target { name: "path", run: path::run },
    Target { name: "plan", run: plan::run },
    Target { name: "query", run: query::run },
    Target { name: "request", run: request::run },
    Target { name: "token", run: token::run },
    Target { name: "wire", run: wire::run },
];
