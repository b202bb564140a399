//! The plan: what the compiler emits and the engine executes.
//!
//! A plan is a wire format. It comes from outside the proxy, so [`Plan::parse`] refuses unknown versions
//! and unknown fields, and [`crate::pipeline::Engine::load`] checks every index, bound and pattern before
//! a single request sees it. Each room owns its part; the words are those of the policy language.

use serde::{Deserialize, Serialize};

use crate::{authentication, authorization, headers, intake, limits, network, validation};

/// The plan version this engine reads and the compiler of the same release writes.
pub const PLAN_VERSION: u32 = 1;

/// The largest plan that is read at all, in bytes.
pub const MAX_PLAN_BYTES: usize = 32 * 1024 * 1024;

/// A whole policy, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this format: [`PLAN_VERSION`].
    pub plan_version: u32,
    /// Name of the bundle.
    pub name: String,
    /// Revision of the bundle, monotonic.
    pub revision: u64,
    /// Caps on the request line and headers.
    pub intake: intake::plan::IntakePlan,
    /// Client address and networks.
    pub network: network::plan::NetworkPlan,
    /// Who a request may come from.
    pub authentication: authentication::plan::AuthenticationPlan,
    /// Roles, and the permissions that routes require.
    pub authorization: authorization::plan::AuthorizationPlan,
    /// Rate limits.
    pub limits: Vec<limits::plan::LimitPlan>,
    /// Body rules, schemas, inspection.
    pub validation: validation::plan::ValidationPlan,
    /// Header edits on requests and responses.
    pub headers: headers::plan::HeadersPlan,
    /// The routes, in the order they were written.
    pub routes: Vec<RoutePlan>,
}

/// One route: what it matches, and what each room does for it. Numbers are indices into the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutePlan {
    /// The route's name, for people: given, or made from method and path.
    pub id: String,
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
    /// Path template: `/a/{id}` (one segment), `/files/{rest...}` (one or more segments, last only).
    pub path: String,
    /// Upper-case methods; empty for any. `GET` does not imply `HEAD`: the compiler writes both.
    pub methods: Vec<String>,
    /// Lower-case hosts without port, `*.example.com` for one or more leading labels; empty for any.
    pub hosts: Vec<String>,
    /// Who may come in.
    pub access: AccessPlan,
    /// How it is found out who comes: an index into
    /// [`authentication::plan::AuthenticationPlan::combinations`]. `None` on public routes that do not ask.
    pub authentication: Option<usize>,
    /// What is asked of an identity beyond being known: an index into
    /// [`authentication::plan::AuthenticationPlan::step_up`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_up: Option<usize>,
    /// Indices into [`Plan::limits`], each once. They are charged by key: address, subject, everybody.
    pub limits: Vec<usize>,
    /// What bodies it takes: an index into [`validation::plan::ValidationPlan::bodies`].
    pub body: usize,
    /// What is inspected: an index into [`validation::plan::ValidationPlan::inspections`].
    pub inspection: usize,
}

/// Who may use a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AccessPlan {
    /// Everybody. Unless the route has an optional combination, credentials are not looked at.
    Public,
    /// Everybody with a valid identity.
    Authenticated,
    /// An identity that holds permissions: indices into
    /// [`authorization::plan::AuthorizationPlan::requirements`].
    Permitted {
        /// All of these are needed.
        all: Vec<usize>,
        /// At least one of these is needed; empty asks nothing.
        any: Vec<usize>,
    },
}

/// Why a plan cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError {
    /// Where in the plan, as a path: `routes[3].limits[0]`.
    pub place: String,
    /// What is wrong there and what to do about it.
    pub problem: String,
}

impl PlanError {
    /// A problem at a place.
    #[must_use]
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}: {}", self.place, self.problem)
        }
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// Reads a plan from JSON.
    ///
    /// # Errors
    /// When it is too large, not JSON, of another version, or has members this engine does not know.
    pub fn parse(json: &[u8]) -> Result<Self, PlanError> {
        #[derive(Deserialize)]
        struct Versioned {
            plan_version: u32,
        }
        if json.len() > MAX_PLAN_BYTES {
            let problem = format!("the plan has {} bytes, the most is {MAX_PLAN_BYTES}", json.len());
            return Err(PlanError::new("", problem));
        }
        // The version first: a newer plan should say "newer", not "unknown field".
        let versioned: Versioned = serde_json::from_slice(json)
            .map_err(|e| PlanError::new("", format!("not a plan: {e}; build one with `bartizan build`")))?;
        if versioned.plan_version != PLAN_VERSION {
            let found = versioned.plan_version;
            let problem = format!(
                "this filter reads plan version {PLAN_VERSION}, found {found}; build the bundle with the matching `bartizan`"
            );
            return Err(PlanError::new("plan_version", problem));
        }
        serde_json::from_slice(json).map_err(|e| PlanError::new("", format!("not a plan: {e}")))
    }
}
