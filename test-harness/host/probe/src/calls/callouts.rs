//! Callouts, and what their answers bring.

use crate::Here;
use crate::abi::{self, NOWHERE, at, given, number, pairs};

pub(super) fn callouts(here: &Here) {
    let good = pairs(&[(b":method", b"GET"), (b":path", b"/"), (b":authority", b"up")]);
    let poor = pairs(&[(b":method", b"GET"), (b":path", b"/")]);
    let call = |cluster: &[u8], headers: &[u8], timeout: u32| {
        let ((cluster, length), (headers, size)) = (at(cluster), at(headers));
        // SAFETY: names and headers live until the call returns.
        number(|token| unsafe {
            abi::proxy_http_call(cluster, length, headers, size, 0, 0, 0, 0, timeout, token)
        })
    };
    for (what, cluster, headers, timeout) in [
        ("to no cluster", &b"none"[..], &good, 500),
        ("to a cluster without a name", b"", &good, 500),
        ("without an authority", b"upstream", &poor, 500),
        ("with a huge timeout", b"upstream", &good, u32::MAX),
    ] {
        let (status, token) = call(cluster, headers, timeout);
        here.tell(&format!("http call {what}"), status, token.to_string());
    }
    // SAFETY: these are numbers, or addresses where no memory is.
    unsafe {
        let status = abi::proxy_http_call(NOWHERE, 32, 0, 0, 0, 0, 0, 0, 500, NOWHERE as _);
        here.tell("http call from nowhere", status, "");
        for service in [&b"none of these"[..], b"\x0a\x06\x0a\x04none"] {
            let (service, length) = at(service);
            let (status, token) =
                number(|token| abi::proxy_grpc_call(service, length, 0, 0, 0, 0, 0, 0, 0, 0, 500, token));
            here.tell("grpc call to none", status, token.to_string());
            let (status, token) =
                number(|token| abi::proxy_grpc_stream(service, length, 0, 0, 0, 0, 0, 0, token));
            here.tell("grpc stream to none", status, token.to_string());
        }
        for token in [0, 1, 2, 3, 4004, 4005, 4006] {
            here.tell(&format!("grpc send {token}"), abi::proxy_grpc_send(token, 0, 0, 0), "");
            here.tell(&format!("grpc close {token}"), abi::proxy_grpc_close(token), "");
            here.tell(&format!("grpc cancel {token}"), abi::proxy_grpc_cancel(token), "");
        }
        here.tell("grpc send from nowhere", abi::proxy_grpc_send(2, NOWHERE, 32, 0), "");
        here.tell(
            "call status to nowhere",
            abi::proxy_get_status(NOWHERE as _, NOWHERE as _, NOWHERE as _),
            "",
        );
    }
    everything_delivered(here);
}

/// What an answer brought, as far as [`some`] does not show it.
pub(crate) fn everything_delivered(here: &Here) {
    let ((name, length), (value, size)) = (at(b"x-added"), at(b"1"));
    for map in [4, 5, 6, 7] {
        // SAFETY: names and values live until the calls return.
        unsafe {
            let tell = |what: &str, status| here.tell(&format!("map {map} {what}"), status, "");
            tell("add", abi::proxy_add_header_map_value(map, name, length, value, size));
            tell("replace", abi::proxy_replace_header_map_value(map, name, length, value, size));
            tell("remove", abi::proxy_remove_header_map_value(map, name, length));
        }
    }
    let mut code = 99;
    // SAFETY: the host writes to addresses that are ours.
    let (status, text) =
        given(|address, size| unsafe { abi::proxy_get_status(&raw mut code, address, size) });
    here.tell("status of the call", status, format!("{code} {}", text.escape_ascii()));
}

/// Calls the upstream's cluster.
pub(crate) fn http(here: &Here, timeout: u32) {
    let headers = pairs(&[
        (b":method", b"POST"),
        (b":path", b"/call"),
        (b":authority", b"up"),
        (b"x-bartizan-case", b"call"),
    ]);
    let ((cluster, length), (headers, size), (body, body_length)) =
        (at(b"upstream"), at(&headers), at(b"question"));
    // SAFETY: all of it lives until the call returns.
    let (status, token) = number(|token| unsafe {
        abi::proxy_http_call(cluster, length, headers, size, body, body_length, 0, 0, timeout, token)
    });
    here.tell("http call", status, token.to_string());
}

/// Calls the upstream's cluster by gRPC, which it does not speak.
pub(crate) fn grpc(here: &Here) {
    let ((service, length), (name, size)) = (at(b"\x0a\x0a\x0a\x08upstream"), at(b"Probe"));
    // SAFETY: all of it lives until the call returns.
    let (status, token) = number(|token| unsafe {
        abi::proxy_grpc_call(service, length, name, size, name, size, 0, 0, name, size, 500, token)
    });
    here.tell("grpc call", status, token.to_string());
}

/// Opens a gRPC stream to the upstream's cluster, which does not speak it.
pub(crate) fn grpc_stream(here: &Here) {
    let ((service, length), (name, size)) = (at(b"\x0a\x0a\x0a\x08upstream"), at(b"Probe"));
    // SAFETY: all of it lives until the calls return.
    unsafe {
        let (status, token) =
            number(|token| abi::proxy_grpc_stream(service, length, name, size, name, size, 0, 0, token));
        here.tell("grpc stream", status, token.to_string());
        here.tell("grpc send", abi::proxy_grpc_send(token as u32, name, size, 1), "");
    }
}
