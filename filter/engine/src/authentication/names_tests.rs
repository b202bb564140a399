//! Names and headers that mean one thing over all methods.

use super::api_keys::plan::{ApiKeysPlan, KeyTablePlan, PeriodPlan, ProfilePlan};
use super::basic::plan::BasicPlan;
use super::totp::plan::{TableSource, TotpPlan};
use super::*;

fn keys(name: &str, header: &str) -> ApiKeysPlan {
    ApiKeysPlan {
        name: name.into(),
        at: "bundle.yaml:3".into(),
        from: vec![TokenSource::Header { name: header.into(), scheme: None }],
        forward_key: false,
        pepper: None,
        keys: KeyTablePlan {
            digests: "A".repeat(43) + "=",
            clients: "device-7".into(),
            profile: vec![0],
            period: vec![0],
            profiles: vec![ProfilePlan::default()],
            periods: vec![PeriodPlan::default()],
        },
        forward: vec![("x-client".into(), "client".into())],
    }
}

fn users(name: &str) -> BasicPlan {
    BasicPlan {
        name: name.into(),
        at: "bundle.yaml:4".into(),
        realm: "api".into(),
        users: vec!["alice".into()],
        hashes: vec!["$2b$04$ZSdSoFOu7v3Cw8O2.TyTweeEIt2u40NgSxzCGDypzG9z2DLS7luQS".into()],
        roles: vec![vec![]],
        permissions: vec![vec![]],
        checks_per_second: 2,
        forward_credentials: false,
        forward_claims: vec![],
    }
}

fn factor(of: &str, header: &str) -> TotpPlan {
    TotpPlan {
        name: "staff".into(),
        at: "bundle.yaml:5".into(),
        methods: vec![of.into()],
        users: TableSource::Env { env: "TABLE".into() },
        header: header.into(),
        attempts: 5,
        window_s: 300,
        remember_s: 0,
    }
}

fn load(basic: &str, totp: Vec<TotpPlan>) -> Result<(), String> {
    let plan = AuthenticationPlan {
        api_keys: vec![keys("devices", "x-api-key")],
        basic: vec![users(basic)],
        totp,
        ..AuthenticationPlan::default()
    };
    let table = totp::nobodys_table(b"sixteen bytes, or more");
    let secret = |_: &str| Some(table.clone());
    Authenticator::load(&plan, "edge", &super::tests::surroundings(&secret))
        .map(|_| ())
        .map_err(|error| error.to_string())
}

#[test]
fn two_methods_of_one_name_are_refused_whatever_their_kinds() {
    assert_eq!(load("tools", vec![]), Ok(()));
    let problem = load("devices", vec![]).unwrap_err();
    assert_eq!(problem, "authentication: two methods are named `devices`; give each a name of its own");
}

#[test]
fn a_second_factor_is_of_methods_that_there_are() {
    assert_eq!(load("tools", vec![factor("tools", "x-totp-code")]), Ok(()));
    let problem = load("tools", vec![factor("corp", "x-totp-code")]).unwrap_err();
    assert_eq!(problem, "authentication.totp[0].methods: there is no method `corp`");
}

#[test]
fn a_header_with_codes_carries_nothing_else() {
    for header in ["x-api-key", "x-client"] {
        let problem = load("tools", vec![factor("tools", header)]).unwrap_err();
        assert!(problem.starts_with("authentication.totp[0].header: "), "{problem}");
    }
}
