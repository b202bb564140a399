//! Workers that race for shared data.

mod common;

use bartizan_host::{Proxy, Request, Worker};
use common::{imports, module};

/// Adds one to a number in shared data for each request; `again` says whether it tries again when it loses.
#[expect(clippy::expect_used, reason = "a helper of tests")]
fn counting(again: bool) -> Proxy {
    let retry = if again { "(br_if $lost (i32.eq (local.get $status) (i32.const 8)))" } else { "" };
    let module = module(
        &imports(&[("get_shared_data", 5), ("set_shared_data", 5)]),
        &format!(
            r#"
    (data (i32.const 16) "n")
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $set_shared_data (i32.const 16) (i32.const 1) (i32.const 32) (i32.const 4) (i32.const 0)))
        (i32.const 1))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (local $status i32)
        (loop $lost
            (drop (call $get_shared_data (i32.const 16) (i32.const 1) (i32.const 48) (i32.const 52) (i32.const 56)))
            (i32.store (i32.const 32) (i32.add (i32.const 1) (i32.load (i32.load (i32.const 48)))))
            (local.set $status (call $set_shared_data
                (i32.const 16) (i32.const 1) (i32.const 32) (i32.const 4) (i32.load (i32.const 56))))
            {retry})
        (i32.const 0))"#
        ),
    );
    Proxy::builder(&module).workers(4).start().expect("starts")
}

fn count(proxy: &Proxy, seed: u64) -> u32 {
    let job = |worker: &Worker| (0..5).map(|_| worker.send(Request::get("/")).status()).collect::<Vec<_>>();
    let statuses = proxy.race(seed, vec![job; 4]);
    assert!(statuses.iter().flatten().all(|status| *status == 200));
    let (value, _) = proxy.shared_data().get(b"", b"n").unwrap_or_default();
    value.try_into().map(u32::from_le_bytes).unwrap_or_default()
}

#[test]
fn whoever_does_not_try_again_loses_and_the_seed_says_how_often() {
    let counts: Vec<u32> = (0..30).map(|seed| count(&counting(false), seed)).collect();
    assert!(counts.iter().all(|count| (1..=20).contains(count)), "{counts:?}");
    assert!(counts.iter().any(|count| *count < 20), "nobody ever lost");
    assert!(counts.iter().any(|count| *count != counts[0]), "all seeds are alike");
    let again: Vec<u32> = (0..30).map(|seed| count(&counting(false), seed)).collect();
    assert_eq!(counts, again);
}

#[test]
fn whoever_tries_again_loses_nothing() {
    for seed in 0..30 {
        assert_eq!(count(&counting(true), seed), 20, "seed {seed}");
    }
}

#[test]
fn more_jobs_than_workers_take_their_turn_and_answers_keep_their_places() {
    let proxy = counting(true);
    let jobs: Vec<_> = (0..10_u16)
        .map(|place| move |worker: &Worker| (place, worker.send(Request::get("/")).status()))
        .collect();
    let answers = proxy.race(3, jobs);
    assert_eq!(answers, (0..10).map(|place| (place, 200)).collect::<Vec<_>>());
}
