//! From what is written to what runs: one file per room.
//!
//! Everything here reads a bundle that has the right shape, and reports what is wrong with its meaning.

mod authentication;
mod authorization;
mod data;
mod headers;
mod keys;
mod limits;
mod network;
mod pem;
mod profiles;
mod routes;
mod schemas;
mod usage;
mod validation;

use std::collections::BTreeMap;

use bartizan_engine::envelope::payload::WhenExpired;
use bartizan_engine::intake::plan::IntakePlan;
use bartizan_engine::plan::{PLAN_VERSION, Plan};
use bartizan_spec::bundle::{self as spec, Bundle, MAX_LABELS};
use bartizan_spec::intake::Intake;
use bartizan_spec::time::Moment;

pub(crate) use routes::label;

use crate::Release;
use crate::diagnostic::{Report, Span};
use crate::files::Files;
use crate::yaml::{Cursor, Node};

/// The names that a bundle defines, whether or not what they stand for is right.
#[derive(Debug)]
pub struct Names {
    limits: BTreeMap<String, Span>,
    roles: BTreeMap<String, Span>,
}

impl Names {
    /// The names in a tree.
    #[must_use]
    pub fn of(tree: &Node) -> Self {
        let of = |field: &str| {
            tree.get(field).into_iter().flat_map(Node::keys).map(|key| (key.text.clone(), key.span)).collect()
        };
        Self { limits: of("limits"), roles: of("roles") }
    }

    /// Adds the names of another tree.
    pub fn add(&mut self, other: Self) {
        self.limits.extend(other.limits);
        self.roles.extend(other.roles);
    }
}

/// What is translated.
#[derive(Debug)]
pub struct Input<'i> {
    /// The bundle, without what did not have the right shape.
    pub bundle: &'i Bundle,
    /// The tree it was read from, for places.
    pub tree: &'i Node,
    /// The names the bundle defines.
    pub names: &'i Names,
    /// The files of policy beside `bundle.yaml`.
    pub files: &'i [String],
    /// Whether nothing was cut away. If something was, nothing is said about what seems to be missing.
    pub whole: bool,
}

impl<'i> Input<'i> {
    /// The root of the tree.
    fn root(&self) -> Cursor<'i> {
        Cursor::root_of(self.tree, self.files)
    }
}

/// Translates the bundle. The plan counts only if no error was reported.
pub fn plan(input: &Input<'_>, files: &mut Files, report: &mut Report) -> Plan {
    let bundle = input.bundle;
    let mut requirements = authorization::Requirements::default();
    let mut validation = validation::Rules::default();
    let mut authentication = authentication::translate(input, files, report);
    let mut combinations = authentication::Combinations::default();
    let mut step_ups = authentication::StepUps::default();
    let roles = authorization::roles(input, report);
    let limits = limits::translate(input, report);
    let mut collected = routes::Collected {
        requirements: &mut requirements,
        rules: &mut validation,
        combinations: &mut combinations,
        step_ups: &mut step_ups,
    };
    let routes = routes::translate(input, &mut collected, files, report);
    authentication.combinations = combinations.into_plans();
    authentication.step_up = step_ups.into_plans();
    let headers = headers::translate(input, report);
    let requirements = requirements.into_list();
    let network = network::translate(input, report);
    validity(input, report);
    if input.whole {
        usage::check(input, &authentication, &roles, &requirements, report);
        usage::guesses(input, &authentication, &routes, &limits, report);
    }
    Plan {
        plan_version: PLAN_VERSION,
        name: bundle.name.as_str().to_owned(),
        revision: bundle.revision,
        intake: intake(&bundle.intake),
        network,
        authentication,
        authorization: bartizan_engine::authorization::plan::AuthorizationPlan { roles, requirements },
        limits,
        validation: validation.into_plan(),
        headers,
        routes,
    }
}

/// What an artifact could not carry. A bundle that is never valid is a mistake, and not one that a proxy should find.
fn validity(input: &Input<'_>, report: &mut Report) {
    let labels = input.bundle.labels.0.len();
    if labels > MAX_LABELS {
        let span = input.root().get("labels").span();
        report.error(
            "too-many-labels",
            span,
            format!("{labels} labels"),
            format!("the most is {MAX_LABELS}"),
        );
    }
    let refuses = input.bundle.when_expired == spec::WhenExpired::Refuse;
    if refuses && input.bundle.expires.is_none() {
        report.error(
            "never-expires",
            input.root().get("when_expired").span(),
            "`when_expired: refuse` does nothing, as the bundle never expires",
            "write `expires:` with a moment such as `2027-01-31T12:00:00Z`, or remove `when_expired`",
        );
    }
    let (Some(from), Some(to)) = (input.bundle.not_before, input.bundle.expires) else { return };
    if to <= from {
        let span = input.root().get("expires").span();
        let message = format!("the bundle expires at {to}, and is not valid before {from}");
        report.error(
            "never-valid",
            span,
            message,
            "let `expires` come after `not_before`, or remove one of them",
        );
    }
}

/// What goes into the artifact beside the plan.
pub fn release(bundle: &Bundle) -> Release {
    let labels = bundle.labels.0.iter();
    Release {
        labels: labels.map(|(name, text)| (name.as_str().to_owned(), text.as_str().to_owned())).collect(),
        not_before: bundle.not_before.map(Moment::seconds),
        expires: bundle.expires.map(Moment::seconds),
        when_expired: match bundle.when_expired {
            spec::WhenExpired::Keep => WhenExpired::Keep,
            spec::WhenExpired::Refuse => WhenExpired::Refuse,
        },
    }
}

fn intake(intake: &Intake) -> IntakePlan {
    IntakePlan {
        max_path_bytes: intake.max_path.bytes_u32(),
        max_query_bytes: intake.max_query.bytes_u32(),
        max_query_parameters: intake.max_query_parameters,
        max_headers: intake.max_headers,
        max_headers_bytes: intake.max_headers_size.bytes_u32(),
        max_header_value_bytes: intake.max_header_value.bytes_u32(),
    }
}
