use super::*;
use crate::headers::Edit;
use crate::host::testing::TestHost;
use crate::limits::plan::{LimitHeaders, WindowPlan};

const BOTH: LimitHeaders = LimitHeaders { ratelimit: true, x_ratelimit: true };

const RATELIMIT: LimitHeaders = LimitHeaders { ratelimit: true, x_ratelimit: false };
const X_RATELIMIT: LimitHeaders = LimitHeaders { ratelimit: false, x_ratelimit: true };
const NEITHER: LimitHeaders = LimitHeaders { ratelimit: false, x_ratelimit: false };

/// What a client reads, one line for each header.
fn lines(told: &Told) -> Vec<String> {
    let mut lines = Vec::new();
    told.tell(&mut |edit| match edit {
        Edit::Set(name, value) => lines.push(format!("{name}: {value}")),
        other => panic!("{other:?}"),
    });
    lines
}

fn limits(key: LimitKey, windows: &[(u32, u64, u32)]) -> Limits {
    let windows =
        windows.iter().map(|&(count, period_ms, burst)| WindowPlan { count, period_ms, burst }).collect();
    let (id, at) = ("api".into(), "bundle.yaml:1".into());
    let plan = LimitPlan { id, at, key, windows, slots: 64, headers: BOTH };
    Limits::load(&[plan], [1, 2]).unwrap()
}

fn visit_for_all(limits: &mut Limits, host: &mut TestHost) -> bool {
    let (told, trace) = (&mut Told::default(), &mut Trace::off());
    let ledger = Ledger { now: Now::from_secs(100), host, told, trace };
    limits.charge_subject(&AddressCharged(()), &[0], None, ledger).is_ok()
}

fn visit(
    limits: &mut Limits,
    host: &mut TestHost,
    address: &str,
    secs: u64,
) -> Result<Report, (Reason, Report)> {
    let mut told = Told::default();
    let result = limits.charge_address(
        &Placed::at(address.parse().ok()),
        &[0],
        Ledger { now: Now::from_secs(secs), host, told: &mut told, trace: &mut Trace::off() },
    );
    match result {
        Ok(_) => Ok(told.first.unwrap()),
        Err(refusal) => Err((refusal.reason, told.first.unwrap())),
    }
}

/// Limits by address, each with its name, its budget and where it is told, all charged by one request.
fn visit_all(plans: &[(&str, u32, LimitHeaders)]) -> impl FnMut() -> (Option<Refusal>, Told) {
    let plans = plans.iter().map(|&(id, count, headers)| LimitPlan {
        id: id.into(),
        at: "bundle.yaml:1".into(),
        key: LimitKey::Address,
        windows: vec![WindowPlan { count, period_ms: 60_000, burst: count }],
        slots: 64,
        headers,
    });
    let mut limits = Limits::load(&plans.collect::<Vec<_>>(), [1, 2]).unwrap();
    let mut host = TestHost::default();
    move || {
        let mut told = Told::default();
        let trace = &mut Trace::off();
        let ledger = Ledger { now: Now::from_secs(100), host: &mut host, told: &mut told, trace };
        let placed = Placed::at("192.0.2.1".parse().ok());
        let of_route: Vec<usize> = (0..limits.len()).collect();
        let refusal = limits.charge_address(&placed, &of_route, ledger).err();
        (refusal, told)
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
    let mut told = Told::default();
    told.refuse(report);
    let policy = "ratelimit-policy: \"api\";q=3;w=3600".to_owned();
    assert!(lines(&told).contains(&policy), "the hour is what holds the client back");
}

#[test]
fn a_client_is_told_in_the_headers_that_the_policy_chose() {
    let told = |headers| lines(&visit_all(&[("api", 2, headers)])().1);
    let ratelimit = ["ratelimit: \"api\";r=1;t=30", "ratelimit-policy: \"api\";q=2;w=60"];
    let x_ratelimit = ["x-ratelimit-limit: 2", "x-ratelimit-remaining: 1", "x-ratelimit-reset: 30"];
    assert_eq!(told(RATELIMIT), ratelimit);
    assert_eq!(told(X_RATELIMIT), x_ratelimit);
    assert_eq!(told(BOTH), [&ratelimit[..], &x_ratelimit].concat());
    assert!(told(NEITHER).is_empty());
}

#[test]
fn each_family_of_headers_tells_the_tightest_limit_that_uses_it() {
    let all = [NEITHER, RATELIMIT, X_RATELIMIT, BOTH];
    let sizes = [[2, 3, 4], [2, 4, 3], [3, 2, 4], [3, 4, 2], [4, 2, 3], [4, 3, 2]];
    for (round, [a, b, c]) in (0..64).flat_map(|round| sizes.map(|sizes| (round, sizes))) {
        let headers = |place: usize| all[round >> (2 * place) & 3];
        let plans = [("a", a, headers(0)), ("b", b, headers(1)), ("c", c, headers(2))];
        let tightest = |uses: fn(&LimitHeaders) -> bool| {
            plans.iter().filter(|(_, _, headers)| uses(headers)).map(|(_, size, _)| size).min()
        };
        let mut expected: Vec<String> = Vec::new();
        expected.extend(tightest(|h| h.ratelimit).map(|size| format!("q={size};")));
        expected.extend(tightest(|h| h.x_ratelimit).map(|size| format!("x-ratelimit-limit: {size}")));
        let (refusal, told) = visit_all(&plans)();
        let lines = lines(&told);
        let families: usize =
            [lines.iter().any(|l| l.starts_with("r")), lines.iter().any(|l| l.starts_with("x"))]
                .map(usize::from)
                .iter()
                .sum();
        assert_eq!((refusal, families), (None, expected.len()), "{plans:?}: {lines:?}");
        for part in expected {
            assert_eq!(lines.iter().filter(|line| line.contains(&part)).count(), 1, "{plans:?}: {lines:?}");
        }
    }
}

#[test]
fn a_refusal_tells_of_the_limit_that_refuses_and_of_no_other() {
    let mut visit = visit_all(&[("loose", 5, X_RATELIMIT), ("tight", 1, RATELIMIT)]);
    assert_eq!(lines(&visit().1).len(), 5);
    let (refusal, told) = visit();
    assert_eq!(refusal.unwrap().reason, Reason::LimitExceeded);
    assert_eq!(lines(&told), ["ratelimit: \"tight\";r=0;t=60", "ratelimit-policy: \"tight\";q=1;w=60"]);
}

#[test]
fn a_limit_that_is_not_spoken_of_hides_no_other_and_still_refuses() {
    let mut visit = visit_all(&[("quiet", 1, NEITHER), ("loud", 5, BOTH)]);
    let (refusal, told) = visit();
    assert_eq!((refusal, told.first.map(|r| r.remaining)), (None, Some(4)));
    let (refusal, told) = visit();
    assert!(refusal.unwrap().headers.iter().any(|(name, _)| name == "retry-after"));
    assert_eq!(told, Told::default(), "what is left of another limit is no answer to `too many requests`");
}

#[test]
fn broken_slots_refuse() {
    let mut limits = limits(LimitKey::Address, &[(1, 60_000, 1)]);
    let mut host = TestHost { broken: true, ..TestHost::default() };
    let mut told = Told::default();
    let refusal = limits
        .charge_address(
            &Placed::at("192.0.2.1".parse().ok()),
            &[0],
            Ledger { now: Now::from_secs(1), host: &mut host, told: &mut told, trace: &mut Trace::off() },
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
