//! JSON Schema 2020-12, from documents to a [`Program`] the engine runs.
//!
//! Everything that can be decided at build time is decided here: references are resolved within the
//! document and across the files of the bundle, patterns are translated from ECMA-262, and every keyword
//! is checked. A keyword that cannot be honoured is an error, never an omission: a schema that silently
//! checks less than it says is worse than none. The same goes for unknown keywords, most of which are
//! misspelt; what begins with `x-` is for other tools and is left alone.
//!
//! Where this departs from the letter of the standard: `format` is checked (the standard leaves that to
//! the implementation), unknown keywords are refused, and `int32`, `int64` and `byte` of OpenAPI are known.

mod keywords;
mod pattern;
mod registry;
mod uri;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bartizan_engine::validation::schema::{self, program::Program};
use serde_json::Value;

/// What is wrong with a schema, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    /// The file, as it was asked for.
    pub file: String,
    /// JSON pointer to the offending value in that file; empty for the file itself.
    pub pointer: String,
    /// What is wrong there.
    pub problem: String,
    /// What to do about it; may be empty.
    pub remedy: String,
}

impl std::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}: {}", self.file, self.pointer, self.problem)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

impl std::error::Error for SchemaError {}

/// How strictly schemas are read. The default is what bundles get; the rest is for the test suite of the
/// standard, which asks for its letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether `format` is checked. Unknown formats are then errors.
    pub check_formats: bool,
    /// Whether unknown keywords are errors.
    pub refuse_unknown: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { check_formats: true, refuse_unknown: true }
    }
}

/// Gives the document behind a path relative to the bundle directory, or behind an absolute URI. An error
/// says why there is none.
pub type Load<'l> = dyn FnMut(&str) -> Result<Value, String> + 'l;

/// Compiles the schema in `file`, a path relative to the bundle directory with `/` between its parts.
///
/// # Errors
/// Everything that is wrong in this document and in those it refers to, in order of file and place.
pub fn compile(file: &str, load: &mut Load<'_>, options: Options) -> Result<Program, Vec<SchemaError>> {
    let mut registry = registry::Registry::new(load, options);
    let compiled = keywords::compile(&mut registry, file);
    let mut errors = registry.into_errors();
    if errors.is_empty() {
        match schema::check(&compiled.program) {
            Ok(()) => return Ok(compiled.program),
            Err(unsound) => {
                let (file, pointer) = unsound
                    .node
                    .and_then(|node| compiled.places.get(node).cloned())
                    .unwrap_or_else(|| (file.to_owned(), String::new()));
                errors.push(SchemaError { file, pointer, problem: unsound.problem, remedy: String::new() });
            }
        }
    }
    // One mistake behind two references is one mistake.
    let unique: BTreeMap<_, _> =
        errors.into_iter().map(|e| ((e.file.clone(), e.pointer.clone(), e.problem.clone()), e)).collect();
    Err(unique.into_values().collect())
}
