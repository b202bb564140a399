use proptest::prelude::*;

use super::*;

fn entry(name: &str) -> Entry<'_> {
    Entry { name, issuer: None, until: None, before: None }
}

const ALL: Option<Said> = Some(Said { before: None });

#[test]
fn a_name_is_found_whole() {
    let names = Names::new(vec![entry("b"), entry("a"), entry("bc"), entry("a b")]).unwrap();
    for (name, found) in [
        ("a", true),
        ("b", true),
        ("bc", true),
        ("a b", true),
        ("", false),
        ("c", false),
        ("ab", false),
        ("bcd", false),
        ("a\nb", false),
    ] {
        assert_eq!(names.find(name, None, 0), found.then_some(Said { before: None }), "{name:?}");
    }
    assert_eq!(Names::default().find("", None, 0), None);
    assert_eq!(Names::default().find("a", None, 0), None);
}

#[test]
fn an_entry_speaks_of_its_issuer() {
    let names = Names::new(vec![Entry { issuer: Some(1), ..entry("a") }, entry("b")]).unwrap();
    assert_eq!(names.find("a", Some(1), 0), ALL);
    assert_eq!(names.find("a", Some(0), 0), None);
    assert_eq!(names.find("a", None, 0), None);
    assert_eq!(names.find("b", Some(0), 0), ALL);
    assert_eq!(names.find("b", None, 0), ALL);
}

#[test]
fn an_entry_matters_until_its_time() {
    let names = Names::new(vec![Entry { until: Some(100), ..entry("a") }]).unwrap();
    assert_eq!(names.find("a", None, 99), ALL);
    assert_eq!(names.find("a", None, 100), None);
    // Beyond what is stored it is for ever.
    let names = Names::new(vec![Entry { until: Some(1 << 40), ..entry("a") }]).unwrap();
    assert_eq!(names.find("a", None, 1 << 50), ALL);
}

#[test]
fn of_several_entries_the_strictest_counts() {
    let names = Names::new(vec![
        Entry { before: Some(50), ..entry("a") },
        Entry { before: Some(70), until: Some(100), ..entry("a") },
        Entry { issuer: Some(3), ..entry("a") },
    ])
    .unwrap();
    assert_eq!(names.find("a", None, 0), Some(Said { before: Some(70) }));
    assert_eq!(names.find("a", None, 100), Some(Said { before: Some(50) }));
    assert_eq!(names.find("a", Some(3), 100), ALL);
}

#[test]
fn names_that_are_none_are_refused() {
    for name in ["", "a\nb", "a\u{7f}", &"x".repeat(513)] {
        assert!(Names::new(vec![entry(name)]).is_err(), "{name:?}");
    }
    assert!(Names::new(vec![entry(&"x".repeat(512))]).is_ok());
    assert!(Names::new(vec![entry("a"); MAX_NAMES + 1]).is_err());
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let good =
        NamesPlan { count: 2, names: "a\nb".into(), issuer: vec![0, 2], until: vec![], before: vec![0, 5] };
    assert!(Names::load(&good, 2).is_ok());
    let spoil = |change: fn(&mut NamesPlan)| {
        let mut plan = good.clone();
        change(&mut plan);
        Names::load(&plan, 2).unwrap_err()
    };
    assert!(spoil(|p| p.names = "b\na".into()).contains("order"));
    assert!(spoil(|p| p.names = "a".into()).contains("as many"));
    assert!(spoil(|p| p.names = "a\nb\nc".into()).contains("as many"));
    assert!(spoil(|p| p.names = "\nb".into()).contains("empty"));
    assert!(spoil(|p| p.issuer = vec![0, 3]).contains("issuer"));
    assert!(spoil(|p| p.issuer = vec![0]).contains("columns"));
    assert!(spoil(|p| p.until = vec![1]).contains("columns"));
    assert!(spoil(|p| p.count = 300_000).contains("250,000"));
    let none = NamesPlan { names: "a".into(), ..NamesPlan::default() };
    assert!(Names::load(&none, 0).unwrap_err().contains("as many"));
    assert!(Names::load(&NamesPlan::default(), 0).is_ok());
}

type Raw = (String, Option<u16>, Option<u64>, Option<u64>);

fn raw() -> impl Strategy<Value = Raw> {
    let seconds = || proptest::option::of(1u64..6);
    ("[ab]{1,2}", proptest::option::of(0u16..2), seconds(), seconds())
}

proptest! {
    #[test]
    fn the_search_agrees_with_looking_at_all(
        entries in proptest::collection::vec(raw(), 0..30), name in "[abc]{0,2}", issuer in proptest::option::of(0u16..3), now in 0u64..7,
    ) {
        let list: Vec<Entry<'_>> = entries.iter()
            .map(|(name, issuer, until, before)| Entry { name, issuer: *issuer, until: *until, before: *before })
            .collect();
        let names = Names::new(list.clone()).unwrap();
        let meant = || list.iter().filter(|e| {
            e.name == name && (e.issuer.is_none() || e.issuer == issuer) && e.until.is_none_or(|until| now < until)
        });
        let naive = if meant().any(|e| e.before.is_none()) { ALL }
            else { meant().filter_map(|e| e.before).max().map(|before| Said { before: Some(before) }) };
        prop_assert_eq!(names.find(&name, issuer, now), naive);

        // The same by way of a plan.
        let mut sorted = list;
        sorted.sort_unstable();
        let plan = NamesPlan {
            count: sorted.len() as u32,
            names: sorted.iter().map(|e| e.name).collect::<Vec<_>>().join("\n"),
            issuer: sorted.iter().map(|e| e.issuer.map_or(0, |i| u32::from(i) + 1)).collect(),
            until: sorted.iter().map(|e| e.until.unwrap_or(0)).collect(),
            before: sorted.iter().map(|e| e.before.unwrap_or(0)).collect(),
        };
        prop_assert_eq!(Names::load(&plan, 2).unwrap(), names);
    }
}
