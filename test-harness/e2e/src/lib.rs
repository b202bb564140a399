//! Bartizan in a real Envoy: what starts it, what stands behind it, and what attacks it.
//!
//! Everything here talks over the loopback and ends what it started. `make e2e`, `make run` and `make demo`
//! are the subcommands of the program `bartizan-e2e`.

pub mod bundles;
pub mod burst;
pub mod cases;
pub mod client;
pub mod config;
pub mod demo;
pub mod deploy;
mod driven;
pub mod envoy;
pub mod hostile;
pub mod keys;
pub mod large;
pub mod lifecycle;
pub mod message;
mod pack;
pub mod parity;
pub mod probe;
pub mod report;
pub mod run;
pub mod show;
pub mod trailers;
pub mod upstream;
