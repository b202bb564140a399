//! The rooms a request walks through, in order. Read this file first.
//!
//! ```text
//! intake ▶ network ▶ limits (address) ▶ authentication ▶ limits (subject, everybody) ▶ authorization ▶ validation ▶ headers
//! ```
//!
//! Each room takes the proof of the one before it and returns its own; the proofs cannot be made anywhere
//! else, so the rooms cannot be put in another order by mistake. What refuses cheaply comes first: an
//! address without budget never reaches cryptography. What is used up comes last: the code of a second factor is
//! judged once nothing else of the head can refuse the request.
//!
//! The host drives an [`Exchange`] through [`Engine::request_head`], and [`Engine::request_body`] for as long
//! as the step says so, and asks [`Engine::response_edits`] what to change on whatever answer goes out.

mod editing;
mod feeding;
mod route;

use crate::authentication::{Authenticator, Identity, Known, fetchers};
use crate::authorization::{Authorization, Authorized};
use crate::feeds::Fetcher;
use crate::headers::{Aliases, Edit, HeaderEdits, OTHER_HOSTS, OTHER_PATHS};
use crate::host::{Host, Now};
use crate::intake::plan::IntakePlan;
use crate::intake::request::{Headers, Request};
use crate::intake::routes::{Found, Routes};
use crate::intake::{Admission, admit};
use crate::limits::{AddressCharged, Ledger, Limits, Principal, Told};
use crate::network::Network;
use crate::plan::{Plan, PlanError, RoutePlan};
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::trace::{Finding, Trace};
use crate::validation::body::{BodyDuty, Validator};
use crate::validation::inspect::inspect_request;
use crate::validation::plan::InspectionPlan;
pub use feeding::{Haste, Meanwhile, Missing, Wait};

use feeding::{Halt, with_content};
use route::{Route, check_combination, check_route, parameters};

/// A room of the pipeline, in the order a request meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Bytes become one request with one meaning.
    Intake,
    /// The client address is found and judged.
    Network,
    /// Budgets are charged: by address before authentication, by subject after it.
    Limits,
    /// The token is checked.
    Authentication,
    /// Roles and permissions are compared with what the route asks.
    Authorization,
    /// Path, query, headers and body are inspected and checked against their schema.
    Validation,
    /// Headers are edited.
    Headers,
}

impl Room {
    /// The room's name, as its folder is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Network => "network",
            Self::Limits => "limits",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::Validation => "validation",
            Self::Headers => "headers",
        }
    }
}

/// What the host does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Let it through, with the edits of [`Exchange::take_edits`] if they were not made yet. If a body
    /// follows, it is to be announced to [`Engine::request_body`] as it comes.
    Continue,
    /// Keep headers and body back, and call [`Engine::request_body`] with what is there as it grows.
    Hold,
    /// Keep headers and body back, and judge the same headers again later.
    Wait(Wait),
    /// Answer with this; nothing may reach upstream.
    Refuse(Box<Refusal>),
}

/// The state of one request, from headers to response.
#[derive(Debug, Default)]
pub struct Exchange {
    route: Option<usize>,
    known: Option<Known>,
    /// The address has paid: a request that is judged again pays once.
    charged: Option<AddressCharged>,
    /// Why it does not wait, if it does not.
    haste: Option<Haste>,
    told: Told,
    edits: Vec<Edit>,
    duty: Duty,
}

/// What is still to be done about the body.
#[derive(Debug, Default)]
enum Duty {
    /// The headers were not judged yet: a body must not overtake them.
    #[default]
    Unjudged,
    /// The headers wait, and this is what will be done about the body if they are let through; so many bytes were counted.
    Awaited(BodyDuty, u64),
    /// The body is judged by this; so many bytes were counted.
    Body(BodyDuty, u64),
    /// Judged and let through.
    Done,
    /// Refused: nothing that comes later changes that.
    Refused,
}

impl Exchange {
    /// The edits for upstream, once; the second call returns none.
    pub fn take_edits(&mut self) -> Vec<Edit> {
        std::mem::take(&mut self.edits)
    }

    /// Who the request comes from, once that is known.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.known.as_ref().map(|known| &*known.identity)
    }

    /// The index of the route, once it is known.
    #[must_use]
    pub fn route(&self) -> Option<usize> {
        self.route
    }
}

/// What the engine needs from where it runs, once.
pub struct Surroundings<'a> {
    /// The value of an environment variable, for secrets that a plan names.
    pub secret: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// A secret number that all workers share: it spreads keys over the slots of limits.
    pub seed: [u64; 2],
    /// Whether the proxy appends the peer of the connection to `x-forwarded-for` before the engine sees it.
    pub peer_appended: bool,
    /// Whether the proxy verifies who issued the certificates of its clients, and takes no other connection.
    pub peer_verified: bool,
}

/// A plan, loaded and ready. One per worker; it is not shared between threads.
#[derive(Debug)]
pub struct Engine {
    name: String,
    revision: u64,
    intake: IntakePlan,
    routes: Routes,
    table: Vec<Route>,
    network: Network,
    limits: Limits,
    authenticator: Authenticator,
    feeds: Vec<Fetcher>,
    authorization: Authorization,
    validator: Validator,
    inspections: Vec<InspectionPlan>,
    headers: HeaderEdits,
    aliases: Aliases,
}

impl Engine {
    /// Loads a plan, checking every index, bound and pattern in it: nothing is checked again later.
    ///
    /// # Errors
    /// The first thing that is wrong. Whatever was loaded before stays in force.
    pub fn load(plan: Plan, surroundings: &Surroundings<'_>) -> Result<Self, PlanError> {
        let limits = Limits::load(&plan.limits, surroundings.seed)?;
        let authenticator = Authenticator::load(&plan.authentication, &plan.name, surroundings)?;
        let authorization = Authorization::load(&plan.authorization)?;
        let validator = Validator::load(&plan.validation)?;
        let by_host = plan.network.trusted_hops == 0 && plan.routes.iter().any(|r| !r.hosts.is_empty());
        let misleading = OTHER_PATHS.iter().chain(OTHER_HOSTS.iter().filter(|_| by_host)).copied();
        let spoofable = authenticator.identity_headers().iter().map(String::as_str).chain(misleading);
        let headers = HeaderEdits::load(&plan.headers, spoofable)?;
        let inspected = plan.validation.inspections.iter().flat_map(|i| &i.headers).map(String::as_str);
        let aliases = Aliases::of(headers.named().chain(authenticator.credential_headers()).chain(inspected));
        let routes = Routes::build(&plan.routes)?;
        let mut table = Vec::with_capacity(plan.routes.len());
        for (index, mut route) in plan.routes.into_iter().enumerate() {
            let place = format!("routes[{index}]");
            let parameters =
                parameters(&route.path).map_err(|e| PlanError::new(format!("{place}.path"), e))?;
            check_route(&route, &place, &parameters, &limits, &authorization)?;
            check_combination(&route, &place, &authenticator)?;
            for (field, value, known) in [
                ("body", route.body, validator.bodies()),
                ("inspection", route.inspection, plan.validation.inspections.len()),
            ] {
                if value >= known {
                    return Err(PlanError::new(
                        format!("{place}.{field}"),
                        format!("there is no {field} {value}"),
                    ));
                }
            }
            limits.order(&mut route.limits);
            let needs_address = limits.need_address(&route.limits);
            table.push(Route { plan: route, parameters, needs_address });
        }
        Ok(Self {
            name: plan.name,
            revision: plan.revision,
            intake: plan.intake,
            routes,
            table,
            network: Network::load(&plan.network, surroundings.peer_appended)?,
            limits,
            authenticator,
            feeds: fetchers(&plan.authentication)?,
            authorization,
            validator,
            inspections: plan.validation.inspections,
            headers,
            aliases,
        })
    }

    /// Name of the bundle.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Revision of the bundle.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Judges a request by its headers, or judges them again if it had to wait. `headers` has the pseudo-headers too;
    /// `end_of_stream` says that no body and no trailers follow.
    pub fn request_head(
        &mut self,
        exchange: &mut Exchange,
        headers: &[(&[u8], &[u8])],
        end_of_stream: bool,
        now: Now,
        host: &mut dyn Host,
        trace: &mut Trace,
    ) -> Step {
        match self.judge_head(exchange, Headers::new(headers), end_of_stream, now, host, trace) {
            Ok(duty) => {
                let step = if matches!(duty, BodyDuty::Hold { .. }) { Step::Hold } else { Step::Continue };
                exchange.duty = Duty::Body(duty, 0);
                step
            }
            Err(Halt::Wait(wait)) => Step::Wait(wait),
            Err(Halt::Refuse(refusal)) => refuse(exchange, refusal),
        }
    }

    /// The way of a request. This function is the list of rooms.
    fn judge_head(
        &mut self,
        exchange: &mut Exchange,
        headers: Headers<'_>,
        end_of_stream: bool,
        now: Now,
        host: &mut dyn Host,
        trace: &mut Trace,
    ) -> Result<BodyDuty, Halt> {
        let Admission { request, new_path, new_authority } = admit(&self.intake, headers)?;
        let found = self.routes.find(request.method(), request.host(), request.path());
        trace.note(Room::Intake, "", || {
            format!("{} {} on {}", request.method(), request.path(), request.host())
        });

        let index = match found {
            Found::Route(index) => Some(index),
            _ => None,
        };
        let route = index.and_then(|i| self.table.get(i));
        let placed = self.network.place(&request, route.is_some_and(|r| r.needs_address), host, trace)?;
        let route = route.ok_or_else(|| no_route(found, trace))?;
        let plan = &route.plan;
        exchange.route = index;
        let number = index.unwrap_or_default();
        trace.found(
            Room::Intake,
            &plan.at,
            || Finding::Route(number),
            || format!("the route is `{}`", plan.id),
        );

        let charged = match exchange.charged.take() {
            Some(charged) => charged,
            None => self.limits.charge_address(
                &placed,
                &plan.limits,
                Ledger { now, host, told: &mut exchange.told, trace },
            )?,
        };

        exchange.known = match plan.authentication {
            None => None,
            Some(combination) => {
                let mut ask = |authenticator: &mut Authenticator, host: &mut dyn Host| {
                    authenticator.authenticate(combination, &request, &charged, now, host, trace)
                };
                let known = with_content(
                    &mut self.feeds,
                    &mut self.authenticator,
                    host,
                    now,
                    exchange.haste,
                    &mut ask,
                );
                match known {
                    Err(Halt::Wait(wait)) => {
                        let duty = self.expect(plan, &request, end_of_stream)?;
                        exchange.duty = Duty::Awaited(duty, 0);
                        exchange.charged = Some(charged);
                        return Err(Halt::Wait(wait));
                    }
                    known => known?,
                }
            }
        };
        let known = exchange.known.as_ref();
        let identity = known.map(|known| &*known.identity);

        let subject =
            identity.map(|i| Principal { issuer: i.issuer_name(), subject: i.subject(), key: &i.key });
        let charged = self.limits.charge_subject(
            &charged,
            &plan.limits,
            subject,
            Ledger { now, host, told: &mut exchange.told, trace },
        )?;

        if let Some(step_up) = plan.step_up {
            self.authenticator.step_up(step_up, known, now, trace)?;
        }

        let authorization = &self.authorization;
        let grants =
            identity.map(|i| i.grants.get_or_init(|| authorization.grants(i.roles(), i.permissions())));
        let parameter = |name: &str| route.parameter(name, request.path());
        #[cfg(feature = "explain")]
        if let Some(identity) = identity {
            authorization.tell_grants(&plan.access, identity, parameter, trace);
        }
        let authorized =
            authorization.authorize(&charged, &plan.access, grants, &plan.at, parameter, trace)?;

        let duty = self.validate(&authorized, plan, &request, end_of_stream, trace)?;
        let duty = duty.under(known.and_then(Known::body))?;
        // A code works once, so nothing that is known of the head may refuse the request after it.
        if let Some(step_up) = plan.step_up {
            self.authenticator.second_factor(step_up, known, &request, now, host, trace)?;
        }
        self.edit(&request, new_path, new_authority, known, &mut exchange.edits);
        Ok(duty)
    }

    fn validate(
        &self,
        _: &Authorized,
        route: &RoutePlan,
        request: &Request<'_>,
        end_of_stream: bool,
        trace: &mut Trace,
    ) -> Result<BodyDuty, Refusal> {
        let Some(inspection) = self.inspections.get(route.inspection) else {
            return Err(Refusal::new(Reason::NoPolicy, "the route's inspection is not there"));
        };
        inspect_request(inspection, request, trace)?;
        self.validator.head(route.body, route.inspection, request.headers(), end_of_stream, trace)
    }

    /// Judges the body as it comes. While a body is held, `size` is what has come so far in all and `bytes`
    /// gives it; when it passes as it comes, `size` is what came just now. `end` says that it is complete.
    pub fn request_body(
        &self,
        exchange: &mut Exchange,
        size: u64,
        end: bool,
        bytes: &mut dyn FnMut() -> Option<Vec<u8>>,
        trace: &mut Trace,
    ) -> Step {
        let Duty::Body(duty, counted) = &mut exchange.duty else { return late(exchange) };
        let held = matches!(duty, BodyDuty::Hold { .. });
        *counted = if held { size } else { counted.saturating_add(size) };
        if end {
            return self.end(exchange, bytes, trace);
        }
        match self.validator.size(duty, *counted, false) {
            Err(refusal) => refuse(exchange, refusal),
            Ok(()) if held => Step::Hold,
            Ok(()) => Step::Continue,
        }
    }

    /// Judges the body once trailers have come: a body that trailers follow never says that it ends. The
    /// trailers themselves are not judged, so the host drops them.
    pub fn request_trailers(
        &self,
        exchange: &mut Exchange,
        bytes: &mut dyn FnMut() -> Option<Vec<u8>>,
        trace: &mut Trace,
    ) -> Step {
        match exchange.duty {
            Duty::Body(..) => self.end(exchange, bytes, trace),
            _ => late(exchange),
        }
    }

    fn end(
        &self,
        exchange: &mut Exchange,
        bytes: &mut dyn FnMut() -> Option<Vec<u8>>,
        trace: &mut Trace,
    ) -> Step {
        let judged = match &exchange.duty {
            Duty::Body(duty @ BodyDuty::Hold { .. }, _) => match bytes() {
                Some(bytes) => {
                    let digest = exchange.known.as_ref().and_then(Known::body);
                    self.validator.body(duty, digest, &bytes, trace)
                }
                None => Err(Refusal::new(Reason::BodyMalformed, "the proxy lost the body")),
            },
            Duty::Body(duty, counted) => self.validator.size(duty, *counted, true),
            _ => return late(exchange),
        };
        match judged {
            Err(refusal) => refuse(exchange, refusal),
            Ok(()) => {
                exchange.duty = Duty::Done;
                Step::Continue
            }
        }
    }

    /// What to change on the response, whoever made it: upstream, the proxy, or a refusal of ours.
    pub fn response_edits(&self, exchange: &Exchange, make: &mut dyn FnMut(Edit<&str>)) {
        self.headers.response().iter().for_each(|edit| make(edit.borrowed()));
        exchange.told.tell(make);
    }

    /// The name and place of the route at an index, for people.
    #[must_use]
    pub fn route_name(&self, index: usize) -> Option<(&str, &str)> {
        self.table.get(index).map(|r| (r.plan.id.as_str(), r.plan.at.as_str()))
    }
}

/// What happens to a part of a body that nobody waits for.
fn late(exchange: &mut Exchange) -> Step {
    match exchange.duty {
        Duty::Done => Step::Continue,
        _ => refuse(
            exchange,
            Refusal::new(Reason::BodyMalformed, "a body came for a request that was not admitted"),
        ),
    }
}

fn refuse(exchange: &mut Exchange, refusal: Refusal) -> Step {
    exchange.duty = Duty::Refused;
    exchange.edits.clear();
    Step::Refuse(Box::new(refusal))
}

fn no_route(found: Found, trace: &mut Trace) -> Refusal {
    match found {
        Found::OtherMethods(allow) => {
            trace.note(Room::Intake, "", || format!("the path takes {allow}"));
            Refusal::new(Reason::MethodNotAllowed, format!("the path takes {allow}"))
                .with_header("allow", allow)
        }
        Found::Shadowed => {
            let why = "but for a slash at its end the path belongs to a stricter route than the catch-all";
            trace.note(Room::Intake, "", || why.into());
            Refusal::new(Reason::RouteUnknown, why)
        }
        Found::Route(_) | Found::Nothing => {
            trace.note(Room::Intake, "", || "no route matches".into());
            Refusal::new(Reason::RouteUnknown, "no route matches")
        }
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
