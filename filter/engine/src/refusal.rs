//! A refusal: a reason, what the client may learn of it, and what only the operator learns.

use crate::reason::Reason;

/// One place in a body that did not satisfy its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer (RFC 6901) into the body, empty for the body itself.
    pub pointer: String,
    /// What is expected there, as a sentence that does not repeat the value.
    pub detail: String,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason, with its status.
    pub reason: Reason,
    /// For operators only: events, logs, `explain`. Never a token, a key or a cookie.
    pub detail: String,
    /// Response headers that belong to this refusal (`www-authenticate`, `retry-after`, `allow`).
    pub headers: Vec<(String, String)>,
    /// For `body-schema` only: where the body went wrong. At most sixteen.
    pub violations: Vec<Violation>,
}

impl Refusal {
    /// A refusal with a detail for the operator.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), headers: Vec::new(), violations: Vec::new() }
    }

    /// Adds a response header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The problem document (RFC 9457) the client receives.
    #[must_use]
    pub fn problem(&self) -> String {
        use serde_json::{Map, Value, json};
        let mut problem = Map::new();
        problem.insert("type".into(), json!(format!("urn:bartizan:problem:{}", self.reason.code())));
        problem.insert("title".into(), json!(self.reason.title()));
        problem.insert("status".into(), json!(self.reason.status()));
        problem.insert("reason".into(), json!(self.reason.code()));
        if !self.violations.is_empty() {
            let errors = self.violations.iter().map(|v| json!({"pointer": v.pointer, "detail": v.detail}));
            problem.insert("errors".into(), Value::Array(errors.collect()));
        }
        Value::Object(problem).to_string()
    }
}
