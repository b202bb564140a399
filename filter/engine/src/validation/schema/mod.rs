//! JSON Schema 2020-12, compiled: the program that a bundle carries, and its evaluation.
//!
//! The compiler understands schemas; the engine runs programs. What runs here is a graph of checks over
//! the tape that the JSON reader made, with no parsing, no references to resolve, and no allocation for a
//! document that is valid (but for `unevaluated` checks, which must remember).

mod compare;
mod eval;
mod format;
pub(crate) mod machine;
mod pattern;
pub mod program;

pub(crate) use eval::Outcome;

use crate::plan::PlanError;
use program::Program;

/// What is wrong with a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsound {
    /// The node it is in, if it is in one.
    pub node: Option<usize>,
    /// What is wrong.
    pub problem: String,
}

impl From<Unsound> for PlanError {
    fn from(unsound: Unsound) -> Self {
        let place = unsound.node.map_or_else(|| "root".to_owned(), |node| format!("nodes[{node}]"));
        Self::new(place, unsound.problem)
    }
}

/// Checks a program as loading does.
///
/// # Errors
/// The first thing that cannot be used.
pub fn check(program: &Program) -> Result<(), Unsound> {
    machine::Machine::load(program).map(|_| ())
}

/// Checks a translated pattern as loading does.
///
/// # Errors
/// Why it cannot be used.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    pattern::Pattern::load(pattern).map(|_| ())
}
