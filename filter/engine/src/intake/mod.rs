//! The first room: from bytes to one request with one meaning.
//!
//! Guarantees to every later room: the method is a token, the host and path are canonical, header names
//! are lower-case and values are UTF-8, no header that must be unique is there twice, and every cap of the
//! plan holds. Later rooms read only [`request::Request`], and upstream receives it.

mod head;
pub mod path;
pub mod percent;
pub mod plan;
pub mod query;
pub mod request;
pub mod routes;

pub use head::{Admission, admit};
