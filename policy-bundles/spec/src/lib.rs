//! The policy language: what people write in `bundle.yaml`.
//!
//! These types say what a bundle may contain and nothing about how it runs: the compiler turns them into a
//! plan, and reports everything that is wrong on the way. They are strict (every unknown field is refused)
//! and every default is visible, in the types and in the JSON Schema that [`schema::bundle_schema`] makes
//! of them. Doc comments on fields are the descriptions that editors show.
//!
//! One file per room of the pipeline, [`bundle`] on top; [`text`] and [`units`] hold the small languages
//! inside strings: names, durations, sizes, rates, paths, permissions.
#![forbid(unsafe_code)]

pub mod authentication;
pub mod authorization;
pub mod bundle;
pub mod forms;
pub mod headers;
pub mod intake;
pub mod limits;
pub mod network;
pub mod parts;
pub mod path;
pub mod reference;
pub mod routes;
pub mod schema;
pub mod text;
pub mod time;
pub mod units;
pub mod validation;
