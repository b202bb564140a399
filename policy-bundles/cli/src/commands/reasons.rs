//! `bartizan reasons`: why requests are refused.

use std::fmt::Write;

use bartizan_engine::reason::Reason;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::refusals;
use crate::output::{Failure, Outcome, Screen};

const AFTER_HELP: &str = "\
Examples:
  bartizan reasons
  bartizan reasons --format json | jq '.[] | select(.status == 401)'
  bartizan reasons --format markdown > docs/reasons.md
  bartizan reasons --artifacts                 why bundles are refused, instead of requests
  bartizan reasons --delivery                  why a bundle source gives none

Exit codes: 0 done; 2 usage; 3 cannot write";

/// Prints every reason for which requests are refused, with its status and what it means.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Reasons {
    /// The form of the table.
    #[arg(long, value_enum, default_value_t = Table::Text)]
    format: Table,
    /// The reasons for which filters refuse artifacts, instead of requests.
    #[arg(long)]
    artifacts: bool,
    /// The reasons for which a bundle source gives filters nothing that they can use.
    #[arg(long, conflicts_with = "artifacts")]
    delivery: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// The page in the documentation.
    Markdown,
}

pub(crate) fn run(reasons: &Reasons, screen: &Screen) -> Result<Outcome, Failure> {
    let rows = match (reasons.artifacts, reasons.delivery) {
        (true, _) => Some(refusals::artifacts()),
        (_, true) => Some(refusals::delivery()),
        _ => None,
    };
    match (reasons.format, rows) {
        (Table::Text, None) => screen.out(&text())?,
        (Table::Json, None) => screen.json(&json())?,
        (Table::Markdown, None) => screen.out(&markdown())?,
        (Table::Text, Some(rows)) => screen.out(&refusals::text(&rows))?,
        (Table::Json, Some(rows)) => screen.json(&refusals::json(&rows))?,
        (Table::Markdown, Some(rows)) => screen.out(&refusals::markdown(&rows))?,
    }
    Ok(Outcome::Fine)
}

/// The explanation on one line.
fn explanation(reason: Reason) -> String {
    reason.explanation().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text() -> String {
    let width = Reason::ALL.iter().map(|reason| reason.code().len()).max().unwrap_or(0);
    let mut out = String::new();
    for reason in Reason::ALL {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{:width$}  {}  {}", reason.code(), reason.status(), explanation(*reason));
    }
    out
}

fn json() -> Value {
    let one = |reason: &Reason| {
        json!({
            "reason": reason.code(),
            "status": reason.status(),
            "title": reason.title(),
            "explanation": explanation(*reason),
        })
    };
    Value::Array(Reason::ALL.iter().map(one).collect())
}

fn markdown() -> String {
    let mut out = String::from(
        "<!-- Made by `bartizan reasons --format markdown` from filter/engine/src/reason.rs. -->\n\n\
         # Reasons\n\n\
         A request that is refused gets a problem document (RFC 9457) with a `reason`. The code is a promise:\n\
         clients may branch on it, dashboards may count it; codes are added, never renamed. The order is that\n\
         in which a request meets them.\n\n\
         | reason | status | title | what it means |\n|---|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            reason.code(),
            reason.status(),
            reason.title(),
            explanation(*reason).replace('|', "\\|")
        );
    }
    out
}

#[cfg(test)]
mod tests {
    /// Run with `BARTIZAN_BLESS=1` to write the page anew.
    #[test]
    fn the_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reasons.md");
        if std::env::var_os("BARTIZAN_BLESS").is_some() {
            std::fs::write(path, super::markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == super::markdown(),
            "docs/reasons.md is not what the table says; run `bartizan reasons --format markdown > docs/reasons.md`"
        );
    }
}
