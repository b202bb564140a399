//! `bartizan man`: the command as a manual page.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_mangen::Man;

use crate::files;
use crate::output::{Failure, Outcome, Screen, count, shown};

const AFTER_HELP: &str = "\
Examples:
  bartizan man | man -l -                       reads it
  bartizan man -o ~/.local/share/man/man1       bartizan.1, and a page for each command: man bartizan-build

Exit codes: 0 done; 2 usage; 3 cannot write";

/// Prints the manual page, or writes one for each command.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Pages {
    /// Where to write the pages of all commands. Existing ones are replaced.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(crate) fn run(pages: &Pages, command: Command, screen: &Screen) -> Result<Outcome, Failure> {
    let mut command = command.disable_help_subcommand(true);
    // Gives each command its whole name: `bartizan-build` for the page, `bartizan build` for the synopsis.
    command.build();
    let Some(directory) = &pages.output else {
        screen.out(&page(command)?)?;
        return Ok(Outcome::Fine);
    };
    let mut all = Vec::new();
    collect(command, &mut all)?;
    for (name, text) in &all {
        files::write(&directory.join(name), text.as_bytes())?;
    }
    screen.err(&format!("wrote {} to {}\n", count(all.len(), "page"), shown(directory)));
    Ok(Outcome::Fine)
}

/// The pages of a command and of those in it, by the names of their files.
fn collect(command: Command, all: &mut Vec<(String, String)>) -> Result<(), Failure> {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        collect(sub.clone(), all)?;
    }
    all.push((Man::new(command.clone()).get_filename(), page(command)?));
    Ok(())
}

fn page(command: Command) -> Result<String, Failure> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (options, subcommands) = (command.get_arguments().next().is_some(), command.has_subcommands());
    let man = Man::new(command).source(concat!("bartizan ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if options {
        man.render_options_section(&mut text)?;
    }
    if subcommands {
        man.render_subcommands_section(&mut text)?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned() + &sections(&after))
}

/// What stands below the options in the help: examples and exit codes with their line breaks, the rest as text.
fn sections(after: &str) -> String {
    let mut out = String::new();
    let (mut examples, mut notes, mut exit) = (Vec::new(), Vec::new(), Vec::new());
    for paragraph in after.split("\n\n") {
        // What is indented is typed, or a list.
        let is_typed = paragraph.lines().last().is_some_and(|line| line.starts_with("  "));
        match paragraph {
            _ if paragraph.starts_with("Exit codes:") => exit.push(paragraph),
            _ if is_typed => examples.push(paragraph),
            _ => notes.push(paragraph),
        }
    }
    for (title, paragraphs, filled) in
        [("EXAMPLES", examples, false), ("NOTES", notes, true), ("EXIT STATUS", exit, false)]
    {
        if paragraphs.is_empty() {
            continue;
        }
        out += &format!(".SH \"{title}\"\n");
        for paragraph in paragraphs {
            let text = paragraph
                .trim_start_matches("Examples:\n")
                .trim_start_matches("Exit codes:")
                .trim_start_matches('\n');
            let (begin, end) = if filled { (".PP\n", "") } else { (".PP\n.nf\n", ".fi\n") };
            // Exit codes stand on one line each, or between semicolons.
            let text = if title == "EXIT STATUS" { text.trim().replace("; ", "\n") } else { text.to_owned() };
            out += begin;
            for line in text.lines() {
                let line =
                    if title == "EXIT STATUS" { line.strip_prefix("  ").unwrap_or(line) } else { line };
                out += &format!("{}\n", escaped(line));
            }
            out += end;
        }
    }
    out
}

/// A line of text as roff has it: no request at its beginning, hyphens that can be copied, backslashes that are meant.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
