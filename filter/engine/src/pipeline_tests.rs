//! What holds for the pipeline as a whole. What single policies do is in `test-harness/cases`.

use serde_json::{Value, json};

use super::*;
use crate::host::testing::TestHost;

pub(super) const NOW: Now = Now::from_secs(1_800_000_000);

pub(super) fn plan() -> Value {
    let key = "k".repeat(43);
    let jwt = json!({
        "name": "corp", "at": "bundle.yaml:1", "issuer": "https://issuer.example/", "audiences": [],
        "algorithms": ["HS256"], "keys": {"jwks": format!(r#"{{"keys":[{{"kty":"oct","k":"{key}"}}]}}"#)},
        "from": [{"header": {"name": "authorization", "scheme": "Bearer"}}], "forward_token": false,
        "require_expiry": true, "max_lifetime_s": null, "leeway_s": 0, "require_type": null, "require_claims": [],
        "subject": "sub", "roles": ["roles"], "permissions": [], "forward_claims": [["x-user", "sub"]]
    });
    let route = |id: &str, path: &str, access: Value, limits: Value, body: usize| {
        let authentication = if access == "public" { Value::Null } else { json!(0) };
        json!({"id": id, "at": "bundle.yaml:2", "path": path, "methods": [], "hosts": [], "access": access,
               "authentication": authentication,
               "limits": limits, "body": body, "inspection": 0})
    };
    let shape = json!({"max_depth": 4, "max_string_bytes": 64, "max_key_bytes": 64, "max_array_items": 9,
                       "max_object_members": 9, "max_values": 99});
    let content = |media_type: &str, read: Value| json!({"media_type": media_type, "read": read});
    json!({
        "plan_version": 1, "name": "test", "revision": 1,
        "intake": {"max_path_bytes": 100, "max_query_bytes": 100, "max_query_parameters": 9, "max_headers": 20,
                   "max_headers_bytes": 4000, "max_header_value_bytes": 2000},
        "network": {"trusted_hops": 0, "deny": [{"network": "203.0.113.0/24", "at": "bundle.yaml:3"}], "allow": []},
        "authentication": {"jwt": [jwt], "combinations": [{"mode": "any", "methods": [{"jwt": 0}]}]},
        "authorization": {"roles": [{"name": "reader", "at": "", "permissions": ["a:read:7"]}],
                          "requirements": ["a:read:{id}"]},
        "limits": [{"id": "few", "at": "bundle.yaml:4", "key": "address", "slots": 64, "headers": {"ratelimit": true, "x_ratelimit": true},
                    "windows": [{"count": 1, "period_ms": 60000, "burst": 1}]}],
        "validation": {
            "bodies": [{"at": "", "max_bytes": 0, "required": false, "content": []},
                       {"at": "", "max_bytes": 30, "required": true, "content": [
                           content("application/json", json!({"json": {"limits": shape, "schema": null}})),
                           content("image/png", json!("opaque"))]}],
            "schemas": [],
            "inspections": [{"sqli": true, "xss": true, "traversal": true, "path": true, "query": true,
                             "headers": [], "cookies": true, "body": true}]},
        "headers": {"request": {"remove": ["x-debug"], "set": [], "add": []},
                    "response": {"remove": ["server"], "set": [["x-a", "1"]], "add": []}},
        "routes": [route("open", "/open/{rest...}", json!("public"), json!([]), 1),
                   route("few", "/few", json!("authenticated"), json!([0]), 0),
                   route("read", "/a/{id}", json!({"permitted": {"all": [0], "any": []}}), json!([]), 0)]
    })
}

pub(super) fn load(plan: &Value) -> Result<Engine, PlanError> {
    let plan = Plan::parse(plan.to_string().as_bytes())?;
    Engine::load(
        plan,
        &Surroundings { secret: &|_| None, seed: [1, 2], peer_appended: false, peer_verified: true },
    )
}

struct Visit {
    engine: Engine,
    host: TestHost,
    exchange: Exchange,
}

impl Visit {
    fn new() -> Self {
        let host = TestHost::with_peer("192.0.2.1");
        Self { engine: load(&plan()).unwrap(), host, exchange: Exchange::default() }
    }

    fn head(&mut self, method: &str, path: &str, headers: &[(&str, &str)], end: bool) -> Step {
        let mut pairs: Vec<(&[u8], &[u8])> =
            vec![(b":method", method.as_bytes()), (b":path", path.as_bytes()), (b":authority", b"h")];
        pairs.extend(headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())));
        self.exchange = Exchange::default();
        self.engine.request_head(&mut self.exchange, &pairs, end, NOW, &mut self.host, &mut Trace::off())
    }

    fn body(&mut self, size: u64, end: bool, bytes: &str) -> Step {
        let mut bytes = || Some(bytes.as_bytes().to_vec());
        self.engine.request_body(&mut self.exchange, size, end, &mut bytes, &mut Trace::off())
    }
}

fn reason(step: &Step) -> Option<&'static str> {
    match step {
        Step::Refuse(refusal) => Some(refusal.reason.code()),
        Step::Continue | Step::Hold | Step::Wait(_) => None,
    }
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[test]
fn a_body_is_held_until_all_of_it_was_judged() {
    let mut visit = Visit::new();
    assert_eq!(visit.head("POST", "/open/x", JSON, false), Step::Hold);
    assert_eq!(visit.body(4, false, "{\"a\""), Step::Hold);
    assert_eq!(visit.body(7, true, "{\"a\":1}"), Step::Continue);
    assert_eq!(visit.head("POST", "/open/x", JSON, false), Step::Hold);
    assert_eq!(reason(&visit.body(4, true, "{\"a\"")), Some("body-malformed"));
    assert_eq!(reason(&visit.body(7, true, "{\"a\":1}")), Some("body-malformed"), "refused stays refused");
}

#[test]
fn a_body_that_grows_too_large_is_refused_before_its_end() {
    let mut visit = Visit::new();
    visit.head("POST", "/open/x", JSON, false);
    assert_eq!(visit.body(30, false, ""), Step::Hold);
    assert_eq!(reason(&visit.body(31, false, "")), Some("body-too-large"));
    // A body that is not read is counted piece by piece.
    assert_eq!(visit.head("POST", "/open/x", &[("content-type", "image/png")], false), Step::Continue);
    assert_eq!(visit.body(20, false, ""), Step::Continue);
    assert_eq!(reason(&visit.body(11, false, "")), Some("body-too-large"));
}

#[test]
fn trailers_end_a_body_that_never_said_so() {
    let mut visit = Visit::new();
    visit.head("POST", "/open/x", JSON, false);
    visit.body(2, false, "{}");
    let mut bytes = || Some(b"{}".to_vec());
    let step = visit.engine.request_trailers(&mut visit.exchange, &mut bytes, &mut Trace::off());
    assert_eq!(step, Step::Continue);
    visit.head("POST", "/open/x", JSON, false);
    let mut none = || Some(Vec::new());
    let step = visit.engine.request_trailers(&mut visit.exchange, &mut none, &mut Trace::off());
    assert_eq!(reason(&step), Some("body-missing"));
    visit.head("POST", "/open/x", JSON, false);
    let step = visit.engine.request_trailers(&mut visit.exchange, &mut || None, &mut Trace::off());
    assert_eq!(reason(&step), Some("body-malformed"), "a body that the proxy cannot show was not judged");
}

#[test]
fn a_body_without_a_judged_head_is_refused() {
    let mut visit = Visit::new();
    assert_eq!(reason(&visit.body(2, true, "{}")), Some("body-malformed"));
}

#[test]
fn no_client_speaks_for_an_identity() {
    let mut visit = Visit::new();
    let spoofed =
        [("x-user", "root"), ("x-debug", "1"), ("authorization", "Bearer x"), ("content-type", "image/png")];
    assert_eq!(visit.head("POST", "/open//x", &spoofed, false), Step::Continue);
    let edits = visit.exchange.take_edits();
    for name in ["x-user", "x-debug", "authorization"] {
        assert!(edits.contains(&Edit::Remove(name.into())), "{name}: {edits:?}");
    }
    assert!(edits.contains(&Edit::Set(":path".into(), "/open/x".into())));
    assert!(visit.exchange.take_edits().is_empty(), "edits are made once");
}

#[test]
fn no_other_spelling_speaks_for_a_header_of_the_policy() {
    let mut plan = plan();
    plan["headers"]["request"]["set"] = json!([["x-gateway", "us"]]);
    plan["routes"][0]["hosts"] = json!(["h"]);
    let mut visit = Visit { engine: load(&plan).unwrap(), ..Visit::new() };
    let spoofed = [
        "x_user",
        "x.user",
        "x_gateway",
        "x_debug",
        "x-original-url",
        "x_rewrite-url",
        "x-forwarded-host",
        "x_forwarded_for",
        "content_type",
    ];
    let headers: Vec<_> = spoofed.iter().map(|name| (*name, "a")).chain([("client_id", "b")]).collect();
    assert_eq!(visit.head("GET", "/open/x", &headers, false), Step::Hold);
    let edits = visit.exchange.take_edits();
    for name in spoofed {
        assert!(edits.contains(&Edit::Remove(name.into())), "{name}: {edits:?}");
    }
    assert!(!edits.contains(&Edit::Remove("client_id".into())));
}

#[test]
fn who_is_refused_uses_up_nothing_that_everybody_shares() {
    let mut plan = plan();
    let mut shared = plan["limits"][0].clone();
    shared["key"] = json!("everybody");
    shared["id"] = json!("shared");
    plan["limits"].as_array_mut().unwrap().push(shared);
    plan["routes"][1]["limits"] = json!([1]);
    plan["routes"][2]["access"] = json!("public");
    plan["routes"][2]["authentication"] = Value::Null;
    plan["routes"][2]["limits"] = json!([1, 0]);
    let mut visit = Visit { engine: load(&plan).unwrap(), ..Visit::new() };
    for _ in 0..3 {
        assert_eq!(reason(&visit.head("GET", "/few", &[], true)), Some("token-missing"));
    }
    assert_eq!(visit.head("GET", "/a/7", &[], true), Step::Continue, "the shared token is still there");
    assert_eq!(reason(&visit.head("GET", "/a/7", &[], true)), Some("limit-exceeded"));
    visit.host = TestHost { peer: "192.0.2.2".parse().ok(), ..visit.host };
    assert_eq!(reason(&visit.head("GET", "/a/7", &[], true)), Some("limit-exceeded"), "shared");

    plan["routes"][2]["limits"] = json!([1, 1]);
    assert_eq!(load(&plan).unwrap_err().place, "routes[2].limits");
    plan["limits"][1]["id"] = json!("few");
    assert_eq!(load(&plan).unwrap_err().place, "limits[1].id");
}

#[test]
fn what_refuses_cheaply_comes_first() {
    let mut visit = Visit::new();
    // Without a token either way: the budget is spent before anybody looks for one.
    assert_eq!(reason(&visit.head("GET", "/few", &[], true)), Some("token-missing"));
    assert_eq!(reason(&visit.head("GET", "/few", &[], true)), Some("limit-exceeded"));
    visit.host = TestHost::with_peer("203.0.113.9");
    assert_eq!(reason(&visit.head("GET", "/few", &[], true)), Some("address-denied"));
    assert_eq!(reason(&visit.head("GET", "/nothing", &[], true)), Some("address-denied"));
    assert_eq!(reason(&visit.head("GET", "/%2f", &[], true)), Some("path-ambiguous"));
}

#[test]
fn a_refused_request_has_no_edits_and_still_gets_response_headers() {
    let mut visit = Visit::new();
    visit.head("GET", "/few", &[("x-user", "root")], true);
    assert!(visit.exchange.take_edits().is_empty());
    let mut edits = Vec::new();
    visit.engine.response_edits(&visit.exchange, &mut |edit| edits.push(format!("{edit:?}")));
    for expected in [Edit::Remove("server"), Edit::Set("x-a", "1"), Edit::Set("x-ratelimit-limit", "1")] {
        assert!(edits.contains(&format!("{expected:?}")), "{expected:?}: {edits:?}");
    }
}

#[test]
fn a_plan_that_points_nowhere_is_not_loaded() {
    assert!(load(&plan()).is_ok());
    let broken: [(&str, Value, &str); 10] = [
        ("/routes/0/body", json!(9), "routes[0].body"),
        ("/routes/0/inspection", json!(9), "routes[0].inspection"),
        ("/routes/0/limits", json!([9]), "routes[0].limits"),
        ("/routes/2/access/permitted/all", json!([9]), "routes[2].access"),
        ("/routes/2/access/permitted/all", json!([]), "routes[2].access"),
        ("/routes/2/path", json!("/a/{other}"), "routes[2].access"),
        ("/routes/1/path", json!("few"), "routes[1].path"),
        ("/limits/0/slots", json!(65), "limits[0].slots"),
        ("/network/deny/0/network", json!("203.0.113.1/24"), "network.deny[0]"),
        ("/plan_version", json!(2), "plan_version"),
    ];
    for (pointer, value, place) in broken {
        let mut plan = plan();
        *plan.pointer_mut(pointer).unwrap() = value;
        let error = load(&plan).unwrap_err();
        assert_eq!(error.place, place, "{error}");
    }
    let mut plan = plan();
    plan["limits"][0]["key"] = json!("subject");
    plan["routes"][0]["limits"] = json!([0]);
    assert_eq!(load(&plan).unwrap_err().place, "routes[0].limits");
}

#[test]
fn every_route_says_how_it_is_found_out_who_comes() {
    let optional = json!({"mode": "optional", "methods": [{"jwt": 0}]});
    for (route, combination, good) in [
        (0, Value::Null, true),
        (0, json!(0), false),
        (0, json!(1), true),
        (0, json!(2), false),
        (1, Value::Null, false),
        (1, json!(0), true),
        (1, json!(1), false),
        (2, Value::Null, false),
        (2, json!(1), false),
    ] {
        let mut plan = plan();
        plan["authentication"]["combinations"].as_array_mut().unwrap().push(optional.clone());
        plan["routes"][route]["authentication"] = combination.clone();
        let loaded = load(&plan);
        assert_eq!(loaded.is_ok(), good, "{route} {combination}");
        if let Err(error) = loaded {
            assert_eq!(error.place, format!("routes[{route}].authentication"));
        }
    }
}
