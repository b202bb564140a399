//! Continuing, closing and answering streams.
//!
//! None of it happens inside of the call: Envoy notes it and does it when the callback has returned
//! (`addAfterVmCallAction` in `common/wasm/context.cc`).

use super::{Answer, Functions, Host, offer};
use crate::Status;
use crate::exchange::{Reply, Side};
use crate::module::AbiVersion;
use crate::pairs;
use crate::vm::After;

pub(super) fn register(functions: &mut Functions, abi: AbiVersion) -> wasmtime::Result<()> {
    offer! { functions;
        "proxy_send_local_response" => |host, status: u32, details: u32, details_length: u32, body: u32, body_length: u32,
                headers: u32, headers_length: u32, grpc_status: u32| {
            let details = host.read(details, details_length)?;
            let body = host.read(body, body_length)?;
            let headers = host.read(headers, headers_length)?;
            let reply = Reply {
                status,
                // White space would break the fields of an access log: `replaceAllEmptySpace`.
                details: String::from_utf8_lossy(&details).replace(|c: char| c.is_ascii_whitespace(), "_"),
                body,
                headers: pairs::decode(&headers),
                // SDKs give -1 if the module chose none; `WellKnownGrpcStatus` ends at 16.
                grpc_status: (grpc_status <= 16).then_some(grpc_status),
            };
            let state = host.state();
            let context = state.context();
            state.after.push_back(After::Reply(context, Box::new(reply)));
            state.stop_iteration = true;
            Ok(())
        };
    }
    if abi == AbiVersion::V0_1_0 {
        offer! { functions;
            "proxy_continue_request" => |host| continue_stream(host, 0);
            "proxy_continue_response" => |host| continue_stream(host, 1);
            // There are no routes to choose again here; Envoy answers `Ok` whatever comes of it.
            "proxy_clear_route_cache" => |_host| Ok(());
        }
    } else {
        offer! { functions;
            "proxy_continue_stream" => |host, stream: u32| continue_stream(host, stream);
            "proxy_close_stream" => |host, stream: u32| close_stream(host, stream);
        }
    }
    Ok(())
}

fn continue_stream(host: &mut Host<'_, '_>, stream: u32) -> Answer {
    let side = match stream {
        0 => Side::Request,
        1 => Side::Response,
        // The downstream of a TCP connection: there is none, which Envoy answers with `Ok`.
        2 => return Ok(()),
        3 => return Err(Status::Unimplemented.into()),
        _ => return Err(Status::BadArgument.into()),
    };
    let state = host.state();
    let context = state.context();
    state.after.push_back(After::Continue(context, side));
    // Envoy forgets the request in both cases, even where the response continues.
    if let Some(exchange) = state.exchange_mut(context) {
        exchange.request.hide();
    }
    Ok(())
}

fn close_stream(host: &mut Host<'_, '_>, stream: u32) -> Answer {
    match stream {
        0 | 1 => {
            let state = host.state();
            let context = state.context();
            state.after.push_back(After::Close(context));
            Ok(())
        }
        2 | 3 => Ok(()),
        _ => Err(Status::BadArgument.into()),
    }
}
