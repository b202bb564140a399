//! Compares what came back with what must come back. One judge for every driver.
//!
//! Beside what a case says, some things hold for every answer: a refusal is a problem document that agrees
//! with itself and gives nothing of the policy away, and upstream saw nothing; an allowed request reaches
//! upstream as it was sent, without its trailers, which nobody judged.

use std::collections::BTreeMap;

use bartizan_engine::reason::Reason;
use serde_json::Value;

use crate::expand::{Concrete, Target};
use crate::format::{Decision, Expect, HeaderMatch, Upstream};
use crate::wire::{Lines, Observed, Seen, Wire};

/// The members a problem document may have: anything else could tell a client about the policy.
const PROBLEM_MEMBERS: [&str; 5] = ["type", "title", "status", "reason", "errors"];

/// What is wrong with an answer, as sentences; empty if nothing is.
#[must_use]
pub fn judge(concrete: &Concrete, observed: &Observed, target: Target) -> Vec<String> {
    let Concrete { wire, expect } = concrete;
    if matches!(target, Target::Envoy(_)) && answered_by_proxy(expect, observed) {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    judge_inside(expect, observed, &mut wrong);
    // Nobody is there any more to get an answer.
    let gone = wire.simulate.disconnect_after.is_some();
    match expect.decision {
        Decision::Allow if gone => match (&expect.upstream, &observed.upstream) {
            (Some(expect), Some(seen)) => judge_upstream(wire, expect, seen, &mut wrong),
            (Some(_), None) => wrong.push("upstream saw nothing before the client went away".into()),
            (None, _) => {}
        },
        Decision::Allow => judge_allowed(wire, expect, observed, &mut wrong),
        Decision::Refuse(reason) => judge_refused(reason, wire, expect, observed, &mut wrong),
    }
    judge_headers("response header", &expect.headers, &observed.headers, &mut wrong);
    if let (Some(note), false) = (&observed.note, wrong.is_empty()) {
        wrong.push(format!("note: {note}"));
    }
    wrong
}

/// Whether the proxy refused by itself in a way the case allows: no problem document, upstream untouched.
pub(crate) fn answered_by_proxy(expect: &Expect, observed: &Observed) -> bool {
    let problem = one(&observed.headers, "content-type").is_some_and(|t| t == b"application/problem+json");
    expect.proxy.as_ref().is_some_and(|proxy| proxy.status.contains(&observed.status))
        && !problem
        && observed.upstream.is_none()
}

/// What only operators see, where it is seen.
fn judge_inside(expect: &Expect, observed: &Observed, wrong: &mut Vec<String>) {
    if let (Some(rule), Some(detail)) = (&expect.rule, &observed.detail)
        && !detail.contains(rule.as_str())
    {
        wrong.push(format!("the rule should be `{rule}`, but operators are told: {detail}"));
    }
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
    if !bodiless && observed.body != wire.answer.body {
        wrong.push(format!(
            "the client got {} bytes of body, upstream sent {}",
            observed.body.len(),
            wire.answer.body.len()
        ));
    }
    judge_upstream(wire, expect.upstream.as_ref().unwrap_or(&Upstream::default()), seen, wrong);
}

fn judge_upstream(wire: &Wire, expect: &Upstream, seen: &Seen, wrong: &mut Vec<String>) {
    let mut same = |what: &str, expected: &[u8], got: &[u8]| {
        if expected != got {
            wrong.push(format!("upstream saw {what} `{}`, expected `{}`", show(got), show(expected)));
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
    }
    let mut needs = |name: &str, good: &dyn Fn(&[u8]) -> bool| match one(&observed.headers, name) {
        Some(value) if good(value) => {}
        Some(value) => wrong.push(format!("{name}: `{}` does not fit a {status}", show(value))),
        None => wrong.push(format!("a {status} needs one {name}")),
    };
    match status {
        401 => needs("www-authenticate", &|v| v.starts_with(b"Bearer")),
        405 => needs("allow", &|_| true),
        429 => needs("retry-after", &|v| {
            std::str::from_utf8(v).ok().and_then(|v| v.parse().ok()).is_some_and(|s: u64| s >= 1)
        }),
        _ => {}
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
    if let Some(pointers) = &expect.errors {
        let errors = problem.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
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

fn judge_headers(
    what: &str,
    expected: &BTreeMap<String, Option<HeaderMatch>>,
    got: &Lines,
    wrong: &mut Vec<String>,
) {
    for (name, expected) in expected {
        let values: Vec<_> = all(got, name).map(show).collect();
        let single = match values.as_slice() {
            [one] => Some(one.as_str()),
            _ => None,
        };
        let fits = match expected {
            None => values.is_empty(),
            Some(HeaderMatch::Present) => !values.is_empty(),
            Some(HeaderMatch::Equals(value)) => single == Some(value),
            // Lines of one header and one line with commas are the same (RFC 9110, section 5.2); Envoy joins.
            Some(HeaderMatch::All(expected)) => list(&values) == list(expected),
            Some(HeaderMatch::Contains(text)) => single.is_some_and(|v| v.contains(text.as_str())),
            Some(HeaderMatch::Matches(pattern)) => regex_lite::Regex::new(&format!("^(?:{pattern})$"))
                .is_ok_and(|regex| single.is_some_and(|v| regex.is_match(v))),
        };
        if !fits {
            wrong.push(match expected {
                None => format!("{what} {name} should be absent, is {values:?}"),
                Some(expected) => format!("{what} {name} should be {expected:?}, is {values:?}"),
            });
        }
    }
}

fn list(values: &[String]) -> Vec<&str> {
    values.iter().flat_map(|value| value.split(',')).map(str::trim).collect()
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

fn show(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().take(300).collect();
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Request;
    use bartizan_engine::refusal::Refusal;

    fn concrete(expect: &str) -> Concrete {
        let request = Request::parse("{path: /a}", "t").unwrap();
        Concrete {
            wire: crate::wire::render(&request, 1, None).unwrap(),
            expect: serde_saphyr::from_str(expect).unwrap(),
        }
    }

    fn refused(reason: Reason, headers: &[(&str, &str)]) -> Observed {
        let mut lines: Lines = vec![(b"content-type".to_vec(), b"application/problem+json".to_vec())];
        lines.extend(headers.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())));
        let body = Refusal::new(reason, "").problem().into_bytes();
        Observed { status: reason.status(), headers: lines, body, ..Observed::default() }
    }

    fn allowed() -> Observed {
        let seen = Seen { method: "GET".into(), path: b"/a".to_vec(), ..Seen::default() };
        Observed { status: 200, body: b"ok".to_vec(), upstream: Some(seen), ..Observed::default() }
    }

    fn wrong(expect: &str, observed: &Observed) -> Vec<String> {
        judge(&concrete(expect), observed, Target::Native)
    }

    #[test]
    fn what_fits_is_not_complained_about() {
        assert_eq!(wrong("allow", &allowed()), Vec::<String>::new());
        assert_eq!(wrong("route-unknown", &refused(Reason::RouteUnknown, &[])), Vec::<String>::new());
        let limited = refused(Reason::LimitExceeded, &[("retry-after", "3")]);
        assert_eq!(wrong("limit-exceeded", &limited), Vec::<String>::new());
    }

    #[test]
    fn a_wrong_decision_is_seen_both_ways() {
        assert!(!wrong("allow", &refused(Reason::RouteUnknown, &[])).is_empty());
        assert!(!wrong("route-unknown", &allowed()).is_empty());
        assert!(!wrong("path-malformed", &refused(Reason::PathAmbiguous, &[])).is_empty());
        assert!(!wrong("allow", &Observed::broken("no answer")).is_empty());
    }

    #[test]
    fn a_refusal_that_upstream_saw_is_wrong() {
        let seen = Observed { upstream: Some(Seen::default()), ..refused(Reason::RouteUnknown, &[]) };
        assert!(!wrong("route-unknown", &seen).is_empty());
    }

    #[test]
    fn refusals_need_their_headers() {
        assert!(!wrong("token-missing", &refused(Reason::TokenMissing, &[])).is_empty());
        assert!(
            wrong("token-missing", &refused(Reason::TokenMissing, &[("www-authenticate", "Bearer")]))
                .is_empty()
        );
        assert!(
            !wrong("limit-exceeded", &refused(Reason::LimitExceeded, &[("retry-after", "0")])).is_empty()
        );
        assert!(!wrong("method-not-allowed", &refused(Reason::MethodNotAllowed, &[])).is_empty());
    }

    #[test]
    fn a_chatty_problem_is_wrong() {
        let mut chatty = refused(Reason::RouteUnknown, &[]);
        let mut problem: Value = serde_json::from_slice(&chatty.body).unwrap();
        problem.as_object_mut().unwrap().insert("detail".into(), "no rule at bundle.yaml:3".into());
        chatty.body = problem.to_string().into_bytes();
        assert!(!wrong("route-unknown", &chatty).is_empty());
    }

    #[test]
    fn what_upstream_sees_is_compared() {
        let mut other = allowed();
        other.upstream.as_mut().unwrap().path = b"/b".to_vec();
        assert!(!wrong("allow", &other).is_empty());
        assert!(wrong("{upstream: {path: /b}}", &other).is_empty());
        other.upstream.as_mut().unwrap().body = b"x".to_vec();
        assert!(!wrong("{upstream: {path: /b}}", &other).is_empty());
    }

    #[test]
    fn trailers_that_upstream_saw_are_wrong() {
        let mut late = allowed();
        late.upstream.as_mut().unwrap().trailers = vec![(b"x-auth-subject".to_vec(), b"root".to_vec())];
        let [only] = wrong("allow", &late).try_into().unwrap();
        assert!(only.contains("x-auth-subject") && !only.contains("root"), "{only}");
    }

    #[test]
    fn what_a_client_that_left_expects_of_upstream_is_judged() {
        let mut gone = concrete("{upstream: {path: /a}}");
        gone.wire.simulate.disconnect_after = Some(0);
        let nothing = Observed::default();
        assert_eq!(judge(&gone, &nothing, Target::Simulated(crate::format::Http::V1)).len(), 1);
        assert!(judge(&gone, &allowed(), Target::Simulated(crate::format::Http::V1)).is_empty());
    }

    #[test]
    fn header_matches_hold_and_fail() {
        let mut answer = allowed();
        answer.headers = vec![
            (b"x".to_vec(), b"abc".to_vec()),
            (b"v".to_vec(), b"1".to_vec()),
            (b"v".to_vec(), b"2".to_vec()),
        ];
        for (expect, fits) in [
            ("x: abc", true),
            ("x: ab", false),
            ("x: null", false),
            ("y: null", true),
            ("v: ['1', '2']", true),
            ("v: '1'", false),
            ("v: ['1', '3']", false),
            ("v: ['1', '2', '3']", false),
            ("x: {contains: b}", true),
            ("x: {matches: a.c}", true),
            ("x: {matches: b}", false),
            ("x: {present: true}", true),
            ("y: {present: true}", false),
        ] {
            assert_eq!(wrong(&format!("{{headers: {{{expect}}}}}"), &answer).is_empty(), fits, "{expect}");
        }
    }

    #[test]
    fn an_answer_of_the_proxy_counts_only_there_and_only_as_a_refusal() {
        let expect = "{decision: header-malformed, proxy: {status: [400], because: codec}}";
        let bare = Observed { status: 400, ..Observed::default() };
        assert!(judge(&concrete(expect), &bare, Target::Envoy(crate::format::Http::V1)).is_empty());
        assert!(!judge(&concrete(expect), &bare, Target::Native).is_empty());
        let seen = Observed { upstream: Some(Seen::default()), ..bare };
        assert!(!judge(&concrete(expect), &seen, Target::Envoy(crate::format::Http::V1)).is_empty());
    }
}
