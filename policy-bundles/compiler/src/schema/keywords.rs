//! From the keywords of a schema object to the checks of a node.

mod assertions;

use std::collections::{BTreeMap, VecDeque};

use bartizan_engine::validation::schema::program::{Check, DynamicAnchor, Named, Node, NodeId, Program};
use serde_json::{Map, Value};

use self::assertions::rank;
use super::registry::{Place, Registry, escaped};

/// A program, and where each of its nodes was written.
pub(super) struct Compiled {
    pub(super) program: Program,
    /// File and JSON pointer, by node.
    pub(super) places: Vec<(String, String)>,
}

/// Compiles the schema in a file; errors are left in the registry.
pub(super) fn compile(registry: &mut Registry<'_, '_>, file: &str) -> Compiled {
    let mut compiler = Compiler {
        registry,
        nodes: Vec::new(),
        places: Vec::new(),
        by_place: BTreeMap::new(),
        pending: VecDeque::new(),
        dynamic: false,
    };
    if let Some(root) = compiler.registry.open(file) {
        compiler.node(root);
        compiler.finish();
    }
    let resources = compiler.resources();
    let places = compiler.places.iter().map(|p| (compiler.registry.file(p), p.pointer.clone())).collect();
    Compiled { program: Program { root: 0, nodes: compiler.nodes, resources }, places }
}

struct Compiler<'r, 'l, 'f> {
    registry: &'r mut Registry<'l, 'f>,
    nodes: Vec<Node>,
    places: Vec<Place>,
    by_place: BTreeMap<Place, NodeId>,
    /// Nodes that were given out and not compiled yet: references may be circular.
    pending: VecDeque<NodeId>,
    /// Whether any `$dynamicRef` depends on how it is reached.
    dynamic: bool,
}

impl Compiler<'_, '_, '_> {
    /// The node of the schema at a place.
    fn node(&mut self, place: Place) -> NodeId {
        if let Some(id) = self.by_place.get(&place) {
            return *id;
        }
        let id = self.nodes.len() as NodeId;
        self.nodes.push(Node::default());
        self.places.push(place.clone());
        self.by_place.insert(place, id);
        self.pending.push_back(id);
        id
    }

    fn finish(&mut self) {
        while let Some(id) = self.pending.pop_front() {
            let Some(place) = self.places.get(id as usize).cloned() else { continue };
            let checks = match self.registry.value(&place).cloned() {
                Some(Value::Bool(true)) => Vec::new(),
                Some(Value::Bool(false)) => vec![Check::Never],
                Some(Value::Object(members)) => {
                    Keywords { compiler: self, place: &place, members: &members }.checks()
                }
                _ => {
                    self.registry.error(&place, "", "a schema is an object, `true` or `false`", "");
                    Vec::new()
                }
            };
            if let Some(node) = self.nodes.get_mut(id as usize) {
                node.checks = checks;
            }
        }
    }

    /// The dynamic anchors of all resources, if they matter; then every node also learns its resource.
    fn resources(&mut self) -> Vec<Vec<DynamicAnchor>> {
        if !self.dynamic {
            return Vec::new();
        }
        let mut resources: Vec<Vec<DynamicAnchor>> = Vec::new();
        // Compiling an anchor may open further files.
        while resources.len() < self.registry.resources.len() {
            let anchors = self.registry.dynamic_anchors(resources.len());
            let nodes =
                anchors.into_iter().map(|(name, place)| DynamicAnchor { name, node: self.node(place) });
            resources.push(nodes.collect());
            self.finish();
        }
        for (node, place) in self.nodes.iter_mut().zip(&self.places) {
            node.resource = self.registry.resource_of(place).unwrap_or(0) as u32;
        }
        resources
    }
}

struct Keywords<'c, 'r, 'l, 'f> {
    compiler: &'c mut Compiler<'r, 'l, 'f>,
    place: &'c Place,
    members: &'c Map<String, Value>,
}

impl Keywords<'_, '_, '_, '_> {
    /// Compiles all keywords: cheap checks first, and what depends on the others last.
    fn checks(mut self) -> Vec<Check> {
        let mut checks = Vec::new();
        let members = self.members;
        for (keyword, value) in members {
            self.assertion(keyword, value, &mut checks);
        }
        checks.sort_by_key(rank);
        checks.extend(self.object());
        checks.extend(self.array());
        for keyword in ["$ref", "$dynamicRef"] {
            if let Some(value) = members.get(keyword) {
                checks.extend(self.reference(keyword, value));
            }
        }
        for (keyword, value) in members {
            checks.extend(self.applicator(keyword, value));
        }
        if let Some(condition) = self.schema("if") {
            let (then, otherwise) = (self.schema("then"), self.schema("else"));
            // Without either it still says what is evaluated.
            checks.push(Check::If { condition, then, otherwise });
        }
        checks.extend(self.schema("unevaluatedItems").map(Check::UnevaluatedItems));
        checks.extend(self.schema("unevaluatedProperties").map(Check::UnevaluatedProperties));
        checks
    }

    fn error(&mut self, keyword: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        self.compiler.registry.error(self.place, &format!("/{}", escaped(keyword)), problem, remedy);
    }

    fn at(&self, below: &str) -> Place {
        Place { document: self.place.document, pointer: format!("{}{below}", self.place.pointer) }
    }

    /// The node of a keyword that holds one schema.
    fn schema(&mut self, keyword: &str) -> Option<NodeId> {
        self.members.get(keyword)?;
        let place = self.at(&format!("/{keyword}"));
        Some(self.compiler.node(place))
    }

    /// The nodes of a keyword that holds a list of schemas.
    fn schemas(&mut self, keyword: &str, value: &Value) -> Option<Vec<NodeId>> {
        match value {
            Value::Array(list) if !list.is_empty() => Some(
                (0..list.len())
                    .map(|position| {
                        let place = self.at(&format!("/{keyword}/{position}"));
                        self.compiler.node(place)
                    })
                    .collect(),
            ),
            _ => {
                self.error(keyword, format!("`{keyword}` is not a list of one or more schemas"), "");
                None
            }
        }
    }

    /// The names and nodes of a keyword that holds a map of schemas.
    fn map(&mut self, keyword: &str) -> Vec<Named> {
        match self.members.get(keyword) {
            None => Vec::new(),
            Some(Value::Object(map)) => map
                .keys()
                .map(|name| {
                    let place = self.at(&format!("/{keyword}/{}", escaped(name)));
                    Named { name: name.clone(), node: self.compiler.node(place) }
                })
                .collect(),
            Some(_) => {
                self.error(keyword, format!("`{keyword}` is not an object of schemas"), "");
                Vec::new()
            }
        }
    }

    fn strings(&mut self, keyword: &str, below: &str, value: &Value) -> Vec<String> {
        let strings: Option<Vec<String>> =
            value.as_array().and_then(|list| list.iter().map(|v| v.as_str().map(str::to_owned)).collect());
        strings.unwrap_or_else(|| {
            let problem = format!("`{keyword}` is not a list of member names");
            self.compiler.registry.error(self.place, below, problem, "");
            Vec::new()
        })
    }

    /// The keywords about members, which depend on each other.
    fn object(&mut self) -> Option<Check> {
        let known = self.map("properties");
        let patterns = self.map("patternProperties");
        let patterns = patterns
            .into_iter()
            .filter_map(|named| {
                let below = format!("/patternProperties/{}", escaped(&named.name));
                let name = self.pattern(&below, &named.name)?;
                Some(Named { name, node: named.node })
            })
            .collect::<Vec<_>>();
        let rest = self.schema("additionalProperties");
        let required = match self.members.get("required") {
            Some(value) => self.strings("required", "/required", value),
            None => Vec::new(),
        };
        let nothing = known.is_empty() && patterns.is_empty() && rest.is_none() && required.is_empty();
        (!nothing).then_some(Check::Members { known, patterns, rest, required })
    }

    /// The keywords about items, which depend on each other.
    fn array(&mut self) -> Vec<Check> {
        let mut checks = Vec::new();
        let prefix = match self.members.get("prefixItems") {
            Some(value) => self.schemas("prefixItems", value).unwrap_or_default(),
            None => Vec::new(),
        };
        if self.members.get("items").is_some_and(Value::is_array) {
            self.error("items", "`items` is not a schema", "use `prefixItems` for a list of schemas");
            return checks;
        }
        let rest = self.schema("items");
        if !prefix.is_empty() || rest.is_some() {
            checks.push(Check::Elements { prefix, rest });
        }
        if let Some(node) = self.schema("contains") {
            let mut bound = |keyword| {
                let value = self.members.get(keyword)?;
                self.count(keyword, value)
            };
            let (min, max) = (bound("minContains").unwrap_or(1), bound("maxContains"));
            checks.push(Check::Contains { node, min, max });
        }
        checks
    }

    fn reference(&mut self, keyword: &str, value: &Value) -> Option<Check> {
        let Some(reference) = value.as_str() else {
            self.error(keyword, format!("`{keyword}` is not a string"), "");
            return None;
        };
        let target = match self.compiler.registry.follow(self.place, reference) {
            Ok(target) => target,
            Err(problem) => {
                let remedy = "refer to `#/$defs/NAME`, an anchor, or a file of the bundle";
                self.error(
                    keyword,
                    format!("the reference `{reference}` cannot be followed: {problem}"),
                    remedy,
                );
                return None;
            }
        };
        let node = self.compiler.node(target.place);
        match target.dynamic {
            Some(anchor) if keyword == "$dynamicRef" => {
                self.compiler.dynamic = true;
                Some(Check::DynamicRef { anchor, initial: node })
            }
            _ => Some(Check::Ref(node)),
        }
    }

    fn applicator(&mut self, keyword: &str, value: &Value) -> Vec<Check> {
        let check = match keyword {
            "allOf" => self.schemas(keyword, value).map(Check::AllOf),
            "anyOf" => self.schemas(keyword, value).map(Check::AnyOf),
            "oneOf" => self.schemas(keyword, value).map(Check::OneOf),
            "not" => self.schema(keyword).map(Check::Not),
            "propertyNames" => self.schema(keyword).map(Check::PropertyNames),
            "dependentSchemas" => return self.map(keyword).into_iter().map(Check::DependentSchema).collect(),
            _ => None,
        };
        check.into_iter().collect()
    }
}
