//! Life cycles: modules that cannot be loaded, configurations, failures and what follows from them, time, queues, faults.

mod common;

use std::time::Duration;

use bartizan_host::faults::Faults;
use bartizan_host::{FailurePolicy, LogLevel, Module, ModuleError, Outcome, Proxy, Request, Status, Thread};
use common::{bytes, imports, module};

fn load(imports: &str, body: &str) -> Result<Module, ModuleError> {
    Module::load(&bytes(imports, body))
}

/// Traps on requests to paths of three letters, answers the others with a header of its configuration's length.
const TRAPS: &str = r#"
    (data (i32.const 16) ":path")
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $get_header_map_value (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 32) (i32.const 36)))
        (if (i32.eq (i32.load (i32.const 36)) (i32.const 3)) (then unreachable))
        (i32.const 0))"#;

fn traps() -> Module {
    module(&imports(&[("get_header_map_value", 5)]), TRAPS)
}

/// Takes a configuration of more than two bytes only, and logs its length for each request.
fn choosy() -> Module {
    module(
        &imports(&[("log", 3)]),
        r#"
    (global $length (mut i32) (i32.const 0))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (i32.store8 (i32.add (i32.const 128) (local.get 0)) (i32.add (i32.const 48) (local.get 1)))
        (drop (call $log (i32.const 3) (i32.const 8) (i32.const 1)))
        (i32.gt_u (local.get 1) (i32.const 2)))
    (func (export "proxy_on_context_create") (param i32 i32)
        (i32.store8 (i32.add (i32.const 192) (local.get 0)) (local.get 1)))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $log (i32.const 2)
            (i32.add (i32.const 128) (i32.load8_u (i32.add (i32.const 192) (local.get 0)))) (i32.const 1)))
        (i32.const 0))
    (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
        (drop (call $log (i32.const 2)
            (i32.add (i32.const 128) (i32.load8_u (i32.add (i32.const 192) (local.get 0)))) (i32.const 1)))
        (i32.const 0))
    (func (export "proxy_on_delete") (param i32)
        (drop (call $log (i32.const 1) (i32.add (i32.const 128) (local.get 0)) (i32.const 1))))
    (data (i32.const 8) "c")"#,
    )
}

fn lines(proxy: &Proxy, level: LogLevel) -> Vec<String> {
    proxy.take_log().into_iter().filter(|line| line.level == level).map(|line| line.message).collect()
}

#[test]
fn what_is_no_module_is_told_apart() {
    assert!(matches!(Module::load(b"(module)"), Err(ModuleError::Compile(_))));
    assert!(matches!(Module::load(b""), Err(ModuleError::Compile(_))));
    let plain = wat::parse_str("(module (memory (export \"memory\") 1))").expect("a module");
    assert_eq!(Module::load(&plain).err(), Some(ModuleError::NotProxyWasm));
    let bare = wat::parse_str("(module (func (export \"proxy_abi_version_0_2_1\")))").expect("a module");
    assert_eq!(Module::load(&bare).err(), Some(ModuleError::NoMemory));
    let mute = r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))"#;
    assert_eq!(Module::load(&wat::parse_str(mute).expect("a module")).err(), Some(ModuleError::NoAllocator));
}

#[test]
fn every_import_that_nobody_offers_is_named() {
    let unknown = r#"(import "env" "proxy_teleport" (func (param i32) (result i32)))
                     (import "env" "proxy_clear_route_cache" (func (result i32)))
                     (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
                     (import "wasi_snapshot_preview1" "sock_send" (func))"#;
    let error = load(unknown, "").expect_err("unknown imports");
    let names = ["env.proxy_teleport", "env.proxy_clear_route_cache", "wasi_snapshot_preview1.sock_send"];
    assert_eq!(error, ModuleError::UnknownImports(names.map(str::to_owned).to_vec()));
    assert!(error.to_string().contains("env.proxy_teleport"), "{error}");
}

#[test]
fn wrong_signatures_are_named() {
    let import = load(r#"(import "env" "proxy_log" (func (param i32) (result i32)))"#, "");
    let expected = "(i32, i32, i32) -> (i32)".to_owned();
    assert_eq!(
        import.err(),
        Some(ModuleError::WrongSignature { function: "env.proxy_log".into(), expected })
    );
    let export = load("", r#"(func (export "proxy_on_request_headers") (param i32))"#);
    assert!(
        matches!(export, Err(ModuleError::WrongSignature { function, .. }) if function == "proxy_on_request_headers")
    );
}

#[test]
fn a_module_that_never_returns_fails_with_a_reason_and_does_not_hang() {
    let module = module(
        "",
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (loop br 0) unreachable)"#,
    );
    let proxy = Proxy::builder(&module).fuel(1_000_000).start().expect("starts");
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 503);
    let why = proxy.worker(0).failure().expect("the VM has failed");
    assert!(why.contains("proxy_on_request_headers") && why.contains("1000000 units of fuel"), "{why}");
}

#[test]
fn a_module_that_traps_while_it_starts_is_no_proxy() {
    let module = module("", r#"(func (export "_initialize") unreachable)"#);
    let refused = Proxy::builder(&module).start().expect_err("no start");
    assert!(refused.to_string().contains("_initialize"), "{refused}");
}

#[test]
fn a_trap_fails_the_worker_closed_and_its_neighbour_works_on() {
    let proxy = Proxy::builder(&traps()).workers(2).start().expect("starts");
    let trapped = proxy.worker(0).send(Request::get("/tr"));
    assert_eq!((trapped.status(), trapped.details()), (503, "wasm_fail_stream"));
    assert_eq!(trapped.upstream(), None);
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 503);
    proxy.advance(Duration::from_secs(3600));
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 503);
    assert_eq!(proxy.worker(1).send(Request::get("/")).status(), 200);
    assert_eq!(lines(&proxy, LogLevel::Critical).len(), 1);
}

#[test]
fn failing_open_lets_everything_through_but_the_request_that_failed() {
    let proxy = Proxy::builder(&traps()).failure_policy(FailurePolicy::Open).start().expect("starts");
    // Seen in Envoy 1.40.0.
    assert_eq!(proxy.worker(0).send(Request::get("/tr")).status(), 503);
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 200);
    assert!(proxy.worker(0).failure().is_some());
}

#[test]
fn failing_with_reload_comes_back_after_its_time_and_not_before() {
    let proxy = Proxy::builder(&traps()).failure_policy(FailurePolicy::Reload).start().expect("starts");
    proxy.advance(Duration::from_secs(10));
    assert_eq!(proxy.worker(0).send(Request::get("/tr")).status(), 503);
    // The time counts from when the VM was loaded and not from when it failed: the first reload is at once.
    assert_eq!(proxy.worker(0).send(Request::get("/tr")).status(), 503);
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 503);
    proxy.advance(Duration::from_millis(999));
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 503);
    proxy.advance(Duration::from_millis(501));
    assert_eq!(proxy.worker(0).send(Request::get("/")).status(), 200);
    assert_eq!(proxy.worker(0).failure(), None);
}

#[test]
fn a_configuration_that_is_refused_changes_nothing() {
    let refused = Proxy::builder(&choosy()).configuration("ab").start().expect_err("two bytes are too few");
    assert_eq!(refused.to_string(), "refused by the module: `proxy_on_configure` returned false; c");
    assert!(refused.log.iter().all(|line| line.thread == Thread::Canary));
    let proxy = Proxy::builder(&choosy()).configuration("abc").start().expect("starts");
    proxy.take_log();
    assert!(proxy.configure("a").is_err());
    proxy.take_log();
    proxy.worker(0).send(Request::get("/"));
    assert_eq!(lines(&proxy, LogLevel::Info), ["3"]);
}

#[test]
fn a_stream_keeps_the_configuration_it_began_with() {
    let proxy = Proxy::builder(&choosy()).configuration("abc").start().expect("starts");
    let head = vec![(b":method".to_vec(), b"POST".to_vec())];
    let mut old = proxy.worker(0).open();
    old.request_headers(&head, false);
    proxy.configure("abcd").expect("taken");
    proxy.worker(0).send(Request::get("/"));
    old.request_body("x", false);
    assert_eq!(lines(&proxy, LogLevel::Info), ["3", "4", "3"]);
    proxy.advance(Duration::from_secs(599));
    assert_eq!(lines(&proxy, LogLevel::Debug), [""; 0]);
    assert!(!old.is_over());
    proxy.advance(Duration::from_secs(1));
    assert_eq!(old.answer().outcome(), Outcome::Reset, "the old listener has drained");
    let deleted = lines(&proxy, LogLevel::Debug);
    assert_eq!(deleted.iter().filter(|line| *line == "3").count(), 2, "on the main thread and on the worker");
    assert!(!deleted.contains(&"4".to_owned()));
}

#[test]
fn a_configuration_that_still_drains_is_gone_back_to_as_it_is() {
    let proxy = Proxy::builder(&choosy()).configuration("abc").start().expect("starts");
    proxy.configure("abcd").expect("taken");
    proxy.advance(Duration::from_secs(300));
    proxy.take_log();
    proxy.configure("abc").expect("taken");
    assert_eq!(proxy.take_log(), [], "nobody is asked");
    proxy.worker(0).send(Request::get("/"));
    assert_eq!(lines(&proxy, LogLevel::Info), ["3"]);
    proxy.advance(Duration::from_secs(599));
    assert_eq!(lines(&proxy, LogLevel::Debug), [""; 0], "what is in force again does not drain");
    proxy.advance(Duration::from_secs(1));
    assert_eq!(lines(&proxy, LogLevel::Debug), ["4", "4"], "on the main thread and on the worker");
    proxy.configure("abcd").expect("taken");
    assert_eq!(lines(&proxy, LogLevel::Warn), ["c", "c"], "what has drained is configured anew");
}

#[test]
fn no_configuration_is_tried_twice() {
    let proxy = Proxy::builder(&choosy()).configuration("abc").start().expect("starts");
    let first = proxy.configure("a").expect_err("is refused");
    let again = proxy.configure("a").expect_err("is refused again");
    assert_eq!((first.log.len(), again.log.len()), (1, 0));
    assert_eq!(again.why, format!("{}, when it was tried before", first.why));
    proxy.configure("abcd").expect("taken");
    proxy.advance(Duration::from_secs(600));
    proxy.take_log();
    proxy.configure("abc").expect("taken");
    assert!(proxy.take_log().iter().all(|line| line.thread != Thread::Canary));
}

#[test]
fn ticks_come_when_time_moves_on_every_thread() {
    let module = module(
        &imports(&[("set_tick_period_milliseconds", 1), ("log", 3)]),
        r#"(data (i32.const 0) "tick")
           (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
               (drop (call $set_tick_period_milliseconds (i32.const 100))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32) (drop (call $log (i32.const 2) (i32.const 0) (i32.const 4))))"#,
    );
    let proxy = Proxy::builder(&module).workers(2).start().expect("starts");
    let begin = proxy.now();
    proxy.advance(Duration::from_millis(99));
    assert!(proxy.take_log().is_empty());
    proxy.advance(Duration::from_millis(201));
    let ticks = proxy.take_log();
    let times: Vec<u128> = ticks.iter().map(|line| (line.at - begin).as_millis()).collect();
    assert_eq!(times, [100, 100, 100, 200, 200, 200, 300, 300, 300]);
    let threads: Vec<Thread> = ticks.iter().take(3).map(|line| line.thread).collect();
    assert_eq!(threads, [Thread::Main, Thread::Worker(0), Thread::Worker(1)]);
}

#[test]
fn the_vm_that_registered_a_queue_last_hears_of_its_items() {
    let module = module(
        &imports(&[("register_shared_queue", 3), ("enqueue_shared_queue", 3), ("log", 3)]),
        r#"(data (i32.const 0) "queue")
           (func (export "proxy_on_configure") (param i32 i32) (result i32)
               (drop (call $register_shared_queue (i32.const 0) (i32.const 5) (i32.const 16))) (i32.const 1))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               (drop (call $enqueue_shared_queue (i32.load (i32.const 16)) (i32.const 0) (i32.const 2))) (i32.const 0))
           (func (export "proxy_on_queue_ready") (param i32 i32) (drop (call $log (i32.const 2) (i32.const 0) (i32.const 5))))"#,
    );
    let proxy = Proxy::builder(&module).workers(2).start().expect("starts");
    proxy.worker(0).send(Request::get("/"));
    let heard: Vec<Thread> = proxy.take_log().into_iter().map(|line| line.thread).collect();
    assert_eq!(heard, [Thread::Worker(1)]);
    assert_eq!(proxy.shared_queues().dequeue(1), Ok(b"qu".to_vec()));
}

#[test]
fn a_host_call_can_be_made_to_fail() {
    let module = module(
        &imports(&[("set_shared_data", 5), ("log", 3)]),
        r#"(data (i32.const 0) "key")
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
               (i32.store8 (i32.const 16) (i32.add (i32.const 48) (call $set_shared_data
                   (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 3) (i32.const 0))))
               (drop (call $log (i32.const 2) (i32.const 16) (i32.const 1)))
               (i32.const 0))"#,
    );
    let proxy = Proxy::builder(&module).start().expect("starts");
    proxy.faults().fail_nth("proxy_set_shared_data", 2, Status::CasMismatch).expect("is a function");
    for _ in 0..3 {
        assert_eq!(proxy.worker(0).send(Request::get("/")).outcome(), Outcome::Complete);
    }
    assert_eq!(lines(&proxy, LogLevel::Info), ["0", "8", "0"]);
    assert_eq!(proxy.faults().injected().len(), 1);
    assert_eq!(proxy.shared_data().get(b"", b"key").map(|(value, _)| value), Ok(b"key".to_vec()));
}

#[test]
fn a_host_call_can_be_made_to_fail_while_the_proxy_starts() {
    let module = module(
        &imports(&[("log", 3)]),
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
               (i32.eqz (call $log (i32.const 2) (i32.const 0) (i32.const 0))))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable)"#,
    );
    let start = |nth| {
        let faults = Faults::default();
        faults.fail_nth("proxy_log", nth, Status::InternalFailure).expect("is a function");
        Proxy::builder(&module).faults(faults).start()
    };
    let refused = start(1).expect_err("the canary");
    assert!(refused.to_string().contains("`proxy_on_configure` returned false"), "{refused}");
    // Second is the main thread, third the worker, which then runs without the filter.
    for (nth, status) in [(2, 503), (3, 200), (4, 503)] {
        let proxy = start(nth).expect("the canary takes it");
        assert_eq!(proxy.worker(0).send(Request::get("/")).status(), status, "call {nth}");
        assert_eq!(proxy.faults().injected().len(), usize::from(nth < 4), "call {nth}");
    }
}

#[test]
fn standard_output_and_the_environment_are_there() {
    let wasi = r#"(import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
                  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))"#;
    let module = module(
        wasi,
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
               (drop (call $environ_get (i32.const 0) (i32.const 64)))
               (i32.store (i32.const 32) (i32.load (i32.const 0)))
               (i32.store (i32.const 36) (i32.const 3))
               (drop (call $fd_write (i32.const 2) (i32.const 32) (i32.const 1) (i32.const 40)))
               (i32.eq (i32.load (i32.const 40)) (i32.const 3)))"#,
    );
    let proxy = Proxy::builder(&module).variable("A", "b").start().expect("the text was written");
    assert_eq!(lines(&proxy, LogLevel::Error), ["A=b", "A=b", "A=b"], "canary, main thread, worker");
}
