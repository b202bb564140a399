//! Case files: any text is a suite or gets errors that name the file, and each step of a suite can be made.

use bartizan_cases::mint::Mint;
use bartizan_cases::suite;

use crate::fixture::{NOW_S, PLAN};

/// The most steps that are made of one file.
const STEPS: usize = 64;

/// Any text as a case file.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    match suite::parse(text, "fuzz.cases.yaml") {
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            for error in errors {
                assert!(error.place.starts_with("fuzz.cases.yaml"), "{error}");
            }
            false
        }
        Ok((_, runs)) => {
            let mint = Mint::for_plan(&PLAN);
            for step in runs.iter().flat_map(|run| &run.steps).take(STEPS) {
                let _ = step.concrete(7, NOW_S, &mint);
            }
            true
        }
    }
}
