//! Several workers, a server and shared data that fails now and then, in any order.

use proptest::prelude::*;
use serde_json::json;

use super::follower::{Follower, Outcome, Request};
use super::record::{Digest, Mark, Slots, State};
use super::source::{HttpPlan, OciPlan, Source, SourcePlan};
use crate::envelope::Vouched;
use crate::envelope::dsse::PAYLOAD_TYPE;
use crate::envelope::key::{hex, sha256};
use crate::envelope::tests::{NOW, signed, trust, with};
use crate::host::testing::TestHost;
use crate::host::{self, Host, Loaded, Stored};

const INTERVAL: u64 = 1_000;
const TIMEOUT: u64 = 500;
const TICK: u64 = 250;
const ARTIFACT: &str = super::source::ARTIFACT;

/// Shared data that fails as it is told: each call takes one bit.
struct Flaky {
    host: TestHost,
    failures: u64,
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

fn release(revision: u64) -> Vec<u8> {
    by(revision, &[2])
}

fn by(revision: u64, signers: &[u8]) -> Vec<u8> {
    let mut payload = with("/plan/revision", json!(revision));
    payload.as_object_mut().unwrap().remove("expires");
    signed(&payload, signers)
}

fn plan() -> SourcePlan {
    let http = HttpPlan { cluster: "c".into(), authority: "a".into(), path: "/p".into() };
    SourcePlan {
        http: Some(http),
        interval_ms: Some(INTERVAL),
        timeout_ms: Some(TIMEOUT),
        ..SourcePlan::default()
    }
}

fn follower(plan: &SourcePlan, keys: &[u8], drawn: u64) -> Follower {
    let source = Source::load(plan, &|_| Some(b"Bearer x".to_vec())).unwrap();
    Follower::new(source, trust(keys, 1), keys, "bartizan/0", drawn)
}

/// A worker and what is in force there.
struct Worker {
    follower: Follower,
    mark: Option<Mark>,
    asked: Option<(u32, Request)>,
}

impl Worker {
    fn new(drawn: u64) -> Self {
        Self { follower: follower(&plan(), &[2], drawn), mark: None, asked: None }
    }

    fn take(&mut self, picked: Option<Result<Vouched, super::Failure>>) {
        if let Some(Ok(vouched)) = picked {
            self.mark = Some(super::InForce::of(vouched.about(), vouched.digest()).mark);
        }
    }

    fn revision(&self) -> u64 {
        self.mark.as_ref().map_or(0, |mark| mark.revision)
    }

    /// A tick; true if it asks.
    fn tick(&mut self, host: &mut Flaky, now: u64, token: u32) -> bool {
        let tick = self.follower.tick(host, now, self.mark.as_ref());
        self.take(tick.picked);
        let Some(request) = tick.ask else { return false };
        self.follower.sent(token);
        self.asked = Some((token, request));
        true
    }

    fn answer(
        &mut self,
        host: &mut Flaky,
        now: u64,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Outcome<Mark>> {
        let (token, _) = self.asked.take()?;
        Some(self.answer_to(host, now, token, headers, body))
    }

    fn answer_to(
        &mut self,
        host: &mut Flaky,
        now: u64,
        token: u32,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Outcome<Mark> {
        let headers: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let outcome = self.follower.answered(
            host,
            now,
            self.mark.as_ref(),
            token,
            &headers,
            body.len(),
            &mut || Some(body.to_vec()),
            &mut |admitted| Ok(super::InForce::of(admitted.about(), admitted.digest()).mark),
        );
        if let Outcome::Changed { loaded, .. } = &outcome {
            self.mark = Some(loaded.clone());
        }
        outcome
    }
}

fn failed(outcome: Option<Outcome<Mark>>) -> (&'static str, bool) {
    match outcome {
        Some(Outcome::Failed { failure, news }) => (failure.kind.code(), news),
        other => panic!("{other:?}"),
    }
}

fn ok(tag: &str) -> [(&str, &str); 3] {
    [(":status", "200"), ("content-type", ARTIFACT), ("etag", tag)]
}

fn start() -> (Flaky, u64) {
    (Flaky { host: TestHost::default(), failures: 0 }, NOW * 1_000)
}

#[test]
fn one_asks_and_the_others_take_over() {
    let (mut host, now) = start();
    let (mut one, mut two) = (Worker::new(1), Worker::new(2));
    assert!(one.tick(&mut host, now, 7) && !two.tick(&mut host, now, 8));
    let (_, request) = one.asked.clone().unwrap();
    let headers: Vec<String> =
        request.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        headers.join(" "),
        format!(
            ":method=GET :path=/p :authority=a accept={ARTIFACT}, application/json user-agent=bartizan/0"
        )
    );
    assert!(matches!(
        one.answer(&mut host, now, &ok("\"a\""), &release(7)),
        Some(Outcome::Changed { again: false, .. })
    ));
    two.tick(&mut host, now, 8);
    assert_eq!((one.revision(), two.revision(), two.asked.is_some()), (7, 7, false));
    // The next question has the tag, and its answer changes nothing.
    let later = now + INTERVAL;
    assert!(two.tick(&mut host, later, 9) && !one.tick(&mut host, later, 10));
    assert!(two.asked.as_ref().unwrap().1.headers.contains(&("if-none-match", "\"a\"".into())));
    let same = two.answer(&mut host, later, &[(":status", "304")], b"");
    assert!(matches!(same, Some(Outcome::Unchanged { again: false })));
    assert!(two.follower.tick(&mut host, later, two.mark.as_ref()).picked.is_none(), "it has that already");
    // What comes when nobody waits, or for somebody who does not any more, is nothing.
    let later = later + INTERVAL;
    assert!(two.tick(&mut host, later, 11));
    for token in [0, 7, 9, 10] {
        assert!(matches!(
            two.answer_to(&mut host, later, token, &ok("\"b\""), &release(8)),
            Outcome::Ignored
        ));
    }
}

#[test]
fn who_has_just_picked_something_up_does_not_ask_for_it_again() {
    let (mut host, now) = start();
    let (mut one, mut two) = (Worker::new(1), Worker::new(2));
    one.tick(&mut host, now, 1);
    one.answer(&mut host, now, &ok("\"a\""), &release(7));
    // The other one's first tick after that comes when the next question is due already.
    let later = now + INTERVAL;
    assert!(!two.tick(&mut host, later, 2));
    assert_eq!(two.revision(), 7);
    assert!(two.tick(&mut host, later, 3));
    assert!(two.asked.as_ref().unwrap().1.headers.contains(&("if-none-match", "\"a\"".into())));
}

#[test]
fn who_was_overtaken_between_two_reads_does_not_ask() {
    let (mut host, now) = start();
    let (mut one, mut two) = (Worker::new(1), Worker::new(2));
    let (before, _) = one.follower.slots.state(&mut host).unwrap();
    one.tick(&mut host, now, 1);
    one.answer(&mut host, now, &ok("\"a\""), &release(7));
    let (before, later) = (before.unwrap_or_default(), now + INTERVAL);
    assert!(two.follower.poll(&mut host, later, None, &before).is_none());
    // It has let go again.
    assert!(one.tick(&mut host, later, 2));
}

#[test]
fn a_failure_is_news_once_and_keeps_the_tag() {
    let (mut host, mut now) = start();
    let mut worker = Worker::new(1);
    worker.tick(&mut host, now, 1);
    worker.answer(&mut host, now, &ok("\"a\""), &release(7));
    let mut next = |worker: &mut Worker, host: &mut Flaky, headers: &[(&str, &str)], body: &[u8]| {
        now += 400_000;
        assert!(worker.tick(host, now, 2), "it asks");
        let tag = worker.asked.as_ref().unwrap().1.headers.iter().any(|(_, value)| value == "\"a\"");
        assert!(tag, "the tag is that of what was accepted");
        worker.answer(host, now, headers, body)
    };
    assert_eq!(failed(next(&mut worker, &mut host, &[(":status", "500")], b"")), ("server-error", true));
    assert_eq!(failed(next(&mut worker, &mut host, &[(":status", "500")], b"")), ("server-error", false));
    assert_eq!(failed(next(&mut worker, &mut host, &ok("\"b\""), &release(6))), ("older-revision", true));
    assert_eq!(failed(next(&mut worker, &mut host, &ok("\"c\""), b"{}")), ("not-an-envelope", true));
    let well = next(&mut worker, &mut host, &[(":status", "304")], b"");
    assert!(matches!(well, Some(Outcome::Unchanged { again: true })));
    let well = next(&mut worker, &mut host, &[(":status", "304")], b"");
    assert!(matches!(well, Some(Outcome::Unchanged { again: false })));
    assert_eq!(worker.revision(), 7);
}

#[test]
fn what_does_not_fit_is_not_read() {
    let (mut host, now) = start();
    let mut plan = plan();
    plan.max_bytes = Some(100);
    let mut follower = follower(&plan, &[2], 1);
    assert!(follower.tick(&mut host, now, None).ask.is_some());
    follower.sent(3);
    let headers: Vec<(&[u8], &[u8])> = vec![(b":status", b"200"), (b"content-type", ARTIFACT.as_bytes())];
    let outcome = follower.answered::<()>(
        &mut host,
        now,
        None,
        3,
        &headers,
        101,
        &mut || panic!("it is read"),
        &mut |_| panic!("it is loaded"),
    );
    assert!(matches!(outcome, Outcome::Failed { failure, .. } if failure.kind.code() == "oversized"));
}

#[test]
fn a_server_may_wait_when_there_is_something_to_wait_for() {
    let (mut host, now) = start();
    let mut worker = Worker::new(1);
    worker.follower = follower(&SourcePlan { wait_ms: Some(30_000), ..plan() }, &[2], 1);
    worker.tick(&mut host, now, 1);
    let prefers =
        |worker: &Worker| worker.asked.as_ref().unwrap().1.headers.contains(&("prefer", "wait=30".into()));
    assert!(!prefers(&worker), "the first answer is wanted at once");
    worker.answer(&mut host, now, &ok("\"a\""), &release(7));
    let now = now + INTERVAL;
    assert!(worker.tick(&mut host, now, 2) && prefers(&worker));
    assert_eq!(worker.asked.as_ref().unwrap().1.timeout, 30_500);
    let mut other = Worker::new(2);
    for later in (0..25_000).step_by(500) {
        assert!(!worker.tick(&mut host, now + later, 9) && !other.tick(&mut host, now + later, 3), "{later}");
    }
    // It has vanished.
    assert!(!other.tick(&mut host, now + 27_000, 3));
    assert!(other.tick(&mut host, now + 31_000, 3), "long before the question ends");
}

#[test]
fn a_write_that_fails_half_way_takes_nothing_away() {
    let (mut host, mut now) = start();
    let mut worker = Worker::new(1);
    worker.tick(&mut host, now, 1);
    worker.answer(&mut host, now, &ok("\"a\""), &release(7));
    // Reads and writes of state, floor and bytes: whichever fails, a new worker finds one of the two whole.
    let mut least = 7;
    for call in 0..8 {
        now += 2 * INTERVAL;
        worker.mark.as_mut().unwrap().revision = 7;
        // What it finds there it picks up first.
        assert!(worker.tick(&mut host, now, 2) || worker.tick(&mut host, now, 2), "call {call}");
        let in_force = worker.revision();
        host.failures = 1 << call;
        let outcome = worker.answer(&mut host, now, &ok("\"b\""), &release(8));
        host.failures = 0;
        let mut new = Worker::new(2);
        let (picked, ever) = new.follower.resume(&mut host, now, None);
        new.take(picked);
        assert!(ever && new.revision() >= least && new.revision() <= 8, "call {call}: {}", new.revision());
        least = new.revision();
        match outcome {
            Some(Outcome::Failed { failure, .. }) => {
                assert_eq!((failure.kind.code(), worker.revision()), ("not-shared", in_force), "call {call}");
            }
            Some(Outcome::Changed { .. } | Outcome::Unchanged { .. }) => {
                assert!(call >= 5 && least == 8, "call {call}");
                return;
            }
            other => panic!("call {call}: {other:?}"),
        }
    }
    panic!("it never comes into force");
}

#[test]
fn another_trust_takes_over_what_it_vouches_for_and_never_goes_back() {
    let (mut host, now) = start();
    let mut first = Worker::new(1);
    first.tick(&mut host, now, 1);
    first.answer(&mut host, now, &ok("\"a\""), &release(7));
    // Keys are changed by overlap.
    let mut both = follower(&plan(), &[2, 3], 2);
    let (picked, ever) = both.resume(&mut host, now, None);
    assert!(
        ever && picked.is_some_and(|picked| picked.is_ok_and(|vouched| vouched.about().plan.revision == 7))
    );
    let now = now + INTERVAL;
    let mut both = Worker { follower: both, mark: None, asked: None };
    both.tick(&mut host, now, 4);
    assert!(both.tick(&mut host, now, 5), "it has a lease of its own");
    assert_eq!(failed(both.answer(&mut host, now, &ok("\"b\""), &by(6, &[3]))), ("older-revision", true));
    // A key that is not trusted any more stops nobody.
    let mut other = Worker { follower: follower(&plan(), &[4], 3), mark: None, asked: None };
    let (picked, ever) = other.follower.resume(&mut host, now, None);
    assert!(ever && picked.is_none());
    assert!(other.tick(&mut host, now, 6));
    other.answer(&mut host, now, &ok("\"b\""), &by(6, &[4]));
    assert_eq!(other.revision(), 6);
}

#[test]
fn a_further_signature_counts_when_keys_are_changed() {
    // Whoever accepted it knew of one of its signers; the next trust knows of the other.
    let (mut host, now) = start();
    let mut first = Worker::new(1);
    first.tick(&mut host, now, 1);
    first.answer(&mut host, now, &ok("\"a\""), &by(7, &[2, 3]));
    let mut next = Worker { follower: follower(&plan(), &[3], 2), mark: None, asked: None };
    let (picked, _) = next.follower.resume(&mut host, now, None);
    next.take(picked);
    assert_eq!(next.revision(), 7);
    assert!(next.tick(&mut host, now, 2));
    assert_eq!(failed(next.answer(&mut host, now, &ok("\"b\""), &by(6, &[3]))), ("older-revision", true));
}

#[test]
fn what_has_expired_must_be_followed_all_the_same() {
    let (mut host, now) = start();
    let mut other = Worker::new(1);
    other.tick(&mut host, now, 1);
    other.answer(&mut host, now, &ok("\"a\""), &release(7));
    let mark = |revision| Mark { name: "edge".into(), revision, digest: Digest([1; 32]) };
    let after = |revision| Worker {
        follower: follower(&plan(), &[2], 2).after(mark(revision)),
        mark: None,
        asked: None,
    };
    let mut worker = after(9);
    let (picked, _) = worker.follower.resume(&mut host, now, None);
    assert!(picked.is_none(), "7 was accepted before, and is older");
    let now = now + INTERVAL;
    assert!(worker.tick(&mut host, now, 2));
    assert_eq!(failed(worker.answer(&mut host, now, &ok("\"b\""), &release(8))), ("older-revision", true));
    assert_eq!(worker.revision(), 0);
    let now = now + 2 * INTERVAL;
    assert!(worker.tick(&mut host, now, 3));
    worker.answer(&mut host, now, &ok("\"c\""), &release(10));
    assert_eq!(worker.revision(), 10);
    let mut late = after(9);
    let (picked, _) = late.follower.resume(&mut host, now, None);
    late.take(picked);
    assert_eq!(late.revision(), 10);
}

#[test]
fn what_is_not_in_force_here_is_asked_for_whole() {
    // Otherwise nobody would hear that what the server has cannot be used here.
    let (mut host, now) = start();
    let mut first = Worker::new(1);
    first.tick(&mut host, now, 1);
    first.answer(&mut host, now, &ok("\"a\""), &release(7));
    let mut newer = Worker::new(2);
    newer.mark = Some(Mark { name: "edge".into(), revision: 9, digest: Digest([1; 32]) });
    let now = now + INTERVAL;
    assert!(newer.tick(&mut host, now, 2));
    assert!(newer.asked.as_ref().unwrap().1.headers.iter().all(|(name, _)| *name != "if-none-match"));
    assert_eq!(failed(newer.answer(&mut host, now, &ok("\"a\""), &release(7))), ("older-revision", true));
}

#[test]
fn a_worker_that_could_not_read_tries_again_soon() {
    let (mut host, now) = start();
    let day = SourcePlan { interval_ms: Some(86_400_000), ..plan() };
    let [mut one, mut two] =
        [1, 2].map(|drawn| Worker { follower: follower(&day, &[2], drawn), ..Worker::new(0) });
    one.tick(&mut host, now, 1);
    one.answer(&mut host, now, &ok("\"a\""), &release(7));
    // State, floor, bytes, and the note that was in force is not made yet.
    host.failures = 0b100;
    two.tick(&mut host, now, 2);
    assert_eq!((two.revision(), host.failures), (0, 0));
    for later in [500, 1_000] {
        two.tick(&mut host, now + later, 2);
    }
    assert_eq!(two.revision(), 7);
}

#[test]
fn a_forged_state_brings_nothing_that_is_not_valid_now() {
    let (mut host, now) = start();
    let mut early = with("/plan/revision", json!(9));
    early["not_before"] = json!(NOW + 5);
    let bytes = signed(&early, &[2]);
    let digest = crate::envelope::vouch(&bytes, &trust(&[2], 1), None).unwrap().digest();
    let mark = Mark { name: "edge".into(), revision: 9, digest: Digest(digest) };
    let slots = Slots::new(&follower(&plan(), &[2], 0).source().id(), &[2]);
    let accepted = super::record::Accepted {
        mark,
        bytes: Digest(sha256(&bytes)),
        second: false,
        tag: None,
        torn: false,
    };
    slots.set_bytes(&mut host, false, &bytes, None).unwrap();
    let mut state = State::default();
    state.accepted = Some(accepted);
    slots.set_state(&mut host, state, None).unwrap();
    let mut worker = Worker::new(1);
    let picked = worker.follower.tick(&mut host, now, None).picked;
    assert!(matches!(picked, Some(Err(failure)) if failure.kind.code() == "not-yet-valid"));
    worker.tick(&mut host, now + 6_000, 1);
    assert_eq!(worker.revision(), 9, "in time it is as good as any");
}

mod oci {
    use super::*;

    const TYPE: &str = super::super::source::MANIFEST;

    fn manifest(blob: &[u8]) -> Vec<u8> {
        let layer = json!({"mediaType": ARTIFACT, "digest": format!("sha256:{}", hex(&sha256(blob))), "size": blob.len()});
        let manifest =
            json!({"schemaVersion": 2, "mediaType": TYPE, "artifactType": PAYLOAD_TYPE, "layers": [layer]});
        manifest.to_string().into_bytes()
    }

    fn worker(reference: &str) -> Worker {
        let oci = OciPlan {
            cluster: "c".into(),
            authority: "r:5000".into(),
            repository: "policies/edge".into(),
            reference: reference.into(),
        };
        let env = super::super::source::Variable { env: "TOKEN".into() };
        let plan = SourcePlan { http: None, oci: Some(oci), authorization: Some(env), ..plan() };
        Worker { follower: follower(&plan, &[2], 1), mark: None, asked: None }
    }

    fn path(request: &Request) -> &str {
        assert!(request.headers.contains(&("authorization", "Bearer x".into())));
        request.headers.iter().find(|(name, _)| *name == ":path").map_or("", |(_, path)| path)
    }

    fn found() -> [(&'static str, &'static str); 2] {
        [(":status", "200"), ("content-type", TYPE)]
    }

    /// Gives a manifest; what it then asks for is the blob.
    fn give(worker: &mut Worker, host: &mut Flaky, now: u64, manifest: &[u8]) -> Option<Outcome<Mark>> {
        assert!(worker.tick(host, now, 1));
        assert_eq!(path(&worker.asked.as_ref().unwrap().1).split('/').nth(4), Some("manifests"));
        match worker.answer(host, now, &found(), manifest) {
            Some(Outcome::Ask(request)) => {
                worker.follower.sent(2);
                worker.asked = Some((2, request));
                None
            }
            other => other,
        }
    }

    #[test]
    fn the_manifest_names_the_blob() {
        let (mut host, now) = start();
        let (mut worker, blob) = (worker("stable"), release(7));
        assert!(give(&mut worker, &mut host, now, &manifest(&blob)).is_none());
        let digest = hex(&sha256(&blob));
        assert_eq!(
            path(&worker.asked.as_ref().unwrap().1),
            format!("/v2/policies/edge/blobs/sha256:{digest}")
        );
        let outcome = worker.answer(&mut host, now, &[(":status", "200")], &blob);
        assert!(matches!(outcome, Some(Outcome::Changed { .. })), "{outcome:?}");
        assert_eq!(worker.revision(), 7);
        // The same manifest again: nothing more is asked.
        let same = give(&mut worker, &mut host, now + INTERVAL, &manifest(&blob));
        assert!(matches!(same, Some(Outcome::Unchanged { again: false })), "{same:?}");
    }

    #[test]
    fn what_is_not_what_was_named_is_refused() {
        let (mut host, mut now) = start();
        let (mut worker, blob) = (worker("stable"), release(7));
        let mut longer = blob.clone();
        longer.push(b'\n');
        let mut changed = blob.clone();
        if let Some(last) = changed.last_mut() {
            *last = b' ';
        }
        for (body, kind) in
            [(longer, "digest-mismatch"), (changed, "digest-mismatch"), (b"".to_vec(), "digest-mismatch")]
        {
            assert!(give(&mut worker, &mut host, now, &manifest(&blob)).is_none());
            assert_eq!(failed(worker.answer(&mut host, now, &[(":status", "200")], &body)).0, kind);
            now += INTERVAL;
        }
        for (bad, kind) in [(&b"{}"[..], "manifest-invalid"), (&[b' '; 70_000], "manifest-invalid")] {
            assert_eq!(failed(give(&mut worker, &mut host, now, bad)).0, kind);
            now += INTERVAL;
        }
        let unsigned = by(9, &[]);
        assert!(give(&mut worker, &mut host, now, &manifest(&unsigned)).is_none());
        let outcome = worker.answer(&mut host, now, &[(":status", "200")], &unsigned);
        assert_eq!(failed(outcome).0, "too-few-signatures");
        assert_eq!(worker.revision(), 0);
    }

    #[test]
    fn a_digest_pins_the_manifest() {
        let (mut host, now) = start();
        let blob = release(7);
        let mut pinned = worker(&format!("sha256:{}", hex(&sha256(&manifest(&blob)))));
        let other = manifest(&release(8));
        assert_eq!(failed(give(&mut pinned, &mut host, now, &other)).0, "digest-mismatch");
        assert!(give(&mut pinned, &mut host, now + INTERVAL, &manifest(&blob)).is_none());
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Event {
    /// Time passes.
    Wait(u64),
    /// A worker looks.
    Tick(usize),
    /// What a worker has asked is answered: by the server as it is, in another way, or never.
    Answer(usize, u8),
    /// A newer bundle is published.
    Publish,
    /// A worker's VM fails and comes back.
    Fail(usize),
    /// Calls of shared data fail.
    Flaky(u64),
    /// Somebody writes garbage.
    Spoil(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..3_000_u64).prop_map(Event::Wait),
        6 => (0..3_usize).prop_map(Event::Tick),
        6 => (0..3_usize, 0..8_u8).prop_map(|(worker, how)| Event::Answer(worker, how)),
        1 => Just(Event::Publish),
        1 => (0..3_usize).prop_map(Event::Fail),
        1 => any::<u64>().prop_map(|a| Event::Flaky(a & 0xff)),
        1 => any::<u8>().prop_map(Event::Spoil),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 400 }))]

    #[test]
    fn whatever_happens_nobody_goes_back_and_all_arrive(events in proptest::collection::vec(event(), 0..80)) {
        thread_local! {
            static RELEASES: Vec<Vec<u8>> = (0..20).map(|revision| release(revision + 1)).collect();
        }
        RELEASES.with(|releases| {
            let (mut host, mut now) = start();
            let slots = Slots::new(&follower(&plan(), &[2], 0).source().id(), &[2]);
            let (mut published, mut token) = (1_u64, 0);
            let mut workers = [Worker::new(11), Worker::new(12), Worker::new(13)];
            for event in events {
                let before: Vec<u64> = workers.iter().map(Worker::revision).collect();
                let mut reborn = None;
                match event {
                    Event::Wait(time) => now += time,
                    Event::Tick(number) => {
                        token += 1;
                        workers[number].tick(&mut host, now, token);
                    }
                    Event::Answer(number, how) => {
                        let tag = format!("\"{published}\"");
                        let release = &releases[usize::try_from(published - 1).unwrap()];
                        let old = &releases[0];
                        let worker = &mut workers[number];
                        let known = worker.asked.as_ref().is_some_and(|(_, r)| r.headers.contains(&("if-none-match", tag.clone())));
                        match how {
                            0..=3 if known => worker.answer(&mut host, now, &[(":status", "304")], b""),
                            0..=3 => worker.answer(&mut host, now, &ok(&tag), release),
                            4 => worker.answer(&mut host, now, &ok("\"old\""), old),
                            5 => worker.answer(&mut host, now, &[(":status", "500")], b""),
                            6 => worker.answer(&mut host, now, &ok("\"x\""), &release[..release.len() / 2]),
                            _ => { worker.asked = None; None }
                        };
                    }
                    Event::Publish => published = (published + 1).min(20),
                    Event::Fail(number) => {
                        let mut new = Worker::new(now ^ u64::from(token));
                        let (picked, _) = new.follower.resume(&mut host, now, None);
                        new.take(picked);
                        workers[number] = new;
                        reborn = Some(number);
                    }
                    Event::Flaky(failures) => host.failures = failures,
                    Event::Spoil(which) => {
                        let (state, version) = slots.state(&mut host.host).unwrap();
                        match (which % 3, state) {
                            (0, Some(mut state)) => {
                                if let Some(accepted) = &mut state.accepted {
                                    accepted.mark = Mark { name: "edge".into(), revision: 99, digest: Digest([1; 32]) };
                                }
                                let _ = slots.set_state(&mut host.host, state, version);
                            }
                            (1, _) => {
                                let (_, version) = slots.bytes(&mut host.host, which > 99).unwrap();
                                let _ = slots.set_bytes(&mut host.host, which > 99, b"garbage", version);
                            }
                            _ => {
                                let _ = slots.set_state(&mut host.host, State::default(), version);
                            }
                        }
                    }
                }
                for (number, (worker, before)) in workers.iter().zip(before).enumerate() {
                    let revision = worker.revision();
                    prop_assert!(revision <= published, "{revision} was never published");
                    prop_assert!(reborn == Some(number) || revision >= before, "{number} went back from {before} to {revision}");
                }
            }
            // Nothing fails any more, and something new is published.
            host.failures = 0;
            let (state, version) = slots.state(&mut host.host).unwrap();
            let lied = state.and_then(|state| state.accepted).is_some_and(|accepted| accepted.mark.revision == 99);
            if lied {
                // A record that says a revision is in force which nobody has ever signed stops workers from going further, as it must.
                let _ = slots.set_state(&mut host.host, State::default(), version);
            }
            published = (published + 1).min(20);
            for _ in 0..(700_000 / TICK) {
                for worker in &mut workers {
                    token += 1;
                    if worker.tick(&mut host, now, token) {
                        let tag = format!("\"{published}\"");
                        let known = worker.asked.as_ref().is_some_and(|(_, r)| r.headers.contains(&("if-none-match", tag.clone())));
                        let release = &releases[usize::try_from(published - 1).unwrap()];
                        let _ = match known {
                            true => worker.answer(&mut host, now, &[(":status", "304")], b""),
                            false => worker.answer(&mut host, now, &ok(&tag), release),
                        };
                    }
                }
                if workers.iter().all(|worker| worker.revision() == published) {
                    break;
                }
                now += TICK;
            }
            for worker in &workers {
                prop_assert_eq!(worker.revision(), published);
            }
            Ok(())
        })?;
    }
}
