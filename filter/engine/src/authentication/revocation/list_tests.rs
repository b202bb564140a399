use proptest::prelude::*;

use super::super::plan::NamesPlan;
use super::*;

const NOW: Now = Now::from_secs(1_000);

fn entry(name: &str) -> Entry<'_> {
    Entry { name, issuer: None, until: None, before: None }
}

fn token<'i>(issuer: &'i str, subject: &'i str, issued_at: u64) -> Asked<'i> {
    Asked { issuer, subject, token: true, issued_at: Some(issued_at * NANOS), ..Asked::default() }
}

fn list(entries: Entries<'_>) -> List {
    List::new(Entries { issuers: vec!["corp".into(), "partner".into()], ..entries }).unwrap()
}

#[test]
fn each_kind_of_name_is_its_own() {
    let list = list(Entries {
        tokens: vec![entry("t")],
        sessions: vec![entry("s")],
        subjects: vec![entry("u")],
        ..Entries::default()
    });
    let judge = |jti, sid, subject, sub| {
        let asked = Asked { jti, sid, sub, ..token("corp", subject, 1) };
        list.judge(&asked, NOW)
    };
    assert_eq!(judge(Some("t"), None, "x", None), Some(Revoked::Token));
    assert_eq!(judge(None, Some("s"), "x", None), Some(Revoked::Session));
    assert_eq!(judge(None, None, "u", None), Some(Revoked::Subject));
    assert_eq!(judge(None, None, "x", Some("u")), Some(Revoked::Subject));
    assert_eq!(judge(Some("s"), Some("u"), "t", Some("s")), None);
    assert_eq!(judge(None, None, "x", None), None);
    assert_eq!(list.len(), 3);
}

#[test]
fn what_was_issued_before_is_revoked_and_what_was_issued_then_is_not() {
    let list = list(Entries { issued_before: Some(500), ..Entries::default() });
    assert_eq!(list.judge(&token("corp", "u", 499), NOW), Some(Revoked::IssuedBefore(500)));
    assert_eq!(list.judge(&token("corp", "u", 500), NOW), None);
    let late = Asked { issued_at: Some(500 * NANOS - 1), ..token("corp", "u", 0) };
    assert_eq!(list.judge(&late, NOW), Some(Revoked::IssuedBefore(500)));
    // Who does not say when has no way to show that it was later.
    assert_eq!(list.judge(&Asked { issued_at: None, ..late }, NOW), Some(Revoked::NotDated));
    // An API key has no such time.
    assert_eq!(list.judge(&Asked { token: false, issued_at: None, ..late }, NOW), None);
}

#[test]
fn the_latest_of_all_times_that_hold_counts() {
    let list = list(Entries {
        issued_before: Some(300),
        issuers_before: vec![(1, 500), (1, 400)],
        subjects: vec![Entry { before: Some(700), ..entry("u") }, Entry { before: Some(100), ..entry("v") }],
        ..Entries::default()
    });
    for (issuer, subject, first_good) in [
        ("corp", "x", 300),
        ("partner", "x", 500),
        ("corp", "u", 700),
        ("partner", "u", 700),
        ("corp", "v", 300),
        ("partner", "v", 500),
        ("other", "x", 300),
    ] {
        assert!(list.judge(&token(issuer, subject, first_good - 1), NOW).is_some(), "{issuer} {subject}");
        assert_eq!(list.judge(&token(issuer, subject, first_good), NOW), None, "{issuer} {subject}");
    }
}

#[test]
fn lists_of_plans_are_checked() {
    let plan = ListPlan { issuers: vec!["corp".into()], issuers_before: vec![(0, 5)], ..ListPlan::default() };
    assert!(List::load(&plan, &["corp"], &["corp"], "revoked.list").is_ok());
    let error = List::load(&plan, &["other"], &["other"], "revoked.list").unwrap_err();
    assert_eq!(error.to_string(), "revoked.list.issuers[0]: there is no method `corp`");
    let plan = ListPlan { issuers_before: vec![(1, 5)], ..plan };
    assert!(List::load(&plan, &["corp"], &["corp"], "revoked.list").is_err());
}

#[test]
fn entries_that_could_revoke_nothing_refuse_the_plan() {
    let names = |issuer, before| NamesPlan {
        count: 1,
        names: "x".into(),
        issuer: vec![issuer],
        before: vec![before],
        ..NamesPlan::default()
    };
    let plan = ListPlan { issuers: vec!["corp".into(), "devices".into()], ..ListPlan::default() };
    let load = |plan: &ListPlan| {
        List::load(plan, &["corp", "devices"], &["corp"], "list").map(|_| ()).map_err(|e| e.to_string())
    };
    for (number, good) in [(1, true), (2, false)] {
        for (member, plan) in [
            ("issuers_before", ListPlan { issuers_before: vec![(number - 1, 5)], ..plan.clone() }),
            ("tokens", ListPlan { tokens: names(number, 0), ..plan.clone() }),
            ("sessions", ListPlan { sessions: names(number, 0), ..plan.clone() }),
            ("subjects", ListPlan { subjects: names(number, 5), ..plan.clone() }),
        ] {
            match load(&plan) {
                Ok(()) => assert!(good, "{member} {number}"),
                Err(error) => {
                    assert!(
                        !good && error.starts_with(&format!("list.{member}: an entry names a method")),
                        "{error}"
                    );
                }
            }
        }
    }
    assert_eq!(load(&ListPlan { subjects: names(2, 0), ..plan }), Ok(()), "whoever it is has a subject");
}

#[derive(Debug, Clone)]
struct Naive {
    name: String,
    issuer: Option<u16>,
    until: Option<u64>,
    before: Option<u64>,
}

fn naive() -> impl Strategy<Value = Vec<Naive>> {
    let seconds = || proptest::option::of(1u64..6);
    let one = ("[ab]", proptest::option::of(0u16..2), seconds(), seconds())
        .prop_map(|(name, issuer, until, before)| Naive { name, issuer, until, before });
    proptest::collection::vec(one, 0..6)
}

proptest! {
    /// Everything that can be said, judged entry by entry.
    #[test]
    fn a_list_agrees_with_reading_it_aloud(
        tokens in naive(), sessions in naive(), subjects in naive(),
        issued_before in proptest::option::of(0u64..6), issuers_before in proptest::collection::vec((0u16..2, 0u64..6), 0..3),
        issuer in 0usize..3, subject in "[abc]", sub in proptest::option::of("[abc]"), jti in proptest::option::of("[abc]"),
        sid in proptest::option::of("[abc]"), is_token: bool, issued_at in proptest::option::of(0u64..6), now in 0u64..7,
    ) {
        fn entries(list: &[Naive]) -> Vec<Entry<'_>> {
            list.iter().map(|n| Entry { name: &n.name, issuer: n.issuer, until: n.until, before: n.before }).collect()
        }
        let plain = |list: &[Naive]| list.iter().map(|n| Naive { before: None, ..n.clone() }).collect::<Vec<_>>();
        let (tokens, sessions) = (plain(&tokens), plain(&sessions));
        let list = list(Entries {
            issued_before, issuers_before: issuers_before.clone(),
            tokens: entries(&tokens), sessions: entries(&sessions), subjects: entries(&subjects), ..Entries::default()
        });
        let number = (issuer < 2).then_some(issuer as u16);
        let asked = Asked {
            issuer: ["corp", "partner", "other"][issuer], subject: &subject, sub: sub.as_deref(), jti: jti.as_deref(),
            sid: sid.as_deref(), token: is_token, issued_at: issued_at.map(|s| s * NANOS),
        };
        let old = |before: u64| is_token && issued_at.is_none_or(|at| at < before);
        let named = |list: &[Naive], name: Option<&str>| list.iter().any(|n| {
            Some(n.name.as_str()) == name
                && (n.issuer.is_none() || n.issuer == number)
                && n.until.is_none_or(|until| now < until)
                && n.before.is_none_or(old)
        });
        let naive = named(&tokens, jti.as_deref()) || named(&sessions, sid.as_deref())
            || named(&subjects, Some(&subject)) || named(&subjects, sub.as_deref())
            || issued_before.is_some_and(old)
            || issuers_before.iter().any(|(of, before)| Some(*of) == number && old(*before));
        prop_assert_eq!(list.judge(&asked, Now::from_secs(now)).is_some(), naive);
    }
}
