//! The way of streams: callbacks in their order, pauses, limits, local replies, disconnects.

mod common;

use bartizan_host::{Module, Outcome, Protocol, Proxy, Request, Response, Status};
use common::{imports, module};

/// Pauses each callback of a request whose bit is set: 1 headers, 2 body before its end, 4 body at its end, 8 trailers.
fn pausing(bits: i32) -> Module {
    module(
        "",
        &format!(
            r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.and (i32.const {bits}) (i32.const 1)))
    (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
        (if (result i32) (local.get 2)
            (then (i32.ne (i32.and (i32.const {bits}) (i32.const 4)) (i32.const 0)))
            (else (i32.ne (i32.and (i32.const {bits}) (i32.const 2)) (i32.const 0)))))
    (func (export "proxy_on_request_trailers") (param i32 i32) (result i32)
        (i32.ne (i32.and (i32.const {bits}) (i32.const 8)) (i32.const 0)))"#
        ),
    )
}

/// Refuses in the callback whose body stands here, and marks responses in its own response callback.
fn refusing(callback: &str, parameters: &str) -> Module {
    module(
        &imports(&[("send_local_response", 8), ("add_header_map_value", 5)]),
        &format!(
            r#"
    (data (i32.const 16) "too  bad") (data (i32.const 32) "no") (data (i32.const 48) "x-seen") (data (i32.const 64) "1")
    (func (export "proxy_{callback}") (param {parameters}) (result i32)
        (drop (call $send_local_response (i32.const 403) (i32.const 16) (i32.const 8) (i32.const 32) (i32.const 2)
            (i32.const 0) (i32.const 0) (i32.const -1)))
        (i32.const 0))
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
        (drop (call $add_header_map_value (i32.const 2) (i32.const 48) (i32.const 6) (i32.const 64) (i32.const 1)))
        (i32.const 0))
    (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (i32.const 0))
    (func (export "proxy_on_log") (param i32))
    (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
    (func (export "proxy_on_delete") (param i32))"#
        ),
    )
}

fn names(answer: &bartizan_host::Answer) -> Vec<&'static str> {
    answer.report().callbacks.iter().map(|(name, _)| name.trim_start_matches("proxy_on_")).collect()
}

#[expect(clippy::expect_used, reason = "a helper of tests")]
fn start(module: &Module) -> Proxy {
    Proxy::builder(module).allow_on_headers_stop_iteration(true).start().expect("starts")
}

#[test]
fn a_module_without_callbacks_lets_everything_through() {
    let proxy = start(&module("", ""));
    let upstream = Response::new(201).header("x-from", "upstream").body("hello").trailer("x-end", "1");
    let request = Request::post("/a").header("x-a", "b").body("one").body("two").trailer("x-t", "u");
    let answer = proxy.worker(0).send(request.upstream(upstream));
    assert_eq!((answer.outcome(), answer.status()), (Outcome::Complete, 201));
    assert_eq!((answer.body(), answer.header("x-from")), (&b"hello"[..], Some(&b"upstream"[..])));
    assert_eq!(answer.trailers().and_then(|trailers| trailers.get("x-end")), Some(&b"1"[..]));
    let seen = answer.upstream().expect("upstream saw it");
    assert_eq!((seen.body.as_slice(), seen.header(":path")), (&b"onetwo"[..], Some(&b"/a"[..])));
    assert_eq!(seen.trailers.as_ref().and_then(|trailers| trailers.get("x-t")), Some(&b"u"[..]));
    assert!(seen.complete && !seen.reset && !answer.is_local_reply());
}

#[test]
fn a_refusal_runs_the_modules_own_response_callbacks() {
    let proxy = start(&refusing("on_request_headers", "i32 i32 i32"));
    let answer = proxy.worker(0).send(Request::post("/").body("x"));
    assert_eq!((answer.status(), answer.body()), (403, &b"no"[..]));
    assert_eq!(answer.header("x-seen"), Some(&b"1"[..]));
    assert_eq!(answer.header("content-type"), Some(&b"text/plain"[..]));
    assert_eq!(answer.details(), "too__bad");
    assert!(answer.is_local_reply());
    assert_eq!(answer.upstream(), None);
    let order =
        ["context_create", "request_headers", "response_headers", "response_body", "log", "done", "delete"];
    assert_eq!(names(&answer), order);
}

#[test]
fn a_refusal_behind_headers_that_went_ahead_resets_upstream() {
    let proxy = start(&refusing("on_request_body", "i32 i32 i32"));
    let answer = proxy.worker(0).send(Request::post("/").body("x"));
    assert_eq!(answer.status(), 403);
    let seen = answer.upstream().expect("the headers went ahead");
    assert!(seen.reset && !seen.complete && seen.body.is_empty());
}

#[test]
fn a_refusal_of_the_response_replaces_it_without_a_second_callback() {
    let module = module(
        &imports(&[("send_local_response", 8)]),
        r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
            (drop (call $send_local_response (i32.const 502) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const -1)))
            (i32.const 0))"#,
    );
    let answer = start(&module).worker(0).send(Request::get("/").upstream(Response::new(200).body("secret")));
    assert_eq!((answer.status(), answer.body()), (502, &b""[..]));
    assert_eq!(names(&answer), ["response_headers"]);
}

#[test]
fn a_pause_on_headers_hangs_without_the_flag_and_lets_the_body_come_with_it() {
    let paused = |allow| {
        let proxy =
            Proxy::builder(&pausing(1 | 2)).allow_on_headers_stop_iteration(allow).start().expect("starts");
        proxy.worker(0).send(Request::post("/").body("one").body("two"))
    };
    let stuck = paused(false);
    assert_eq!(stuck.outcome(), Outcome::Hangs);
    assert_eq!(names(&stuck), ["request_headers"]);
    let answer = paused(true);
    assert_eq!((answer.outcome(), answer.status()), (Outcome::Complete, 200));
    assert_eq!(names(&answer), ["request_headers", "request_body", "request_body", "request_body"]);
    assert_eq!(answer.upstream().map(|seen| seen.body.clone()), Some(b"onetwo".to_vec()));
}

#[test]
fn the_end_of_a_body_is_never_told_where_trailers_follow() {
    let proxy = start(&pausing(1 | 2 | 8));
    let request = |protocol| Request::post("/").body("one").trailer("x-t", "u").protocol(protocol);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let answer = proxy.worker(0).send(request(protocol));
        assert_eq!(answer.outcome(), Outcome::Hangs, "the trailers are paused");
        assert_eq!(names(&answer), ["request_headers", "request_body", "request_trailers"]);
        assert_eq!(answer.upstream(), None);
    }
    let answer = start(&pausing(1 | 2)).worker(0).send(request(Protocol::Http2));
    let seen = answer.upstream().expect("continuing in the trailers sends everything");
    assert_eq!((seen.body.as_slice(), seen.complete), (&b"one"[..], true));
}

#[test]
fn more_than_the_limit_is_413_and_the_limit_itself_is_not() {
    let proxy = Proxy::builder(&pausing(1 | 2)).allow_on_headers_stop_iteration(true).buffer_limit(6);
    let proxy = proxy.start().expect("starts");
    let send = |size: usize| proxy.worker(0).send(Request::post("/").body("abc").body(vec![b'x'; size]));
    assert_eq!(send(3).status(), 200);
    let refused = send(4);
    assert_eq!((refused.status(), refused.body()), (413, &b"Payload Too Large"[..]));
    assert_eq!((refused.details(), refused.upstream()), ("request_payload_too_large", None));
}

#[test]
fn a_response_that_is_held_beyond_the_limit_is_500() {
    let module = module(
        "",
        r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 1))
           (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (i32.eqz (local.get 2)))"#,
    );
    let proxy = Proxy::builder(&module)
        .allow_on_headers_stop_iteration(true)
        .buffer_limit(4)
        .start()
        .expect("starts");
    let send = |body: &str| proxy.worker(0).send(Request::get("/").upstream(Response::new(200).body(body)));
    assert_eq!((send("abcd").status(), send("abcd").body()), (200, &b"abcd"[..]));
    let refused = send("abcde");
    assert_eq!((refused.status(), refused.details()), (500, "response_payload_too_large"));
}

#[test]
fn a_client_may_go_away_between_any_two_frames_and_the_end_is_told_once() {
    let module = module(
        "",
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
           (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 0))
           (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))
           (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (i32.const 0))
           (func (export "proxy_on_log") (param i32))
           (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
           (func (export "proxy_on_delete") (param i32))"#,
    );
    let proxy = start(&module);
    let post = vec![(b":method".to_vec(), b"POST".to_vec()), (b":path".to_vec(), b"/".to_vec())];
    let ok = vec![(b":status".to_vec(), b"200".to_vec())];
    for frames in 1..=4 {
        let mut stream = proxy.worker(0).open();
        stream.request_headers(&post, false);
        if frames > 1 {
            stream.request_body("x", true);
        }
        if frames > 2 {
            stream.response_headers(&ok, false);
        }
        if frames > 3 {
            stream.response_body("y", false);
        }
        stream.reset();
        stream.reset();
        stream.response_body("z", true);
        let answer = stream.answer();
        assert_eq!(answer.outcome(), Outcome::Reset);
        assert_eq!(names(&answer).len(), frames + 3, "{:?}", names(&answer));
        assert_eq!(names(&answer)[frames..], ["log", "done", "delete"]);
    }
}

#[test]
fn upstream_going_away_is_503_before_it_answered_and_a_reset_behind() {
    let proxy = start(&module("", ""));
    let get = vec![(b":method".to_vec(), b"GET".to_vec())];
    let mut stream = proxy.worker(0).open();
    stream.request_headers(&get, true);
    stream.upstream_reset();
    assert_eq!((stream.answer().status(), stream.answer().outcome()), (503, Outcome::Complete));
    let mut stream = proxy.worker(0).open();
    stream.request_headers(&get, true);
    stream.response_headers(&vec![(b":status".to_vec(), b"200".to_vec())], false);
    stream.upstream_reset();
    assert_eq!((stream.answer().status(), stream.answer().outcome()), (200, Outcome::Reset));
}

#[test]
fn a_refusal_while_the_context_is_made_does_not_keep_the_headers_from_the_module() {
    let module = module(
        &imports(&[("send_local_response", 8)]),
        r#"(func (export "proxy_on_context_create") (param i32 i32)
               (if (local.get 1) (then (drop (call $send_local_response (i32.const 403) (i32.const 0) (i32.const 0)
                   (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1))))))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#,
    );
    let answer = start(&module).worker(0).send(Request::get("/"));
    assert_eq!((answer.status(), answer.upstream()), (403, None));
    assert_eq!(names(&answer), ["context_create", "request_headers"]);
}

/// Continues the request in the callback for its headers, and then returns this.
fn continuing(returned: i32) -> Module {
    module(
        &imports(&[("continue_stream", 1)]),
        &format!(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                   (drop (call $continue_stream (i32.const 0))) (i32.const {returned}))
               (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 0))"#
        ),
    )
}

// What the following tests expect was seen in Envoy 1.40.0.

#[test]
fn buffers_that_are_absent_are_empty_or_not_found_and_empty_ones_are_written_as_such() {
    let get = |buffer: u32| {
        format!(
            "(call $show (call $get_buffer_bytes (i32.const {buffer}) (i32.const 0) (i32.const 9) (i32.const 32) (i32.const 36)))"
        )
    };
    let module = module(
        &imports(&[("get_buffer_bytes", 5), ("set_buffer_bytes", 5), ("continue_stream", 1), ("log", 3)]),
        &format!(
            r#"(func $show (param i32) (i32.store8 (i32.const 16) (i32.add (i32.const 48) (local.get 0)))
                   (drop (call $log (i32.const 2) (i32.const 16) (i32.const 1))))
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                   (i32.store (i32.const 32) (i32.const 7)) (i32.store (i32.const 36) (i32.const 7))
                   {} (call $show (i32.load (i32.const 32))) (call $show (i32.load (i32.const 36)))
                   {} {} {} {} {}
                   (call $show (call $set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
                   (call $show (call $continue_stream (i32.const 2)))
                   (i32.const 0))
               (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
                   (call $show (call $set_buffer_bytes (i32.const 0) (i32.const 3) (i32.const 9) (i32.const 0) (i32.const 4)))
                   (call $show (call $set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 99) (i32.const 0) (i32.const 4)))
                   (i32.const 0))"#,
            get(0),
            get(4),
            get(5),
            get(7),
            get(2),
            get(8)
        ),
    );
    let proxy = start(&module);
    let answer = proxy.worker(0).send(Request::post("/").body("0123456789"));
    let lines: String = proxy.take_log().into_iter().map(|line| line.message).collect();
    // In the callback for headers, for the piece of ten bytes, and for the empty one at the end.
    assert_eq!(lines, format!("{}{}{}", "0001010020", "20", "00"));
    assert_eq!(answer.upstream().map(|seen| seen.body.len()), Some(8));
}

#[test]
fn the_access_log_sees_what_the_end_does_not() {
    let look = |map: u32, name: u32, length: u32| {
        format!(
            "(call $show (call $get_header_map_value (i32.const {map}) (i32.const {name}) (i32.const {length}) (i32.const 64) (i32.const 68)))"
        )
    };
    let all = [look(0, 32, 5), look(1, 32, 5), look(2, 40, 7), look(3, 40, 7)].concat();
    let module = module(
        &imports(&[("get_header_map_value", 5), ("get_property", 4), ("log", 3)]),
        &format!(
            r#"(data (i32.const 32) ":path") (data (i32.const 40) ":status") (data (i32.const 48) "request\00path")
               (func $show (param i32) (i32.store8 (i32.const 16) (i32.add (i32.const 48) (local.get 0)))
                   (drop (call $log (i32.const 2) (i32.const 16) (i32.const 1))))
               (func $all {all} (call $show (call $get_property (i32.const 48) (i32.const 12) (i32.const 64) (i32.const 68))))
               (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $all) (i32.const 0))
               (func (export "proxy_on_log") (param i32) (call $all))
               (func (export "proxy_on_done") (param i32) (result i32) (call $all) (i32.const 1))"#
        ),
    );
    let proxy = start(&module);
    proxy.worker(0).send(Request::get("/"));
    let lines: String = proxy.take_log().into_iter().map(|line| line.message).collect();
    assert_eq!(lines, format!("{}{}{}", "22021", "01010", "22221"));
}

#[test]
fn stopping_everything_with_a_buffer_ends_in_413_and_with_a_watermark_in_waiting() {
    let stopping = |how: u32| {
        let text = format!(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const {how}))"#
        );
        let proxy = Proxy::builder(&module("", &text)).buffer_limit(1000).start().expect("starts");
        proxy.worker(0).send(Request::post("/").body(vec![0; 600]).body(vec![0; 600]))
    };
    assert_eq!(stopping(3).status(), 413);
    assert_eq!(stopping(4).outcome(), Outcome::Hangs);
}

#[test]
fn to_continue_and_pause_in_one_callback_lets_the_request_through() {
    let proxy = start(&continuing(1));
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 200);
    let answer = proxy.worker(0).send(Request::post("/").body("0123456789"));
    assert_eq!((answer.status(), names(&answer).len()), (200, 3));
    assert_eq!(answer.upstream().map(|seen| seen.body.len()), Some(10));
}

#[test]
fn to_continue_and_return_continue_is_reported_for_envoy_sends_the_request_twice() {
    let proxy = start(&continuing(0));
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 200);
    assert!(proxy.log().iter().any(|line| line.message.contains("twice")));
}

#[test]
fn the_first_of_two_replies_goes_out_and_a_trap_behind_a_reply_takes_its_place() {
    let refuse = |status: u32| {
        format!("(drop (call $send_local_response (i32.const {status}) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const -1)))")
    };
    let replying = |then: &str| {
        module(
            &imports(&[("send_local_response", 8)]),
            &format!(
                r#"(data (i32.const 0) "a")
                   (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {} {then} (i32.const 0))
                   (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#,
                refuse(403)
            ),
        )
    };
    let twice = start(&replying(&refuse(404))).worker(0).send(Request::get("/"));
    assert_eq!((twice.status(), names(&twice)), (403, vec!["request_headers", "response_headers"]));
    let trapped = start(&replying("unreachable")).worker(0).send(Request::get("/"));
    assert_eq!((trapped.status(), trapped.details()), (503, "a"), "the details are those of the reply");
    assert_eq!(names(&trapped), ["request_headers"]);
}

#[test]
fn a_body_that_is_too_large_is_shown_once_more_before_413_and_its_reply_is_seen_too() {
    let module = module(
        "",
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))
           (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.eqz (local.get 2)))
           (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))
           (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (i32.const 0))"#,
    );
    let proxy = Proxy::builder(&module)
        .allow_on_headers_stop_iteration(true)
        .buffer_limit(1000)
        .start()
        .expect("starts");
    let answer = proxy.worker(0).send(Request::post("/").body(vec![0; 600]).body(vec![0; 600]));
    assert_eq!(answer.status(), 413);
    let order = ["request_headers", "request_body", "request_body", "response_headers", "response_body"];
    assert_eq!(names(&answer), order);
}

#[test]
fn headers_are_out_of_reach_once_they_went_on() {
    let module = module(
        &imports(&[("get_header_map_value", 5), ("log", 3)]),
        r#"(data (i32.const 16) ":path")
           (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
               (i32.store8 (i32.const 0) (i32.add (i32.const 48)
                   (call $get_header_map_value (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 32) (i32.const 36))))
               (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1)))
               (i32.const 0))"#,
    );
    let proxy = start(&module);
    proxy.worker(0).send(Request::post("/").body("x").protocol(Protocol::Http2));
    let lines: Vec<String> = proxy.take_log().into_iter().map(|line| line.message).collect();
    assert_eq!(lines, [Status::BadArgument.code().to_string()]);
}

#[test]
fn a_million_bytes_of_streams_leave_nothing_behind() {
    let proxy = start(&refusing("on_request_headers", "i32 i32 i32"));
    let before = proxy.memory();
    for _ in 0..200 {
        assert_eq!(proxy.worker(0).send(Request::post("/").body(vec![0; 5000])).status(), 403);
    }
    assert_eq!(proxy.memory(), before);
}

/// What the module told by numbers in its log, in each callback that is named.
fn told(
    functions: &[(&str, usize)],
    data: &str,
    callbacks: &[(&str, &str)],
    request: Request,
) -> (String, bartizan_host::Answer) {
    let mut functions = functions.to_vec();
    functions.push(("log", 3));
    let callbacks: String = callbacks
        .iter()
        .map(|(name, body)| {
            let (parameters, result) = match *name {
                "on_log" => ("i32", ""),
                "on_done" => ("i32", "(result i32)"),
                _ => ("i32 i32 i32", "(result i32)"),
            };
            let value = if result.is_empty() { "" } else { "(i32.const 0)" };
            format!(r#"(func (export "proxy_{name}") (param {parameters}) {result} {body} {value})"#)
        })
        .collect();
    let show = "(func $show (param i32) (i32.store8 (i32.const 0) (i32.add (i32.const 48) (local.get 0)))
        (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1))))";
    let proxy = start(&module(&imports(&functions), &format!("{data} {show} {callbacks}")));
    let answer = proxy.worker(0).send(request);
    (proxy.take_log().into_iter().map(|line| line.message).collect(), answer)
}

#[test]
fn trailers_can_be_added_with_the_last_piece_and_not_before() {
    let add = "(call $show (call $add_header_map_value (i32.const 1) (i32.const 16) (i32.const 3) (i32.const 16) (i32.const 3)))";
    let request = Request::post("/").body("one").body("two").protocol(Protocol::Http2);
    let (lines, answer) = told(
        &[("add_header_map_value", 5)],
        r#"(data (i32.const 16) "x-t")"#,
        &[("on_request_body", add)],
        request,
    );
    assert_eq!(lines, "20");
    let seen = answer.upstream().expect("it got there");
    assert_eq!((seen.body.as_slice(), seen.complete), (&b"onetwo"[..], true));
    assert_eq!(seen.trailers.as_ref().and_then(|trailers| trailers.get("x-t")), Some(&b"x-t"[..]));
}

#[test]
fn the_code_of_a_reply_is_known_while_the_module_sees_it_and_the_log_has_its_headers() {
    let code =
        "(call $show (call $get_property (i32.const 16) (i32.const 13) (i32.const 64) (i32.const 68)))";
    let reply = "(drop (call $send_local_response (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const -1)))";
    let upstream = "(call $show (call $get_header_map_value (i32.const 2) (i32.const 32) (i32.const 4) (i32.const 64) (i32.const 68)))";
    let data = r#"(data (i32.const 16) "response\00code") (data (i32.const 32) "x-up")"#;
    let functions = [("get_property", 4), ("send_local_response", 8), ("get_header_map_value", 5)];
    let early = [("on_request_headers", format!("{code} {reply}")), ("on_response_headers", code.to_owned())];
    let early: Vec<(&str, &str)> = early.iter().map(|(name, body)| (*name, body.as_str())).collect();
    assert_eq!(told(&functions, data, &early, Request::get("/")).0, "10");
    let late = [
        ("on_response_headers", format!("{upstream} {reply}")),
        ("on_log", upstream.into()),
        ("on_done", upstream.into()),
    ];
    let late: Vec<(&str, &str)> = late.iter().map(|(name, body)| (*name, body.as_str())).collect();
    let request = Request::get("/").upstream(Response::new(200).header("x-up", "1"));
    assert_eq!(told(&functions, data, &late, request).0, "010");
}
