//! What bodies are accepted and what is looked for in a request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{BundleFile, HeaderName, MediaType};
use crate::units::Size;

/// What bodies are accepted. At least one of `json`, `form` and `opaque` is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Body {
    /// The largest body.
    pub max_size: Size,
    /// Whether a request without a body is refused. By default yes, if every method of the route is POST,
    /// PUT or PATCH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Accepts JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<JsonBody>,
    /// Accepts `application/x-www-form-urlencoded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<FormBody>,
    /// Accepts these content types and passes them on unread.
    pub opaque: Vec<MediaType>,
}

impl Default for Body {
    fn default() -> Self {
        Self { max_size: Size::kib(64), required: None, json: None, form: None, opaque: Vec::new() }
    }
}

/// How a JSON body is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonBody {
    /// A file with the JSON Schema that the body must satisfy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<BundleFile>,
    /// The content types that are read as JSON.
    #[schemars(length(min = 1))]
    pub types: Vec<MediaType>,
    /// The deepest nesting of arrays and objects.
    #[schemars(range(min = 1, max = 128))]
    pub max_depth: u32,
    /// The longest string.
    pub max_string: Size,
    /// The longest member name.
    pub max_key: Size,
    /// The most elements of one array.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_array: u32,
    /// The most members of one object.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_members: u32,
    /// The most values in the whole body.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_values: u32,
}

impl Default for JsonBody {
    fn default() -> Self {
        Self {
            schema: None,
            types: vec![MediaType::json(), MediaType::json_suffix()],
            max_depth: 16,
            max_string: Size::kib(16),
            max_key: Size::bytes_of(128),
            max_array: 1_000,
            max_members: 100,
            max_values: 10_000,
        }
    }
}

/// How a form body is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FormBody {
    /// The most fields.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_fields: u32,
    /// The longest name or value.
    pub max_value: Size,
}

impl Default for FormBody {
    fn default() -> Self {
        Self { max_fields: 100, max_value: Size::kib(4) }
    }
}

/// What is looked for, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Inspect {
    /// What is looked for.
    #[serde(rename = "for")]
    #[schemars(length(min = 1))]
    pub attacks: Vec<Attack>,
    /// Where it is looked for.
    #[serde(rename = "in")]
    #[schemars(length(min = 1))]
    pub places: Vec<Place>,
    /// Which headers are looked at, if `in` has `headers`.
    pub headers: Vec<HeaderName>,
}

impl Default for Inspect {
    fn default() -> Self {
        Self {
            attacks: vec![Attack::Sqli, Attack::Xss, Attack::Traversal],
            places: vec![Place::Path, Place::Query, Place::Cookies, Place::Headers, Place::Body],
            headers: vec![HeaderName::known("user-agent"), HeaderName::known("referer")],
        }
    }
}

/// An attack that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attack {
    /// SQL injection.
    Sqli,
    /// Cross-site scripting.
    Xss,
    /// Path traversal and system files.
    Traversal,
}

/// A place of a request that is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Segments of the path.
    Path,
    /// Names and values of query parameters.
    Query,
    /// Names and values of cookies.
    Cookies,
    /// The headers that `headers` lists.
    Headers,
    /// Every string of JSON and form bodies.
    Body,
}
