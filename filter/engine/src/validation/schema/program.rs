//! A compiled schema: what the compiler writes and `machine.rs` loads.
//!
//! A program is a graph of nodes that point at each other by index, so that `$ref`, recursion and shared
//! definitions cost nothing. References are resolved, defaults of keywords that depend on their siblings
//! (`additionalProperties`, `items` after `prefixItems`, `then` without `if`) are folded away, and
//! annotations are gone: every keyword in a node is something to check. Numbers and constants stand as
//! JSON text; of a number with more digits than a double has, as that double.

use serde::{Deserialize, Serialize};

/// Index of a node in [`Program::nodes`].
pub type NodeId = u32;

/// A compiled schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The node that the whole document must satisfy.
    pub root: NodeId,
    /// All nodes.
    pub nodes: Vec<Node>,
    /// For `$dynamicRef`: of each schema resource, its dynamic anchors. Empty if none is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Vec<DynamicAnchor>>,
}

/// A `$dynamicAnchor` of a schema resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynamicAnchor {
    /// Its name.
    pub name: String,
    /// The node it stands at.
    pub node: NodeId,
}

/// One schema object. A value satisfies it by satisfying every keyword; a node without keywords is `true`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Index into [`Program::resources`] of the resource the schema object belongs to.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resource: u32,
    /// What is checked, in this order. The compiler puts cheap checks first.
    pub checks: Vec<Check>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// The JSON types, and `integer` as JSON Schema has it (`1.0` is one).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JsonType {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// Any number.
    Number,
    /// A number without a fractional part.
    Integer,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A name and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// A member name, or a pattern that member names may match.
    pub name: String,
    /// The schema.
    pub node: NodeId,
}

/// One check. Checks about another type of value than the one at hand are satisfied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// `false`: nothing satisfies it.
    Never,
    /// `type`.
    Types(Vec<JsonType>),
    /// `enum`, and `const` as an enumeration of one. JSON texts.
    Enumeration(Vec<String>),
    /// `minimum`, a JSON number.
    Minimum(String),
    /// `maximum`, a JSON number.
    Maximum(String),
    /// `exclusiveMinimum`, a JSON number.
    ExclusiveMinimum(String),
    /// `exclusiveMaximum`, a JSON number.
    ExclusiveMaximum(String),
    /// `multipleOf`, a JSON number above zero.
    MultipleOf(String),
    /// `minLength`, in characters.
    MinLength(u64),
    /// `maxLength`, in characters.
    MaxLength(u64),
    /// `pattern`, already translated from ECMA-262; unanchored.
    Pattern(String),
    /// `format`.
    Format(Format),
    /// `minItems`.
    MinItems(u64),
    /// `maxItems`.
    MaxItems(u64),
    /// `uniqueItems: true`.
    UniqueItems,
    /// `prefixItems` and `items`.
    Elements {
        /// Schemas of the first elements.
        prefix: Vec<NodeId>,
        /// Schema of the others.
        rest: Option<NodeId>,
    },
    /// `contains`, `minContains`, `maxContains`.
    Contains {
        /// What is counted.
        node: NodeId,
        /// How many at least.
        min: u64,
        /// How many at most.
        max: Option<u64>,
    },
    /// `minProperties`.
    MinProperties(u64),
    /// `maxProperties`.
    MaxProperties(u64),
    /// `properties`, `patternProperties`, `additionalProperties` and `required` of one schema object.
    Members {
        /// `properties`.
        known: Vec<Named>,
        /// `patternProperties`, translated; unanchored.
        patterns: Vec<Named>,
        /// `additionalProperties`.
        rest: Option<NodeId>,
        /// `required`.
        required: Vec<String>,
    },
    /// `dependentRequired`.
    DependentRequired {
        /// The member that has needs.
        name: String,
        /// The members it needs.
        needs: Vec<String>,
    },
    /// `dependentSchemas`.
    DependentSchema(Named),
    /// `propertyNames`.
    PropertyNames(NodeId),
    /// `allOf`.
    AllOf(Vec<NodeId>),
    /// `anyOf`.
    AnyOf(Vec<NodeId>),
    /// `oneOf`.
    OneOf(Vec<NodeId>),
    /// `not`.
    Not(NodeId),
    /// `if`, `then`, `else`.
    If {
        /// What decides.
        condition: NodeId,
        /// For values that satisfy it.
        then: Option<NodeId>,
        /// For the others.
        otherwise: Option<NodeId>,
    },
    /// `$ref`.
    Ref(NodeId),
    /// `$dynamicRef` to a `$dynamicAnchor`.
    DynamicRef {
        /// Name of the anchor that is looked for, outermost resource first.
        anchor: String,
        /// Where the reference points lexically.
        initial: NodeId,
    },
    /// `unevaluatedItems`; the last check of its node, or followed only by the next one.
    UnevaluatedItems(NodeId),
    /// `unevaluatedProperties`; the last check of its node, or preceding only the one before.
    UnevaluatedProperties(NodeId),
}

/// The values of `format` that are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// RFC 3339 `date-time`.
    DateTime,
    /// RFC 3339 `full-date`.
    Date,
    /// RFC 3339 `full-time`.
    Time,
    /// ISO 8601 duration, as in RFC 3339 appendix A.
    Duration,
    /// An address of RFC 5321.
    Email,
    /// A host name of RFC 1123.
    Hostname,
    /// A dotted quad.
    Ipv4,
    /// An address of RFC 4291.
    Ipv6,
    /// A URI of RFC 3986.
    Uri,
    /// A URI or relative reference of RFC 3986.
    UriReference,
    /// A UUID of RFC 4122 in hexadecimal with hyphens.
    Uuid,
    /// A JSON pointer of RFC 6901.
    JsonPointer,
    /// A relative JSON pointer.
    RelativeJsonPointer,
    /// Base64 with padding, as OpenAPI means it.
    Byte,
}
