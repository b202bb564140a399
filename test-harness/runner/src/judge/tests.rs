//! What the judge sees, and what it lets be.

use super::*;
use crate::format::{Http, Request};
use bartizan_engine::refusal::Refusal;
use serde_json::json;

const SIMULATED: Target = Target::Simulated(Http::V1);

fn concrete(expect: &str) -> Concrete {
    concrete_of("{path: /a}", expect)
}

fn concrete_of(request: &str, expect: &str) -> Concrete {
    let request = Request::parse(request, "t").unwrap();
    Concrete {
        wire: crate::wire::render(&request, 1, crate::wire::Credentials::default()).unwrap(),
        expect: serde_saphyr::from_str(expect).unwrap(),
    }
}

fn refused(reason: Reason, headers: &[(&str, &str)]) -> Observed {
    let mut lines: Lines = vec![(b"content-type".to_vec(), b"application/problem+json".to_vec())];
    lines.extend(headers.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())));
    let body = Refusal::new(reason, "").problem().into_bytes();
    let told = Some(reason.code().to_owned());
    Observed { status: reason.status(), headers: lines, body, reason: told, ..Observed::default() }
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
    let challenged =
        |with: &[(&str, &str)]| wrong("token-missing", &refused(Reason::TokenMissing, with)).is_empty();
    assert!(challenged(&[("www-authenticate", "Bearer realm=a"), ("www-authenticate", "ApiKey realm=a")]));
    assert!(!challenged(&[("www-authenticate", "Bearer"), ("www-authenticate", "Password")]));
    assert!(!wrong("token-missing", &refused(Reason::TokenMissing, &[])).is_empty());
    assert!(
        wrong("token-missing", &refused(Reason::TokenMissing, &[("www-authenticate", "Bearer")])).is_empty()
    );
    assert!(!wrong("limit-exceeded", &refused(Reason::LimitExceeded, &[("retry-after", "0")])).is_empty());
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
fn errors_have_a_pointer_and_a_detail_and_nothing_else() {
    let errors = |errors: Value| {
        let mut answer = refused(Reason::BodySchema, &[]);
        let mut problem: Value = serde_json::from_slice(&answer.body).unwrap();
        problem.as_object_mut().unwrap().insert("errors".into(), errors);
        answer.body = problem.to_string().into_bytes();
        wrong("body-schema", &answer).len()
    };
    assert_eq!(errors(json!([{"pointer": "/a", "detail": "must be more"}])), 0);
    for bad in [
        json!([{"pointer": "/a", "detail": "must be more", "rule": "bundle.yaml:3"}]),
        json!([{"pointer": "/a", "rule": "bundle.yaml:3"}]),
        json!([{"pointer": "/a"}]),
        json!([{"pointer": "/a", "detail": {"at": 3}}]),
        json!(["/a"]),
        json!([]),
        json!({"pointer": "/a", "detail": "must be more"}),
    ] {
        assert_eq!(errors(bad.clone()), 1, "{bad}");
    }
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
    assert_eq!(judge(&gone, &nothing, SIMULATED).len(), 1);
    let seen = Observed { upstream: allowed().upstream, ..Observed::default() };
    assert!(judge(&gone, &seen, SIMULATED).is_empty());
}

#[test]
fn a_refusal_is_none_the_less_one_because_the_client_left() {
    let left = |expect| {
        let mut left = concrete(expect);
        left.wire.simulate.disconnect_after = Some(1);
        left
    };
    let early = refused(Reason::RouteUnknown, &[]);
    assert!(!judge(&left("allow"), &early, SIMULATED).is_empty());
    assert_eq!(judge(&left("route-unknown"), &early, SIMULATED), Vec::<String>::new());
    assert!(!judge(&left("route-unknown"), &Observed::default(), SIMULATED).is_empty());
    // The proxy's own answer is no answer of upstream either.
    let own = Observed { status: 413, ..Observed::default() };
    assert!(!judge(&left("allow"), &own, SIMULATED).is_empty());
}

#[test]
fn a_refused_head_request_is_judged_by_what_operators_are_told() {
    let head = |expect| concrete_of("{path: /a, method: HEAD}", expect);
    let mut answer = refused(Reason::RouteUnknown, &[]);
    answer.body.clear();
    assert_eq!(judge(&head("route-unknown"), &answer, SIMULATED), Vec::<String>::new());
    // Another reason with the same status.
    answer.status = Reason::PathAmbiguous.status();
    answer.reason = Some(Reason::PathAmbiguous.code().to_owned());
    for target in [Target::Native, SIMULATED] {
        assert_eq!(judge(&head("path-malformed"), &answer, target).len(), 1, "{target}");
    }
    answer.reason = None;
    assert_eq!(judge(&head("path-malformed"), &answer, SIMULATED).len(), 1);
    assert!(judge(&head("path-malformed"), &answer, Target::Envoy(Http::V1)).is_empty());
    answer.reason = Some(Reason::PathMalformed.code().to_owned());
    answer.body = b"{}".to_vec();
    assert_eq!(judge(&head("path-malformed"), &answer, SIMULATED).len(), 1);
}

#[test]
fn a_head_request_that_is_let_through_gets_no_body() {
    let head = concrete_of("{path: /a, method: HEAD}", "allow");
    let mut answer = allowed();
    answer.upstream.as_mut().unwrap().method = "HEAD".into();
    assert_eq!(judge(&head, &answer, SIMULATED).len(), 1);
    answer.body.clear();
    assert!(judge(&head, &answer, SIMULATED).is_empty());
}

#[test]
fn a_rule_of_which_nobody_is_told_is_missed_where_operators_are_heard() {
    let mut answer = refused(Reason::RouteUnknown, &[]);
    let expect = "{decision: route-unknown, rule: no route}";
    for target in [Target::Native, SIMULATED] {
        assert_eq!(judge(&concrete(expect), &answer, target).len(), 1, "{target}");
    }
    assert!(judge(&concrete(expect), &answer, Target::Envoy(Http::V1)).is_empty());
    answer.detail = Some("no route has this path".into());
    assert!(judge(&concrete(expect), &answer, SIMULATED).is_empty());
    answer.detail = Some("another".into());
    assert_eq!(judge(&concrete(expect), &answer, SIMULATED).len(), 1);
}

#[test]
fn a_request_that_upstream_answers_and_operators_are_told_to_be_refused_is_wrong() {
    let both = Observed { reason: Some("token-missing".into()), ..allowed() };
    assert_eq!(wrong("allow", &both).len(), 1);
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
    assert!(judge(&concrete(expect), &bare, Target::Envoy(Http::V1)).is_empty());
    assert!(!judge(&concrete(expect), &bare, Target::Native).is_empty());
    let seen = Observed { upstream: Some(Seen::default()), ..bare };
    assert!(!judge(&concrete(expect), &seen, Target::Envoy(Http::V1)).is_empty());
}

#[test]
fn silence_is_no_answer_of_the_proxy() {
    let expect = "{decision: header-malformed, proxy: {status: [400, 0], because: codec}}";
    let judged = |observed: &Observed| judge(&concrete(expect), observed, Target::Envoy(Http::V1));
    let silence = Observed::broken("no answer: the request hangs");
    assert!(judged(&silence).iter().any(|wrong| wrong.contains("hangs")));
    assert!(judged(&Observed { closed: true, ..silence }).is_empty());
}

#[test]
fn header_values_are_compared_to_their_last_byte() {
    let long = "a".repeat(400);
    let answered = |value: &[u8]| Observed { headers: vec![(b"x".to_vec(), value.to_vec())], ..allowed() };
    let expect = |matching: &str| format!("{{headers: {{x: {matching}}}}}");
    let (same, other) = (answered(format!("{long}b").as_bytes()), answered(format!("{long}c").as_bytes()));
    for matching in
        [format!("{long}b"), format!("['{long}b']"), "{contains: ab}".to_owned(), "{matches: a+b}".to_owned()]
    {
        assert_eq!(wrong(&expect(&matching), &same), Vec::<String>::new(), "{matching}");
        assert_eq!(wrong(&expect(&matching), &other).len(), 1, "{matching}");
    }
    let [told] = wrong(&expect(&format!("{long}b")), &other).try_into().unwrap();
    assert!(told.contains("aab`") && told.contains("aac`") && told.len() < 500, "{told}");
    // The sign for what is no text is a text.
    assert_eq!(wrong(&expect("\u{fffd}"), &answered(b"\xff")).len(), 1);
}

#[test]
fn a_body_that_differs_is_shown_where_it_differs() {
    let mut other = allowed();
    other.body = b"no".to_vec();
    let [told] = wrong("allow", &other).try_into().unwrap();
    assert!(told.contains("`no`") && told.contains("`ok`"), "{told}");
}

#[test]
fn a_rule_is_not_met_by_one_that_only_begins_like_it() {
    let told = |rule: &str, detail: &str| {
        let answer = Observed { detail: Some(detail.into()), ..refused(Reason::RouteUnknown, &[]) };
        wrong(&format!("{{decision: route-unknown, rule: '{rule}'}}"), &answer).is_empty()
    };
    assert!(told("bundle.yaml:4", "the rule at bundle.yaml:4 refuses"));
    assert!(told("bundle.yaml:4", "bundle.yaml:41, and bundle.yaml:4"));
    assert!(!told("bundle.yaml:4", "the rule at bundle.yaml:41 refuses"));
    assert!(!told("few", "the budget fewer") && !told("few", "the budget very-few"));
    assert!(told("`few`", "the budget `few` is spent") && told("`few", "x`few` is spent"));
}
