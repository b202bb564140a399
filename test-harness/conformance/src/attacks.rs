//! Reading corpora of attacks and of harmless values.

use std::path::Path;

/// Decodes `+` and percent-encoding as forms do; what is malformed stays.
#[must_use]
pub fn form_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        rest = after;
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                out.extend(u8::try_from(high << 4 | low));
                rest = after.get(2..).unwrap_or(b"");
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(*first),
        }
    }
    out
}

/// The lines of a corpus of libinjection: encoded as form values, `#` begins a comment.
///
/// # Errors
/// When the file cannot be read.
pub fn lines(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let text = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines = text.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).map(form_decoded).collect())
}

/// The records of a CSV file in which every field is quoted.
///
/// # Errors
/// When the file cannot be read or is not of that form.
pub fn csv(path: &Path) -> Result<Vec<Vec<String>>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut rest = text.as_str();
    while let Some(opened) = rest.strip_prefix('"') {
        let mut field = String::new();
        rest = opened;
        loop {
            let (before, after) = rest.split_once('"').ok_or("a quote is not closed")?;
            field.push_str(before);
            rest = after;
            match rest.strip_prefix('"') {
                Some(escaped) => {
                    field.push('"');
                    rest = escaped;
                }
                None => break,
            }
        }
        record.push(field);
        if let Some(next) = rest.strip_prefix(',') {
            rest = next;
        } else {
            rest = rest.trim_start_matches(['\r', '\n']);
            records.push(std::mem::take(&mut record));
        }
    }
    if rest.is_empty() { Ok(records) } else { Err("text outside of quotes".into()) }
}
