//! A loaded program, ready to run.

use super::super::json::tape::Tape;
use super::program::Program;
use crate::plan::PlanError;
use crate::refusal::Violation;

/// What came of running a program over a document.
#[expect(dead_code, reason = "loading refuses every schema until evaluation lands")]
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The document satisfies the schema.
    Satisfied,
    /// It does not; at most sixteen places.
    Violated(Vec<Violation>),
    /// The budget of steps was used up before there was an answer.
    TooDear,
}

/// A loaded program.
#[derive(Debug)]
pub(crate) struct Machine {}

impl Machine {
    /// Loads a program.
    pub(crate) fn load(_program: &Program) -> Result<Self, PlanError> {
        Err(PlanError::new("root", "schemas are not supported by this build"))
    }

    /// Runs it.
    pub(crate) fn run(&self, _tape: &Tape<'_>) -> Outcome {
        Outcome::TooDear
    }
}
