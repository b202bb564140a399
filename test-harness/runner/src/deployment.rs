//! How a policy is deployed: what stands beside the plan in the plugin configuration.

use std::fmt;

use bartizan_engine::plan::Plan;
use serde_json::json;

/// Who checks signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signatures {
    /// Envoy where its self-test passes, else the module.
    Auto,
    /// Envoy; the policy does not load where Envoy cannot.
    Host,
    /// The module.
    Wasm,
}

impl Signatures {
    /// The word for it in the plugin configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Host => "host",
            Self::Wasm => "wasm",
        }
    }
}

impl fmt::Display for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The plugin configuration for an Envoy that holds headers back, as `envoy/standalone/envoy.yaml` configures it.
#[must_use]
pub fn configuration(plan: &Plan, signatures: Signatures) -> String {
    json!({
        "plan": plan,
        "settings": {"hold_headers": true, "signatures": signatures.word(), "peer_verified": true},
    })
    .to_string()
}
