//! `bartizan test`: the behaviour cases of a bundle, through the filter that ships.
//!
//! [`found`] finds and reads case files, [`place`] and [`envoy`] run them, [`results`] keeps what came of each
//! case, [`coverage`] what the bundle's rules met, and [`text`], [`json`] and [`junit`] tell of it.

mod coverage;
mod envoy;
mod found;
mod json;
mod junit;
mod percent;
mod place;
mod progress;
mod request;
mod results;
mod text;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::output::{Failure, Outcome, Screen, shown};
use coverage::Coverages;
use percent::Percent;
use results::{Results, Settings};

const AFTER_HELP: &str = "\
Examples:
  bartizan test my-policy                            every case of a bundle
  bartizan test my-policy/tests/access.cases.yaml    one case file
  bartizan test my-policy --filter telemetry         some cases, by file, name or row
  bartizan test my-policy --coverage                 and what of the bundle they test
  bartizan test my-policy --coverage-threshold 90    and fail if that is less than 90 %
  bartizan test my-policy --strict                   and fail if there are warnings
  bartizan test my-policy --format junit -o r.xml    for a pipeline
  bartizan test my-policy --envoy                    the same through a real Envoy

What comes of a case:
  PASS     everything is as it expects
  FAIL     something is not: request, expected, got and the decision are shown
  ERROR    it could not be run: a case file that cannot be read, a bundle with
           errors, a module that breaks
  SKIPPED  it says that it does not run here, and why

The module is the one that ships, in a simulated Envoy with two workers. It is
looked for beside this command and in dist/. Which worker serves which request
is drawn from the seed: the same seed gives the same run.

Exit codes:
  0  all passed
  1  a case failed, the coverage is below its threshold, or --strict and warnings
  2  something could not be run: usage, no module, no cases, a case with an error,
     an Envoy that broke
  3  DIR cannot be read, or the report cannot be written";

/// Runs the behaviour cases of a bundle through the filter.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Test {
    /// A bundle, a directory with case files (`*.cases.yaml`) anywhere in it, or one case file.
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Only cases that have this text in their file, name or row.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Form,
    /// Where the report goes; standard output by default. The screen then gets it as text.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What is drawn from it: which worker serves which request.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The module to test, instead of the one beside this command or in dist/.
    #[arg(long, value_name = "FILE", env = "BARTIZAN_WASM")]
    module: Option<PathBuf>,
    /// Runs the cases in the engine alone: quicker, and not what ships.
    #[arg(long, conflicts_with = "envoy")]
    native: bool,
    /// Runs the cases through a real Envoy, over HTTP/1.1 and HTTP/2, on the loopback.
    #[arg(long)]
    envoy: bool,
    /// The Envoy to use with `--envoy`: the path of the binary.
    #[arg(long, value_name = "FILE", env = "ENVOY")]
    envoy_path: Option<PathBuf>,
    /// Tells which rules of the bundle the cases put to the test, and which not.
    #[arg(long)]
    coverage: bool,
    /// The least coverage in percent; below it the command fails. Implies `--coverage`.
    #[arg(long, value_name = "PERCENT")]
    coverage_threshold: Option<Percent>,
    /// Takes warnings for failures: a case that allows something while no case near it refuses, a file among the
    /// tests that is not read.
    #[arg(long, visible_alias = "deny-warnings")]
    strict: bool,
    /// Lists every case, those that passed too.
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
    /// For pipelines: the XML that JUnit writes.
    Junit,
}

pub(crate) fn run(test: &Test, screen: &Screen) -> Result<Outcome, Failure> {
    let (why, outcome) = match tested(test) {
        Ok((results, coverages)) => {
            report(test, screen, &results, &coverages)?;
            let least = test.coverage_threshold.as_ref();
            return Ok(results.outcome(least.is_some_and(|least| coverages.is_below(least))));
        }
        Err(Stop::NotRun(why)) => (why, Outcome::NotRun),
        Err(Stop::Unreadable(why)) => (why, Outcome::Failed),
    };
    screen.complain(&why);
    // What an earlier run left there would be taken for the report of this one.
    let Some(output) = &test.output else { return Ok(outcome) };
    write(test, output, &Results::not_run(settings(test), why), &Coverages::default())?;
    Ok(outcome)
}

/// Why nothing was run.
#[derive(Debug)]
enum Stop {
    /// What was asked for cannot be run.
    NotRun(String),
    /// What was asked for cannot be read.
    Unreadable(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::NotRun(why)
    }
}

/// Everything up to the report; or why nothing could be run.
fn tested(test: &Test) -> Result<(Results, Coverages), Stop> {
    let found = found::find(&test.directory)?;
    found.check(test.filter.as_deref())?;
    let wants_coverage = test.coverage || test.coverage_threshold.is_some();
    let coverages = Coverages::new(&found, wants_coverage);
    let settings = settings(test);
    Ok(if test.envoy {
        envoy::run(test, settings, &found, coverages)?
    } else {
        place::run(test, settings, &found, coverages)?
    })
}

fn settings(test: &Test) -> Settings {
    Settings {
        directory: test.directory.display().to_string(),
        filter: test.filter.clone(),
        seed: test.seed,
        coverage: test.coverage || test.coverage_threshold.is_some(),
        threshold: test.coverage_threshold.clone(),
        strict: test.strict,
        ..Settings::default()
    }
}

fn report(test: &Test, screen: &Screen, results: &Results, coverages: &Coverages) -> Result<(), Failure> {
    let Some(output) = &test.output else {
        return screen.out(&form(test, test.format, results, coverages, screen.paints_out()));
    };
    let written = write(test, output, results, coverages);
    // The results are told in any case: to get them again may take long.
    screen.out(&form(test, Form::Text, results, coverages, screen.paints_out()))?;
    written
}

fn form(test: &Test, form: Form, results: &Results, coverages: &Coverages, colour: bool) -> String {
    match form {
        Form::Text => text::report(results, coverages, test.verbose, colour),
        Form::Json => json::report(results, coverages),
        Form::Junit => junit::report(results, coverages),
    }
}

/// Writes the report into its file.
fn write(test: &Test, output: &Path, results: &Results, coverages: &Coverages) -> Result<(), Failure> {
    std::fs::write(output, form(test, test.format, results, coverages, false)).map_err(|error| {
        let (place, why) = (shown(output), error.to_string().to_lowercase());
        Failure::new(format!(
            "{place}: the report cannot be written: {why}; give another place with --output"
        ))
    })
}
