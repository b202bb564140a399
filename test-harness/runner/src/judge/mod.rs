//! Compares what came back with what must come back. One judge for every driver.
//!
//! Beside what a case says, some things hold for every answer: a refusal is a problem document that agrees
//! with itself and gives nothing of the policy away, and upstream saw nothing; an allowed request reaches
//! upstream as it was sent, without its trailers, which nobody judged.

mod bytes;
mod headers;

use bartizan_engine::reason::Reason;
use serde_json::Value;

use self::bytes::{around, difference, show};
use self::headers::judge_headers;
use crate::expand::{Concrete, Target};
use crate::format::{Decision, Expect, Upstream};
use crate::wire::{Lines, Observed, Seen, Wire};

/// The members a problem document may have: anything else could tell a client about the policy.
const PROBLEM_MEMBERS: [&str; 5] = ["type", "title", "status", "reason", "errors"];

/// The members of each of its `errors`.
const ERROR_MEMBERS: [&str; 2] = ["pointer", "detail"];

/// What is wrong with an answer, as sentences; empty if nothing is.
#[must_use]
pub fn judge(concrete: &Concrete, observed: &Observed, target: Target) -> Vec<String> {
    let Concrete { wire, expect } = concrete;
    if matches!(target, Target::Envoy(_)) && answered_by_proxy(expect, observed) {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    judge_inside(expect, observed, &mut wrong);
    judge_told(wire, expect, observed, target, &mut wrong);
    match expect.decision {
        // Nobody is there any more to get an answer.
        Decision::Allow if wire.simulate.disconnect_after.is_some() => {
            judge_gone(wire, expect, observed, &mut wrong);
        }
        Decision::Allow => judge_allowed(wire, expect, observed, &mut wrong),
        Decision::Refuse(reason) => judge_refused(reason, wire, expect, observed, &mut wrong),
    }
    judge_headers("response header", &expect.headers, &observed.headers, &mut wrong);
    if let (Some(note), false) = (&observed.note, wrong.is_empty()) {
        wrong.push(format!("note: {note}"));
    }
    wrong
}

/// Whether the proxy refused by itself in a way the case allows: no problem document, upstream untouched. A status of
/// zero is a connection that it closed; silence is no refusal.
pub(crate) fn answered_by_proxy(expect: &Expect, observed: &Observed) -> bool {
    let problem = one(&observed.headers, "content-type").is_some_and(|t| t == b"application/problem+json");
    expect.proxy.as_ref().is_some_and(|proxy| proxy.status.contains(&observed.status))
        && (observed.status != 0 || observed.closed)
        && !problem
        && observed.upstream.is_none()
}

/// What operators are told of the decision. A real Envoy does not show it: its log says nothing of requests at the level
/// that is deployed.
fn judge_told(wire: &Wire, expect: &Expect, observed: &Observed, target: Target, wrong: &mut Vec<String>) {
    if matches!(target, Target::Envoy(_)) {
        return;
    }
    match (expect.decision, observed.reason.as_deref()) {
        (Decision::Allow, Some(told)) => {
            wrong.push(format!("expected allow, but operators are told that it is refused: {told}"));
        }
        (Decision::Refuse(reason), Some(told)) if told != reason.code() => {
            wrong.push(format!("expected {}, but operators are told: {told}", reason.code()));
        }
        // Where the log itself is made to fail, nobody is told anything.
        (Decision::Refuse(reason), None) if !wire.simulate.faults.iter().any(|f| f.call == "proxy_log") => {
            wrong.push(format!("expected {}, but operators are told of no refusal", reason.code()));
        }
        _ => {}
    }
    match (&expect.rule, &observed.detail) {
        (Some(rule), Some(detail)) if !stands_in(detail, rule) => {
            wrong.push(format!("the rule should be `{rule}`, but operators are told: {detail}"));
        }
        (Some(rule), None) => {
            wrong.push(format!("the rule should be `{rule}`, but operators are told of none"));
        }
        _ => {}
    }
}

/// What only a simulation shows.
fn judge_inside(expect: &Expect, observed: &Observed, wrong: &mut Vec<String>) {
    let Some(inside) = &observed.inside else { return };
    for (name, expected) in &expect.metrics {
        let grew = inside.counters.get(name).copied().unwrap_or(0);
        if grew != *expected {
            let others: Vec<_> = inside.counters.keys().map(String::as_str).collect();
            wrong.push(format!(
                "the counter {name} should grow by {expected}, grew by {grew}; what grew: {others:?}"
            ));
        }
    }
    for text in &expect.log {
        if !inside.log.iter().any(|(_, line)| line.contains(text.as_str())) {
            wrong.push(format!("no line of the log has `{text}`"));
        }
    }
    for (_, line) in inside.log.iter().filter(|(urgent, _)| *urgent) {
        if !expect.log.iter().any(|text| line.contains(text.as_str())) {
            wrong.push(format!("the log has a line that the case does not expect: {line}"));
        }
    }
}

/// A request that was let through, and whose client went away.
fn judge_gone(wire: &Wire, expect: &Expect, observed: &Observed, wrong: &mut Vec<String>) {
    if observed.status != 0 {
        let (status, reason) = (observed.status, reason_of(observed));
        wrong.push(format!("expected allow until the client went away, got {status}{reason}"));
    }
    match (&expect.upstream, &observed.upstream) {
        (Some(expect), Some(seen)) => judge_upstream(wire, expect, seen, wrong),
        (Some(_), None) => wrong.push("upstream saw nothing before the client went away".into()),
        (None, _) => {}
    }
}

fn judge_allowed(wire: &Wire, expect: &Expect, observed: &Observed, wrong: &mut Vec<String>) {
    let status = expect.status.unwrap_or(wire.answer.status);
    if observed.status != status {
        wrong.push(format!(
            "expected allow with status {status}, got {}{}",
            observed.status,
            reason_of(observed)
        ));
        return;
    }
    let Some(seen) = &observed.upstream else {
        wrong.push("expected allow, but upstream saw nothing".into());
        return;
    };
    let bodiless = wire.method == "HEAD" || matches!(status, 204 | 304);
    let body = if bodiless { &[][..] } else { &wire.answer.body };
    if let Some(at) = difference(&observed.body, body) {
        let (got, sent) = (observed.body.len(), body.len());
        let (has, should) = (around(&observed.body, at), around(body, at));
        wrong.push(format!("the client got {got} bytes of body, `{has}`, and should get {sent}, `{should}`"));
    }
    judge_upstream(wire, expect.upstream.as_ref().unwrap_or(&Upstream::default()), seen, wrong);
}

fn judge_upstream(wire: &Wire, expect: &Upstream, seen: &Seen, wrong: &mut Vec<String>) {
    let mut same = |what: &str, expected: &[u8], got: &[u8]| {
        if let Some(at) = difference(got, expected) {
            let (got, expected) = (around(got, at), around(expected, at));
            wrong.push(format!("upstream saw {what} `{got}`, expected `{expected}`"));
        }
    };
    same("method", expect.method.as_deref().unwrap_or(&wire.method).as_bytes(), seen.method.as_bytes());
    same("path", expect.path.as_deref().map_or(wire.path.as_slice(), str::as_bytes), &seen.path);
    if let Some(host) = &expect.host {
        same("host", host.as_bytes(), &seen.host);
    }
    match &expect.body {
        Some(body) => same("body", body.as_bytes(), &seen.body),
        None => same("body", &wire.whole_body(), &seen.body),
    }
    judge_headers("upstream header", &expect.headers, &seen.headers, wrong);
    if !seen.trailers.is_empty() {
        let names: Vec<_> = seen.trailers.iter().map(|(name, _)| show(name)).collect();
        wrong.push(format!("upstream saw trailers, which nobody judged: {}", names.join(", ")));
    }
}

fn judge_refused(reason: Reason, wire: &Wire, expect: &Expect, observed: &Observed, wrong: &mut Vec<String>) {
    let status = expect.status.unwrap_or_else(|| reason.status());
    if observed.status != status {
        let code = reason.code();
        wrong.push(format!(
            "expected {code} with status {status}, got {}{}",
            observed.status,
            reason_of(observed)
        ));
    }
    if observed.upstream.is_some() {
        wrong.push("the request was refused, and upstream saw it all the same".into());
    }
    if one(&observed.headers, "content-type") != Some(b"application/problem+json") {
        wrong.push("a refusal is application/problem+json (RFC 9457)".into());
    }
    if wire.method != "HEAD" {
        judge_problem(reason, expect, observed, wrong);
    } else if !observed.body.is_empty() {
        wrong.push(format!("an answer to HEAD has no body, got `{}`", show(&observed.body)));
    }
    let mut needs = |name: &str, good: &dyn Fn(&[u8]) -> bool| match one(&observed.headers, name) {
        Some(value) if good(value) => {}
        Some(value) => wrong.push(format!("{name}: `{}` does not fit a {status}", show(value))),
        None => wrong.push(format!("a {status} needs one {name}")),
    };
    match status {
        401 => challenges(&observed.headers, wrong),
        405 => needs("allow", &|_| true),
        429 => needs("retry-after", &|v| {
            std::str::from_utf8(v).ok().and_then(|v| v.parse().ok()).is_some_and(|s: u64| s >= 1)
        }),
        _ => {}
    }
}

/// A 401 names the scheme of each kind of credential that it asks for (RFC 9110, section 11.6.1).
fn challenges(headers: &Lines, wrong: &mut Vec<String>) {
    const SCHEMES: [&[u8]; 7] =
        [b"ApiKey", b"Basic", b"Bearer", b"Certificate", b"DPoP", b"Signature", b"TOTP"];
    let mut some = false;
    for value in all(headers, "www-authenticate") {
        some = true;
        let scheme = value.split(|b| *b == b' ').next().unwrap_or_default();
        if !SCHEMES.contains(&scheme) {
            wrong.push(format!("www-authenticate: `{}` does not fit a 401", show(value)));
        }
    }
    if !some {
        wrong.push("a 401 needs a www-authenticate".to_owned());
    }
}

fn judge_problem(reason: Reason, expect: &Expect, observed: &Observed, wrong: &mut Vec<String>) {
    let Ok(Value::Object(problem)) = serde_json::from_slice(&observed.body) else {
        wrong.push(format!("the body is no problem document: `{}`", show(&observed.body)));
        return;
    };
    let expected = [
        ("type", Value::from(format!("urn:bartizan:problem:{}", reason.code()))),
        ("title", Value::from(reason.title())),
        ("status", Value::from(observed.status)),
        ("reason", Value::from(reason.code())),
    ];
    for (member, value) in expected {
        if problem.get(member) != Some(&value) {
            let got = problem.get(member).map_or_else(|| "nothing".to_owned(), Value::to_string);
            wrong.push(format!("the problem's `{member}` is {got}, expected {value}"));
        }
    }
    if let Some(extra) = problem.keys().find(|name| !PROBLEM_MEMBERS.contains(&name.as_str())) {
        wrong.push(format!("the problem has a member `{extra}` that no client needs"));
    }
    let errors = match problem.get("errors") {
        None => &[][..],
        Some(Value::Array(errors)) if !errors.is_empty() => errors,
        Some(other) => {
            wrong.push(format!("the problem's `errors` is {other}, and no list of errors"));
            &[]
        }
    };
    for error in errors {
        let text = |name| error.get(name).is_some_and(Value::is_string);
        let members = error.as_object().map_or(0, serde_json::Map::len);
        if !ERROR_MEMBERS.into_iter().all(text) || members != ERROR_MEMBERS.len() {
            wrong.push(format!("an error of the problem has not just a pointer and a detail: {error}"));
        }
    }
    if let Some(pointers) = &expect.errors {
        let mut got: Vec<_> =
            errors.iter().filter_map(|e| e.get("pointer")?.as_str()).map(str::to_owned).collect();
        let mut expected = pointers.clone();
        got.sort_unstable();
        expected.sort_unstable();
        if got != expected {
            wrong.push(format!("errors point at {got:?}, expected {expected:?}"));
        }
    }
}

fn all<'a>(lines: &'a Lines, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    lines.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v.as_slice())
}

fn one<'a>(lines: &'a Lines, name: &'a str) -> Option<&'a [u8]> {
    let mut values = all(lines, name);
    let first = values.next();
    if values.next().is_some() { None } else { first }
}

fn reason_of(observed: &Observed) -> String {
    let problem: Option<Value> = serde_json::from_slice(&observed.body).ok();
    let reason = problem.as_ref().and_then(|p| p.get("reason")?.as_str());
    reason.map(|r| format!(" ({r})")).unwrap_or_default()
}

/// Whether a text stands in another one and goes on neither before nor behind: `bundle.yaml:4` is not in `bundle.yaml:41`.
fn stands_in(text: &str, part: &str) -> bool {
    let goes_on = |a: Option<char>, b: Option<char>| {
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
        word(a) && word(b)
    };
    text.match_indices(part).any(|(at, part)| {
        let (before, from) = text.split_at(at);
        let behind = from.strip_prefix(part).and_then(|rest| rest.chars().next());
        !goes_on(before.chars().next_back(), part.chars().next())
            && !goes_on(part.chars().next_back(), behind)
    })
}

#[cfg(test)]
mod tests;
