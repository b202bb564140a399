//! Turns a bundle directory into a plan, with every check and every diagnostic.

pub mod schema;
