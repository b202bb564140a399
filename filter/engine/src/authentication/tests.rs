use std::rc::Rc;

use super::*;
use crate::host::testing::TestHost;
use crate::intake;
use crate::intake::plan::IntakePlan;
use crate::intake::request::Headers;
use crate::limits::AddressCharged;
use crate::reason::Reason;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::{HS256Key, MACLike as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::plan::{Algorithm, CombinationPlan, JwtPlan, KeySource, MethodRef};

const NOW_S: u64 = 1_800_000_000;
const SECRET: &[u8] = b"a test secret, thirty-two bytes!";
const OTHER_SECRET: &[u8] = b"another test secret, 32 bytes!!!";
const ISSUER: &str = "https://login.example.com/";

/// An issuer whose tokens are signed with [`SECRET`].
pub(super) fn plan(name: &str) -> JwtPlan {
    JwtPlan {
        name: name.into(),
        at: "bundle.yaml:3".into(),
        issuer: ISSUER.into(),
        audiences: vec!["api".into(), "api-2".into()],
        algorithms: vec![Algorithm::HS256],
        keys: KeySource::Secret { env: "CORP_SECRET".into() },
        from: vec![TokenSource::Header { name: "authorization".into(), scheme: Some("Bearer".into()) }],
        forward_token: false,
        require_expiry: true,
        max_lifetime_s: None,
        leeway_s: 0,
        require_type: None,
        require_claims: Vec::new(),
        require_types: Vec::new(),
        subject: "sub".into(),
        roles: Vec::new(),
        permissions: Vec::new(),
        forward_claims: Vec::new(),
        forward_payload: None,
        binding: super::plan::BindingPlan::default(),
    }
}

fn secrets(name: &str) -> Option<Vec<u8>> {
    match name {
        "CORP_SECRET" => Some(SECRET.to_vec()),
        "OTHER_SECRET" => Some(OTHER_SECRET.to_vec()),
        "SHORT_SECRET" => Some(b"short".to_vec()),
        _ => None,
    }
}

/// Surroundings with these secrets, in which the listener verifies.
pub(super) fn surroundings(secret: &dyn Fn(&str) -> Option<Vec<u8>>) -> Surroundings<'_> {
    Surroundings { secret, seed: [1, 2], peer_appended: false, peer_verified: true }
}

fn load_plans(plans: &[JwtPlan]) -> Result<Authenticator, PlanError> {
    let methods = (0..plans.len()).map(MethodRef::Jwt).collect();
    let combinations = vec![CombinationPlan { mode: CombinationMode::Any, methods }];
    let plan = AuthenticationPlan { jwt: plans.to_vec(), combinations, ..AuthenticationPlan::default() };
    Authenticator::load(&plan, "edge", &surroundings(&secrets))
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "api", "sub": "alice", "exp": NOW_S + 60})
}

fn mint_with(secret: &[u8], header: &Value, claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let input = format!("{}.{}", part(header), part(claims));
    let tag = HS256Key::from_bytes(secret).authentication_tag(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn mint(claims: &Value) -> String {
    mint_with(SECRET, &json!({"alg": "HS256"}), claims)
}

/// Sends a request with these headers through intake and the room.
fn send_at(
    authenticator: &mut Authenticator,
    now: u64,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Rc<Identity>, Refusal> {
    let pseudo = [(":method", "GET"), (":authority", "api.example.com"), (":path", path)];
    let pairs: Vec<_> = pseudo.iter().chain(headers).map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let admission = intake::admit(&IntakePlan::default(), Headers::new(&pairs))?;
    let host = &mut TestHost::default();
    let known = authenticator.authenticate(
        0,
        &admission.request,
        &AddressCharged::for_test(),
        Now::from_secs(now),
        host,
        &mut Trace::off(),
    )?;
    Ok(known.unwrap().identity)
}

fn send(authenticator: &mut Authenticator, token: &str) -> Result<Rc<Identity>, Refusal> {
    send_at(authenticator, NOW_S, "/", &[("authorization", &format!("Bearer {token}"))])
}

fn refusal(result: Result<Rc<Identity>, Refusal>) -> (Reason, String, String) {
    let refusal = result.unwrap_err();
    let challenge = refusal.headers.iter().find(|(name, _)| name == "www-authenticate").unwrap().1.clone();
    (refusal.reason, challenge, refusal.detail)
}

#[test]
fn a_good_token_is_believed_and_a_second_time_too() {
    let mut room = load_plans(&[plan("corp")]).unwrap();
    let token = mint(&claims());
    let first = send(&mut room, &token).unwrap();
    assert_eq!(first.subject(), "alice");
    let second = send(&mut room, &token).unwrap();
    assert!(Rc::ptr_eq(&first, &second), "found in the cache");
}

#[test]
fn no_token_gets_a_challenge_without_an_error() {
    let mut room = load_plans(&[plan("corp")]).unwrap();
    for headers in [&[][..], &[("authorization", "Basic dTpw")], &[("cookie", "session=x")]] {
        let (reason, challenge, _) = refusal(send_at(&mut room, NOW_S, "/", headers));
        assert_eq!(reason, Reason::TokenMissing);
        assert_eq!(challenge, r#"Bearer realm="api""#);
    }
}

#[test]
fn bad_tokens_are_refused_and_the_client_is_not_told_why() {
    let mut room = load_plans(&[plan("corp")]).unwrap();
    let with = |extra: Value| {
        let mut all = claims();
        all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        all
    };
    let good = json!({"alg": "HS256"});
    for (token, detail) in [
        (String::new(), "not three parts"),
        ("x".into(), "not three parts"),
        ("a.b.c".into(), "not canonical unpadded base64url"),
        (format!("{} x", mint(&claims())), "not canonical unpadded base64url"),
        (mint_with(OTHER_SECRET, &good, &claims()), "the signature does not verify"),
        (mint_with(SECRET, &json!({"alg": "none"}), &claims()), "`none` does not exist"),
        (mint_with(SECRET, &json!({"alg": "HS384"}), &claims()), "does not accept HS384"),
        (mint_with(SECRET, &json!({"alg": "HS256", "crit": ["x"]}), &claims()), "`crit`"),
        (mint(&json!(["not", "claims"])), "the payload of the token is not a JSON object"),
        (mint(&json!({})), "`iss` is missing"),
        (
            mint(&with(json!({"iss": "https://evil.example/\n"}))),
            "no issuer of the policy is `https://evil.example/\\n`",
        ),
        (mint(&with(json!({"aud": "x"}))), "claim `aud` names none"),
        (mint(&with(json!({"nbf": NOW_S + 9}))), "claim `nbf` is in the future"),
        (mint(&with(json!({"sub": ""}))), "claim `sub` is empty"),
    ] {
        let (reason, challenge, found) = refusal(send(&mut room, &token));
        assert_eq!(reason, Reason::TokenInvalid, "{found}");
        assert!(found.contains(detail), "{found}");
        assert_eq!(
            challenge,
            r#"Bearer realm="api", error="invalid_token", error_description="The token is not valid""#
        );
    }
}

#[test]
fn duplicate_members_in_claims_are_refused() {
    let mut room = load_plans(&[plan("corp")]).unwrap();
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let body = format!(r#"{{"iss":"{ISSUER}","aud":"api","sub":"alice","sub":"root","exp":{}}}"#, NOW_S + 60);
    let input = format!("{}.{}", part(r#"{"alg":"HS256"}"#), part(&body));
    let tag = HS256Key::from_bytes(SECRET).authentication_tag(input.as_bytes());
    let (reason, _, detail) = refusal(send(&mut room, &format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))));
    assert_eq!(reason, Reason::TokenInvalid);
    assert!(detail.contains("a member is named twice"), "{detail}");
}

#[test]
fn details_never_contain_the_token() {
    let mut room = load_plans(&[plan("corp")]).unwrap();
    for token in
        [mint_with(OTHER_SECRET, &json!({"alg": "HS256"}), &claims()), format!("{}=", mint(&claims()))]
    {
        let (_, _, detail) = refusal(send(&mut room, &token));
        for part in token.split('.') {
            assert!(!detail.contains(part), "{detail}");
        }
    }
}

#[test]
fn a_cached_token_expires_on_time() {
    let mut room = load_plans(&[plan("corp")]).unwrap();
    let token = mint(&claims());
    let bearer = format!("Bearer {token}");
    let mut at = |now| send_at(&mut room, now, "/", &[("authorization", &bearer)]);
    assert!(at(NOW_S).is_ok());
    assert!(at(NOW_S + 59).is_ok());
    for now in [NOW_S + 60, NOW_S + 61, NOW_S + 1_000_000] {
        let (reason, challenge, _) = refusal(at(now));
        assert_eq!(reason, Reason::TokenExpired);
        assert_eq!(
            challenge,
            r#"Bearer realm="api", error="invalid_token", error_description="The token has expired""#
        );
    }
    assert!(at(NOW_S + 59).is_ok(), "a clock that went back verifies anew");
}

#[test]
fn a_cached_token_is_not_believed_before_its_time() {
    let mut room = load_plans(&[plan("corp")]).unwrap();
    let mut body = claims();
    body["nbf"] = json!(NOW_S);
    let bearer = format!("Bearer {}", mint(&body));
    assert!(send_at(&mut room, NOW_S, "/", &[("authorization", &bearer)]).is_ok());
    let early = send_at(&mut room, NOW_S - 1, "/", &[("authorization", &bearer)]);
    assert_eq!(refusal(early).0, Reason::TokenInvalid);
}

#[test]
fn two_tokens_are_ambiguous() {
    let from = vec![
        TokenSource::Header { name: "authorization".into(), scheme: Some("Bearer".into()) },
        TokenSource::Query { name: "access_token".into() },
    ];
    let mut room = load_plans(&[JwtPlan { from, ..plan("corp") }]).unwrap();
    let token = mint(&claims());
    let path = format!("/?access_token={token}");
    assert!(send_at(&mut room, NOW_S, &path, &[]).is_ok());
    let both = send_at(&mut room, NOW_S, &path, &[("authorization", &format!("Bearer {token}"))]);
    let (reason, challenge, _) = refusal(both);
    assert_eq!((reason, reason.status()), (Reason::TokenAmbiguous, 400));
    assert_eq!(challenge, r#"Bearer realm="api", error="invalid_request""#);
}

/// Two issuers, each with its own key and its own place.
fn two() -> Vec<JwtPlan> {
    let other = JwtPlan {
        issuer: "https://other.example/".into(),
        keys: KeySource::Secret { env: "OTHER_SECRET".into() },
        from: vec![TokenSource::Cookie { name: "session".into() }],
        forward_token: true,
        forward_claims: vec![("x-sub-ject".into(), "sub".into())],
        ..plan("other")
    };
    vec![plan("corp"), other]
}

#[test]
fn an_issuer_vouches_only_for_itself() {
    let mut room = load_plans(&two()).unwrap();
    let of = |secret, iss: &str| {
        let mut body = claims();
        body["iss"] = json!(iss);
        mint_with(secret, &json!({"alg": "HS256"}), &body)
    };
    let mut cookie = |token: &str| send_at(&mut room, NOW_S, "/", &[("cookie", &format!("session={token}"))]);
    let good = cookie(&of(OTHER_SECRET, "https://other.example/")).unwrap();
    assert_eq!((good.method(), good.issuer_name()), (1, "other"));
    let (_, _, detail) = refusal(cookie(&of(SECRET, "https://other.example/")));
    assert_eq!(detail, "the signature does not verify");
    let (_, _, detail) = refusal(cookie(&of(OTHER_SECRET, ISSUER)));
    assert!(detail.contains("not taken from where it was"), "{detail}");
}

#[test]
fn a_cached_token_is_taken_only_from_its_issuers_places() {
    let mut room = load_plans(&two()).unwrap();
    let token = mint(&claims());
    assert!(send(&mut room, &token).is_ok());
    let (reason, _, detail) =
        refusal(send_at(&mut room, NOW_S, "/", &[("cookie", &format!("session={token}"))]));
    assert_eq!(reason, Reason::TokenInvalid);
    assert!(detail.contains("not taken from where it was"), "{detail}");
}

#[test]
fn tokens_are_removed_as_their_issuer_says() {
    let mut room = load_plans(&two()).unwrap();
    let mut body = claims();
    body["iss"] = json!("https://other.example/");
    let other = mint_with(OTHER_SECRET, &json!({"alg": "HS256"}), &body);
    let cookie = format!("session={other}");
    let corp = send(&mut room, &mint(&claims())).unwrap();
    let forwarded = send_at(&mut room, NOW_S, "/", &[("cookie", &cookie)]).unwrap();
    let auth = ("authorization", "Bearer t");
    let removed = |identity, headers: &[(&str, &str)]| removed(&room, identity, headers);
    assert_eq!(removed(Some(&corp), &[auth]), ["Header(\"authorization\")"]);
    assert!(removed(Some(&forwarded), &[("cookie", &cookie)]).is_empty());
    let unverified = removed(None, &[auth, ("cookie", &cookie)]);
    assert_eq!(unverified, ["Header(\"authorization\")"], "only the one that is not forwarded");
    assert_eq!(room.identity_headers(), ["x-sub-ject"]);
}

/// The edits that keep from upstream what is not for it.
fn removed(room: &Authenticator, identity: Option<&Rc<Identity>>, headers: &[(&str, &str)]) -> Vec<String> {
    let pseudo = [(":method", "GET"), (":authority", "api.example.com"), (":path", "/")];
    let pairs: Vec<_> = pseudo.iter().chain(headers).map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let admission = intake::admit(&IntakePlan::default(), Headers::new(&pairs)).unwrap();
    let mut edits = Vec::new();
    let known = identity.map(|identity| Known { identity: Rc::clone(identity), others: Vec::new() });
    room.remove_credentials(&admission.request, known.as_ref(), &mut edits);
    edits.iter().map(|edit| format!("{edit:?}")).collect()
}

#[test]
fn no_header_can_be_taken_for_an_identity_header() {
    let room = load_plans(&two()).unwrap();
    for name in ["x_sub-ject", "x-sub_ject", "x_sub_ject"] {
        assert_eq!(removed(&room, None, &[(name, "root")]), [format!("Header({name:?})")]);
    }
    for name in ["x-sub-ject", "x_sub_jec", "x.sub.ject", "xsubject"] {
        assert!(removed(&room, None, &[(name, "root")]).is_empty(), "{name}");
    }
}

#[test]
fn a_token_in_the_cache_costs_no_allocation() {
    let mut room = load_plans(&two()).unwrap();
    let token = format!("Bearer {}", mint(&claims()));
    let pairs: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"GET"),
        (b":authority", b"api.example.com"),
        (b":path", b"/?a=1&b=2"),
        (b"cookie", b"theme=dark"),
        (b"authorization", token.as_bytes()),
    ];
    let admission = intake::admit(&IntakePlan::default(), Headers::new(&pairs)).unwrap();
    let mut counted = || {
        let host = &mut TestHost::default();
        let charged = AddressCharged::for_test();
        allocation_counter::measure(|| {
            let now = Now::from_secs(NOW_S);
            room.authenticate(0, &admission.request, &charged, now, host, &mut Trace::off()).unwrap();
        })
        .count_total
    };
    assert_ne!(counted(), 0, "the first time it is verified");
    assert_eq!(counted(), 0);
}

#[test]
fn plans_are_checked() {
    let base = || plan("corp");
    let jwks = |json: &str| KeySource::Jwks(json.into());
    for (bad, place) in [
        (JwtPlan { issuer: String::new(), ..base() }, "authentication.jwt[0].issuer"),
        (JwtPlan { algorithms: vec![], ..base() }, "authentication.jwt[0].algorithms"),
        (JwtPlan { leeway_s: 3601, ..base() }, "authentication.jwt[0].leeway_s"),
        (JwtPlan { max_lifetime_s: Some(0), ..base() }, "authentication.jwt[0].max_lifetime_s"),
        (JwtPlan { subject: String::new(), ..base() }, "authentication.jwt[0].subject"),
        (JwtPlan { from: vec![], ..base() }, "authentication.jwt[0].from"),
        (
            JwtPlan { require_claims: vec![("a".into(), json!(null))], ..base() },
            "authentication.jwt[0].require_claims[0]",
        ),
        (
            JwtPlan { forward_claims: vec![("Host".into(), "sub".into())], ..base() },
            "authentication.jwt[0].forward_claims[0]",
        ),
        (
            JwtPlan { forward_claims: vec![("host".into(), "sub".into())], ..base() },
            "authentication.jwt[0].forward_claims[0]",
        ),
        (
            JwtPlan {
                forward_claims: vec![("x-a".into(), "sub".into()), ("x-a".into(), "iss".into())],
                ..base()
            },
            "authentication.jwt[0].forward_claims[1]",
        ),
        (JwtPlan { keys: jwks("{}"), ..base() }, "authentication.jwt[0].keys"),
        (
            JwtPlan { keys: KeySource::Secret { env: "NOT_SET".into() }, ..base() },
            "authentication.jwt[0].keys",
        ),
        (
            JwtPlan { keys: KeySource::Secret { env: "SHORT_SECRET".into() }, ..base() },
            "authentication.jwt[0].keys",
        ),
    ] {
        let error = load_plans(&[bad]).unwrap_err();
        assert_eq!(error.place, place, "{error}");
        assert!(!error.problem.contains('\n'), "{error}");
    }
    let error = load_plans(&[plan("a"), plan("b")]).unwrap_err();
    assert_eq!(error.place, "authentication.jwt[1].issuer");
    let nobody = Authenticator::load(&AuthenticationPlan::default(), "edge", &surroundings(&secrets));
    assert!(nobody.is_ok(), "a policy of public routes needs no issuer");
}

#[test]
fn combinations_are_checked() {
    let load = |mode, methods: &[usize]| {
        let methods = methods.iter().copied().map(MethodRef::Jwt).collect();
        let combinations = vec![CombinationPlan { mode, methods }];
        Authenticator::load(
            &AuthenticationPlan { jwt: two().to_vec(), combinations, ..AuthenticationPlan::default() },
            "edge",
            &surroundings(&secrets),
        )
    };
    for (mode, methods, good) in [
        (CombinationMode::Any, &[0, 1][..], true),
        (CombinationMode::Any, &[1, 0], true),
        (CombinationMode::Optional, &[1], true),
        (CombinationMode::All, &[1], true),
        (CombinationMode::All, &[0, 1], false),
        (CombinationMode::Any, &[0, 0], false),
        (CombinationMode::Any, &[2], false),
        (CombinationMode::Any, &[64], false),
        (CombinationMode::Any, &[], false),
    ] {
        let loaded = load(mode, methods);
        assert_eq!(loaded.is_ok(), good, "{mode:?} {methods:?}");
        if let Err(error) = loaded {
            assert_eq!(error.place, "authentication.combinations[0].methods");
        }
    }
}

#[cfg(feature = "explain")]
#[test]
fn the_trace_says_what_was_looked_at() {
    let mut room = load_plans(&[plan("corp")]).unwrap();
    let token = format!("Bearer {}", mint(&claims()));
    let pairs: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"GET"),
        (b":authority", b"api.example.com"),
        (b":path", b"/"),
        (b"authorization", token.as_bytes()),
    ];
    let admission = intake::admit(&IntakePlan::default(), Headers::new(&pairs)).unwrap();
    let mut trace = Trace::on();
    let now = Now::from_secs(NOW_S);
    let host = &mut TestHost::default();
    room.authenticate(0, &admission.request, &AddressCharged::for_test(), now, host, &mut trace).unwrap();
    let said: Vec<_> = trace.into_considered().into_iter().map(|c| (c.at, c.what)).collect();
    assert_eq!(
        said,
        [
            (
                "bundle.yaml:3".to_owned(),
                "the token names corp as its issuer and HS256 as its algorithm".to_owned()
            ),
            ("bundle.yaml:3".to_owned(), "`alice` of corp is authenticated".to_owned()),
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_mutated_token_is_never_believed(at in any::<prop::sample::Index>(), byte in "[A-Za-z0-9_.=-]") {
        let mut room = load_plans(&[plan("corp")]).unwrap();
        let good = mint(&claims());
        prop_assert!(send(&mut room, &good).is_ok());
        let mut mutated = good.clone();
        let at = at.index(good.len());
        mutated.replace_range(at..=at, &byte);
        prop_assume!(mutated != good);
        prop_assert!(send(&mut room, &mutated).is_err());
    }

    #[test]
    fn whatever_is_sent_is_answered(value in "[ -~]{0,80}") {
        let mut room = load_plans(&[plan("corp")]).unwrap();
        let reason = send_at(&mut room, NOW_S, "/", &[("authorization", &value)]).unwrap_err().reason;
        // Intake refuses what reads as two credentials.
        prop_assert!(matches!(
            reason,
            Reason::TokenInvalid | Reason::TokenMissing | Reason::HeaderDuplicate
        ));
    }
}
