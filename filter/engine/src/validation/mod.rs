//! The room that looks at what a request carries: hostile values anywhere in it, and the body.
//!
//! Input: a canonical request, and its body once it is complete. Guarantees to upstream: no value that was
//! inspected reads as an attack; a body that a rule reads is complete, of the declared type, within its
//! limits and valid against its schema. Nothing a client sends makes this room recurse deeper than
//! [`body::MAX_JSON_DEPTH`] levels or work longer than in proportion to its size.

pub mod body;
mod form;
pub mod inspect;
mod json;
mod media;
pub mod plan;
pub mod schema;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
