//! Whether a bundle has the shape of one: the tree held against the JSON Schema of the language.
//!
//! Everything that does not fit is reported where it stands. What was reported is then cut out of the tree
//! (an optional field alone, or the smallest thing that cannot do without it), so that the rest can be
//! judged in the same run.

mod fields;
mod scalars;
mod words;

use bartizan_spec::bundle::Bundle;
use bartizan_spec::parts::Part;
use serde_json::{Map, Value as Json};

use crate::diagnostic::{Report, Span};
use crate::yaml::{Cursor, Node, Value};

/// A schema object.
type Schema = Map<String, Json>;

/// Reports what does not have the shape of a bundle and cuts it away. Whether nothing had to go.
pub fn check_bundle(tree: &mut Node, report: &mut Report) -> bool {
    check(&bartizan_spec::schema::bundle_schema(), tree, report)
}

/// The same for a part.
pub fn check_part(tree: &mut Node, report: &mut Report) -> bool {
    check(&bartizan_spec::schema::part_schema(), tree, report)
}

fn check(root: &Json, tree: &mut Node, report: &mut Report) -> bool {
    let mut checker = Checker { root, report, complete: true };
    let span = Cursor::root(tree).span();
    checker.check(root, tree, &Place { path: "", span });
    checker.complete
}

/// The bundle that is left in the tree, if what every bundle needs is left.
pub fn bundle(tree: &Node, report: &mut Report) -> Option<Bundle> {
    read(tree, report)
}

/// The part that is left in the tree.
pub fn part(tree: &Node, report: &mut Report) -> Option<Part> {
    read(tree, report)
}

/// What is left of a file of data after it was held against its schema, if nothing had to go.
pub(crate) fn data<T: serde::de::DeserializeOwned>(
    schema: &Json,
    tree: &mut Node,
    report: &mut Report,
) -> Option<T> {
    // Half a table is another table.
    if check(schema, tree, report) { read(tree, report) } else { None }
}

fn read<T: serde::de::DeserializeOwned>(tree: &Node, report: &mut Report) -> Option<T> {
    match serde_json::from_value(tree.to_json()) {
        Ok(read) => Some(read),
        Err(error) => {
            // INVARIANT: the schema is made from these types, so a tree that fits it can be read into them.
            // If they ever disagree, the bundle is refused rather than misread.
            if !report.failed() {
                report.error(
                    "wrong-shape",
                    Cursor::root(tree).span(),
                    format!("the bundle cannot be read: {error}"),
                    "compare it with the language reference, docs/policy-language.md",
                );
            }
            None
        }
    }
}

/// Where a value stands: its path, for messages, and what is underlined if the value itself is not.
#[derive(Debug, Clone, Copy)]
struct Place<'p> {
    path: &'p str,
    span: Span,
}

impl Place<'_> {
    /// ` in routes[3]`, or nothing at the top.
    fn inside(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in `{}`", self.path) }
    }

    fn member(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

struct Checker<'s, 'r> {
    root: &'s Json,
    report: &'r mut Report,
    complete: bool,
}

impl<'s> Checker<'s, '_> {
    fn error(&mut self, code: &'static str, span: Span, message: String, help: impl Into<String>) {
        self.complete = false;
        self.report.error(code, span, message, help);
    }

    /// The schema behind any references.
    fn resolve(&self, schema: &'s Json) -> Option<&'s Schema> {
        let mut schema = schema.as_object()?;
        // The schema is our own and has no circles; the bound is there so that nobody has to know that.
        for _ in 0..8 {
            match schema.get("$ref").and_then(Json::as_str) {
                None => return Some(schema),
                Some(reference) => {
                    schema = self.root.pointer(reference.trim_start_matches('#'))?.as_object()?;
                }
            }
        }
        None
    }

    /// Whether the value fits. A value that does not is to be cut out by whoever holds it.
    fn check(&mut self, schema: &'s Json, node: &mut Node, place: &Place<'_>) -> bool {
        let anything = Schema::new();
        // `true` is the schema of what may be anything.
        let Some(found) = self.resolve(schema) else { return self.check_anything(node, place) };
        if is_null(node) {
            let what = match place.path {
                "" => "the bundle is empty".to_owned(),
                path => format!("`{path}` has no value"),
            };
            let help = "give it a value, or remove the line";
            self.error("no-value", place.span, what, help);
            return false;
        }
        let alternatives = ["oneOf", "anyOf"].iter().find_map(|key| found.get(*key)?.as_array());
        if let Some(alternatives) = alternatives {
            let alternatives: Vec<&Schema> = alternatives.iter().filter_map(|a| self.resolve(a)).collect();
            return self.check_alternatives(&alternatives, node, place);
        }
        match found.get("type").and_then(Json::as_str) {
            Some("object") => self.check_object(found, node, place),
            Some("array") => self.check_list(found, node, place),
            Some("string") => self.check_text(found, node, place),
            Some("integer") => self.check_integer(found, node, place),
            Some("boolean") => self.check_truth(node, place),
            _ if *found == anything => self.check_anything(node, place),
            // INVARIANT: a test walks the whole schema and finds no other type.
            _ => false,
        }
    }

    fn check_alternatives(
        &mut self,
        alternatives: &[&'s Schema],
        node: &mut Node,
        place: &Place<'_>,
    ) -> bool {
        // Some alternatives are choices themselves: the words of an enumeration.
        let words: Vec<&'s str> = alternatives.iter().flat_map(|a| words::of(a)).collect();
        let of_type = |kind: &str| -> Vec<&'s Schema> {
            alternatives.iter().copied().filter(|a| a.get("type").is_some_and(|t| t == kind)).collect()
        };
        match &node.value {
            Value::List(_) => match of_type("array").as_slice() {
                [list, ..] => self.check_list(list, node, place),
                [] => self.wrong_type(alternatives, node, place),
            },
            Value::Map(_) => match of_type("object").as_slice() {
                [] => self.wrong_type(alternatives, node, place),
                [object] => self.check_object(object, node, place),
                many => self.check_choice(many, &words, node, place),
            },
            Value::Scalar(_) => {
                let free = of_type("string").into_iter().find(|a| words::of(a).is_empty());
                match free {
                    Some(text) => self.check_text(text, node, place),
                    None if words.is_empty() => self.wrong_type(alternatives, node, place),
                    None => self.check_word(&words, &of_type("object"), node, place),
                }
            }
        }
    }

    fn check_list(&mut self, schema: &'s Schema, node: &mut Node, place: &Place<'_>) -> bool {
        let Value::List(items) = &mut node.value else { return self.wrong_type(&[schema], node, place) };
        let number = |key: &str| schema.get(key).and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        if let Some(least) = number("minItems")
            && items.len() < least
        {
            let message = format!("`{}` is an empty list", place.path);
            self.error(
                "list-empty",
                place.span,
                message,
                "name at least one, or leave the field out if it is optional",
            );
            return false;
        }
        if let Some(most) = number("maxItems")
            && items.len() > most
        {
            let message = format!("`{}` has {} entries", place.path, items.len());
            self.error("list-long", place.span, message, format!("the most is {most}"));
            return false;
        }
        let Some(of) = schema.get("items") else { return true };
        let had_some = !items.is_empty();
        let mut index = 0_usize;
        items.retain_mut(|item| {
            let path = format!("{}[{index}]", place.path);
            index = index.saturating_add(1);
            let span = Cursor::root(item).span();
            self.check(of, item, &Place { path: &path, span })
        });
        // A list that must have something and has lost it all cannot stay.
        !(had_some && items.is_empty() && number("minItems").is_some())
    }

    /// A value whose shape is free, such as that of a required claim: whatever JSON can hold.
    fn check_anything(&mut self, node: &mut Node, place: &Place<'_>) -> bool {
        if is_null(node) {
            let message = format!("`{}` has no value", place.path);
            self.error("no-value", place.span, message, "give it a value, or remove the line");
            return false;
        }
        match &mut node.value {
            Value::Scalar(scalar) => {
                let good = scalars::json_can_hold(scalar);
                if !good {
                    let message = format!("the number `{}` is out of range", scalar.text);
                    self.error("out-of-range", node.span, message, "beyond 9007199254740991 readers of JSON disagree: have the issuer send a text, and put it in quotes here");
                }
                good
            }
            Value::List(items) => items.iter_mut().fold(true, |good, item| {
                let span = Cursor::root(item).span();
                self.check_anything(item, &Place { path: place.path, span }) && good
            }),
            Value::Map(members) => members.iter_mut().fold(true, |good, (key, item)| {
                let path = place.member(&key.text);
                self.check_anything(item, &Place { path: &path, span: key.span }) && good
            }),
        }
    }

    fn wrong_type(&mut self, expected: &[&'s Schema], node: &Node, place: &Place<'_>) -> bool {
        let of_mappings = expected.iter().filter_map(|schema| schema.get("items")).any(|items| {
            self.resolve(items)
                .is_some_and(|items| items.contains_key("properties") || items.contains_key("anyOf"))
        });
        let expected = words::describe(expected);
        let span = match &node.value {
            Value::Scalar(_) => node.span,
            Value::List(_) | Value::Map(_) => place.span,
        };
        let what = if place.path.is_empty() { "the bundle".to_owned() } else { format!("`{}`", place.path) };
        if place.path.ends_with(".secret") {
            // Whoever writes a text here has most likely written the secret.
            let message = format!("{what} must name an environment variable of the proxy");
            let help = "write `secret: {env: NAME}`; the secret itself never stands in a bundle: take it out, and treat it as leaked";
            self.error(scalars::SECRET, span, message, help);
            return false;
        }
        let message = format!("{what} must be {expected}, found {}", node.describe());
        self.error("wrong-type", span, message, words::remedy(&expected, of_mappings, node));
        false
    }
}

fn is_null(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalars::is_null(scalar))
}

#[cfg(test)]
mod tests;
