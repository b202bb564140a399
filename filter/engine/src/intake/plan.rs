//! What intake allows at most.

use serde::{Deserialize, Serialize};

/// Caps on the request line and headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntakePlan {
    /// Bytes of the raw path without the query.
    pub max_path_bytes: u32,
    /// Bytes of the raw query.
    pub max_query_bytes: u32,
    /// Number of query parameters.
    pub max_query_parameters: u32,
    /// Number of header lines, pseudo-headers not counted.
    pub max_headers: u32,
    /// Bytes of all names and values together.
    pub max_headers_bytes: u32,
    /// Bytes of one value.
    pub max_header_value_bytes: u32,
}

impl Default for IntakePlan {
    /// The defaults of the policy language.
    fn default() -> Self {
        Self {
            max_path_bytes: 4096,
            max_query_bytes: 8192,
            max_query_parameters: 100,
            max_headers: 100,
            max_headers_bytes: 48 * 1024,
            max_header_value_bytes: 16 * 1024,
        }
    }
}
