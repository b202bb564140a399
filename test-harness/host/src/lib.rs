//! A simulated Envoy for proxy-wasm modules.
//!
//! The crate runs a compiled proxy-wasm module the way Envoy does: the same host functions with the same
//! statuses, a VM for each worker and one for the main thread, streams that pause and continue, local replies that
//! run the module's own response callbacks. It knows nothing of what the module is for, so that any proxy-wasm
//! filter can be tested with it.
//!
//! Where the text of the ABI and Envoy's behaviour differ, this host does what Envoy does. Statements about
//! Envoy name their source: a file of `envoyproxy/envoy`, one of `proxy-wasm/proxy-wasm-cpp-host` (the library that
//! Envoy embeds), or a measurement.
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod abi;
pub mod clusters;
mod environment;
mod exchange;
pub mod faults;
mod filters;
pub mod foreign;
pub mod headers;
mod message;
pub mod metrics;
mod module;
pub mod pairs;
pub mod properties;
pub mod protobuf;
mod proxy;
mod random;
mod schedule;
pub mod shared;
pub mod status;
mod stream;
mod vm;

pub use environment::{FailurePolicy, LogLevel, LogLine, Thread};
pub use exchange::Report;
pub use headers::{HeaderKind, HeaderMap};
pub use message::{Protocol, Request, Response, Seen};
pub use module::{AbiVersion, Module, ModuleError};
pub use proxy::{Builder, Proxy, Refused, Worker};
pub use status::Status;
pub use stream::{Answer, Outcome, Stream};
