//! The tree.

use crate::diagnostic::{Span, file_of};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it was written.
    pub span: Span,
    /// The value.
    pub value: Value,
}

/// A key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where it was written.
    pub span: Span,
    /// The key.
    pub text: String,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A scalar.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order it was written, with each key once.
    Map(Vec<(Key, Node)>),
}

/// A scalar: its text, and what the core schema of YAML 1.2 (section 10.3.2) makes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// The text, without quotes and with escapes resolved.
    pub text: String,
    /// What it means.
    pub meaning: Meaning,
}

/// What a scalar means. Quoted scalars are always text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Meaning {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits; `None` if it does not.
    Integer(Option<i64>),
    /// Another number.
    Float(f64),
    /// Text.
    Text,
}

impl Node {
    /// The member of a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// The member of a mapping, with its key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<(&Key, &Node)> {
        match &self.value {
            Value::Map(members) => members.iter().find(|(k, _)| k.text == key).map(|(k, n)| (k, n)),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// The keys of a mapping, in order; nothing for anything else.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        let members = match &self.value {
            Value::Map(members) => members.as_slice(),
            Value::Scalar(_) | Value::List(_) => &[],
        };
        members.iter().map(|(key, _)| key)
    }

    /// What it is, for messages: `the number 10`, `a list`.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Scalar(scalar) => match scalar.meaning {
                Meaning::Null => "nothing".to_owned(),
                Meaning::Bool(value) => format!("the truth value `{value}`"),
                Meaning::Integer(_) | Meaning::Float(_) => format!("the number `{}`", shorten(&scalar.text)),
                Meaning::Text => format!("the text `{}`", shorten(&scalar.text)),
            },
        }
    }

    /// The value as JSON. Numbers that JSON cannot hold become null; the structural check refuses them.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(members) => {
                Json::Object(members.iter().map(|(k, n)| (k.text.clone(), n.to_json())).collect())
            }
            Value::Scalar(scalar) => match scalar.meaning {
                Meaning::Null => Json::Null,
                Meaning::Bool(value) => Json::Bool(value),
                Meaning::Integer(value) => value.map_or(Json::Null, Json::from),
                Meaning::Float(value) => Json::from(value),
                Meaning::Text => Json::String(scalar.text.clone()),
            },
        }
    }
}

/// A text short enough for a message.
#[must_use]
pub(crate) fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(60) {
        Some((cut, _)) => format!("{}...", line.get(..cut).unwrap_or_default()),
        None if line.len() < text.len() => format!("{line}..."),
        None => line.to_owned(),
    }
}

/// A place in the tree that may not be there: a field that was left out stands where its parent stands.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'n> {
    node: Option<&'n Node>,
    span: Span,
    key: Span,
    files: &'n [String],
}

impl<'n> Cursor<'n> {
    /// The root of a tree.
    #[must_use]
    pub fn root(node: &'n Node) -> Self {
        Self::root_of(node, &[])
    }

    /// The root of a tree that was made of several files of policy, which stand in the order of their numbers.
    #[must_use]
    pub fn root_of(node: &'n Node, files: &'n [String]) -> Self {
        Self { node: Some(node), span: first(node), key: first(node), files }
    }

    /// A member of a mapping.
    #[must_use]
    pub fn get(self, key: &str) -> Self {
        match self.node.and_then(|node| node.entry(key)) {
            Some((key, node)) => {
                Self { node: Some(node), span: place(node, key.span), key: key.span, files: self.files }
            }
            None => Self { node: None, span: self.key, ..self },
        }
    }

    /// An item of a list. Where one value may stand for a list of one, the value itself.
    #[must_use]
    pub fn item(self, index: usize) -> Self {
        match self.node {
            Some(Node { value: Value::List(items), .. }) => match items.get(index) {
                Some(node) => {
                    Self { node: Some(node), span: first(node), key: first(node), files: self.files }
                }
                None => Self { node: None, span: self.key, ..self },
            },
            _ => self,
        }
    }

    /// Where the value stands. For a mapping that is its key, or its first member.
    #[must_use]
    pub fn span(self) -> Span {
        self.span
    }

    /// Where the key of the value stands.
    #[must_use]
    pub fn key(self) -> Span {
        self.key
    }

    /// Where a certain key of a mapping stands.
    #[must_use]
    pub fn key_of(self, key: &str) -> Span {
        self.get(key).key
    }

    /// The node, if it is there.
    #[must_use]
    pub fn node(self) -> Option<&'n Node> {
        self.node
    }

    /// Where it was written, as plans say it.
    #[must_use]
    pub fn at(self) -> String {
        format!("{}:{}", file_of(self.files, self.key), self.key.line)
    }
}

/// What is underlined for a value behind a key: a scalar itself, but the key of anything larger.
fn place(node: &Node, key: Span) -> Span {
    match &node.value {
        Value::Scalar(scalar) if scalar.meaning != Meaning::Null => node.span,
        _ => key,
    }
}

/// What is underlined for a value without a key: a scalar itself, or the first key of a mapping.
fn first(node: &Node) -> Span {
    match &node.value {
        Value::Map(members) => members.first().map_or(node.span, |(key, _)| key.span),
        Value::List(_) | Value::Scalar(_) => node.span,
    }
}
