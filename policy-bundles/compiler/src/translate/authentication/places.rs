//! Where credentials lie, and where upstream is told whose they are: the same rules for all methods that take them
//! from a header, a cookie or the query.

use std::collections::BTreeSet;

use bartizan_engine::authentication::plan as engine;
use bartizan_spec::authentication::TokenSource;
use bartizan_spec::bundle::Bundle;
use bartizan_spec::forms::Named;
use bartizan_spec::text::{ClaimPath, HeaderName};

use super::super::{Input, headers as edits};
use crate::diagnostic::{Report, Span};
use crate::yaml::Cursor;

/// What of a method is about places.
struct Of<'i> {
    /// The field that the method stands in.
    kind: &'static str,
    /// What it takes, for people.
    what: &'static str,
    at: Cursor<'i>,
    from: &'i [TokenSource],
    /// The headers that upstream is told by, and where they are written.
    forward: Vec<(&'i str, Span)>,
}

fn all<'i>(input: &Input<'i>) -> Vec<Of<'i>> {
    let at = input.root().get("authentication");
    let written = &input.bundle.authentication;
    let mut all = Vec::new();
    for (index, jwt) in written.jwt.iter().enumerate() {
        let at = at.get("jwt").item(index);
        let payload = jwt
            .forward
            .payload
            .iter()
            .map(|header| (header.as_str(), at.get("forward").get("payload").span()));
        let forward = named(&jwt.forward.headers, at).chain(payload).collect();
        all.push(Of { kind: "jwt", what: "token", at, from: &jwt.from, forward });
    }
    for (index, keys) in written.api_keys.iter().enumerate() {
        let at = at.get("api_keys").item(index);
        let forward = named(&keys.forward.headers, at).collect();
        all.push(Of { kind: "api_keys", what: "key", at, from: &keys.from, forward });
    }
    for (index, basic) in written.basic.iter().enumerate() {
        let at = at.get("basic").item(index);
        let forward = named(&basic.forward.headers, at).collect();
        // Where these credentials lie nobody chooses.
        all.push(Of { kind: "basic", what: "password", at, from: &[], forward });
    }
    all
}

fn named<'i>(
    headers: &'i Named<HeaderName, ClaimPath>,
    at: Cursor<'i>,
) -> impl Iterator<Item = (&'i str, Span)> {
    let at = at.get("forward").get("headers");
    headers.0.keys().map(move |header| (header.as_str(), at.key_of(header.as_str())))
}

/// Reports what is wrong with the places of all methods.
pub(super) fn check(input: &Input<'_>, report: &mut Report) {
    let all = all(input);
    for (index, method) in all.iter().enumerate() {
        twice(method.from, method.at.get("from"), "place", report);
        check_sources(method, report);
        check_shared(method, all.iter().take(index), report);
        check_forwarded(method, &all, report);
    }
}

/// Reports what a list has twice.
pub(super) fn twice<T: PartialEq>(list: &[T], at: Cursor<'_>, what: &str, report: &mut Report) {
    for (index, item) in list.iter().enumerate() {
        if list.iter().take(index).any(|other| other == item) {
            let message = format!("this {what} is listed twice");
            report.error("listed-twice", at.item(index).span(), message, "remove one of them");
        }
    }
}

fn check_sources(method: &Of<'_>, report: &mut Report) {
    let what = method.what;
    for (index, source) in method.from.iter().enumerate() {
        let at = method.at.get("from").item(index);
        match source {
            TokenSource::Header { header, .. } if header.as_str() == "cookie" => report.error(
                "header-protected",
                at.get("header").span(),
                format!("the header `cookie` holds many values and is no {what}"),
                format!("write `{{cookie: name}}` for a {what} in a cookie"),
            ),
            TokenSource::Header { header, .. }
                if edits::is_of_the_connection(header.as_str()) || header.as_str() == "host" =>
            {
                let message =
                    format!("the header `{header}` belongs to the connection and carries no {what}");
                let help = "use `authorization`, or a header of your own";
                report.error("header-protected", at.get("header").span(), message, help);
            }
            // A token ends soon; a key does not.
            TokenSource::Query { query } if method.kind == "api_keys" => report.warning(
                "key-in-query",
                at.get("query").span(),
                format!("keys in the query parameter `{query}` end up in logs, histories and referrers"),
                "take them from a header, and give these clients new keys: the old ones stand in logs",
            ),
            _ => {}
        }
    }
}

/// What lies at one place is a credential of one kind, or every request with it would be judged twice and refused once.
fn check_shared<'o, 'i: 'o>(
    method: &Of<'i>,
    others: impl Iterator<Item = &'o Of<'i>> + Clone,
    report: &mut Report,
) {
    for (index, source) in method.from.iter().enumerate() {
        let same = |other: &TokenSource| match (source, other) {
            (
                TokenSource::Header { header, scheme: Some(one) },
                TokenSource::Header { header: other, scheme: Some(another) },
            ) => header == other && one.as_str().eq_ignore_ascii_case(another.as_str()),
            // Without a scheme the whole header is the credential, whatever else is in it.
            (TokenSource::Header { header, .. }, TokenSource::Header { header: other, .. }) => {
                header == other
            }
            _ => source == other,
        };
        let mut others = others.clone().filter(|other| other.kind != method.kind);
        if others.any(|other| other.from.iter().any(same)) {
            let at = method.at.get("from").item(index).span();
            let message = format!(
                "a {} is looked for where another method looks for another kind of credential",
                method.what
            );
            let help = "give each kind a place of its own: another header, or another scheme before it";
            report.error("place-shared", at, message, help);
        }
    }
}

/// Headers that mean something to every upstream already; a claim in them would be taken for that.
const TAKEN: [&str; 8] = [
    "authorization",
    "cookie",
    "content-type",
    "forwarded",
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

fn check_forwarded(method: &Of<'_>, all: &[Of<'_>], report: &mut Report) {
    let what = if matches!(method.kind, "jwt" | "basic") { "a claim" } else { "an attribute" };
    for &(name, here) in &method.forward {
        if TAKEN.contains(&name) || edits::is_of_the_connection(name) {
            report.error(
                "header-protected",
                here,
                format!("the header `{name}` has a meaning of its own and cannot carry {what}"),
                "use a header of your own, such as `x-auth-subject`",
            );
        }
        let reads = |of: &&Of<'_>| {
            of.from.iter().any(|s| matches!(s, TokenSource::Header { header, .. } if header.as_str() == name))
        };
        if let Some(reader) = all.iter().find(reads) {
            report.error(
                "header-identity",
                here,
                format!(
                    "the header `{name}` is where {}s are looked for, and cannot carry {what} as well",
                    reader.what
                ),
                "give one of the two another name",
            );
        }
    }
}

/// The headers that tell upstream who it is, of all methods.
pub(in crate::translate) fn forwarded(bundle: &Bundle) -> BTreeSet<&str> {
    let written = &bundle.authentication;
    let of_tokens =
        written.jwt.iter().flat_map(|jwt| jwt.forward.headers.0.keys().chain(&jwt.forward.payload));
    let of_keys = written.api_keys.iter().flat_map(|keys| keys.forward.headers.0.keys());
    let of_passwords = written.basic.iter().flat_map(|basic| basic.forward.headers.0.keys());
    of_tokens.chain(of_keys).chain(of_passwords).map(HeaderName::as_str).collect()
}

pub(super) fn pairs(headers: &Named<HeaderName, ClaimPath>) -> Vec<(String, String)> {
    let pairs = headers.0.iter();
    pairs.map(|(header, path)| (header.as_str().to_owned(), path.as_str().to_owned())).collect()
}

pub(super) fn source(source: &TokenSource) -> engine::TokenSource {
    match source {
        TokenSource::Header { header, scheme } => engine::TokenSource::Header {
            name: header.as_str().to_owned(),
            scheme: scheme.as_ref().map(|s| s.as_str().to_owned()),
        },
        TokenSource::Cookie { cookie } => engine::TokenSource::Cookie { name: cookie.as_str().to_owned() },
        TokenSource::Query { query } => engine::TokenSource::Query { name: query.as_str().to_owned() },
    }
}
