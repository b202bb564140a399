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
    let mut verifier = Verifier::new([1, 2]);
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
    let mut verifier = Verifier::new([1, 2]);
    for _ in 0..3 {
        assert_eq!(verifier.verify(0, &users, ("alice", b"guess"), 9, T), Verdict::Wrong);
    }
    assert_eq!(verifier.runs, 3);
}

#[test]
fn nobody_costs_as_much_as_somebody_and_never_is_one() {
    let users = users(&[("alice", b"secret", 4), ("bob", b"secret", 5), ("carol", b"secret", 6)]);
    let mut verifier = Verifier::new([1, 2]);
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
    let mut verifier = Verifier::new([1, 2]);
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
