//! Streams that wait for callouts, what root contexts hear, and properties.

mod common;

use std::time::Duration;

use bartizan_host::clusters::Answer as From;
use bartizan_host::{LogLevel, Module, Outcome, Proxy, Request, Response, Status};
use common::{imports, module};

/// Asks the cluster `auth` for each request, waits at most 500 ms, and goes on if the answer has the status 200,
/// otherwise refuses with 401. What `proxy_get_status` gives is logged as a digit.
fn asking() -> Module {
    module(
        &imports(&[
            ("http_call", 10),
            ("set_effective_context", 1),
            ("continue_stream", 1),
            ("send_local_response", 8),
            ("get_header_map_value", 5),
            ("get_status", 3),
            ("get_buffer_bytes", 5),
            ("log", 3),
        ]),
        r#"
    (global $stream (mut i32) (i32.const 0))
    (data (i32.const 16) "auth")
    (data (i32.const 64) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\02\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/a\00:authority\00h\00")
    (data (i32.const 32) ":status")
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (global.set $stream (local.get 0))
        (if (call $http_call (i32.const 16) (i32.const 4) (i32.const 64) (i32.const 62) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 500) (i32.const 200))
            (then (drop (call $send_local_response (i32.const 500) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const -1)))))
        (i32.const 1))
    (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
        (i32.store (i32.const 240) (i32.const 0))
        (drop (call $get_header_map_value (i32.const 6) (i32.const 32) (i32.const 7) (i32.const 240) (i32.const 244)))
        (drop (call $get_status (i32.const 248) (i32.const 252) (i32.const 256)))
        (i32.store8 (i32.const 260) (i32.add (i32.const 48) (i32.load (i32.const 248))))
        (drop (call $log (i32.const 2) (i32.const 260) (i32.const 1)))
        (drop (call $set_effective_context (global.get $stream)))
        ;; "200" read as a number of three bytes
        (if (i32.and (i32.ne (local.get 2) (i32.const 0))
                (i32.eq (i32.and (i32.load (i32.load (i32.const 240))) (i32.const 0xffffff)) (i32.const 0x303032)))
            (then (drop (call $continue_stream (i32.const 0))))
            (else (drop (call $send_local_response (i32.const 401) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const -1))))))"#,
    )
}

#[expect(clippy::expect_used, reason = "a helper of tests")]
fn ask(answer: From) -> (Proxy, bartizan_host::Answer) {
    let proxy = Proxy::builder(&asking()).allow_on_headers_stop_iteration(true).start().expect("starts");
    proxy.clusters().add_answers("auth", [answer]);
    let answer = proxy.worker(0).send(Request::get("/"));
    (proxy, answer)
}

fn lines(proxy: &Proxy) -> Vec<String> {
    proxy
        .take_log()
        .into_iter()
        .filter(|line| line.level == LogLevel::Info)
        .map(|line| line.message)
        .collect()
}

#[test]
fn a_request_waits_for_its_callout_in_simulated_time() {
    let (proxy, answer) = ask(From::status(200).after(Duration::from_millis(300)));
    assert_eq!((answer.status(), answer.outcome()), (200, Outcome::Complete));
    let call = proxy.clusters().calls("auth").pop().expect("a call");
    assert_eq!(proxy.now() - call.at, Duration::from_millis(300));
    assert_eq!(call.headers.get(":path"), Some(&b"/a"[..]));
}

#[test]
fn what_the_callout_refuses_is_refused() {
    let (_, answer) = ask(From::status(403));
    assert_eq!((answer.status(), answer.upstream()), (401, None));
}

#[test]
fn a_time_out_is_an_answer_and_a_break_is_a_failure_with_a_status() {
    let (proxy, answer) = ask(From::never());
    assert_eq!((answer.status(), lines(&proxy)), (401, vec!["0".to_owned()]));
    let (proxy, answer) = ask(From::reset_after_headers());
    let broken = Status::BrokenConnection.code();
    // Eleven, as a character behind the digits.
    let expected = String::from(char::from(u8::try_from(48 + broken).expect("small")));
    assert_eq!((answer.status(), lines(&proxy)), (401, vec![expected]));
}

#[test]
fn an_unknown_cluster_is_told_at_once() {
    let proxy = Proxy::builder(&asking()).start().expect("starts");
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 500);
}

#[test]
fn without_an_answer_and_a_time_out_the_request_hangs_until_time_moves() {
    let proxy = Proxy::builder(&asking()).allow_on_headers_stop_iteration(true).start().expect("starts");
    proxy.clusters().add_answers("auth", [From::status(200).after(Duration::from_millis(100))]);
    let mut stream = proxy.worker(0).open();
    stream.request_headers(&vec![(b":method".to_vec(), b"GET".to_vec())], true);
    assert!(stream.request_is_paused());
    proxy.advance(Duration::from_millis(99));
    assert!(stream.request_is_paused());
    proxy.advance(Duration::from_millis(1));
    assert!(!stream.request_is_paused());
    assert!(stream.answer().upstream().is_some());
}

#[test]
fn an_answer_for_a_stream_that_is_gone_does_no_harm() {
    let proxy = Proxy::builder(&asking()).allow_on_headers_stop_iteration(true).start().expect("starts");
    proxy.clusters().add_answers("auth", [From::status(200).after(Duration::from_millis(100))]);
    let mut stream = proxy.worker(0).open();
    stream.request_headers(&vec![(b":method".to_vec(), b"GET".to_vec())], true);
    drop(stream);
    proxy.advance(Duration::from_secs(1));
    assert_eq!(proxy.worker(0).failure(), None);
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 200);
}

#[test]
fn properties_are_read_and_set() {
    let module = module(
        &imports(&[("get_property", 4), ("set_property", 4), ("log", 3)]),
        r#"
    (data (i32.const 16) "source\00address") (data (i32.const 48) "mine") (data (i32.const 56) "value")
    (func $show (param $path i32) (param $length i32)
        (if (call $get_property (local.get $path) (local.get $length) (i32.const 96) (i32.const 100))
            (then (drop (call $log (i32.const 2) (i32.const 0) (i32.const 0))))
            (else (drop (call $log (i32.const 2) (i32.load (i32.const 96)) (i32.load (i32.const 100)))))))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
        (call $show (i32.const 16) (i32.const 14))
        (i32.add (i32.const 1) (call $set_property (i32.const 48) (i32.const 4) (i32.const 56) (i32.const 5))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (call $show (i32.const 16) (i32.const 14))
        (call $show (i32.const 48) (i32.const 4))
        (drop (call $set_property (i32.const 48) (i32.const 4) (i32.const 56) (i32.const 5)))
        (call $show (i32.const 48) (i32.const 4))
        (i32.const 0))"#,
    );
    let proxy = Proxy::builder(&module).start().expect("starts");
    assert_eq!(lines(&proxy), ["", "", ""], "root contexts have no connection");
    proxy.worker(0).send(Request::get("/").peer(([192, 0, 2, 7], 1234)));
    assert_eq!(lines(&proxy), ["192.0.2.7:1234", "", "value"]);
}

#[test]
fn the_code_of_a_response_is_upstream_s_until_it_is_logged() {
    let module = module(
        &imports(&[("get_property", 4), ("replace_header_map_value", 5), ("log", 3)]),
        r#"
    (data (i32.const 16) "response\00code") (data (i32.const 48) ":status") (data (i32.const 56) "322")
    (func $show
        (if (call $get_property (i32.const 16) (i32.const 13) (i32.const 96) (i32.const 100))
            (then (drop (call $log (i32.const 2) (i32.const 0) (i32.const 0))))
            ;; The lower byte is a letter for the numbers of this test.
            (else (drop (call $log (i32.const 2) (i32.load (i32.const 96)) (i32.const 1))))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $show) (i32.const 0))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
        (call $show)
        (drop (call $replace_header_map_value (i32.const 2) (i32.const 48) (i32.const 7) (i32.const 56) (i32.const 3)))
        (call $show)
        (i32.const 0))
    (func (export "proxy_on_log") (param i32) (call $show))"#,
    );
    let proxy = Proxy::builder(&module).start().expect("starts");
    let answer = proxy.worker(0).send(Request::get("/").upstream(Response::new(321)));
    assert_eq!(answer.status(), 322);
    assert_eq!(lines(&proxy), ["", "A", "A", "B"]);
}

#[test]
fn foreign_functions_are_there_and_unknown_ones_are_not_found() {
    let module = module(
        &imports(&[("call_foreign_function", 6), ("log", 3)]),
        r#"
    (data (i32.const 16) "compress") (data (i32.const 32) "uncompress") (data (i32.const 48) "hello") (data (i32.const 64) "dance")
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
        (drop (call $call_foreign_function (i32.const 16) (i32.const 8) (i32.const 48) (i32.const 5) (i32.const 96) (i32.const 100)))
        (drop (call $call_foreign_function (i32.const 32) (i32.const 10)
            (i32.load (i32.const 96)) (i32.load (i32.const 100)) (i32.const 104) (i32.const 108)))
        (drop (call $log (i32.const 2) (i32.load (i32.const 104)) (i32.load (i32.const 108))))
        (i32.eq (i32.const 1)
            (call $call_foreign_function (i32.const 64) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))"#,
    );
    let proxy = Proxy::builder(&module).start().expect("unknown functions are not found");
    assert_eq!(lines(&proxy), ["hello", "hello", "hello"]);
}

#[test]
fn a_module_that_calls_out_without_end_does_not_hang_the_test() {
    let module = module(
        &imports(&[("http_call", 10)]),
        r#"
    (data (i32.const 16) "auth")
    (data (i32.const 64) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\02\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/a\00:authority\00h\00")
    (func $again (drop (call $http_call (i32.const 16) (i32.const 4) (i32.const 64) (i32.const 62) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 500) (i32.const 200))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $again) (i32.const 0))
    (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) (call $again))"#,
    );
    let proxy = Proxy::builder(&module).start().expect("starts");
    proxy.clusters().add_answers("auth", [From::status(200)]);
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 200);
    assert!(proxy.log().iter().any(|line| line.message.contains("calls out without end")));
}
