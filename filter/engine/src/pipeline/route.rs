//! A route of the plan, made ready: checked against the other rooms, and with the places of its parameters.

use std::collections::BTreeSet;

use crate::authentication::Authenticator;
use crate::authentication::plan::CombinationMode;
use crate::authorization::Authorization;
use crate::intake::routes::{Segment, parse_template};
use crate::limits::Limits;
use crate::plan::{AccessPlan, PlanError, RoutePlan};

/// A route, with where its parameters are.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) plan: RoutePlan,
    pub(super) parameters: Vec<(Box<str>, usize, bool)>,
    pub(super) needs_address: bool,
}

/// Where the parameters of a template are: name, position of the segment, whether everything after counts.
pub(super) fn parameters(template: &str) -> Result<Vec<(Box<str>, usize, bool)>, String> {
    let segments = parse_template(template)?;
    Ok(segments
        .into_iter()
        .enumerate()
        .filter_map(|(position, segment)| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) => Some((name.into(), position, false)),
            Segment::Rest(name) => Some((name.into(), position, true)),
        })
        .collect())
}

pub(super) fn check_route(
    route: &RoutePlan,
    place: &str,
    parameters: &[(Box<str>, usize, bool)],
    limits: &Limits,
    authorization: &Authorization,
) -> Result<(), PlanError> {
    if let Some(limit) = route.limits.iter().find(|l| **l >= limits.len()) {
        return Err(PlanError::new(format!("{place}.limits"), format!("there is no limit {limit}")));
    }
    if route.limits.iter().collect::<BTreeSet<_>>().len() != route.limits.len() {
        return Err(PlanError::new(
            format!("{place}.limits"),
            "a limit is there twice, and would count twice",
        ));
    }
    let (all, any): (&[usize], &[usize]) = match &route.access {
        AccessPlan::Public if limits.need_subject(&route.limits) => {
            return Err(PlanError::new(
                format!("{place}.limits"),
                "a public route has no subject to count by",
            ));
        }
        AccessPlan::Permitted { all, any } if all.is_empty() && any.is_empty() => {
            return Err(PlanError::new(format!("{place}.access"), "no permission is named"));
        }
        AccessPlan::Public | AccessPlan::Authenticated => (&[], &[]),
        AccessPlan::Permitted { all, any } => (all, any),
    };
    for index in all.iter().chain(any) {
        let Some(requirement) = authorization.requirement(*index) else {
            return Err(PlanError::new(
                format!("{place}.access"),
                format!("there is no requirement {index}"),
            ));
        };
        for name in requirement.parameters() {
            if !parameters.iter().any(|(known, ..)| **known == *name) {
                let problem = format!("the permission names `{{{name}}}`, the path has no such parameter");
                return Err(PlanError::new(format!("{place}.access"), problem));
            }
        }
    }
    Ok(())
}

/// Who comes in is known wherever somebody must be, and is somebody only where the route says how.
pub(super) fn check_combination(
    route: &RoutePlan,
    place: &str,
    authenticator: &Authenticator,
) -> Result<(), PlanError> {
    let wrong = |problem: &str| Err(PlanError::new(format!("{place}.authentication"), problem));
    if let Some(step_up) = route.step_up {
        let wrong = |problem: &str| Err(PlanError::new(format!("{place}.step_up"), problem));
        if step_up >= authenticator.step_ups() {
            return wrong(&format!("there is no step-up {step_up}"));
        }
        if route.access == AccessPlan::Public {
            return wrong("a public route lets everybody in, however weakly they are known");
        }
    }
    let mode = match route.authentication {
        None => None,
        Some(combination) => match authenticator.mode(combination) {
            None => return wrong(&format!("there is no combination {combination}")),
            mode => mode,
        },
    };
    match (&route.access, mode) {
        (AccessPlan::Public, None | Some(CombinationMode::Optional))
        | (
            AccessPlan::Authenticated | AccessPlan::Permitted { .. },
            Some(CombinationMode::Any | CombinationMode::All),
        ) => Ok(()),
        (AccessPlan::Public, Some(_)) => {
            wrong("a public route asks nobody; only an optional combination fits")
        }
        (_, None | Some(CombinationMode::Optional)) => {
            wrong("the route is for somebody, and nothing says who; name a combination that is not optional")
        }
    }
}

impl Route {
    /// The raw value of a parameter in a canonical path that this route matched.
    pub(super) fn parameter<'p>(&self, name: &str, path: &'p str) -> Option<&'p str> {
        let (_, position, rest) = self.parameters.iter().find(|(known, ..)| **known == *name)?;
        let mut left = path.strip_prefix('/')?;
        for _ in 0..*position {
            left = left.split_once('/')?.1;
        }
        if *rest { Some(left) } else { left.split('/').next() }
    }
}
