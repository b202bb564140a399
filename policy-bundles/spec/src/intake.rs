//! Caps on the request line and headers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Size;

/// Caps on the request line and headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Intake {
    /// The longest path, without the query.
    pub max_path: Size,
    /// The longest query.
    pub max_query: Size,
    /// The most query parameters.
    #[schemars(range(min = 0, max = 10_000))]
    pub max_query_parameters: u32,
    /// The most header lines.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_headers: u32,
    /// The largest size of all header names and values together.
    pub max_headers_size: Size,
    /// The longest value of one header.
    pub max_header_value: Size,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            max_path: Size::kib(4),
            max_query: Size::kib(8),
            max_query_parameters: 100,
            max_headers: 100,
            max_headers_size: Size::kib(48),
            max_header_value: Size::kib(16),
        }
    }
}
