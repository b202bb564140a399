//! What a bundle makes of a token: the engine's own judgement, of a request that has nothing but the token to be judged.

use std::cell::RefCell;

use bartizan_compiler::compile_dir;
use bartizan_engine::authentication::plan::{
    CombinationMode, CombinationPlan, JwtPlan, MethodRef, TokenSource,
};
use bartizan_engine::host::Now;
use bartizan_engine::pipeline::{Engine, Exchange, Haste, Room, Step, Surroundings};
use bartizan_engine::plan::{AccessPlan, Plan};
use bartizan_engine::trace::Trace;
use serde_json::{Value, json};

use super::super::check::summary;
use super::super::explain::{DryHost, nobodys_secret};
use crate::output::{Screen, paint, printable, shown};

/// The plan of a bundle, or none: then it was said what is wrong with it.
pub(super) fn plan(directory: &std::path::Path, screen: &Screen) -> Option<Plan> {
    let compiled = compile_dir(directory);
    if compiled.plan.is_none() {
        screen.err(&compiled.render(screen.paints_err()));
        screen.err(&summary(&shown(directory), &compiled, false, screen.paints_err()));
    }
    compiled.plan
}

/// What becomes of a token.
#[derive(Debug)]
pub(super) struct Judgement {
    bundle: (String, u64),
    /// Issuer, subject, roles and permissions, if it is accepted.
    identity: Option<(String, String, Vec<String>, Vec<String>)>,
    /// The reason and the detail, if not.
    refusal: Option<(&'static str, String)>,
    /// What the engine looked at.
    considered: Vec<(String, String)>,
    /// Variables that the policy names and that are not set.
    unset: Vec<String>,
}

impl Judgement {
    pub(super) fn accepts(&self) -> bool {
        self.identity.is_some()
    }

    pub(super) fn json(&self) -> Value {
        let identity = self.identity.as_ref().map(|(issuer, subject, roles, permissions)| {
            json!({"issuer": issuer, "subject": subject, "roles": roles, "permissions": permissions})
        });
        let refusal =
            self.refusal.as_ref().map(|(reason, detail)| json!({"reason": reason, "detail": detail}));
        let considered: Vec<Value> =
            self.considered.iter().map(|(at, what)| json!({"at": at, "what": what})).collect();
        json!({
            "bundle": {"name": self.bundle.0, "revision": self.bundle.1}, "accepted": self.accepts(),
            "identity": identity, "refusal": refusal, "considered": considered, "unset_secrets": self.unset,
        })
    }

    pub(super) fn text(&self, colour: bool) -> String {
        let mut out = String::new();
        let (name, revision) = &self.bundle;
        match (&self.identity, &self.refusal) {
            (Some((issuer, subject, roles, permissions)), _) => {
                let head = paint(colour, "1;32", "accepted");
                out += &format!(
                    "{head} by bundle `{name}` revision {revision}: issuer `{issuer}`, subject `{}`\n",
                    printable(subject)
                );
                for (what, values) in [("roles", roles), ("permissions", permissions)] {
                    if !values.is_empty() {
                        out += &format!("  {what}: {}\n", printable(&values.join(", ")));
                    }
                }
            }
            (None, refusal) => {
                let head = paint(colour, "1;31", "refused");
                let (reason, detail) =
                    refusal.as_ref().map_or(("", ""), |(reason, detail)| (*reason, detail.as_str()));
                out += &format!(
                    "{head} by bundle `{name}` revision {revision}: {reason}: {}\n",
                    printable(detail)
                );
                for (at, what) in &self.considered {
                    out += &format!("  {at}  {}\n", printable(what));
                }
            }
        }
        for name in &self.unset {
            out += &format!("  {name} is not set here: no token of its issuer can be good\n");
        }
        out
    }
}

/// Has the engine judge a token, at a time in seconds.
pub(super) fn judge(plan: &Plan, token: &str, now: u64) -> Result<Judgement, String> {
    let Some(issuer) = issuer_of(plan, token) else {
        return Err(format!("the bundle `{}` has no issuers: it looks at no token", plan.name));
    };
    let request = request(issuer, token);
    let unset = RefCell::new(Vec::new());
    let environment = |name: &str| {
        Some(std::env::var(name).map(String::into_bytes).unwrap_or_else(|_| {
            unset.borrow_mut().push(name.to_owned());
            nobodys_secret()
        }))
    };
    let surroundings =
        Surroundings { secret: &environment, seed: [0, 0], peer_appended: false, peer_verified: true };
    let bundle = (plan.name.clone(), plan.revision);
    let mut reduced = alone(plan);
    crate::commands::explain::leave_unopened(&mut reduced);
    let mut engine = Engine::load(reduced, &surroundings).map_err(|error| error.to_string())?;
    let pairs: Vec<(&[u8], &[u8])> =
        request.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let (mut exchange, mut trace) = (Exchange::default(), Trace::on());
    let mut host = DryHost::new(std::net::Ipv4Addr::LOCALHOST.into());
    let time = Now::from_nanos(now.saturating_mul(1_000_000_000));
    // Nothing is fetched here.
    exchange.hurry(Haste::Never);
    let step = engine.request_head(&mut exchange, &pairs, true, time, &mut host, &mut trace);
    let identity = exchange.identity().map(|identity| {
        (
            identity.issuer_name().to_owned(),
            identity.subject().to_owned(),
            identity.roles().to_vec(),
            identity.permissions().to_vec(),
        )
    });
    let refusal = match step {
        Step::Refuse(refusal) if identity.is_none() => Some((refusal.reason.code(), refusal.detail.clone())),
        _ => None,
    };
    let considered = trace.into_considered().into_iter();
    let considered = considered.filter(|one| one.room == Room::Authentication);
    Ok(Judgement {
        bundle,
        identity,
        refusal,
        considered: considered.map(|one| (one.at.to_string(), one.what)).collect(),
        unset: unset.take(),
    })
}

/// The issuer that a token names, or the first: to be refused by it.
fn issuer_of<'p>(plan: &'p Plan, token: &str) -> Option<&'p JwtPlan> {
    let claims = super::inspect::part(token, 1);
    let iss = claims.as_ref().and_then(|claims| claims.get("iss")).and_then(Value::as_str);
    let issuers = &plan.authentication.jwt;
    issuers.iter().find(|issuer| Some(issuer.issuer.as_str()) == iss).or_else(|| issuers.first())
}

/// A request with the token where its issuer's tokens may be.
fn request(issuer: &JwtPlan, token: &str) -> Vec<(String, String)> {
    let mut path = "/".to_owned();
    let mut header = None;
    match issuer.from.first() {
        Some(TokenSource::Header { name, scheme: Some(scheme) }) => {
            header = Some((name.clone(), format!("{scheme} {token}")));
        }
        Some(TokenSource::Header { name, scheme: None }) => header = Some((name.clone(), token.to_owned())),
        Some(TokenSource::Cookie { name }) => header = Some(("cookie".to_owned(), format!("{name}={token}"))),
        Some(TokenSource::Query { name }) => path = format!("/?{name}={token}"),
        None => {}
    }
    let mut pairs = vec![
        (":method".to_owned(), "GET".to_owned()),
        (":scheme".to_owned(), "https".to_owned()),
        (":path".to_owned(), path),
        (":authority".to_owned(), "token.invalid".to_owned()),
    ];
    pairs.extend(header);
    pairs
}

/// The plan with one route that asks for a token and nothing else: no address, no budget and no host may come between.
fn alone(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.network.trusted_hops = 0;
    plan.network.deny.clear();
    plan.network.allow.clear();
    plan.limits.clear();
    plan.authentication.totp.clear();
    plan.authentication.step_up.clear();
    // The first route may be public, or take other methods.
    let methods = (0..plan.authentication.jwt.len()).map(MethodRef::Jwt).collect();
    plan.authentication.combinations = vec![CombinationPlan { mode: CombinationMode::Any, methods }];
    plan.routes.truncate(1);
    for route in &mut plan.routes {
        "/".clone_into(&mut route.path);
        route.methods.clear();
        route.hosts.clear();
        route.limits.clear();
        route.authentication = Some(0);
        route.step_up = None;
        route.access = AccessPlan::Authenticated;
    }
    plan
}
