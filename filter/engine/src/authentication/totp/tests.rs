use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::host::testing::TestHost;

const SECRET: &[u8] = b"12345678901234567890";
const BACKUP: &[u8] = b"01234-56789";
const T: u64 = 1_700_000_010;

fn rules() -> Rules {
    Rules {
        name: "staff".into(),
        methods: vec!["corp".into()],
        header: "x-totp-code".into(),
        attempts: 3,
        window_s: 300,
        remember_s: 0,
    }
}

fn table(users: &[&str]) -> String {
    let entries = users.iter().map(|user| {
        let hash = backup_text(&backup_hash(user, &backup_code(BACKUP).unwrap()));
        format!(r#""{user}": {{"secret": "{}", "backup_codes": ["{hash}"]}}"#, to_base32(SECRET))
    });
    format!(r#"{{"users": {{{}}}}}"#, entries.collect::<Vec<_>>().join(","))
}

fn factor(rules: Rules) -> Factor {
    Factor::new(rules, table(&["alice", "bob"]).as_bytes(), [1, 2]).unwrap()
}

fn code(secs: u64) -> Vec<u8> {
    text(Algorithm::Sha1, SECRET, secs / STEP_S, 6).into_bytes()
}

const ALICE: Who<'static> = Who { method: "corp", subject: "alice", credential: b"token one" };

fn show(
    factor: &mut Factor,
    host: &mut TestHost,
    who: Who<'_>,
    code: &[u8],
    secs: u64,
) -> Result<Shown, NotShown> {
    let headers = [(&b"x-totp-code"[..], code)];
    let headers = if code.is_empty() { &[] } else { &headers[..] };
    factor.show(who, Headers::new(headers), Now::from_secs(secs), host)
}

#[test]
fn a_code_works_once_on_all_workers() {
    let mut host = TestHost::default();
    let (mut one, mut two) = (factor(rules()), factor(rules()));
    assert_eq!(show(&mut one, &mut host, ALICE, &[], T), Err(NotShown::Missing));
    assert_eq!(show(&mut one, &mut host, ALICE, &code(T), T), Ok(Shown::Code));
    for worker in [&mut two, &mut one] {
        let again = show(worker, &mut host, ALICE, &code(T), T);
        assert_eq!(again, Err(NotShown::Invalid("the code was used before")));
    }
    // One that was made before it is used up with it, and the next one is good.
    assert!(matches!(show(&mut two, &mut host, ALICE, &code(T - 30), T), Err(NotShown::Invalid(_))));
    assert_eq!(show(&mut two, &mut host, ALICE, &code(T + 30), T), Ok(Shown::Code));
    let bob = Who { subject: "bob", ..ALICE };
    assert_eq!(show(&mut two, &mut host, bob, &code(T), T), Ok(Shown::Code), "users share nothing");
}

#[test]
fn attempts_are_limited_over_all_workers() {
    let mut host = TestHost::default();
    let (mut one, mut two) = (factor(rules()), factor(rules()));
    for turn in 0..3 {
        let worker = if turn == 1 { &mut two } else { &mut one };
        assert_eq!(
            show(worker, &mut host, ALICE, b"000000", T),
            Err(NotShown::Invalid("the code is not right"))
        );
    }
    for worker in [&mut one, &mut two] {
        assert_eq!(
            show(worker, &mut host, ALICE, &code(T), T),
            Err(NotShown::Exhausted(300)),
            "a right one too"
        );
        assert_eq!(show(worker, &mut host, ALICE, BACKUP, T), Err(NotShown::Exhausted(300)));
    }
    let bob = Who { subject: "bob", ..ALICE };
    assert_eq!(show(&mut two, &mut host, bob, &code(T), T), Ok(Shown::Code), "nobody locks others out");
    assert_eq!(show(&mut two, &mut host, ALICE, &code(T + 299), T + 299), Err(NotShown::Exhausted(1)));
    assert_eq!(show(&mut two, &mut host, ALICE, &code(T + 300), T + 300), Ok(Shown::Code));
}

#[test]
fn a_code_sent_again_is_refused_and_no_failed_attempt() {
    let (mut host, mut factor) = (TestHost::default(), factor(rules()));
    assert!(show(&mut factor, &mut host, ALICE, &code(T), T).is_ok());
    for _ in 0..20 {
        assert!(matches!(show(&mut factor, &mut host, ALICE, &code(T), T), Err(NotShown::Invalid(_))));
    }
    assert!(show(&mut factor, &mut host, ALICE, &code(T + 30), T + 30).is_ok());
}

#[test]
fn a_backup_code_works_once() {
    let (mut host, mut factor) = (TestHost::default(), factor(rules()));
    assert_eq!(show(&mut factor, &mut host, ALICE, b"0123456789", T), Ok(Shown::Backup));
    for again in [BACKUP, b"0123456789"] {
        let verdict = show(&mut factor, &mut host, ALICE, again, T + 90_000);
        assert_eq!(verdict, Err(NotShown::Invalid("the backup code was used before")));
    }
    let stranger = show(&mut factor, &mut host, ALICE, b"zzzzz-zzzzz", T);
    assert_eq!(stranger, Err(NotShown::Invalid("the code is not right")));
}

#[test]
fn what_is_no_code_is_a_failed_attempt() {
    for bad in [&b"12345"[..], b"1234567", b"abcdef", b" ", b"\xff\xff", &code(T)[..5]] {
        let (mut host, mut factor) = (TestHost::default(), factor(Rules { attempts: 1, ..rules() }));
        assert!(matches!(show(&mut factor, &mut host, ALICE, bad, T), Err(NotShown::Invalid(_))), "{bad:?}");
        assert!(
            matches!(show(&mut factor, &mut host, ALICE, bad, T), Err(NotShown::Exhausted(_))),
            "{bad:?}"
        );
    }
    let (mut host, mut factor) = (TestHost::default(), factor(rules()));
    let code = code(T);
    let twice = [(&b"x-totp-code"[..], &code[..]), (&b"x-totp-code"[..], &code[..])];
    let verdict = factor.show(ALICE, Headers::new(&twice), Now::from_secs(T), &mut host);
    assert!(matches!(verdict, Err(NotShown::Invalid(_))));
}

#[test]
fn only_subjects_of_its_methods_are_known() {
    let (mut host, mut factor) = (TestHost::default(), factor(rules()));
    for who in [Who { subject: "mallory", ..ALICE }, Who { method: "other", ..ALICE }] {
        assert!(matches!(show(&mut factor, &mut host, who, &code(T), T), Err(NotShown::Invalid(_))));
        assert_eq!(show(&mut factor, &mut host, who, &[], T), Err(NotShown::Missing));
    }
    assert!(host.slots.lock().unwrap().is_empty(), "no slot for who is not in the table");
}

#[test]
fn a_credential_stays_raised_for_its_time_on_all_workers() {
    let remembering = || factor(Rules { remember_s: 600, ..rules() });
    let (mut host, mut one, mut two) = (TestHost::default(), remembering(), remembering());
    assert_eq!(show(&mut one, &mut host, ALICE, &[], T), Err(NotShown::Missing));
    assert_eq!(show(&mut one, &mut host, ALICE, &code(T), T), Ok(Shown::Code));
    assert_eq!(show(&mut two, &mut host, ALICE, &[], T + 599), Ok(Shown::Before));
    assert_eq!(show(&mut two, &mut host, ALICE, &[], T + 600), Err(NotShown::Missing));
    let other = Who { credential: b"token two", ..ALICE };
    assert_eq!(show(&mut two, &mut host, other, &[], T + 1), Err(NotShown::Missing), "another credential");
    // A bad code is not passed over because an earlier one was good.
    assert!(matches!(show(&mut two, &mut host, ALICE, b"000000", T + 1), Err(NotShown::Invalid(_))));
    // What the present policy does not remember was not raised.
    assert_eq!(show(&mut factor(rules()), &mut host, ALICE, &[], T + 1), Err(NotShown::Missing));
}

#[test]
fn a_new_table_finds_what_the_old_one_left() {
    let mut host = TestHost::default();
    let raising = Rules { remember_s: 600, ..rules() };
    assert!(show(&mut factor(raising.clone()), &mut host, ALICE, &code(T), T).is_ok());
    assert!(show(&mut factor(raising.clone()), &mut host, ALICE, BACKUP, T).is_ok());
    // Others come before her in the new table; she is taken out and put in again.
    let mut new = Factor::new(raising.clone(), table(&["aaron", "alice"]).as_bytes(), [1, 2]).unwrap();
    assert!(show(&mut new, &mut host, ALICE, &code(T), T).is_err());
    assert!(show(&mut new, &mut host, ALICE, BACKUP, T).is_err());
    assert_eq!(show(&mut new, &mut host, ALICE, &[], T), Ok(Shown::Before));
    // A new secret: nothing stays raised, and its codes are new. A backup code that stayed in the table was used.
    let secret = to_base32(b"another secret, twenty");
    let hash = backup_text(&backup_hash("alice", &backup_code(BACKUP).unwrap()));
    let table = format!(r#"{{"users": {{"alice": {{"secret": "{secret}", "backup_codes": ["{hash}"]}}}}}}"#);
    let mut enrolled = Factor::new(raising, table.as_bytes(), [1, 2]).unwrap();
    assert_eq!(show(&mut enrolled, &mut host, ALICE, &[], T), Err(NotShown::Missing));
    let code = |secs: u64| text(Algorithm::Sha1, b"another secret, twenty", secs / STEP_S, 6).into_bytes();
    assert_eq!(show(&mut enrolled, &mut host, ALICE, &code(T), T), Ok(Shown::Code));
    let used = Err(NotShown::Invalid("the backup code was used before"));
    assert_eq!(show(&mut enrolled, &mut host, ALICE, BACKUP, T), used);
}

#[test]
fn factors_that_know_one_secret_take_each_code_once_and_count_guesses_together() {
    let mut host = TestHost::default();
    let vault = || Rules { name: "vault".into(), header: "x-totp-code".into(), remember_s: 600, ..rules() };
    let (mut staff, mut vault) = (factor(rules()), factor(vault()));
    assert_eq!(show(&mut staff, &mut host, ALICE, &code(T), T), Ok(Shown::Code));
    let again = show(&mut vault, &mut host, ALICE, &code(T), T);
    assert_eq!(again, Err(NotShown::Invalid("the code was used before")));
    assert_eq!(show(&mut vault, &mut host, ALICE, BACKUP, T), Ok(Shown::Backup));
    let again = show(&mut staff, &mut host, ALICE, BACKUP, T);
    assert_eq!(again, Err(NotShown::Invalid("the backup code was used before")));
    for turn in 0..3 {
        let factor = if turn == 1 { &mut vault } else { &mut staff };
        let guess = show(factor, &mut host, ALICE, b"000000", T);
        assert_eq!(guess, Err(NotShown::Invalid("the code is not right")), "{turn}");
    }
    for factor in [&mut staff, &mut vault] {
        assert!(matches!(show(factor, &mut host, ALICE, &code(T + 30), T), Err(NotShown::Exhausted(_))));
    }
    // What one of them raised is not raised for the other.
    let mut other = factor(Rules { name: "safe".into(), remember_s: 600, ..rules() });
    assert_eq!(show(&mut vault, &mut host, ALICE, &[], T), Ok(Shown::Before));
    assert_eq!(show(&mut other, &mut host, ALICE, &[], T), Err(NotShown::Missing));
    // Another secret of the same user is another factor.
    let table =
        format!(r#"{{"users": {{"alice": {{"secret": "{}"}}}}}}"#, to_base32(b"another secret, twenty"));
    let mut apart = Factor::new(rules(), table.as_bytes(), [1, 2]).unwrap();
    let code = text(Algorithm::Sha1, b"another secret, twenty", T / STEP_S, 6);
    assert_eq!(show(&mut apart, &mut host, ALICE, code.as_bytes(), T), Ok(Shown::Code));
}

#[test]
fn without_the_record_nobody_passes() {
    let mut factor = factor(Rules { remember_s: 600, ..rules() });
    let mut broken = TestHost { broken: true, ..TestHost::default() };
    assert!(matches!(show(&mut factor, &mut broken, ALICE, &code(T), T), Err(NotShown::Unavailable(_))));
    let mut host = TestHost::default();
    let slot = slot(factor.users.get("alice").unwrap(), "alice");
    host.slots.lock().unwrap().insert(slot, (b"something else".to_vec(), 1));
    assert!(matches!(show(&mut factor, &mut host, ALICE, &code(T), T), Err(NotShown::Unavailable(_))));
}

#[test]
fn names_of_slots_are_bounded_and_of_one_user() {
    let factor = factor(rules());
    let alice = factor.users.get("alice").unwrap();
    assert_eq!(slot(alice, &"x".repeat(256)).len(), "totp.user.".len() + 32);
    assert_ne!(slot(alice, "alice"), slot(alice, "bob"));
}

/// Whoever reads loses to whoever wrote in between; so many workers at once, and one of them passes.
#[test]
fn workers_that_race_in_threads_accept_a_code_once() {
    let host = TestHost::default();
    for round in 0..50_u64 {
        let (secs, accepted) = (T + 60 * round, Arc::new(AtomicUsize::new(0)));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (mut host, accepted) = (host.clone(), Arc::clone(&accepted));
                scope.spawn(move || {
                    let mut factor = factor(Rules { attempts: 10, ..rules() });
                    if show(&mut factor, &mut host, ALICE, &code(secs), secs).is_ok() {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(accepted.load(Ordering::Relaxed), 1);
    }
}

/// A host whose every store may come after another worker's whole request: what that one does is run in between.
struct Interrupted<'a> {
    inner: TestHost,
    between: &'a mut dyn FnMut(),
}

impl Host for Interrupted<'_> {
    fn peer_address(&mut self) -> Option<std::net::IpAddr> {
        None
    }

    fn load(&mut self, slot: &str, into: &mut Vec<u8>) -> Loaded {
        self.inner.load(slot, into)
    }

    fn store(&mut self, slot: &str, value: &[u8], version: Option<u32>) -> Stored {
        (self.between)();
        self.inner.store(slot, value, version)
    }

    fn verify_signature(&mut self, _: crate::host::Digest, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }
}

/// One request of a made-up run: which worker, which code (a step beside the present, or a wrong one), how much later,
/// and what another worker does between its load and its store.
type Move = (usize, i64, u64, Option<(usize, i64)>);

proptest! {
    /// However requests of several workers come and cut into each other: no code is accepted twice, and never more
    /// wrong ones are answered within the window than are allowed.
    #[test]
    fn a_code_is_accepted_at_most_once(
        moves in proptest::collection::vec(
            (0usize..3, -3i64..4, 0u64..40, proptest::option::of((0usize..3, -3i64..4))), 1..60,
        )
    ) {
        let moves: Vec<Move> = moves;
        let host = TestHost::default();
        let mut workers: Vec<Factor> = (0..3).map(|_| factor(rules())).collect();
        let mut others: Vec<Factor> = (0..3).map(|_| factor(rules())).collect();
        let (mut accepted, mut failed, mut now) = (Vec::new(), Vec::new(), T);
        for (worker, away, later, between) in moves {
            now += later;
            let sent = |away: i64| {
                // Three steps away stands for a code that is never right.
                if away == 3 { b"x".to_vec() } else { code(now.checked_add_signed(away * 30).unwrap()) }
            };
            let mut inside = None;
            let verdict = {
                let mut between = || {
                    if let (Some((other, away)), None) = (between, inside) {
                        inside = Some((away, show(&mut others[other], &mut host.clone(), ALICE, &sent(away), now)));
                    }
                };
                let mut host = Interrupted { inner: host.clone(), between: &mut between };
                let code = sent(away);
                let headers = [(&b"x-totp-code"[..], &code[..])];
                workers[worker].show(ALICE, Headers::new(&headers), Now::from_secs(now), &mut host)
            };
            for (away, verdict) in inside.into_iter().chain([(away, verdict)]) {
                match verdict {
                    Ok(_) => accepted.push(sent(away)),
                    Err(NotShown::Invalid("the code is not right")) => failed.push(now),
                    Err(_) => {}
                }
            }
        }
        let mut once = accepted.clone();
        once.sort();
        once.dedup();
        prop_assert_eq!(once.len(), accepted.len());
        for (first, last) in failed.iter().zip(failed.iter().skip(3)) {
            prop_assert!(last - first >= 300, "four within the window: {:?}", failed);
        }
    }
}
