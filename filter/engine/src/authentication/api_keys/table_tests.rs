use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A table of these digests, each with a client of its own.
fn plan(digests: &[[u8; 32]]) -> KeyTablePlan {
    let mut digests = digests.to_vec();
    digests.sort_unstable();
    digests.dedup();
    let names: Vec<String> = (0..digests.len()).map(|n| format!("client-{n}")).collect();
    KeyTablePlan {
        digests: STANDARD.encode(digests.as_flattened()),
        clients: names.join("\n"),
        profile: vec![0; digests.len()],
        period: vec![0; digests.len()],
        profiles: vec![ProfilePlan::default()],
        periods: vec![PeriodPlan::default()],
    }
}

fn load(plan: &KeyTablePlan) -> Result<Table, String> {
    Table::load(plan, "keys").map_err(|error| error.to_string())
}

#[test]
fn what_is_known_of_a_key_is_found_by_its_digest() {
    let table = load(&plan(&[[1; 32], [2; 32], [3; 32]])).unwrap();
    for (digest, client) in [([1; 32], "client-0"), ([2; 32], "client-1"), ([3; 32], "client-2")] {
        let row = table.find(&digest).unwrap();
        assert_eq!(table.row(row).unwrap().client, client);
    }
    assert_eq!(table.row(3), None);
    for digest in [[0; 32], [4; 32], [0xff; 32]] {
        assert_eq!(table.find(&digest), None);
    }
}

#[test]
fn every_byte_of_a_digest_counts() {
    // All begin alike, as the digests of honest keys never do.
    let of = |n: u8| {
        let mut digest = [9; 32];
        digest[31] = n;
        digest
    };
    let table = load(&plan(&[of(1), of(2), of(4)])).unwrap();
    for (n, row) in [(0, None), (1, Some(0)), (2, Some(1)), (3, None), (4, Some(2)), (5, None)] {
        assert_eq!(table.find(&of(n)), row, "{n}");
    }
    for at in 0..32 {
        let mut digest = of(2);
        digest[at] ^= 0x80;
        assert_eq!(table.find(&digest), None, "byte {at}");
    }
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let good = plan(&[[1; 32], [2; 32]]);
    assert!(load(&good).is_ok());
    let spoil = |change: fn(&mut KeyTablePlan)| {
        let mut plan = good.clone();
        change(&mut plan);
        load(&plan).unwrap_err()
    };
    type Change = fn(&mut KeyTablePlan);
    let changes: [(Change, &str); 13] = [
        (|p| p.digests = "?".into(), "keys.digests: not base64"),
        (|p| p.digests = String::new(), "keys.digests: 0 bytes"),
        (|p| p.digests = STANDARD.encode([1; 63]), "keys.digests: 63 bytes"),
        (|p| p.digests = STANDARD.encode([1; 64]), "keys.digests: not ascending"),
        (|p| p.digests = STANDARD.encode([[2; 32], [1; 32]].as_flattened()), "keys.digests: not ascending"),
        (|p| p.clients = "a".into(), "keys.clients: 1 names for 2 keys"),
        (|p| p.clients = "a\n".into(), "keys.clients: a name is empty"),
        (|p| p.clients = "a\nb\tc".into(), "keys.clients: a name is empty"),
        (|p| p.clients = format!("a\n{}", "b".repeat(257)), "keys.clients: a name is empty, too long"),
        (|p| p.profile = vec![0], "keys.profile: 1 entries"),
        (|p| p.period = vec![0, 1], "keys.period: an index leads nowhere"),
        (
            |p| p.profiles = vec![ProfilePlan { roles: vec![String::new()], ..Default::default() }],
            "keys.profiles[0]: a role",
        ),
        (
            |p| p.profiles[0].claims = json!({"client": "root"}).as_object().cloned().unwrap(),
            "keys.profiles[0]: `client` and `kind`",
        ),
    ];
    for (change, expected) in changes {
        let problem = spoil(change);
        assert!(problem.starts_with(expected), "{problem}\n{expected}");
    }
    let mut digests = vec![[0; 32]; MAX_KEYS + 1];
    for (n, digest) in digests.iter_mut().enumerate() {
        digest[..8].copy_from_slice(&(n as u64).to_be_bytes());
    }
    assert!(load(&plan(&digests)).unwrap_err().contains("200000"));
    assert!(load(&plan(&digests[1..])).is_ok());
}

proptest! {
    #[test]
    fn the_search_agrees_with_a_map(
        // Few bytes that differ, so that prefixes meet.
        known in proptest::collection::btree_set((0u8..4, 0u8..4, 0u8..4), 1..60),
        asked in proptest::collection::vec((0u8..5, 0u8..5, 0u8..5), 1..40),
    ) {
        let digest = |(a, b, c): (u8, u8, u8)| {
            let mut digest = [0; 32];
            (digest[0], digest[7], digest[20]) = (a, b, c);
            digest
        };
        let digests: Vec<[u8; 32]> = known.iter().copied().map(digest).collect();
        let naive: BTreeMap<[u8; 32], usize> =
            digests.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().enumerate().map(|(n, d)| (d, n)).collect();
        let table = load(&plan(&digests)).unwrap();
        for asked in asked.into_iter().map(digest).chain(digests.iter().copied()) {
            prop_assert_eq!(table.find(&asked), naive.get(&asked).copied());
        }
    }
}
