//! Requests that need what has to be fetched first.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::Ed25519KeyPair;
use serde_json::{Value, json};

use super::super::tests::{NOW, load, plan};
use super::super::{Exchange, Step};
use super::*;
use crate::host::testing::TestHost;
use crate::trace::Trace;

const ISSUER: &str = "https://issuer.example/";

fn key(number: u8) -> Ed25519KeyPair {
    let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([number; 32]));
    Ed25519KeyPair::from_bytes(pair.sk.as_slice()).unwrap()
}

/// A key set with keys of these numbers.
fn jwks(numbers: &[u8]) -> String {
    let keys = numbers.iter().map(|number| {
        let x = URL_SAFE_NO_PAD.encode(key(*number).public_key().to_bytes());
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": format!("k{number}"), "x": x})
    });
    json!({"keys": keys.collect::<Vec<_>>()}).to_string()
}

fn token(number: u8) -> String {
    signed(number, Some(&format!("k{number}")))
}

/// A token that names this key, signed by that one.
fn signed(number: u8, kid: Option<&str>) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = kid.map_or(json!({"alg": "EdDSA"}), |kid| json!({"alg": "EdDSA", "kid": kid}));
    let claims = json!({"iss": ISSUER, "sub": "alice", "exp": NOW.secs() + 7_200});
    let input = format!("{}.{}", part(&header), part(&claims));
    let secret = ed25519_compact::SecretKey::from_slice(&key(number).to_bytes()).unwrap();
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(*secret.sign(input.as_bytes(), None)))
}

fn remote() -> Value {
    let mut plan = plan();
    let authentication = &mut plan["authentication"];
    authentication["jwt"][0]["algorithms"] = json!(["EdDSA"]);
    authentication["jwt"][0]["keys"] = json!({"remote": {"feed": 0}});
    authentication["feeds"] = json!([{
        "name": "corp", "at": "bundle.yaml:1", "kind": "keys",
        "from": {"place": {"cluster": "idp", "authority": "issuer.example", "path": "/k"}},
        "refresh_ms": 600_000, "min_refresh_ms": 30_000, "timeout_ms": 5_000, "max_bytes": 65_536,
    }]);
    plan
}

/// A worker, a stream of it, and its clock.
struct Worker {
    engine: Engine,
    host: TestHost,
    exchange: Exchange,
    now: Now,
}

impl Worker {
    fn new(host: &TestHost) -> Self {
        Self::with(&remote(), host)
    }

    fn with(plan: &Value, host: &TestHost) -> Self {
        let mut engine = load(plan).unwrap();
        engine.draw(1);
        Self { engine, host: host.clone(), exchange: Exchange::default(), now: NOW }
    }

    fn wait(&mut self, millis: u64) {
        self.now = Now::from_nanos(self.now.nanos() + millis * 1_000_000);
    }

    /// A request that is new.
    fn send(&mut self, token: &str) -> Step {
        self.exchange = Exchange::default();
        self.judge(token)
    }

    /// The same request, perhaps again.
    fn judge(&mut self, token: &str) -> Step {
        let authorization = format!("Bearer {token}");
        let pairs: [(&[u8], &[u8]); 4] = [
            (b":method", b"GET"),
            (b":path", b"/few"),
            (b":authority", b"h"),
            (b"authorization", authorization.as_bytes()),
        ];
        let Self { engine, host, exchange, now } = self;
        engine.request_head(exchange, &pairs, true, *now, host, &mut Trace::off())
    }

    fn asks(&mut self) -> bool {
        let asked = self.engine.poll(0, &mut self.host, self.now).is_some();
        self.engine.sent(0, 4);
        asked
    }

    fn answer(&mut self, status: &str, body: &str) -> Outcome {
        let headers: [(&[u8], &[u8]); 2] =
            [(b":status", status.as_bytes()), (b"content-type", b"application/json")];
        let arrived =
            Arrived { headers: &headers, size: body.len(), body: &mut || Some(body.as_bytes().to_vec()) };
        self.engine.answered(0, &mut self.host, self.now, 4, arrived)
    }
}

fn refused(step: Step) -> (&'static str, Option<String>, bool) {
    let Step::Refuse(refusal) = step else { panic!("{step:?}") };
    let header = |name: &str| refusal.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    (refusal.reason.code(), header("retry-after"), header("www-authenticate").is_some())
}

fn wait(step: Step) -> Wait {
    let Step::Wait(wait) = step else { panic!("{step:?}") };
    wait
}

#[test]
fn a_request_waits_for_the_first_keys_and_pays_once() {
    let mut worker = Worker::new(&TestHost::with_peer("192.0.2.1"));
    let waits = wait(worker.send(&token(1)));
    assert_eq!(waits, Wait { feed: 0, attempts: 0, patience: 5_500 });
    assert!(worker.asks());
    assert_eq!(worker.answer("200", &jwks(&[1])), Outcome::Changed { again: false });
    assert_eq!(worker.engine.feeds()[0].state().attempts, 1);
    // There is one request in the budget of the address.
    assert_eq!(worker.judge(&token(1)), Step::Continue);
    assert_eq!(refused(worker.send(&token(1))).0, "limit-exceeded");
}

#[test]
fn without_keys_nothing_is_said_about_a_token() {
    let host = TestHost::with_peer("192.0.2.1");
    let mut worker = Worker::new(&host);
    wait(worker.send(&token(1)));
    assert!(worker.asks());
    let failed = worker.answer("503", "");
    assert!(
        matches!(failed, Outcome::Failed { failure, news: true, .. } if failure.kind.code() == "server-error")
    );
    let (code, again, challenge) = refused(worker.judge(&token(1)));
    assert_eq!((code, again.as_deref(), challenge), ("keys-unavailable", Some("1"), false));
    worker.wait(60_000);
    for (haste, reason) in
        [(Haste::Full, "busy"), (Haste::Never, "keys-unavailable"), (Haste::Over, "keys-unavailable")]
    {
        worker.wait(60_000);
        worker.exchange = Exchange::default();
        worker.exchange.hurry(haste);
        assert_eq!(refused(worker.judge(&token(1))), (reason, Some("1".into()), false));
    }
    // What is refused for other reasons is so without keys too.
    worker.wait(60_000);
    assert_eq!(refused(worker.send("a.b.c")).0, "token-invalid");
}

#[test]
fn a_new_key_is_fetched_at_once_and_an_old_one_is_gone_at_once() {
    let host = TestHost::with_peer("192.0.2.1");
    let mut worker = Worker::new(&host);
    assert!(worker.asks());
    worker.answer("200", &jwks(&[1]));
    assert_eq!(worker.send(&token(1)), Step::Continue);
    worker.wait(61_000);
    assert!(!worker.asks(), "nobody needs anything");
    wait(worker.send(&token(2)));
    assert!(worker.asks());
    assert_eq!(worker.answer("200", &jwks(&[2])), Outcome::Changed { again: false });
    assert_eq!(worker.judge(&token(2)), Step::Continue);
    // It was in the cache of tokens; and nobody asks again so soon.
    worker.wait(20_000);
    let mut other = Worker::new(&host);
    other.now = worker.now;
    other.host.peer = "192.0.2.2".parse().ok();
    assert_eq!(other.send(&token(2)), Step::Continue, "it finds there what the first has fetched");
    other.host.peer = "192.0.2.3".parse().ok();
    assert_eq!(refused(other.send(&token(1))), ("token-invalid", None, true));
    worker.host.peer = "192.0.2.4".parse().ok();
    assert_eq!(refused(worker.send(&token(1))), ("token-invalid", None, true));
    assert!(!worker.asks() && !other.asks());
    // Later it is asked: nothing is said about the token before there is an answer, and it is refused when that does not help.
    worker.wait(11_000);
    worker.host.peer = "192.0.2.5".parse().ok();
    wait(worker.send(&token(1)));
    worker.exchange.hurry(Haste::Over);
    assert_eq!(refused(worker.judge(&token(1))), ("keys-unavailable", Some("1".into()), false));
    worker.host.peer = "192.0.2.6".parse().ok();
    wait(worker.send(&token(1)));
    assert!(worker.asks());
    assert_eq!(worker.answer("200", &jwks(&[2])), Outcome::Unchanged { again: false });
    worker.exchange.hurry(Haste::Over);
    assert_eq!(refused(worker.judge(&token(1))), ("token-invalid", None, true));
}

#[test]
fn a_malformed_set_changes_nothing() {
    let mut worker = Worker::new(&TestHost::with_peer("192.0.2.1"));
    worker.asks();
    worker.answer("200", &jwks(&[1, 2]));
    worker.wait(600_000);
    for body in [
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[{}]}"#,
        &jwks(&[3]).replace("\"x\":\"", "\"x\":\"A"),
        &jwks(&[3]).replace("\"x\"", "\"d\""),
    ] {
        worker.wait(600_000);
        assert!(worker.asks());
        let failed = worker.answer("200", body);
        assert!(
            matches!(failed, Outcome::Failed { failure, .. } if failure.kind.code() == "malformed"),
            "{body}"
        );
        assert_eq!(worker.send(&token(1)), Step::Continue);
    }
}

#[test]
fn a_set_without_a_key_for_one_of_its_readers_leaves_only_that_one_without() {
    let mut plan = remote();
    let mut other = plan["authentication"]["jwt"][0].clone();
    other["name"] = json!("other");
    other["issuer"] = json!("https://other.example/");
    other["algorithms"] = json!(["ES256"]);
    other["forward_claims"] = json!([]);
    plan["authentication"]["jwt"].as_array_mut().unwrap().push(other);
    let mut worker = Worker::new(&TestHost::with_peer("192.0.2.1"));
    worker.engine = load(&plan).unwrap();
    assert!(worker.asks());
    // What is malformed is taken by nobody.
    let failed = worker.answer("200", &jwks(&[1]).replace("\"x\"", "\"d\""));
    assert!(matches!(failed, Outcome::Failed { failure, .. } if failure.kind.code() == "malformed"));
    assert_eq!(refused(worker.send(&token(1))).0, "keys-unavailable");
    worker.wait(60_000);
    assert!(worker.asks());
    assert_eq!(worker.answer("200", &jwks(&[1])), Outcome::Changed { again: true });
    let lack = worker.engine.feeds()[0].lack().map(ToString::to_string).unwrap_or_default();
    assert!(lack.starts_with("no-usable-key: no key can verify a token (keys[0] "), "{lack}");
    worker.host.peer = "192.0.2.2".parse().ok();
    assert_eq!(worker.send(&token(1)), Step::Continue);
}

#[test]
fn an_issuer_that_withdraws_its_last_key_is_believed() {
    let host = TestHost::with_peer("192.0.2.1");
    let [mut worker, mut other] = [Worker::new(&host), Worker::new(&host)];
    assert!(worker.asks());
    worker.answer("200", &jwks(&[1]));
    assert_eq!(worker.send(&token(1)), Step::Continue);
    for (number, set) in
        (2..).zip([r#"{"keys":[]}"#, r#"{"keys":[{"kty":"OKP","crv":"X25519","x":"AAAA","use":"enc"}]}"#])
    {
        for (third, one) in [&mut worker, &mut other].into_iter().enumerate() {
            one.wait(600_000);
            one.host.peer = Some([192, 0, u8::try_from(third).unwrap(), number].into());
        }
        assert!(worker.asks(), "{set}");
        assert_eq!(worker.answer("200", set), Outcome::Changed { again: false }, "{set}");
        assert_eq!(refused(worker.send(&token(1))), ("keys-unavailable", Some("30".into()), false), "{set}");
        assert_eq!(refused(other.send(&token(1))).0, "keys-unavailable", "{set}");
        assert!(worker.engine.feeds()[0].lack().is_some());
    }
    // The next token may ask again, long before it is time.
    worker.wait(31_000);
    worker.host.peer = "192.0.2.8".parse().ok();
    wait(worker.send(&token(2)));
    assert!(worker.asks());
    worker.answer("200", &jwks(&[2]));
    worker.host.peer = "192.0.2.9".parse().ok();
    assert_eq!(worker.send(&token(2)), Step::Continue);
    assert!(worker.engine.feeds()[0].lack().is_none());
}

#[test]
fn a_signature_of_no_key_asks_for_newer_ones_where_the_token_names_none_that_is_there() {
    let unnamed = |number| jwks(&[number]).replace(&format!(r#""kid":"k{number}","#), "");
    for (name, set, token, asks) in [
        ("no names at all", unnamed(1), signed(2, None), true),
        ("a name, and a key without", unnamed(1), signed(2, Some("k2")), true),
        ("no name, and a key with one", jwks(&[1]), signed(2, None), true),
        ("the name of another key", jwks(&[1]), signed(2, Some("k1")), false),
    ] {
        let mut worker = Worker::new(&TestHost::with_peer("192.0.2.1"));
        assert!(worker.asks());
        worker.answer("200", &set);
        worker.wait(31_000);
        if !asks {
            assert_eq!(refused(worker.send(&token)), ("token-invalid", None, true), "{name}");
            assert!(!worker.asks(), "{name}");
            continue;
        }
        wait(worker.send(&token));
        assert!(worker.asks(), "{name}");
        assert_eq!(worker.answer("200", &unnamed(2)), Outcome::Changed { again: false }, "{name}");
        assert_eq!(worker.judge(&token), Step::Continue, "{name}");
        // One that nobody has signed is refused for good, and makes nobody ask so soon.
        worker.host.peer = "192.0.2.2".parse().ok();
        assert_eq!(refused(worker.send(&signed(3, None))), ("token-invalid", None, true), "{name}");
        assert!(!worker.asks(), "{name}");
    }
}

#[test]
fn in_an_outage_nothing_is_said_about_an_unknown_key_and_it_is_asked_for_now_and_then() {
    let mut worker = Worker::new(&TestHost::with_peer("192.0.2.1"));
    assert!(worker.asks());
    worker.answer("200", &jwks(&[1]));
    for _ in 0..6 {
        worker.wait(600_000);
        assert!(worker.asks());
        worker.answer("503", "");
    }
    let visit = |worker: &mut Worker, number: u8| worker.host.peer = Some([192, 0, 2, number].into());
    visit(&mut worker, 2);
    assert_eq!(refused(worker.send(&token(2))), ("keys-unavailable", Some("30".into()), false));
    visit(&mut worker, 3);
    assert_eq!(worker.send(&token(1)), Step::Continue, "who is known is known");
    // Half a minute later somebody may ask, though the next attempt is planned in minutes.
    worker.wait(30_000);
    assert!(!worker.asks());
    visit(&mut worker, 4);
    wait(worker.send(&token(2)));
    assert!(worker.asks());
    worker.answer("200", &jwks(&[2]));
    assert_eq!(worker.judge(&token(2)), Step::Continue);
}

#[test]
fn a_body_whose_head_waits_is_refused_as_soon_as_it_is_too_large() {
    let mut plan = remote();
    let mut route = plan["routes"][1].clone();
    for (member, value) in [
        ("id", json!("post")),
        ("path", json!("/post")),
        ("methods", json!(["POST"])),
        ("limits", json!([])),
        ("body", json!(1)),
    ] {
        route[member] = value;
    }
    plan["routes"].as_array_mut().unwrap().push(route);
    let mut worker = Worker::with(&plan, &TestHost::with_peer("192.0.2.1"));
    let authorization = format!("Bearer {}", token(1));
    let send = |worker: &mut Worker, path: &str, kind: &str, length: &str| {
        let mut pairs: Vec<(&[u8], &[u8])> = vec![
            (b":method", if path == "/post" { b"POST" } else { b"GET" }),
            (b":path", path.as_bytes()),
            (b":authority", b"h"),
            (b"authorization", authorization.as_bytes()),
            (b"content-type", kind.as_bytes()),
        ];
        pairs.extend((!length.is_empty()).then_some((b"content-length" as &[u8], length.as_bytes())));
        worker.exchange = Exchange::default();
        let Worker { engine, host, exchange, now } = worker;
        engine.request_head(exchange, &pairs, false, *now, host, &mut Trace::off())
    };
    let meanwhile = |worker: &mut Worker, size| match worker.engine.body_meanwhile(&mut worker.exchange, size)
    {
        Meanwhile::Keep => "keep",
        Meanwhile::Pass => "pass",
        Meanwhile::Refuse(refusal) => refusal.reason.code(),
    };
    // By what it announces, and by what comes: in all for what is kept, piece by piece for what passes.
    wait(send(&mut worker, "/post", "application/json", "30"));
    assert_eq!(refused(send(&mut worker, "/post", "application/json", "31")).0, "body-too-large");
    wait(send(&mut worker, "/post", "application/json", ""));
    assert_eq!([29, 30, 31].map(|size| meanwhile(&mut worker, size)), ["keep", "keep", "body-too-large"]);
    wait(send(&mut worker, "/post", "image/png", ""));
    assert_eq!([15, 15, 1].map(|size| meanwhile(&mut worker, size)), ["pass", "pass", "body-too-large"]);
    assert_eq!(meanwhile(&mut worker, 1), "body-malformed", "it was refused");
    // A route that takes no body.
    wait(send(&mut worker, "/few", "image/png", ""));
    assert_eq!([0, 1].map(|size| meanwhile(&mut worker, size)), ["keep", "body-too-large"]);
}

#[test]
fn the_same_keys_in_another_order_are_no_news() {
    let mut worker = Worker::new(&TestHost::with_peer("192.0.2.1"));
    assert!(worker.asks());
    worker.answer("200", &jwks(&[1, 2]));
    worker.wait(600_000);
    assert!(worker.asks());
    assert_eq!(worker.answer("200", &jwks(&[2, 1])), Outcome::Unchanged { again: false });
    worker.wait(600_000);
    assert!(worker.asks());
    assert_eq!(worker.answer("200", &jwks(&[2])), Outcome::Changed { again: false });
}

#[test]
fn a_plan_names_feeds_that_there_are_and_fetches_no_secret() {
    for (place, value, said) in [
        ("/authentication/jwt/0/keys/remote/feed", json!(1), "jwt[0].keys: there is no feed 1"),
        ("/authentication/jwt/0/algorithms", json!(["HS256"]), "shared secrets are not fetched"),
        ("/authentication/feeds/0/kind", json!("revocations"), "is of another kind"),
        ("/authentication/feeds/0/timeout_ms", json!(1), "authentication.feeds[0].timeout_ms"),
    ] {
        let mut plan = remote();
        *plan.pointer_mut(place).unwrap() = value;
        let refused = load(&plan).map(drop).map_err(|error| error.to_string());
        assert!(refused.as_ref().is_err_and(|error| error.contains(said)), "{refused:?}, not {said}");
    }
}

#[test]
fn a_token_that_is_revoked_is_refused_on_every_worker_whoever_remembers_it() {
    let mut plan = remote();
    let authentication = &mut plan["authentication"];
    authentication["jwt"][0]["keys"] = json!({"jwks": jwks(&[1])});
    authentication["feeds"][0]["kind"] = json!("revocations");
    let list = crate::authentication::revocation::plan::ListPlan::default();
    authentication["revoked"] = json!({"at": "bundle.yaml:1", "require": [], "list": list, "feed": 0});
    let host = TestHost::with_peer("192.0.2.1");
    let mut workers = [Worker::with(&plan, &host), Worker::with(&plan, &host)];
    let mut visitors = 1_u8..;
    // Each request has an address, and so a budget, of its own.
    let mut send = |worker: &mut Worker| {
        worker.host.peer = Some([192, 0, 3, visitors.next().unwrap()].into());
        worker.send(&token(1))
    };
    // Before there is a list a request waits for it.
    wait(send(&mut workers[0]));
    assert!(workers[0].asks());
    assert_eq!(workers[0].answer("200", r#"{"version": 1}"#), Outcome::Changed { again: false });
    for worker in &mut workers {
        assert_eq!(send(worker), Step::Continue);
        assert_eq!(send(worker), Step::Continue, "it is in the cache");
    }
    // One worker fetches the next list, and the other one finds it at its tick.
    workers.iter_mut().for_each(|worker| worker.wait(600_000));
    assert!(workers[0].asks());
    let next = r#"{"version": 2, "subjects": ["alice"]}"#;
    assert_eq!(workers[0].answer("200", next), Outcome::Changed { again: false });
    let Worker { engine, host, .. } = &mut workers[1];
    engine.look(0, host);
    for worker in &mut workers {
        assert_eq!(refused(send(worker)), ("token-revoked", None, true));
    }
    // An older list, or a broken one, lets nobody in again.
    for bad in [r#"{"version": 1}"#, r#"{"version": 3, "subject": []}"#, r#"{"version": 2}"#] {
        workers.iter_mut().for_each(|worker| worker.wait(700_000));
        assert!(workers[0].asks(), "{bad}");
        assert!(matches!(workers[0].answer("200", bad), Outcome::Failed { .. }), "{bad}");
        for worker in &mut workers {
            let Worker { engine, host, .. } = &mut *worker;
            engine.look(0, host);
            assert_eq!(refused(send(worker)).0, "token-revoked", "{bad}");
        }
    }
}

#[test]
fn who_finds_the_keys_and_misses_the_list_waits_for_the_list() {
    let mut plan = remote();
    let authentication = &mut plan["authentication"];
    let mut list = authentication["feeds"][0].clone();
    (list["kind"], list["from"]["place"]["path"]) = (json!("revocations"), json!("/revoked"));
    authentication["feeds"].as_array_mut().unwrap().push(list);
    let nothing = crate::authentication::revocation::plan::ListPlan::default();
    authentication["revoked"] = json!({"at": "bundle.yaml:1", "require": [], "list": nothing, "feed": 1});
    let host = TestHost::with_peer("192.0.2.1");
    let mut workers = [Worker::with(&plan, &host), Worker::with(&plan, &host)];
    assert!(workers[0].asks());
    assert_eq!(workers[0].answer("200", &jwks(&[1])), Outcome::Changed { again: false });
    // The other worker takes the keys over for this very request.
    assert_eq!(wait(workers[1].send(&token(1))).feed, 1);
    workers[1].exchange.hurry(Haste::Over);
    assert_eq!(refused(workers[1].judge(&token(1))), ("keys-unavailable", Some("1".into()), false));
    let mut last = Worker::with(&plan, &host);
    last.exchange.hurry(Haste::Over);
    last.host.peer = "192.0.2.2".parse().ok();
    assert_eq!(refused(last.judge(&token(1))), ("keys-unavailable", Some("1".into()), false));
}
