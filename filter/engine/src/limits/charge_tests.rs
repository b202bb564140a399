use super::*;
use crate::headers::Edit;
use crate::host::testing::TestHost;
use crate::limits::plan::{LimitHeaders, WindowPlan};

const BOTH: LimitHeaders = LimitHeaders { ratelimit: true, x_ratelimit: true };

fn told(report: &Report) -> Vec<Edit> {
    let mut edits = Vec::new();
    report.tell(&mut |edit| edits.push(edit.owned()));
    edits
}

fn limits(key: LimitKey, windows: &[(u32, u64, u32)]) -> Limits {
    limits_told(key, windows, BOTH)
}

fn limits_told(key: LimitKey, windows: &[(u32, u64, u32)], headers: LimitHeaders) -> Limits {
    let windows =
        windows.iter().map(|&(count, period_ms, burst)| WindowPlan { count, period_ms, burst }).collect();
    let (id, at) = ("api".into(), "bundle.yaml:1".into());
    let plan = LimitPlan { id, at, key, windows, slots: 64, headers };
    Limits::load(&[plan], [1, 2]).unwrap()
}

fn visit_for_all(limits: &mut Limits, host: &mut TestHost) -> bool {
    let (report, trace) = (&mut None, &mut Trace::off());
    let ledger = Ledger { now: Now::from_secs(100), host, report, trace };
    limits.charge_subject(&AddressCharged(()), &[0], None, ledger).is_ok()
}

fn visit(
    limits: &mut Limits,
    host: &mut TestHost,
    address: &str,
    secs: u64,
) -> Result<Report, (Reason, Report)> {
    let mut report = None;
    let result = limits.charge_address(
        &Placed::at(address.parse().ok()),
        &[0],
        Ledger { now: Now::from_secs(secs), host, report: &mut report, trace: &mut Trace::off() },
    );
    match result {
        Ok(_) => Ok(report.unwrap()),
        Err(refusal) => Err((refusal.reason, report.unwrap())),
    }
}

#[test]
fn each_client_has_its_own_budget() {
    let mut limits = limits(LimitKey::Address, &[(2, 60_000, 2)]);
    let mut host = TestHost::default();
    assert_eq!(visit(&mut limits, &mut host, "192.0.2.1", 100).unwrap().remaining, 1);
    assert_eq!(visit(&mut limits, &mut host, "192.0.2.1", 100).unwrap().remaining, 0);
    let (reason, report) = visit(&mut limits, &mut host, "192.0.2.1", 100).unwrap_err();
    assert_eq!((reason, report.retry_after()), (Reason::LimitExceeded, 30));
    assert!(visit(&mut limits, &mut host, "192.0.2.2", 100).is_ok());
    assert!(visit(&mut limits, &mut host, "192.0.2.1", 129).is_err());
    assert!(visit(&mut limits, &mut host, "192.0.2.1", 130).is_ok());
}

#[test]
fn a_clock_that_was_set_back_holds_nobody_longer_than_the_bucket_takes() {
    let mut limits = limits(LimitKey::Address, &[(60, 60_000, 3)]);
    let mut host = TestHost::default();
    for _ in 0..3 {
        visit(&mut limits, &mut host, "192.0.2.1", 500_000).unwrap();
    }
    let (_, report) = visit(&mut limits, &mut host, "192.0.2.1", 100).unwrap_err();
    assert_eq!(report.retry_after(), 1);
    assert!(visit(&mut limits, &mut host, "192.0.2.1", 101).is_ok(), "as Retry-After said");
    assert!(visit(&mut limits, &mut host, "192.0.2.1", 101).is_err(), "and no more than that");
    assert!(visit(&mut limits, &mut host, "192.0.2.1", 102).is_ok());
}

#[test]
fn a_limit_that_became_smaller_holds_nobody_by_its_old_window() {
    let mut host = TestHost::default();
    let mut hourly = limits(LimitKey::Address, &[(2, 3_600_000, 2)]);
    for _ in 0..2 {
        visit(&mut hourly, &mut host, "192.0.2.1", 1000).unwrap();
    }
    let mut secondly = limits(LimitKey::Address, &[(1, 1_000, 1)]);
    assert!(visit(&mut secondly, &mut host, "192.0.2.1", 1000).is_err());
    assert!(visit(&mut secondly, &mut host, "192.0.2.1", 1001).is_ok());
}

#[test]
fn ipv6_is_counted_by_the_64() {
    let mut limits = limits(LimitKey::Address, &[(1, 60_000, 1)]);
    let mut host = TestHost::default();
    assert!(visit(&mut limits, &mut host, "2001:db8:0:1::1", 100).is_ok());
    assert!(visit(&mut limits, &mut host, "2001:db8:0:1::2", 100).is_err());
    assert!(visit(&mut limits, &mut host, "2001:db8:0:2::1", 100).is_ok());
}

#[test]
fn every_window_must_have_room_and_a_refusal_charges_none() {
    let mut limits = limits(LimitKey::Address, &[(1, 1_000, 1), (3, 3_600_000, 3)]);
    let mut host = TestHost::default();
    for second in [100, 101, 102] {
        assert!(visit(&mut limits, &mut host, "192.0.2.1", second).is_ok());
        assert!(visit(&mut limits, &mut host, "192.0.2.1", second).is_err());
    }
    let (_, report) = visit(&mut limits, &mut host, "192.0.2.1", 103).unwrap_err();
    let policy = Edit::Set("ratelimit-policy".into(), "\"api\";q=3;w=3600".into());
    assert!(told(&report).contains(&policy), "the hour is what holds the client back");
}

#[test]
fn a_client_is_told_in_the_headers_that_the_policy_chose() {
    let names = |ratelimit, x_ratelimit| {
        let headers = LimitHeaders { ratelimit, x_ratelimit };
        let mut limits = limits_told(LimitKey::Address, &[(2, 60_000, 2)], headers);
        let report = visit(&mut limits, &mut TestHost::default(), "192.0.2.1", 100).unwrap();
        let name = |edit: &Edit| match edit {
            Edit::Set(name, value) => format!("{name}: {value}"),
            other => panic!("{other:?}"),
        };
        told(&report).iter().map(name).collect::<Vec<_>>()
    };
    let ratelimit = ["ratelimit: \"api\";r=1;t=30", "ratelimit-policy: \"api\";q=2;w=60"];
    let x_ratelimit = ["x-ratelimit-limit: 2", "x-ratelimit-remaining: 1", "x-ratelimit-reset: 30"];
    assert_eq!(names(true, false), ratelimit);
    assert_eq!(names(false, true), x_ratelimit);
    assert_eq!(names(true, true), [&ratelimit[..], &x_ratelimit].concat());
}

#[test]
fn a_limit_that_is_not_spoken_of_hides_no_other_and_still_refuses() {
    let silent = LimitHeaders { ratelimit: false, x_ratelimit: false };
    let plan = |id: &str, count, headers| LimitPlan {
        id: id.into(),
        at: "bundle.yaml:1".into(),
        key: LimitKey::Address,
        windows: vec![WindowPlan { count, period_ms: 60_000, burst: count }],
        slots: 64,
        headers,
    };
    let plans = [plan("quiet", 1, silent), plan("loud", 5, BOTH)];
    let mut limits = Limits::load(&plans, [1, 2]).unwrap();
    let mut host = TestHost::default();
    let mut visit = || {
        let mut report = None;
        let trace = &mut Trace::off();
        let ledger = Ledger { now: Now::from_secs(100), host: &mut host, report: &mut report, trace };
        let placed = Placed::at("192.0.2.1".parse().ok());
        let refusal = limits.charge_address(&placed, &[0, 1], ledger).err();
        (refusal, report)
    };
    let (refusal, report) = visit();
    assert_eq!((refusal, report.map(|r| r.remaining)), (None, Some(4)));
    let (refusal, report) = visit();
    assert!(refusal.unwrap().headers.iter().any(|(name, _)| name == "retry-after"));
    assert_eq!(report, None, "what is left of another limit is no answer to `too many requests`");
}

#[test]
fn broken_slots_refuse() {
    let mut limits = limits(LimitKey::Address, &[(1, 60_000, 1)]);
    let mut host = TestHost { broken: true, ..TestHost::default() };
    let mut report = None;
    let refusal = limits
        .charge_address(
            &Placed::at("192.0.2.1".parse().ok()),
            &[0],
            Ledger { now: Now::from_secs(1), host: &mut host, report: &mut report, trace: &mut Trace::off() },
        )
        .unwrap_err();
    assert_eq!(refusal.reason, Reason::LimitsUnavailable);
}

#[test]
fn no_interleaving_admits_one_too_many() {
    for round in 0..20 {
        let shared = TestHost::default();
        let admitted: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    let mut host = shared.clone();
                    scope.spawn(move || {
                        let mut limits = limits(LimitKey::Everybody, &[(100, 3_600_000, 100)]);
                        (0..200).filter(|_| visit_for_all(&mut limits, &mut host)).count()
                    })
                })
                .collect();
            workers.into_iter().map(|w| w.join().unwrap()).sum()
        });
        assert_eq!(admitted, 100, "round {round}");
    }
}

#[test]
fn a_flood_of_keys_stays_in_fixed_memory_and_never_refills_a_budget() {
    let mut limits = limits(LimitKey::Address, &[(5, 3_600_000, 5)]);
    let mut host = TestHost::default();
    for _ in 0..5 {
        visit(&mut limits, &mut host, "192.0.2.1", 100).unwrap();
    }
    for n in 0..20_000u32 {
        let _ = visit(&mut limits, &mut host, &std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string(), 100);
    }
    assert!(visit(&mut limits, &mut host, "192.0.2.1", 100).is_err());
    let slots = host.slots.lock().unwrap();
    assert!(slots.len() <= 8, "{}", slots.len());
    assert!(slots.values().all(|(bytes, _)| bytes.len() <= 1 + 9 * 16));
}
