//! A bundle made of parts: the bundle itself gives each part a root, and another team writes what is in it.
//!
//! A part can only add. Its routes lie inside of its root (`roots`); its roles, permissions and limits bear its name
//! (`names`); and a request that one of its routes takes is judged at least as strictly as the bundle asks
//! (`floor`, and `bodies` for what it carries). So whatever a part says, requests outside of its root are judged as if
//! it were not there, and inside of it nobody gets through whom a route of the bundle itself would have refused.
//!
//! Everything else (issuers, networks, caps, defaults, header edits) a part has no words for. When all was checked, the
//! parts are put into the bundle and its tree, each value with the file and line in which it was written, and the rest
//! of the compiler goes on as with any bundle.

mod bodies;
mod floor;
mod merge;
mod names;
mod roots;
mod walk;

use std::collections::BTreeSet;

use bartizan_spec::bundle::Bundle;
use bartizan_spec::parts::{Part, PartOfBundle};

use crate::diagnostic::{Report, Span};
use crate::files::Files;
use crate::translate::Names;
use crate::yaml::{self, Cursor, Node};
use crate::{MAX_BUNDLE_BYTES, PART_FILE, shape};

pub(crate) use names::no_limits_of_parts;

/// The bundle into which parts are put.
#[derive(Debug)]
pub(crate) struct Assembly<'a> {
    /// The bundle.
    pub(crate) bundle: &'a mut Bundle,
    /// The tree it was read from.
    pub(crate) tree: &'a mut Node,
    /// The names it defines.
    pub(crate) names: &'a mut Names,
}

/// A part that was read: what the bundle says of it, what it says, and where.
struct Written {
    entry: PartOfBundle,
    /// Where the bundle lists it.
    at: Span,
    part: Part,
    tree: Node,
}

impl Assembly<'_> {
    /// Reads the parts, judges them, and puts them into the bundle. Whether nothing of them was cut away.
    pub(crate) fn assemble(&mut self, files: &mut Files, report: &mut Report) -> bool {
        let entries = Cursor::root(self.tree).get("parts");
        let mut whole = roots::check(self.bundle, entries, report);
        names::of_the_bundle(self.bundle, Cursor::root(self.tree), report);
        let rules = floor::Rules::of(self.bundle, Cursor::root(self.tree));
        let mut all = Vec::new();
        // All of them before a file is read: none of the bundle's may lie in one.
        for entry in &self.bundle.parts {
            files.add_part(entry.name.as_str(), &directory(entry));
        }
        let entangled = entangled(&self.bundle.parts, entries, files, report);
        whole &= entangled.is_empty();
        for (index, entry) in self.bundle.parts.iter().enumerate() {
            let twice = self.bundle.parts.iter().take(index).any(|other| other.name == entry.name);
            if twice || entangled.contains(&index) {
                continue;
            }
            let at = entries.item(index);
            let (written, complete) = read(entry, at, self.names, files, report);
            whole &= complete;
            let Some(written) = written else { continue };
            let root = Cursor::root(&written.tree);
            names::of_a_part(&written, root, report);
            names::costs(&written, root, report);
            for (index, route) in written.part.routes.iter().enumerate() {
                let at = root.get("routes").item(index);
                if roots::contains(entry, route, at, report) {
                    rules.check(entry, route, at, report);
                }
            }
            all.push(written);
        }
        let parts: Vec<String> = self.bundle.parts.iter().map(|part| part.name.as_str().to_owned()).collect();
        for written in &all {
            names::of_other_parts(written, &parts, report);
        }
        let mut shares = Vec::new();
        for written in all {
            let (name, at, start) =
                (written.entry.name.as_str().to_owned(), written.at, self.bundle.routes.len());
            merge::merge(self.bundle, self.tree, written, report);
            shares.push(walk::Share { name, at, routes: start..self.bundle.routes.len() });
        }
        walk::check(self.bundle, &shares, Cursor::root(self.tree).get("parts").key(), report);
        whole
    }
}

/// Where a part lies, from the bundle.
fn directory(entry: &PartOfBundle) -> String {
    entry.dir.as_ref().map_or_else(|| format!("parts/{}", entry.name), |dir| dir.as_str().to_owned())
}

/// Reports directories of parts that have another one or the bundle in them, and gives back the numbers of these parts:
/// nothing of them is read.
fn entangled(parts: &[PartOfBundle], at: Cursor<'_>, files: &Files, report: &mut Report) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for (index, entry) in parts.iter().enumerate() {
        let others = parts.iter().take(index).filter(|other| other.name != entry.name);
        let others = others.map(|other| (other.name.as_str(), directory(other)));
        if let Some(message) = files.entangled(&directory(entry), others) {
            let field = if entry.dir.is_some() { "dir" } else { "name" };
            report.error(
                "part-directory",
                at.item(index).get(field).span(),
                message,
                "give each part a directory of its own, beside the others and without the bundle's files in it",
            );
            found.insert(index);
        }
    }
    found
}

/// Reads a part as far as it can be read, and says whether all of it could.
fn read(
    entry: &PartOfBundle,
    at: Cursor<'_>,
    names: &mut Names,
    files: &mut Files,
    report: &mut Report,
) -> (Option<Written>, bool) {
    let name = entry.name.as_str();
    let path = format!("parts/{name}/{PART_FILE}");
    let text = match files.read_text(&path, MAX_BUNDLE_BYTES) {
        Ok(text) => text,
        Err(problem) if problem.span.is_some() => {
            report.push(problem.into_diagnostic(&path));
            return (None, false);
        }
        Err(problem) => {
            let field = if entry.dir.is_some() { "dir" } else { "name" };
            report.error(problem.code, at.get(field).span(), problem.message, problem.help);
            return (None, false);
        }
    };
    let number = report.add_file(path.clone());
    let Some(mut tree) = yaml::load_file(&path, number, &text, report) else { return (None, false) };
    names.add(Names::of(&tree));
    let complete = shape::check_part(&mut tree, report);
    let Some(part) = shape::part(&tree, report) else { return (None, false) };
    if part.name != entry.name {
        let here = Cursor::root(&tree).get("name").span();
        report.error(
            "part-name",
            here,
            format!("this is the part `{}`, and the bundle lists it as `{name}`", part.name),
            format!("write `name: {name}`, or correct `dir` in the bundle"),
        );
        return (None, false);
    }
    (Some(Written { entry: entry.clone(), at: at.get("name").span(), part, tree }), complete)
}

/// Where a route of a part is spoken of if no field of it is meant.
fn route(at: Cursor<'_>) -> Span {
    at.get("path").span()
}
