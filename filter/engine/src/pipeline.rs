//! The rooms a request walks through, in order.

/// A room of the pipeline, in the order a request meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Bytes become one request with one meaning.
    Intake,
    /// The client address is found and judged.
    Network,
    /// Budgets are charged: by address before authentication, by subject after it.
    Limits,
    /// The token is checked.
    Authentication,
    /// Roles and permissions are compared with what the route asks.
    Authorization,
    /// Path, query, headers and body are inspected and checked against their schema.
    Validation,
    /// Headers are edited.
    Headers,
}

impl Room {
    /// The room's name, as its folder is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Network => "network",
            Self::Limits => "limits",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::Validation => "validation",
            Self::Headers => "headers",
        }
    }
}
