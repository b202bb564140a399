//! What only a simulated proxy can do to a request.

use bartizan_host::Status;
use schemars::JsonSchema;
use serde::Deserialize;

use super::placeholder::or_placeholder;

/// What only a simulated proxy can do to a request. A case with it needs `only: {run: simulated, ..}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Simulate {
    /// The worker that serves the request, 0 or 1; drawn by the seed, if this is not given.
    #[serde(default)]
    pub worker: Option<usize>,
    /// Calls to the proxy that fail while the request is under way. Each must happen.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// The client goes away after this many pieces of its body; 0: after the headers.
    #[serde(default)]
    pub disconnect_after: Option<usize>,
}

/// A call to the proxy that fails.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The function of the ABI, as in `proxy_get_shared_data`.
    pub call: String,
    /// Which of its calls in this request, counted from one; each of them, if this is not given.
    #[serde(default)]
    pub nth: Option<u64>,
    /// What it answers.
    #[serde(default, deserialize_with = "or_placeholder")]
    pub status: FaultStatus,
}

/// What a call that fails answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the ABI, and bartizan-host explains them")]
pub enum FaultStatus {
    NotFound,
    BadArgument,
    SerializationFailure,
    ParseFailure,
    Empty,
    CasMismatch,
    #[default]
    InternalFailure,
    Unimplemented,
}

impl From<FaultStatus> for Status {
    fn from(status: FaultStatus) -> Self {
        match status {
            FaultStatus::NotFound => Self::NotFound,
            FaultStatus::BadArgument => Self::BadArgument,
            FaultStatus::SerializationFailure => Self::SerializationFailure,
            FaultStatus::ParseFailure => Self::ParseFailure,
            FaultStatus::Empty => Self::Empty,
            FaultStatus::CasMismatch => Self::CasMismatch,
            FaultStatus::InternalFailure => Self::InternalFailure,
            FaultStatus::Unimplemented => Self::Unimplemented,
        }
    }
}
