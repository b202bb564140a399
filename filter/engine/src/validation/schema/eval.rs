//! Running a program over a document.
//!
//! Recursion follows the document, whose depth the reader has bounded, and the references within one
//! value, which [`Machine::load`] has checked for cycles. A budget of steps bounds the work, whatever a
//! schema and a document make of each other. Out of budget is not an answer: the run as a whole fails.

use super::super::json::number::Number;
use super::super::json::tape::{Entry, Kind, View};
use super::compare::{self, Budget};
use super::format;
use super::machine::{Bound, Constant, Loaded, Machine, Members, Node, Size, Types};
use super::pattern::Pattern;
use super::program::{JsonType, NodeId};
use crate::refusal::Violation;

/// The most violations that are reported.
const MAX_VIOLATIONS: usize = 16;

/// How deep evaluation may nest: three schema steps for each of the levels a document may have.
const MAX_DEPTH: u32 = 400;

/// Steps that every document may take, and how many more for each of its values.
const BASE_STEPS: u64 = 1_000_000;
const STEPS_PER_VALUE: u64 = 100;

/// What came of running a program over a document.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The document satisfies the schema.
    Satisfied,
    /// It does not; at most sixteen places.
    Violated(Vec<Violation>),
    /// The budget of steps, or of depth, was used up before there was an answer.
    TooDear,
}

impl Machine {
    /// Runs the program.
    pub(crate) fn run(&self, view: View<'_>) -> Outcome {
        let steps = BASE_STEPS + STEPS_PER_VALUE * view.len() as u64;
        let mut run = Run {
            machine: self,
            view,
            violations: Vec::new(),
            quiet: 0,
            budget: Budget::new(steps),
            depth: 0,
            scope: Vec::new(),
        };
        let satisfied = run.node(self.root, 0, None);
        if run.budget.is_used_up() {
            Outcome::TooDear
        } else if satisfied {
            Outcome::Satisfied
        } else {
            Outcome::Violated(run.violations)
        }
    }
}

/// Which children of a value some check has evaluated, for the `unevaluated` checks.
#[derive(Debug, Clone, Default)]
struct Marks(Vec<bool>);

impl Marks {
    fn set(&mut self, child: usize) {
        if self.0.len() <= child {
            self.0.resize(child + 1, false);
        }
        if let Some(mark) = self.0.get_mut(child) {
            *mark = true;
        }
    }

    fn has(&self, child: usize) -> bool {
        self.0.get(child).copied().unwrap_or(false)
    }

    fn merge(&mut self, other: &Self) {
        for (child, mark) in other.0.iter().enumerate() {
            if *mark {
                self.set(child);
            }
        }
    }
}

struct Run<'m, 't> {
    machine: &'m Machine,
    view: View<'t>,
    violations: Vec<Violation>,
    /// Above zero inside alternatives, whose failures are no violations by themselves.
    quiet: u32,
    budget: Budget,
    depth: u32,
    /// Schema resources that were entered, outermost first; kept only where `$dynamicRef` is used.
    scope: Vec<u32>,
}

impl<'m> Run<'m, '_> {
    /// Whether a value satisfies a node. What it evaluated is added to `marks` if it does.
    fn node(&mut self, id: NodeId, at: u32, marks: Option<&mut Marks>) -> bool {
        let machine = self.machine;
        let Some(node) = machine.nodes.get(id as usize) else { return false };
        if !self.budget.pay(1) {
            return false;
        }
        if self.depth >= MAX_DEPTH {
            self.budget.pay(u64::MAX);
            return false;
        }
        self.depth += 1;
        let entered = !machine.resources.is_empty() && self.scope.last() != Some(&node.resource);
        if entered {
            self.scope.push(node.resource);
        }
        let satisfied = if node.tracks || marks.is_some() {
            let mut own = Marks::default();
            let satisfied = self.checks(node, at, Some(&mut own));
            if satisfied && let Some(marks) = marks {
                marks.merge(&own);
            }
            satisfied
        } else {
            self.checks(node, at, None)
        };
        if entered {
            self.scope.pop();
        }
        self.depth -= 1;
        satisfied
    }

    fn checks(&mut self, node: &'m Node, at: u32, mut marks: Option<&mut Marks>) -> bool {
        let entry = self.view.entry(at);
        let mut satisfied = true;
        for check in &node.checks {
            if self.check(check, at, entry, marks.as_deref_mut()) {
                continue;
            }
            satisfied = false;
            // A value of the wrong type, or too long, gives no further answers worth reading.
            let hopeless = matches!(check, Loaded::Types(_) | Loaded::Never | Loaded::Size(..));
            if self.quiet > 0 || hopeless || self.violations.len() >= MAX_VIOLATIONS {
                break;
            }
        }
        satisfied
    }

    fn check(&mut self, check: &'m Loaded, at: u32, entry: Entry, marks: Option<&mut Marks>) -> bool {
        match (check, entry.kind) {
            (Loaded::Never, _) => self.fail(at, || "is not allowed here".into()),
            (Loaded::Types(types), _) => {
                self.is_of_type(*types, entry) || self.fail(at, || expected_types(*types))
            }
            (Loaded::Enumeration(constants), _) => self.enumeration(constants, at, entry),
            (Loaded::Number(bound, limit, text), Kind::Number) => {
                self.number(*bound, *limit, text, at, entry)
            }
            (Loaded::Size(size, limit), kind) => self.size(*size, *limit, at, entry, kind),
            (Loaded::Pattern(pattern), Kind::String) => {
                self.matches(pattern, entry) || self.fail(at, || "does not match the required pattern".into())
            }
            (Loaded::Format(format), Kind::String) => {
                let text = self.view.text(entry);
                let paid = self.budget.pay(text.len() as u64 / 16);
                paid && format::is(*format, text)
                    || self.fail(at, || format!("is not in the format `{}`", format::name(*format)))
            }
            (Loaded::UniqueItems, Kind::Array) => {
                !compare::has_equal_elements(self.view, at, &mut self.budget)
                    || self.fail(at, || "must not have equal items".into())
            }
            (Loaded::Elements { prefix, rest }, Kind::Array) => self.elements(prefix, *rest, at, marks),
            (Loaded::Contains { node, min, max }, Kind::Array) => self.contains(*node, *min, *max, at, marks),
            (Loaded::Members(members), Kind::Object) => self.members(members, at, marks),
            (Loaded::DependentRequired { name, needs }, Kind::Object) => self.dependent(name, needs, at),
            (Loaded::DependentSchema { name, node }, Kind::Object) => {
                !self.has_member(at, name) || self.node(*node, at, marks)
            }
            (Loaded::PropertyNames(node), Kind::Object) => {
                let view = self.view;
                self.every(view.members(at).map(|(name, _)| (name, *node)))
            }
            (Loaded::AllOf(nodes), _) => self.all_of(nodes, at, marks),
            (Loaded::AnyOf(nodes), _) => self.any_of(nodes, at, marks),
            (Loaded::OneOf(nodes), _) => self.one_of(nodes, at, marks),
            (Loaded::Not(node), _) => {
                !self.quietly(*node, at, None) || self.fail(at, || "has a form that is excluded".into())
            }
            (Loaded::If { condition, then, otherwise }, _) => {
                self.choose(*condition, *then, *otherwise, at, marks)
            }
            (Loaded::Ref(node), _) => self.node(*node, at, marks),
            (Loaded::DynamicRef { anchor, initial }, _) => {
                let machine = self.machine;
                let outermost = self.scope.iter().find_map(|resource| {
                    machine.resources.get(*resource as usize).and_then(|anchors| anchors.get(anchor)).copied()
                });
                self.node(outermost.unwrap_or(*initial), at, marks)
            }
            (Loaded::UnevaluatedItems(node), Kind::Array) => {
                let view = self.view;
                self.unevaluated(*node, view.elements(at), marks)
            }
            (Loaded::UnevaluatedProperties(node), Kind::Object) => {
                let view = self.view;
                self.unevaluated(*node, view.members(at).map(|(_, value)| value), marks)
            }
            // A check about another type of value.
            _ => true,
        }
    }

    /// Notes a violation, and is false.
    fn fail(&mut self, at: u32, detail: impl FnOnce() -> String) -> bool {
        if self.quiet == 0 && self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { pointer: self.view.pointer(at), detail: detail() });
        }
        false
    }

    fn quietly(&mut self, node: NodeId, at: u32, marks: Option<&mut Marks>) -> bool {
        self.quiet += 1;
        let satisfied = self.node(node, at, marks);
        self.quiet -= 1;
        satisfied
    }

    fn is_of_type(&self, types: Types, entry: Entry) -> bool {
        types.has(match entry.kind {
            Kind::Null => JsonType::Null,
            Kind::True | Kind::False => JsonType::Boolean,
            Kind::String => JsonType::String,
            Kind::Array => JsonType::Array,
            Kind::Object => JsonType::Object,
            Kind::Number => {
                return types.has(JsonType::Number)
                    || (types.has(JsonType::Integer) && Number::read(self.view.text(entry)).is_integer());
            }
        })
    }

    fn enumeration(&mut self, constants: &[Constant], at: u32, entry: Entry) -> bool {
        let view = self.view;
        let found = constants.iter().any(|constant| match constant {
            Constant::Text(text) => entry.kind == Kind::String && view.text(entry) == text,
            Constant::Value(owned) => compare::equal(owned.view(), 0, view, at, &mut self.budget),
        });
        found
            || self.fail(at, || match constants.len() {
                1 => "is not the required value".into(),
                _ => "is not one of the allowed values".into(),
            })
    }

    fn number(&mut self, bound: Bound, limit: Number, text: &str, at: u32, entry: Entry) -> bool {
        let number = Number::read(self.view.text(entry));
        let (holds, words) = match bound {
            Bound::Minimum => (number.order(limit).is_ge(), "must be at least"),
            Bound::Maximum => (number.order(limit).is_le(), "must be at most"),
            Bound::ExclusiveMinimum => (number.order(limit).is_gt(), "must be more than"),
            Bound::ExclusiveMaximum => (number.order(limit).is_lt(), "must be less than"),
            Bound::MultipleOf => (number.is_multiple_of(limit), "must be a multiple of"),
        };
        holds || self.fail(at, || format!("{words} {text}"))
    }

    fn size(&mut self, size: Size, limit: u64, at: u32, entry: Entry, kind: Kind) -> bool {
        let count = u64::from(entry.extra);
        let (holds, words) = match (size, kind) {
            (Size::MinLength, Kind::String) => {
                let text = self.view.text(entry);
                // A character has one to four bytes: mostly the bytes alone decide.
                let decided = text.len() as u64 / 4 >= limit;
                (decided || text.chars().count() as u64 >= limit, "characters at least")
            }
            (Size::MaxLength, Kind::String) => {
                let text = self.view.text(entry);
                (text.len() as u64 <= limit || text.chars().count() as u64 <= limit, "characters at most")
            }
            (Size::MinItems, Kind::Array) => (count >= limit, "items at least"),
            (Size::MaxItems, Kind::Array) => (count <= limit, "items at most"),
            (Size::MinProperties, Kind::Object) => (count >= limit, "members at least"),
            (Size::MaxProperties, Kind::Object) => (count <= limit, "members at most"),
            _ => return true,
        };
        holds || self.fail(at, || format!("must have {limit} {words}"))
    }

    fn matches(&mut self, pattern: &Pattern, entry: Entry) -> bool {
        let text = self.view.text(entry);
        self.budget.pay(text.len() as u64 * pattern.cost()) && pattern.matches(text)
    }

    /// Applies nodes to children; goes on after a failure as long as anybody reads about it.
    fn every(&mut self, children: impl Iterator<Item = (u32, NodeId)>) -> bool {
        let mut satisfied = true;
        for (child, node) in children {
            if !self.node(node, child, None) {
                satisfied = false;
                if self.quiet > 0 || self.violations.len() >= MAX_VIOLATIONS || self.budget.is_used_up() {
                    break;
                }
            }
        }
        satisfied
    }

    fn elements(
        &mut self,
        prefix: &[NodeId],
        rest: Option<NodeId>,
        at: u32,
        marks: Option<&mut Marks>,
    ) -> bool {
        let view = self.view;
        let schemas = prefix.iter().copied().map(Some).chain(std::iter::repeat(rest));
        if let Some(marks) = marks {
            let marked = if rest.is_some() { usize::MAX } else { prefix.len() };
            (0..view.entry(at).extra as usize).take(marked).for_each(|child| marks.set(child));
        }
        self.every(view.elements(at).zip(schemas).map_while(|(child, node)| node.map(|node| (child, node))))
    }

    fn contains(
        &mut self,
        node: NodeId,
        min: u64,
        max: Option<u64>,
        at: u32,
        mut marks: Option<&mut Marks>,
    ) -> bool {
        let view = self.view;
        let mut count: u64 = 0;
        for (position, child) in view.elements(at).enumerate() {
            if self.quietly(node, child, None) {
                count += 1;
                if let Some(marks) = &mut marks {
                    marks.set(position);
                }
            }
        }
        if count < min {
            return self.fail(at, || format!("must contain {min} or more items of the required form"));
        }
        if let Some(max) = max
            && count > max
        {
            return self.fail(at, || format!("must contain {max} or fewer items of the given form"));
        }
        true
    }

    fn members(&mut self, members: &'m Members, at: u32, mut marks: Option<&mut Marks>) -> bool {
        let view = self.view;
        let mut satisfied = true;
        let mut required = 0;
        for (position, (name, value)) in view.members(at).enumerate() {
            let name = view.entry(name);
            let mut evaluated = false;
            if let Some(known) = members.find(name.extra, view.text(name)) {
                required += usize::from(known.required);
                if let Some(node) = known.node {
                    evaluated = true;
                    satisfied &= self.node(node, value, None);
                }
            }
            for (pattern, node) in &members.patterns {
                if self.matches(pattern, name) {
                    evaluated = true;
                    satisfied &= self.node(*node, value, None);
                }
            }
            if let Some(rest) = members.rest
                && !evaluated
            {
                evaluated = true;
                satisfied &= self.node(rest, value, None);
            }
            if evaluated && let Some(marks) = &mut marks {
                marks.set(position);
            }
            if !satisfied
                && (self.quiet > 0 || self.violations.len() >= MAX_VIOLATIONS || self.budget.is_used_up())
            {
                return false;
            }
        }
        if required < members.required {
            satisfied = false;
            for known in members.known.iter().filter(|k| k.required) {
                if !self.has_member(at, &known.name) {
                    self.fail(at, || format!("must have the member `{}`", known.name));
                }
            }
        }
        satisfied
    }

    fn has_member(&self, object: u32, name: &str) -> bool {
        self.view.members(object).any(|(at, _)| self.view.text(self.view.entry(at)) == name)
    }

    fn dependent(&mut self, name: &str, needs: &[String], at: u32) -> bool {
        if !self.has_member(at, name) {
            return true;
        }
        let mut satisfied = true;
        for need in needs {
            if !self.has_member(at, need) {
                satisfied =
                    self.fail(at, || format!("with the member `{name}` must have the member `{need}`"));
            }
        }
        satisfied
    }

    fn all_of(&mut self, nodes: &[NodeId], at: u32, mut marks: Option<&mut Marks>) -> bool {
        let mut satisfied = true;
        for node in nodes {
            satisfied &= self.node(*node, at, marks.as_deref_mut());
            if !satisfied && (self.quiet > 0 || self.violations.len() >= MAX_VIOLATIONS) {
                break;
            }
        }
        satisfied
    }

    fn any_of(&mut self, nodes: &[NodeId], at: u32, mut marks: Option<&mut Marks>) -> bool {
        let mut satisfied = false;
        for node in nodes {
            satisfied |= self.quietly(*node, at, marks.as_deref_mut());
            // The other alternatives matter only for what they evaluate.
            if satisfied && marks.is_none() {
                break;
            }
        }
        satisfied || self.fail(at, || "has none of the allowed forms".into())
    }

    fn one_of(&mut self, nodes: &[NodeId], at: u32, mut marks: Option<&mut Marks>) -> bool {
        let mut count = 0;
        for node in nodes {
            count += u32::from(self.quietly(*node, at, marks.as_deref_mut()));
            if count > 1 {
                break;
            }
        }
        match count {
            1 => true,
            0 => self.fail(at, || "has none of the allowed forms".into()),
            _ => self.fail(at, || "has more than one of the forms that exclude each other".into()),
        }
    }

    fn choose(
        &mut self,
        condition: NodeId,
        then: Option<NodeId>,
        otherwise: Option<NodeId>,
        at: u32,
        mut marks: Option<&mut Marks>,
    ) -> bool {
        let next = if self.quietly(condition, at, marks.as_deref_mut()) { then } else { otherwise };
        next.is_none_or(|node| self.node(node, at, marks))
    }

    fn unevaluated(
        &mut self,
        node: NodeId,
        children: impl Iterator<Item = u32>,
        marks: Option<&mut Marks>,
    ) -> bool {
        let Some(marks) = marks else { return false };
        let before = marks.clone();
        let left = children.enumerate().filter(|(position, _)| !before.has(*position));
        self.every(left.map(|(position, child)| {
            marks.set(position);
            (child, node)
        }))
    }
}

impl Members {
    fn find(&self, hash: u32, name: &str) -> Option<&super::machine::Known> {
        let start = self.known.partition_point(|k| k.hash < hash);
        self.known.iter().skip(start).take_while(|k| k.hash == hash).find(|k| k.name == name)
    }
}

fn expected_types(types: Types) -> String {
    const NAMES: [(JsonType, &str); 7] = [
        (JsonType::Null, "null"),
        (JsonType::Boolean, "true or false"),
        (JsonType::Number, "a number"),
        (JsonType::Integer, "an integer"),
        (JsonType::String, "a string"),
        (JsonType::Array, "an array"),
        (JsonType::Object, "an object"),
    ];
    let names: Vec<&str> = NAMES.iter().filter(|(t, _)| types.has(*t)).map(|(_, name)| *name).collect();
    format!("must be {}", names.join(" or "))
}
