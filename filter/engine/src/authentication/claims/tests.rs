use super::super::tests::plan;
use super::*;
use proptest::prelude::*;
use serde_json::json;

const NOW_S: u64 = 1_800_000_000;

fn now() -> Now {
    Now::from_secs(NOW_S)
}

fn claims(extra: Value) -> Map<String, Value> {
    let mut claims = json!({
        "iss": "https://login.example.com/", "aud": "api", "sub": "alice", "exp": NOW_S + 60
    });
    let (Value::Object(members), Value::Object(extra)) = (&mut claims, extra) else { panic!("objects") };
    for (name, value) in extra {
        if value.is_null() {
            members.remove(&name);
        } else {
            members.insert(name, value);
        }
    }
    members.clone()
}

fn judge_with(plan: &JwtPlan, typ: Option<&str>, extra: Value) -> Result<Identity, TokenError> {
    Rules::new(plan).identity(typ, claims(extra), now(), (3, "corp"))
}

fn judge(extra: Value) -> Result<Identity, TokenError> {
    judge_with(&plan("corp"), None, extra)
}

fn refused_claim(result: Result<Identity, TokenError>) -> String {
    match result {
        Err(TokenError::Claim { claim, .. }) => claim,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_token_makes_an_identity() {
    let identity = judge(json!({"nbf": NOW_S, "iat": NOW_S})).unwrap();
    assert_eq!(identity.subject(), "alice");
    assert_eq!((identity.method(), identity.issuer_name()), (3, "corp"));
    assert_eq!(identity.expires_at().unwrap().nanos(), (NOW_S + 60) * NANOS);
    assert_eq!(identity.claims()["aud"], "api");
    assert!(identity.roles().is_empty() && identity.permissions().is_empty());
}

#[test]
fn the_issuer_is_compared_byte_by_byte() {
    for iss in [
        json!("https://login.example.com"),
        json!("https://LOGIN.example.com/"),
        json!(["https://login.example.com/"]),
        json!(null),
    ] {
        assert_eq!(refused_claim(judge(json!({"iss": iss}))), "iss");
    }
}

#[test]
fn the_audience_is_one_of_ours() {
    for aud in [json!("api"), json!(["api"]), json!(["other", "api"]), json!("api-2")] {
        assert!(judge(json!({"aud": aud})).is_ok(), "{aud}");
    }
    for aud in [
        json!(null),
        json!("other"),
        json!("API"),
        json!([]),
        json!(["x"]),
        json!(1),
        json!({"api": 1}),
        json!(["api", 1]),
    ] {
        assert_eq!(refused_claim(judge(json!({"aud": aud}))), "aud", "{aud}");
    }
    let any = JwtPlan { audiences: Vec::new(), ..plan("corp") };
    for aud in [json!(null), json!("anything"), json!(["x", "y"]), json!([])] {
        assert!(judge_with(&any, None, json!({"aud": aud})).is_ok(), "{aud}");
    }
    assert_eq!(refused_claim(judge_with(&any, None, json!({"aud": 1}))), "aud");
}

#[test]
fn dates_have_their_edges() {
    assert_eq!(judge(json!({"exp": NOW_S})).unwrap_err(), TokenError::Expired);
    assert!(judge(json!({"exp": NOW_S + 1})).is_ok());
    assert!(judge(json!({"exp": NOW_S as f64 + 0.5})).is_ok());
    assert_eq!(judge(json!({"exp": NOW_S as f64 - 0.5})).unwrap_err(), TokenError::Expired);
    assert_eq!(judge(json!({"exp": 0})).unwrap_err(), TokenError::Expired);
    assert!(judge(json!({"nbf": NOW_S})).is_ok());
    assert_eq!(refused_claim(judge(json!({"nbf": NOW_S + 1}))), "nbf");
    assert!(judge(json!({"iat": NOW_S})).is_ok());
    assert_eq!(refused_claim(judge(json!({"iat": NOW_S + 1}))), "iat");
    let lenient = JwtPlan { leeway_s: 5, ..plan("corp") };
    let at = |extra| judge_with(&lenient, None, extra);
    assert!(at(json!({"exp": NOW_S - 4})).is_ok());
    assert_eq!(at(json!({"exp": NOW_S - 5})).unwrap_err(), TokenError::Expired);
    assert!(at(json!({"nbf": NOW_S + 5, "iat": NOW_S + 5})).is_ok());
    assert_eq!(refused_claim(at(json!({"nbf": NOW_S + 6}))), "nbf");
    assert_eq!(refused_claim(at(json!({"iat": NOW_S + 6}))), "iat");
}

#[test]
fn exp_is_required_unless_the_policy_says_otherwise() {
    assert_eq!(refused_claim(judge(json!({"exp": null}))), "exp");
    let eternal = JwtPlan { require_expiry: false, ..plan("corp") };
    assert_eq!(judge_with(&eternal, None, json!({"exp": null})).unwrap().expires_at(), None);
    assert_eq!(judge_with(&eternal, None, json!({"exp": NOW_S})).unwrap_err(), TokenError::Expired);
    let limited = JwtPlan { max_lifetime_s: Some(60), ..eternal };
    assert_eq!(refused_claim(judge_with(&limited, None, json!({"exp": null, "iat": NOW_S}))), "exp");
}

#[test]
fn dates_of_another_kind_are_refused() {
    for claim in ["exp", "nbf", "iat"] {
        for value in [
            json!("1800000060"),
            json!(-1),
            json!(-0.5),
            json!(true),
            json!([1_800_000_060]),
            json!(253_402_300_800_u64),
            json!(1_800_000_060_000_u64),
            json!(u64::MAX),
            json!(1e300),
            json!({"$date": 1}),
        ] {
            assert_eq!(refused_claim(judge(json!({claim: value}))), claim, "{value}");
        }
    }
    assert!(judge(json!({"exp": 253_402_300_799_u64})).is_ok());
}

#[test]
fn the_lifetime_is_limited_if_the_policy_says_so() {
    let limited = JwtPlan { max_lifetime_s: Some(100), ..plan("corp") };
    let at = |exp: u64, iat: Value| judge_with(&limited, None, json!({"exp": exp, "iat": iat}));
    assert!(at(NOW_S + 60, json!(NOW_S - 40)).is_ok());
    assert_eq!(refused_claim(at(NOW_S + 61, json!(NOW_S - 40))), "exp");
    assert_eq!(refused_claim(at(NOW_S + 60, json!(null))), "iat");
    // `exp` before `iat`, both within a generous leeway.
    let odd = JwtPlan { leeway_s: 100, ..limited };
    assert_eq!(refused_claim(judge_with(&odd, None, json!({"exp": NOW_S - 10, "iat": NOW_S}))), "exp");
}

#[test]
fn types_tell_tokens_apart() {
    let typed = |typ: Option<&str>| judge_with(&plan("corp"), typ, json!({})).is_ok();
    for typ in [None, Some("JWT"), Some("jwt"), Some("at+jwt"), Some("application/at+JWT"), Some("Bearer")] {
        assert!(typed(typ), "{typ:?}");
    }
    for typ in ["logout+jwt", "dpop+jwt", "application/secevent+JWT"] {
        assert!(!typed(Some(typ)), "{typ}");
    }
    for wanted in ["at+jwt", "application/at+jwt"] {
        let strict = JwtPlan { require_type: Some(wanted.into()), ..plan("corp") };
        let typed = |typ: Option<&str>| judge_with(&strict, typ, json!({})).is_ok();
        assert!(typed(Some("at+jwt")) && typed(Some("Application/AT+JWT")));
        assert!(!typed(None) && !typed(Some("JWT")) && !typed(Some("at+jwt ")) && !typed(Some("")));
    }
}

#[test]
fn required_claims_have_their_value() {
    let strict = JwtPlan {
        require_claims: vec![
            ("type".into(), json!("access")),
            ("ctx.level".into(), json!(2)),
            ("ok".into(), json!(true)),
        ],
        ..plan("corp")
    };
    let at = |kind: Value, level: Value, ok: Value| {
        judge_with(&strict, None, json!({"type": kind, "ctx": {"level": level}, "ok": ok}))
    };
    assert!(at(json!("access"), json!(2), json!(true)).is_ok());
    assert!(at(json!(["refresh", "access"]), json!(2.0), json!([true])).is_ok());
    assert_eq!(refused_claim(at(json!("refresh"), json!(2), json!(true))), "type");
    assert_eq!(refused_claim(at(json!(null), json!(2), json!(true))), "type");
    assert_eq!(refused_claim(at(json!(["refresh"]), json!(2), json!(true))), "type");
    assert_eq!(refused_claim(at(json!("access"), json!("2"), json!(true))), "ctx.level");
    assert_eq!(refused_claim(at(json!("access"), json!(2.5), json!(true))), "ctx.level");
    assert_eq!(refused_claim(at(json!("access"), json!(2), json!("true"))), "ok");
    assert_eq!(refused_claim(at(json!("access"), json!(2), json!({"ok": true}))), "ok");
}

#[test]
fn one_of_several_values_is_enough() {
    let strict = JwtPlan {
        require_claims: vec![("type".into(), json!(["access", "service"])), ("groups[].id".into(), json!(7))],
        ..plan("corp")
    };
    let at = |kind: Value, groups: Value| judge_with(&strict, None, json!({"type": kind, "groups": groups}));
    assert!(at(json!("access"), json!([{"id": 7}])).is_ok());
    assert!(at(json!(["x", "service"]), json!([{"id": 1}, {"no": 0}, {"id": 7}])).is_ok());
    assert_eq!(refused_claim(at(json!("refresh"), json!([{"id": 7}]))), "type");
    assert_eq!(refused_claim(at(json!([]), json!([{"id": 7}]))), "type");
    for groups in
        [json!([]), json!([{"id": 8}]), json!({"id": 7}), json!([7]), json!([[{"id": 7}]]), json!(null)]
    {
        assert_eq!(refused_claim(at(json!("access"), groups.clone())), "groups[].id", "{groups}");
    }
}

#[test]
fn required_types_are_compared() {
    for (kind, good, bad) in [
        (ClaimType::String, json!("a"), json!(["a"])),
        (ClaimType::Number, json!(1.5), json!("1.5")),
        (ClaimType::Boolean, json!(false), json!(0)),
        (ClaimType::Strings, json!(["a"]), json!(["a", 1])),
        (ClaimType::List, json!([1]), json!({})),
        (ClaimType::Object, json!({}), json!([])),
    ] {
        let strict = JwtPlan { require_types: vec![("a.b".into(), kind)], ..plan("corp") };
        assert!(judge_with(&strict, None, json!({"a": {"b": good}})).is_ok(), "{kind:?}");
        for bad in [json!({"b": bad}), json!({"b": null}), json!({}), json!("b")] {
            assert_eq!(refused_claim(judge_with(&strict, None, json!({"a": bad}))), "a.b", "{kind:?}");
        }
    }
}

#[test]
fn words_are_found_in_lists_of_objects() {
    let nested = JwtPlan { roles: vec!["groups[].name".into(), "orgs[].roles".into()], ..plan("corp") };
    let roles = |extra: Value| judge_with(&nested, None, extra).map(|identity| identity.roles().to_vec());
    assert_eq!(
        roles(
            json!({"groups": [{"name": "a b"}, {"name": "c"}, {"id": 1}], "orgs": [{"roles": ["d", "c"]}]})
        )
        .unwrap(),
        ["a b", "c", "d"]
    );
    assert!(roles(json!({"groups": []})).unwrap().is_empty());
    assert_eq!(roles(json!({"groups[].name": ["literal"], "groups": "x"})).unwrap(), ["literal"]);
    for groups in
        [json!("a"), json!({"name": "a"}), json!(["a"]), json!([{"name": 1}]), json!([{"name": [["a"]]}])]
    {
        assert_eq!(
            refused_claim(judge_with(&nested, None, json!({"groups": groups.clone()}))),
            "groups[].name",
            "{groups}"
        );
    }
}

#[test]
fn subjects_are_short_plain_strings() {
    let long = "x".repeat(256);
    for sub in ["alice", "auth0|1 2", "é", long.as_str()] {
        assert_eq!(judge(json!({"sub": sub})).unwrap().subject(), sub);
    }
    let too_long = "x".repeat(257);
    for sub in [
        json!(null),
        json!(""),
        json!(7),
        json!(["a"]),
        json!("a\nb"),
        json!("a\u{0}"),
        json!("a\u{85}"),
        json!(too_long),
    ] {
        assert_eq!(refused_claim(judge(json!({"sub": sub}))), "sub", "{sub}");
    }
    let nested = JwtPlan { subject: "user.id".into(), ..plan("corp") };
    assert_eq!(judge_with(&nested, None, json!({"user": {"id": "u1"}})).unwrap().subject(), "u1");
}

#[test]
fn roles_come_from_nested_lists_or_words() {
    let mapped = JwtPlan {
        roles: vec!["realm_access.roles".into(), "https://example.com/roles".into()],
        permissions: vec!["scope".into()],
        ..plan("corp")
    };
    let at = |extra| judge_with(&mapped, None, extra);
    let identity = at(json!({
        "realm_access": {"roles": ["admin", "viewer", "admin"]},
        "https://example.com/roles": ["operator", ""],
        "scope": "device:read  device:write ",
    }))
    .unwrap();
    assert_eq!(identity.roles(), ["admin", "viewer", "operator"]);
    assert_eq!(identity.permissions(), ["device:read", "device:write"]);
    assert!(at(json!({"realm_access": {}})).unwrap().roles().is_empty());
    assert_eq!(at(json!({"realm_access": {"roles": ["two words"]}})).unwrap().roles(), ["two words"]);
    for bad in [json!([1]), json!(["a", null]), json!([["a"]]), json!({"a": 1}), json!(true), json!(3)] {
        assert_eq!(refused_claim(at(json!({"realm_access": {"roles": bad}}))), "realm_access.roles");
    }
    let many: Vec<_> = (0..1025).map(|i| format!("r{i}")).collect();
    assert_eq!(at(json!({"scope": many[1..].join(" ")})).unwrap().permissions().len(), 1024);
    assert_eq!(refused_claim(at(json!({"scope": many.join(" ")}))), "scope");
}

#[test]
fn a_top_level_name_with_dots_comes_first() {
    let mapped = JwtPlan { roles: vec!["a.b".into()], ..plan("corp") };
    let at = |extra| judge_with(&mapped, None, extra).unwrap().roles().to_vec();
    assert_eq!(at(json!({"a.b": ["literal"], "a": {"b": ["nested"]}})), ["literal"]);
    assert_eq!(at(json!({"a": {"b": ["nested"]}})), ["nested"]);
    assert!(at(json!({"x": {"a.b": ["deeper"]}})).is_empty());
    assert!(at(json!({"a": [{"b": ["in a list"]}]})).is_empty());
}

#[test]
fn claims_are_forwarded_as_safe_values() {
    let forwarding = JwtPlan {
        forward_claims: vec![("x-sub".into(), "sub".into()), ("x-mail".into(), "mail".into())],
        ..plan("corp")
    };
    let identity = judge_with(&forwarding, None, json!({"sub": "a b é"})).unwrap();
    assert_eq!(identity.forwarded(), [("x-sub".to_owned(), "a b %C3%A9".to_owned())]);
    let identity = judge_with(&forwarding, None, json!({"mail": "x\r\nx-sub: root"})).unwrap();
    assert_eq!(identity.forwarded()[1].1, "x%0D%0Ax-sub: root");
    let long = json!({"mail": "x".repeat(9000)});
    assert_eq!(refused_claim(judge_with(&forwarding, None, long)), "mail");
}

proptest! {
    #[test]
    fn a_token_in_force_stays_so_until_exp_and_never_after(
        exp in 0u64..4_000_000_000, nbf in 0u64..4_000_000_000, leeway in 0u64..100, at in 0u64..4_000_000_000,
    ) {
        let date = |s: u64| NumericDate::read(&json!(s)).ok();
        let found = in_force(date(exp), date(nbf), leeway * NANOS, Now::from_secs(at));
        let expected = if at >= exp + leeway {
            InForce::NoLonger
        } else if at + leeway < nbf {
            InForce::NotYet
        } else {
            InForce::Yes
        };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn dates_are_read_alike_with_and_without_a_fraction(seconds in 0u32..u32::MAX) {
        let whole = NumericDate::read(&json!(seconds)).unwrap();
        let fraction = NumericDate::read(&json!(f64::from(seconds))).unwrap();
        prop_assert!(whole.nanos().abs_diff(fraction.nanos()) < 1_000_000);
    }
}
