//! Canonical JSON (RFC 8785). The same plan is always the same bytes.

use bartizan_engine::envelope::canonical;
use bartizan_engine::plan::Plan;
use serde_json::Value;

/// The plan as canonical JSON.
///
/// # Errors
/// When the plan cannot be written as JSON, which no plan from the compiler does.
pub fn plan(plan: &Plan) -> Result<String, serde_json::Error> {
    serde_json::to_value(plan).map(|value| json(&value))
}

/// Any value as canonical JSON.
#[must_use]
pub fn json(value: &Value) -> String {
    canonical::write(value)
}
