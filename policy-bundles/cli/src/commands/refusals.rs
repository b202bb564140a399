//! `bartizan reasons --artifacts`: why artifacts are refused, and the same table for docs/bundles.md.

use std::fmt::Write;

use bartizan_engine::envelope::Kind;
use serde_json::{Value, json};

/// The explanation on one line.
fn explanation(kind: Kind) -> String {
    kind.explanation().split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn text() -> String {
    let width = Kind::ALL.iter().map(|kind| kind.code().len()).max().unwrap_or(0);
    Kind::ALL.iter().fold(String::new(), |mut out, kind| {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{:width$}  {}", kind.code(), explanation(*kind));
        out
    })
}

pub(super) fn json() -> Value {
    let one = |kind: &Kind| json!({"kind": kind.code(), "explanation": explanation(*kind), "remedy": kind.remedy()});
    Value::Array(Kind::ALL.iter().map(one).collect())
}

pub(super) fn markdown() -> String {
    let mut out = String::from("| kind | what it means | what to do |\n|---|---|---|\n");
    for kind in Kind::ALL {
        let _ = writeln!(out, "| `{}` | {} | {} |", kind.code(), explanation(*kind), kind.remedy());
    }
    out
}

#[cfg(test)]
mod tests {
    const START: &str = "<!-- Made by `bartizan reasons --artifacts --format markdown`. -->\n";
    const END: &str = "<!-- The end of what is made. -->\n";

    /// Run with `BARTIZAN_BLESS=1` to write the table anew.
    #[test]
    fn the_table_in_the_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bundles.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(START).unwrap();
        let (table, after) = rest.split_once(END).unwrap();
        if std::env::var_os("BARTIZAN_BLESS").is_some() {
            std::fs::write(path, [before, START, &super::markdown(), END, after].concat()).unwrap();
            return;
        }
        let how = "run `BARTIZAN_BLESS=1 cargo test -p bartizan-cli the_table_in_the_page_is_current`";
        assert!(table == super::markdown(), "docs/bundles.md is not what the table says; {how}");
    }
}
