//! Several workers, a server and shared data that fails now and then, in any order.

use proptest::prelude::*;

use super::plan::{ContentKind, DiscoveryPlan, FeedPlan, FromPlan, OriginPlan, PlacePlan};
use super::{Arrived, Fetcher, Look, Outcome, Request, Source, Standing, Took};
use crate::host::testing::TestHost;
use crate::host::{self, Host, Loaded, Stored};

pub(super) const START: u64 = 1_800_000_000_000;
pub(super) const REFRESH: u64 = 600_000;
pub(super) const LEAST: u64 = 30_000;

/// Shared data that fails as it is told: each call takes one bit.
#[derive(Default)]
pub(super) struct Flaky {
    pub(super) host: TestHost,
    pub(super) failures: u64,
}

impl Flaky {
    fn fails(&mut self) -> bool {
        let fails = self.failures & 1 == 1;
        self.failures >>= 1;
        fails
    }
}

impl Host for Flaky {
    fn peer_address(&mut self) -> Option<std::net::IpAddr> {
        None
    }

    fn load(&mut self, slot: &str, into: &mut Vec<u8>) -> Loaded {
        if self.fails() { Loaded::Failed } else { self.host.load(slot, into) }
    }

    fn store(&mut self, slot: &str, value: &[u8], version: Option<u32>) -> Stored {
        if self.fails() { Stored::Failed } else { self.host.store(slot, value, version) }
    }

    fn verify_signature(&mut self, _: host::Digest, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }
}

pub(super) fn plan() -> FeedPlan {
    let place = PlacePlan { cluster: "idp".into(), authority: "a.example".into(), path: "/keys".into() };
    FeedPlan {
        name: "corp".into(),
        at: "bundle.yaml:1".into(),
        kind: ContentKind::Keys,
        from: FromPlan::Place(place),
        refresh_ms: REFRESH,
        min_refresh_ms: LEAST,
        timeout_ms: 5_000,
        max_bytes: 100,
    }
}

fn discovered() -> FeedPlan {
    let discovery = DiscoveryPlan {
        cluster: "idp".into(),
        issuer: "https://a.example/x".into(),
        keys_at: vec![OriginPlan { origin: "https://k.example".into(), cluster: "keys".into() }],
    };
    FeedPlan { from: FromPlan::Discovery(discovery), ..plan() }
}

/// A worker and what its readers have.
pub(super) struct Worker {
    pub(super) fetcher: Fetcher,
    has: Option<Vec<u8>>,
    pub(super) asked: Option<(u32, Request)>,
    tokens: u32,
}

/// Takes what begins with `{`.
fn read(has: &mut Option<Vec<u8>>) -> impl FnMut(&[u8]) -> Result<Took, String> {
    |bytes| match bytes.first() {
        Some(b'{') => {
            *has = Some(bytes.to_vec());
            Ok(Took::default())
        }
        _ => Err("keys[0]: not a key".into()),
    }
}

impl Worker {
    pub(super) fn new(plan: &FeedPlan, drawn: u64) -> Self {
        let fetcher = Fetcher::new(Source::load(plan, "feeds[0]").unwrap(), drawn);
        Self { fetcher, has: None, asked: None, tokens: 0 }
    }

    pub(super) fn look(&mut self, host: &mut Flaky) -> Look {
        self.fetcher.look(host, &mut read(&mut self.has))
    }

    /// What is done at a tick; true if it asks.
    pub(super) fn tick(&mut self, host: &mut Flaky, now: u64) -> bool {
        self.look(host);
        let Some(request) = self.fetcher.poll(host, now) else { return false };
        self.sent(request);
        true
    }

    pub(super) fn sent(&mut self, request: Request) {
        self.tokens += 4;
        self.fetcher.sent(self.tokens);
        self.asked = Some((self.tokens, request));
    }

    pub(super) fn answer(
        &mut self,
        host: &mut Flaky,
        now: u64,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Outcome {
        let (token, _) = self.asked.take().expect("it has asked");
        self.answer_to(host, now, token, headers, body)
    }

    pub(super) fn answer_to(
        &mut self,
        host: &mut Flaky,
        now: u64,
        token: u32,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Outcome {
        let headers: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let arrived = Arrived { headers: &headers, size: body.len(), body: &mut || Some(body.to_vec()) };
        let outcome = self.fetcher.answered(host, now, token, arrived, &mut read(&mut self.has));
        if let Outcome::Ask(request) = &outcome {
            self.sent(request.clone());
        }
        outcome
    }

    pub(super) fn has(&self) -> &str {
        self.has.as_deref().map_or("", |bytes| std::str::from_utf8(bytes).unwrap())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let headers = &self.asked.as_ref()?.1.headers;
        headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

pub(super) const JSON: (&str, &str) = ("content-type", "application/json");
pub(super) const OK: [(&str, &str); 2] = [(":status", "200"), JSON];

pub(super) fn code(outcome: &Outcome) -> (&'static str, bool) {
    match outcome {
        Outcome::Failed { failure, news, .. } => (failure.kind.code(), *news),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_asks_and_the_others_take_over() {
    let (mut host, now) = (Flaky::default(), START);
    let [mut one, mut two] = [1, 2].map(|drawn| Worker::new(&plan(), drawn));
    assert!(one.tick(&mut host, now) && !two.tick(&mut host, now), "there is one lease");
    let text: Vec<String> =
        one.asked.as_ref().unwrap().1.headers.iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(
        text.join(" "),
        ":method=GET :path=/keys :authority=a.example accept=application/jwk-set+json, application/json user-agent=bartizan/0.1.0"
    );
    let tagged = [OK[0], OK[1], ("etag", "\"a\"")];
    assert_eq!(one.answer(&mut host, now, &tagged, b"{1}"), Outcome::Changed { again: false });
    assert_eq!((two.look(&mut host), two.has()), (Look::Taken, "{1}"));
    assert_eq!(two.look(&mut host), Look::Nothing);
    // Whoever asks next sends the tag, and before the time is over.
    let early = now + REFRESH * 9 / 10 - 1;
    assert!(!one.tick(&mut host, early) && !two.tick(&mut host, early));
    let later = now + REFRESH;
    assert!(two.tick(&mut host, later) && !one.tick(&mut host, later));
    assert_eq!(two.header("if-none-match"), Some("\"a\""));
    assert_eq!(two.answer(&mut host, later, &[(":status", "304")], b""), Outcome::Unchanged { again: false });
    assert_eq!(two.fetcher.state().succeeded, Some(later));
    // A worker that is new, or a bundle that is, needs no answer.
    let mut new = Worker::new(&FeedPlan { refresh_ms: 5_000, min_refresh_ms: 1_000, ..plan() }, 3);
    assert_eq!((new.look(&mut host), new.has()), (Look::Taken, "{1}"));
    // What comes when nobody waits is nothing.
    assert_eq!(two.answer_to(&mut host, later, 4, &OK, b"{2}"), Outcome::Ignored);
}

#[test]
fn the_last_good_content_stays_through_any_outage() {
    let (mut host, mut now) = (Flaky::default(), START);
    let mut worker = Worker::new(&plan(), 1);
    worker.tick(&mut host, now);
    worker.answer(&mut host, now, &OK, b"{1}");
    let down = [(":status", "503")];
    let mut attempts = 0;
    for second in 0..24 * 3_600 {
        now = START + second * 1_000;
        if worker.tick(&mut host, now) {
            attempts += 1;
            let outcome = worker.answer(&mut host, now, &down, b"");
            assert_eq!(code(&outcome), ("server-error", attempts == 1), "told once");
        }
    }
    assert!((140..=170).contains(&attempts), "{attempts}: no more than one in ten minutes");
    assert_eq!(worker.has(), "{1}");
    let mut new = Worker::new(&plan(), 2);
    assert_eq!((new.look(&mut host), new.has()), (Look::Taken, "{1}"), "a VM that comes back has it too");
    now += REFRESH;
    assert!(worker.tick(&mut host, now));
    assert_eq!(worker.answer(&mut host, now, &OK, b"{2}"), Outcome::Changed { again: true });
    assert_eq!((new.look(&mut host), new.has()), (Look::Taken, "{2}"));
}

#[test]
fn what_cannot_be_used_is_refused_whole() {
    let mut now = START;
    let (mut host, mut worker) = (Flaky::default(), Worker::new(&plan(), 1));
    worker.tick(&mut host, now);
    worker.answer(&mut host, now, &OK, b"{1}");
    let long = "{".repeat(101);
    for (headers, body, kind) in [
        (&OK[..], "nonsense", "malformed"),
        (&OK[..], long.as_str(), "oversized"),
        (&[(":status", "200"), ("content-type", "text/html")], "{2}", "wrong-content-type"),
        (&[(":status", "302"), ("location", "/x")], "", "redirected"),
        (&[(":status", "504")], "", "timeout"),
        (&[(":status", "304")], "", "not-modified-unasked"),
        (&[], "", "no-answer"),
    ] {
        now += 2 * REFRESH;
        assert!(worker.tick(&mut host, now), "{kind}");
        assert_eq!(code(&worker.answer(&mut host, now, headers, body.as_bytes())), (kind, true));
        assert_eq!(worker.has(), "{1}", "{kind}");
        let mut other = Worker::new(&plan(), 2);
        assert_eq!((other.look(&mut host), other.has()), (Look::Taken, "{1}"), "{kind}");
    }
    // The body of one that is too large is not even read.
    now += 2 * REFRESH;
    assert!(worker.tick(&mut host, now));
    let (token, _) = worker.asked.take().unwrap();
    let headers: Vec<(&[u8], &[u8])> = OK.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let arrived = Arrived { headers: &headers, size: 101, body: &mut || panic!("it is read") };
    let outcome = worker.fetcher.answered(&mut host, now, token, arrived, &mut |_| Ok(Took::default()));
    assert_eq!(code(&outcome).0, "oversized");
}

#[test]
fn unknown_keys_cause_one_fetch_in_a_while_for_all_workers() {
    let mut host = Flaky::default();
    let mut workers = [1, 2, 3].map(|drawn| Worker::new(&plan(), drawn));
    workers[0].tick(&mut host, START);
    workers[0].answer(&mut host, START, &OK, b"{1}");
    let mut fetches = 0;
    let minutes = 8;
    for number in 0..10_000_u64 {
        let now = START + 1 + number * minutes * 60_000 / 10_000;
        let worker = &mut workers[(number % 3) as usize];
        worker.look(&mut host);
        let soon = worker.fetcher.standing(now) == Standing::Soon;
        worker.fetcher.want();
        if let Some(request) = worker.fetcher.poll(&mut host, now) {
            assert!(soon && request.for_unknown);
            worker.sent(request);
            fetches += 1;
            assert_eq!(worker.answer(&mut host, now, &OK, b"{1}"), Outcome::Unchanged { again: false });
            assert!(matches!(worker.fetcher.standing(now), Standing::Later(30)));
        }
    }
    assert!((14..=16).contains(&fetches), "{fetches} in {minutes} minutes, with half a minute between");
}

#[test]
fn whoever_misses_everything_learns_when_to_come_back() {
    let (mut host, mut worker) = (Flaky::default(), Worker::new(&plan(), 1));
    assert_eq!(worker.fetcher.standing(START), Standing::Soon);
    assert!(worker.tick(&mut host, START));
    assert_eq!(worker.fetcher.standing(START + 1), Standing::Soon, "it is under way");
    worker.answer(&mut host, START + 2, &[(":status", "503")], b"");
    assert_eq!(worker.fetcher.standing(START + 2), Standing::Later(1));
    assert_eq!(worker.fetcher.standing(START + 1_002), Standing::Soon);
    // For nobody, the server comes back soon.
    let mut attempts = 0;
    for second in 1..300 {
        let now = START + 2 + second * 1_000;
        if worker.tick(&mut host, now) {
            attempts += 1;
            worker.answer(&mut host, now, &[(":status", "503")], b"");
        }
    }
    assert!((13..=16).contains(&attempts), "{attempts}");
}

#[test]
fn keys_are_discovered_in_two_steps() {
    let (mut host, mut now) = (Flaky::default(), START);
    let [mut one, mut two] = [1, 2].map(|drawn| Worker::new(&discovered(), drawn));
    let document = |issuer: &str, uri: &str| format!(r#"{{"issuer": "{issuer}", "jwks_uri": "{uri}"}}"#);
    let good = document("https://a.example/x", "https://k.example/k?v=1");
    let tagged = [OK[0], OK[1], ("etag", "\"a\"")];
    let discover = |worker: &mut Worker, host: &mut Flaky, now: u64, document: &str| {
        assert!(worker.tick(host, now));
        assert_eq!(worker.header(":path"), Some("/x/.well-known/openid-configuration"));
        assert_eq!(worker.header("if-none-match"), None, "the tag is that of the keys");
        worker.answer(host, now, &tagged, document.as_bytes())
    };
    assert!(matches!(discover(&mut one, &mut host, now, &good), Outcome::Ask(_)));
    assert_eq!((one.header(":path"), one.header(":authority")), (Some("/k?v=1"), Some("k.example")));
    assert_eq!(one.asked.as_ref().unwrap().1.cluster, "keys");
    assert!(!two.tick(&mut host, now + 5_500), "the lease was renewed");
    assert_eq!(one.answer(&mut host, now, &tagged, b"{1}"), Outcome::Changed { again: false });
    for (issuer, uri, kind) in [
        ("https://a.example/", "https://k.example/k", "wrong-issuer"),
        ("https://a.example/x", "https://evil.example/k", "foreign-keys"),
        ("https://a.example/x", "k", "discovery-malformed"),
    ] {
        now += 2 * REFRESH;
        let outcome = discover(&mut one, &mut host, now, &document(issuer, uri));
        assert_eq!(code(&outcome), (kind, true));
        assert_eq!(one.has(), "{1}");
    }
    // At the same place the tag serves, at another it does not.
    now += 2 * REFRESH;
    discover(&mut one, &mut host, now, &good);
    assert_eq!(one.header("if-none-match"), Some("\"a\""));
    assert_eq!(one.answer(&mut host, now, &[(":status", "304")], b""), Outcome::Unchanged { again: true });
    now += REFRESH;
    discover(&mut one, &mut host, now, &document("https://a.example/x", "https://a.example/k"));
    assert_eq!((one.header("if-none-match"), one.header(":authority")), (None, Some("a.example")));
}

#[test]
fn torn_content_is_fetched_anew_and_never_used() {
    let (mut host, now) = (Flaky::default(), START);
    let mut one = Worker::new(&plan(), 1);
    one.tick(&mut host, now);
    one.answer(&mut host, now, &OK, b"{1}");
    for (slot, (value, _)) in host.host.slots.lock().unwrap().iter_mut() {
        if slot.contains("content") {
            *value = b"{9}".to_vec();
        }
    }
    let mut two = Worker::new(&plan(), 2);
    assert_eq!((two.look(&mut host), two.has()), (Look::Nothing, ""));
    assert!(two.tick(&mut host, now + 1), "at once");
    assert_eq!(one.has(), "{1}");
    two.answer(&mut host, now + 1, &OK, b"{1}");
    assert_eq!(two.has(), "{1}");
}

#[test]
fn content_that_another_policy_takes_and_this_one_does_not_is_told_once() {
    let (mut host, now) = (Flaky::default(), START);
    let [mut one, mut two] = [1, 2].map(|drawn| Worker::new(&plan(), drawn));
    one.tick(&mut host, now);
    one.answer(&mut host, now, &OK, b"{1}");
    let picky = &mut |_: &[u8]| Err("no key for RS256".to_owned());
    assert!(matches!(two.fetcher.look(&mut host, picky), Look::Refused(f) if f.detail == "no key for RS256"));
    assert_eq!(two.fetcher.look(&mut host, picky), Look::Nothing);
}

#[test]
fn a_worker_that_vanishes_stops_nobody_for_long() {
    let (mut host, now) = (Flaky::default(), START);
    let [mut one, mut two] = [1, 2].map(|drawn| Worker::new(&plan(), drawn));
    assert!(one.tick(&mut host, now));
    assert!(!two.tick(&mut host, now + 5_900) && two.tick(&mut host, now + 6_100));
    // A lease of a clock that was wrong is none.
    let mut three = Worker::new(&plan(), 3);
    assert!(three.tick(&mut host, now - 3_600_000));
    one.fetcher.release(&mut host);
    assert!(three.fetcher.is_asking(), "nobody lets go of a lease that is not its own");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever fails: what a worker has came whole from the server, and there are not too many questions.
    #[test]
    fn workers_agree_in_the_end(
        steps in proptest::collection::vec((0..3_usize, 0..4_u8, 0..40_000_u64, any::<u16>(), any::<bool>()), 1..60),
    ) {
        let mut host = Flaky::default();
        let mut workers = [1, 2, 3].map(|drawn| Worker::new(&plan(), drawn));
        let (mut now, mut version, mut asked) = (START, 0, Vec::new());
        for (number, answer, wait, failures, wanted) in steps {
            now += wait;
            host.failures = u64::from(failures & failures.rotate_left(3));
            let worker = &mut workers[number];
            if wanted {
                worker.fetcher.want();
            }
            if worker.asked.is_none() && worker.tick(&mut host, now) {
                asked.push(now);
            }
            if worker.asked.is_some() {
                match answer {
                    0 => drop(worker.answer(&mut host, now, &[(":status", "503")], b"")),
                    1 => drop(worker.answer(&mut host, now, &OK, b"nonsense")),
                    2 => {
                        version += 1;
                        drop(worker.answer(&mut host, now, &OK, format!("{{{version}}}").as_bytes()));
                    }
                    _ => worker.asked = None,
                }
            }
            let is_whole = worker.has().starts_with('{') && worker.has().ends_with('}');
            prop_assert!(worker.has.is_none() || is_whole);
        }
        host.failures = 0;
        // The server is well again, and everybody has what it has.
        for round in 0..300 {
            now += 10_000;
            for worker in &mut workers {
                if worker.tick(&mut host, now) {
                    worker.answer(&mut host, now, &OK, b"{last}");
                }
                prop_assert!(round < 200 || worker.has() == "{last}", "{}", worker.has());
            }
        }
    }
}
