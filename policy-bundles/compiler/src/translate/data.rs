//! Files of data beside the policy: read into a tree whose places are known, and held against their own schema.

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::diagnostic::{Report, Span};
use crate::files::Files;
use crate::shape;
use crate::yaml::{self, Node};

/// The largest file of data, in bytes: room for 200,000 keys.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Reads a file that `here` names. What does not fit the schema is reported where it stands.
pub(super) fn read<T: DeserializeOwned>(
    file: &str,
    schema: &Json,
    here: Span,
    files: &mut Files,
    report: &mut Report,
) -> Option<(T, Node)> {
    let text = match files.read_text(file, MAX_BYTES) {
        Ok(text) => text,
        Err(problem) => {
            report.error(problem.code, here, problem.message, problem.help);
            return None;
        }
    };
    let number = report.add_file(file.to_owned());
    let mut tree = yaml::load_file(file, number, &text, report)?;
    let read = shape::data(schema, &mut tree, report)?;
    Some((read, tree))
}
