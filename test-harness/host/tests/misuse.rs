//! Every host function with arguments that no sane module gives, from every callback: each call has a status, and the host
//! lives.

#[allow(dead_code, reason = "not every test needs every helper")]
mod common;

use std::time::Duration;

use bartizan_host::clusters::Answer as From;
use bartizan_host::{Module, Proxy, Request, Response};

/// Every function of ABI 0.2.1 and of WASI, with `i` for 32 bits, `I` for 64, and what it gives, if it does.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("env", "proxy_log", "iii"),
    ("env", "proxy_get_log_level", "i"),
    ("env", "proxy_get_current_time_nanoseconds", "i"),
    ("env", "proxy_set_tick_period_milliseconds", "i"),
    ("env", "proxy_set_effective_context", "i"),
    ("env", "proxy_done", ""),
    ("env", "proxy_add_header_map_value", "iiiii"),
    ("env", "proxy_replace_header_map_value", "iiiii"),
    ("env", "proxy_remove_header_map_value", "iii"),
    ("env", "proxy_get_header_map_value", "iiiii"),
    ("env", "proxy_get_header_map_pairs", "iii"),
    ("env", "proxy_set_header_map_pairs", "iii"),
    ("env", "proxy_get_header_map_size", "ii"),
    ("env", "proxy_get_buffer_bytes", "iiiii"),
    ("env", "proxy_get_buffer_status", "iii"),
    ("env", "proxy_set_buffer_bytes", "iiiii"),
    ("env", "proxy_get_shared_data", "iiiii"),
    ("env", "proxy_set_shared_data", "iiiii"),
    ("env", "proxy_register_shared_queue", "iii"),
    ("env", "proxy_resolve_shared_queue", "iiiii"),
    ("env", "proxy_enqueue_shared_queue", "iii"),
    ("env", "proxy_dequeue_shared_queue", "iii"),
    ("env", "proxy_define_metric", "iiii"),
    ("env", "proxy_increment_metric", "iI"),
    ("env", "proxy_record_metric", "iI"),
    ("env", "proxy_get_metric", "ii"),
    ("env", "proxy_get_property", "iiii"),
    ("env", "proxy_set_property", "iiii"),
    ("env", "proxy_http_call", "iiiiiiiiii"),
    ("env", "proxy_grpc_call", "iiiiiiiiiiii"),
    ("env", "proxy_grpc_stream", "iiiiiiiii"),
    ("env", "proxy_grpc_send", "iiii"),
    ("env", "proxy_grpc_close", "i"),
    ("env", "proxy_grpc_cancel", "i"),
    ("env", "proxy_get_status", "iii"),
    ("env", "proxy_call_foreign_function", "iiiiii"),
    ("env", "proxy_send_local_response", "iiiiiiii"),
    ("env", "proxy_continue_stream", "i"),
    ("env", "proxy_close_stream", "i"),
    ("env", "pthread_equal", "ii"),
    ("wasi_snapshot_preview1", "fd_write", "iiii"),
    ("wasi_snapshot_preview1", "fd_read", "iiii"),
    ("wasi_snapshot_preview1", "fd_seek", "iIii"),
    ("wasi_snapshot_preview1", "fd_close", "i"),
    ("wasi_snapshot_preview1", "fd_fdstat_get", "ii"),
    ("wasi_snapshot_preview1", "fd_prestat_get", "ii"),
    ("wasi_snapshot_preview1", "fd_prestat_dir_name", "iii"),
    ("wasi_snapshot_preview1", "path_open", "iiiiiIIii"),
    ("wasi_snapshot_preview1", "environ_get", "ii"),
    ("wasi_snapshot_preview1", "environ_sizes_get", "ii"),
    ("wasi_snapshot_preview1", "args_get", "ii"),
    ("wasi_snapshot_preview1", "args_sizes_get", "ii"),
    ("wasi_snapshot_preview1", "clock_time_get", "iIi"),
    ("wasi_snapshot_preview1", "random_get", "ii"),
    ("wasi_snapshot_preview1", "proc_exit", "i"),
];

/// A module that calls some function, drawn by chance, with arguments drawn from twelve that hurt, `times` in each callback.
/// Where its own allocator is called it does so too, now and then, and then gives back such a number.
fn misusing(seed: u64, times: u32) -> Module {
    let (mut imports, mut calls) = (String::new(), String::new());
    for (place, (module, name, parameters)) in FUNCTIONS.iter().enumerate() {
        let types: String =
            parameters.chars().map(|kind| if kind == 'i' { " i32" } else { " i64" }).collect();
        let result = if *name == "proc_exit" { "" } else { "(result i32)" };
        imports += &format!(r#"(import "{module}" "{name}" (func ${name} (param{types}) {result}))"#);
        let arguments: String = parameters
            .chars()
            .map(|kind| if kind == 'i' { "(call $pick) " } else { "(i64.extend_i32_s (call $pick)) " })
            .collect();
        let call = format!("(call ${name} {arguments})");
        let call = if result.is_empty() { call } else { format!("(local.set $got {call})") };
        // Numbers beyond the table of statuses, and of WASI's errors, are none.
        calls += &format!(
            "(if (i32.eq (local.get $which) (i32.const {place}))
                (then {call} (if (i32.gt_u (local.get $got) (i32.const 76)) (then unreachable))))"
        );
    }
    let returning = |name: &str, count: usize, result: bool| {
        // What a call may bring about is told seldom, for each of these callbacks may bring about more.
        let told = ["http_call", "grpc", "queue"].iter().any(|kind| name.starts_with(kind));
        let how = if told { "once_more" } else { "misuse" };
        let parameters = " i32".repeat(count);
        let (result, value) =
            if result { ("(result i32)", "(i32.and (call $next) (i32.const 1))") } else { ("", "") };
        format!(r#"(func (export "proxy_on_{name}") (param{parameters}) {result} (call ${how}) {value})"#)
    };
    let callbacks = [
        returning("context_create", 2, false),
        returning("tick", 1, false),
        returning("request_headers", 3, true),
        returning("request_body", 3, true),
        returning("request_trailers", 2, true),
        returning("response_headers", 3, true),
        returning("response_body", 3, true),
        returning("response_trailers", 2, true),
        returning("http_call_response", 5, false),
        returning("grpc_receive_initial_metadata", 3, false),
        returning("grpc_receive", 3, false),
        returning("grpc_receive_trailing_metadata", 3, false),
        returning("grpc_close", 3, false),
        returning("queue_ready", 2, false),
        returning("done", 1, true),
        returning("log", 1, false),
        returning("delete", 1, false),
    ]
    .concat();
    let texts = r#"(data (i32.const 16) "c") (data (i32.const 64)
        "\03\00\00\00\05\00\00\00\01\00\00\00\07\00\00\00\03\00\00\00\0a\00\00\00\01\00\00\00:path\00/\00:method\00GET\00:authority\00a\00")
        (data (i32.const 256) "\0a\03\0a\01c") (data (i32.const 300) "sign") (data (i32.const 310) "request")"#;
    let numbers = [0, 1, 2, 4, 16, 61, 64, 256, 131_071, 131_072, i32::MAX, i32::MIN, -1];
    let picks: String = numbers
        .iter()
        .enumerate()
        .map(|(place, number)| {
            format!("(if (i32.eq (local.get 0) (i32.const {place})) (then (return (i32.const {number}))))")
        })
        .collect();
    let count = numbers.len() + 3;
    let functions = FUNCTIONS.len();
    let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    common::module(
        &imports,
        &format!(
            r#"(global $state (mut i64) (i64.const {seed})) (global $within (mut i32) (i32.const 0)) {texts}
            (func $next (result i32)
                (global.set $state (i64.add (i64.mul (global.get $state) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
                (i32.wrap_i64 (i64.shr_u (global.get $state) (i64.const 33))))
            (func $pick (result i32) (local i32)
                (local.set 0 (i32.rem_u (call $next) (i32.const {count}))) {picks} (i32.rem_u (call $next) (i32.const 400)))
            (func $once (local $which i32) (local $got i32)
                (local.set $which (i32.rem_u (call $next) (i32.const {functions}))) {calls})
            (func $once_more (if (i32.eqz (i32.and (call $next) (i32.const 7))) (then (call $once))))
            (func $misuse (local $left i32)
                (local.set $left (i32.const {times}))
                (loop (call $once) (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
            (func (export "malloc") (param i32) (result i32)
                (if (i32.or (global.get $within) (i32.and (call $next) (i32.const 7))) (then (return (i32.const 65536))))
                (global.set $within (i32.const 1)) (call $once) (global.set $within (i32.const 0)) (call $pick))
            {callbacks}"#
        ),
    )
}

#[test]
fn no_argument_of_any_function_does_harm() {
    let mut calls = 0;
    for seed in 0..30 {
        let module = misusing(seed, 200);
        let proxy = Proxy::builder(&module)
            .workers(2)
            .memory_limit(1 << 24)
            .fuel(1_000_000_000)
            .start()
            .expect("starts");
        proxy.clusters().add("c", |call| {
            if call.kind == bartizan_host::clusters::CallKind::Http {
                From::status(200)
            } else {
                From::grpc("m")
            }
        });
        for turn in 0..4 {
            let upstream = Response::new(200).body("answer").trailer("x-t", "1");
            let request = Request::post("/").body("one").body("two").trailer("x-t", "1").upstream(upstream);
            calls += proxy.worker(turn).send(request).report().calls();
            calls += proxy.worker(turn).send(Request::get("/")).report().calls();
            proxy.advance(Duration::from_millis(3));
        }
        for worker in 0..2 {
            let failure = proxy.worker(worker).failure();
            assert_eq!(failure, None, "seed {seed}");
        }
        proxy.configure("other").expect("is taken");
    }
    assert!(calls > 20_000, "{calls}");
}
