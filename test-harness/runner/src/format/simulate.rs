//! What only a simulated proxy can do to a request.

use std::num::NonZeroU64;

use bartizan_compiler::suggest;
use bartizan_host::{Status, faults};
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::placeholder::{is_template, or_placeholder};

/// Worker threads of each simulated proxy, as in the tests with a real Envoy.
pub const WORKERS: usize = 2;

/// What only a simulated proxy can do to a request. A case with it needs `only: {run: simulated, ..}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Simulate {
    /// The worker that serves the request, 0 or 1; drawn by the seed, if this is not given.
    #[serde(default, deserialize_with = "worker")]
    #[schemars(range(max = 1))]
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
    #[serde(deserialize_with = "call")]
    pub call: String,
    /// Which of its calls in this request, counted from one; each of them, if this is not given.
    #[serde(default)]
    pub nth: Option<NonZeroU64>,
    /// What it answers.
    #[serde(default, deserialize_with = "or_placeholder")]
    pub status: FaultStatus,
}

fn worker<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let worker = Option::<usize>::deserialize(deserializer)?;
    match worker {
        Some(number) if number >= WORKERS => {
            Err(D::Error::custom(format!("there is no worker {number}; the workers are 0 and 1")))
        }
        _ => Ok(worker),
    }
}

fn call<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = faults::functions();
    if is_template(&name) || known.contains(&name.as_str()) {
        return Ok(name);
    }
    let remedy = suggest::remedy(&name, known.iter().copied(), "functions");
    Err(D::Error::custom(format!("the proxy has no function `{name}`, so no call of it can fail; {remedy}")))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Simulate, String> {
        serde_saphyr::from_str(yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn there_are_two_workers() {
        assert!((0..WORKERS).all(|number| read(&format!("{{worker: {number}}}")).is_ok()));
        assert!(read("{worker: 2}").unwrap_err().contains("the workers are 0 and 1"));
    }

    #[test]
    fn a_fault_is_one_that_can_strike() {
        assert!(read("{faults: [{call: proxy_log, nth: 1}, {call: '${call}'}]}").is_ok());
        let wrong = read("{faults: [{call: proxy_get_shared_date}]}").unwrap_err();
        assert!(wrong.contains("did you mean `proxy_get_shared_data`?"), "{wrong}");
        assert!(read("{faults: [{call: proxy_log, nth: 0}]}").is_err());
    }
}
