//! What every route of a part is held to: the floor that the bundle's defaults are, and every route of the bundle from
//! which it would take requests.

use std::collections::BTreeSet;

use bartizan_engine::intake::routes::Segment;
use bartizan_spec::authentication::Accepted;
use bartizan_spec::authorization::Access;
use bartizan_spec::bundle::Bundle;
use bartizan_spec::forms::OrNone;
use bartizan_spec::parts::{Allowance, PartOfBundle};
use bartizan_spec::routes::{Method, Route};
use bartizan_spec::text::{Host, LimitName, Requirement};
use bartizan_spec::validation::{Body, Inspect, Place};

use super::bodies::Said;
use super::roots::{hosts, hosts_meet, segments};
use super::route as place;
use crate::diagnostic::Report;
use crate::translate::label;
use crate::yaml::Cursor;

/// What holds for parts.
pub(super) struct Rules {
    /// Those of the defaults.
    limits: Vec<LimitName>,
    authentication: Option<Accepted>,
    /// All of the bundle.
    defined: BTreeSet<LimitName>,
    inspect: Inspect,
    body: Option<Body>,
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
    /// What was said of its bodies; nothing leaves them to the part.
    body: Option<Said>,
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
            body: Said::of(route, bundle.defaults.body.as_ref()),
        };
        let routes = bundle.routes.iter().enumerate().map(known).collect();
        let defaults = &bundle.defaults;
        let defined = bundle.limits.0.keys().cloned().collect();
        Self {
            limits: defaults.limits.clone(),
            authentication: defaults.authentication.clone(),
            defined,
            inspect,
            body: defaults.body.clone(),
            routes,
        }
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
        if route.authentication.is_some() {
            report.error(
                "part-loosens",
                at.get("authentication").key(),
                format!("the part `{name}` may not choose by which methods somebody is known"),
                "leave it out: the `defaults` of the bundle say it for all parts",
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
        let said = Said::of(route, self.body.as_ref()).unwrap_or(Said::NOTHING);
        if let Some(body) = said.body.as_ref().filter(|body| body.max_size > part.max_body) {
            let (here, help) = match said.by_default {
                true => (place(at), "write a smaller `body` than that of the defaults here"),
                false => (at.get("body").get("max_size").span(), "lower `max_size`"),
            };
            report.error(
                "part-loosens",
                here,
                format!(
                    "the part `{name}` may accept bodies of {}, and no larger ones; this route takes {}",
                    part.max_body, body.max_size
                ),
                format!("{help}, or have the bundle raise `max_body` for this part"),
            );
        }
        if let Some(OrNone::Some(body)) = &route.body {
            let body_at = at.get("body");
            if inspects_bodies(&self.inspect) && !body.opaque.is_empty() && !allows(Allowance::Opaque) {
                report.error(
                    "part-loosens",
                    body_at.key_of("opaque"),
                    format!("the part `{name}` may not pass on bodies unread"),
                    "accept `json` or `form`, which are inspected; or have the bundle write `allow: [opaque]` for this part",
                );
            }
        }
        if !allows(Allowance::Opaque) {
            only_json(name.as_str(), route, at, report);
        }
        self.limits_of_the_bundle(part, route, at, report);
        self.against_routes(part, route, &Judged { inspect, body: said }, at, report);
    }

    /// A part spends the budgets of the bundle where the bundle would have, and nowhere else: whoever empties one from
    /// a route of his own shuts out those who need it elsewhere.
    fn limits_of_the_bundle(&self, part: &PartOfBundle, route: &Route, at: Cursor<'_>, report: &mut Report) {
        let (path, own) = (comparable(route.path.as_str()), hosts_of(part, route));
        for (index, name) in route.limits.iter().flatten().enumerate() {
            let given =
                self.limits.contains(name) || part.limits.contains(name) || !self.defined.contains(name);
            let there = |known: &Known| known.limits.contains(name) && known.takes_from(&path, own, route);
            if !given && !self.routes.iter().any(there) {
                report.error(
                    "part-names",
                    at.get("limits").item(index).span(),
                    format!("the part `{}` may not spend the limit `{name}` of the bundle", part.name),
                    format!(
                        "use a limit of this part: `{}/...`; or have the bundle write `limits: [{name}]` for this part",
                        part.name
                    ),
                );
            }
        }
    }

    /// A route of a part beats a less specific one of the bundle; it must not let through whom that one refuses.
    fn against_routes(
        &self,
        part: &PartOfBundle,
        route: &Route,
        judged: &Judged,
        at: Cursor<'_>,
        report: &mut Report,
    ) {
        let path = comparable(route.path.as_str());
        let own = hosts_of(part, route);
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
            // A part takes what the defaults say, and never names methods itself.
            if known.route.access != Access::Public
                && known
                    .route
                    .authentication
                    .as_ref()
                    .is_some_and(|own| Some(own) != self.authentication.as_ref())
            {
                less.push("the methods by which it knows somebody".to_owned());
            }
            // A part may ask for more of an identity, and never for less.
            if known.route.step_up.is_some() && known.route.step_up != route.step_up {
                less.push("what it asks under `step_up`".to_owned());
            }
            let missing = known.limits.iter().filter(|limit| !limits.contains(limit));
            less.extend(missing.map(|limit| format!("the limit `{limit}`")));
            if !inspects(&judged.inspect, &known.inspect) {
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
            let less = known.body_loosened(part, judged);
            if !less.is_empty() {
                let body = at.get("body");
                report.error(
                    "part-loosens",
                    if body.node().is_some() { body.key() } else { place(at) },
                    format!(
                        "`{}` takes requests from the route `{}` of the bundle ({}), and takes bodies that this one refuses: \
                         it leaves out {}",
                        label(route),
                        known.label,
                        known.at,
                        less.iter().take(4).cloned().collect::<Vec<_>>().join(", ")
                    ),
                    "take no more than the route of the bundle takes; where that has a schema, leave its requests to it, \
                     as a part cannot name the same file",
                );
                return;
            }
        }
    }
}

fn hosts_of<'r>(part: &'r PartOfBundle, route: &'r Route) -> &'r [Host] {
    if route.hosts.is_some() { hosts(&route.hosts) } else { hosts(&part.root.hosts) }
}

/// What is read as JSON is JSON for the application too: the text of a form in a JSON string, say, is found by nobody.
fn only_json(part: &str, route: &Route, at: Cursor<'_>, report: &mut Report) {
    let Some(OrNone::Some(Body { json: Some(json), .. })) = &route.body else { return };
    for (index, name) in json.types.iter().enumerate() {
        let sub = name.as_str().split_once('/').map_or("", |(_, sub)| sub);
        if sub != "json" && !sub.ends_with("+json") {
            report.error(
                "part-loosens",
                at.get("body").get("json").get("types").item(index).span(),
                format!(
                    "the part `{part}` may not have `{name}` read as JSON, as applications read it otherwise"
                ),
                "name types such as `application/json` and `application/*+json`; forms go under `form`; \
                 or have the bundle write `allow: [opaque]` for this part",
            );
        }
    }
}

fn words(list: &[Requirement], between: &str) -> String {
    list.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(between)
}

/// What holds for a route of a part in the end.
struct Judged {
    inspect: Inspect,
    body: Said,
}

impl Known {
    /// What this route asks of bodies, and the one of the part does not.
    fn body_loosened(&self, part: &PartOfBundle, judged: &Judged) -> Vec<String> {
        let Some(said) = &self.body else {
            let own = judged.body.body.as_ref().filter(|_| !judged.body.by_default);
            let unread = own.is_some_and(|body| !body.opaque.is_empty()) && inspects_bodies(&self.inspect);
            let allowed = part.allow.contains(&Allowance::Opaque);
            return if unread && !allowed { vec!["that bodies are read".to_owned()] } else { Vec::new() };
        };
        judged.body.leaves_out(said)
    }

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

fn inspects_bodies(inspect: &Inspect) -> bool {
    !inspect.attacks.is_empty() && inspect.places.contains(&Place::Body)
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
