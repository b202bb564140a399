//! The rules of a plan, with the outcomes that each can have.

use std::collections::{BTreeMap, BTreeSet};

use bartizan_engine::authentication::TokenError;
use bartizan_engine::authentication::plan::JwtPlan;
use bartizan_engine::authorization::Authorization;
use bartizan_engine::plan::{AccessPlan, Plan};
use bartizan_engine::reason::Reason;
use bartizan_engine::validation::plan::{BodyPlan, InspectionPlan, ReadPlan};

use super::reasons::possible;
use super::{Group, Item, Key, Kind, Side};

/// What a policy asks of an issuer's tokens. Every token that is believed passes all of them, so that only the
/// refusal is worth counting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// An algorithm of the list.
    Algorithm,
    /// A signature of one of the keys.
    Signature,
    /// A time that has not run out.
    Expiry,
    /// A value of a claim: an audience, or what the policy requires.
    Claim(String),
}

impl Check {
    /// The check that refused a token; `None` if it is one that no policy asks for.
    #[must_use]
    pub fn of(error: &TokenError) -> Option<Self> {
        match error {
            TokenError::AlgorithmNotAccepted { .. } => Some(Self::Algorithm),
            TokenError::Signature | TokenError::KeyUnknown { .. } | TokenError::TooManyKeys { .. } => {
                Some(Self::Signature)
            }
            TokenError::Expired => Some(Self::Expiry),
            TokenError::Claim { claim, .. } => Some(Self::Claim(claim.clone())),
            TokenError::TooLarge { .. }
            | TokenError::NotThreeParts
            | TokenError::NotBase64Url { .. }
            | TokenError::NotStrictJson { .. }
            | TokenError::Header { .. }
            | TokenError::AlgorithmUnknown { .. }
            | TokenError::KeysMissing { .. }
            | TokenError::IssuerMissing
            | TokenError::IssuerUnknown { .. }
            | TokenError::WrongPlace
            | TokenError::NotOnThisRoute
            | TokenError::Binding(_)
            | TokenError::Proof(_) => None,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Algorithm => "an algorithm of the list".to_owned(),
            Self::Signature => "a signature of a known key".to_owned(),
            Self::Expiry => "a time that has not run out".to_owned(),
            Self::Claim(claim) => format!("the right `{claim}`"),
        }
    }

    /// What a policy asks.
    fn all(jwt: &JwtPlan) -> Vec<Self> {
        let audience = (!jwt.audiences.is_empty()).then(|| Self::Claim("aud".to_owned()));
        let claims = jwt.require_claims.iter().map(|(claim, _)| Self::Claim(claim.clone()));
        let types = jwt.require_types.iter().map(|(claim, _)| Self::Claim(claim.clone()));
        let fixed = [Self::Algorithm, Self::Signature, Self::Expiry].into_iter();
        fixed.chain(audience).chain(claims).chain(types).collect()
    }
}

struct Points<'p> {
    plan: &'p Plan,
    items: BTreeMap<Key, Item>,
}

/// All rules of a plan.
pub(super) fn of(plan: &Plan) -> Result<BTreeMap<Key, Item>, String> {
    let mut points = Points { plan, items: BTreeMap::new() };
    points.routes();
    points.networks();
    points.tokens();
    points.roles()?;
    points.limits();
    points.bodies();
    points.inspections();
    for reason in Reason::ALL.iter().copied().filter(|reason| possible(plan, *reason)) {
        points.add(Key::Reason(reason), Group::Reasons, "", reason.code().to_owned(), &["met"]);
    }
    Ok(points.items)
}

impl Points<'_> {
    fn add(&mut self, key: Key, group: Group, at: &str, name: String, words: &[&'static str]) {
        let sides = words.iter().map(|word| Side { word, met: 0 }).collect();
        self.items.insert(key, Item { group, at: at.to_owned(), name, sides });
    }

    fn routes(&mut self) {
        for (number, route) in self.plan.routes.iter().enumerate() {
            let (at, id) = (&route.at, &route.id);
            self.add(
                Key::Route(number),
                Group::Routes,
                at,
                format!("route `{id}`"),
                &["let through", "refused"],
            );
            match &route.access {
                AccessPlan::Public => {}
                AccessPlan::Authenticated => {
                    let name = format!("route `{id}`: a good token");
                    self.add(Key::Identity(number), Group::Conditions, at, name, &["believed", "refused"]);
                }
                AccessPlan::Permitted { all, any } => {
                    for &requirement in all.iter().chain(any) {
                        let permission = self.plan.authorization.requirements.get(requirement);
                        let name = format!("route `{id}`: `{}`", permission.map_or("?", |p| p));
                        let key = Key::Permission(number, requirement);
                        self.add(key, Group::Conditions, at, name, &["held", "not held"]);
                    }
                }
            }
        }
    }

    fn networks(&mut self) {
        let network = &self.plan.network;
        for entry in &network.deny {
            let name = format!("denied network {}", entry.network);
            let key = Key::Denied(entry.network.clone());
            self.add(key, Group::Rules, &entry.at, name, &["matched", "did not match"]);
        }
        for entry in &network.allow {
            let name = format!("allowed network {}", entry.network);
            let key = Key::Allowed(entry.network.clone());
            self.add(key, Group::Rules, &entry.at, name, &["matched", "did not match"]);
        }
    }

    fn tokens(&mut self) {
        for (number, jwt) in self.plan.authentication.jwt.iter().enumerate() {
            let name = format!("issuer `{}`", jwt.name);
            self.add(Key::Issuer(number), Group::Rules, &jwt.at, name, &["believed", "refused"]);
            for check in Check::all(jwt) {
                let name = format!("issuer `{}`: {}", jwt.name, check.name());
                self.add(Key::Token(number, check), Group::Conditions, &jwt.at, name, &["refused"]);
            }
        }
    }

    fn roles(&mut self) -> Result<(), String> {
        let authorization = Authorization::load(&self.plan.authorization).map_err(|e| e.to_string())?;
        let mut asked = BTreeSet::new();
        for route in &self.plan.routes {
            if let AccessPlan::Permitted { all, any } = &route.access {
                asked.extend(all.iter().chain(any).copied());
            }
        }
        for role in &self.plan.authorization.roles {
            let grants = authorization.grants(std::slice::from_ref(&role.name), &[]);
            // An administrator who may do everything is never told no.
            let words: &[_] = if asked.iter().all(|requirement| grants.covers(*requirement)) {
                &["granted"]
            } else {
                &["granted", "did not grant"]
            };
            let name = format!("role `{}`", role.name);
            self.add(Key::Role(role.name.clone()), Group::Rules, &role.at, name, words);
        }
        Ok(())
    }

    fn limits(&mut self) {
        for (number, limit) in self.plan.limits.iter().enumerate() {
            let name = format!("limit `{}`", limit.id);
            self.add(Key::Limit(number), Group::Rules, &limit.at, name, &["room", "used up"]);
        }
    }

    fn bodies(&mut self) {
        let used: BTreeSet<usize> = self.plan.routes.iter().map(|route| route.body).collect();
        for number in used {
            // What takes no body was not written by anybody, and is met at its routes.
            match self.plan.validation.bodies.get(number) {
                Some(body) if !body.content.is_empty() => self.body(number, body),
                _ => {}
            }
        }
    }

    fn body(&mut self, number: usize, body: &BodyPlan) {
        let whose = self.whose(|route| route.body == number);
        let at = &body.at;
        let mut add = |key, what: &str, words: &[&'static str]| {
            self.add(key, Group::Conditions, at, format!("{whose}: {what}"), words);
        };
        if body.required {
            add(Key::Presence(number), "the body", &["there", "missing"]);
        }
        add(Key::Size(number), "the size of the body", &["within", "too large"]);
        add(Key::Type(number), "the type of the body", &["accepted", "refused"]);
        for (position, content) in body.content.iter().enumerate() {
            if rule_of(body, position) != position {
                continue;
            }
            let media_type = &content.media_type;
            if content.read != ReadPlan::Opaque {
                let key = Key::Form(number, position);
                add(key, &format!("{media_type}, its form"), &["well-formed", "malformed"]);
                add(Key::Caps(number, position), &format!("{media_type}, its caps"), &["exceeded"]);
            }
            if let ReadPlan::Json { schema: Some(_), .. } = &content.read {
                let key = Key::Schema(number, position);
                add(key, &format!("{media_type}, its schema"), &["satisfied", "violated"]);
            }
        }
    }

    fn inspections(&mut self) {
        for (number, inspection) in self.plan.validation.inspections.iter().enumerate() {
            // It was written once, and stands at the first route that has it.
            let Some(first) = self.plan.routes.iter().find(|route| route.inspection == number) else {
                continue;
            };
            let whose = self.whose(|route| route.inspection == number);
            for kind in Kind::ALL {
                if looks_for(inspection, kind) {
                    let name = format!("{whose}: {}", kind.attack().name());
                    let key = Key::Inspection(number, kind);
                    self.add(key, Group::Conditions, &first.at, name, &["clean", "found"]);
                }
            }
        }
    }

    /// The routes that share something, as few words.
    fn whose(&self, has: impl Fn(&bartizan_engine::plan::RoutePlan) -> bool) -> String {
        let mut routes = self.plan.routes.iter().filter(|route| has(route)).map(|route| &route.id);
        let first = routes.next().map_or("?", |id| id.as_str());
        match routes.count() {
            0 => format!("route `{first}`"),
            others => format!("route `{first}` and {others} more"),
        }
    }
}

/// The content type that stands for all that a body reads in the same way: they were written as one rule.
pub(super) fn rule_of(body: &BodyPlan, position: usize) -> usize {
    let read = body.content.get(position).map(|content| &content.read);
    body.content.iter().position(|content| Some(&content.read) == read).unwrap_or(position)
}

/// Whether an inspection looks for a kind of attack anywhere.
pub(super) fn looks_for(inspection: &InspectionPlan, kind: Kind) -> bool {
    let wanted = match kind {
        Kind::Sqli => inspection.sqli,
        Kind::Xss => inspection.xss,
        Kind::Traversal => inspection.traversal,
    };
    let InspectionPlan { path, query, cookies, body, headers, .. } = inspection;
    wanted && (*path || *query || *cookies || *body || !headers.is_empty())
}
