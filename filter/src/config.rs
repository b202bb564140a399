//! The plugin configuration: settings of this deployment, and the policy, as a plan or as a signed artifact with its trust.

use bartizan_engine::delivery::SourcePlan;
use bartizan_engine::envelope::trust::TrustPlan;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The plugin configuration as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Configuration<'a> {
    #[serde(default)]
    pub(crate) settings: Settings,
    /// Kept as text: the engine looks at its version before it looks at anything else.
    #[serde(borrow)]
    pub(crate) plan: Option<&'a RawValue>,
    /// A signed artifact, in the place of a plan.
    #[serde(borrow)]
    pub(crate) bundle: Option<&'a RawValue>,
    /// Whose signatures count.
    pub(crate) trust: Option<TrustPlan>,
    /// Where newer artifacts come from.
    pub(crate) source: Option<SourcePlan>,
    /// What becomes of requests while no artifact was ever in force.
    pub(crate) before_first: Option<BeforeFirst>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BeforeFirst {
    Refuse,
    Allow,
}

/// What the policy cannot know: how Envoy was set up.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Whether Envoy's plugin configuration has `allow_on_headers_stop_iteration: true`. With it, headers
    /// wait for the verdict on the body. Without it, waiting would hang for ever, so headers go ahead and a
    /// refused body resets the request that upstream has begun to see.
    pub(crate) hold_headers: bool,
    pub(crate) signatures: SignatureSetting,
    /// Whether Envoy appends the peer to `x-forwarded-for` before the filter sees it: true without
    /// `skip_xff_append: true`. Matters only to policies with trusted hops.
    pub(crate) peer_appended: bool,
    /// Whether the listener verifies who issued the certificates of its clients (`validation_context` with `trusted_ca`, and
    /// no `ACCEPT_UNTRUSTED`). Of a certificate Envoy tells that it was presented, and not that it was verified.
    pub(crate) peer_verified: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hold_headers: true,
            signatures: SignatureSetting::Auto,
            peer_appended: false,
            peer_verified: false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SignatureSetting {
    /// Envoy's, if it passes a self-test.
    Auto,
    /// Envoy's, and the configuration is refused if it fails the self-test.
    Host,
    /// Our own.
    Wasm,
}
