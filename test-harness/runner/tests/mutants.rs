//! Cases that pass whatever the policy says would prove nothing. Here one protection after the other is
//! taken out of the `iot-gateway` plan, and each time some case must notice.

use std::path::PathBuf;

use bartizan_cases::driver::{self, Verdict};
use bartizan_cases::expand::Target;
use bartizan_cases::native::Native;
use bartizan_cases::suite::{Loaded, load_all};
use bartizan_engine::plan::{AccessPlan, Plan};
use bartizan_engine::validation::plan::ReadPlan;

/// What is taken away, and how.
type Mutant = (&'static str, fn(&mut Plan));

fn suites() -> Result<Vec<Loaded>, String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../policy-bundles/library/iot-gateway");
    load_all(&root).map_err(|errors| format!("{errors:?}"))
}

/// The names of the cases that fail with a changed plan.
fn noticed(change: impl Fn(&mut Plan)) -> Result<Vec<String>, String> {
    let mut noticed = Vec::new();
    for suite in suites()? {
        let mut prepared = suite.prepare()?;
        change(&mut prepared.plan);
        let mut native = Native::new(prepared.plan.clone(), &prepared.secrets).map_err(|e| e.to_string())?;
        for (number, run) in (1..).zip(suite.runs.iter().filter(|run| run.runs_on(Target::Native))) {
            // The largest bodies take the longest and show nothing here that small ones do not.
            if run.label().contains("1398101") || run.label().contains("14 MiB") {
                continue;
            }
            match driver::run(&mut native, run, number, &prepared.mint).verdict {
                Verdict::Passed => {}
                Verdict::Failed(_) => noticed.push(run.case.clone()),
                Verdict::Error(why) | Verdict::Skipped(why) => return Err(why),
            }
        }
    }
    Ok(noticed)
}

#[test]
fn nothing_fails_without_a_change() {
    assert_eq!(noticed(|_| ()), Ok(Vec::new()));
}

#[test]
fn every_protection_is_missed_when_it_is_gone() {
    let mutants: [Mutant; 15] = [
        ("access", |plan| {
            for route in &mut plan.routes {
                route.access = AccessPlan::Public;
                route.limits.clear();
            }
        }),
        ("permissions", |plan| {
            for route in &mut plan.routes {
                if matches!(route.access, AccessPlan::Permitted { .. }) {
                    route.access = AccessPlan::Authenticated;
                }
            }
        }),
        ("one role", |plan| {
            if let Some(role) = plan.authorization.roles.iter_mut().find(|role| role.name == "viewer") {
                role.permissions.push("users:read".into());
            }
        }),
        ("audience", |plan| plan.authentication.jwt.iter_mut().for_each(|jwt| jwt.audiences.clear())),
        ("lifetime", |plan| plan.authentication.jwt.iter_mut().for_each(|jwt| jwt.max_lifetime_s = None)),
        ("token type", |plan| plan.authentication.jwt.iter_mut().for_each(|jwt| jwt.require_claims.clear())),
        ("forwarded identity", |plan| {
            plan.authentication.jwt.iter_mut().for_each(|jwt| jwt.forward_claims.clear());
        }),
        ("token stripping", |plan| {
            plan.authentication.jwt.iter_mut().for_each(|jwt| jwt.forward_token = true);
        }),
        ("deny list", |plan| plan.network.deny.clear()),
        ("limits", |plan| plan.routes.iter_mut().for_each(|route| route.limits.clear())),
        ("one more request", |plan| {
            for window in plan.limits.iter_mut().flat_map(|limit| &mut limit.windows) {
                window.burst += 1;
            }
        }),
        ("schemas", |plan| {
            for content in plan.validation.bodies.iter_mut().flat_map(|body| &mut body.content) {
                if let ReadPlan::Json { schema, .. } = &mut content.read {
                    *schema = None;
                }
            }
        }),
        ("body sizes", |plan| plan.validation.bodies.iter_mut().for_each(|body| body.max_bytes += 1)),
        ("inspection", |plan| {
            for inspection in &mut plan.validation.inspections {
                (inspection.sqli, inspection.xss, inspection.traversal) = (false, false, false);
            }
        }),
        ("response headers", |plan| plan.headers.response = Default::default()),
    ];
    for (what, change) in mutants {
        assert!(!noticed(change).unwrap().is_empty(), "no case misses {what}");
    }
}
