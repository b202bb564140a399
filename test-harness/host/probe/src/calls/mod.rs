//! The calls. What differs from run to run (times, ports, ids) is told by its length or not at all.

use crate::Here;
use crate::abi::{self, NOWHERE, at, given, names, number, pairs};

const MAPS: [u32; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const BUFFERS: [u32; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/// Whether this is the VM that comes first. The main thread keeps it in shared data, which all have in common.
pub(crate) fn first() -> bool {
    let ((key, length), (value, size)) = (at(b"probe first"), at(b"x"));
    // SAFETY: key and value live until the calls return.
    unsafe {
        let (absent, _) =
            given(|address, size| abi::proxy_get_shared_data(key, length, address, size, &raw mut ANY));
        abi::proxy_set_shared_data(key, length, value, size, 0);
        absent != 0
    }
}

/// Numbers that nobody wants to know. A module has one thread.
static mut ANY: usize = 0;

fn header(map: u32, name: &[u8]) -> (u32, Vec<u8>) {
    let (name, length) = at(name);
    // SAFETY: the name lives until the call returns.
    given(|address, size| unsafe { abi::proxy_get_header_map_value(map, name, length, address, size) })
}

fn property(path: &[u8]) -> (u32, Vec<u8>) {
    let (path, length) = at(path);
    // SAFETY: the path lives until the call returns.
    given(|address, size| unsafe { abi::proxy_get_property(path, length, address, size) })
}

fn foreign(name: &[u8], arguments: &[u8]) -> (u32, Vec<u8>) {
    let ((name, length), (arguments, size)) = (at(name), at(arguments));
    // SAFETY: name and arguments live until the call returns.
    given(|address, out| unsafe {
        abi::proxy_call_foreign_function(name, length, arguments, size, address, out)
    })
}

/// What changes nothing, in any callback: which maps, buffers and properties are in reach.
pub(crate) fn some(here: &Here) {
    for map in MAPS {
        for name in [&b":path"[..], b":status", b"x-probe", b"absent"] {
            let (status, value) = header(map, name);
            here.tell(&format!("map {map} get {}", name.escape_ascii()), status, value);
        }
        // SAFETY: the host writes to addresses that are ours.
        let (status, list) =
            given(|address, size| unsafe { abi::proxy_get_header_map_pairs(map, address, size) });
        here.tell(&format!("map {map} pairs"), status, names(&list));
        // SAFETY: as above.
        let (status, size) = number(|size| unsafe { abi::proxy_get_header_map_size(map, size) });
        here.tell(&format!("map {map} size"), status, (size > 0).to_string());
    }
    for buffer in BUFFERS {
        for (start, most) in [(0, 9), (3, 2), (1000, 5), (0, u32::MAX)] {
            // SAFETY: as above.
            let (status, bytes) = given(|address, size| unsafe {
                abi::proxy_get_buffer_bytes(buffer, start, most, address, size)
            });
            here.tell(&format!("buffer {buffer} get {start} {most}"), status, bytes);
        }
        let mut flags = 7;
        // SAFETY: as above.
        let (status, length) =
            number(|size| unsafe { abi::proxy_get_buffer_status(buffer, size, &raw mut flags) });
        here.tell(&format!("buffer {buffer} status"), status, format!("{length} {flags}"));
    }
    for path in TEXTS {
        let (status, value) = property(path.replace('.', "\0").as_bytes());
        here.tell(&format!("property {path}"), status, value);
    }
    for path in LENGTHS {
        let (status, value) = property(path.replace('.', "\0").as_bytes());
        here.tell(&format!("property {path}"), status, format!("of {} bytes", value.len()));
    }
}

/// Properties with their values.
const TEXTS: &[&str] = &[
    "",
    "absent",
    "request",
    "request.path",
    "request.url_path",
    "request.query",
    "request.host",
    "request.method",
    "request.scheme",
    "request.protocol",
    "request.referer",
    "request.useragent",
    "request.headers.x-probe",
    "request.headers.absent",
    "request.headers.bad name",
    "request.size",
    "request.nothing",
    "response",
    "response.code",
    "response.code_details",
    "response.flags",
    "response.grpc_status",
    "response.size",
    "response.headers.x-up",
    "response.trailers.x-trail",
    "connection.mtls",
    "connection.requested_server_name",
    "connection.termination_details",
    "connection.transport_failure_reason",
    "connection.tls_version",
    "connection.subject_peer_certificate",
    "connection.subject_local_certificate",
    "connection.uri_san_peer_certificate",
    "connection.dns_san_peer_certificate",
    "connection.sha256_peer_certificate_digest",
    "connection.peer_certificate",
    "upstream.tls_version",
    "upstream.transport_failure_reason",
    "upstream.subject_peer_certificate",
    "plugin_name",
    "plugin_root_id",
    "plugin_vm_id",
    "node",
    "route_name",
    "cluster_name",
    "xds",
    "xds.cluster_name",
    "xds.route_name",
    "xds.virtual_host_name",
    "xds.listener_direction",
    "xds.filter_chain_name",
    "xds.upstream_host_metadata",
    "metadata",
    "metadata.filter_metadata",
    "filter_state",
    "filter_state.absent",
    "probe_set",
    "probe_do.x",
    "filter_state.wasm.probe_set",
];

/// Properties whose values differ from run to run.
const LENGTHS: &[&str] = &[
    "request.time",
    "request.id",
    "connection.id",
    "connection_id",
    "source.port",
    "destination.port",
    "upstream.port",
    "upstream.num_endpoints",
    "request.duration",
    "upstream.request_attempt_count",
    "upstream.cx_pool_ready_duration",
    "response.backend_latency",
    "xds.node",
    "xds.cluster_metadata",
    "xds.route_metadata",
    "xds.listener_metadata",
];

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

/// Every function, good calls and bad ones.
pub(crate) fn everything(here: &Here) {
    some(here);
    maps(here);
    buffers(here);
    general(here);
    shared(here);
    queues(here);
    metrics(here);
    properties(here);
    callouts(here);
    foreign_functions(here);
    wasi(here);
    some(here);
}

fn maps(here: &Here) {
    let ((name, length), (value, size)) = (at(b"X-Added"), at(b"1"));
    let mixed = pairs(&[(b"x-set", b"a"), (b"x-set", b"b")]);
    let (broken, broken_length) = at(mixed.split_last().map_or(&[], |(_, rest)| rest));
    let ((mixed, mixed_length), (joined, joined_length)) = (at(&mixed), at(b"accept"));
    for map in MAPS {
        // SAFETY: names and values live until the calls return, or are where no memory is.
        unsafe {
            let tell = |what: &str, status| here.tell(&format!("map {map} {what}"), status, "");
            tell("add", abi::proxy_add_header_map_value(map, name, length, value, size));
            tell("add again", abi::proxy_add_header_map_value(map, name, length, value, size));
            tell("add to one", abi::proxy_add_header_map_value(map, joined, joined_length, value, size));
            tell("add to one", abi::proxy_add_header_map_value(map, joined, joined_length, value, size));
            tell("add from nowhere", abi::proxy_add_header_map_value(map, NOWHERE, 32, value, size));
            tell("replace", abi::proxy_replace_header_map_value(map, name, length, value, 0));
            tell("replace with nothing", abi::proxy_replace_header_map_value(map, name, length, NOWHERE, 32));
            let (status, list) = given(|address, size| abi::proxy_get_header_map_pairs(map, address, size));
            here.tell(&format!("map {map} pairs"), status, names(&list));
            tell("remove", abi::proxy_remove_header_map_value(map, name, length));
            tell("remove again", abi::proxy_remove_header_map_value(map, name, length));
            tell("remove from nowhere", abi::proxy_remove_header_map_value(map, NOWHERE, 32));
            tell(
                "get to nowhere",
                abi::proxy_get_header_map_value(map, joined, joined_length, NOWHERE as _, NOWHERE as _),
            );
            tell("pairs to nowhere", abi::proxy_get_header_map_pairs(map, NOWHERE as _, NOWHERE as _));
            tell("size to nowhere", abi::proxy_get_header_map_size(map, NOWHERE as _));
            tell("set from nowhere", abi::proxy_set_header_map_pairs(map, NOWHERE, 32));
            let (status, value) = header(map, b"accept");
            here.tell(&format!("map {map} joined"), status, value);
            tell("remove joined", abi::proxy_remove_header_map_value(map, joined, joined_length));
            // Trailers may be lost without harm.
            if map == 1 || map == 3 || map > 7 {
                tell("set", abi::proxy_set_header_map_pairs(map, mixed, mixed_length));
                let (status, list) =
                    given(|address, size| abi::proxy_get_header_map_pairs(map, address, size));
                here.tell(&format!("map {map} pairs"), status, names(&list));
                tell("set what is cut off", abi::proxy_set_header_map_pairs(map, broken, broken_length));
                let (status, list) =
                    given(|address, size| abi::proxy_get_header_map_pairs(map, address, size));
                here.tell(&format!("map {map} pairs"), status, names(&list));
            }
        }
    }
}

fn buffers(here: &Here) {
    let (bytes, length) = at(b"PROBE");
    for buffer in BUFFERS {
        // SAFETY: the bytes live until the calls return, or are where no memory is.
        unsafe {
            let tell = |what: &str, status| here.tell(&format!("buffer {buffer} {what}"), status, "");
            tell("get to nowhere", abi::proxy_get_buffer_bytes(buffer, 0, 4, NOWHERE as _, NOWHERE as _));
            tell("status to nowhere", abi::proxy_get_buffer_status(buffer, NOWHERE as _, NOWHERE as _));
            tell("set from nowhere", abi::proxy_set_buffer_bytes(buffer, 0, 4, NOWHERE, 32));
            tell("set in the middle", abi::proxy_set_buffer_bytes(buffer, 2, 1, bytes, length));
            tell("set in front", abi::proxy_set_buffer_bytes(buffer, 0, 0, bytes, length));
            tell("set the front", abi::proxy_set_buffer_bytes(buffer, 0, 2, bytes, length));
            tell("set behind", abi::proxy_set_buffer_bytes(buffer, 5000, 2, bytes, length));
            tell("set nothing", abi::proxy_set_buffer_bytes(buffer, 0, 3, bytes, 0));
            let (status, bytes) =
                given(|address, size| abi::proxy_get_buffer_bytes(buffer, 0, 99, address, size));
            here.tell(&format!("buffer {buffer} then"), status, bytes);
        }
    }
}

fn general(here: &Here) {
    let mut time = 0_u64;
    // SAFETY: the host writes to addresses that are ours, or where no memory is.
    unsafe {
        here.tell("log from nowhere", abi::proxy_log(2, NOWHERE, 32), "");
        here.tell("log at level 6", abi::proxy_log(6, 0, 0), "");
        here.tell("log level to nowhere", abi::proxy_get_log_level(NOWHERE as _), "");
        let (status, level) = number(|level| abi::proxy_get_log_level(level));
        here.tell("log level", status, level.to_string());
        here.tell(
            "time",
            abi::proxy_get_current_time_nanoseconds(&raw mut time),
            (time > 1 << 60).to_string(),
        );
        here.tell("time to nowhere", abi::proxy_get_current_time_nanoseconds(NOWHERE as _), "");
        here.tell("no ticks", abi::proxy_set_tick_period_milliseconds(0), "");
        here.tell("effective context 0", abi::proxy_set_effective_context(0), "");
        here.tell("effective context 99999", abi::proxy_set_effective_context(99_999), "");
        here.tell("done", abi::proxy_done(), "");
        for stream in [2, 3, 4, u32::MAX] {
            here.tell(&format!("continue {stream}"), abi::proxy_continue_stream(stream), "");
            here.tell(&format!("close {stream}"), abi::proxy_close_stream(stream), "");
        }
        let reply = abi::proxy_send_local_response;
        here.tell("reply from nowhere", reply(403, NOWHERE, 32, 0, 0, 0, 0, 0), "");
        here.tell("reply from nowhere", reply(403, 0, 0, NOWHERE, 32, 0, 0, 0), "");
        here.tell("reply from nowhere", reply(403, 0, 0, 0, 0, NOWHERE, 32, 0), "");
    }
}

fn shared(here: &Here) {
    let key = format!("probe {}", here.name());
    let ((key, length), (one, size)) = (at(key.as_bytes()), at(b"one"));
    let get = |what: &str, key: usize, length: usize| {
        let mut version = 0;
        // SAFETY: the key lives until the call returns, or is where no memory is.
        let (status, value) = given(|address, size| unsafe {
            abi::proxy_get_shared_data(key, length, address, size, &raw mut version)
        });
        here.tell(
            &format!("shared data {what}"),
            status,
            format!("{} {}", value.escape_ascii(), version != 0),
        );
        version as u32
    };
    get("absent", key, length);
    // SAFETY: keys and values live until the calls return, or are where no memory is.
    unsafe {
        let set = abi::proxy_set_shared_data;
        here.tell("shared data of a version that is not", set(key, length, one, size, 77_777), "");
        let version = get("first", key, length);
        here.tell("shared data as it was", set(key, length, one, 0, version), "");
        let newer = get("second", key, length);
        here.tell("shared data grows older", u32::from(newer <= version), "");
        here.tell("shared data of an old version", set(key, length, one, size, version), "");
        here.tell("shared data of any version", set(key, length, one, size, 0), "");
        here.tell("shared data without a key", set(key, 0, one, size, 0), "");
        get("without a key", key, 0);
        here.tell("shared data from nowhere", set(NOWHERE, 32, one, size, 0), "");
        here.tell("shared data from nowhere", set(key, length, NOWHERE, 32, 0), "");
        get("from nowhere", NOWHERE, 32);
        let nowhere = abi::proxy_get_shared_data(key, length, NOWHERE as _, NOWHERE as _, NOWHERE as _);
        here.tell("shared data to nowhere", nowhere, "");
    }
}

fn queues(here: &Here) {
    let name = format!("probe {}", here.name());
    let ((name, length), (item, size)) = (at(name.as_bytes()), at(b"item"));
    // SAFETY: names and items live until the calls return, or are where no memory is.
    unsafe {
        let resolve = |what: &str, vm: &[u8]| {
            let (vm, vm_length) = at(vm);
            let (status, token) =
                number(|token| abi::proxy_resolve_shared_queue(vm, vm_length, name, length, token));
            here.tell(&format!("queue {what}"), status, token.to_string());
        };
        resolve("that is not", b"");
        let (status, token) = number(|token| abi::proxy_register_shared_queue(name, length, token));
        here.tell("queue registered", status, token.to_string());
        let (status, again) = number(|token| abi::proxy_register_shared_queue(name, length, token));
        here.tell("queue registered again", status, again.to_string());
        resolve("resolved", b"");
        resolve("resolved by vm", b"probe");
        resolve("of another vm", b"other");
        let token = token as u32;
        here.tell(
            "queue empty",
            given(|address, size| abi::proxy_dequeue_shared_queue(token, address, size)).0,
            "",
        );
        here.tell("enqueue", abi::proxy_enqueue_shared_queue(token, item, size), "");
        here.tell("enqueue nothing", abi::proxy_enqueue_shared_queue(token, item, 0), "");
        here.tell("enqueue from nowhere", abi::proxy_enqueue_shared_queue(token, NOWHERE, 32), "");
        here.tell("enqueue into none", abi::proxy_enqueue_shared_queue(9999, item, size), "");
        for _ in 0..3 {
            let (status, item) = given(|address, size| abi::proxy_dequeue_shared_queue(token, address, size));
            here.tell("dequeue", status, item);
        }
        here.tell(
            "dequeue from none",
            given(|address, size| abi::proxy_dequeue_shared_queue(9999, address, size)).0,
            "",
        );
        here.tell(
            "register from nowhere",
            number(|token| abi::proxy_register_shared_queue(NOWHERE, 32, token)).0,
            "",
        );
        here.tell("register to nowhere", abi::proxy_register_shared_queue(name, length, NOWHERE as _), "");
        here.tell(
            "resolve to nowhere",
            abi::proxy_resolve_shared_queue(NOWHERE, 0, name, length, NOWHERE as _),
            "",
        );
    }
}

fn metrics(here: &Here) {
    // SAFETY: names live until the calls return, or are where no memory is.
    unsafe {
        for kind in 0..4 {
            let name = format!("probe_{}_{kind}", here.name());
            let (name, length) = at(name.as_bytes());
            let (status, id) = number(|id| abi::proxy_define_metric(kind, name, length, id));
            here.tell(&format!("metric {kind} defined"), status, (id % 4).to_string());
            let id = id as u32;
            for by in [2, 0, -1] {
                here.tell(&format!("metric {kind} increment {by}"), abi::proxy_increment_metric(id, by), "");
            }
            here.tell(&format!("metric {kind} record"), abi::proxy_record_metric(id, 5), "");
            let mut value = 0_u64;
            here.tell(&format!("metric {kind} get"), abi::proxy_get_metric(id, &raw mut value), "");
            here.tell(&format!("metric {kind} value"), 0, value.to_string());
            here.tell(&format!("metric {kind} get to nowhere"), abi::proxy_get_metric(id, NOWHERE as _), "");
        }
        for id in [3, 4000, 4001, 4002] {
            here.tell(&format!("metric id {id} increment"), abi::proxy_increment_metric(id, 1), "");
            here.tell(&format!("metric id {id} record"), abi::proxy_record_metric(id, 1), "");
            let mut value = 0_u64;
            here.tell(&format!("metric id {id} get"), abi::proxy_get_metric(id, &raw mut value), "");
        }
        here.tell("metric from nowhere", number(|id| abi::proxy_define_metric(0, NOWHERE, 32, id)).0, "");
    }
}

fn properties(here: &Here) {
    let ((name, length), (value, size)) = (at(b"probe_set"), at(b"value"));
    // SAFETY: names and values live until the calls return, or are where no memory is.
    unsafe {
        here.tell("set property", abi::proxy_set_property(name, length, value, size), "");
        here.tell("set property to nothing", abi::proxy_set_property(name, length, value, 0), "");
        here.tell("set property without a name", abi::proxy_set_property(name, 0, value, size), "");
        here.tell("set property from nowhere", abi::proxy_set_property(NOWHERE, 32, value, size), "");
        here.tell("set property from nowhere", abi::proxy_set_property(name, length, NOWHERE, 32), "");
        here.tell("set property", abi::proxy_set_property(name, length, value, size), "");
        here.tell(
            "property from nowhere",
            abi::proxy_get_property(NOWHERE, 32, NOWHERE as _, NOWHERE as _),
            "",
        );
        here.tell(
            "property to nowhere",
            abi::proxy_get_property(name, length, NOWHERE as _, NOWHERE as _),
            "",
        );
    }
}

fn callouts(here: &Here) {
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

fn foreign_functions(here: &Here) {
    let tell = |name: &str, arguments: &[u8]| {
        let (status, result) = foreign(name.as_bytes(), arguments);
        here.tell(&format!("foreign {name} {}", arguments.escape_ascii()), status, result);
    };
    tell("nothing_of_that_name", b"");
    let (status, packed) = foreign(b"compress", b"probe probe probe");
    here.tell("foreign compress", status, "");
    let (status, unpacked) = foreign(b"uncompress", &packed);
    here.tell("foreign uncompress", status, unpacked);
    tell("uncompress", b"this is not compressed");
    tell("verify_signature", b"");
    tell("verify_signature", b"\xff\xff");
    tell("verify_signature", b"\x0a\x06sha256\x12\x03abc\x1a\x03sig\x22\x04text");
    tell("verify_signature", b"\x0a\x03md5\x12\x03abc\x1a\x03sig\x22\x04text");
    tell("sign", b"");
    tell("sign", b"\x0a\x06sha256\x12\x03abc\x1a\x04text");
    tell("declare_property", b"\xff");
    let declared = format!("\x0a{}p{}\x10\x01", char::from(here.name().len() as u8 + 1), here.name());
    tell("declare_property", declared.as_bytes());
    tell("declare_property", declared.as_bytes());
    tell("set_envoy_filter_state", b"\xff");
    tell("set_envoy_filter_state", b"\x0a\x04none\x12\x01x");
    tell("set_envoy_filter_state", b"\x0a\x0cenvoy.string\x12\x01x");
    tell("clear_route_cache", b"");
    tell("expr_create", b"1");
    // SAFETY: these are addresses where no memory is.
    unsafe {
        let call = abi::proxy_call_foreign_function;
        here.tell("foreign from nowhere", call(NOWHERE, 32, 0, 0, NOWHERE as _, NOWHERE as _), "");
    }
}

fn wasi(here: &Here) {
    let mut number = 0_usize;
    let mut time = 0_u64;
    let (bytes, _) = at(&[0; 64]);
    let (text, length) = at(b"probe standard output\n");
    let piece = [text, length];
    let piece = (&raw const piece) as usize;
    // SAFETY: the host writes to addresses that are ours, or where no memory is.
    unsafe {
        let number = &raw mut number;
        for file in [0, 1, 2, 3, 99] {
            here.tell(
                &format!("fd_write {file}"),
                abi::fd_write(file, piece, 1, number),
                (*number).to_string(),
            );
            here.tell(&format!("fd_read {file}"), abi::fd_read(file, piece, 1, number), "");
            here.tell(&format!("fd_seek {file}"), abi::fd_seek(file, 0, 0, number), "");
            here.tell(&format!("fd_close {file}"), abi::fd_close(file), "");
            here.tell(&format!("fd_fdstat_get {file}"), abi::fd_fdstat_get(file, bytes), "");
            here.tell(&format!("fd_prestat_get {file}"), abi::fd_prestat_get(file, bytes), "");
            here.tell(&format!("fd_prestat_dir_name {file}"), abi::fd_prestat_dir_name(file, bytes, 9), "");
        }
        here.tell("fd_write from nowhere", abi::fd_write(1, NOWHERE, 2, number), "");
        here.tell("fd_write to nowhere", abi::fd_write(1, piece, 0, NOWHERE as _), "");
        here.tell("environ_sizes_get", abi::environ_sizes_get(number, number), (*number).to_string());
        here.tell("environ_get", abi::environ_get(bytes, bytes), "");
        here.tell("environ_sizes_get to nowhere", abi::environ_sizes_get(NOWHERE as _, NOWHERE as _), "");
        here.tell("args_sizes_get", abi::args_sizes_get(number, number), (*number).to_string());
        here.tell("args_get", abi::args_get(bytes, bytes), "");
        for clock in 0..4 {
            here.tell(&format!("clock {clock}"), abi::clock_time_get(clock, 1, &raw mut time), "");
        }
        here.tell("clock to nowhere", abi::clock_time_get(0, 1, NOWHERE as _), "");
        here.tell("random_get", abi::random_get(bytes, 16), "");
        here.tell("random_get of nothing", abi::random_get(bytes, 0), "");
        here.tell("random_get to nowhere", abi::random_get(NOWHERE, 32), "");
    }
}

/// Edits headers and bodies, so that client and upstream see it.
pub(crate) fn edit(here: &Here) {
    let map = match here.name() {
        "request_headers" => 0,
        "request_trailers" => 1,
        "response_headers" => 2,
        "response_trailers" => 3,
        _ => 8,
    };
    let ((name, length), (value, size)) = (at(b"x-edited"), at(b"by the probe"));
    let (bytes, bytes_length) = at(b"EDITED");
    // SAFETY: names and values live until the calls return.
    unsafe {
        here.tell("edit", abi::proxy_add_header_map_value(map, name, length, value, size), "");
        let buffer = u32::from(here.name().starts_with("response"));
        here.tell("edit body", abi::proxy_set_buffer_bytes(buffer, 0, 2, bytes, bytes_length), "");
    }
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
