//! Modules that mean harm, or are broken: the host says so, quickly, and neither panics nor hangs.

mod common;

use std::time::{Duration, Instant};

use bartizan_host::clusters::Answer as From;
use bartizan_host::{
    FailurePolicy, LogLevel, Module, ModuleError, Outcome, Proxy, Request, Response, Status,
};
use common::{imports, module};

/// No test of this file may need longer, in a build without optimisation and with others beside it.
const QUICKLY: Duration = Duration::from_secs(60);

/// Each callback with the types it has, and what a test sends to have it called.
const CALLBACKS: [(&str, &str, &str); 11] = [
    ("proxy_on_context_create", "i32 i32", ""),
    ("proxy_on_vm_start", "i32 i32", "i32"),
    ("proxy_on_configure", "i32 i32", "i32"),
    ("proxy_on_tick", "i32", ""),
    ("proxy_on_request_headers", "i32 i32 i32", "i32"),
    ("proxy_on_request_body", "i32 i32 i32", "i32"),
    ("proxy_on_request_trailers", "i32 i32", "i32"),
    ("proxy_on_response_headers", "i32 i32 i32", "i32"),
    ("proxy_on_response_body", "i32 i32 i32", "i32"),
    ("proxy_on_response_trailers", "i32 i32", "i32"),
    ("proxy_on_done", "i32", "i32"),
];

/// A callback with this in it, behind which it returns 1 if it returns anything.
fn callback(name: &str, body: &str) -> String {
    let (_, parameters, result) =
        CALLBACKS.iter().find(|(known, ..)| *known == name).copied().unwrap_or((name, "i32", ""));
    let (result, value) =
        if result.is_empty() { (String::new(), "") } else { ("(result i32)".into(), "(i32.const 1)") };
    format!(r#"(func (export "{name}") (param {parameters}) {result} {body} {value})"#)
}

/// A request that makes every callback of a stream come, if nothing holds it.
fn long() -> Request {
    let upstream = Response::new(200).body("answer").trailer("x-t", "1");
    Request::post("/").body("question").trailer("x-t", "1").upstream(upstream)
}

fn start(module: &Module) -> Result<Proxy, bartizan_host::Refused> {
    Proxy::builder(module).allow_on_headers_stop_iteration(true).fuel(10_000_000).start()
}

/// What the host says about a module, wherever it says it.
fn complaint(module: &Module) -> String {
    match start(module) {
        Err(refused) => refused.to_string(),
        Ok(proxy) => {
            proxy.worker(0).send(long());
            proxy.advance(Duration::from_secs(1));
            proxy.worker(0).failure().unwrap_or_default()
        }
    }
}

#[test]
fn a_callback_that_never_returns_is_told_by_its_name_wherever_it_is() {
    let began = Instant::now();
    for (name, ..) in CALLBACKS.iter().filter(|(name, ..)| !name.ends_with("tick") && !name.ends_with("done"))
    {
        let said = complaint(&module("", &callback(name, "(loop (br 0))")));
        assert!(said.contains(name) && said.contains("may never return"), "{name}: {said}");
    }
    for start in ["_initialize", "_start"] {
        let said = complaint(&module("", &format!(r#"(func (export "{start}") (loop (br 0)))"#)));
        assert!(said.contains(start) && said.contains("may never return"), "{start}: {said}");
    }
    let said = complaint(&module("", "(func $f (loop (br 0))) (start $f)"));
    assert!(said.contains("cannot be instantiated") && said.contains("may never return"), "{said}");
    assert!(began.elapsed() < QUICKLY, "{:?}", began.elapsed());
}

#[test]
fn with_the_limit_that_is_there_if_none_is_given_it_takes_seconds() {
    let began = Instant::now();
    let refused = Proxy::builder(&module("", &callback("proxy_on_configure", "(loop (br 0))"))).start();
    assert!(refused.is_err_and(|refused| refused.why.contains("2000000000 units of fuel")));
    assert!(began.elapsed() < QUICKLY, "{:?}", began.elapsed());
}

#[test]
fn work_that_a_module_has_others_do_has_an_end_too() {
    let began = Instant::now();
    let endless = |functions: &[(&str, usize)], text: &str| {
        complaint(&module(&imports(functions), &callback("proxy_on_request_headers", text)))
    };
    let fill = "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 100000)) (br 0))";
    assert!(endless(&[], fill).contains("may never return"));
    let log = "(loop (drop (call $log (i32.const 2) (i32.const 0) (i32.const 131072))) (br 0))";
    assert!(endless(&[("log", 3)], log).contains("made the host do more"));
    let more = "(loop (drop (call $continue_stream (i32.const 0))) (br 0))";
    assert!(endless(&[("continue_stream", 1)], more).contains("made the host do more"));
    // Four thousand million pieces of one and the same memory.
    let write =
        r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#;
    let text = "(i32.store (i32.const 4) (i32.const 131072)) (drop (call $write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 8)))";
    let said = complaint(&module(write, &callback("proxy_on_request_headers", text)));
    assert!(said.is_empty() || said.contains("made the host do more"), "{said}");
    assert!(began.elapsed() < QUICKLY, "{:?}", began.elapsed());
}

#[test]
fn recursion_without_end_is_a_trap() {
    let deep = "(func $deep (call $deep))";
    let said = complaint(&module("", &format!("{deep} {}", callback("proxy_on_configure", "(call $deep)"))));
    assert!(said.contains("call stack exhausted"), "{said}");
    // Through the host: the allocator asks for something that has to be allocated.
    let module = Module::load(
        &wat::parse_str(format!(
            r#"(module {} (memory (export "memory") 1) (data (i32.const 0) ":path")
                (func (export "proxy_abi_version_0_2_1"))
                (func (export "malloc") (param i32) (result i32)
                    (drop (call $get_header_map_value (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 32) (i32.const 36)))
                    (i32.const 1024))
                (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                    (call $get_header_map_value (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 32) (i32.const 36))))"#,
            imports(&[("get_header_map_value", 5)])
        ))
        .expect("text"),
    )
    .expect("loads");
    let proxy = start(&module).expect("starts");
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 503);
    let said = proxy.worker(0).failure().expect("it failed");
    assert!(said.contains("call stack exhausted"), "{said}");
}

#[test]
fn memory_has_a_limit() {
    let grows = |pages: u32| {
        let text = format!(
            "(i32.store8 (i32.const 0) (i32.add (i32.const 48) (i32.gt_s (memory.grow (i32.const {pages})) (i32.const 0))))
             (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1)))"
        );
        let module = module(&imports(&[("log", 3)]), &callback("proxy_on_request_headers", &text));
        let proxy = Proxy::builder(&module).memory_limit(1 << 20).start().expect("starts");
        proxy.worker(0).send(Request::get("/"));
        proxy.log().first().map(|line| line.message.clone()).unwrap_or_default()
    };
    assert_eq!((grows(10).as_str(), grows(1000).as_str(), grows(65_534).as_str()), ("1", "0", "0"));
    let large = wat::parse_str(
        r#"(module (memory (export "memory") 65536) (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 0)))"#,
    );
    let refused = start(&Module::load(&large.expect("text")).expect("loads")).expect_err("too large");
    assert!(refused.why.contains("memory"), "{refused}");
}

#[test]
fn a_trap_in_any_callback_fails_the_vm_and_nothing_else() {
    for (name, ..) in CALLBACKS {
        let tick = "(drop (call $set_tick_period_milliseconds (i32.const 10)))";
        let ticking =
            if name == "proxy_on_tick" { callback("proxy_on_configure", tick) } else { String::new() };
        let text = format!("{ticking} {}", callback(name, "unreachable"));
        let module = module(&imports(&[("set_tick_period_milliseconds", 1)]), &text);
        let proxy = match start(&module) {
            Err(refused) => {
                assert!(refused.why.contains("unreachable"), "{refused}");
                assert!(
                    ["context_create", "vm_start", "configure"].iter().any(|early| name.ends_with(early))
                );
                continue;
            }
            Ok(proxy) => proxy,
        };
        proxy.advance(Duration::from_secs(1));
        let answer = proxy.worker(0).send(long());
        assert_ne!(answer.outcome(), Outcome::Hangs, "{name}");
        let failure = proxy.worker(0).failure().unwrap_or_else(|| panic!("{name} did not trap"));
        assert!(failure.contains(name), "{failure}");
        assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 503, "{name}");
        proxy.configure("another").expect("a new VM");
        drop(proxy);
    }
}

#[test]
fn no_allocator_makes_the_host_write_where_nothing_is() {
    for (at, status) in [
        (0, Status::InvalidMemoryAccess),
        (-1, Status::InvalidMemoryAccess),
        (131_070, Status::InvalidMemoryAccess),
        (131_071, Status::Ok),
    ] {
        let text = format!(
            r#"(module {} (memory (export "memory") 2) (data (i32.const 0) ":path")
                (func (export "proxy_abi_version_0_2_1"))
                (func (export "malloc") (param i32) (result i32) (i32.const {at}))
                (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                    (i32.store8 (i32.const 64) (i32.add (i32.const 48)
                        (call $get_header_map_value (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 32) (i32.const 36))))
                    (drop (call $log (i32.const 2) (i32.const 64) (i32.const 1))) (i32.const 0)))"#,
            imports(&[("get_header_map_value", 5), ("log", 3)])
        );
        let proxy =
            start(&Module::load(&wat::parse_str(text).expect("text")).expect("loads")).expect("starts");
        let path = if status == Status::Ok { "/" } else { "/two" };
        assert_eq!(proxy.worker(0).send(Request::get(path)).status(), 200);
        let log = proxy.log();
        assert_eq!(
            log.first().map(|line| line.message.as_str()),
            Some(status.code().to_string().as_str()),
            "{at}"
        );
    }
}

#[test]
fn a_module_that_answers_each_callout_with_two_more_comes_to_an_end() {
    let began = Instant::now();
    let call = "(drop (call $http_call (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 81) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32)))";
    let pairs = r"\03\00\00\00\05\00\00\00\01\00\00\00\07\00\00\00\03\00\00\00\0a\00\00\00\01\00\00\00:path\00/\00:method\00GET\00:authority\00a\00";
    let text = format!(
        r#"(data (i32.const 0) "c") (data (i32.const 64) "{pairs}")
           (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) {call} {call})
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {call} (i32.const 1))"#
    );
    // The pairs end where their text does.
    let length = 4 + 24 + ":path/:methodGET:authoritya".len() + 6;
    let text = text.replace("(i32.const 81)", &format!("(i32.const {length})"));
    let module = module(&imports(&[("http_call", 10)]), &text);
    for latency in [0, 1] {
        let proxy = start(&module).expect("starts");
        proxy.clusters().add("c", move |_| From::status(200).after(Duration::from_millis(latency)));
        assert_eq!(proxy.worker(0).send(Request::get("/")).outcome(), Outcome::Hangs);
        assert!(proxy.clusters().seen("c") > 1000, "it did call out: {}", proxy.clusters().seen("c"));
        assert!(proxy.log().iter().any(|line| line.level == LogLevel::Error), "it is said");
    }
    assert!(began.elapsed() < 2 * QUICKLY, "{:?}", began.elapsed());
}

#[test]
fn answering_one_stream_from_within_another_does_not_use_up_the_stack() {
    // The reply to each stream is answered by a reply to the one before it.
    let text = r#"
        (func $refuse (param i32)
            (drop (call $set_effective_context (local.get 0)))
            (drop (call $send_local_response (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const -1))))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $refuse (local.get 0)) (i32.const 1))
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
            (call $refuse (i32.sub (local.get 0) (i32.const 1))) (i32.const 0))"#;
    let module = module(&imports(&[("set_effective_context", 1), ("send_local_response", 8)]), text);
    let proxy = start(&module).expect("starts");
    let headers = vec![(b":method".to_vec(), b"POST".to_vec())];
    let mut streams: Vec<_> = (0..3000).map(|_| proxy.worker(0).open()).collect();
    for stream in &mut streams {
        stream.request_headers(&headers, false);
    }
    streams.last_mut().expect("there are some").request_body("x", true);
    let answered = streams.iter().filter(|stream| stream.response_is_paused()).count();
    assert!((10..3000).contains(&answered), "{answered}");
    assert!(proxy.log().iter().any(|line| line.message.contains("over and over")));
}

#[test]
fn frames_that_cannot_be_do_nothing() {
    let proxy = start(&module("", &callback("proxy_on_request_body", ""))).expect("starts");
    let get = vec![(b":method".to_vec(), b"GET".to_vec())];
    let ok = vec![(b":status".to_vec(), b"200".to_vec())];
    let mut stream = proxy.worker(0).open();
    stream.request_body("early", true);
    stream.request_trailers(&get);
    stream.response_headers(&ok, true);
    stream.response_body("early", true);
    stream.upstream_reset();
    assert!(stream.answer().upstream().is_none() && !stream.is_over());
    stream.request_headers(&get, true);
    stream.request_headers(&ok, false);
    stream.request_body("late", true);
    stream.request_trailers(&get);
    stream.response_headers(&ok, false);
    stream.response_headers(&get, true);
    stream.response_body("b", true);
    stream.response_body("late", true);
    stream.response_trailers(&ok);
    stream.reset();
    stream.upstream_reset();
    let answer = stream.answer();
    assert_eq!((answer.outcome(), answer.status(), answer.body()), (Outcome::Complete, 200, &b"b"[..]));
    assert_eq!(answer.upstream().map(|seen| seen.body.len()), Some(0));
    assert!(proxy.worker(usize::MAX).send(Request::new("", "")).status() == 200);
}

#[test]
fn what_no_envoy_loads_is_not_loaded() {
    let text = |body: &str| {
        format!(
            r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_1_0"))
                (func (export "malloc") (param i32) (result i32) (i32.const 0)) {body})"#
        )
    };
    let load = |body: &str| Module::load(&wat::parse_str(text(body)).expect("text"));
    let component = wat::parse_str("(component)").expect("text");
    let texts: [&[u8]; 5] = [b"", b"\0asm", b"\0asm\x01\0\0\0\x01", &component, b"(module)"];
    for bytes in texts {
        let error = Module::load(bytes).expect_err("no module");
        assert!(matches!(error, ModuleError::Compile(_)), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
    let longer =
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#;
    let shorter = longer.replacen("i32 ", "", 1);
    assert!(matches!(load(longer), Err(ModuleError::WrongSignature { .. })), "0.1.0 knows no end of stream");
    assert!(load(&shorter).is_ok());
    for other in ["proxy_on_request_metadata", "proxy_on_new_connection", "main"] {
        let wrong = format!(r#"(func (export "{other}"))"#);
        assert!(
            matches!(load(&wrong), Err(ModuleError::WrongSignature { function, .. }) if function == other)
        );
    }
    let imported = wat::parse_str(
        r#"(module (import "env" "memory" (memory 1)) (func (export "proxy_abi_version_0_2_1")))"#,
    );
    let error = Module::load(&imported.expect("text")).expect_err("nobody offers memory");
    assert_eq!(error, ModuleError::UnknownImports(vec!["env.memory".into()]));
}

// What the following tests expect was seen in Envoy 1.40.0.

#[test]
fn a_reactor_has_its_main_called_and_a_command_its_start_and_constructors_are_nobodys_business() {
    let functions = imports(&[("log", 3)]);
    let say = |name: &str, parameters: &str, result: &str, letter: u8| {
        let value = if result.is_empty() { "" } else { "(i32.const 0)" };
        format!(
            r#"(func (export "{name}") {parameters} {result} (i32.store8 (i32.const 0) (i32.const {letter}))
                (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1))) {value})"#
        )
    };
    let all = |initialize: &str| {
        let text = [
            say("__wasm_call_ctors", "", "", b'c'),
            say("main", "(param i32 i32)", "(result i32)", b'm'),
            say("_start", "", "", b's'),
            say(initialize, "", "", b'i'),
        ];
        let proxy = start(&module(&functions, &text.concat())).expect("starts");
        let lines = proxy.log().into_iter().filter(|line| line.thread == bartizan_host::Thread::Worker(0));
        lines.map(|line| line.message).collect::<String>()
    };
    assert_eq!((all("_initialize").as_str(), all("other").as_str()), ("im", "s"));
}

#[test]
fn while_it_initializes_a_module_may_not_call_what_it_likes() {
    let text = r#"(func (export "_initialize") (drop (call $get_current_time_nanoseconds (i32.const 0))))"#;
    let said = complaint(&module(&imports(&[("get_current_time_nanoseconds", 1)]), text));
    assert!(
        said.contains("restricted_callback") && said.contains("proxy_get_current_time_nanoseconds"),
        "{said}"
    );
    let text = "(func $f (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1)))) (start $f)";
    let said = complaint(&module(&imports(&[("log", 3)]), text));
    assert!(said.contains("start function") && said.contains("crashes"), "{said}");
}

#[test]
fn failing_policies_hold_whatever_callback_traps() {
    for policy in [FailurePolicy::Closed, FailurePolicy::Open, FailurePolicy::Reload] {
        let module = module("", &callback("proxy_on_response_headers", "unreachable"));
        let proxy = Proxy::builder(&module).failure_policy(policy).start().expect("starts");
        assert_eq!(proxy.worker(0).send(long()).status(), 503, "{policy:?}");
        let next = proxy.worker(0).send(Request::get("/").upstream(Response::new(204)));
        assert_eq!(next.status(), if policy == FailurePolicy::Open { 204 } else { 503 }, "{policy:?}");
    }
}
