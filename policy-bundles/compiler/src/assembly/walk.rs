//! How long the engine looks for a route. It gives up a walk that visits too many branches, and then finds none: with
//! routes made for the purpose, a part could so hide a route of the bundle that takes other hosts.

use std::collections::BTreeMap;
use std::ops::Range;

use bartizan_engine::intake::routes::Segment;
use bartizan_spec::bundle::Bundle;
use bartizan_spec::routes::Route;

use super::roots::segments;
use crate::diagnostic::{Report, Span};

/// The most branches that a walk may visit: half of what the engine visits.
const MOST: usize = 2048;

#[derive(Default)]
struct Branch {
    literals: BTreeMap<String, usize>,
    parameter: Option<usize>,
}

/// The routes of a part, by their numbers in the whole bundle.
pub(super) struct Share {
    pub(super) name: String,
    /// Where the bundle lists the part.
    pub(super) at: Span,
    pub(super) routes: Range<usize>,
}

/// Reports walks that are too long, and the part without which they are shortest.
pub(super) fn check(bundle: &Bundle, shares: &[Share], here: Span, report: &mut Report) {
    let longest = longest(bundle.routes.iter());
    if longest <= MOST {
        return;
    }
    let without = |share: &Share| {
        let others = bundle.routes.iter().enumerate().filter(|(index, _)| !share.routes.contains(index));
        self::longest(others.map(|(_, route)| route))
    };
    let all = shares.iter().map(|share| (without(share), share));
    let most = all.min_by_key(|(rest, _)| *rest).filter(|(rest, _)| *rest < longest);
    let (at, whose) = match most {
        Some((rest, share)) => (share.at, format!("; without the part `{}` it would be {rest}", share.name)),
        None => (here, String::new()),
    };
    report.error(
        "routes-entangled",
        at,
        format!(
            "for some paths {longest} branches of the routes must be looked at, the most is {MOST}{whose}"
        ),
        "let fewer routes have a parameter where others have a text",
    );
}

/// The most branches that are looked at for a path.
fn longest<'r>(routes: impl Iterator<Item = &'r Route>) -> usize {
    let mut tree = vec![Branch::default()];
    for route in routes {
        let mut at = 0;
        for segment in segments(route.path.as_str()) {
            let fresh = tree.len();
            let Some(branch) = tree.get_mut(at) else { break };
            at = match segment {
                Segment::Literal(text) => *branch.literals.entry(text).or_insert(fresh),
                Segment::Parameter(_) => *branch.parameter.get_or_insert(fresh),
                Segment::Rest(_) => break,
            };
            if at == fresh {
                tree.push(Branch::default());
            }
        }
    }
    // Branches come after the one they grow from, so that from the end on each is known before it is asked for.
    let mut visits = vec![0_usize; tree.len()];
    for (index, branch) in tree.iter().enumerate().rev() {
        let of = |next: &usize| visits.get(*next).copied().unwrap_or(0);
        let literal = branch.literals.values().map(of).max().unwrap_or(0);
        let parameter = branch.parameter.as_ref().map_or(0, of);
        let all = literal.saturating_add(parameter).saturating_add(1);
        if let Some(visits) = visits.get_mut(index) {
            *visits = all;
        }
    }
    visits.first().copied().unwrap_or(0)
}
