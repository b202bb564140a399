//! From a bundle directory to a plan, with every check and every diagnostic.
//!
//! [`compile_dir`] reads `bundle.yaml` and the files it names, and gives back a plan or a list of what is
//! wrong, all of it at once. It goes through these steps, each a room of its own:
//!
//! 1. [`files`]: the bundle's files, none of which may lie outside of it, each with a cap on its size;
//! 2. [`yaml`]: text becomes a tree in which every value knows where it was written;
//! 3. [`shape`]: the tree is held against the JSON Schema of the language, and what does not fit is reported
//!    and cut away, so that the rest can still be judged;
//! 4. [`assembly`]: parts that other teams have written are put into it, if they stay where they belong;
//! 5. [`translate`]: what is written becomes what runs. Names are resolved, files are read, and everything
//!    that a careful reviewer would refuse is refused.
//!
//! Aside from this way stands [`layout`], which lays out the text and knows nothing of what it means.
//!
//! No plan comes out if there was a single error. The same files give the same plan, byte for byte, and
//! the same diagnostics in the same order.
#![forbid(unsafe_code)]

pub mod artifact;
pub mod assembly;
pub mod canonical;
pub mod diagnostic;
mod expired;
pub mod files;
pub mod layout;
pub mod locate;
pub mod render;
pub mod schema;
pub mod shape;
pub mod suggest;
pub mod translate;
pub mod yaml;

use std::collections::BTreeMap;
use std::path::Path;

use bartizan_engine::authentication::plan::KeySource;
use bartizan_engine::authentication::sealed::Sealed;
use bartizan_engine::authentication::totp::nobodys_table;
use bartizan_engine::authentication::totp::plan::TableSource;
use bartizan_engine::envelope::payload::WhenExpired;
use bartizan_engine::pipeline::{Engine, Surroundings};
use bartizan_engine::plan::{MAX_PLAN_BYTES, Plan, PlanError};

use diagnostic::{Diagnostic, Report, Severity};
use files::Files;

/// The file that every bundle has.
pub const BUNDLE_FILE: &str = "bundle.yaml";

/// The file that every part of a bundle has.
pub const PART_FILE: &str = "part.yaml";

/// The largest `bundle.yaml` or `part.yaml`, in bytes: room for tens of thousands of routes.
pub const MAX_BUNDLE_BYTES: u64 = 8 * 1024 * 1024;

/// What came of compiling a bundle.
#[derive(Debug)]
pub struct Compiled {
    /// The plan, if there was no error.
    pub plan: Option<Plan>,
    /// What is wrong or doubtful, in the order of the files and lines.
    pub diagnostics: Vec<Diagnostic>,
    /// The text of every file that was read as text, for showing diagnostics.
    pub sources: BTreeMap<String, String>,
    /// The SHA-256 of every file that was read.
    pub digests: BTreeMap<String, [u8; 32]>,
    /// What goes into the artifact beside the plan.
    pub release: Release,
}

/// What a bundle says about itself, for whoever handles its artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Release {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// From when it is valid, in seconds since 1970.
    pub not_before: Option<u64>,
    /// From when it is not valid any more, in seconds since 1970.
    pub expires: Option<u64>,
    /// What becomes of requests when it expires while it is in force.
    pub when_expired: WhenExpired,
}

impl Compiled {
    /// The number of errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// The number of warnings.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == Severity::Warning).count()
    }

    /// Adds warnings of what has come to its end at this second since 1970. Compiling itself asks no clock: the same files
    /// give the same diagnostics at any time.
    pub fn warn_of_time(&mut self, now: u64) {
        let tables = self.plan.iter().flat_map(|plan| &plan.authentication.api_keys);
        let found: Vec<Diagnostic> = tables.filter_map(|keys| expired::keys(keys, now)).collect();
        self.diagnostics.extend(found);
        self.diagnostics.sort();
    }

    /// All diagnostics as text for people.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        render::text(&self.diagnostics, &self.sources, colour)
    }
}

/// Compiles the bundle in a directory.
#[must_use]
pub fn compile_dir(directory: &Path) -> Compiled {
    compile(Files::directory(directory))
}

/// Compiles the bundle in a directory as it would be with another `bundle.yaml`.
#[must_use]
pub fn compile_dir_with(directory: &Path, bundle: &str) -> Compiled {
    compile(Files::directory(directory).with(BUNDLE_FILE, bundle))
}

/// Compiles a bundle from files in memory, by their paths relative to the bundle.
#[must_use]
pub fn compile_files(files: BTreeMap<String, Vec<u8>>) -> Compiled {
    compile(Files::memory(files))
}

/// Compiles a bundle that is a single `bundle.yaml`.
#[must_use]
pub fn compile_str(bundle: &str) -> Compiled {
    compile_files(BTreeMap::from([(BUNDLE_FILE.to_owned(), bundle.as_bytes().to_vec())]))
}

fn compile(mut files: Files) -> Compiled {
    let mut report = Report::default();
    let compiled = compile_reporting(&mut files, &mut report);
    let diagnostics = report.finish();
    let failed = diagnostics.iter().any(|d| d.severity == Severity::Error);
    let (plan, release) = compiled.filter(|_| !failed).unzip();
    let (sources, digests) = files.into_texts_and_digests();
    Compiled { plan, diagnostics, sources, digests, release: release.unwrap_or_default() }
}

fn compile_reporting(files: &mut Files, report: &mut Report) -> Option<(Plan, Release)> {
    let text = match files.read_text(BUNDLE_FILE, MAX_BUNDLE_BYTES) {
        Ok(text) => text,
        Err(problem) => {
            report.push(problem.into_diagnostic(BUNDLE_FILE));
            return None;
        }
    };
    let mut tree = yaml::load(BUNDLE_FILE, &text, report)?;
    // Names are taken before anything is cut away: a limit that is itself wrong is still a known limit.
    let mut names = translate::Names::of(&tree);
    let mut whole = shape::check_bundle(&mut tree, report) && !report.failed();
    let mut bundle = shape::bundle(&tree, report)?;
    assembly::no_limits_of_parts(&bundle, yaml::Cursor::root(&tree), report);
    if !bundle.parts.is_empty() {
        let mut assembly = assembly::Assembly { bundle: &mut bundle, tree: &mut tree, names: &mut names };
        whole &= assembly.assemble(files, report);
    }
    let policy_files = report.files().to_vec();
    let input = translate::Input { bundle: &bundle, tree: &tree, names: &names, files: &policy_files, whole };
    let plan = translate::plan(&input, files, report);
    if !report.failed() {
        try_to_load(&plan, &tree, report);
    }
    Some((plan, translate::release(&bundle)))
}

/// No variable has this name: here it is that of a table of users that nobody has.
const NOBODYS_TABLE: &str = "=";

/// Loads a plan as the filter will, with secrets that are none.
///
/// # Errors
/// When the filter would refuse it.
pub fn load(mut plan: Plan) -> Result<Engine, PlanError> {
    for (index, jwt) in plan.authentication.jwt.iter_mut().enumerate() {
        if let KeySource::Sealed { jwe, key_env } = &jwt.keys {
            // Nobody here can open it; that it is one, and sealed for this place, can be seen.
            Sealed::read(jwe, &plan.name, &jwt.name).map_err(|error| {
                PlanError::new(format!("authentication.jwt[{index}].keys"), error.to_string())
            })?;
            jwt.keys = KeySource::Secret { env: key_env.clone() };
        }
    }
    for (index, totp) in plan.authentication.totp.iter_mut().enumerate() {
        if let TableSource::Sealed { jwe, .. } = &totp.users {
            Sealed::read_table(jwe, &plan.name, &totp.name).map_err(|error| {
                PlanError::new(format!("authentication.totp[{index}].users"), error.to_string())
            })?;
        }
        totp.users = TableSource::Env { env: NOBODYS_TABLE.to_owned() };
    }
    // Any secret will do that is long enough for the longest hash; the real one is in the proxy's VM.
    let secret =
        |name: &str| Some(if name == NOBODYS_TABLE { nobodys_table(&[0x5a; 20]) } else { vec![0x5a; 64] });
    Engine::load(
        plan,
        &Surroundings { secret: &secret, seed: [0, 0], peer_appended: false, peer_verified: true },
    )
}

/// Has the engine load the plan, exactly as the filter will: what the proxy would refuse never leaves here.
fn try_to_load(plan: &Plan, tree: &yaml::Node, report: &mut Report) {
    let here = yaml::Cursor::root(tree).span();
    if let Err(error) = load(plan.clone()) {
        let message = format!("the engine refuses the plan: {error}");
        let help =
            "change what it names; if the bundle looks right, this is a fault of the compiler: report it";
        report.error("plan-refused", here, message, help);
    }
    match canonical::plan(plan) {
        Ok(text) if text.len() > MAX_PLAN_BYTES => {
            let message = format!("the plan has {} bytes, the most is {MAX_PLAN_BYTES}", text.len());
            report.error("plan-too-large", here, message, "split the bundle");
        }
        Ok(_) => {}
        Err(error) => {
            let message = format!("the plan cannot be written: {error}");
            report.error("plan-refused", here, message, "this is a fault of the compiler: report it");
        }
    }
}
