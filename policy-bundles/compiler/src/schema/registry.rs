//! All documents a schema consists of, and what their parts are called.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Load, Options, SchemaError, uri};

/// Files of the bundle live under this base, so that `$ref: common.json` finds the neighbour.
const BUNDLE: &str = "bundle:///";

/// The dialect that is understood.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A place in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) document: usize,
    /// JSON pointer.
    pub(super) pointer: String,
}

/// A schema resource: a document, or a part of one with its own `$id`.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) root: Place,
    pub(super) uri: String,
    anchors: BTreeMap<String, (Place, bool)>,
}

/// Where a reference leads.
pub(super) struct Target {
    pub(super) place: Place,
    /// The name of the `$dynamicAnchor` it leads to, if it does.
    pub(super) dynamic: Option<String>,
}

pub(super) struct Registry<'l, 'f> {
    load: &'l mut Load<'f>,
    pub(super) options: Options,
    documents: Vec<(String, Value)>,
    pub(super) resources: Vec<Resource>,
    by_uri: BTreeMap<String, usize>,
    missing: BTreeSet<String>,
    errors: Vec<SchemaError>,
}

impl<'l, 'f> Registry<'l, 'f> {
    pub(super) fn new(load: &'l mut Load<'f>, options: Options) -> Self {
        Self {
            load,
            options,
            documents: Vec::new(),
            resources: Vec::new(),
            by_uri: BTreeMap::new(),
            missing: BTreeSet::new(),
            errors: Vec::new(),
        }
    }

    pub(super) fn into_errors(self) -> Vec<SchemaError> {
        self.errors
    }

    /// Notes an error at a place, or below it.
    pub(super) fn error(
        &mut self,
        place: &Place,
        below: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let file = self.documents.get(place.document).map_or(String::new(), |(file, _)| file.clone());
        let pointer = format!("{}{below}", place.pointer);
        self.errors.push(SchemaError { file, pointer, problem: problem.into(), remedy: remedy.into() });
    }

    /// The file a place is in.
    pub(super) fn file(&self, place: &Place) -> String {
        self.documents.get(place.document).map_or(String::new(), |(file, _)| file.clone())
    }

    /// Opens the document that is compiled.
    pub(super) fn open(&mut self, file: &str) -> Option<Place> {
        let uri = if file.contains("://") { file.to_owned() } else { format!("{BUNDLE}{file}") };
        match self.fetch(&uri) {
            Ok(resource) => self.resources.get(resource).map(|r| r.root.clone()),
            Err(problem) => {
                let error = SchemaError {
                    file: file.to_owned(),
                    pointer: String::new(),
                    problem,
                    remedy: String::new(),
                };
                self.errors.push(error);
                None
            }
        }
    }

    /// The value at a place.
    pub(super) fn value(&self, place: &Place) -> Option<&Value> {
        self.documents.get(place.document)?.1.pointer(&place.pointer)
    }

    /// The innermost resource that a place belongs to.
    pub(super) fn resource_of(&self, place: &Place) -> Option<usize> {
        self.resources
            .iter()
            .enumerate()
            .filter(|(_, r)| r.root.document == place.document && is_within(&place.pointer, &r.root.pointer))
            .max_by_key(|(_, r)| r.root.pointer.len())
            .map(|(index, _)| index)
    }

    /// The dynamic anchors of a resource.
    pub(super) fn dynamic_anchors(&self, resource: usize) -> Vec<(String, Place)> {
        let anchors = self.resources.get(resource).map(|r| &r.anchors);
        anchors
            .into_iter()
            .flatten()
            .filter(|(_, (_, dynamic))| *dynamic)
            .map(|(name, (place, _))| (name.clone(), place.clone()))
            .collect()
    }

    /// Follows a reference from a place.
    ///
    /// # Errors
    /// A sentence that says why it leads nowhere.
    pub(super) fn follow(&mut self, from: &Place, reference: &str) -> Result<Target, String> {
        let base = self.resource_of(from).and_then(|r| self.resources.get(r)).map_or("", |r| &r.uri);
        let (address, fragment) = uri::split_fragment(reference);
        let target = uri::resolve(base, address);
        let index = match self.by_uri.get(&target) {
            Some(index) => *index,
            None => self.fetch(&target)?,
        };
        let Some(resource) = self.resources.get(index) else { return Err("leads nowhere".into()) };
        let fragment = percent_decoded(fragment.unwrap_or(""));
        if fragment.is_empty() {
            return Ok(Target { place: resource.root.clone(), dynamic: None });
        }
        if fragment.starts_with('/') {
            let root = &resource.root;
            let place = Place { document: root.document, pointer: format!("{}{fragment}", root.pointer) };
            return match self.value(&place) {
                Some(_) => Ok(Target { place, dynamic: None }),
                None => Err(format!("there is nothing at `{fragment}`")),
            };
        }
        match resource.anchors.get(&fragment) {
            Some((place, dynamic)) => {
                Ok(Target { place: place.clone(), dynamic: dynamic.then_some(fragment) })
            }
            None => Err(format!("there is no anchor `{fragment}`")),
        }
    }

    fn fetch(&mut self, uri: &str) -> Result<usize, String> {
        let shown = uri.strip_prefix(BUNDLE).map_or_else(|| uri.to_owned(), percent_decoded);
        if self.missing.contains(uri) {
            return Err(format!("`{shown}` cannot be read"));
        }
        let value = match (self.load)(&shown) {
            Ok(value) => value,
            Err(problem) => {
                self.missing.insert(uri.to_owned());
                return Err(format!("`{shown}` cannot be read: {problem}"));
            }
        };
        let document = self.documents.len();
        self.documents.push((shown, value.clone()));
        let root = Place { document, pointer: String::new() };
        let index = self.add_resource(root.clone(), uri.to_owned());
        self.walk(&value, root, index);
        // A document is found under its address, whatever `$id` it gives itself.
        self.by_uri.insert(uri.to_owned(), index);
        Ok(index)
    }

    fn add_resource(&mut self, root: Place, uri: String) -> usize {
        let index = self.resources.len();
        if self.by_uri.insert(uri.clone(), index).is_some() {
            self.error(
                &root,
                "",
                format!("two schemas have the identifier `{uri}`"),
                "give each its own `$id`",
            );
        }
        self.resources.push(Resource { root, uri, anchors: BTreeMap::new() });
        index
    }

    /// Registers identifiers and anchors in a schema and in the schemas within it. Values that are not
    /// schemas, such as those in `enum`, may hold anything and are not looked into.
    fn walk(&mut self, value: &Value, place: Place, resource: usize) {
        let Value::Object(members) = value else { return };
        let mut resource = resource;
        if let Some(id) = members.get("$id") {
            match id.as_str().map(uri::split_fragment) {
                Some((id, None | Some(""))) => {
                    let base = self.resources.get(resource).map_or("", |r| &r.uri);
                    let uri = uri::resolve(base, id);
                    if self.resources.get(resource).is_some_and(|r| r.root == place) {
                        let before = self.by_uri.insert(uri.clone(), resource);
                        if before.is_some_and(|other| other != resource) {
                            let problem = format!("two schemas have the identifier `{uri}`");
                            self.error(&place, "/$id", problem, "give each its own `$id`");
                        }
                        if let Some(r) = self.resources.get_mut(resource) {
                            r.uri = uri;
                        }
                    } else {
                        resource = self.add_resource(place.clone(), uri);
                    }
                }
                _ => self.error(
                    &place,
                    "/$id",
                    "`$id` is not a URI without fragment",
                    "use `$anchor` for a name",
                ),
            }
        }
        if let Some(dialect) = members.get("$schema") {
            let known = dialect.as_str().is_some_and(|d| d.trim_end_matches('#') == DIALECT);
            if !known && self.options.refuse_unknown {
                let remedy = format!("write the schema in the dialect `{DIALECT}`");
                self.error(&place, "/$schema", "this dialect of JSON Schema is not understood", remedy);
            }
        }
        for (keyword, dynamic) in [("$anchor", false), ("$dynamicAnchor", true)] {
            let Some(name) = members.get(keyword) else { continue };
            let good = |n: &&str| {
                n.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && n.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            };
            let Some(name) = name.as_str().filter(good) else {
                let remedy = "begin with a letter or `_`, go on with those, digits, `-` and `.`";
                self.error(&place, &format!("/{keyword}"), "this is no name for an anchor", remedy);
                continue;
            };
            let anchors = self.resources.get_mut(resource).map(|r| &mut r.anchors);
            let before = anchors.and_then(|a| a.insert(name.to_owned(), (place.clone(), dynamic)));
            if before.is_some_and(|(other, _)| other != place) {
                let problem = format!("two anchors have the name `{name}`");
                self.error(&place, &format!("/{keyword}"), problem, "rename one of them");
            }
        }
        for (keyword, value) in members {
            let at = |step: &str| Place {
                document: place.document,
                pointer: format!("{}/{}{step}", place.pointer, escaped(keyword)),
            };
            match (shape(keyword), value) {
                (Shape::One, _) => self.walk(value, at(""), resource),
                (Shape::List, Value::Array(list)) => {
                    for (position, schema) in list.iter().enumerate() {
                        self.walk(schema, at(&format!("/{position}")), resource);
                    }
                }
                (Shape::Map, Value::Object(map)) => {
                    for (name, schema) in map {
                        self.walk(schema, at(&format!("/{}", escaped(name))), resource);
                    }
                }
                _ => {}
            }
        }
    }
}

/// How a keyword holds schemas.
enum Shape {
    One,
    List,
    Map,
    None,
}

fn shape(keyword: &str) -> Shape {
    match keyword {
        "additionalProperties"
        | "propertyNames"
        | "items"
        | "contains"
        | "not"
        | "if"
        | "then"
        | "else"
        | "unevaluatedItems"
        | "unevaluatedProperties"
        | "contentSchema" => Shape::One,
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Shape::List,
        "$defs" | "definitions" | "properties" | "patternProperties" | "dependentSchemas" => Shape::Map,
        _ => Shape::None,
    }
}

/// Escapes a token of a JSON pointer.
pub(super) fn escaped(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

fn is_within(pointer: &str, root: &str) -> bool {
    pointer.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, hex(0), hex(1)) {
            out.push((high << 4 | low) as u8);
            rest = after.get(2..).unwrap_or(b"");
        } else {
            out.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
