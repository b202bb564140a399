//! Which of a bundle's rules its cases ever put to the test, and with which outcome.
//!
//! The rules are those of the plan (`points` lists them, with the outcomes that each can have); what happened to
//! them is read from the engine's own trace. Nothing is known here of a single bundle, and a finding of the
//! trace about a rule that the list does not have is kept as a [`Coverage::strays`]: the two cannot drift apart.

mod points;
mod reasons;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bartizan_engine::plan::Plan;
use bartizan_engine::reason::Reason;
use bartizan_engine::refusal::Refusal;
use bartizan_engine::trace::{Consideration, Finding};
use bartizan_engine::validation::inspect::Attack;

pub use points::Check;
pub use reasons::possible;

/// What belongs together in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Each route, let through and refused.
    Routes,
    /// Networks, issuers, roles and limits: what matched and what did not.
    Rules,
    /// What a route, an issuer or a body asks of a request, and whether it was met.
    Conditions,
    /// The reasons for which this bundle can refuse.
    Reasons,
}

impl Group {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Routes, Self::Rules, Self::Conditions, Self::Reasons];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Routes => "routes",
            Self::Rules => "rules",
            Self::Conditions => "conditions",
            Self::Reasons => "reasons",
        }
    }
}

/// One rule, or one part of a rule, that has outcomes of its own. Numbers are indices into the plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Route(usize),
    Denied(String),
    Allowed(String),
    Issuer(usize),
    Role(String),
    Limit(usize),
    /// A check of an issuer's tokens.
    Token(usize, Check),
    /// Whether a route that asks for a token alone got a good one.
    Identity(usize),
    /// A permission that a route requires: route, requirement.
    Permission(usize, usize),
    Presence(usize),
    Size(usize),
    Type(usize),
    /// Whether a body is what its type says: body, content.
    Form(usize, usize),
    /// Whether it stays within its caps.
    Caps(usize, usize),
    Schema(usize, usize),
    /// An inspection that looks for one kind of attack.
    Inspection(usize, Kind),
    Reason(Reason),
}

/// A kind of attack, in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Sqli,
    Xss,
    Traversal,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Sqli, Self::Xss, Self::Traversal];

    fn attack(self) -> Attack {
        match self {
            Self::Sqli => Attack::Sqli,
            Self::Xss => Attack::Xss,
            Self::Traversal => Attack::Traversal,
        }
    }
}

/// One outcome of a rule, and how often it was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// What it is called: `let through`, `used up`.
    pub word: &'static str,
    /// How often a case met it.
    pub met: u64,
}

/// A rule and its outcomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it belongs.
    pub group: Group,
    /// Where it was written, `bundle.yaml:12`; empty for what every bundle has.
    pub at: String,
    /// What it is, `route `list-sensors``.
    pub name: String,
    /// The outcomes it can have, one or two.
    pub sides: Vec<Side>,
}

/// How much of something was met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Outcomes that some case met.
    pub met: usize,
    /// All outcomes.
    pub of: usize,
}

impl Share {
    /// In percent. Of nothing everything was met.
    #[must_use]
    pub fn percent(self) -> f64 {
        // Counts of a bundle's rules are far below what a float holds exactly.
        let float = |n: usize| u32::try_from(n).map_or(f64::MAX, f64::from);
        if self.of == 0 { 100.0 } else { 100.0 * float(self.met) / float(self.of) }
    }

    /// In tenths of a percent, rounded down: a thousand is said of nothing less than everything.
    #[must_use]
    pub fn tenths(self) -> usize {
        self.met.saturating_mul(1000).checked_div(self.of).unwrap_or(1000)
    }

    /// Two shares together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { met: self.met.saturating_add(other.met), of: self.of.saturating_add(other.of) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} %", self.tenths() / 10, self.tenths() % 10)
    }
}

/// What the cases of one bundle met.
#[derive(Debug, Clone)]
pub struct Coverage {
    plan: Plan,
    items: BTreeMap<Key, Item>,
    strays: BTreeSet<String>,
}

impl Coverage {
    /// A plan of which nothing was met yet.
    ///
    /// # Errors
    /// If the engine does not take it.
    pub fn new(plan: &Plan) -> Result<Self, String> {
        let items = points::of(plan)?;
        Ok(Self { plan: plan.clone(), items, strays: BTreeSet::new() })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The rules of a group, in order.
    pub fn items(&self, group: Group) -> impl Iterator<Item = &Item> {
        self.items.values().filter(move |item| item.group == group)
    }

    /// How much of a group was met.
    #[must_use]
    pub fn share(&self, group: Group) -> Share {
        let sides = self.items(group).flat_map(|item| &item.sides);
        sides.fold(Share::default(), |all, side| all.and(Share { met: usize::from(side.met > 0), of: 1 }))
    }

    /// How much of all was met.
    #[must_use]
    pub fn whole(&self) -> Share {
        Group::ALL.iter().fold(Share::default(), |all, group| all.and(self.share(*group)))
    }

    /// Outcomes that the trace speaks of and the list of rules does not have: a fault of this module.
    #[must_use]
    pub fn strays(&self) -> &BTreeSet<String> {
        &self.strays
    }

    /// Counts what one request met.
    pub fn add(&mut self, considered: &[Consideration], refusal: Option<&Refusal>) {
        let (mut route, mut content) = (None, None);
        for finding in considered.iter().filter_map(|c| c.finding.as_ref()) {
            match finding {
                Finding::Route(found) => route = Some(*found),
                Finding::Denied(hit) => {
                    let entries = self.plan.network.deny.iter();
                    let entries: Vec<_> = entries.map(|entry| entry.network.clone()).collect();
                    self.meet_networks(entries, hit.as_deref(), Key::Denied);
                }
                Finding::Allowed(hit) => {
                    let entries = self.plan.network.allow.iter();
                    let entries: Vec<_> = entries.map(|entry| entry.network.clone()).collect();
                    self.meet_networks(entries, hit.as_deref(), Key::Allowed);
                }
                Finding::Limit { limit, admitted } => {
                    self.meet(&Key::Limit(*limit), if *admitted { "room" } else { "used up" });
                }
                Finding::Token { issuer: Some(issuer), refused } => {
                    let word = if refused.is_none() { "believed" } else { "refused" };
                    self.meet(&Key::Issuer(*issuer), word);
                    if let Some(check) = refused.as_ref().and_then(Check::of)
                        // A claim may be refused for what every token must have, beside what this policy asks.
                        && self.items.contains_key(&Key::Token(*issuer, check.clone()))
                    {
                        self.meet(&Key::Token(*issuer, check), "refused");
                    }
                }
                // A token of nobody's is met as a reason.
                Finding::Token { issuer: None, .. } => {}
                Finding::Role { role, granted } => {
                    let word = if *granted { "granted" } else { "did not grant" };
                    self.meet(&Key::Role(role.clone()), word);
                }
                Finding::Permission { requirement, held } => {
                    let word = if *held { "held" } else { "not held" };
                    self.meet(&Key::Permission(route.unwrap_or(usize::MAX), *requirement), word);
                }
                Finding::Content { body, content: number } => {
                    let rule =
                        self.plan.validation.bodies.get(*body).map(|plan| points::rule_of(plan, *number));
                    content = rule.map(|rule| (*body, rule));
                }
            }
        }
        let reason = refusal.map(|refusal| refusal.reason);
        if let Some(reason) = reason {
            self.meet(&Key::Reason(reason), "met");
        }
        if let Some(route) = route {
            self.meet(&Key::Route(route), if reason.is_none() { "let through" } else { "refused" });
            self.meet_identity(route, considered);
            self.meet_body(route, content, reason);
        }
    }

    fn meet_networks(&mut self, entries: Vec<String>, hit: Option<&str>, key: fn(String) -> Key) {
        for network in entries {
            let word = if hit == Some(network.as_str()) { "matched" } else { "did not match" };
            self.meet(&key(network), word);
        }
    }

    /// Whether a route that asks for no permission got an identity.
    fn meet_identity(&mut self, route: usize, considered: &[Consideration]) {
        let key = Key::Identity(route);
        if !self.items.contains_key(&key) {
            return;
        }
        let judged =
            considered.iter().rev().find(|c| c.room == bartizan_engine::pipeline::Room::Authentication);
        if let Some(judged) = judged {
            let believed = matches!(judged.finding, Some(Finding::Token { refused: None, .. }));
            self.meet(&key, if believed { "believed" } else { "refused" });
        }
    }

    /// What became of the body, and of the search for attacks, by the decision that was taken in the end.
    fn meet_body(&mut self, route: usize, content: Option<(usize, usize)>, reason: Option<Reason>) {
        let Some(plan) = self.plan.routes.get(route) else { return };
        let (body, inspection) = (plan.body, plan.inspection);
        let read = content.map(|(body, content)| (Key::Form(body, content), Key::Schema(body, content)));
        let mut met: Vec<(Key, &'static str)> = Vec::new();
        match reason {
            None => {
                met.extend(Kind::ALL.map(|kind| (Key::Inspection(inspection, kind), "clean")));
                if let Some((form, schema)) = read {
                    met.extend([
                        (Key::Presence(body), "there"),
                        (Key::Size(body), "within"),
                        (Key::Type(body), "accepted"),
                    ]);
                    met.extend([(form, "well-formed"), (schema, "satisfied")]);
                }
            }
            Some(Reason::BodyMissing) => met.push((Key::Presence(body), "missing")),
            Some(Reason::BodyTooLarge) => met.push((Key::Size(body), "too large")),
            Some(Reason::BodyTypeUnsupported) => met.push((Key::Type(body), "refused")),
            Some(Reason::BodyMalformed) => met.extend(read.map(|(form, _)| (form, "malformed"))),
            Some(Reason::BodyLimits) => met.extend(content.map(|(b, c)| (Key::Caps(b, c), "exceeded"))),
            Some(Reason::BodySchema) => met.extend(read.map(|(_, schema)| (schema, "violated"))),
            Some(attack) => {
                let kind = Kind::ALL.into_iter().find(|kind| kind.attack().reason() == attack);
                met.extend(kind.map(|kind| (Key::Inspection(inspection, kind), "found")));
            }
        }
        for (key, word) in met {
            // Bodies that no rule of the bundle is about, and kinds of attack that nobody looks for here.
            if self.items.contains_key(&key) {
                self.meet(&key, word);
            }
        }
    }

    fn meet(&mut self, key: &Key, word: &'static str) {
        let side =
            self.items.get_mut(key).and_then(|item| item.sides.iter_mut().find(|side| side.word == word));
        match side {
            Some(side) => side.met = side.met.saturating_add(1),
            None => {
                self.strays.insert(format!("{key:?} {word}"));
            }
        }
    }
}
