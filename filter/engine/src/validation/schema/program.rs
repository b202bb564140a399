//! A compiled schema.

use serde::{Deserialize, Serialize};

/// A compiled schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {}
