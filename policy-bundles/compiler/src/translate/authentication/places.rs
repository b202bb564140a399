//! Where credentials lie, and where upstream is told whose they are: the same rules for all methods that take them
//! from a header, a cookie or the query.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bartizan_engine::authentication::plan as engine;
use bartizan_spec::authentication::signed_requests::{HmacForm, SignatureForm};
use bartizan_spec::authentication::{TokenSource, in_authorization};
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
    from: Cow<'i, [TokenSource]>,
    /// The headers that it reads besides, whole, and where they are written.
    own: Vec<(&'i str, Span)>,
    /// The headers that upstream is told by, and where they are written.
    forward: Vec<(&'i str, Span)>,
}

impl Of<'_> {
    /// Whether credentials are looked for in this header.
    fn reads(&self, name: &str) -> bool {
        self.own.iter().any(|(own, _)| *own == name)
            || self
                .from
                .iter()
                .any(|s| matches!(s, TokenSource::Header { header, .. } if header.as_str() == name))
    }
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
        all.push(Of { kind: "jwt", what: "token", at, from: Cow::Borrowed(&jwt.from), own: vec![], forward });
        if jwt.bound.dpop.is_some() {
            let own = vec![("dpop", at.get("bound").key_of("dpop"))];
            all.push(Of { kind: "dpop", what: "proof", at, from: Cow::Borrowed(&[]), own, forward: vec![] });
        }
    }
    for (index, keys) in written.api_keys.iter().enumerate() {
        let at = at.get("api_keys").item(index);
        let forward = named(&keys.forward.headers, at).collect();
        all.push(Of {
            kind: "api_keys",
            what: "key",
            at,
            from: Cow::Borrowed(&keys.from),
            own: vec![],
            forward,
        });
    }
    for (index, signed) in written.signed_requests.iter().enumerate() {
        let at = at.get("signed_requests").item(index);
        let forward = named(&signed.forward.headers, at).collect();
        let own = signing(&signed.form, at.get("form"));
        all.push(Of {
            kind: "signed_requests",
            what: "signature",
            at,
            from: Cow::Borrowed(&[]),
            own,
            forward,
        });
    }
    for (index, basic) in written.basic.iter().enumerate() {
        let at = at.get("basic").item(index);
        let forward = named(&basic.forward.headers, at).collect();
        // Where these credentials lie nobody chooses.
        let from = Cow::Owned(in_authorization());
        all.push(Of { kind: "basic", what: "password", at, from, own: vec![], forward });
    }
    for (index, way) in written.certificates.iter().enumerate() {
        let at = at.get("certificates").item(index);
        let forward = named(&way.forward.headers, at).collect();
        let from = Cow::Borrowed(&[][..]);
        all.push(Of { kind: "certificates", what: "certificate", at, from, own: vec![], forward });
    }
    all
}

/// The headers that a signature is told in.
fn signing<'i>(form: &'i SignatureForm, at: Cursor<'i>) -> Vec<(&'i str, Span)> {
    match form {
        SignatureForm::Hmac(HmacForm { headers }) => {
            let at = at.get("hmac").get("headers");
            let fields = [
                ("key", &headers.key),
                ("timestamp", &headers.timestamp),
                ("nonce", &headers.nonce),
                ("digest", &headers.digest),
                ("signature", &headers.signature),
            ];
            fields.map(|(field, name)| (name.as_str(), at.get(field).span())).into()
        }
        SignatureForm::MessageSignatures(_) => {
            let here = at.key_of("message_signatures");
            vec![("signature", here), ("signature-input", here)]
        }
    }
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
        twice(&method.from, method.at.get("from"), "place", report);
        check_sources(method, report);
        check_shared(method, all.iter().take(index), report);
        check_own(method, &all, report);
        check_forwarded(method, &all, report);
    }
    check_codes(input, &all, report);
}

/// What one method reads whole, no other looks into: each would refuse what the other accepts.
fn check_own(method: &Of<'_>, all: &[Of<'_>], report: &mut Report) {
    for &(name, here) in &method.own {
        // Where another one has no choice either, the name is one of those that no signature may take.
        let wants = |of: &&Of<'_>| of.own.is_empty() && of.reads(name);
        if let Some(other) = all.iter().find(wants) {
            let message = format!(
                "the header `{name}` is where {}s are looked for, and cannot carry a {} as well",
                other.what, method.what
            );
            report.error("place-shared", here, message, "give each kind a header of its own");
        }
    }
}

/// A header that carries codes carries nothing else: each key in it would be a wrong code of its own client, and a few of
/// them lock him out.
fn check_codes(input: &Input<'_>, all: &[Of<'_>], report: &mut Report) {
    let at = input.root().get("authentication").get("totp");
    for (index, totp) in input.bundle.authentication.totp.iter().enumerate() {
        let (name, here) = (totp.header.as_str(), at.item(index).get("header").span());
        let help = "give codes a header of their own, such as `x-totp-code`";
        if matches!(name, "authorization" | "cookie" | "host") {
            // That it cannot carry a code was said already.
            continue;
        }
        if let Some(reader) = all.iter().find(|of| of.reads(name)) {
            let message = format!(
                "the header `{name}` is where {}s are looked for, and cannot carry codes as well",
                reader.what
            );
            report.error("place-shared", here, message, help);
        }
        if all.iter().any(|of| of.forward.iter().any(|(forwarded, _)| *forwarded == name)) {
            let message =
                format!("the header `{name}` tells upstream who it is, and cannot carry codes as well");
            report.error("header-identity", here, message, help);
        }
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
    let mut others = others.filter(|other| other.kind != method.kind);
    // Where the later one has no `from` of its own, the mistake is in the earlier one's.
    let pairs = others.by_ref().flat_map(|other| {
        let (one, another) = if method.kind == "basic" { (other, method) } else { (method, other) };
        let shared =
            |(_, source): &(usize, &TokenSource)| another.from.iter().any(|other| same(source, other));
        one.from.iter().enumerate().filter(shared).map(move |(index, _)| (one, index)).collect::<Vec<_>>()
    });
    let mut told = Vec::new();
    for (one, index) in pairs {
        let at = one.at.get("from").item(index).span();
        if told.contains(&at) {
            continue;
        }
        told.push(at);
        let message =
            format!("a {} is looked for where another method looks for another kind of credential", one.what);
        let help = "give each kind a place of its own: another header, or another scheme before it";
        report.error("place-shared", at, message, help);
    }
}

fn same(one: &TokenSource, another: &TokenSource) -> bool {
    match (one, another) {
        (
            TokenSource::Header { header, scheme: Some(one) },
            TokenSource::Header { header: other, scheme: Some(another) },
        ) => header == other && one.as_str().eq_ignore_ascii_case(another.as_str()),
        // Without a scheme the whole header is the credential, whatever else is in it.
        (TokenSource::Header { header, .. }, TokenSource::Header { header: other, .. }) => header == other,
        _ => one == another,
    }
}

/// Headers that mean something to every upstream already; a claim in them would be taken for that.
pub(super) const TAKEN: [&str; 10] = [
    "authorization",
    "cookie",
    "content-type",
    "dpop",
    "forwarded",
    "host",
    "x-forwarded-client-cert",
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
            continue;
        }
        if let Some(reader) = all.iter().find(|of| of.reads(name)) {
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
    let of_signed = written.signed_requests.iter().flat_map(|signed| signed.forward.headers.0.keys());
    let of_certificates = written.certificates.iter().flat_map(|way| way.forward.headers.0.keys());
    let all = of_tokens.chain(of_keys).chain(of_signed).chain(of_passwords).chain(of_certificates);
    all.map(HeaderName::as_str).collect()
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
