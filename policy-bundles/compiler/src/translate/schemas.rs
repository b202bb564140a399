//! The JSON Schemas that body rules name: each file is compiled once.

use std::collections::BTreeMap;

use bartizan_engine::strict_json;
use bartizan_engine::validation::schema::program::Program;
use bartizan_spec::text::BundleFile;
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Report, Severity, Span};
use crate::files::Files;
use crate::locate;
use crate::schema::{self, Options};
use crate::yaml::Cursor;

/// The largest schema file.
const BOUNDS: strict_json::Bounds = strict_json::Bounds { max_bytes: 1024 * 1024, max_depth: 100 };

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
    let text = match files.read_text(file, most_bytes()) {
        Ok(text) => text,
        // A file with the wrong bytes in it is shown itself; one that is not there has no place to show.
        Err(problem) if problem.span.is_some() => {
            report.push(problem.into_diagnostic(file));
            return None;
        }
        Err(problem) => {
            report.error(problem.code, at.span(), problem.message, problem.help);
            return None;
        }
    };
    if let Err(problem) = read(&text) {
        report.push(Diagnostic {
            file: file.to_owned(),
            span: problem.span,
            severity: Severity::Error,
            code: "schema-json",
            message: problem.message,
            help: "write a JSON Schema (2020-12) as JSON".to_owned(),
        });
        return None;
    }
    let mut load = |path: &str| -> Result<Value, String> {
        // What a part says is the part's own business, and the bundle's is the bundle's.
        if files.part_of(path) != files.part_of(file) {
            return Err(format!("`{path}` is not of the same part of the bundle"));
        }
        let text = files.read_text(path, most_bytes()).map_err(|problem| problem.message)?;
        read(&text).map_err(|problem| problem.message)
    };
    let errors = match schema::compile(file, &mut load, Options::default()) {
        Ok(program) => return Some(program),
        Err(errors) => errors,
    };
    for error in errors {
        let text = files.read_text(&error.file, most_bytes()).unwrap_or_default();
        let help = match error.remedy.is_empty() {
            true => "see the JSON Schema reference, https://json-schema.org/draft/2020-12".to_owned(),
            false => error.remedy,
        };
        let place = if error.pointer.is_empty() { String::new() } else { format!("{}: ", error.pointer) };
        report.push(Diagnostic {
            span: locate::locate(&text, &error.pointer).unwrap_or_default(),
            file: error.file,
            severity: Severity::Error,
            code: "schema",
            message: format!("{place}{}", error.problem),
            help,
        });
    }
    None
}

fn most_bytes() -> u64 {
    u64::try_from(BOUNDS.max_bytes).unwrap_or(u64::MAX)
}

struct NotJson {
    span: Span,
    message: String,
}

/// Reads JSON in which every member has one meaning.
fn read(text: &str) -> Result<Value, NotJson> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        // The place is shown beside the message; there is no need to say it twice.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        NotJson {
            span: locate::at(error.line(), error.column()),
            message: format!("this is not JSON: {message}"),
        }
    })?;
    if value.is_object() {
        strict_json::parse_object(text.as_bytes(), BOUNDS).map_err(|error| match error {
            strict_json::StrictJsonError::DuplicateMember { line, column } => NotJson {
                // Reported after the name, so that the name ends before.
                span: locate::at(line, column),
                message: "a member is named twice in one object".to_owned(),
            },
            error => NotJson { span: Span::default(), message: format!("this schema is {error}") },
        })?;
    }
    Ok(value)
}
