//! Properties: those there are, and those that a module sets.

use crate::Here;
use crate::abi::{self, NOWHERE, at, given};

pub(super) fn property(path: &[u8]) -> (u32, Vec<u8>) {
    let (path, length) = at(path);
    // SAFETY: the path lives until the call returns.
    given(|address, size| unsafe { abi::proxy_get_property(path, length, address, size) })
}

pub(super) fn properties(here: &Here) {
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

/// Properties with their values.
pub(super) const TEXTS: &[&str] = &[
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
pub(super) const LENGTHS: &[&str] = &[
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
