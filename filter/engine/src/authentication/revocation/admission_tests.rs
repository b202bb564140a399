use serde_json::json;

use super::super::NumericDate;
use super::plan::{ListPlan, NamesPlan};
use super::*;

fn plan(tokens: &[&str], require: &[&str]) -> RevocationPlan {
    let tokens = NamesPlan { count: tokens.len() as u32, names: tokens.join("\n"), ..NamesPlan::default() };
    RevocationPlan {
        at: "bundle.yaml:9".into(),
        require: require.iter().map(|claim| (*claim).to_owned()).collect(),
        list: ListPlan { tokens, issued_before: Some(100), ..ListPlan::default() },
        feed: None,
    }
}

fn load(tokens: &[&str], require: &[&str]) -> Revocation {
    Revocation::load(&plan(tokens, require), &AuthenticationPlan::default()).unwrap()
}

fn identity(kind: Kind, claims: serde_json::Value) -> Identity {
    let mut identity = Identity::new(kind, 0, "corp", "alice".into());
    identity.claims = claims.as_object().cloned().unwrap();
    identity.issued_at = Some(NumericDate::from_secs(100));
    identity
}

fn reason(revocation: &Revocation, identity: &Identity) -> Option<Reason> {
    revocation.admit(identity, Now::from_secs(200)).err().map(|not| not.reason)
}

#[test]
fn who_was_let_through_is_not_looked_up_again_until_the_lists_change() {
    let mut revocation = load(&["t-1"], &[]);
    let alice = identity(Kind::Jwt, json!({"jti": "t-2"}));
    assert_eq!(reason(&revocation, &alice), None);
    assert_eq!(alice.cleared.get(), 1);
    revocation.list = List::load(&plan(&["t-2"], &[]).list, &[], &[], "").unwrap();
    assert_eq!(reason(&revocation, &alice), None, "the number of the lists is what counts");
    revocation.generation += 1;
    assert_eq!(reason(&revocation, &alice), Some(Reason::TokenRevoked));
    assert_eq!(alice.cleared.get(), 1, "who was refused is looked up each time");
}

#[test]
fn a_claim_that_lists_need_must_be_there_and_be_a_string() {
    let required = load(&[], &["jti", "sid"]);
    let listed = load(&["t-1"], &[]);
    let nothing = load(&[], &[]);
    for (claims, by_required, by_listed, by_nothing) in [
        (json!({"jti": "t", "sid": "s"}), None, None, None),
        (json!({"jti": "t"}), Some(Reason::TokenInvalid), None, None),
        (json!({}), Some(Reason::TokenInvalid), None, None),
        (json!({"jti": 1, "sid": "s"}), Some(Reason::TokenInvalid), Some(Reason::TokenInvalid), None),
        (json!({"jti": "t", "sid": 1}), Some(Reason::TokenInvalid), None, None),
        (json!({"jti": "t-1", "sid": "s"}), None, Some(Reason::TokenRevoked), None),
    ] {
        for (revocation, expected) in [(&required, by_required), (&listed, by_listed), (&nothing, by_nothing)]
        {
            assert_eq!(reason(revocation, &identity(Kind::Jwt, claims.clone())), expected, "{claims}");
        }
    }
    let problem = Revocation::load(&plan(&[], &["iss"]), &AuthenticationPlan::default()).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "authentication.revoked.require: no list names `iss`; give `jti` or `sid`"
    );
}

#[test]
fn what_tokens_call_themselves_others_do_not() {
    let revocation = load(&["t-1"], &["jti"]);
    let mut device = identity(Kind::ApiKey, json!({"jti": "t-1"}));
    device.issued_at = None;
    assert_eq!(reason(&revocation, &device), None);
    let mut old = identity(Kind::Jwt, json!({"jti": "t"}));
    old.issued_at = Some(NumericDate::from_secs(99));
    assert_eq!(reason(&revocation, &old), Some(Reason::TokenRevoked));
}

#[test]
fn a_list_that_is_fetched_holds_for_who_was_let_through_before() {
    let mut revocation = load(&["t-1"], &[]);
    revocation.fetched = Some((3, Polled::default()));
    revocation.issuers = vec![("https://corp.example/".into(), Called::method("corp", &["corp"]))];
    let alice = identity(Kind::Jwt, json!({"jti": "t-2"}));
    assert_eq!(
        reason(&revocation, &alice),
        Some(Reason::KeysUnavailable),
        "nobody is let in before there is a list"
    );
    assert_eq!(revocation.missed(), Some(Missing { feed: 3 }));
    assert_eq!(revocation.missed(), None);
    let mut come = |text: &str| -> Result<bool, String> {
        let newer = revocation.read(3, text.as_bytes())?;
        let is_new = newer.is_some();
        newer.into_iter().for_each(|newer| revocation.replace(newer));
        Ok(is_new)
    };
    assert_eq!(come(r#"{"version":1}"#), Ok(true));
    assert_eq!(come(r#"{"version":1}"#), Ok(false));
    assert!(come("x").unwrap_err().starts_with("the list is malformed"));
    assert!(revocation.read(2, b"x").unwrap().is_none(), "what another feed brings is nothing of ours");
    assert_eq!(reason(&revocation, &alice), None);
    assert_eq!(reason(&revocation, &alice), None);
    let listed = r#"{"version":2,"tokens":[{"jti":"t-2","issuer":"https://corp.example/"}]}"#;
    let newer = revocation.read(3, listed.as_bytes()).unwrap().unwrap();
    revocation.replace(newer);
    assert_eq!(reason(&revocation, &alice), Some(Reason::TokenRevoked), "at once, cached or not");
    // The bundle's own list holds as well.
    assert_eq!(reason(&revocation, &identity(Kind::Jwt, json!({"jti": "t-1"}))), Some(Reason::TokenRevoked));
}
