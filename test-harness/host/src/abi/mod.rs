//! The functions that Envoy offers to a module, and the callbacks it calls.
//!
//! Which functions there are depends on the ABI the module says it is built for: `registerCallbacks` in
//! `src/wasm.cc` of proxy-wasm-cpp-host. What each does stands in the files of this folder, after `src/exports.cc` there and
//! `source/extensions/common/wasm/context.cc` in Envoy.

mod buffers;
mod calls;
mod foreign;
mod general;
mod guest;
mod maps;
mod properties;
mod shared;
mod streams;
mod wasi;

pub(crate) use guest::{Guest, Host, Overworked, Stop, cost};

use std::collections::BTreeMap;

use wasmtime::{Caller, Engine, FuncType, Linker, ValType};

use crate::module::AbiVersion;
use crate::vm::State;

/// Under which names a module may export its allocator; Envoy looks for them in this order.
pub(crate) const ALLOCATORS: [&str; 2] = ["malloc", "proxy_on_memory_allocate"];

/// What a host function gives when it is done.
pub(crate) type Answer = Result<(), Stop>;

/// The name of each function that a module can call in some version of the ABI, those of WASI without their module.
pub(crate) const FUNCTIONS: &[&str] = &[
    "args_get",
    "args_sizes_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_read",
    "fd_seek",
    "fd_write",
    "path_open",
    "proc_exit",
    "proxy_add_header_map_value",
    "proxy_call_foreign_function",
    "proxy_clear_route_cache",
    "proxy_close_stream",
    "proxy_continue_request",
    "proxy_continue_response",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_dequeue_shared_queue",
    "proxy_done",
    "proxy_enqueue_shared_queue",
    "proxy_get_buffer_bytes",
    "proxy_get_buffer_status",
    "proxy_get_configuration",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_size",
    "proxy_get_header_map_value",
    "proxy_get_log_level",
    "proxy_get_metric",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_record_metric",
    "proxy_register_shared_queue",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_resolve_shared_queue",
    "proxy_send_local_response",
    "proxy_set_buffer_bytes",
    "proxy_set_effective_context",
    "proxy_set_header_map_pairs",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
    "random_get",
];

/// The functions under construction, with their signatures.
pub(crate) struct Functions {
    pub(crate) linker: Linker<State>,
    pub(crate) signatures: BTreeMap<String, FuncType>,
}

/// All functions that a module of this ABI may import.
pub(crate) fn functions(engine: &Engine, abi: AbiVersion) -> wasmtime::Result<Functions> {
    let mut functions = Functions { linker: Linker::new(engine), signatures: BTreeMap::new() };
    general::register(&mut functions, abi)?;
    maps::register(&mut functions)?;
    buffers::register(&mut functions)?;
    shared::register(&mut functions)?;
    properties::register(&mut functions)?;
    calls::register(&mut functions)?;
    foreign::register(&mut functions)?;
    streams::register(&mut functions, abi)?;
    wasi::register(&mut functions)?;
    Ok(functions)
}

/// Runs a function of the ABI: counts it, lets it fail if a fault strikes, and makes a number of its answer.
fn answer(
    caller: &mut Caller<'_, State>,
    name: &'static str,
    run: impl FnOnce(&mut Host<'_, '_>) -> Answer,
) -> wasmtime::Result<u32> {
    let state = caller.data_mut();
    state.count_call(name);
    state.env.cross(state.thread, name);
    allow(state, name)?;
    if let Some(status) = state.env.faults.strike(name) {
        return Ok(status.code());
    }
    let mut host = Host { caller };
    match host.charge(cost::CALL).and_then(|()| run(&mut host)) {
        Ok(()) => Ok(0),
        Err(Stop::Status(status)) => Ok(status.code()),
        Err(Stop::Trap(error)) => Err(error),
    }
}

/// What a module may call while `_initialize`, `main` or `_start` runs (`WasmBase::startVm`).
const WHILE_INITIALIZING: [&str; 10] = [
    "proxy_log",
    "fd_write",
    "args_sizes_get",
    "args_get",
    "environ_sizes_get",
    "environ_get",
    "fd_prestat_get",
    "fd_prestat_dir_name",
    "clock_time_get",
    "random_get",
];

/// Lets a call through if it may be made now. Both were seen in Envoy 1.40.0: a trap while the module initializes itself, and
/// the end of Envoy, by a segmentation fault, where its wasm start function calls the host.
fn allow(state: &State, name: &'static str) -> wasmtime::Result<()> {
    if state.guest.is_none() {
        return Err(wasmtime::Error::msg(format!(
            "its start function calls `{name}`, at which Envoy crashes; call the host from `_initialize` or later"
        )));
    }
    if state.initializing && !WHILE_INITIALIZING.contains(&name) {
        return Err(wasmtime::Error::msg(format!(
            "it calls `{name}`, which Envoy does not let a module call before `proxy_on_vm_start` \
             (\"restricted_callback\")"
        )));
    }
    Ok(())
}

/// The Rust types of parameters and their types in wasm.
pub(crate) trait Parameter {
    const TYPE: ValType;
}

impl Parameter for u32 {
    const TYPE: ValType = ValType::I32;
}

impl Parameter for u64 {
    const TYPE: ValType = ValType::I64;
}

impl Parameter for i64 {
    const TYPE: ValType = ValType::I64;
}

/// Registers functions of the ABI: `name => |host, parameters| expression giving an [`Answer`]`.
macro_rules! offer {
    ($functions:expr; $( $name:literal => |$host:ident $(, $arg:ident : $ty:ty)*| $body:expr; )*) => {
        $(
            let parameters: Vec<wasmtime::ValType> = vec![$(<$ty as $crate::abi::Parameter>::TYPE),*];
            let results = [wasmtime::ValType::I32];
            let signature = wasmtime::FuncType::new($functions.linker.engine(), parameters, results);
            $functions.signatures.insert(concat!("env.", $name).to_owned(), signature);
            $functions.linker.func_wrap(
                "env",
                $name,
                |mut caller: wasmtime::Caller<'_, $crate::vm::State> $(, $arg: $ty)*| {
                    $crate::abi::answer(&mut caller, $name, |$host| $body)
                },
            )?;
        )*
    };
}
pub(crate) use offer;

/// How many parameters and results a callback has, all of them `i32`; `None` for exports that Envoy does not look up.
/// In ABI 0.1.0 the callbacks for headers are not told whether the stream ends.
///
/// Source: the types of the members of `WasmBase` in `include/proxy-wasm/wasm.h` of proxy-wasm-cpp-host.
pub(crate) fn callback(name: &str, abi: AbiVersion) -> Option<(usize, usize)> {
    let (_, parameters, results) = CALLBACKS.iter().find(|(known, ..)| *known == name)?;
    let shorter =
        abi == AbiVersion::V0_1_0 && matches!(name, "proxy_on_request_headers" | "proxy_on_response_headers");
    Some((if shorter { 2 } else { *parameters }, *results))
}

/// Each export that the host looks up, with its number of parameters and results.
pub(crate) const CALLBACKS: &[(&str, usize, usize)] = &[
    ("_initialize", 0, 0),
    ("main", 2, 1),
    ("_start", 0, 0),
    ("malloc", 1, 1),
    ("proxy_on_memory_allocate", 1, 1),
    ("proxy_on_vm_start", 2, 1),
    ("proxy_on_configure", 2, 1),
    ("proxy_on_tick", 1, 0),
    ("proxy_on_context_create", 2, 0),
    ("proxy_on_request_headers", 3, 1),
    ("proxy_on_request_body", 3, 1),
    ("proxy_on_request_trailers", 2, 1),
    ("proxy_on_response_headers", 3, 1),
    ("proxy_on_response_body", 3, 1),
    ("proxy_on_response_trailers", 2, 1),
    ("proxy_on_http_call_response", 5, 0),
    ("proxy_on_grpc_receive_initial_metadata", 3, 0),
    ("proxy_on_grpc_receive", 3, 0),
    ("proxy_on_grpc_receive_trailing_metadata", 3, 0),
    ("proxy_on_grpc_close", 3, 0),
    ("proxy_on_queue_ready", 2, 0),
    ("proxy_on_done", 1, 1),
    ("proxy_on_log", 1, 0),
    ("proxy_on_delete", 1, 0),
    // Never called here, and yet Envoy wants them to have their signatures.
    ("proxy_on_foreign_function", 3, 0),
    ("proxy_on_new_connection", 1, 1),
    ("proxy_on_downstream_data", 3, 1),
    ("proxy_on_upstream_data", 3, 1),
    ("proxy_on_downstream_connection_close", 2, 0),
    ("proxy_on_upstream_connection_close", 2, 0),
    ("proxy_on_request_metadata", 2, 1),
    ("proxy_on_response_metadata", 2, 1),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_function_that_can_be_called_has_its_name_in_the_table() {
        let engine = Engine::default();
        let mut names = BTreeSet::new();
        for abi in [AbiVersion::V0_1_0, AbiVersion::V0_2_0, AbiVersion::V0_2_1] {
            let all = functions(&engine, abi).unwrap().signatures;
            names.extend(all.keys().filter_map(|name| Some(name.split_once('.')?.1.to_owned())));
        }
        // Compares two threads, and has no status to give.
        names.remove("pthread_equal");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), FUNCTIONS);
    }
}
