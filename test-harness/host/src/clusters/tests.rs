use std::time::Duration;

use super::{Answer, Callouts, Clusters, Delivery, Event, HttpCall, REMEMBERED_CALLS, Step};
use crate::Status;
use crate::headers::{HeaderKind, HeaderMap};
use crate::pairs::Pairs;

const ROOT: u32 = 1;
const TOOK: &str = "x-envoy-upstream-service-time=0";
const START: Duration = Duration::from_secs(100);

fn at(milliseconds: u64) -> Duration {
    START + Duration::from_millis(milliseconds)
}

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn request() -> Pairs {
    pairs(&[(":method", "GET"), (":path", "/x"), (":authority", "a.test")])
}

/// An Envoy with one cluster, `up`, that answers so.
fn with(answers: impl IntoIterator<Item = Answer>) -> (Clusters, Callouts) {
    let clusters = Clusters::default();
    clusters.add_answers("up", answers);
    (clusters.clone(), Callouts::new(clusters))
}

fn call(callouts: &mut Callouts, timeout: u32) -> Result<u32, Status> {
    let headers = request();
    let call = HttpCall {
        cluster: b"up",
        headers: &headers,
        body: b"",
        trailers: &[],
        timeout_milliseconds: timeout,
    };
    callouts.http_call(ROOT, call, START)
}

fn unary(callouts: &mut Callouts, service: &[u8], timeout: u32) -> Result<u32, Status> {
    callouts.grpc_call(ROOT, service, b"pkg.Service", b"Do", &[], b"ask", timeout, START)
}

fn open(callouts: &mut Callouts) -> Result<u32, Status> {
    callouts.grpc_stream(ROOT, b"up", b"pkg.Service", b"Talk", &pairs(&[("x-a", "1")]), START)
}

/// What is due, without context and token, in a short form.
fn told(deliveries: &[Delivery]) -> Vec<String> {
    let headers = |map: &HeaderMap| {
        let list: Vec<String> = map
            .iter()
            .map(|(name, value)| {
                format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
            })
            .collect();
        list.join(" ")
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    deliveries
        .iter()
        .map(|delivery| match &delivery.event {
            Event::HttpResponse { headers: map, body, trailers } => {
                let trailers =
                    trailers.as_ref().map_or_else(String::new, |map| format!(" | {}", headers(map)));
                format!("http {} | {}{trailers}", headers(map), text(body))
            }
            Event::HttpFailure => "failure".to_owned(),
            Event::GrpcInitialMetadata(map) => format!("initial {}", headers(map)),
            Event::GrpcMessage(bytes) => format!("message {}", text(bytes)),
            Event::GrpcTrailingMetadata(map) => format!("trailing {}", headers(map)),
            Event::GrpcClose { status, message } => format!("close {status} {}", text(message)),
        })
        .collect()
}

#[test]
fn a_response_comes_when_its_time_has_come_and_once() {
    let answer = Answer::status(200).header("x-b", "1").body("hi").trailer("x-t", "2");
    let (_, mut callouts) = with([answer.after(Duration::from_millis(30))]);
    let token = call(&mut callouts, 1000).unwrap();
    assert_eq!(token, 4);
    assert_eq!(callouts.next_due(), Some(at(30)));
    assert_eq!(callouts.due(at(29)), []);
    let due = callouts.due(at(30));
    assert_eq!(
        told(&due),
        ["http :status=200 x-b=1 content-length=2 x-envoy-upstream-service-time=30 | hi | x-t=2"]
    );
    assert_eq!((due[0].context, due[0].token), (ROOT, token));
    assert_eq!(callouts.due(at(5000)), [], "no time-out behind the response");
    assert!(callouts.is_empty());
}

#[test]
fn a_time_out_is_a_response_of_504() {
    for answer in [Answer::never(), Answer::status(200).after(Duration::from_millis(51))] {
        let (_, mut callouts) = with([answer]);
        call(&mut callouts, 50).unwrap();
        assert_eq!(callouts.due(at(49)), []);
        let expected =
            "http :status=504 content-length=24 content-type=text/plain | upstream request timeout";
        assert_eq!(told(&callouts.due(at(50))), [expected]);
        assert_eq!(callouts.due(at(5000)), []);
    }
}

#[test]
fn a_call_without_time_out_waits_for_ever() {
    let (_, mut callouts) = with([Answer::never()]);
    call(&mut callouts, 0).unwrap();
    assert_eq!((callouts.next_due(), callouts.len()), (None, 1));
    callouts.forget_context(ROOT);
    assert!(callouts.is_empty());
}

#[test]
fn an_early_break_is_503_and_a_late_one_a_failure() {
    for (answer, expected) in
        [(Answer::refused(), "remote connection failure"), (Answer::reset(), "connection termination")]
    {
        let (_, mut callouts) = with([answer]);
        call(&mut callouts, 0).unwrap();
        let told = told(&callouts.due(START));
        assert!(told[0].starts_with("http :status=503 content-length="), "{told:?}");
        assert!(told[0].ends_with(&format!("reset reason: {expected}")), "{told:?}");
    }
    let (_, mut callouts) = with([Answer::reset_after_headers()]);
    call(&mut callouts, 0).unwrap();
    assert_eq!(told(&callouts.due(START)), ["failure"]);
}

#[test]
fn misuse_has_envoy_s_statuses_and_takes_no_token() {
    let (clusters, mut callouts) = with([Answer::status(200)]);
    let mut try_call = |cluster: &[u8], headers: &Pairs, timeout_milliseconds| {
        let call = HttpCall { cluster, headers, body: b"", trailers: &[], timeout_milliseconds };
        callouts.http_call(ROOT, call, START)
    };
    assert_eq!(try_call(b"other", &request(), 0), Err(Status::BadArgument));
    assert_eq!(try_call(b"up", &request(), 1 << 31), Err(Status::BadArgument));
    for left_out in 0..3 {
        let mut headers = request();
        headers.remove(left_out);
        assert_eq!(try_call(b"up", &headers, 0), Err(Status::BadArgument));
    }
    let with_host = pairs(&[(":method", "GET"), (":path", "/"), ("host", "a")]);
    assert_eq!(try_call(b"up", &with_host, (1 << 31) - 1), Ok(4));
    assert_eq!(clusters.seen("up"), 1);
}

#[test]
fn without_a_healthy_host_the_call_fails_at_once_and_nothing_follows() {
    let (_, mut callouts) = with([Answer::no_healthy_host(), Answer::status(204)]);
    assert_eq!(call(&mut callouts, 1000), Err(Status::InternalFailure));
    assert_eq!((callouts.due(at(5000)), callouts.len()), (vec![], 0));
    assert_eq!(call(&mut callouts, 1000), Ok(8), "the failed call has used a token up");
}

#[test]
fn an_upstream_sees_the_call_and_answers_by_what_it_sees() {
    let clusters = Clusters::default();
    clusters.add("up", |call| {
        if call.number == 0 { Answer::status(200).body(call.body.clone()) } else { Answer::status(429) }
    });
    let mut callouts = Callouts::new(clusters.clone());
    let (headers, trailers) = (request(), pairs(&[("x-t", "1")]));
    for _ in 0..2 {
        let call = HttpCall {
            cluster: b"up",
            headers: &headers,
            body: b"ab",
            trailers: &trailers,
            timeout_milliseconds: 9,
        };
        callouts.http_call(ROOT, call, START).unwrap();
    }
    let told = told(&callouts.due(START));
    assert_eq!(
        told,
        [format!("http :status=200 content-length=2 {TOOK} | ab"), format!("http :status=429 {TOOK} | ")]
    );
    let seen = clusters.calls("up");
    assert_eq!((seen.len(), seen[1].number, seen[1].at), (2, 1, START));
    assert_eq!(seen[0].headers.get("content-length"), Some(&b"2"[..]));
    assert_eq!((&seen[0].trailers, seen[0].timeout), (&trailers, Some(Duration::from_millis(9))));
}

#[test]
fn a_cluster_forgets_old_calls_and_a_removed_cluster_is_unknown() {
    let (clusters, mut callouts) = with([Answer::status(200)]);
    for _ in 0..REMEMBERED_CALLS + 5 {
        call(&mut callouts, 0).unwrap();
        callouts.due(START);
    }
    assert_eq!(clusters.calls("up").len(), REMEMBERED_CALLS);
    assert_eq!(clusters.calls("up")[0].number, 5);
    assert!(clusters.remove("up") && !clusters.remove("up"));
    assert_eq!(call(&mut callouts, 0), Err(Status::BadArgument));
}

#[test]
fn events_of_one_moment_keep_their_order_and_contexts_are_told_apart() {
    let (_, mut callouts) = with([Answer::status(201), Answer::status(202), Answer::status(203)]);
    let headers = request();
    for context in [1, 2, 1] {
        let call =
            HttpCall { cluster: b"up", headers: &headers, body: b"", trailers: &[], timeout_milliseconds: 0 };
        callouts.http_call(context, call, START).unwrap();
    }
    callouts.forget_context(2);
    let due = callouts.due(START);
    assert_eq!(told(&due), [format!("http :status=201 {TOOK} | "), format!("http :status=203 {TOOK} | ")]);
    assert!(due.iter().all(|delivery| delivery.context == 1));
}

#[test]
fn a_unary_call_ends_in_a_message_or_in_a_close() {
    for (answer, expected) in [
        (Answer::grpc("yes"), "message yes"),
        (Answer::grpc_status(7, "no"), "close 7 no{via_upstream}"),
        (Answer::grpc_status(0, ""), "close 13 "),
        (
            Answer::step(Step::Message(b"lost".to_vec())).then(Duration::ZERO, Answer::grpc_status(5, "")),
            "close 5 via_upstream",
        ),
        (Answer::status(503), "close 14 via_upstream"),
        (Answer::status(404).body("no"), "close 12 via_upstream"),
        (Answer::status(200), "close 2 via_upstream"),
        (Answer::status(200).body("hi"), "close 13 via_upstream"),
        (Answer::status(200).body("\0\0\0\0\x03yes").trailer("grpc-status", "0"), "message yes"),
        (Answer::status(200).body("\0\0\0\0\x03yes"), "close 2 via_upstream"),
        (
            Answer::status(200).body("\0\0\0\0\x03yes").trailer("grpc-status", "99"),
            "close 4294967295 via_upstream",
        ),
        (
            Answer::reset_after_headers(),
            "close 13 upstream_reset_after_response_started{connection_termination}",
        ),
    ] {
        let (_, mut callouts) = with([answer]);
        let token = unary(&mut callouts, b"up", 0).unwrap();
        assert_eq!(token, 5);
        assert_eq!(told(&callouts.due(START)), [expected]);
        assert!(callouts.is_empty());
        assert_eq!(callouts.grpc_close(token, START), Err(Status::NotFound));
    }
    let (_, mut callouts) = with([Answer::refused()]);
    unary(&mut callouts, b"up", 0).unwrap();
    assert!(told(&callouts.due(START))[0].starts_with("close 14 upstream connect error"));
}

#[test]
fn a_unary_call_times_out_as_unavailable() {
    let (clusters, mut callouts) = with([Answer::grpc("late").after(Duration::from_millis(51))]);
    unary(&mut callouts, b"up", 50).unwrap();
    assert_eq!(told(&callouts.due(at(1000))), ["close 14 upstream request timeout{response_timeout}"]);
    let seen = &clusters.calls("up")[0];
    assert_eq!(seen.headers.get(":path"), Some(&b"/pkg.Service/Do"[..]));
    assert_eq!((seen.body.as_slice(), seen.timeout), (&b"ask"[..], Some(Duration::from_millis(50))));
}

#[test]
fn a_grpc_service_is_a_message_or_else_a_name() {
    let (_, mut callouts) = with([Answer::grpc("yes")]);
    assert_eq!(unary(&mut callouts, b"up", 0), Ok(5));
    assert_eq!(unary(&mut callouts, b"\x0a\x04\x0a\x02up", 0), Ok(9));
    assert_eq!(told(&callouts.due(START)), ["message yes", "message yes"]);
    assert_eq!(unary(&mut callouts, b"down", 0), Err(Status::ParseFailure));
    assert_eq!(unary(&mut callouts, b"", 0), Err(Status::BadArgument));
    assert_eq!(unary(&mut callouts, b"\x12\x00", 0), Err(Status::BadArgument));
    assert_eq!(unary(&mut callouts, b"early", 0), Err(Status::BadArgument), "a message by accident");
    assert_eq!(callouts.due(START), []);
    // An unknown cluster in a message is found out later, when the token is there.
    assert_eq!(unary(&mut callouts, b"\x0a\x06\x0a\x04down", 0), Err(Status::InternalFailure));
    let due = callouts.due(START);
    assert_eq!((told(&due), due[0].token), (vec!["close 14 Cluster not available".to_owned()], 13));
}

#[test]
fn a_stream_talks_message_by_message() {
    let clusters = Clusters::default();
    clusters.add("up", |call| {
        if call.end_of_stream {
            Answer::grpc_status(0, "").header("x-z", "9")
        } else if call.body.is_empty() {
            Answer::never()
        } else {
            Answer::step(Step::Message([b"re:", call.body.as_slice()].concat()))
                .after(Duration::from_millis(10))
        }
    });
    let mut callouts = Callouts::new(clusters.clone());
    let token = open(&mut callouts).unwrap();
    assert_eq!(token, 6);
    callouts.grpc_send(token, b"a", false, START).unwrap();
    callouts.grpc_send(token, b"b", false, START).unwrap();
    assert_eq!(
        told(&callouts.due(at(10))),
        ["initial :status=200 content-type=application/grpc", "message re:a"]
    );
    assert_eq!(told(&callouts.due(at(20))), ["message re:b"], "answers follow each other");
    callouts.grpc_close(token, at(20)).unwrap();
    assert_eq!(told(&callouts.due(at(20))), ["trailing grpc-status=0 x-z=9", "close 0 via_upstream"]);
    assert!(callouts.is_empty(), "both sides are closed");
    assert_eq!(callouts.grpc_send(token, b"c", false, at(20)), Err(Status::NotFound));
    assert_eq!(clusters.calls("up")[0].headers.get("x-a"), Some(&b"1"[..]));
}

#[test]
fn a_stream_that_the_upstream_ended_stays_until_the_module_closes_it() {
    let (clusters, mut callouts) = with([Answer::grpc_status(7, "no")]);
    let token = open(&mut callouts).unwrap();
    let trailing = "trailing :status=200 content-type=application/grpc grpc-status=7 grpc-message=no";
    assert_eq!(told(&callouts.due(START)), ["initial ", trailing, "close 7 no{via_upstream}"]);
    assert_eq!(callouts.grpc_send(token, b"x", false, START), Ok(()));
    assert_eq!((clusters.seen("up"), callouts.len()), (1, 1), "what is sent now is lost");
    assert_eq!(callouts.grpc_close(token, START), Ok(()));
    assert_eq!(callouts.grpc_close(token, START), Err(Status::NotFound));
}

#[test]
fn a_stream_may_break_or_meet_an_upstream_that_speaks_no_grpc() {
    for (answer, expected) in [
        (
            Answer::step(Step::Message(b"m".to_vec())).then(Duration::ZERO, Answer::reset()),
            &[
                "initial :status=200 content-type=application/grpc",
                "message m",
                "trailing ",
                "close 13 upstream_reset_after_response_started{connection_termination}",
            ][..],
        ),
        (Answer::status(404), &["initial ", "trailing ", "close 12 via_upstream"]),
        (Answer::status(200), &["initial ", "trailing :status=200", "close 2 via_upstream"]),
        (
            Answer::status(200).body("hi"),
            &["initial :status=200 content-length=2", "trailing ", "close 13 via_upstream"],
        ),
        (
            Answer::step(Step::Metadata(HeaderMap::from_pairs(HeaderKind::Response, [("x", "1")]))),
            &["initial x=1"],
        ),
    ] {
        let (_, mut callouts) = with([answer]);
        open(&mut callouts).unwrap();
        assert_eq!(told(&callouts.due(START)), expected);
    }
    let (_, mut callouts) = with([Answer::no_healthy_host()]);
    assert_eq!(open(&mut callouts), Err(Status::InternalFailure));
    assert_eq!(
        told(&callouts.due(START)),
        [
            "initial ",
            "trailing :status=200 content-type=application/grpc grpc-status=14 grpc-message=no healthy upstream",
            "close 14 no healthy upstream{no_healthy_upstream}",
        ]
    );
}

#[test]
fn a_cancelled_call_says_no_more_and_tokens_have_kinds() {
    let (_, mut callouts) = with([Answer::grpc("yes")]);
    let (http, grpc, stream) = (
        call(&mut callouts, 0).unwrap(),
        unary(&mut callouts, b"up", 0).unwrap(),
        open(&mut callouts).unwrap(),
    );
    assert_eq!((http, grpc, stream), (4, 5, 6));
    for wrong in [http, 7] {
        assert_eq!(callouts.grpc_cancel(wrong), Err(Status::BadArgument));
        assert_eq!(callouts.grpc_close(wrong, START), Err(Status::BadArgument));
        assert_eq!(callouts.grpc_send(wrong, b"", false, START), Err(Status::BadArgument));
    }
    assert_eq!(callouts.grpc_send(grpc, b"", false, START), Err(Status::BadArgument));
    assert_eq!(callouts.grpc_send(10, b"", false, START), Err(Status::NotFound));
    callouts.grpc_close(grpc, START).unwrap();
    callouts.grpc_cancel(stream).unwrap();
    assert_eq!(callouts.grpc_cancel(stream), Err(Status::NotFound));
    let due = callouts.due(at(1000));
    assert_eq!(due.iter().map(|delivery| delivery.token).collect::<Vec<_>>(), [http]);
}
