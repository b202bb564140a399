//! What is wrong with a run although each of its fields reads: most of it would let the case pass unseen.

use std::collections::BTreeSet;

use bartizan_compiler::suggest::nearest;
use serde_json::{Map, Value};

use super::fill::named;
use super::{Concrete, Run, RunStep, Target, object};
use crate::format::{Decision, Fault, Http};
use crate::mint;

/// Everything that is wrong with a run by itself.
pub(super) fn run(run: &Run) -> Result<(), String> {
    for step in &run.steps {
        placeholders(run, step)?;
        nulls(step)?;
        let concrete = step.sketch()?;
        place(run, &concrete)?;
        head(&concrete)?;
        disconnect(&concrete)?;
        faults(&concrete.wire.simulate.faults)?;
    }
    Ok(())
}

/// Whether each place where the run happens can do what it asks for.
fn place(run: &Run, concrete: &Concrete) -> Result<(), String> {
    let elsewhere = [Target::Native, Target::Envoy(Http::V1), Target::Envoy(Http::V2)];
    if elsewhere.iter().any(|to| run.runs_on(*to)) && concrete.wire.simulate != Default::default() {
        return Err(
            "`simulate` is for simulated proxies alone: add `only: {run: simulated, because: ..}`".into()
        );
    }
    let seen = |targets: [Target; 2]| targets.iter().any(|to| run.runs_on(*to));
    let simulated = seen([Http::V1, Http::V2].map(Target::Simulated));
    let expect = &concrete.expect;
    let field = [
        ("metrics", !expect.metrics.is_empty(), simulated, "simulated"),
        ("log", !expect.log.is_empty(), simulated, "simulated"),
        ("rule", expect.rule.is_some(), simulated || run.runs_on(Target::Native), "natively and simulated"),
        ("proxy", expect.proxy.is_some(), seen([Http::V1, Http::V2].map(Target::Envoy)), "in Envoy"),
    ];
    if let Some((name, _, _, place)) = field.into_iter().find(|(_, given, seen, _)| *given && !seen) {
        return Err(format!(
            "`{name}` is looked at {place} alone, where the case does not run: take it away"
        ));
    }
    Ok(())
}

/// An answer to HEAD has no body that could be looked at.
fn head(Concrete { wire, expect }: &Concrete) -> Result<(), String> {
    if wire.method == "HEAD" && expect.errors.is_some() {
        return Err("`errors` stand in a body, and an answer to HEAD has none: take them away".into());
    }
    Ok(())
}

/// A client that goes away gets no answer that could be looked at, unless it was refused before.
fn disconnect(Concrete { wire, expect }: &Concrete) -> Result<(), String> {
    let Some(after) = wire.simulate.disconnect_after else { return Ok(()) };
    let pieces = wire.body.as_ref().map_or(0, Vec::len);
    if after > pieces {
        return Err(format!("`disconnect_after: {after}` never comes: the body has {pieces} pieces"));
    }
    if expect.decision == Decision::Allow && (expect.status.is_some() || !expect.headers.is_empty()) {
        return Err(
            "with `disconnect_after` a request that is allowed gets no answer: take `status` and `headers` away"
                .into(),
        );
    }
    Ok(())
}

/// Whether each fault can strike beside the others.
fn faults(faults: &[Fault]) -> Result<(), String> {
    for (index, fault) in faults.iter().enumerate() {
        let Fault { call, nth, status } = fault;
        let others = faults.iter().skip(index.saturating_add(1)).filter(|other| other.call == *call);
        for other in others {
            if other.nth == *nth {
                return Err(format!(
                    "simulate.faults: two are for the same call of `{call}`, and one alone can strike: take one away"
                ));
            }
            if other.status == *status && (nth.is_none() || other.nth.is_none()) {
                return Err(format!(
                    "simulate.faults: each call of `{call}` fails already, in the same way: take the one with `nth` away"
                ));
            }
        }
    }
    Ok(())
}

/// What is always there to be filled in, beside `now+60` and the like.
const AMBIENT: [&str; 4] = ["subject", "client", "visitor", "now"];

/// Whether each placeholder of a step stands for something.
fn placeholders(run: &Run, step: &RunStep) -> Result<(), String> {
    let tokens: BTreeSet<String> =
        object(step.request.get("tokens")).keys().map(|name| format!("token.{name}")).collect();
    let ambient = |name: &str| {
        AMBIENT.contains(&name) || (name.starts_with("now") && mint::relative(name, 0).is_some())
    };
    let request = step.request.iter().map(|(field, value)| (format!("request.{field}"), value));
    for (field, value) in request.chain([("expect".to_owned(), &step.expect)]) {
        // A token is made before there is any other one.
        let tokens = tokens.iter().filter(|_| field != "request.tokens");
        let known: Vec<&str> = AMBIENT.into_iter().chain(tokens.map(String::as_str)).collect();
        let Some(name) = named(value).into_iter().find(|name| !ambient(name) && !known.contains(&&**name))
        else {
            continue;
        };
        let row: Map<String, Value> =
            run.row.as_deref().and_then(|row| serde_json::from_str(row).ok()).unwrap_or_default();
        let meant = nearest(&name, known.iter().copied().chain(row.keys().map(String::as_str)));
        let remedy = meant.map_or_else(
            || {
                "the names are subject, client, visitor, now, now+60, those of rows, and token.NAME of `tokens`"
                    .to_owned()
            },
            |meant| format!("did you mean `${{{meant}}}`?"),
        );
        return Err(format!("{field}: `${{{name}}}` stands for nothing; {remedy}"));
    }
    Ok(())
}

/// Where null says something: it takes a default away, means that something is absent, or is a value of its own. `*` is any
/// name, `**` anything below.
const NULLS: [&[&str]; 21] = [
    &["request", "basic"],
    &["request", "code"],
    &["request", "host"],
    &["request", "headers"],
    &["request", "headers", "*"],
    &["request", "token"],
    &["request", "body"],
    &["request", "body", "type"],
    &["request", "body", "json", "**"],
    &["request", "trailers"],
    &["request", "answer"],
    &["request", "simulate"],
    &["request", "certificate"],
    &["request", "dpop"],
    &["request", "dpop", "*", "**"],
    &["request", "token", "claims", "**"],
    &["request", "token", "header", "**"],
    &["request", "tokens", "*", "claims", "**"],
    &["request", "tokens", "*", "header", "**"],
    &["expect", "headers", "*"],
    &["expect", "upstream", "headers", "*"],
];

/// Whether every field has a value: one without would be taken as not written.
fn nulls(step: &RunStep) -> Result<(), String> {
    let request = step.request.iter().find_map(|(name, value)| empty(value, &["request", name]));
    match request.or_else(|| empty(&step.expect, &["expect"])) {
        Some(field) => Err(no_value(&field)),
        None => Ok(()),
    }
}

/// The first field that is null where that says nothing.
fn empty(value: &Value, path: &[&str]) -> Option<String> {
    let below = |name: &str, value: &Value| {
        let path: Vec<&str> = path.iter().copied().chain([name]).collect();
        empty(value, &path)
    };
    match value {
        Value::Null if NULLS.iter().any(|allowed| covers(allowed, path)) => None,
        Value::Null => Some(path.join(".")),
        Value::Array(items) => items.iter().find_map(|item| empty(item, path)),
        Value::Object(members) => members.iter().find_map(|(name, value)| below(name, value)),
        _ => None,
    }
}

fn covers(allowed: &[&str], path: &[&str]) -> bool {
    match (allowed, path) {
        (["**"], _) | ([], []) => true,
        ([first, allowed @ ..], [name, path @ ..]) => {
            (*first == "*" || first == name) && covers(allowed, path)
        }
        _ => false,
    }
}

fn no_value(field: &str) -> String {
    format!("`{field}` is null, which says nothing: give it a value, or take it away")
}

/// What is wrong with a case as it is written, before anything is filled in.
pub(super) fn written(case: &Map<String, Value>) -> Result<(), String> {
    let steps = case.get("steps").and_then(Value::as_array).into_iter().flatten();
    let rows = case.get("rows").and_then(Value::as_array).into_iter().flatten();
    let members = |value: Option<&Value>| object(value).into_iter().collect::<Vec<_>>();
    let fields = case.iter().map(|(name, value)| (name.clone(), value.clone()));
    let fields = fields.chain(steps.flat_map(|step| members(Some(step)))).chain(members(case.get("only")));
    let fields = fields.chain(rows.flat_map(|row| members(Some(row))).filter(|(name, _)| name == "expect"));
    for (name, value) in fields {
        if value.is_null() {
            return Err(no_value(&name));
        }
    }
    for name in ["rows", "steps"] {
        if case.get(name).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            return Err(format!("`{name}` is empty: write some, or take the field away"));
        }
    }
    if case.get("name").and_then(Value::as_str).is_some_and(|name| name.trim().is_empty()) {
        return Err("the case has no name: say in `name` what it shows".into());
    }
    for (field, value) in ["name", "near", "only"].iter().filter_map(|name| Some((name, case.get(*name)?))) {
        if let Some(name) = named(value).first() {
            return Err(format!(
                "{field}: `${{{name}}}` is not filled in here; the values of rows tell them apart"
            ));
        }
    }
    Ok(())
}

/// Whether each header that is null takes a default away.
pub(super) fn removals(base: &Map<String, Value>, over: &Map<String, Value>) -> Result<(), String> {
    let below = object(base.get("headers"));
    let taken =
        |name: &str| below.iter().any(|(known, value)| known.eq_ignore_ascii_case(name) && !value.is_null());
    match object(over.get("headers")).iter().find(|(name, value)| value.is_null() && !taken(name)) {
        Some((name, _)) => {
            let meant = nearest(name, below.keys().map(String::as_str));
            let remedy =
                meant.map_or_else(|| "take it away".into(), |meant| format!("did you mean `{meant}`?"));
            Err(format!("request.headers: `{name}` is null, and there is no default to take away; {remedy}"))
        }
        None => Ok(()),
    }
}

/// Whether each token is put somewhere: those of the case in any step of any row, those of a step in that step.
pub(super) fn tokens(case: &Map<String, Value>, runs: &[Run]) -> Result<(), String> {
    let used =
        |steps: &mut dyn Iterator<Item = &RunStep>| steps.flat_map(RunStep::names).collect::<BTreeSet<_>>();
    let tokens = |of: Option<&Value>| object(of.and_then(|of| of.get("request")?.get("tokens")));
    let all = used(&mut runs.iter().flat_map(|run| &run.steps));
    idle(&object(case.get("request").and_then(|request| request.get("tokens"))), &all)?;
    let steps = case.get("steps").and_then(Value::as_array).into_iter().flatten();
    for (index, step) in steps.enumerate() {
        let here = used(&mut runs.iter().filter_map(|run| run.steps.get(index)));
        idle(&tokens(Some(step)), &here)?;
    }
    Ok(())
}

/// Whether each of these tokens is among what is used.
pub(crate) fn idle(tokens: &Map<String, Value>, used: &BTreeSet<String>) -> Result<(), String> {
    match tokens.keys().find(|name| !used.contains(&format!("token.{name}"))) {
        Some(name) => Err(format!(
            "the token `{name}` is used nowhere; write `${{token.{name}}}` where it belongs, or take it away"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::runs;

    /// What is said of a case that is written in one line.
    fn said(case: &str) -> String {
        runs(&format!("  - {{name: a, {case}}}")).map_or_else(|error| error.problem, |_| "nothing".into())
    }

    const SIMULATED: &str = "only: {run: simulated, because: x}";

    #[test]
    fn simulate_needs_a_simulation() {
        assert!(said("request: {simulate: {worker: 1}}").starts_with("`simulate`"));
        assert_eq!(said(&format!("request: {{simulate: {{worker: 1}}}}, {SIMULATED}")), "nothing");
    }

    #[test]
    fn an_answer_to_head_has_no_errors_to_look_at() {
        let errors = "expect: {decision: body-schema, errors: [/a]}";
        assert!(said(&format!("request: {{method: HEAD}}, {errors}")).contains("HEAD"));
        assert_eq!(said(&format!("request: {{method: POST}}, {errors}")), "nothing");
    }

    #[test]
    fn a_client_that_left_has_no_answer_to_look_at() {
        let left = |after: u32, expect: &str| {
            said(&format!(
                "request: {{body: {{text: ab, chunks: [1]}}, simulate: {{disconnect_after: {after}}}}}, expect: {expect}, {SIMULATED}"
            ))
        };
        assert_eq!(left(2, "allow"), "nothing");
        assert_eq!(left(2, "{decision: route-unknown, status: 404}"), "nothing");
        assert!(left(3, "allow").contains("2 pieces"));
        assert!(left(1, "{status: 200}").contains("`status`"));
        assert!(left(1, "{headers: {x-a: null}}").contains("`headers`"));
    }

    #[test]
    fn no_fault_stands_in_the_way_of_another() {
        let faults =
            |faults: &str| said(&format!("request: {{simulate: {{faults: {faults}}}}}, {SIMULATED}"));
        for shadowed in [
            "[{call: proxy_log}, {call: proxy_log, status: empty}]",
            "[{call: proxy_log, nth: 2}, {call: proxy_log, nth: 2}]",
            "[{call: proxy_log, nth: 1}, {call: proxy_log}]",
            "[{call: proxy_log}, {call: proxy_log, nth: 1}]",
        ] {
            assert!(faults(shadowed).starts_with("simulate.faults: "), "{shadowed}");
        }
        for fine in [
            "[{call: proxy_log, nth: 1}, {call: proxy_log, status: empty}]",
            "[{call: proxy_log, nth: 1}, {call: proxy_log, nth: 2}, {call: proxy_get_shared_data}]",
        ] {
            assert_eq!(faults(fine), "nothing", "{fine}");
        }
    }

    #[test]
    fn what_is_seen_nowhere_cannot_be_expected() {
        for (run, expect, fits) in [
            ("native", "{metrics: {bartizan.refused.no-policy: 0}}", false),
            ("[simulated, native]", "{metrics: {bartizan.refused.no-policy: 0}}", true),
            ("[native, envoy]", "{log: [a]}", false),
            ("envoy", "{decision: no-policy, rule: a}", false),
            ("[native, envoy]", "{decision: no-policy, rule: a}", true),
            ("native", "{decision: no-policy, proxy: {status: [400], because: x}}", false),
        ] {
            let said = said(&format!("only: {{run: {run}, because: x}}, expect: {expect}"));
            assert_eq!(said == "nothing", fits, "{run}, {expect}: {said}");
        }
    }

    #[test]
    fn a_placeholder_that_stands_for_nothing_is_named_with_its_field() {
        for (case, field, remedy) in [
            ("request: {path: '/${subjct}'}", "request.path: `${subjct}`", "`${subject}`?"),
            ("request: {path: '/${nowhere}'}", "request.path: `${nowhere}`", "the names are"),
            ("request: {path: '/${now+1w}'}", "request.path: `${now+1w}`", "now+60"),
            (
                "request: {path: '/${token.b}', tokens: {bb: {}}}",
                "request.path: `${token.b}`",
                "`${token.bb}`?",
            ),
            ("expect: {headers: {x-a: '${t}'}}", "expect: `${t}`", "the names are"),
            (
                "expect: {upstream: {headers: {x-a: {contains: 'a ${cleint}'}}}}",
                "expect: `${cleint}`",
                "`${client}`?",
            ),
            ("expect: {metrics: {'bartizan.refused.${r}': 0}}", "expect: `${r}`", "the names are"),
            (
                "request: {path: '/${value}', headers: {x-a: '${valu}'}}, rows: [{value: 1}]",
                "request.headers: `${valu}`",
                "`${value}`?",
            ),
            (
                "request: {path: '/${token.b}', tokens: {a: {claims: {t: '${token.b}'}}, b: {}}}",
                "request.tokens: `${token.b}`",
                "",
            ),
        ] {
            let said = said(case);
            assert!(said.starts_with(field) && said.contains(remedy), "{case}: {said}");
        }
        for case in [
            "request: {path: '/${subject}${client}${visitor}${now}${now+60}${now-1h}'}, expect: {headers: {x-a: '${now+5}'}}",
            "request: {tokens: {t: {}}}, expect: {upstream: {headers: {x-a: '${token.t}'}}}",
            "request: {path: '/${jndi:ldap}'}",
        ] {
            assert_eq!(said(case), "nothing", "{case}");
        }
    }

    #[test]
    fn a_field_without_a_value_is_named() {
        for (case, field) in [
            ("request: {method: null}", "`request.method`"),
            ("request: {path: '${p}'}, rows: [{p: null}]", "`request.path`"),
            ("request: {token: {alg: null}}", "`request.token.alg`"),
            ("request: {answer: {body: null}}", "`request.answer.body`"),
            ("request: {simulate: {worker: null}}", "`request.simulate.worker`"),
            ("request: {trailers: {x-a: null}}", "`request.trailers.x-a`"),
            ("expect: {status: null}", "`expect.status`"),
            ("expect: {decision: no-policy, rule: null}", "`expect.rule`"),
            ("expect: {upstream: {body: null}}", "`expect.upstream.body`"),
            ("expect: {headers: {x-a: {contains: null, present: true}}}", "`expect.headers.x-a.contains`"),
            ("rows: null", "`rows`"),
            ("steps: null", "`steps`"),
            ("near: null", "`near`"),
            ("only: {run: null, because: x}", "`run`"),
            ("steps: [{wait: null}]", "`wait`"),
            ("rows: [{expect: null}]", "`expect`"),
        ] {
            let said = said(case);
            assert!(said.starts_with(field), "{case}: {said}");
        }
        for case in [
            "request: {host: null, token: null, body: null, trailers: null, answer: null, simulate: null}",
            "request: {headers: null}",
            "request: {headers: {x-d: null}}",
            "request: {body: {json: {a: [null]}, type: null}}",
            "request: {token: {claims: {sub: null}, header: {kid: null}}}",
            "request: {body: {json: '${b}'}}, rows: [{b: null}]",
            "expect: {headers: {x-a: null}, upstream: {headers: {x-a: null}}}",
        ] {
            assert_eq!(said(case), "nothing", "{case}");
        }
    }

    #[test]
    fn only_a_default_can_be_taken_away() {
        assert!(said("request: {headers: {x-b: null}}").ends_with("did you mean `x-d`?"));
        assert!(said("request: {headers: {accept: null}}").contains("take it away"));
        assert!(
            said("request: {headers: {x-d: null}}, steps: [{request: {headers: {X-D: null}}}]")
                .contains("`X-D`")
        );
        for case in [
            "request: {headers: {X-D: null}}",
            "request: {headers: {x-a: a}}, steps: [{request: {headers: {X-A: null}}}]",
            "request: {headers: {x-b: '${b}'}}, rows: [{b: 1}, {b: null}]",
        ] {
            assert_eq!(said(case), "nothing", "{case}");
        }
    }

    #[test]
    fn tables_and_sequences_have_something_in_them() {
        assert!(said("rows: []").starts_with("`rows` is empty"));
        assert!(said("steps: []").starts_with("`steps` is empty"));
    }

    #[test]
    fn rows_differ() {
        let rows = |rows| said(&format!("request: {{path: '/${{t}}'}}, rows: {rows}"));
        assert!(rows("[{t: 1}, {t: 2}, {t: 1, expect: no-policy}]").contains(r#"{"t":1}"#));
        assert_eq!(rows("[{t: 1}, {t: '1'}]"), "nothing");
    }

    #[test]
    fn a_case_has_a_name_of_its_own() {
        let named = |name| {
            let written = format!("  - {{name: {name}, request: {{path: '/${{t}}'}}, rows: [{{t: 1}}]}}");
            runs(&written).map_or_else(|error| error.problem, |_| "nothing".into())
        };
        assert!(named("''").contains("no name"));
        assert!(named("' '").contains("no name"));
        assert!(named("'with ${t}'").starts_with("name: `${t}`"));
        assert_eq!(named("a"), "nothing");
    }

    #[test]
    fn a_token_that_is_put_nowhere_is_named() {
        for case in [
            "request: {tokens: {t: {}}}",
            "request: {tokens: {t: {}, u: {}}, path: '/${token.u}'}",
            "steps: [{request: {tokens: {t: {}}}}, {request: {tokens: {t: {}}, path: '/${token.t}'}}]",
        ] {
            assert!(said(case).starts_with("the token `t` is used nowhere"), "{case}");
        }
        for case in [
            "request: {tokens: {t: {}}}, steps: [{}, {request: {path: '/${token.t}'}}]",
            "request: {tokens: {t: {}}, path: '/${p}'}, rows: [{p: a}, {p: '${token.t}'}]",
        ] {
            assert_eq!(said(case), "nothing", "{case}");
        }
    }
}
