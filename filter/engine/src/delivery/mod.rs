//! Following bundles: what to ask of a bundle source, when, and what to make of the answers.
//!
//! Nothing here does anything: [`Follower`] is handed the time, the slots that workers share ([`crate::host::Host`]) and
//! the answers, and says what to ask for and what may come into force. The filter asks, loads and swaps.
//!
//! Workers share records ([`record`]). The *lease* says who asks just now. The *state* says what was accepted
//! last, and when to ask again. The *bytes* are what was accepted; there are two such slots, and the state names the one that
//! counts, so that a write that fails half-way takes nothing away. The *floor* is the newest that was ever accepted from the
//! source, by which keys, and where it lies. All of it is a cache: what a worker finds
//! there it judges itself, signatures first, before it comes into force there.

pub mod answer;
pub mod failure;
pub mod follower;
mod judging;
pub mod manifest;
mod picking;
pub mod record;
pub mod schedule;
pub mod source;

pub use failure::{Failure, Fault, Kind};
pub use follower::{Follower, InForce, Outcome};
pub use source::{Source, SourcePlan};

#[cfg(test)]
mod follower_tests;
