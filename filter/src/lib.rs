//! Bartizan inside Envoy: the glue between the proxy-wasm ABI and `bartizan-engine`.
//!
//! There is no policy logic here. `host.rs` is the only file that calls the proxy; `configure.rs` turns a plugin
//! configuration into an engine; `following.rs` lets others take its place; `fetching.rs` fetches what they need; `root.rs` has
//! the callbacks of all three; `http.rs` drives one request through an engine, and `waiting.rs` keeps those that wait.
//!
//! The crate has no meaning outside wasm, so natively it is empty: a workspace can build, check and
//! document everything in one command.
#![cfg(target_arch = "wasm32")]
#![allow(
    missing_docs,
    reason = "the SDK's `main!` exports a function without a comment; nothing else here is public"
)]

mod allocator;
mod config;
mod configure;
mod fetching;
mod following;
mod host;
mod http;
mod metrics;
mod proxy;
mod root;
mod self_test;
mod signature;
mod waiting;

#[global_allocator]
static POOL: allocator::Pool = allocator::Pool::new();

proxy_wasm::main! {{
    // Installs the SDK's panic hook as well: should anything panic after all, the log says where.
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Warn);
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}}
