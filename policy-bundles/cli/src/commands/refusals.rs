//! `bartizan reasons --artifacts` and `--delivery`: why artifacts are refused, why a bundle source gives none, and the same
//! tables for docs/bundles.md.

use std::fmt::Write;

use bartizan_engine::delivery::Fault;
use bartizan_engine::envelope::Kind;
use serde_json::{Value, json};

/// A kind: its code, what it means, and what to do.
pub(super) type Row = (&'static str, &'static str, &'static str);

pub(super) fn artifacts() -> Vec<Row> {
    Kind::ALL.iter().map(|kind| (kind.code(), kind.explanation(), kind.remedy())).collect()
}

pub(super) fn delivery() -> Vec<Row> {
    Fault::ALL.iter().map(|fault| (fault.code(), fault.explanation(), fault.remedy())).collect()
}

/// The explanation on one line.
fn line(explanation: &str) -> String {
    explanation.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn text(rows: &[Row]) -> String {
    let width = rows.iter().map(|(code, ..)| code.len()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |mut out, (code, explanation, _)| {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{code:width$}  {}", line(explanation));
        out
    })
}

pub(super) fn json(rows: &[Row]) -> Value {
    let one = |(kind, explanation, remedy): &Row| json!({"kind": kind, "explanation": line(explanation), "remedy": remedy});
    Value::Array(rows.iter().map(one).collect())
}

pub(super) fn markdown(rows: &[Row]) -> String {
    let mut out = String::from("| kind | what it means | what to do |\n|---|---|---|\n");
    for (code, explanation, remedy) in rows {
        let _ = writeln!(out, "| `{code}` | {} | {remedy} |", line(explanation));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{artifacts, delivery, markdown};

    const END: &str = "<!-- The end of what is made. -->\n";

    /// Run with `BARTIZAN_BLESS=1` to write the tables anew.
    #[test]
    fn the_table_in_the_page_is_current() {
        for (flag, rows) in [("artifacts", artifacts()), ("delivery", delivery())] {
            let start = format!("<!-- Made by `bartizan reasons --{flag} --format markdown`. -->\n");
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bundles.md");
            let page = std::fs::read_to_string(path).unwrap();
            let (before, rest) = page.split_once(&start).unwrap();
            let (table, after) = rest.split_once(END).unwrap();
            if std::env::var_os("BARTIZAN_BLESS").is_some() {
                std::fs::write(path, [before, &start, &markdown(&rows), END, after].concat()).unwrap();
                continue;
            }
            let how = "run `BARTIZAN_BLESS=1 cargo test -p bartizan-cli the_table_in_the_page_is_current`";
            assert!(table == markdown(&rows), "docs/bundles.md is not what the table says; {how}");
        }
    }
}
