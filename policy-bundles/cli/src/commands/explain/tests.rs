use super::*;

const BUNDLE: &str = "\
apiVersion: bartizan/v1
name: test
authentication:
  jwt:
    - name: corp
      issuer: https://login.example.com/
      audiences: [api]
      algorithms: [HS256]
      keys: {secret: {env: BARTIZAN_TEST_SECRET_NOBODY_SETS}}
      map: {roles: roles}
roles:
  viewer: {permissions: ['device:read']}
limits:
  api: {key: identity.subject, rate: 60/1m}
defaults: {limits: [api]}
routes:
  - {path: /healthz, methods: [GET], access: public, limits: []}
  - {path: '/devices/{id}', methods: [GET], access: {permission: 'device:read:{id}'}}
  - {path: /devices, methods: [POST], access: {permission: 'device:read'}, body: {json: {}}}
";

fn explain(request: &str) -> Value {
    let compiled = bartizan_compiler::compile_str(BUNDLE);
    let plan = compiled.plan.unwrap_or_else(|| panic!("{}", compiled.diagnostics.len()));
    explained(plan, request, "request.yaml").unwrap().json()
}

use serde_json::{Value, json};

fn says(explanation: &Value, at: &str, what: &str) -> bool {
    let considered = explanation["considered"].as_array().into_iter().flatten();
    considered.into_iter().any(|c| c["at"] == at && c["what"] == what)
}

#[test]
fn a_request_is_let_through_and_its_nearest_neighbour_is_not() {
    let allowed = explain("{path: /devices/7, token: {roles: [viewer]}}");
    assert_eq!(allowed["decision"]["allow"], true, "{allowed:#}");
    assert_eq!(allowed["route"]["at"], "bundle.yaml:18");
    assert_eq!(allowed["identity"]["subject"], SUBJECT);
    assert!(says(&allowed, "bundle.yaml:12", "the role `viewer` (device:read) grants `device:read:{id}`"));
    let refused = explain("{path: /devices/7, token: {roles: [guest]}}");
    assert!(says(&refused, "", "the policy has no role `guest`"), "{refused:#}");
    assert_eq!(refused["decision"]["reason"], "permission-denied", "{refused:#}");
    assert!(refused["considered"].as_array().unwrap().len() > 1, "{refused:#}");
}

#[test]
fn bodies_are_judged_too() {
    let good = explain("{method: POST, path: /devices, token: {roles: [viewer]}, body: {json: {a: 1}}}");
    assert_eq!(good["decision"], json!({"allow": true}), "{good:#}");
    let bad = explain(
        "{method: POST, path: /devices, token: {roles: [viewer]}, body: {text: '{', type: application/json}}",
    );
    assert_eq!(bad["decision"]["reason"], "body-malformed", "{bad:#}");
}

#[test]
fn tokens_can_be_placed_by_hand() {
    let placed = explain(
        "{path: /devices/7, headers: {authorization: 'Bearer ${token.a}'}, tokens: {a: {roles: [viewer]}}}",
    );
    assert_eq!(placed["decision"]["allow"], true, "{placed:#}");
}

#[test]
fn text_names_the_reason_and_steers_no_terminal() {
    let plan = bartizan_compiler::compile_str(BUNDLE).plan.unwrap();
    let text = explained(plan, "{path: \"/nope\\e[2J\"}", "request.yaml").unwrap().text(false);
    assert!(text.contains("decision  refused: "), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_wrong_request_is_said_to_be_wrong() {
    let plan = bartizan_compiler::compile_str(BUNDLE).plan.unwrap();
    let problem = explained(plan, "{pth: /}", "request.yaml").unwrap_err();
    assert!(problem.contains("pth"), "{problem}");
}
