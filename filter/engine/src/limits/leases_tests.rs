//! Several workers over one host: what they admit together.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::host::Now;
use crate::host::testing::TestHost;
use crate::limits::plan::{LimitHeaders, LimitKey, LimitPlan, WindowPlan};
use crate::limits::{AddressCharged, Ledger, Limits};
use crate::trace::Trace;

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000 * MS;

struct Workers {
    workers: Vec<Limits>,
    host: TestHost,
}

impl Workers {
    fn new(workers: usize, windows: &[(u32, u64, u32)]) -> Self {
        let windows =
            windows.iter().map(|&(count, period_ms, burst)| WindowPlan { count, period_ms, burst }).collect();
        let headers = LimitHeaders { ratelimit: true, x_ratelimit: true };
        let (id, at, key) = ("api".into(), "bundle.yaml:1".into(), LimitKey::Subject);
        let plan = [LimitPlan { id, at, key, windows, slots: 16_384, headers }];
        let workers = (0..workers).map(|_| Limits::load(&plan, [1, 2]).unwrap()).collect();
        Self { workers, host: TestHost::default() }
    }

    /// Whether a request is admitted, and how many tokens the client is told are left.
    fn visit(&mut self, worker: usize, subject: &str, at: u64) -> (bool, u64) {
        let (mut report, trace) = (None, &mut Trace::off());
        let ledger = Ledger { now: Now::from_nanos(at), host: &mut self.host, report: &mut report, trace };
        let admitted = self.workers[worker]
            .charge_subject(&AddressCharged::for_test(), &[0], Some(("a", subject)), ledger)
            .is_ok();
        (admitted, report.unwrap().remaining)
    }

    /// How often the slots were written.
    fn writes(&self) -> u32 {
        self.host.slots.lock().unwrap().values().map(|(_, version)| *version).sum()
    }
}

#[test]
fn a_flood_is_let_through_to_the_last_token_and_no_further() {
    for budget in [100, 127, 128, 1000, 5000] {
        for workers in 1..5 {
            let mut all = Workers::new(workers, &[(budget, 3_600_000, budget)]);
            let admitted = (0..20_000).filter(|n| all.visit(n % workers, "a", START).0).count();
            assert_eq!(admitted, budget as usize, "{workers} workers");
        }
    }
}

#[test]
fn a_busy_key_is_written_seldom_and_told_of_every_request() {
    let mut all = Workers::new(1, &[(100_000, 1_000, 100_000)]);
    for n in 1..=1000 {
        assert_eq!(all.visit(0, "a", START), (true, 100_000 - n));
    }
    assert!(all.writes() < 50, "{}", all.writes());
    let mut small = Workers::new(1, &[(100, 3_600_000, 100)]);
    (0..50).for_each(|_| assert!(small.visit(0, "a", START).0));
    assert_eq!(small.writes(), 50, "a small budget is charged one by one");
}

#[test]
fn a_worker_that_rests_holds_little_and_loses_it_only_in_the_end() {
    let mut all = Workers::new(2, &[(1000, 1_000_000, 1000)]);
    // The first worker is warm and holds tokens; then the second one uses up the rest.
    let first = (0..70).filter(|_| all.visit(0, "a", START).0).count();
    let second = (0..5000).filter(|_| all.visit(1, "a", START).0).count();
    assert!((1000 - 1000 / 64..=1000).contains(&(first + second)), "{first} {second}");
    let held = 1000 - first - second;
    assert!(held > 0, "or this shows nothing");
    // Two seconds later two tokens have trickled in, and what was held is spent.
    let later = (0..50).filter(|_| all.visit(0, "a", START + 2_000 * MS).0).count();
    assert_eq!(later, held + 2);

    let mut all = Workers::new(2, &[(1000, 1_000_000, 1000)]);
    let first = (0..70).filter(|_| all.visit(0, "a", START).0).count();
    let second = (0..5000).filter(|_| all.visit(1, "a", START).0).count();
    assert!(first + second < 1000);
    let later = (0..50).filter(|_| all.visit(0, "a", START + 20_000 * MS).0).count();
    assert_eq!(later, 20, "after a longer rest there is what trickled in, and no more");
}

#[test]
fn keys_that_share_a_place_cost_each_other_nothing() {
    // A thousand clients in 256 places, each with a few requests at once, again and again.
    let mut all = Workers::new(1, &[(10_000, 3_600_000, 10_000)]);
    let names: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    for round in 0..6 {
        for name in &names {
            for _ in 0..5 {
                assert!(all.visit(0, name, START + round * 1_500 * MS).0);
            }
        }
    }
    let told: Vec<u64> = names.iter().map(|name| all.visit(0, name, START + 9_000 * MS).1).collect();
    // 31 were spent and 25 trickled in.
    let worst = told.iter().min().unwrap();
    assert!(*worst >= 10_000 - 31, "{worst}");
}

proptest! {
    /// In no span of time is more admitted than the burst and what trickles in, whoever asks whom and when.
    #[test]
    fn no_key_gets_more_than_its_budget(
        count in 100u32..5000, period_ms in 10u64..20_000, burst in 130u32..2500, second in 130u32..9000,
        steps in proptest::collection::vec((0usize..4, 0u8..3, 0u64..40_000, 1usize..120), 1..120),
    ) {
        let windows = [(count, period_ms, burst), (second, 3_600_000, second)];
        let mut all = Workers::new(4, &windows);
        let mut now = START;
        let mut admitted: HashMap<u8, Vec<u64>> = HashMap::new();
        for (worker, subject, pause, times) in steps {
            // Mostly microseconds, now and then long enough for buckets to fill and leases to end.
            now += if pause % 17 == 0 { pause * MS / 10 } else { pause };
            for _ in 0..times {
                now += 700;
                if all.visit(worker, ["a", "b", "c"][usize::from(subject)], now).0 {
                    admitted.entry(subject).or_default().push(now);
                }
            }
        }
        for times in admitted.values() {
            for (count, period_ms, burst) in windows {
                // Against the exact bucket: were it ever overdrawn, this would find the moment.
                let interval = (period_ms * MS).div_ceil(u64::from(count));
                let mut full_at = 0u64;
                for at in times {
                    full_at = full_at.max(*at) + interval;
                    prop_assert!(full_at - at <= interval * u64::from(burst), "too many by {at}");
                }
            }
        }
    }
}
