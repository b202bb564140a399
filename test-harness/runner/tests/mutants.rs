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
    noticed_in(suites()?, change)
}

fn noticed_in(suites: Vec<Loaded>, change: impl Fn(&mut Plan)) -> Result<Vec<String>, String> {
    let mut noticed = Vec::new();
    for suite in suites {
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
                route.authentication = None;
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

/// The same for what the gateway does not have: API keys, revocation, codes and passwords.
#[test]
fn every_protection_of_keys_and_lists_is_missed_when_it_is_gone() {
    fn periods(
        plan: &mut Plan,
    ) -> impl Iterator<Item = &mut bartizan_engine::authentication::api_keys::plan::PeriodPlan> {
        plan.authentication.api_keys.iter_mut().flat_map(|keys| &mut keys.keys.periods)
    }
    fn list(plan: &mut Plan) -> &mut bartizan_engine::authentication::revocation::plan::ListPlan {
        &mut plan.authentication.revoked.as_mut().unwrap().list
    }
    let suites = |file: &str| -> Vec<Loaded> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cases/authentication");
        let all = load_all(&root).unwrap();
        let found: Vec<Loaded> = all.into_iter().filter(|suite| suite.path.ends_with(file)).collect();
        assert_eq!(found.len(), 1, "{file}");
        found
    };
    let of_keys: [Mutant; 7] = [
        ("the end of keys", |plan| periods(plan).for_each(|period| period.expires = None)),
        ("the beginning of keys", |plan| periods(plan).for_each(|period| period.not_before = None)),
        ("the end of revoked keys", |plan| periods(plan).for_each(|period| period.revoked = false)),
        ("key stripping", |plan| {
            plan.authentication.api_keys.iter_mut().for_each(|keys| keys.forward_key = true)
        }),
        ("the identity of clients", |plan| {
            plan.authentication.api_keys.iter_mut().for_each(|keys| keys.forward.clear())
        }),
        ("permissions of keys", |plan| {
            let profiles = plan.authentication.api_keys.iter_mut().flat_map(|keys| &mut keys.keys.profiles);
            profiles.for_each(|profile| profile.permissions.push("*".into()));
        }),
        ("the order of clients", |plan| {
            let clients = &mut plan.authentication.api_keys[0].keys.clients;
            *clients = clients.lines().rev().collect::<Vec<_>>().join("\n");
        }),
    ];
    let of_lists: [Mutant; 8] = [
        ("the list", |plan| plan.authentication.revoked = None),
        ("tokens", |plan| list(plan).tokens = Default::default()),
        ("sessions", |plan| list(plan).sessions = Default::default()),
        ("subjects", |plan| list(plan).subjects = Default::default()),
        ("the moment for all", |plan| list(plan).issued_before = None),
        ("the moment of an issuer", |plan| list(plan).issuers_before.clear()),
        ("whose tokens are meant", |plan| list(plan).tokens.issuer.clear()),
        ("until when", |plan| list(plan).tokens.until.clear()),
    ];
    let of_codes: [Mutant; 5] = [
        ("the second factor", |plan| plan.routes.iter_mut().for_each(|route| route.step_up = None)),
        ("the strength of logins", |plan| {
            plan.authentication.step_up.iter_mut().for_each(|step_up| step_up.amr.clear())
        }),
        ("whose codes they are", |plan| {
            plan.authentication.totp.iter_mut().for_each(|totp| totp.methods.push("other".into()))
        }),
        ("the limit of attempts", |plan| {
            plan.authentication.totp.iter_mut().for_each(|totp| totp.attempts = 10)
        }),
        ("the end of what is remembered", |plan| {
            plan.authentication.totp.iter_mut().for_each(|totp| totp.remember_s = 3600)
        }),
    ];
    let of_passwords: [Mutant; 4] = [
        ("the stripping of passwords", |plan| {
            plan.authentication.basic.iter_mut().for_each(|basic| basic.forward_credentials = true)
        }),
        ("the identity of users", |plan| {
            plan.authentication.basic.iter_mut().for_each(|basic| basic.forward_claims.clear())
        }),
        ("permissions of users", |plan| {
            let all = plan.authentication.basic.iter_mut().flat_map(|basic| &mut basic.permissions);
            all.for_each(|permissions| permissions.push("*".into()));
        }),
        ("whose password it is", |plan| {
            plan.authentication.basic.iter_mut().for_each(|basic| basic.hashes.reverse())
        }),
    ];
    for (file, mutants) in [
        ("api_keys.cases.yaml", &of_keys[..]),
        ("revocation.cases.yaml", &of_lists[..]),
        ("totp.cases.yaml", &of_codes[..]),
        ("basic.cases.yaml", &of_passwords[..]),
    ] {
        assert_eq!(noticed_in(suites(file), |_| ()), Ok(Vec::new()));
        for (what, change) in mutants {
            assert!(!noticed_in(suites(file), change).unwrap().is_empty(), "no case misses {what}");
        }
    }
    let unnamed = |plan: &mut Plan| plan.authentication.revoked.as_mut().unwrap().require.clear();
    assert!(!noticed_in(suites("revocation-required.cases.yaml"), unnamed).unwrap().is_empty());
}
