//! The first room: from bytes to one request with one meaning.
//!
//! Guarantees to every later room: the method is a token, the host and path are canonical, header names
//! are lower-case, no header that must be unique is there twice, every cap of the plan holds, and the
//! route (if any) has been found. Later rooms read only [`request::Request`], and upstream receives it.

pub mod plan;
pub mod request;
