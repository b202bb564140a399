//! Calls to clusters, and what came of them.
//!
//! Whichever context calls, the call belongs to the root context, and so does its answer (`http_call` and its kin in
//! `src/exports.cc` of proxy-wasm-cpp-host).

use super::{Functions, offer};
use crate::clusters::HttpCall;
use crate::pairs;

pub(super) fn register(functions: &mut Functions) -> wasmtime::Result<()> {
    offer! { functions;
        "proxy_http_call" => |host, cluster: u32, cluster_length: u32, headers: u32, headers_length: u32, body: u32,
                body_length: u32, trailers: u32, trailers_length: u32, timeout_milliseconds: u32, token_at: u32| {
            let cluster = host.read(cluster, cluster_length)?;
            let body = host.read(body, body_length)?;
            let headers = pairs::decode(&host.read(headers, headers_length)?);
            let trailers = pairs::decode(&host.read(trailers, trailers_length)?);
            // Envoy writes the token twice: once to see that it can, and then whatever came of the call.
            host.write_u32(token_at, 0)?;
            let call = HttpCall {
                cluster: &cluster,
                headers: &headers,
                body: &body,
                trailers: &trailers,
                timeout_milliseconds,
            };
            let state = host.state();
            let (root, now) = (state.root_of(state.context()), state.env.now());
            let token = state.callouts.http_call(root, call, now)?;
            host.write_u32(token_at, token)
        };
        "proxy_grpc_call" => |host, target: u32, target_length: u32, service: u32, service_length: u32, method: u32,
                method_length: u32, metadata: u32, metadata_length: u32, message: u32, message_length: u32,
                timeout_milliseconds: u32, token_at: u32| {
            let (target, service) = (host.read(target, target_length)?, host.read(service, service_length)?);
            let method = host.read(method, method_length)?;
            let metadata = pairs::decode(&host.read(metadata, metadata_length)?);
            let message = host.read(message, message_length)?;
            let state = host.state();
            let (root, now) = (state.root_of(state.context()), state.env.now());
            let token = state.callouts.grpc_call(
                root, &target, &service, &method, &metadata, &message, timeout_milliseconds, now,
            )?;
            host.write_u32(token_at, token)
        };
        "proxy_grpc_stream" => |host, target: u32, target_length: u32, service: u32, service_length: u32, method: u32,
                method_length: u32, metadata: u32, metadata_length: u32, token_at: u32| {
            let (target, service) = (host.read(target, target_length)?, host.read(service, service_length)?);
            let method = host.read(method, method_length)?;
            let metadata = pairs::decode(&host.read(metadata, metadata_length)?);
            let state = host.state();
            let (root, now) = (state.root_of(state.context()), state.env.now());
            let token = state.callouts.grpc_stream(root, &target, &service, &method, &metadata, now)?;
            host.write_u32(token_at, token)
        };
        "proxy_grpc_send" => |host, token: u32, message: u32, length: u32, end: u32| {
            let message = host.read(message, length)?;
            let state = host.state();
            let now = state.env.now();
            Ok(state.callouts.grpc_send(token, &message, end != 0, now)?)
        };
        "proxy_grpc_close" => |host, token: u32| {
            let state = host.state();
            let now = state.env.now();
            Ok(state.callouts.grpc_close(token, now)?)
        };
        "proxy_grpc_cancel" => |host, token: u32| Ok(host.state().callouts.grpc_cancel(token)?);
        "proxy_get_status" => |host, code_at: u32, address_at: u32, length_at: u32| {
            let (code, message) = host.state().status();
            host.write_u32(code_at, code)?;
            host.hand_over(&message, address_at, length_at)
        };
    }
    Ok(())
}
