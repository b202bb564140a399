//! Public test vectors, and what is needed to run them.
//!
//! The vectors are not part of the repository. They are read from the folder in `BARTIZAN_VECTORS`, or from
//! `../shared/conformance` beside it. Without them a laptop skips the tests and says so; in CI, where
//! `CI=true`, that is a failure. Every vector that does not get the answer it is marked with stands in a
//! list with a written reason, and a run of nothing is a failure.
#![forbid(unsafe_code)]

pub mod attacks;
pub mod bodies;
pub mod boring;
pub mod crs;
pub mod tally;
pub mod vectors;
