//! Under construction.

pub mod plan;
