//! What bodies look like and what is looked for.

use serde::{Deserialize, Serialize};

use super::schema::program::Program;

/// Body rules, schemas and inspections, shared by routes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationPlan {
    /// Body rules; routes point here.
    pub bodies: Vec<BodyPlan>,
    /// Compiled schemas; body rules point here.
    pub schemas: Vec<Program>,
    /// What is inspected; routes point here.
    pub inspections: Vec<InspectionPlan>,
}

/// What bodies a route takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyPlan {
    /// Where it was written, `bundle.yaml:12`; empty for the default.
    pub at: String,
    /// The most bytes; zero refuses every body.
    pub max_bytes: u64,
    /// Whether a request without a body is refused.
    pub required: bool,
    /// Accepted content types and how each is read. A body of another type is refused.
    pub content: Vec<ContentPlan>,
}

/// One accepted content type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentPlan {
    /// Lower-case `type/subtype`, `type/*`, or `*/*`. Parameters are ignored but for `charset`, which
    /// must be UTF-8 or US-ASCII where the body is read as text.
    pub media_type: String,
    /// How it is read.
    pub read: ReadPlan,
}

/// How a body is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ReadPlan {
    /// As JSON (RFC 8259): held back until judged.
    Json {
        /// Caps on shape.
        limits: JsonLimits,
        /// An index into [`ValidationPlan::schemas`].
        schema: Option<usize>,
    },
    /// As `application/x-www-form-urlencoded`: held back until judged.
    Form {
        /// Number of fields at most.
        max_fields: u32,
        /// Bytes of one decoded name or value at most.
        max_value_bytes: u32,
    },
    /// Not read: counted and passed on as it comes.
    Opaque,
}

/// Caps on the shape of a JSON body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonLimits {
    /// Nesting of arrays and objects.
    pub max_depth: u32,
    /// Bytes of one decoded string.
    pub max_string_bytes: u32,
    /// Bytes of one decoded member name.
    pub max_key_bytes: u32,
    /// Elements of one array.
    pub max_array_items: u32,
    /// Members of one object.
    pub max_object_members: u32,
    /// Values in the whole document.
    pub max_values: u32,
}

/// What is looked for, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectionPlan {
    /// Look for SQL injection.
    pub sqli: bool,
    /// Look for cross-site scripting.
    pub xss: bool,
    /// Look for path traversal and system files.
    pub traversal: bool,
    /// In path segments.
    pub path: bool,
    /// In names and values of query parameters.
    pub query: bool,
    /// In these headers, lower-case.
    pub headers: Vec<String>,
    /// In names and values of cookies.
    pub cookies: bool,
    /// In every string of JSON and form bodies, member names included.
    pub body: bool,
}
