//! Workers and policies that do not agree: about what can be read, about the time, about who was last, about shared data.

use super::fetcher_tests::{Flaky, LEAST, OK, REFRESH, START, Worker, code, plan};
use super::{FeedPlan, Kind, Look, Outcome, Source, Standing, Took};

const DOWN: [(&str, &str); 1] = [(":status", "503")];
const TAGGED: [(&str, &str); 3] = [OK[0], OK[1], ("etag", "\"a\"")];

#[test]
fn a_policy_for_which_content_is_too_large_takes_it_from_nobody() {
    let (mut host, now) = (Flaky::default(), START);
    let large = plan();
    let small = FeedPlan { max_bytes: 4, ..plan() };
    let content = b"{12345}";
    let mut one = Worker::new(&large, 1);
    one.tick(&mut host, now);
    one.answer(&mut host, now, &TAGGED, content);
    let [mut two, mut three] = [2, 3].map(|drawn| Worker::new(&small, drawn));
    let mut fetches = 0;
    for second in 0..600 {
        for worker in [&mut two, &mut three] {
            if worker.tick(&mut host, now + second * 1_000) {
                fetches += 1;
                let outcome = worker.answer(&mut host, now + second * 1_000, &OK, content);
                assert_eq!(code(&outcome).0, "oversized");
            }
        }
        assert!(!one.tick(&mut host, now + second * 500), "the large one is not disturbed");
    }
    assert!((20..30).contains(&fetches), "{fetches}: the one policy is in trouble, by itself");
    let mut new = Worker::new(&large, 4);
    assert_eq!((new.look(&mut host), new.has()), (Look::Taken, "{12345}"));
    assert_eq!((two.has(), one.fetcher.state().troubles), ("", 0));
}

#[test]
fn content_that_is_whole_and_too_large_is_refused_and_stays() {
    let (mut host, now) = (Flaky::default(), START);
    let mut one = Worker::new(&plan(), 1);
    one.tick(&mut host, now);
    one.answer(&mut host, now, &OK, b"{12345}");
    // As if another release had put it there.
    let mut two = Worker::new(&plan(), 2);
    two.fetcher.source.max_bytes = 4;
    let Look::Refused(failure) = two.look(&mut host) else { panic!("it is taken") };
    assert_eq!(failure.to_string(), "oversized: 7 bytes; the most is 4");
    assert_eq!((two.look(&mut host), two.fetcher.poll(&mut host, now + 1)), (Look::Nothing, None));
    assert_eq!(Worker::new(&plan(), 3).look(&mut host), Look::Taken);
}

#[test]
fn a_policy_that_accepts_something_else_begins_with_what_was_fetched_last() {
    let (mut host, now) = (Flaky::default(), START);
    let mut one = Worker::new(&plan(), 1);
    one.tick(&mut host, now);
    one.answer(&mut host, now, &OK, b"{1}");
    one.tick(&mut host, now + REFRESH);
    one.answer(&mut host, now + REFRESH, &OK, b"{2}");
    let source = Source::load(&plan(), "feeds[0]").unwrap().accepting("ES256 RS256".into());
    let mut two = Worker::new(&plan(), 2);
    two.fetcher = super::Fetcher::new(source, 2);
    assert_eq!((two.look(&mut host), two.has()), (Look::Taken, "{2}"));
    assert_eq!(two.fetcher.good(), Some(now + REFRESH));
    // It asks for itself all the same, without the tag of the other, and its troubles are its own.
    assert!(two.tick(&mut host, now + REFRESH + 1));
    assert_eq!(two.header("if-none-match"), None);
    two.answer(&mut host, now + REFRESH + 1, &DOWN, b"");
    assert_eq!((two.has(), two.fetcher.state().troubles), ("{2}", 1));
    one.look(&mut host);
    assert_eq!((one.fetcher.state().troubles, one.fetcher.state().wrong.as_deref()), (0, None));
    // What it does not take it does not tell.
    let source = Source::load(&plan(), "feeds[0]").unwrap().accepting("EdDSA".into());
    let mut three = super::Fetcher::new(source, 3);
    let picky = &mut |_: &[u8]| Err("no key for EdDSA".to_owned());
    assert_eq!((three.look(&mut host, picky), three.has_content()), (Look::Nothing, false));
    // Five keys for each of two policies and one place, less those that nobody wrote.
    let names: Vec<String> = host.host.slots.lock().unwrap().keys().cloned().collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".last")).count(), 1, "{names:?}");
}

#[test]
fn content_that_is_refused_here_is_not_counted_as_fetched() {
    let (mut host, mut now) = (Flaky::default(), START);
    let [mut one, mut two] = [1, 2].map(|drawn| Worker::new(&plan(), drawn));
    one.tick(&mut host, now);
    one.answer(&mut host, now, &TAGGED, b"{1}");
    let picky = &mut |_: &[u8]| -> Result<Took, String> { Err("no key for RS256".to_owned()) };
    assert!(matches!(two.fetcher.look(&mut host, picky), Look::Refused(_)));
    assert!(!two.fetcher.has_content() && two.fetcher.good().is_none());
    // It asks without a tag, and the same bytes are refused again.
    for _ in 0..2 {
        now += REFRESH;
        let request = two.fetcher.poll(&mut host, now).unwrap();
        two.sent(request);
        assert_eq!(two.header("if-none-match"), None);
        let (token, _) = two.asked.take().unwrap();
        let headers: Vec<(&[u8], &[u8])> =
            TAGGED.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let arrived = super::Arrived { headers: &headers, size: 3, body: &mut || Some(b"{1}".to_vec()) };
        let outcome = two.fetcher.answered(&mut host, now, token, arrived, picky);
        assert_eq!(code(&outcome).0, "malformed");
    }
    assert_eq!(two.fetcher.state().troubles, 2);
}

#[test]
fn a_late_answer_changes_nothing() {
    let unchanged = [(":status", "304")];
    for (headers, body) in [(&OK[..], "{old}"), (&unchanged[..], ""), (&DOWN[..], "")] {
        let (mut host, now) = (Flaky::default(), START);
        let [mut one, mut two] = [1, 2].map(|drawn| Worker::new(&plan(), drawn));
        one.tick(&mut host, now);
        one.answer(&mut host, now, &TAGGED, b"{old}");
        let now = now + REFRESH;
        assert!(one.tick(&mut host, now));
        // The first worker stands still, and the second one has the lease.
        let now = now + 6_001;
        assert!(two.tick(&mut host, now));
        assert_eq!(two.answer(&mut host, now, &OK, b"{new}"), Outcome::Changed { again: false });
        assert_eq!(one.answer(&mut host, now + 1, headers, body.as_bytes()), Outcome::Ignored, "{headers:?}");
        assert_eq!(
            (two.look(&mut host), two.has(), two.fetcher.state().troubles),
            (Look::Nothing, "{new}", 0)
        );
        assert_eq!((one.look(&mut host), one.has()), (Look::Taken, "{new}"));
    }
}

#[test]
fn a_clock_that_is_set_back_loses_no_answer() {
    for back in [1_000, 3_000, 20_000, 3_600_000] {
        let (mut host, now) = (Flaky::default(), START);
        let mut one = Worker::new(&plan(), 1);
        assert!(one.tick(&mut host, now));
        let now = now - back;
        assert!(!one.tick(&mut host, now) && one.fetcher.standing(now) == Standing::Soon, "-{back}");
        assert_eq!(
            one.answer(&mut host, now + 100, &OK, b"{1}"),
            Outcome::Changed { again: false },
            "-{back}"
        );
        // And it waits for an answer that does not come no longer than it would have.
        let later = now + REFRESH;
        assert!(one.tick(&mut host, later));
        assert!(!one.tick(&mut host, later - back) && one.tick(&mut host, later - back + 6_001), "-{back}");
    }
}

#[test]
fn what_cannot_be_shared_is_in_use_here_and_does_not_go_back() {
    let (mut host, now) = (Flaky::default(), START);
    let [mut one, mut two] = [1, 2].map(|drawn| Worker::new(&plan(), drawn));
    one.tick(&mut host, now);
    one.answer(&mut host, now, &OK, b"{1}");
    two.look(&mut host);
    let now = now + REFRESH;
    assert!(one.tick(&mut host, now));
    // The lease can be read, and then nothing any more.
    host.failures = !1;
    let outcome = one.answer(&mut host, now, &OK, b"{2}");
    let Outcome::Failed { failure, alone, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!((failure.kind, alone, one.has()), (Kind::NotShared, true, "{2}"));
    host.failures = 0;
    assert_eq!((one.look(&mut host), one.has()), (Look::Nothing, "{2}"), "it does not go back");
    // Whatever is fetched later counts, be it what there was before.
    let now = now + REFRESH;
    assert!(two.tick(&mut host, now));
    assert_eq!(two.answer(&mut host, now, &OK, b"{1}"), Outcome::Unchanged { again: false });
    assert_eq!((one.look(&mut host), one.has()), (Look::Taken, "{1}"));
}

#[test]
fn one_more_attempt_for_an_unknown_key_is_allowed_in_trouble_too() {
    let (mut host, mut worker) = (Flaky::default(), Worker::new(&plan(), 1));
    worker.tick(&mut host, START);
    worker.answer(&mut host, START, &OK, b"{1}");
    let mut now = START;
    for _ in 0..6 {
        now += REFRESH;
        assert!(worker.tick(&mut host, now));
        worker.answer(&mut host, now, &DOWN, b"");
    }
    // By itself it waits for minutes; somebody with a key that nobody knows does not.
    assert!(!worker.tick(&mut host, now + LEAST));
    assert_eq!(worker.fetcher.standing(now + LEAST - 1_000), Standing::Later(1));
    assert_eq!(worker.fetcher.standing(now + LEAST), Standing::Soon);
    let mut attempts = 0;
    for second in 0..600 {
        worker.fetcher.want();
        if worker.tick(&mut host, now + second * 1_000) {
            attempts += 1;
            worker.answer(&mut host, now + second * 1_000, &DOWN, b"");
        }
    }
    assert!((18..=20).contains(&attempts), "{attempts} in ten minutes, with half a minute between");
}

#[test]
fn content_that_gives_nothing_is_taken_and_said_to_be_so() {
    let (mut host, now) = (Flaky::default(), START);
    let mut empty =
        |_: &[u8]| Ok(Took { lack: Some("no key can verify a token (0 keys)".into()), ..Took::default() });
    let mut one = Worker::new(&plan(), 1);
    one.tick(&mut host, now);
    one.answer(&mut host, now, &OK, b"{1}");
    let mut two = Worker::new(&plan(), 2);
    assert_eq!(two.fetcher.look(&mut host, &mut empty), Look::Taken);
    assert!(two.fetcher.has_content() && one.fetcher.lack().is_none());
    assert_eq!(two.fetcher.lack().map(|lack| lack.kind), Some(Kind::NoUsableKey));
    // The same in other bytes is no news.
    one.tick(&mut host, now + REFRESH);
    one.answer(&mut host, now + REFRESH, &OK, b"{2}");
    let same = &mut |_: &[u8]| Ok(Took { same: true, lack: None });
    assert_eq!((two.fetcher.look(&mut host, same), two.fetcher.lack()), (Look::Nothing, None));
}
