//! How long the engine looks for a route. It gives up a walk that visits too many branches, and then finds none: with
//! routes made for the purpose, a part could so hide a route of the bundle that takes other hosts.

use std::collections::BTreeMap;

use bartizan_engine::intake::routes::Segment;
use bartizan_spec::bundle::Bundle;

use super::roots::segments;
use crate::diagnostic::{Report, Span};

/// The most branches that a walk may visit: half of what the engine visits.
const MOST: usize = 2048;

#[derive(Default)]
struct Branch {
    literals: BTreeMap<String, usize>,
    parameter: Option<usize>,
}

pub(super) fn check(bundle: &Bundle, here: Span, report: &mut Report) {
    let mut tree = vec![Branch::default()];
    for route in &bundle.routes {
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
    let longest = visits.first().copied().unwrap_or(0);
    if longest > MOST {
        report.error(
            "routes-entangled",
            here,
            format!("for some paths {longest} branches of the routes must be looked at, the most is {MOST}"),
            "let fewer routes have a parameter where others have a text",
        );
    }
}
