//! From the keywords of a schema object to the checks of a node.

use std::collections::{BTreeMap, VecDeque};

use bartizan_engine::validation::schema;
use bartizan_engine::validation::schema::program::{
    Check, DynamicAnchor, Format, JsonType, Named, Node, NodeId, Program,
};
use serde_json::{Map, Value};

use super::pattern;
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

/// Keywords that say something about a value and check nothing, by the standard's own word.
const ANNOTATIONS: &[&str] = &[
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "$comment",
    "$id",
    "$schema",
    "$anchor",
    "$dynamicAnchor",
    "$vocabulary",
    "$defs",
    "definitions",
];

/// Formats that describe how a value is shown or stored and exclude none.
const DESCRIPTIVE_FORMATS: &[&str] = &["password", "binary", "double"];

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

    /// Checks that need nothing but their own value. Also where unknown keywords end up.
    fn assertion(&mut self, keyword: &str, value: &Value, checks: &mut Vec<Check>) {
        let check = match keyword {
            "type" => self.types(value),
            "enum" => self.enumeration(value),
            "const" => Some(Check::Enumeration(vec![value.to_string()])),
            "minimum" => self.number(keyword, value).map(Check::Minimum),
            "maximum" => self.number(keyword, value).map(Check::Maximum),
            "exclusiveMinimum" => self.number(keyword, value).map(Check::ExclusiveMinimum),
            "exclusiveMaximum" => self.number(keyword, value).map(Check::ExclusiveMaximum),
            "multipleOf" => self.divisor(value),
            "minLength" => self.count(keyword, value).map(Check::MinLength),
            "maxLength" => self.count(keyword, value).map(Check::MaxLength),
            "minItems" => self.count(keyword, value).map(Check::MinItems),
            "maxItems" => self.count(keyword, value).map(Check::MaxItems),
            "minProperties" => self.count(keyword, value).map(Check::MinProperties),
            "maxProperties" => self.count(keyword, value).map(Check::MaxProperties),
            "uniqueItems" => match value {
                Value::Bool(unique) => unique.then_some(Check::UniqueItems),
                _ => {
                    self.error(keyword, "`uniqueItems` is neither `true` nor `false`", "");
                    None
                }
            },
            "pattern" => match value.as_str() {
                Some(pattern) => self.pattern("/pattern", pattern).map(Check::Pattern),
                None => {
                    self.error(keyword, "`pattern` is not a string", "");
                    None
                }
            },
            "format" => {
                self.format(value, checks);
                None
            }
            "dependentRequired" => {
                self.dependent_required(value, checks);
                None
            }
            "properties"
            | "patternProperties"
            | "additionalProperties"
            | "required"
            | "prefixItems"
            | "items"
            | "contains"
            | "minContains"
            | "maxContains"
            | "propertyNames"
            | "dependentSchemas"
            | "allOf"
            | "anyOf"
            | "oneOf"
            | "not"
            | "if"
            | "then"
            | "else"
            | "$ref"
            | "$dynamicRef"
            | "unevaluatedItems"
            | "unevaluatedProperties" => None,
            known if ANNOTATIONS.contains(&known) => None,
            unknown => {
                self.unknown(unknown);
                None
            }
        };
        checks.extend(check);
    }

    fn unknown(&mut self, keyword: &str) {
        if !self.compiler.registry.options.refuse_unknown || keyword.starts_with("x-") {
            return;
        }
        let remedy = match keyword {
            "dependencies" => "use `dependentRequired` or `dependentSchemas`",
            "additionalItems" => "use `items` beside `prefixItems`",
            "id" => "use `$id`",
            "nullable" => "add `null` to `type`",
            "discriminator" | "xml" | "externalDocs" | "example" => "it belongs to OpenAPI; remove it",
            "$recursiveRef" | "$recursiveAnchor" => "use `$dynamicRef` and `$dynamicAnchor`",
            _ => "correct its spelling, remove it, or begin its name with `x-`",
        };
        self.error(keyword, format!("`{keyword}` is no keyword of JSON Schema 2020-12"), remedy);
    }

    fn types(&mut self, value: &Value) -> Option<Check> {
        let one = |name: &Value| {
            Some(match name.as_str()? {
                "null" => JsonType::Null,
                "boolean" => JsonType::Boolean,
                "number" => JsonType::Number,
                "integer" => JsonType::Integer,
                "string" => JsonType::String,
                "array" => JsonType::Array,
                "object" => JsonType::Object,
                _ => return None,
            })
        };
        let types: Option<Vec<JsonType>> = match value {
            Value::Array(list) if !list.is_empty() => list.iter().map(one).collect(),
            single => one(single).map(|t| vec![t]),
        };
        if types.is_none() {
            let remedy = "use null, boolean, number, integer, string, array or object, or a list of these";
            self.error("type", "`type` names no type of JSON", remedy);
        }
        types.map(Check::Types)
    }

    fn enumeration(&mut self, value: &Value) -> Option<Check> {
        match value {
            Value::Array(values) if !values.is_empty() => {
                Some(Check::Enumeration(values.iter().map(Value::to_string).collect()))
            }
            _ => {
                self.error("enum", "`enum` is not a list of one or more values", "");
                None
            }
        }
    }

    fn number(&mut self, keyword: &str, value: &Value) -> Option<String> {
        if value.is_number() {
            return Some(value.to_string());
        }
        self.error(keyword, format!("`{keyword}` is not a number"), "");
        None
    }

    fn divisor(&mut self, value: &Value) -> Option<Check> {
        if value.as_f64().is_some_and(|n| n > 0.0) {
            return Some(Check::MultipleOf(value.to_string()));
        }
        self.error("multipleOf", "`multipleOf` is not a number above zero", "");
        None
    }

    fn count(&mut self, keyword: &str, value: &Value) -> Option<u64> {
        // `2.0` is an integer to JSON Schema.
        let float =
            || value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..9e15).contains(n)).map(|n| n as u64);
        let count = value.as_u64().or_else(float);
        if count.is_none() {
            self.error(keyword, format!("`{keyword}` is not a whole number from zero"), "");
        }
        count
    }

    fn pattern(&mut self, below: &str, text: &str) -> Option<String> {
        let translated = pattern::translate(text).and_then(|t| {
            schema::check_pattern(&t).map(|()| t).map_err(|p| pattern::Unsupported::new(p, ""))
        });
        match translated {
            Ok(translated) => Some(translated),
            Err(unsupported) => {
                self.compiler.registry.error(self.place, below, unsupported.problem, unsupported.remedy);
                None
            }
        }
    }

    fn format(&mut self, value: &Value, checks: &mut Vec<Check>) {
        if !self.compiler.registry.options.check_formats {
            return;
        }
        let Some(name) = value.as_str() else {
            self.error("format", "`format` is not a string", "");
            return;
        };
        if DESCRIPTIVE_FORMATS.contains(&name) {
            return;
        }
        // Formats of numbers are ranges. A string satisfies them, as any format of another type.
        let range = match name {
            "int32" => Some(("-2147483648", "2147483647")),
            "int64" => Some(("-9223372036854775808", "9223372036854775807")),
            _ => None,
        };
        if let Some((minimum, maximum)) = range {
            checks.push(Check::Minimum(minimum.into()));
            checks.push(Check::Maximum(maximum.into()));
            checks.push(Check::MultipleOf("1".into()));
            return;
        }
        match serde_json::from_value::<Format>(value.clone()) {
            Ok(format) => checks.push(Check::Format(format)),
            Err(_) => {
                let remedy = "use `pattern`, or a format the documentation lists";
                self.error("format", format!("the format `{name}` cannot be checked"), remedy);
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

    fn dependent_required(&mut self, value: &Value, checks: &mut Vec<Check>) {
        let Value::Object(map) = value else {
            self.error("dependentRequired", "`dependentRequired` is not an object", "");
            return;
        };
        for (name, needs) in map {
            let below = format!("/dependentRequired/{}", escaped(name));
            let needs = self.strings("dependentRequired", &below, needs);
            checks.push(Check::DependentRequired { name: name.clone(), needs });
        }
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

/// The order of simple checks: what costs least and says most comes first.
fn rank(check: &Check) -> u8 {
    match check {
        Check::Types(_) => 0,
        Check::MinLength(_)
        | Check::MaxLength(_)
        | Check::MinItems(_)
        | Check::MaxItems(_)
        | Check::MinProperties(_)
        | Check::MaxProperties(_) => 1,
        Check::Minimum(_) | Check::Maximum(_) | Check::ExclusiveMinimum(_) | Check::ExclusiveMaximum(_) => 2,
        Check::MultipleOf(_) | Check::Enumeration(_) => 3,
        Check::Format(_) => 4,
        _ => 5,
    }
}
