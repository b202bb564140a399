//! Whole bundles through the whole compiler.

use std::collections::BTreeMap;

use bartizan_compiler::diagnostic::Severity;
use bartizan_compiler::{Compiled, artifact, canonical, compile_files, compile_str};
use bartizan_engine::authentication::plan::KeySource;
use bartizan_engine::envelope::payload::About;
use bartizan_engine::plan::{AccessPlan, Plan};

/// The public key of RFC 7517, appendix A.1.
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"sig","kid":"1"}]}"#;

const BUNDLE: &str = r#"
apiVersion: bartizan/v1
name: iot-gateway
revision: 7
network:
  client_address: {trusted_hops: 1}
  deny: [198.51.100.0/24, 203.0.113.7]
authentication:
  jwt:
    - name: corp
      issuer: https://login.example.com/
      audiences: [iot-api]
      algorithms: [ES256]
      keys: {jwks: keys/corp.jwks.json}
      require: {max_lifetime: 24h, claims: {type: access}}
      map: {roles: realm_access.roles}
      forward: {headers: {x-auth-subject: sub}}
roles:
  admin: {permissions: ["*"]}
  operator: {inherits: [viewer], permissions: ["device:write"]}
  viewer: {permissions: ["device:read"]}
limits:
  api: {key: identity.subject, rate: [60/1m, 1000/1h], burst: 20}
defaults:
  limits: [api]
routes:
  - {path: /healthz, methods: [GET], access: public, limits: []}
  - path: "/api/devices/{id}"
    methods: [GET]
    access: {permission: "device:read:{id}"}
  - path: "/api/devices/{id}"
    methods: [PUT]
    access: {permission: "device:write:{id}"}
    body: {json: {}}
headers: {profile: strict, response: {set: {x-frame-options: SAMEORIGIN}}}
"#;

fn compiled() -> Compiled {
    compile_files(BTreeMap::from([
        ("bundle.yaml".to_owned(), BUNDLE.as_bytes().to_vec()),
        ("keys/corp.jwks.json".to_owned(), JWKS.as_bytes().to_vec()),
    ]))
}

#[test]
fn a_good_bundle_becomes_a_plan_without_a_word() {
    let compiled = compiled();
    assert_eq!(compiled.render(false), "");
    let plan = compiled.plan.unwrap();
    assert_eq!(plan.revision, 7);
    assert_eq!(plan.network.deny[1].network, "203.0.113.7/32");
    assert_eq!(plan.network.deny[1].at, "bundle.yaml:7");
    let jwt = &plan.authentication.jwt[0];
    assert!(matches!(&jwt.keys, KeySource::Jwks(set) if set.contains("\"kid\":\"1\"")));
    assert_eq!(jwt.max_lifetime_s, Some(86_400));
    let operator = plan.authorization.roles.iter().find(|r| r.name == "operator").unwrap();
    assert_eq!(operator.permissions, ["device:read", "device:write"]);
    assert_eq!(operator.at, "bundle.yaml:20");
    assert_eq!(plan.limits[0].windows[0].burst, 20);
    assert_eq!(plan.limits[0].windows[1].burst, 1000);
    assert_eq!(plan.routes[0].methods, ["GET", "HEAD"]);
    assert_eq!(plan.routes[0].limits, Vec::<usize>::new());
    assert_eq!(plan.routes[1].access, AccessPlan::Permitted { all: vec![0], any: vec![] });
    assert_eq!(plan.routes[1].at, "bundle.yaml:28");
    assert_eq!(plan.routes[1].id, "GET /api/devices/{id}");
    assert_eq!(plan.routes[1].body, 0);
    assert!(plan.validation.bodies[plan.routes[2].body].required);
    let frame = plan.headers.response.set.iter().find(|(n, _)| n == "x-frame-options").unwrap();
    assert_eq!(frame.1, "SAMEORIGIN");
    assert_eq!(plan.headers.response.remove, ["server", "x-powered-by"]);
}

#[test]
fn a_plan_is_the_same_bytes_every_time_and_reads_back() {
    let first = canonical::plan(&compiled().plan.unwrap()).unwrap();
    let second = canonical::plan(&compiled().plan.unwrap()).unwrap();
    assert_eq!(first, second);
    assert_eq!(Plan::parse(first.as_bytes()).unwrap(), compiled().plan.unwrap());
}

/// The files of a bundle in a directory, written in this order.
#[expect(clippy::unwrap_used, reason = "what helps a test may fail as a test does")]
fn written(name: &str, files: &[(&str, &[u8])]) -> std::path::PathBuf {
    let root = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&root);
    for (path, bytes) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    root
}

#[test]
fn the_same_sources_give_the_same_artifact_wherever_they_lie() {
    let files = [("bundle.yaml", BUNDLE.as_bytes()), ("keys/corp.jwks.json", JWKS.as_bytes())];
    let turned: Vec<_> = files.iter().rev().copied().collect();
    let build = |root: &std::path::Path| {
        artifact::payload(&bartizan_compiler::compile_dir(root), None, None).unwrap()
    };
    let first = build(&written("here", &files));
    // Elsewhere, written in another order, with a file beside them that the bundle does not name.
    let elsewhere = written("there/some/where/else", &turned);
    std::fs::write(elsewhere.join("notes.txt"), "not read").unwrap();
    assert_eq!(build(&elsewhere), first);
    assert_eq!(artifact::payload(&compiled(), None, None).unwrap(), first, "from memory too");
    let about = About::read(&first).unwrap();
    assert_eq!(about.sources.keys().collect::<Vec<_>>(), ["bundle.yaml", "keys/corp.jwks.json"]);
    // A blank more is another source, and the same plan.
    let spaced = [("bundle.yaml", &[BUNDLE.as_bytes(), b"\n"].concat()[..]), files[1]];
    let other = build(&written("spaced", &spaced));
    assert_ne!(other, first);
    assert_eq!(About::read(&other).unwrap().plan(&other), about.plan(&first));
}

#[test]
fn one_error_is_enough_for_no_plan_and_a_warning_is_not() {
    let warned = compile_str(
        "apiVersion: bartizan/v1\nname: a\nlimits: {x: {key: everybody, rate: 1/s}}\nroutes: [{path: /, access: public}]\n",
    );
    assert_eq!((warned.errors(), warned.warnings()), (0, 1), "{}", warned.render(false));
    assert!(warned.plan.is_some());
    let failed =
        compile_str("apiVersion: bartizan/v1\nname: a\nroutes: [{path: /, access: public, limits: [x]}]\n");
    assert!(failed.plan.is_none());
    assert_eq!(failed.diagnostics[0].severity, Severity::Error);
}

#[test]
fn errors_of_shape_and_of_meaning_come_together() {
    let compiled = compile_str(
        "apiVersion: bartizan/v1\nname: a\nroutes:\n  - {path: /, access: public, limits: [x]}\n  - {path: /b, acess: public}\n",
    );
    let codes: Vec<_> = compiled.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, ["unknown-limit", "unknown-field"], "{}", compiled.render(false));
}

#[test]
fn no_input_makes_the_compiler_panic() {
    // Every prefix and every cut of a good bundle: half-written files are what an editor checks all day.
    for cut in 0..BUNDLE.len() {
        let start = BUNDLE.get(..cut).unwrap_or_default();
        let _ = compile_str(start);
        let _ = compile_str(&format!("{start}{}", BUNDLE.get(cut + 7..).unwrap_or_default()));
    }
}

#[test]
fn the_ready_made_bundles_compile_without_a_word() {
    let library = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../library");
    let mut seen = 0;
    for entry in std::fs::read_dir(library).unwrap() {
        let path = entry.unwrap().path();
        if path.join("bundle.yaml").exists() {
            seen += 1;
            let compiled = bartizan_compiler::compile_dir(&path);
            assert_eq!(compiled.render(false), "", "{}", path.display());
            assert!(compiled.plan.is_some());
        }
    }
    assert!(seen >= 4, "only {seen} ready-made bundles");
}

#[test]
fn a_thousand_routes_compile_in_a_moment() {
    use std::fmt::Write;
    let mut bundle = BUNDLE.to_owned();
    let (head, tail) = bundle.split_once("\nheaders:").unwrap();
    let mut text = format!("{head}\n");
    for n in 0..1000 {
        writeln!(text, "  - path: /r{n}/{{id}}\n    methods: [POST]\n    access: {{permission: \"device:read:{{id}}\"}}\n    body: {{json: {{max_depth: 4}}}}").unwrap();
    }
    write!(text, "headers:{tail}").unwrap();
    bundle = text;
    let files = BTreeMap::from([
        ("bundle.yaml".to_owned(), bundle.into_bytes()),
        ("keys/corp.jwks.json".to_owned(), JWKS.as_bytes().to_vec()),
    ]);
    let start = std::time::Instant::now();
    let compiled = compile_files(files);
    let took = start.elapsed();
    assert_eq!(compiled.render(false), "");
    assert_eq!(compiled.plan.unwrap().routes.len(), 1003);
    // Unoptimised and on a busy machine; a release build takes a tenth of it.
    assert!(took.as_secs() < 10, "{took:?}");
    println!("1000 routes: {took:?}");
}

#[test]
fn a_flood_of_mistakes_is_cut_and_still_refused() {
    let mut text = String::from("apiVersion: bartizan/v1\nname: a\nroutes: [{path: /, access: public}]\n");
    for n in 0..5000 {
        text.push_str(&format!("k{n}: 1\n"));
    }
    let compiled = compile_str(&text);
    assert!(compiled.plan.is_none());
    assert_eq!(compiled.diagnostics.len(), bartizan_compiler::diagnostic::MAX_DIAGNOSTICS + 1);
    assert_eq!(compiled.diagnostics.last().unwrap().code, "more");
}
