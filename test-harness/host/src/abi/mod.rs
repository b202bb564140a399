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

pub(crate) use guest::{Guest, Host, Stop};

use std::collections::BTreeMap;

use wasmtime::{Caller, Engine, FuncType, Linker, ValType};

use crate::module::AbiVersion;
use crate::vm::State;

/// Under which names a module may export its allocator; Envoy looks for them in this order.
pub(crate) const ALLOCATORS: [&str; 2] = ["malloc", "proxy_on_memory_allocate"];

/// What a host function gives when it is done.
pub(crate) type Answer = Result<(), Stop>;

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
    if let Some(status) = state.env.faults.strike(name) {
        return Ok(status.code());
    }
    match run(&mut Host { caller }) {
        Ok(()) => Ok(0),
        Err(Stop::Status(status)) => Ok(status.code()),
        Err(Stop::Trap(error)) => Err(error),
    }
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

/// How many parameters and results a callback has, all of them `i32`; `None` for exports that Envoy never calls.
///
/// Source: the types of the members of `WasmBase` in `include/proxy-wasm/wasm.h` of proxy-wasm-cpp-host.
pub(crate) fn callback(name: &str) -> Option<(usize, usize)> {
    CALLBACKS
        .iter()
        .find(|(known, ..)| *known == name)
        .map(|(_, parameters, results)| (*parameters, *results))
}

/// Whether this is a header callback of ABI 0.1.0, which is not told whether the stream ends.
pub(crate) fn is_shorter_headers(name: &str, found: &FuncType) -> bool {
    matches!(name, "proxy_on_request_headers" | "proxy_on_response_headers")
        && found.params().map(|kind| kind.to_string()).eq(["i32", "i32"])
        && found.results().map(|kind| kind.to_string()).eq(["i32"])
}

/// Each export that the host looks up, with its number of parameters and results.
pub(crate) const CALLBACKS: &[(&str, usize, usize)] = &[
    ("_initialize", 0, 0),
    ("_start", 0, 0),
    ("__wasm_call_ctors", 0, 0),
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
];
