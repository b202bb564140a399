//! What a simulated Envoy knows of a plugin, a connection, a route and an upstream.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::value::Value;
use crate::headers::HeaderMap;

/// Metadata by namespace, as routes, clusters, listeners and streams have it: texts and numbers by name.
pub type Metadata = BTreeMap<String, Vec<(Vec<u8>, Value)>>;

/// What belongs to the plugin: it is there without a stream too.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plugin {
    /// `plugin_name`: the name in the configuration of the filter.
    pub name: String,
    /// `plugin_root_id`.
    pub root_id: String,
    /// `plugin_vm_id`.
    pub vm_id: String,
    /// `xds.node`: the Envoy itself.
    pub node: Node,
}

/// The node of an Envoy. Its other fields are not modelled and are `NotFound`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node {
    /// `id`.
    pub id: String,
    /// `cluster`.
    pub cluster: String,
    /// `metadata`.
    pub metadata: Vec<(Vec<u8>, Value)>,
    /// `locality.region`.
    pub region: String,
    /// `locality.zone`.
    pub zone: String,
    /// `locality.sub_zone`.
    pub sub_zone: String,
}

/// What surrounds a stream. Everything may be absent, and is then `NotFound`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attributes {
    /// The connection of the client. Without one there is no address and no `connection.id` either.
    pub connection: Option<Connection>,
    /// The route that was chosen.
    pub route: Option<Route>,
    /// The cluster that the route leads to.
    pub cluster: Option<UpstreamCluster>,
    /// The upstream connection.
    pub upstream: Option<Upstream>,
    /// The listener.
    pub listener: Option<Listener>,
    /// `xds.filter_chain_name`, empty if the chain has no name.
    pub filter_chain_name: String,
    /// `metadata`: the dynamic metadata of the stream.
    pub dynamic_metadata: Metadata,
}

/// An address of either end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port: `192.0.2.1:80`, `[2001:db8::1]:80`.
    Ip(SocketAddr),
    /// The path of a Unix socket, which has no port.
    Pipe(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Pipe(path) => f.write_str(path),
        }
    }
}

/// The connection of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// `connection.id` and `connection_id`.
    pub id: u64,
    /// `source.address` and `source.port`: the client.
    pub source: Address,
    /// `destination.address` and `destination.port`: Envoy's end.
    pub destination: Address,
    /// `connection.requested_server_name`: SNI, empty without one.
    pub requested_server_name: String,
    /// TLS; without it the names about certificates are absent and `connection.mtls` is false.
    pub tls: Option<Tls>,
    /// `connection.termination_details`.
    pub termination_details: Option<String>,
    /// `connection.transport_failure_reason`, absent if it is empty.
    pub transport_failure_reason: String,
}

impl Connection {
    /// A plain connection between these two.
    pub const fn new(id: u64, source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            id,
            source: Address::Ip(source),
            destination: Address::Ip(destination),
            requested_server_name: String::new(),
            tls: None,
            termination_details: None,
            transport_failure_reason: String::new(),
        }
    }
}

/// What is known of TLS on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// `tls_version`, such as `TLSv1.3`.
    pub version: String,
    /// `subject_local_certificate`, `uri_san_local_certificate`, `dns_san_local_certificate`.
    pub local: Certificate,
    /// The certificate of the other side, if it presented one: `connection.mtls` is whether there is one.
    pub peer: Option<Certificate>,
}

/// What properties tell of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificate {
    /// The subject, in the form of RFC 2253, such as `CN=client,O=Example`.
    pub subject: String,
    /// The URIs among the alternative names. Properties show the first one only.
    pub uri_sans: Vec<String>,
    /// The DNS names among the alternative names. Properties show the first one only.
    pub dns_sans: Vec<String>,
    /// The SHA-256 digest of the certificate, in hexadecimal. Shown of the peer's only.
    pub sha256: String,
    /// The certificate as PEM, encoded for a URL. Shown of the peer's only.
    pub url_encoded_pem: String,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Route {
    /// `xds.route_name`, empty if it has none.
    pub name: String,
    /// `xds.route_metadata`.
    pub metadata: Metadata,
    /// The virtual host of the route.
    pub virtual_host: Option<VirtualHost>,
}

/// A virtual host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VirtualHost {
    /// `xds.virtual_host_name`.
    pub name: String,
    /// `xds.virtual_host_metadata`.
    pub metadata: Metadata,
}

/// The cluster that a route leads to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UpstreamCluster {
    /// `xds.cluster_name`.
    pub name: String,
    /// `xds.cluster_metadata`.
    pub metadata: Metadata,
    /// `upstream.num_endpoints`.
    pub endpoints: u64,
}

/// The upstream side of a stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Upstream {
    /// `upstream.address` and `upstream.port`: the host that was chosen.
    pub address: Option<Address>,
    /// `upstream.local_address`: Envoy's end.
    pub local_address: Option<Address>,
    /// TLS towards the host; the names are those of `connection`.
    pub tls: Option<Tls>,
    /// `upstream.transport_failure_reason`.
    pub transport_failure_reason: String,
    /// `upstream.cx_pool_ready_duration`.
    pub pool_ready: Option<Duration>,
    /// `xds.upstream_host_metadata`. A host without any is not `NotFound` but `SerializationFailure`.
    pub metadata: Option<Metadata>,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listener {
    /// `xds.listener_direction`: 0 unspecified, 1 inbound, 2 outbound.
    pub direction: i64,
    /// `xds.listener_metadata`.
    pub metadata: Metadata,
}

/// How far a stream is: headers and counts, which change while it lasts.
///
/// The header maps are there only while Envoy lends them to the plugin. `decodeHeaders` in Envoy's
/// `common/wasm/context.cc` takes the request headers back as soon as the callback continues, so `request.path` is absent
/// in later callbacks, and comes back when the stream is logged. Response headers and trailers likewise.
pub trait Progress {
    /// The request headers, while they are lent.
    fn request_headers(&self) -> Option<&HeaderMap>;
    /// The response headers, while they are lent.
    fn response_headers(&self) -> Option<&HeaderMap>;
    /// The response trailers, while they are lent.
    fn response_trailers(&self) -> Option<&HeaderMap>;
    /// When the stream began, in nanoseconds since 1970.
    fn started(&self) -> u64;
    /// How long the stream lasted, once it is complete.
    fn duration(&self) -> Option<Duration>;
    /// The protocol: `HTTP/1.1`, `HTTP/2`.
    fn protocol(&self) -> Option<&str>;
    /// How many bytes of body came from the client.
    fn bytes_received(&self) -> u64;
    /// How many bytes of body went to the client.
    fn bytes_sent(&self) -> u64;
    /// The status of the response, once there is one.
    fn response_code(&self) -> Option<u16>;
    /// Why the response is as it is: `via_upstream`, or the details of a local reply.
    fn response_code_details(&self) -> Option<&str>;
    /// Envoy's response flags, as a bit field.
    fn response_flags(&self) -> u64;
    /// From the first byte sent upstream to the last byte received from there.
    fn backend_latency(&self) -> Option<Duration>;
    /// How often the request was tried upstream.
    fn attempts(&self) -> Option<u32>;
}
