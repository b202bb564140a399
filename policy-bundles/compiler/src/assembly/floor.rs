//! What every route of a part is held to: the floor that the bundle's defaults are, and every route of the bundle from
//! which it would take requests.

use bartizan_engine::intake::routes::Segment;
use bartizan_spec::authorization::Access;
use bartizan_spec::bundle::Bundle;
use bartizan_spec::forms::OrNone;
use bartizan_spec::parts::{Allowance, PartOfBundle};
use bartizan_spec::routes::{Method, Route};
use bartizan_spec::text::{Host, LimitName, Requirement};
use bartizan_spec::validation::{Inspect, Place};

use super::roots::{hosts, hosts_meet, segments};
use super::route as place;
use crate::diagnostic::Report;
use crate::translate::label;
use crate::yaml::Cursor;

/// What holds for parts.
pub(super) struct Rules {
    limits: Vec<LimitName>,
    inspect: Inspect,
    routes: Vec<Known>,
}

/// A route of the bundle itself.
struct Known {
    label: String,
    at: String,
    path: Vec<Segment>,
    route: Route,
    limits: Vec<LimitName>,
    inspect: Inspect,
}

impl Rules {
    pub(super) fn of(bundle: &Bundle, at: Cursor<'_>) -> Self {
        let inspect = inspected(bundle.defaults.inspect.as_ref(), &Inspect::default());
        let known = |(index, route): (usize, &Route)| Known {
            label: label(route),
            at: at.get("routes").item(index).at(),
            path: comparable(route.path.as_str()),
            route: route.clone(),
            limits: route.limits.clone().unwrap_or_else(|| bundle.defaults.limits.clone()),
            inspect: inspected(route.inspect.as_ref(), &inspect),
        };
        let routes = bundle.routes.iter().enumerate().map(known).collect();
        Self { limits: bundle.defaults.limits.clone(), inspect, routes }
    }

    /// Reports where a route of a part asks for less than it must.
    pub(super) fn check(&self, part: &PartOfBundle, route: &Route, at: Cursor<'_>, report: &mut Report) {
        let allows = |what| part.allow.contains(&what);
        let name = &part.name;
        if route.access == Access::Public && !allows(Allowance::Public) {
            report.error(
                "part-loosens",
                at.get("access").span(),
                format!("the part `{name}` may not have public routes"),
                "ask for a token: `access: authenticated`; or have the bundle write `allow: [public]` for this part",
            );
        }
        let inspect = inspected(route.inspect.as_ref(), &self.inspect);
        if !inspects(&inspect, &self.inspect) && !allows(Allowance::Uninspected) {
            report.error(
                "part-loosens",
                at.get("inspect").span(),
                format!("the part `{name}` may not inspect less than the defaults of the bundle"),
                "leave out `inspect`, or list at least what the bundle lists; or have the bundle write `allow: [uninspected]`",
            );
        }
        if let Some(OrNone::Some(body)) = &route.body {
            let body_at = at.get("body");
            if body.max_size > part.max_body {
                report.error(
                    "part-loosens",
                    body_at.get("max_size").span(),
                    format!("the part `{name}` may accept bodies of {}, and no larger ones", part.max_body),
                    "lower `max_size`, or have the bundle raise `max_body` for this part",
                );
            }
            let read = !self.inspect.attacks.is_empty() && self.inspect.places.contains(&Place::Body);
            if read && !body.opaque.is_empty() && !allows(Allowance::Opaque) {
                report.error(
                    "part-loosens",
                    body_at.key_of("opaque"),
                    format!("the part `{name}` may not pass on bodies unread"),
                    "accept `json` or `form`, which are inspected; or have the bundle write `allow: [opaque]` for this part",
                );
            }
        }
        self.against_routes(part, route, &inspect, at, report);
    }

    /// A route of a part beats a less specific one of the bundle; it must not let through whom that one refuses.
    fn against_routes(
        &self,
        part: &PartOfBundle,
        route: &Route,
        inspect: &Inspect,
        at: Cursor<'_>,
        report: &mut Report,
    ) {
        let path = comparable(route.path.as_str());
        let own = if route.hosts.is_some() { hosts(&route.hosts) } else { hosts(&part.root.hosts) };
        let limits: Vec<&LimitName> = self.limits.iter().chain(route.limits.iter().flatten()).collect();
        for known in self.routes.iter().filter(|known| known.takes_from(&path, own, route)) {
            let mut less = Vec::new();
            if !asks_at_least(&route.access, &known.route.access) {
                less.push(match &known.route.access {
                    Access::Public | Access::Authenticated => "a token".to_owned(),
                    Access::Permission(one) => format!("`{one}`"),
                    Access::All(list) => words(list, " and "),
                    Access::Any(list) => words(list, " or "),
                });
            }
            let missing = known.limits.iter().filter(|limit| !limits.contains(limit));
            less.extend(missing.map(|limit| format!("the limit `{limit}`")));
            if !inspects(inspect, &known.inspect) {
                less.push("its inspection".to_owned());
            }
            if !less.is_empty() {
                report.error(
                    "part-loosens",
                    place(at),
                    format!(
                        "`{}` takes requests from the route `{}` of the bundle ({}), and leaves out {}",
                        label(route),
                        known.label,
                        known.at,
                        less.join(", ")
                    ),
                    "ask for all that the route of the bundle asks for, or have the bundle narrow its route",
                );
                // One such route shows what is meant.
                return;
            }
        }
    }
}

fn words(list: &[Requirement], between: &str) -> String {
    list.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(between)
}

impl Known {
    /// Whether there is a request that this route and the other one take.
    fn takes_from(&self, path: &[Segment], other_hosts: &[Host], other: &Route) -> bool {
        meet(&self.path, path)
            && hosts_meet(hosts(&self.route.hosts), other_hosts)
            && methods_meet(self.route.methods.as_deref(), other.methods.as_deref())
    }
}

/// A path as servers may compare it: without case, and without a slash at its end.
fn comparable(path: &str) -> Vec<Segment> {
    let mut segments: Vec<Segment> = segments(path)
        .into_iter()
        .map(|segment| match segment {
            Segment::Literal(text) => Segment::Literal(text.to_lowercase()),
            other => other,
        })
        .collect();
    if segments.last() == Some(&Segment::Literal(String::new())) {
        segments.pop();
    }
    segments
}

/// Whether there is a path that both templates match.
fn meet(a: &[Segment], b: &[Segment]) -> bool {
    match (a, b) {
        ([], []) => true,
        // A rest takes one segment or more, and the slash at the end of a path is one, which was taken away.
        ([Segment::Rest(_)], _) | (_, [Segment::Rest(_)]) => true,
        ([Segment::Literal(a), rest_a @ ..], [Segment::Literal(b), rest_b @ ..]) => {
            a == b && meet(rest_a, rest_b)
        }
        ([_, rest_a @ ..], [_, rest_b @ ..]) => meet(rest_a, rest_b),
        _ => false,
    }
}

fn methods_meet(a: Option<&[Method]>, b: Option<&[Method]>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    // GET brings HEAD with it.
    let takes = |list: &[Method], method: &Method| {
        list.contains(method) || (*method == Method::Head && list.contains(&Method::Get))
    };
    a.iter().any(|method| takes(b, method)) || b.iter().any(|method| takes(a, method))
}

/// Whether whoever passes the first would pass the second. A parameter in a permission means something else in another
/// path, so what has one is never met by anything.
fn asks_at_least(mine: &Access, theirs: &Access) -> bool {
    let plain = |list: &[Requirement]| list.iter().all(|one| one.parameters().is_empty());
    let all = match mine {
        Access::Permission(one) => std::slice::from_ref(one),
        Access::All(list) => list.as_slice(),
        Access::Public | Access::Authenticated | Access::Any(_) => &[],
    };
    match theirs {
        Access::Public => true,
        Access::Authenticated => *mine != Access::Public,
        Access::Permission(one) => plain(std::slice::from_ref(one)) && all.contains(one),
        Access::All(list) => plain(list) && list.iter().all(|one| all.contains(one)),
        Access::Any(list) => {
            let any = match mine {
                Access::Any(any) => any.iter().all(|one| list.contains(one)),
                _ => list.iter().any(|one| all.contains(one)),
            };
            plain(list) && any
        }
    }
}

/// What is inspected in the end.
fn inspected(own: Option<&OrNone<Inspect>>, otherwise: &Inspect) -> Inspect {
    match own {
        None => otherwise.clone(),
        Some(OrNone::None) => Inspect { attacks: Vec::new(), places: Vec::new(), headers: Vec::new() },
        Some(OrNone::Some(inspect)) => inspect.clone(),
    }
}

/// Whether the first finds all that the second finds.
fn inspects(mine: &Inspect, theirs: &Inspect) -> bool {
    let nothing = theirs.attacks.is_empty() || theirs.places.is_empty();
    let headers = !theirs.places.contains(&Place::Headers)
        || theirs.headers.iter().all(|header| mine.headers.contains(header));
    nothing
        || (theirs.attacks.iter().all(|attack| mine.attacks.contains(attack))
            && theirs.places.iter().all(|place| mine.places.contains(place))
            && headers)
}
