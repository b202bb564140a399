use super::*;

fn users(entries: &[(&str, &[u8], u32)]) -> Users {
    let names: Vec<String> = entries.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let hashes = entries
        .iter()
        .map(|(_, password, cost)| Hash::read(&Hash::make(password, *cost, [3; 16]).unwrap()).unwrap());
    Users::new(&names, hashes.collect())
}

const T: Now = Now::from_secs(1_700_000_000);

#[test]
fn a_password_is_verified_once_and_remembered() {
    let users = users(&[("alice", b"secret", 4), ("bob", b"other", 4)]);
    let mut verifier = Verifier::new([1, 2], 2);
    for _ in 0..10 {
        assert_eq!(verifier.verify(0, &users, ("alice", b"secret"), 1, T), Verdict::User(0));
    }
    assert_eq!(verifier.runs, 1);
    let later = Now::from_secs(T.secs() + 1);
    assert_eq!(verifier.verify(0, &users, ("alice", b"other"), 9, later), Verdict::Wrong);
    assert_eq!(verifier.verify(0, &users, ("bob", b"secret"), 9, later), Verdict::Wrong);
    assert_eq!(verifier.verify(1, &users, ("alice", b"secret"), 9, later), Verdict::User(0));
    assert_eq!(verifier.runs, 4, "what was verified for one method says nothing of another one");
}

#[test]
fn wrong_passwords_are_not_remembered() {
    let users = users(&[("alice", b"secret", 4)]);
    let mut verifier = Verifier::new([1, 2], 2);
    for _ in 0..3 {
        assert_eq!(verifier.verify(0, &users, ("alice", b"guess"), 9, T), Verdict::Wrong);
    }
    assert_eq!(verifier.runs, 3);
}

#[test]
fn nobody_costs_as_much_as_somebody_and_never_is_one() {
    let users = users(&[("alice", b"secret", 4), ("bob", b"secret", 5), ("carol", b"secret", 6)]);
    let mut verifier = Verifier::new([1, 2], 2);
    let mut costs = std::collections::BTreeSet::new();
    for n in 0..50 {
        let name = format!("nobody-{n}");
        assert_eq!(verifier.verify(0, &users, (&name, b"secret"), 99, T), Verdict::Wrong, "{name}");
        costs.insert(users.hash_for(None, verifier.choose(&name)).unwrap().cost());
    }
    assert_eq!(verifier.runs, 50);
    assert_eq!(costs.into_iter().collect::<Vec<_>>(), [4, 5, 6]);
}

#[test]
fn a_worker_verifies_so_many_a_second() {
    let users = users(&[("alice", b"secret", 4)]);
    let mut verifier = Verifier::new([1, 2], 2);
    assert_eq!(verifier.verify(0, &users, ("alice", b"secret"), 3, T), Verdict::User(0));
    for _ in 0..2 {
        assert_eq!(verifier.verify(0, &users, ("mallory", b"guess"), 3, T), Verdict::Wrong);
    }
    assert_eq!(verifier.verify(0, &users, ("mallory", b"guess"), 3, T), Verdict::Busy);
    assert_eq!(verifier.verify(0, &users, ("alice", b"guess"), 3, T), Verdict::Busy);
    assert_eq!(
        verifier.verify(0, &users, ("alice", b"secret"), 3, T),
        Verdict::User(0),
        "who is known passes"
    );
    let next = Now::from_secs(T.secs() + 1);
    assert_eq!(verifier.verify(0, &users, ("mallory", b"guess"), 3, next), Verdict::Wrong);
}

#[test]
fn a_worker_does_so_much_work_a_second_whatever_is_asked_of_it() {
    assert_eq!([4, 8, 9, 10, 11, 12, 31, 64].map(most_per_second), [160, 10, 5, 2, 1, 1, 1, 1]);
    let mut pace = Pace::default();
    let taken = |pace: &mut Pace, cost, now| (0..1000).filter(|_| pace.take(u32::MAX, cost, now)).count();
    let mut second = T.secs();
    for cost in 4..=12 {
        second += 1;
        let now = Now::from_secs(second);
        assert_eq!(taken(&mut pace, cost, now) as u64, most_per_second(cost), "{cost}");
        assert_eq!(taken(&mut pace, 12, now), 0, "nothing more of a higher cost");
    }
    // Lists of several costs share the second.
    let now = Now::from_secs(second + 1);
    assert!(pace.take(2, 10, now) && pace.take(2, 10, now) && !pace.take(2, 4, now));
    assert_eq!(taken(&mut pace, 8, now), 2);
    assert!(!pace.take(100, 8, now) && !pace.take(100, 10, now));
}

#[test]
fn what_was_refused_all_the_same_is_not_remembered() {
    let users = users(&[("alice", b"secret", 4), ("bob", b"other", 4)]);
    let mut verifier = Verifier::new([1, 2], 2);
    assert_eq!(verifier.verify(0, &users, ("bob", b"other"), 9, T), Verdict::User(1));
    for runs in 2..4 {
        assert_eq!(verifier.verify(0, &users, ("alice", b"secret"), 9, T), Verdict::User(0));
        assert_eq!(verifier.runs, runs, "the right password takes as long as a wrong one");
        verifier.forget();
        verifier.forget();
    }
    assert_eq!(verifier.verify(0, &users, ("bob", b"other"), 9, T), Verdict::User(1));
    assert_eq!(verifier.runs, 3, "others are remembered");
}

#[test]
fn plans_that_ask_for_more_work_are_refused() {
    let load = |cost: u32, checks_per_second: u32| {
        let plan = BasicPlan {
            name: "tools".into(),
            at: "bundle.yaml:1".into(),
            realm: "api".into(),
            users: vec!["alice".into()],
            hashes: vec![Hash::make(b"x", 4, [1; 16]).unwrap().replace("$04$", &format!("${cost:02}$"))],
            roles: vec![vec![]],
            permissions: vec![vec![]],
            checks_per_second,
            forward_credentials: false,
            forward_claims: vec![],
        };
        Passwords::load(&[plan], 1, [1, 2]).map(|_| ()).map_err(|error| error.to_string())
    };
    for (cost, most) in [(4, 100), (8, 10), (10, 2), (12, 1)] {
        assert_eq!(load(cost, most), Ok(()), "{cost}");
        assert!(load(cost, most + 1).unwrap_err().contains("checks_per_second"), "{cost}");
    }
}
