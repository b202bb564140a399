use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;

use bartizan_compiler::compile_str;

use super::*;
use crate::session::{Options, Place, run};
use crate::suite::load_all;

/// The word for a kind of rule: the name of its key.
fn kind(key: &Key) -> String {
    format!("{key:?}").split('(').next().unwrap_or_default().to_owned()
}

/// Kinds of rules with their outcomes.
fn kinds(coverage: &Coverage, met: bool) -> BTreeSet<(String, &'static str)> {
    let sides = coverage.items.iter().flat_map(|(key, item)| item.sides.iter().map(move |side| (key, side)));
    sides.filter(|(_, side)| !met || side.met > 0).map(|(key, side)| (kind(key), side.word)).collect()
}

/// All cases of this repository: the trace speaks of no rule that the list does not have, and each kind of rule
/// is met with each outcome that the list says it can have. So neither can change without the other.
#[test]
fn the_trace_and_the_list_of_rules_agree() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut suites = Vec::new();
    for place in ["test-harness/cases", "policy-bundles/library"] {
        suites.append(&mut load_all(&root.join(place)).unwrap());
    }
    // The largest bodies take the longest, and meet nothing that small ones do not.
    for suite in &mut suites {
        suite.runs.retain(|run| !run.label().contains("1398101") && !run.label().contains("14 MiB"));
    }
    let fresh = |suite: &crate::suite::Loaded| Coverage::new(&suite.prepare().unwrap().plan).unwrap();
    let coverages: Vec<_> = suites.iter().map(|suite| Mutex::new(fresh(suite))).collect();
    let options = Options { traced: true, ..Options::default() };
    let tally = run(&suites, &Place::Native, &options, &|outcome| {
        let number = suites.iter().position(|suite| std::ptr::eq(suite, outcome.suite)).unwrap();
        let mut coverage = coverages[number].lock().unwrap();
        for request in &outcome.traced {
            coverage.add(&request.considered, request.refusal.as_ref());
        }
    });
    assert!(tally.runs > 300 && tally.failed == 0, "{tally:?}");
    let (mut all, mut met) = (BTreeSet::new(), BTreeSet::new());
    for (suite, coverage) in suites.iter().zip(coverages) {
        let coverage = coverage.into_inner().unwrap();
        assert!(coverage.strays().is_empty(), "{}: {:?}", suite.file, coverage.strays());
        all.append(&mut kinds(&coverage, false));
        met.append(&mut kinds(&coverage, true));
    }
    let never: Vec<_> = all.difference(&met).collect();
    assert!(never.is_empty(), "no case can meet {never:?}");
}

fn of(bundle: &str) -> Coverage {
    let compiled = compile_str(bundle);
    let plan = compiled.plan.as_ref().unwrap_or_else(|| panic!("{}", compiled.render(false)));
    Coverage::new(plan).unwrap()
}

fn names(coverage: &Coverage, group: Group) -> Vec<String> {
    let told = |item: &Item| {
        let words: Vec<_> = item.sides.iter().map(|side| side.word).collect();
        format!("{} {}: {}", item.at, item.name, words.join(", "))
    };
    coverage.items(group).map(told).collect()
}

const SMALL: &str = "\
apiVersion: bartizan/v1
name: small
authentication:
  jwt:
    - name: corp
      issuer: https://login.example.com/
      audiences: [api]
      algorithms: [HS256]
      keys: {secret: {env: SECRET}}
      map: {roles: roles}
roles:
  reader: {permissions: ['things:read']}
  root:   {permissions: ['*']}
defaults: {inspect: none}
routes:
  - {name: health, path: /healthz, methods: [GET], access: public}
  - {name: read, path: /things, methods: [GET], access: {permission: 'things:read'}}
  - {name: write, path: /things, methods: [POST], access: {permission: 'things:write'}, body: {json: {}}}
";

#[test]
fn the_list_is_what_the_bundle_says() {
    let coverage = of(SMALL);
    assert_eq!(
        names(&coverage, Group::Routes),
        [
            "bundle.yaml:16 route `health`: let through, refused",
            "bundle.yaml:17 route `read`: let through, refused",
            "bundle.yaml:18 route `write`: let through, refused",
        ]
    );
    assert_eq!(
        names(&coverage, Group::Rules),
        [
            "bundle.yaml:5 issuer `corp`: believed, refused",
            "bundle.yaml:12 role `reader`: granted, did not grant",
            // Nothing that is asked here can be refused to it.
            "bundle.yaml:13 role `root`: granted",
        ]
    );
    let reasons = names(&coverage, Group::Reasons).join(" ");
    assert!(reasons.contains("permission-denied") && reasons.contains("body-limits"), "{reasons}");
    for never in ["address-denied", "limit-exceeded", "body-schema", "attack-sqli", "no-policy"] {
        assert!(!reasons.contains(never), "{never}: {reasons}");
    }
    assert_eq!(coverage.whole().met, 0);
}

#[test]
fn what_happened_is_counted_where_it_belongs() {
    let mut coverage = of(SMALL);
    let found = |finding| Consideration {
        room: bartizan_engine::pipeline::Room::Intake,
        at: String::new(),
        what: String::new(),
        finding: Some(finding),
    };
    let denied = Refusal::new(Reason::PermissionDenied, "");
    let role = || found(Finding::Role { role: "reader".into(), granted: false });
    coverage.add(&[found(Finding::Route(2)), role()], Some(&denied));
    coverage.add(&[found(Finding::Route(2)), role()], Some(&denied));
    coverage.add(&[found(Finding::Route(0))], None);
    let met: Vec<_> = Group::ALL
        .iter()
        .flat_map(|group| coverage.items(*group))
        .flat_map(|item| item.sides.iter().map(move |side| (item.name.as_str(), side.word, side.met)))
        .filter(|(_, _, met)| *met > 0)
        .collect();
    assert_eq!(
        met,
        [
            ("route `health`", "let through", 1),
            ("route `write`", "refused", 2),
            ("role `reader`", "did not grant", 2),
            ("permission-denied", "met", 2),
        ]
    );
    assert!(coverage.strays().is_empty());
    coverage.add(&[found(Finding::Route(9))], None);
    assert!(!coverage.strays().is_empty(), "a route that there is not");
}

#[test]
fn shares_are_of_a_hundred() {
    assert!((Share { met: 1, of: 4 }.percent() - 25.0).abs() < 1e-9);
    assert!((Share::default().percent() - 100.0).abs() < 1e-9);
    assert_eq!(Share { met: 1999, of: 2000 }.to_string(), "99.9 %", "never rounded up");
    assert_eq!(Share { met: 573, of: 1000 }.to_string(), "57.3 %", "no tenth is lost");
    assert_eq!(Share::default().to_string(), "100.0 %");
    assert_eq!(Share { met: 1, of: 2 }.and(Share { met: 3, of: 4 }), Share { met: 4, of: 6 });
}
