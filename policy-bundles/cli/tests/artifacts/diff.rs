//! Differences between bundles.

use serde_json::{Value, json};

use crate::Scratch;

const OLD: &str = r#"apiVersion: bartizan/v1
name: edge
limits: {api: {key: client.address, rate: 60/1m}}
authentication: {jwt: [{name: corp, issuer: corp, audiences: [api], algorithms: [HS256], keys: {secret: {env: S}}, map: {roles: roles}}]}
roles: {viewer: {permissions: ["device:read"]}}
routes:
  - {path: /a, methods: [GET], access: public, limits: [api]}
  - {path: /gone, methods: [GET], access: {permission: "device:read"}}
"#;

#[test]
fn differences_are_told_in_words() {
    let scratch = Scratch::new("diff");
    scratch.write("old/bundle.yaml", OLD.as_bytes());
    let new = OLD
        .replace("60/1m", "120/1m")
        .replace("/gone", "/come")
        .replace("access: public", "access: authenticated")
        .replace("[\"device:read\"]", "[\"device:read\", \"device:list\"]")
        .replace("jwt: [", "jwt: [{name: other, issuer: other, audiences: [b, c], algorithms: [HS256], keys: {secret: {env: T}}, map: {roles: roles}}, ")
        + "headers: {response: {set: {x-a: b}}}\nlabels: {team: edge}\n";
    scratch.write("new/bundle.yaml", new.as_bytes());
    let text = scratch.ends(1, "diff old new");
    for line in [
        "  labels.team: + edge",
        "      permissions: + device:list",
        "      rate: - 60/1m burst 60, + 120/1m burst 120",
        "      access: public -> authenticated",
        // Methods by their names: their numbers move when one is added.
        "      authentication: + any of other, corp",
        // Of what comes all is told, of what goes what mattered most.
        "  + GET /come",
        "      access: permission device:read",
        "      path: /come",
        "      methods: GET, HEAD",
        "      hosts: none",
        "      inspection.for: sqli, xss, traversal",
        "      body.max_bytes: 0",
        "  + other",
        "      issuer: other",
        "      algorithms: HS256",
        "      audiences: b, c",
        "      keys.secret.env: T",
        "  - GET /gone: permission device:read",
        "  response.set.x-a: + b",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let json = scratch.json(1, "diff old new");
    let routes =
        json["changes"].as_array().into_iter().flatten().filter(|change| change["section"] == "routes");
    assert_eq!(routes.count(), 4, "{json:#}");
    // An artifact, a plan and a directory of one bundle are the same.
    scratch.ends(0, "build old -o old.bundle");
    scratch.ends(0, "build old --plan -o old.json");
    for other in ["old.bundle", "old.json", "old"] {
        assert_eq!(scratch.ends(0, &format!("diff old {other}")), "no difference\n");
    }
    // Where rules stand makes no difference, and what they say does.
    scratch.write("moved/bundle.yaml", OLD.replace("name: edge", "# a comment\n\nname: edge").as_bytes());
    scratch.ends(0, "diff old moved");
    // Neither does their order.
    let route = "  - {path: /a, methods: [GET], access: public, limits: [api]}\n";
    scratch.write("turned/bundle.yaml", (OLD.replace(route, "") + route).as_bytes());
    scratch.ends(0, "diff old turned");
    scratch.write("broken/bundle.yaml", b"{");
    scratch.ends(2, "diff old broken");
    scratch.ends(3, "diff old nowhere");
}

/// A plan names methods by number, and a number may come to mean another method while it stays the same.
#[test]
fn a_route_that_takes_another_issuer_is_told_whatever_the_order() {
    let scratch = Scratch::new("methods");
    let issuer = |name: &str| {
        format!(
            "{{name: {name}, issuer: {name}, audiences: [api], algorithms: [HS256], keys: {{secret: {{env: S}}}}}}"
        )
    };
    let bundle = |first: &str, second: &str, taken: &str| {
        format!(
            "apiVersion: bartizan/v1\nname: edge\nauthentication: {{jwt: [{}, {}]}}\nroutes: [{{path: /admin, access: authenticated, authentication: {{any: [{taken}]}}}}]\n",
            issuer(first),
            issuer(second)
        )
    };
    scratch.write("old/bundle.yaml", bundle("corp", "partners", "corp").as_bytes());
    scratch.write("new/bundle.yaml", bundle("partners", "corp", "partners").as_bytes());
    let text = scratch.ends(1, "diff old new");
    assert!(text.contains("authentication: any of corp -> any of partners"), "{text}");
    scratch.write("turned/bundle.yaml", bundle("partners", "corp", "corp").as_bytes());
    assert_eq!(scratch.ends(0, "diff old turned"), "no difference\n");
}

#[test]
fn hashes_of_passwords_are_not_shown() {
    let scratch = Scratch::new("passwords");
    let bundle = "apiVersion: bartizan/v1\nname: edge\nauthentication: {basic: [{name: tools, users: users.yaml}]}\nroutes: [{path: /, access: authenticated}]\n";
    let hashes = [
        ("old", "$2b$08$sU2hb6aJm2AYZfSymP59su1EgHnoDnxramIblL6.u62d.V8E.GjRu"),
        ("new", "$2b$04$ZSdSoFOu7v3Cw8O2.TyTweeEIt2u40NgSxzCGDypzG9z2DLS7luQS"),
    ];
    for (name, hash) in hashes {
        let users = format!("users:\n  ann: {{password: \"{hash}\"}}\n");
        scratch.write(&format!("{name}/bundle.yaml"), bundle.as_bytes());
        scratch.write(&format!("{name}/users.yaml"), users.as_bytes());
    }
    let text = scratch.ends(1, "diff old new");
    assert!(text.contains("tools") && text.contains("hashes: sha256:") && !text.contains("$2b$"), "{text}");
}

#[test]
fn a_further_content_type_is_told_with_how_it_is_read() {
    let scratch = Scratch::new("types");
    let bundle = |body: &str| {
        format!(
            "apiVersion: bartizan/v1\nname: edge\nroutes: [{{path: /, methods: [POST], access: public, body: {{{body}}}}}]\n"
        )
    };
    scratch.write("old/bundle.yaml", bundle("opaque: [image/png]").as_bytes());
    scratch.write("new/bundle.yaml", bundle("opaque: [image/png], json: {max_depth: 3}").as_bytes());
    let text = scratch.ends(1, "diff old new");
    let line = "      body.content.application/json.read.json.limits.max_depth: + 3";
    assert!(text.lines().any(|found| found == line), "{text}");
}

#[test]
fn what_no_filter_loads_is_not_compared() {
    let scratch = Scratch::new("ambiguous");
    scratch.write("old/bundle.yaml", OLD.as_bytes());
    scratch.ends(0, "build old --plan -o old.json");
    let plan: Value = serde_json::from_slice(&scratch.read("old.json")).unwrap_or_default();
    // Two routes that only their order tells apart, and two ways to read one content type.
    let mut routes = plan.clone();
    if let Some(Value::Array(all)) = routes.get_mut("routes") {
        let mut lax = all.get(1).cloned().unwrap_or_default();
        lax["access"] = "public".into();
        all.push(lax);
    }
    let mut types = plan;
    types["validation"]["bodies"][0]["content"] =
        json!([{"media_type": "a/b", "read": "opaque"}, {"media_type": "a/b", "read": "opaque"}]);
    for (name, new, place) in [
        ("routes", routes, "routes[2].path: takes requests that routes[1] takes too"),
        ("types", types, "validation.bodies[0].content[1].media_type: `a/b` is there twice"),
    ] {
        scratch.write(&format!("{name}.json"), new.to_string().as_bytes());
        let told = scratch.ends(2, &format!("diff old.json {name}.json"));
        assert!(told.contains(&format!("{name}.json: {place}")), "{told}");
    }
}
