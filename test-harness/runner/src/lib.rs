//! Behaviour cases as data: what is sent, what must come of it, and who judges.
//!
//! A suite (`*.cases.yaml`) names a bundle and lists requests with the expected decision. The same file
//! runs natively in the engine, through the module in a simulated Envoy, and through a real one: a
//! [`driver::Driver`] gets each step as a [`wire::Wire`], sends it wherever it sends it, and what came back goes to
//! [`judge::judge`]. [`session`] runs many files at once. Read [`mod@format`] first.

pub mod agreement;
pub mod chance;
pub mod coverage;
pub mod deployment;
pub mod driver;
mod edge;
pub mod expand;
pub mod find;
pub mod format;
pub mod judge;
pub mod lint;
pub mod mint;
pub mod native;
pub mod patch;
pub mod remote;
pub mod session;
pub mod simulated;
pub mod suite;
pub mod wire;
