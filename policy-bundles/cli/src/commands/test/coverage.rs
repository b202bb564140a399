//! What of each bundle the cases put to the test. Cases of several files may be about one bundle.

use std::fmt::Write as _;

use bartizan_cases::coverage::{Coverage, Group, Item, Share, Side};
use bartizan_cases::native::Traced;
use bartizan_cases::suite::Loaded;
use serde_json::{Value, json};

use super::found::{self, Found, Home};
use super::percent::Percent;
use crate::output::{paint, printable};

/// The bundles, each with what was met of it.
#[derive(Debug, Default)]
pub(super) struct Coverages {
    bundles: Vec<Bundle>,
    /// Which bundle each case file is about.
    files: Vec<(std::path::PathBuf, usize)>,
}

#[derive(Debug)]
struct Bundle {
    home: Home,
    coverage: Coverage,
}

impl Coverages {
    /// The bundles of what was found, none of them met; without any if nobody wants to know. A bundle that does
    /// not compile is an error of its cases.
    pub(super) fn new(found: &Found, wanted: bool) -> Self {
        let mut coverages = Self::default();
        for suite in found.suites.iter().filter(|_| wanted) {
            let home = found::home(suite);
            // Whose keys it has does not matter here: a bundle in a directory is one bundle.
            let known = coverages.bundles.iter().position(|bundle| bundle.home == home);
            let number = known.or_else(|| {
                let coverage = Coverage::new(&suite.prepare().ok()?.plan).ok()?;
                coverages.bundles.push(Bundle { home, coverage });
                coverages.bundles.len().checked_sub(1)
            });
            coverages.files.extend(number.map(|number| (suite.path.clone(), number)));
        }
        coverages
    }

    /// Counts what the requests of a case met.
    pub(super) fn add(&mut self, suite: &Loaded, traced: &[Traced]) {
        let number = self.files.iter().find(|(path, _)| *path == suite.path).map(|(_, number)| *number);
        let Some(bundle) = number.and_then(|number| self.bundles.get_mut(number)) else { return };
        for request in traced {
            bundle.coverage.add(&request.considered, request.refusal.as_ref());
        }
    }

    /// How much was met of all bundles together.
    pub(super) fn whole(&self) -> Share {
        self.bundles.iter().fold(Share::default(), |all, bundle| all.and(bundle.coverage.whole()))
    }

    /// Whether less was met than is wanted. Of no bundle nothing was met.
    pub(super) fn is_below(&self, least: &Percent) -> bool {
        self.bundles.is_empty() || least.is_above(self.whole())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }

    /// For people: the table of one bundle, or a line for each of several; then what was not met, with its place.
    pub(super) fn text(&self, colour: bool) -> String {
        let mut out = String::new();
        for bundle in &self.bundles {
            bundle.table(&mut out, self.bundles.len() == 1, colour);
        }
        for bundle in &self.bundles {
            bundle.missing(&mut out, colour);
        }
        if self.bundles.len() > 1 {
            let whole = self.whole();
            let _ = writeln!(out, "all bundles: {}", percent(whole, colour));
        }
        out
    }

    pub(super) fn json(&self) -> Value {
        Value::Array(self.bundles.iter().map(Bundle::json).collect())
    }
}

impl Bundle {
    fn table(&self, out: &mut String, whole: bool, colour: bool) {
        let plan = self.coverage.plan();
        let head =
            format!("coverage of {} (bundle `{}` revision {})", self.home.name(), plan.name, plan.revision);
        let _ = writeln!(out, "{}", paint(colour, "1", &printable(&head)));
        for group in Group::ALL {
            let share = self.coverage.share(group);
            if share.of == 0 {
                continue;
            }
            let name = format!("{:10}", group.name());
            let _ = writeln!(out, "  {} {}", paint(colour, "1;34", &name), percent(share, colour));
            if whole {
                self.rows(out, group, colour);
            }
        }
        let _ = writeln!(out, "  {:10} {}\n", "whole", percent(self.coverage.whole(), colour));
    }

    fn rows(&self, out: &mut String, group: Group, colour: bool) {
        let items: Vec<&Item> = self.coverage.items(group).collect();
        let width = |of: &dyn Fn(&Item) -> usize| items.iter().map(|item| of(item)).max().unwrap_or(0);
        let (at, name) = (width(&|item| item.at.len()), width(&|item| item.name.chars().count()));
        for item in &items {
            let sides: Vec<String> = item.sides.iter().map(|side| met(side, colour)).collect();
            let (place, what) = (printable(&item.at), printable(&item.name));
            let _ = writeln!(out, "    {place:at$}  {what:name$}  {}", sides.join(", "));
        }
    }

    fn missing(&self, out: &mut String, colour: bool) {
        let items = Group::ALL.iter().flat_map(|group| self.coverage.items(*group));
        let unmet = items
            .flat_map(|item| item.sides.iter().filter(|side| side.met == 0).map(move |side| (item, side)));
        let mut unmet: Vec<(&Item, &Side)> = unmet.collect();
        // In the order of the bundle, and then what has no place in it.
        unmet.sort_by_key(|(item, _)| line_of(&item.at));
        for stray in self.coverage.strays() {
            let _ = writeln!(out, "not in the table, which is a fault of bartizan to report: {stray}");
        }
        if unmet.is_empty() {
            return;
        }
        let home = printable(&self.home.name());
        let _ = writeln!(out, "{} in {home}", paint(colour, "1;33", "not covered"));
        for (item, side) in unmet {
            let place = printable(&self.home.place(&item.at));
            let space = if place.is_empty() { "" } else { "  " };
            let _ = writeln!(out, "  {place}{space}{}: never {}", printable(&item.name), side.word);
        }
        out.push('\n');
    }

    fn json(&self) -> Value {
        let share = |share: Share| json!({"met": share.met, "of": share.of, "percent": share.percent()});
        let plan = self.coverage.plan();
        let groups = Group::ALL.iter().map(|group| {
            let items = self.coverage.items(*group).map(|item| {
                let sides = item.sides.iter().map(|side| (side.word.to_owned(), Value::from(side.met)));
                json!({
                    "at": self.home.place(&item.at),
                    "name": item.name,
                    "outcomes": Value::Object(sides.collect()),
                })
            });
            let items: Vec<Value> = items.collect();
            (group.name().to_owned(), json!({"share": share(self.coverage.share(*group)), "items": items}))
        });
        json!({
            "bundle": self.home.name(),
            "name": plan.name,
            "revision": plan.revision,
            "whole": share(self.coverage.whole()),
            "groups": Value::Object(groups.collect()),
        })
    }
}

/// File and line of a place, to sort by; nothing comes last.
fn line_of(at: &str) -> (bool, &str, usize) {
    let (file, line) = at.rsplit_once(':').unwrap_or((at, ""));
    (at.is_empty(), file, line.parse().unwrap_or(0))
}

fn met(side: &Side, colour: bool) -> String {
    match side.met {
        0 => paint(colour, "31", &format!("{} NEVER", side.word)),
        met => format!("{} {met}", side.word),
    }
}

fn percent(share: Share, colour: bool) -> String {
    let code = if share.met == share.of { "1;32" } else { "1;33" };
    paint(colour, code, &format!("{:>7}  {} of {}", share.to_string(), share.met, share.of))
}
