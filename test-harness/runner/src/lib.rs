//! Behaviour cases as data: what is sent, what must come of it, and who judges.
//!
//! A suite (`*.cases.yaml`) names a bundle and lists requests with the expected decision. The same file
//! runs natively in the engine and through a real Envoy: a driver turns each step into a [`wire::Wire`],
//! sends it wherever it sends it, and hands what came back to [`judge::judge`]. Read [`mod@format`] first.

pub mod expand;
pub mod format;
pub mod judge;
pub mod lint;
pub mod mint;
pub mod native;
pub mod patch;
pub mod suite;
pub mod wire;
