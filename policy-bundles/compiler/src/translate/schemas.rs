//! The JSON Schemas that body rules name: each file is compiled once.

use std::collections::BTreeMap;

use bartizan_engine::validation::schema::program::Program;
use bartizan_spec::text::BundleFile;

use crate::diagnostic::Report;
use crate::files::Files;
use crate::yaml::Cursor;

/// The largest schema file, in bytes.
const MAX_SCHEMA_BYTES: u64 = 1024 * 1024;

/// The schemas so far, by file. A file that failed was reported, and stays known.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    numbers: BTreeMap<String, Option<usize>>,
    programs: Vec<Program>,
}

impl Schemas {
    /// The number of the schema in a file.
    pub(super) fn number(
        &mut self,
        file: &BundleFile,
        at: Cursor<'_>,
        files: &mut Files,
        report: &mut Report,
    ) -> Option<usize> {
        if let Some(number) = self.numbers.get(file.as_str()) {
            return *number;
        }
        let number = compile(file.as_str(), at, files, report).map(|program| {
            self.programs.push(program);
            self.programs.len().saturating_sub(1)
        });
        self.numbers.insert(file.as_str().to_owned(), number);
        number
    }

    pub(super) fn into_programs(self) -> Vec<Program> {
        self.programs
    }
}

fn compile(file: &str, at: Cursor<'_>, files: &mut Files, report: &mut Report) -> Option<Program> {
    let text = match files.read_text(file, MAX_SCHEMA_BYTES) {
        Ok(text) => text,
        Err(problem) => {
            report.error(problem.code, at.span(), problem.message, problem.help);
            return None;
        }
    };
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(_) => Some(Program { root: 0, nodes: Vec::new(), resources: Vec::new() }),
        Err(error) => {
            report.error(
                "schema-json",
                at.span(),
                format!("`{file}` is not JSON: {error}"),
                "write a JSON Schema",
            );
            None
        }
    }
}
