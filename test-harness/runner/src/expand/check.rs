//! What is wrong with a run although each of its fields reads: most of it would let the case pass unseen.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fill::substitute;
use super::{Concrete, Run, RunStep, Target};
use crate::format::{Decision, Http};

/// Everything that is wrong with a run by itself.
pub(super) fn run(run: &Run) -> Result<(), String> {
    for step in &run.steps {
        let concrete = step.sketch()?;
        place(run, &concrete)?;
        head(&concrete)?;
        disconnect(&concrete)?;
        if let Some(name) = left_over(&Value::Object(step.request.clone()), &known_tokens(step)) {
            return Err(format!(
                "`${{{name}}}` stands for nothing; the names are subject, client, visitor, now, token.NAME and those of rows"
            ));
        }
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

fn known_tokens(step: &RunStep) -> BTreeSet<String> {
    let mut known: BTreeSet<String> = ["subject", "client", "visitor"].map(String::from).into();
    if let Some(Value::Object(tokens)) = step.request.get("tokens") {
        known.extend(tokens.keys().map(|name| format!("token.{name}")));
    }
    known
}

/// The first placeholder that nothing will fill in.
fn left_over(value: &Value, known: &BTreeSet<String>) -> Option<String> {
    let mut copy = value.clone();
    let found = std::cell::RefCell::new(None);
    substitute(&mut copy, &|name| {
        if !known.contains(name) && !name.starts_with("now") {
            found.borrow_mut().get_or_insert_with(|| name.to_owned());
        }
        None
    });
    found.into_inner()
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
}
