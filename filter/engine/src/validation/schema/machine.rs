//! A loaded program: every index checked, every pattern compiled, every constant parsed.

use std::collections::BTreeMap;

use super::super::inspect::Looking;
use super::super::json::number::Number;
use super::super::json::parse::{hash, parse};
use super::super::json::tape::Owned;
use super::super::plan::JsonLimits;
use super::Unsound;
use super::pattern::Pattern;
use super::program::{Check, Format, JsonType, Named, NodeId, Program};

/// The most nodes of one program.
const MAX_NODES: usize = 100_000;

/// A loaded program.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(super) root: NodeId,
    pub(super) nodes: Vec<Node>,
    /// Dynamic anchors by resource; empty if no `$dynamicRef` is used.
    pub(super) resources: Vec<BTreeMap<String, NodeId>>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) resource: u32,
    /// Whether it asks which children other checks have evaluated.
    pub(super) tracks: bool,
    pub(super) checks: Vec<Loaded>,
}

/// A set of JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(pub(super) u8);

impl Types {
    pub(super) const fn bit(one: JsonType) -> u8 {
        match one {
            JsonType::Null => 1,
            JsonType::Boolean => 2,
            JsonType::Number => 4,
            JsonType::Integer => 8,
            JsonType::String => 16,
            JsonType::Array => 32,
            JsonType::Object => 64,
        }
    }

    pub(super) const fn has(self, one: JsonType) -> bool {
        self.0 & Self::bit(one) != 0
    }
}

/// A bound on a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Minimum,
    Maximum,
    ExclusiveMinimum,
    ExclusiveMaximum,
    MultipleOf,
}

/// A bound on a count: characters, items, members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    MinLength,
    MaxLength,
    MinItems,
    MaxItems,
    MinProperties,
    MaxProperties,
}

/// A constant to compare with.
#[derive(Debug)]
pub(super) enum Constant {
    /// A string, the most frequent.
    Text(String),
    /// Anything else.
    Value(Owned),
}

/// What is to be done about the members of an object.
#[derive(Debug)]
pub(super) struct Members {
    /// Sorted by hash.
    pub(super) known: Vec<Known>,
    pub(super) patterns: Vec<(Pattern, NodeId)>,
    pub(super) rest: Option<NodeId>,
    /// Entries of `known` that are required.
    pub(super) required: usize,
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) hash: u32,
    pub(super) name: String,
    pub(super) node: Option<NodeId>,
    pub(super) required: bool,
}

/// One loaded check.
#[derive(Debug)]
pub(super) enum Loaded {
    Never,
    Types(Types),
    Enumeration(Vec<Constant>),
    Number(Bound, Number, String),
    Size(Size, u64),
    Pattern(Pattern),
    Format(Format),
    UniqueItems,
    Elements { prefix: Vec<NodeId>, rest: Option<NodeId> },
    Contains { node: NodeId, min: u64, max: Option<u64> },
    Members(Box<Members>),
    DependentRequired { name: String, needs: Vec<String> },
    DependentSchema { name: String, node: NodeId },
    PropertyNames(NodeId),
    AllOf(Vec<NodeId>),
    AnyOf(Vec<NodeId>),
    OneOf(Vec<NodeId>),
    Not(NodeId),
    If { condition: NodeId, then: Option<NodeId>, otherwise: Option<NodeId> },
    Ref(NodeId),
    DynamicRef { anchor: String, initial: NodeId },
    UnevaluatedItems(NodeId),
    UnevaluatedProperties(NodeId),
}

impl Machine {
    /// Loads a program and checks everything in it.
    ///
    /// # Errors
    /// The first thing that cannot be used, with its place in the program.
    pub(crate) fn load(program: &Program) -> Result<Self, Unsound> {
        let count = program.nodes.len();
        if count > MAX_NODES {
            let problem = format!("the schema has {count} parts, the most is {MAX_NODES}");
            return Err(Unsound { node: None, problem });
        }
        let loader = Loader { count };
        loader.node(program.root).map_err(|problem| Unsound { node: None, problem })?;
        let mut nodes = Vec::with_capacity(count);
        for (position, node) in program.nodes.iter().enumerate() {
            let mut checks = Vec::with_capacity(node.checks.len());
            for check in &node.checks {
                checks
                    .push(loader.check(check).map_err(|problem| Unsound { node: Some(position), problem })?);
            }
            if node.resource as usize >= program.resources.len().max(1) {
                let problem = "points to a resource that is not there; rebuild the bundle".to_owned();
                return Err(Unsound { node: Some(position), problem });
            }
            let tracks = checks
                .iter()
                .any(|check| matches!(check, Loaded::UnevaluatedItems(_) | Loaded::UnevaluatedProperties(_)));
            nodes.push(Node { resource: node.resource, tracks, checks });
        }
        let mut resources = Vec::with_capacity(program.resources.len());
        for anchors in &program.resources {
            let mut by_name = BTreeMap::new();
            for anchor in anchors {
                let unsound = |p| Unsound { node: None, problem: p };
                by_name.insert(anchor.name.clone(), loader.node(anchor.node).map_err(unsound)?);
            }
            resources.push(by_name);
        }
        let machine = Self { root: program.root, nodes, resources };
        machine.check_cycles()?;
        Ok(machine)
    }

    /// Refuses references that lead back to themselves without going into a child: evaluation would not
    /// end. The search keeps its own stack, since programs come from outside.
    fn check_cycles(&self) -> Result<(), Unsound> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.nodes.len()];
        for start in 0..self.nodes.len() {
            let mut stack = vec![(start, false)];
            while let Some((at, leaving)) = stack.pop() {
                let Some(mark) = marks.get_mut(at) else { continue };
                if leaving {
                    *mark = Mark::Done;
                    continue;
                }
                match mark {
                    Mark::Done => continue,
                    Mark::Open => {
                        let problem =
                            "a reference leads back to itself; let it go through a member or an item";
                        return Err(Unsound { node: Some(at), problem: problem.into() });
                    }
                    Mark::New => *mark = Mark::Open,
                }
                stack.push((at, true));
                for next in self.in_place(at) {
                    // What is open on this path is a cycle; what is open on no path was closed above it.
                    if marks.get(next as usize) != Some(&Mark::Done) {
                        stack.push((next as usize, false));
                    }
                }
            }
        }
        Ok(())
    }

    /// The nodes that a node applies to the same value.
    fn in_place(&self, at: usize) -> Vec<NodeId> {
        let mut next = Vec::new();
        for check in self.nodes.get(at).map_or(&[][..], |node| &node.checks) {
            match check {
                Loaded::AllOf(nodes) | Loaded::AnyOf(nodes) | Loaded::OneOf(nodes) => next.extend(nodes),
                Loaded::Not(node) | Loaded::Ref(node) | Loaded::DependentSchema { node, .. } => {
                    next.push(*node)
                }
                Loaded::If { condition, then, otherwise } => {
                    next.push(*condition);
                    next.extend(then.iter().chain(otherwise));
                }
                Loaded::DynamicRef { anchor, initial } => {
                    next.push(*initial);
                    next.extend(self.resources.iter().filter_map(|anchors| anchors.get(anchor)));
                }
                _ => {}
            }
        }
        next
    }
}

struct Loader {
    count: usize,
}

impl Loader {
    fn node(&self, id: NodeId) -> Result<NodeId, String> {
        if (id as usize) < self.count {
            Ok(id)
        } else {
            Err(format!("points to node {id}, which is not there; rebuild the bundle"))
        }
    }

    fn nodes(&self, ids: &[NodeId]) -> Result<Vec<NodeId>, String> {
        ids.iter().map(|id| self.node(*id)).collect()
    }

    fn maybe(&self, id: Option<NodeId>) -> Result<Option<NodeId>, String> {
        id.map(|id| self.node(id)).transpose()
    }

    fn check(&self, check: &Check) -> Result<Loaded, String> {
        Ok(match check {
            Check::Never => Loaded::Never,
            Check::Types(types) => Loaded::Types(Types(types.iter().fold(0, |all, t| all | Types::bit(*t)))),
            Check::Enumeration(values) => {
                Loaded::Enumeration(values.iter().map(|v| constant(v)).collect::<Result<_, _>>()?)
            }
            Check::Minimum(number) => bound(Bound::Minimum, number)?,
            Check::Maximum(number) => bound(Bound::Maximum, number)?,
            Check::ExclusiveMinimum(number) => bound(Bound::ExclusiveMinimum, number)?,
            Check::ExclusiveMaximum(number) => bound(Bound::ExclusiveMaximum, number)?,
            Check::MultipleOf(number) => bound(Bound::MultipleOf, number)?,
            Check::MinLength(size) => Loaded::Size(Size::MinLength, *size),
            Check::MaxLength(size) => Loaded::Size(Size::MaxLength, *size),
            Check::MinItems(size) => Loaded::Size(Size::MinItems, *size),
            Check::MaxItems(size) => Loaded::Size(Size::MaxItems, *size),
            Check::MinProperties(size) => Loaded::Size(Size::MinProperties, *size),
            Check::MaxProperties(size) => Loaded::Size(Size::MaxProperties, *size),
            Check::Pattern(pattern) => Loaded::Pattern(Pattern::load(pattern)?),
            Check::Format(format) => Loaded::Format(*format),
            Check::UniqueItems => Loaded::UniqueItems,
            Check::Elements { prefix, rest } => {
                Loaded::Elements { prefix: self.nodes(prefix)?, rest: self.maybe(*rest)? }
            }
            Check::Contains { node, min, max } => {
                Loaded::Contains { node: self.node(*node)?, min: *min, max: *max }
            }
            Check::Members { known, patterns, rest, required } => {
                Loaded::Members(Box::new(self.members(known, patterns, *rest, required)?))
            }
            Check::DependentRequired { name, needs } => {
                Loaded::DependentRequired { name: name.clone(), needs: needs.clone() }
            }
            Check::DependentSchema(Named { name, node }) => {
                Loaded::DependentSchema { name: name.clone(), node: self.node(*node)? }
            }
            Check::PropertyNames(node) => Loaded::PropertyNames(self.node(*node)?),
            Check::AllOf(nodes) => Loaded::AllOf(self.nodes(nodes)?),
            Check::AnyOf(nodes) => Loaded::AnyOf(self.nodes(nodes)?),
            Check::OneOf(nodes) => Loaded::OneOf(self.nodes(nodes)?),
            Check::Not(node) => Loaded::Not(self.node(*node)?),
            Check::If { condition, then, otherwise } => Loaded::If {
                condition: self.node(*condition)?,
                then: self.maybe(*then)?,
                otherwise: self.maybe(*otherwise)?,
            },
            Check::Ref(node) => Loaded::Ref(self.node(*node)?),
            Check::DynamicRef { anchor, initial } => {
                Loaded::DynamicRef { anchor: anchor.clone(), initial: self.node(*initial)? }
            }
            Check::UnevaluatedItems(node) => Loaded::UnevaluatedItems(self.node(*node)?),
            Check::UnevaluatedProperties(node) => Loaded::UnevaluatedProperties(self.node(*node)?),
        })
    }

    fn members(
        &self,
        known: &[Named],
        patterns: &[Named],
        rest: Option<NodeId>,
        required: &[String],
    ) -> Result<Members, String> {
        let mut by_name: BTreeMap<&str, (Option<NodeId>, bool)> = BTreeMap::new();
        for Named { name, node } in known {
            if by_name.insert(name, (Some(self.node(*node)?), false)).is_some() {
                return Err(format!("the member `{name}` is there twice; rebuild the bundle"));
            }
        }
        for name in required {
            by_name.entry(name).or_insert((None, false)).1 = true;
        }
        let mut known: Vec<Known> = by_name
            .into_iter()
            .map(|(name, (node, required))| Known {
                hash: hash(name.as_bytes()),
                name: name.into(),
                node,
                required,
            })
            .collect();
        known.sort_by_key(|k| k.hash);
        let patterns = patterns
            .iter()
            .map(|p| Ok((Pattern::load(&p.name)?, self.node(p.node)?)))
            .collect::<Result<_, String>>()?;
        let required = known.iter().filter(|k| k.required).count();
        Ok(Members { known, patterns, rest: self.maybe(rest)?, required })
    }
}

fn bound(bound: Bound, text: &str) -> Result<Loaded, String> {
    let constant = owned(text)?;
    let view = constant.view();
    let entry = view.entry(0);
    if entry.kind != super::super::json::tape::Kind::Number {
        return Err(format!("`{text}` is no number; rebuild the bundle"));
    }
    let number = Number::read(view.text(entry));
    if bound == Bound::MultipleOf && !number.is_positive() {
        return Err(format!("`{text}` is not above zero; `multipleOf` must be"));
    }
    Ok(Loaded::Number(bound, number, text.to_owned()))
}

fn constant(text: &str) -> Result<Constant, String> {
    use super::super::json::tape::Kind;
    let owned = owned(text)?;
    let view = owned.view();
    let entry = view.entry(0);
    if entry.kind == Kind::String {
        return Ok(Constant::Text(view.text(entry).to_owned()));
    }
    Ok(Constant::Value(owned))
}

fn owned(text: &str) -> Result<Owned, String> {
    let limits = JsonLimits {
        max_depth: super::super::body::MAX_JSON_DEPTH,
        max_string_bytes: u32::MAX,
        max_key_bytes: u32::MAX,
        max_array_items: u32::MAX,
        max_object_members: u32::MAX,
        max_values: u32::MAX,
    };
    match parse(text.as_bytes(), &limits, &Looking::default()) {
        Ok(tape) => Ok(tape.into_owned()),
        Err(_) => Err("a constant is not acceptable JSON; rebuild the bundle".into()),
    }
}
