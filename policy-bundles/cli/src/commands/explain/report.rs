//! An explanation, for people and for programs.

use std::fmt::Write;

use bartizan_cases::wire::Wire;
use bartizan_engine::headers::Edit;
use bartizan_engine::pipeline::{Engine, Exchange, Step};
use bartizan_engine::refusal::Refusal;
use bartizan_engine::trace::{Consideration, Trace};
use serde_json::{Value, json};

use crate::output::{paint, printable};

/// Everything that is to be said about one request.
#[derive(Debug)]
pub(super) struct Explanation {
    bundle: (String, u64),
    request: String,
    peer: String,
    route: Option<(String, String)>,
    identity: Option<Value>,
    considered: Vec<Consideration>,
    refusal: Option<Box<Refusal>>,
    upstream: Vec<String>,
    response: Vec<String>,
    /// Whether test keys stood in for those of the issuers.
    pub(super) test_keys: bool,
    /// Environment variables that the policy names and that are not set.
    pub(super) unset: Vec<String>,
    /// How many routes the bundle has.
    pub(super) routes: usize,
}

impl Explanation {
    pub(super) fn new(
        engine: &Engine,
        wire: &Wire,
        exchange: &mut Exchange,
        step: Step,
        trace: Trace,
    ) -> Self {
        let host = wire.host.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let path = String::from_utf8_lossy(&wire.path).into_owned();
        let route = exchange.route().and_then(|index| engine.route_name(index));
        let identity = exchange.identity().map(|identity| {
            json!({
                "issuer": identity.issuer_name(),
                "subject": identity.subject(),
                "roles": identity.roles(),
                "permissions": identity.permissions(),
            })
        });
        let mut response = Vec::new();
        engine.response_edits(exchange, &mut |edit| response.push(written(edit)));
        let refusal = match step {
            Step::Refuse(refusal) => Some(refusal),
            Step::Continue | Step::Hold | Step::Wait(_) => None,
        };
        Self {
            bundle: (engine.name().to_owned(), engine.revision()),
            request: format!("{} {path} on {host}", wire.method),
            peer: wire.peer.to_string(),
            route: route.map(|(id, at)| (id.to_owned(), at.to_owned())),
            identity,
            considered: trace.into_considered(),
            upstream: if refusal.is_some() {
                Vec::new()
            } else {
                exchange.take_edits().iter().map(|edit| written(edit.borrowed())).collect()
            },
            refusal,
            response,
            test_keys: false,
            unset: Vec::new(),
            routes: 0,
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let considered = self.considered.iter();
        let decision = match &self.refusal {
            None => json!({"allow": true}),
            Some(refusal) => json!({
                "allow": false,
                "reason": refusal.reason.code(),
                "status": refusal.reason.status(),
                "detail": refusal.detail,
                "headers": refusal.headers,
                "problem": serde_json::from_str(&refusal.problem()).unwrap_or(Value::Null),
            }),
        };
        json!({
            "bundle": {"name": self.bundle.0, "revision": self.bundle.1},
            "request": self.request,
            "peer": self.peer,
            "test_keys": self.test_keys,
            "unset_secrets": self.unset,
            "route": self.route.as_ref().map(|(id, at)| json!({"id": id, "at": at})),
            "identity": self.identity,
            "considered": considered
                .map(|c| json!({"room": c.room.name(), "at": c.at, "what": c.what}))
                .collect::<Vec<_>>(),
            "decision": decision,
            "upstream_edits": self.upstream,
            "response_edits": self.response,
        })
    }

    /// For people.
    pub(super) fn text(&self, colour: bool) -> String {
        let mut out = String::new();
        // Writing into a string cannot fail.
        let mut line = |text: String| {
            let _ = writeln!(out, "{text}");
        };
        line(format!("request   {} from {}", printable(&self.request), self.peer));
        line(format!("bundle    `{}` revision {}", printable(&self.bundle.0), self.bundle.1));
        if self.test_keys {
            line("keys      test keys in place of the issuers' keys".to_owned());
        }
        for name in &self.unset {
            line(format!(
                "keys      {} is not set here: no token of its issuer can be good",
                printable(name)
            ));
        }
        match &self.route {
            Some((id, at)) => line(format!("route     `{}`, {}", printable(id), printable(at))),
            None => line(format!("route     none of {}", self.routes)),
        }
        line(String::new());
        let mut room = "";
        let width = self.considered.iter().map(|c| c.at.len()).max().unwrap_or(0);
        for considered in &self.considered {
            if considered.room.name() != room {
                room = considered.room.name();
                line(paint(colour, "1;34", room));
            }
            line(format!("  {:width$}  {}", printable(&considered.at), printable(&considered.what)));
        }
        line(String::new());
        match &self.refusal {
            None => {
                line(format!("decision  {}", paint(colour, "1;32", "let through")));
                self.list("upstream", "gets the request as it is", &self.upstream, &mut line);
            }
            Some(refusal) => {
                let reason = format!("refused: {}, {}", refusal.reason.code(), refusal.reason.status());
                line(format!("decision  {}", paint(colour, "1;31", &reason)));
                line(format!("why       {}", printable(&refusal.detail)));
                line(format!("client    {}", printable(&refusal.problem())));
                for (name, value) in &refusal.headers {
                    line(format!("          {}: {}", printable(name), printable(value)));
                }
            }
        }
        self.list("response", "goes out as it is", &self.response, &mut line);
        out
    }

    fn list(&self, head: &str, otherwise: &str, edits: &[String], line: &mut impl FnMut(String)) {
        match edits.split_first() {
            None => line(format!("{head:8}  {otherwise}")),
            Some((first, rest)) => {
                line(format!("{head:8}  {}", printable(first)));
                rest.iter().for_each(|edit| line(format!("          {}", printable(edit))));
            }
        }
    }
}

fn written(edit: Edit<&str>) -> String {
    match edit {
        Edit::Remove(name) => format!("remove {name}"),
        Edit::Set(name, value) => format!("set {name}: {value}"),
        Edit::Add(name, value) => format!("add {name}: {value}"),
    }
}
