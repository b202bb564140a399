//! Executes a security plan over one request.
//!
//! The engine is pure: it opens no socket, reads no clock and keeps no global. Whoever hosts it (the
//! Envoy filter, a test, the `bartizan explain` command) hands it the plan, the request, the time, and a
//! [`host::Host`] for the two things only a proxy has: state shared between its workers and a fast
//! signature check. Read [`pipeline`] first: it lists the rooms a request walks through, in order.
#![forbid(unsafe_code)]

pub mod authentication;
pub mod authorization;
mod bytes;
pub mod delivery;
pub mod envelope;
pub mod feeds;
pub mod headers;
pub mod host;
pub mod intake;
pub mod limits;
pub mod network;
pub mod pipeline;
pub mod plan;
pub mod reason;
pub mod refusal;
pub mod strict_json;
pub mod structured;
pub mod trace;
pub mod validation;
