//! Routes.

use std::collections::BTreeMap;

use bartizan_engine::intake::routes::{Segment, parse_template};
use bartizan_engine::plan::{AccessPlan, RoutePlan};
use bartizan_spec::authorization::Access;
use bartizan_spec::forms::OrNone;
use bartizan_spec::limits::LimitKey;
use bartizan_spec::routes::{Method, Route};
use bartizan_spec::text::{LimitName, Requirement};
use bartizan_spec::validation::Inspect;

use super::Input;
use super::authentication::{Combinations, StepUps};
use super::authorization::Requirements;
use super::validation::{NO_BODY, Rules};
use crate::diagnostic::Report;
use crate::files::Files;
use crate::suggest;
use crate::yaml::Cursor;

/// What routes ask for, each once: they point at it by number.
pub(super) struct Collected<'c> {
    pub(super) requirements: &'c mut Requirements,
    pub(super) rules: &'c mut Rules,
    pub(super) combinations: &'c mut Combinations,
    pub(super) step_ups: &'c mut StepUps,
}

pub(super) fn translate(
    input: &Input<'_>,
    collected: &mut Collected<'_>,
    files: &mut Files,
    report: &mut Report,
) -> Vec<RoutePlan> {
    let Collected { requirements, rules, combinations, step_ups } = collected;
    let defaults = input.root().get("defaults");
    // Checked once here, and not again for every route that takes them over.
    known_limits(input, &input.bundle.defaults.limits, defaults.get("limits"), report);
    if let Some(OrNone::Some(inspect)) = &input.bundle.defaults.inspect {
        Rules::check_inspect(inspect, defaults.get("inspect"), report);
    }
    Combinations::check_defaults(input, report);
    let all = input.root().get("routes");
    let mut table = Table::default();
    let mut plans = Vec::new();
    for (index, route) in input.bundle.routes.iter().enumerate() {
        let at = all.item(index);
        table.insert(index, route, at, report);
        if let Some(OrNone::Some(inspect)) = &route.inspect {
            Rules::check_inspect(inspect, at.get("inspect"), report);
        }
        plans.push(RoutePlan {
            id: label(route),
            at: at.at(),
            path: route.path.as_str().to_owned(),
            methods: methods(route),
            hosts: route.hosts.iter().flatten().map(|host| host.as_str().to_owned()).collect(),
            access: access(route, at.get("access"), requirements, report),
            authentication: combinations.number(route, input, at, report),
            step_up: step_ups.number(route, &input.bundle.authentication.totp, at, report),
            limits: limits(input, route, at, report),
            body: body(input, route, at, rules, files, report),
            inspection: inspection(input, route, rules),
        });
    }
    plans
}

/// The name of a route, for people.
pub(crate) fn label(route: &Route) -> String {
    match (&route.name, &route.methods) {
        (Some(name), _) => name.as_str().to_owned(),
        (None, Some(methods)) => {
            let names: Vec<&str> = methods.iter().map(|method| method.name()).collect();
            format!("{} {}", names.join(","), route.path)
        }
        (None, None) => format!("* {}", route.path),
    }
}

/// The methods, sorted; GET brings HEAD with it (RFC 9110, section 9.3.2: the same without a body).
fn methods(route: &Route) -> Vec<String> {
    let Some(written) = &route.methods else { return Vec::new() };
    let mut methods = written.clone();
    if methods.contains(&Method::Get) {
        methods.push(Method::Head);
    }
    methods.sort_unstable();
    methods.dedup();
    methods.iter().map(|method| method.name().to_owned()).collect()
}

fn access(route: &Route, at: Cursor<'_>, requirements: &mut Requirements, report: &mut Report) -> AccessPlan {
    let mut number = |requirement: &Requirement, at: Cursor<'_>| {
        for parameter in requirement.parameters() {
            if route.path.parameters().any(|name| name == parameter) {
                continue;
            }
            let known: Vec<&str> = route.path.parameters().collect();
            let help = match suggest::nearest(parameter, known.iter().copied()) {
                Some(name) => format!("did you mean `{{{name}}}`?"),
                None if known.is_empty() => format!("write a parameter into the path: `{{{parameter}}}`"),
                None => format!("the parameters of the path are {}", suggest::list(&known)),
            };
            let message = format!("the path `{}` has no parameter `{{{parameter}}}`", route.path);
            report.error("unknown-parameter", at.span(), message, help);
        }
        requirements.number(requirement)
    };
    let mut each = |list: &[Requirement], field: &str| -> Vec<usize> {
        list.iter().enumerate().map(|(i, r)| number(r, at.get(field).item(i))).collect()
    };
    match &route.access {
        Access::Public => AccessPlan::Public,
        Access::Authenticated => AccessPlan::Authenticated,
        Access::Permission(one) => {
            AccessPlan::Permitted { all: vec![number(one, at.get("permission"))], any: Vec::new() }
        }
        Access::All(list) => AccessPlan::Permitted { all: each(list, "all"), any: Vec::new() },
        Access::Any(list) => AccessPlan::Permitted { all: Vec::new(), any: each(list, "any") },
    }
}

fn known_limits(input: &Input<'_>, limits: &[LimitName], at: Cursor<'_>, report: &mut Report) {
    for (index, name) in limits.iter().enumerate() {
        let here = at.item(index).span();
        if !input.names.limits.contains_key(name.as_str()) {
            let known = input.names.limits.keys().map(String::as_str);
            let help = suggest::remedy(name.as_str(), known, "limits");
            report.error("unknown-limit", here, format!("there is no limit `{name}`"), help);
        }
        if limits.iter().take(index).any(|other| other == name) {
            let message = format!("the limit `{name}` is listed twice, and would be charged twice");
            report.error("listed-twice", here, message, "remove one of them");
        }
    }
}

/// The numbers of the limits that hold for a route, in the order they are charged.
fn limits(input: &Input<'_>, route: &Route, at: Cursor<'_>, report: &mut Report) -> Vec<usize> {
    let own = route.limits.as_ref();
    if let Some(own) = own {
        known_limits(input, own, at.get("limits"), report);
    }
    let names = own.unwrap_or(&input.bundle.defaults.limits);
    let mut numbers = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let found = input.bundle.limits.0.iter().enumerate().find(|(_, (known, _))| *known == name);
        let Some((number, (_, limit))) = found else { continue };
        if limit.key == LimitKey::IdentitySubject && route.access == Access::Public {
            let (here, help) = if own.is_some() {
                (at.get("limits").item(index).span(), "use a limit by `client.address`")
            } else {
                (
                    at.get("path").span(),
                    "write `limits: []` or a limit by `client.address` here: the default limit does not fit",
                )
            };
            report.error(
                "limit-without-subject",
                here,
                format!("the limit `{name}` counts by subject, and a public route has none"),
                help,
            );
        }
        numbers.push(number);
    }
    numbers
}

fn body(
    input: &Input<'_>,
    route: &Route,
    at: Cursor<'_>,
    rules: &mut Rules,
    files: &mut Files,
    report: &mut Report,
) -> usize {
    let methods = route.methods.as_deref();
    match (&route.body, &input.bundle.defaults.body) {
        (Some(OrNone::None), _) | (None, None) => NO_BODY,
        (Some(OrNone::Some(body)), _) => rules.body(body, methods, at.get("body"), files, report),
        (None, Some(body)) => {
            // What holds for routes in general is not for routes whose requests carry no body.
            let carries = methods.is_none_or(|methods| methods.iter().any(|method| method.carries_body()));
            let at = input.root().get("defaults").get("body");
            if carries { rules.body(body, methods, at, files, report) } else { NO_BODY }
        }
    }
}

fn inspection(input: &Input<'_>, route: &Route, rules: &mut Rules) -> usize {
    let everything = Inspect::default();
    let inspect = match route.inspect.as_ref().or(input.bundle.defaults.inspect.as_ref()) {
        None => Some(&everything),
        Some(OrNone::None) => None,
        Some(OrNone::Some(inspect)) => Some(inspect),
    };
    rules.inspection(inspect)
}

/// What two routes must not share: path shape, host and method. A literal beats a parameter and a rest, a
/// host in full beats a wildcard, and a route with methods beats one without; those are no doubles.
type Slot = (String, String, Option<Method>);

#[derive(Default)]
struct Table {
    slots: BTreeMap<Slot, (usize, String)>,
    names: BTreeMap<String, String>,
}

impl Table {
    fn insert(&mut self, index: usize, route: &Route, at: Cursor<'_>, report: &mut Report) {
        // In another file than this one the line says nothing without the file.
        let line = |place: &str| match (place.rsplit_once(':'), at.at().rsplit_once(':')) {
            (Some((file, line)), Some((here, _))) if file == here => format!("line {line}"),
            (Some((file, line)), _) => format!("line {line} of `{file}`"),
            _ => place.to_owned(),
        };
        let path = at.get("path").span();
        if let Some(first) = self.names.get(&label(route)).filter(|_| route.name.is_some()) {
            let message = format!("two routes are named `{}`, the first on {}", label(route), line(first));
            report.error("route-name-twice", at.get("name").span(), message, "give each a name of its own");
        }
        self.names.entry(label(route)).or_insert_with(|| at.at());
        listed_twice(route, at, report);
        let shape = shape(route);
        let any_host = [String::new()];
        let hosts: Vec<String> = route.hosts.iter().flatten().map(|host| host.as_str().to_owned()).collect();
        let hosts = if hosts.is_empty() { any_host.as_slice() } else { hosts.as_slice() };
        let methods: Vec<Option<Method>> = match &route.methods {
            None => vec![None],
            Some(methods) => {
                let head = methods.contains(&Method::Get) && !methods.contains(&Method::Head);
                methods.iter().copied().chain(head.then_some(Method::Head)).map(Some).collect()
            }
        };
        let mut reported = false;
        for host in hosts {
            for method in &methods {
                let slot = (shape.clone(), host.clone(), *method);
                match self.slots.get(&slot) {
                    Some((other, first)) if *other != index && !reported => {
                        reported = true;
                        let method = method.map_or("any method", Method::name);
                        let of = if host.is_empty() { String::new() } else { format!(" of `{host}`") };
                        report.error(
                            "route-twice",
                            path,
                            format!("{method} {}{of} has a route already, on {}", route.path, line(first)),
                            "merge the two, or tell them apart by `methods` or `hosts`",
                        );
                    }
                    Some(_) => {}
                    None => {
                        self.slots.insert(slot, (index, at.at()));
                    }
                }
            }
        }
    }
}

fn listed_twice(route: &Route, at: Cursor<'_>, report: &mut Report) {
    let methods = route.methods.as_deref().unwrap_or_default();
    for (index, method) in methods.iter().enumerate() {
        if methods.iter().take(index).any(|other| other == method) {
            let message = format!("the method {} is listed twice", method.name());
            report.error("listed-twice", at.get("methods").item(index).span(), message, "remove one of them");
        }
    }
    let hosts = route.hosts.as_deref().unwrap_or_default();
    for (index, host) in hosts.iter().enumerate() {
        if hosts.iter().take(index).any(|other| other == host) {
            let message = format!("the host `{host}` is listed twice");
            report.error("listed-twice", at.get("hosts").item(index).span(), message, "remove one of them");
        }
    }
}

/// The path without the names of its parameters: what decides which requests it matches. Literals are
/// compared as the engine compares them, so `/@` and `/%40` are one path.
fn shape(route: &Route) -> String {
    let Ok(segments) = parse_template(route.path.as_str()) else {
        // The engine refuses what it cannot read when it loads the plan, and says so.
        return route.path.as_str().to_owned();
    };
    let mut shape = String::new();
    for segment in segments {
        shape.push('/');
        match segment {
            Segment::Literal(text) => shape.push_str(&text),
            // A decoded literal may have any character but a slash: these have one.
            Segment::Parameter(_) => shape.push_str("/{}"),
            Segment::Rest(_) => shape.push_str("/{...}"),
        }
    }
    shape
}
