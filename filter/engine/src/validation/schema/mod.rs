//! JSON Schema, compiled: the program and its evaluation.

pub mod machine;
pub mod program;
