//! Bundles made of parts: whatever a part says, requests outside of its root are judged as if it were not there, and
//! inside of it nobody gets through whom the bundle would have refused.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use bartizan_compiler::{Compiled, artifact, compile_dir, compile_files};
use bartizan_engine::envelope::payload::About;
use bartizan_engine::plan::AccessPlan;
use support::{Answer, Chance, Judge, Request, inside, requests};

const BUNDLE: &str = r#"
apiVersion: bartizan/v1
name: platform
authentication:
  jwt:
    - {name: corp, issuer: corp, audiences: [api], algorithms: [HS256], keys: {secret: {env: CORP_SECRET}}, map: {roles: roles}, require: {expiry: false}}
roles:
  admin: {permissions: ["*"]}
  viewer: {permissions: ["device:read"]}
  operator: {inherits: [viewer], permissions: ["platform:read"]}
limits:
  address: {key: client.address, rate: 1000000/1s}
  subject: {key: identity.subject, rate: 1000000/1s}
  strict: {key: client.address, rate: 1000000/1m}
defaults: {limits: [address, subject], inspect: {for: [sqli, xss], in: [query, body]}}
routes:
  - {path: /healthz, methods: [GET], access: public, limits: []}
  - {path: /devices, methods: [GET], access: {permission: "device:read"}}
  - {path: /shop/admin, methods: [GET, POST], access: {permission: "platform:admin"}}
  - {path: "/{any}/export", methods: [GET], access: {permission: "platform:read"}, limits: [address, strict]}
  - {path: "/open/{rest...}", access: authenticated}
  - {path: /blog/news, methods: [GET], access: public, limits: [address]}
  - {path: "/shop/x/{rest...}", access: authenticated, body: {max_size: 1KiB, json: {types: [application/json], max_depth: 2}}}
  - {path: /open/shop/x, access: authenticated, body: none}
"#;

fn with_parts(parts: &str, files: &[(&str, &str)]) -> Compiled {
    let bundle = format!("{BUNDLE}parts: {parts}\n");
    let all = files.iter().copied().chain([("bundle.yaml", bundle.as_str())]);
    compile_files(all.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect())
}

/// A `part.yaml` as somebody could write it who wants more than is his.
fn part(chance: &mut Chance) -> String {
    let paths = [
        "shop", "shop", "Shop", "admin", "export", "news", "devices", "healthz", "%40", "{a}", "{b}", "", "x",
    ];
    let mut text = String::from("apiVersion: bartizan/v1\nname: shop\n");
    if chance.one_in(2) {
        let grant =
            chance.of(&["shop:read", "shop:*", "shop/x:read", "*", "device:read", "platform:*", "*:*"]);
        let parent = chance.of(&["", "", "", "shop/b", "admin", "viewer"]);
        let name = chance.of(&["shop/a", "shop/a", "shop/a", "viewer", "shop"]);
        text += &format!(
            "roles:\n  {name}: {{permissions: [\"{grant}\"], inherits: [{parent}]}}\n  shop/b: {{permissions: [\"shop:read\"]}}\n"
        );
    }
    text += "limits:\n  shop/own: {key: client.address, rate: 1000000/1s}\nroutes:\n";
    for _ in 0..=chance.below(2) {
        let mut path = chance
            .of(&[
                "/shop",
                "/shop",
                "/shop",
                "/shop/x",
                "/shop/x/x",
                "/open/shop",
                "/open/shop/x",
                "/Shop",
                "/{any}",
                "/blog",
                "",
            ])
            .to_owned();
        for _ in 0..chance.below(3).saturating_sub(path.matches('/').count() / 2) {
            path += &format!("/{}", chance.of(&paths));
        }
        if chance.one_in(5) {
            path += "/{rest...}";
        }
        if path.is_empty() {
            path.push('/');
        }
        let access = chance.of(&[
            "public",
            "authenticated",
            "authenticated",
            "{permission: \"shop:read\"}",
            "{permission: \"platform:admin\"}",
            "{all: [\"platform:read\", \"shop:read\"]}",
            "{any: [\"platform:read\", \"shop:read\"]}",
        ]);
        text += &format!("  - path: \"{path}\"\n    access: {access}\n");
        for (one_in, field, values) in [
            (2, "methods", &["[GET]", "[POST]", "[GET, POST]", "[HEAD, DELETE]"][..]),
            (
                3,
                "hosts",
                &["[shop.test]", "[\"*.shop.test\"]", "[eu.shop.test]", "[other.test]", "[\"*.test\"]"][..],
            ),
            (3, "limits", &["[]", "[shop/own]", "[address]", "[strict, shop/own]", "[subject]"][..]),
            (
                2,
                "body",
                &[
                    "none",
                    "{json: {}}",
                    "{max_size: 1KiB, json: {types: [application/json], max_depth: 2}}",
                    "{form: {}}",
                    "{opaque: [text/plain]}",
                    "{json: {types: [text/plain]}}",
                ][..],
            ),
            (4, "inspect", &["none", "{for: [xss]}", "{for: [sqli, xss, traversal]}"][..]),
        ] {
            if chance.one_in(one_in) {
                text += &format!("    {field}: {}\n", chance.of(values));
            }
        }
    }
    text
}

#[test]
fn no_part_changes_what_is_not_its_own_nor_lets_through_whom_the_bundle_refuses() {
    let alone = compile_files(BTreeMap::from([("bundle.yaml".to_owned(), BUNDLE.as_bytes().to_vec())]));
    let mut alone = Judge::new(&alone);
    let requests = requests();
    let mut chance = Chance::new(0x5eed);
    let (mut taken, mut refused, mut changed) = (0_u32, 0_u32, 0_u32);
    for (hosts, allow) in [
        ("", ""),
        (", hosts: [shop.test, \"*.shop.test\"]", ""),
        ("", "public"),
        (", hosts: [shop.test]", "public, uninspected"),
    ] {
        let parts =
            format!("[{{name: shop, root: {{paths: [/shop, /open/shop]{hosts}}}, allow: [{allow}]}}]");
        for _ in 0..600 {
            let text = part(&mut chance);
            let compiled = with_parts(&parts, &[("parts/shop/part.yaml", &text)]);
            if compiled.plan.is_none() {
                refused += 1;
                continue;
            }
            taken += 1;
            let mut assembled = Judge::new(&compiled);
            // All requests for a few of them, every seventh for the others: what differs differs for many.
            let step = if taken.is_multiple_of(5) { 1 } else { 7 };
            for request in requests.iter().skip(usize::try_from(taken).unwrap() % step).step_by(step) {
                changed +=
                    u32::from(compare(&mut alone, &mut assembled, request, !hosts.is_empty(), allow, &text));
            }
        }
    }
    println!("{taken} parts taken, {refused} refused, {changed} requests judged otherwise inside");
    assert!(taken >= 100 && refused >= 100 && changed >= 500, "{taken} {refused} {changed}");
}

/// Whether the two judge a request differently, which only those may that are inside of the root.
fn compare(
    alone: &mut Judge,
    assembled: &mut Judge,
    request: &Request,
    by_host: bool,
    allow: &str,
    part: &str,
) -> bool {
    let (before, after) = (alone.judge(request), assembled.judge(request));
    let hosts: Option<&[&str]> = match (by_host, allow) {
        (false, _) => None,
        (true, "") => Some(&["shop.test", ".shop.test"]),
        (true, _) => Some(&["shop.test"]),
    };
    if !inside(request, &["/shop", "/open/shop"], hosts) {
        assert_eq!(before, after, "{request:?} is outside of the root of\n{part}");
        return false;
    }
    if let Answer::Passed(_) = after {
        let unknown = |reason: &str| ["route-unknown", "method-not-allowed"].contains(&reason);
        match &before {
            Answer::Passed(_) => {}
            // Where the bundle says nothing of bodies, they are the part's business.
            Answer::Refused("body-too-large") if request.path != "/open/shop/x" => {}
            Answer::Refused(reason) => assert!(unknown(reason), "{request:?} was {reason}\n{part}"),
        }
        let anonymous = request.token.is_none() && before != after;
        assert!(!anonymous || allow.contains("public"), "{request:?} passes without a token\n{part}");
    }
    before != after
}

#[test]
fn what_a_part_gets_of_the_bundle_and_what_the_bundle_gets_of_it() {
    let parts =
        "[{name: shop, root: {paths: [/shop], hosts: [shop.test, \"*.shop.test\"]}, allow: [public]}]";
    let text = r#"
apiVersion: bartizan/v1
name: shop
roles:
  shop/cashier: {permissions: ["shop:sell"]}
limits:
  shop/orders: {key: identity.subject, rate: 10/1m}
routes:
  - {path: /shop, methods: [GET], access: public}
  - path: /shop/orders
    methods: [POST]
    hosts: [eu.shop.test]
    name: order
    access: {permission: "shop:sell"}
    limits: [shop/orders, address]
    body: {json: {schema: schemas/order.json}}
"#;
    let files = [("parts/shop/part.yaml", text), ("parts/shop/schemas/order.json", r#"{"type": "object"}"#)];
    let compiled = with_parts(parts, &files);
    assert_eq!(compiled.errors(), 0, "{}", compiled.render(false));
    let plan = compiled.plan.as_ref().unwrap();
    let limit = |index: &usize| plan.limits[*index].id.as_str();
    let [.., home, order] = plan.routes.as_slice() else { panic!("no routes") };
    assert_eq!(home.at, "parts/shop/part.yaml:9");
    assert_eq!(home.hosts, ["shop.test", "*.shop.test"], "the hosts of the root");
    assert_eq!(home.access, AccessPlan::Public);
    assert_eq!(
        home.limits.iter().map(limit).collect::<Vec<_>>(),
        ["address"],
        "a public route has no subject"
    );
    assert_eq!((order.id.as_str(), &*order.hosts), ("shop/order", &["eu.shop.test".to_owned()][..]));
    let limits: Vec<_> = order.limits.iter().map(limit).collect();
    assert_eq!(
        limits,
        ["address", "subject", "shop/orders"],
        "those of the defaults, each once, then its own"
    );
    let body = &plan.validation.bodies[order.body];
    assert_eq!((body.at.as_str(), plan.validation.schemas.len()), ("parts/shop/part.yaml:16", 1));
    let inspection = &plan.validation.inspections[order.inspection];
    assert!(
        inspection.sqli && inspection.xss && !inspection.traversal && inspection.body && !inspection.path
    );
    let orders = plan.limits.iter().find(|limit| limit.id == "shop/orders").unwrap();
    assert_eq!(orders.at, "parts/shop/part.yaml:7");
    let sources = About::read(&artifact::payload(&compiled, None, None).unwrap()).unwrap().sources;
    let names: Vec<_> = sources.keys().map(String::as_str).collect();
    assert_eq!(names, ["bundle.yaml", "parts/shop/part.yaml", "parts/shop/schemas/order.json"]);
}

#[test]
fn the_same_parts_give_the_same_artifact_wherever_they_lie() {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("assembly");
    let _ = std::fs::remove_dir_all(&base);
    let write = |path: &Path, text: &str| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let part = "apiVersion: bartizan/v1\nname: shop\nroutes:\n  - {path: /shop, methods: [POST], access: authenticated, body: {json: {schema: a.json}}}\n";
    let bundle = format!("{BUNDLE}parts: [{{name: shop, dir: ../teams/shop, root: {{paths: [/shop]}}}}]\n");
    let mut payloads = Vec::new();
    for place in ["one", "another/and/deeper"] {
        let root = base.join(place);
        write(&root.join("teams/shop/part.yaml"), part);
        write(&root.join("teams/shop/a.json"), "{}");
        write(&root.join("teams/shop/notes.txt"), place);
        write(&root.join("platform/bundle.yaml"), &bundle);
        let compiled = compile_dir(&root.join("platform"));
        assert_eq!(compiled.errors(), 0, "{}", compiled.render(false));
        payloads.push(artifact::payload(&compiled, None, None).unwrap());
    }
    assert_eq!(payloads[0], payloads[1]);
    let about = About::read(&payloads[0]).unwrap();
    assert!(about.sources.contains_key("parts/shop/a.json"), "{:?}", about.sources);
    // A link that leads out of the part is not followed, and the bundle is no way out either.
    #[cfg(unix)]
    {
        let shop = base.join("one/teams/shop");
        std::fs::remove_file(shop.join("a.json")).unwrap();
        std::os::unix::fs::symlink("../../platform/bundle.yaml", shop.join("a.json")).unwrap();
        let text = compile_dir(&base.join("one/platform")).render(false);
        assert!(text.contains("`parts/shop/a.json` leads out of the part's directory"), "{text}");
    }
}

/// Routes made so that every second segment may be a text or a parameter: a walk doubles with each.
#[test]
fn a_part_cannot_make_the_walk_so_long_that_others_are_not_found() {
    let mut text = String::from("apiVersion: bartizan/v1\nname: shop\nroutes:\n");
    for number in 0..4096_u32 {
        let segments: Vec<String> = (0..12)
            .map(|bit| if number >> bit & 1 == 0 { "x".to_owned() } else { format!("{{p{bit}}}") })
            .collect();
        text += &format!(
            "  - {{path: \"/shop/{}/end\", methods: [GET], access: authenticated}}\n",
            segments.join("/")
        );
    }
    let parts =
        "[{name: shop, root: {paths: [/shop], hosts: [shop.test]}}, {name: last, root: {paths: [/last]}}]";
    let last = "apiVersion: bartizan/v1\nname: last\nroutes: [{path: /last, methods: [GET], access: authenticated}]\n";
    let compiled = with_parts(parts, &[("parts/shop/part.yaml", &text), ("parts/last/part.yaml", last)]);
    assert!(compiled.plan.is_none());
    let codes: Vec<_> =
        compiled.diagnostics.iter().map(|d| d.code).filter(|code| *code != "shared-secret").collect();
    assert_eq!(codes, ["routes-entangled"], "{}", compiled.render(false));
    let told = compiled.diagnostics.iter().find(|d| d.code == "routes-entangled").unwrap();
    assert!(told.message.contains("without the part `shop` it would be"), "{}", told.message);
}

#[test]
fn a_part_may_take_what_the_route_of_the_bundle_takes_and_less() {
    for (body, good) in [
        ("none", true),
        ("{max_size: 1KiB, json: {types: [application/json], max_depth: 2}}", true),
        ("{max_size: 1B, json: {types: [application/json], max_depth: 1, schema: a.json}}", true),
        ("{max_size: 1025B, json: {types: [application/json], max_depth: 2}}", false),
        ("{max_size: 1KiB, json: {types: [application/json], max_depth: 3}}", false),
        ("{max_size: 1KiB, json: {types: [application/json], max_depth: 2, max_key: 1KiB}}", false),
        ("{max_size: 1KiB, json: {types: [application/json, text/json], max_depth: 2}}", false),
        ("{max_size: 1KiB, form: {}}", false),
    ] {
        let text = format!(
            "apiVersion: bartizan/v1\nname: shop\nroutes:\n  - {{path: /shop/x/y, methods: [POST], access: authenticated, body: {body}}}\n"
        );
        let files = [("parts/shop/part.yaml", text.as_str()), ("parts/shop/a.json", "{}")];
        let compiled = with_parts("[{name: shop, root: {paths: [/shop]}}]", &files);
        assert_eq!(compiled.plan.is_some(), good, "{body}\n{}", compiled.render(false));
    }
    // A schema of the bundle is no schema of the part by the same name, and bodies of the defaults are the bundle's.
    let bundle = r#"
apiVersion: bartizan/v1
name: platform
authentication: {jwt: [{name: corp, issuer: corp, audiences: [api], algorithms: [HS256], keys: {secret: {env: CORP_SECRET}}}]}
defaults: {body: {json: {schema: a.json}}}
routes: [{path: "/shop/{rest...}", access: authenticated}]
parts: [{name: shop, root: {paths: [/shop]}}]
"#;
    for (body, good) in [("", true), (", body: {json: {schema: a.json}}", false), (", body: none", true)] {
        let text = format!(
            "apiVersion: bartizan/v1\nname: shop\nroutes:\n  - {{path: /shop/y, methods: [POST], access: authenticated{body}}}\n"
        );
        let files = [
            ("bundle.yaml", bundle),
            ("a.json", "{}"),
            ("parts/shop/part.yaml", &text),
            ("parts/shop/a.json", "{}"),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
        let compiled = compile_files(BTreeMap::from(files));
        assert_eq!(compiled.plan.is_some(), good, "{body}\n{}", compiled.render(false));
    }
}
