//! Routes, and what holds for all of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::authentication::{Accepted, StepUp};
use crate::authorization::Access;
use crate::forms::OrNone;
use crate::path::PathTemplate;
use crate::text::{Host, Label, LimitName};
use crate::validation::{Body, Inspect};

/// What holds for routes that do not say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// The methods by which somebody is known on routes that are not public. If missing, any of all, in the
    /// order `jwt`, `basic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Accepted>,
    /// The limits that apply, in the order they are charged.
    pub limits: Vec<LimitName>,
    /// What is inspected for attacks. By default everything, everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspect: Option<OrNone<Inspect>>,
    /// What bodies are accepted by routes that take POST, PUT or PATCH. By default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

/// A route: what it matches and what it asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// A name for people, by default the methods and the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Label>,
    /// The path: `/a/{id}` matches one segment, `/files/{rest...}` all that follow.
    pub path: PathTemplate,
    /// The methods. GET brings HEAD with it. If missing, any method.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub methods: Option<Vec<Method>>,
    /// The hosts: `api.example.com`, or `*.example.com` for its subdomains. If missing, any host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub hosts: Option<Vec<Host>>,
    /// Who may use the route.
    pub access: Access,
    /// The methods by which somebody is known here, instead of the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Accepted>,
    /// What is asked of an identity beyond being known: how strong and how fresh its authentication is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_up: Option<StepUp>,
    /// The limits that apply, instead of the default ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Vec<LimitName>>,
    /// What is inspected for attacks, instead of the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspect: Option<OrNone<Inspect>>,
    /// What bodies are accepted, instead of the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<OrNone<Body>>,
}

/// A method that a route can have. `CONNECT` and `TRACE` are not for routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the methods of RFC 9110, RFC 5789, RFC 4918, RFC 3253 and RFC 5323")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Propfind,
    Proppatch,
    Mkcol,
    Copy,
    Move,
    Lock,
    Unlock,
    Report,
    Search,
}

impl Method {
    /// The method as it stands in a request line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Propfind => "PROPFIND",
            Self::Proppatch => "PROPPATCH",
            Self::Mkcol => "MKCOL",
            Self::Copy => "COPY",
            Self::Move => "MOVE",
            Self::Lock => "LOCK",
            Self::Unlock => "UNLOCK",
            Self::Report => "REPORT",
            Self::Search => "SEARCH",
        }
    }

    /// Whether requests with this method commonly carry a body.
    #[must_use]
    pub const fn carries_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}
