//! JSON Schema, compiled: the program and its evaluation.

pub mod program;
