//! From a path to a value.

use std::time::Duration;

use super::attributes::{
    Address, Attributes, Certificate, Connection, Metadata, Node, Plugin, Progress, Tls,
};
use super::filter_state::FilterState;
use super::value::Value;
use crate::Status;
use crate::clusters::status_of_http;
use crate::headers::HeaderMap;

/// What a context can reach: the plugin always, a stream if it belongs to one.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The plugin.
    pub plugin: &'a Plugin,
    /// The stream, for the contexts of streams. Root contexts have none, and find almost nothing.
    pub stream: Option<StreamScope<'a>>,
}

/// What the context of a stream can reach.
#[derive(Clone, Copy)]
pub struct StreamScope<'a> {
    /// What surrounds the stream.
    pub attributes: &'a Attributes,
    /// How far the stream is.
    pub progress: &'a dyn Progress,
    /// What was set on it.
    pub filter_state: &'a FilterState,
}

/// The bytes of a property (`proxy_get_property`).
///
/// # Errors
/// [`Status::NotFound`] if something on the path is absent. [`Status::SerializationFailure`] if the path is empty or
/// ends where there is no single value. [`Status::Unimplemented`] if the path leads into a property that was declared as
/// protobuf or flat buffer: Envoy would read it by its schema, this host has none.
pub fn get(path: &[u8], scope: Scope<'_>) -> Result<Vec<u8>, Status> {
    if path.is_empty() {
        return Err(Status::SerializationFailure);
    }
    // A NUL at the end ends the last name and does not begin another one.
    let mut names = path.strip_suffix(&[0]).unwrap_or(path).split(|byte| *byte == 0).peekable();
    let first = names.next().unwrap_or_default();
    let mut place = top(first, names.peek().is_none(), scope)?;
    for name in names {
        place = match place {
            Place::Table(table) => table(name, scope).ok_or(Status::NotFound)?,
            Place::Headers(headers) => {
                let headers = headers.filter(|_| is_header_name(name)).ok_or(Status::NotFound)?;
                headers.joined(name).map(|value| Place::Value(Value::Text(value))).ok_or(Status::NotFound)?
            }
            Place::FilterState(state) => Place::Value(state.object(name)?),
            Place::Value(value) => Place::Value(value.part(name)?),
        };
    }
    match place {
        Place::Table(_) | Place::FilterState(_) => Err(Status::SerializationFailure),
        Place::Headers(headers) => all_headers(headers).serialise(),
        Place::Value(value) => value.serialise(),
    }
}

/// Where a path has led so far.
enum Place<'a> {
    /// One of Envoy's tables of names, which cannot be listed.
    Table(fn(&[u8], Scope<'a>) -> Option<Place<'a>>),
    Headers(Option<&'a HeaderMap>),
    FilterState(&'a FilterState),
    Value(Value),
}

fn top<'a>(name: &[u8], last: bool, scope: Scope<'a>) -> Result<Place<'a>, Status> {
    if name == b"xds" {
        return Ok(Place::Table(xds));
    }
    if let Some(stream) = scope.stream {
        let table: Option<Place<'a>> = match name {
            b"request" => Some(Place::Table(request)),
            b"response" => Some(Place::Table(response)),
            b"connection" => Some(Place::Table(connection)),
            b"upstream" => Some(Place::Table(upstream)),
            b"source" => Some(Place::Table(source)),
            b"destination" => Some(Place::Table(destination)),
            b"metadata" => Some(Place::Value(metadata(&stream.attributes.dynamic_metadata))),
            b"filter_state" => Some(Place::FilterState(stream.filter_state)),
            _ => None,
        };
        if let Some(place) = table {
            return Ok(place);
        }
    }
    let value = match name {
        b"plugin_name" => Value::text(&scope.plugin.name),
        b"plugin_root_id" => Value::text(&scope.plugin.root_id),
        b"plugin_vm_id" => Value::text(&scope.plugin.vm_id),
        b"connection_id" => {
            let id = scope.stream.and_then(|stream| stream.attributes.connection.as_ref()).map(|it| it.id);
            Value::Uint(id.ok_or(Status::NotFound)?)
        }
        _ => scope.stream.ok_or(Status::NotFound)?.filter_state.property(name, last)?,
    };
    Ok(Place::Value(value))
}

fn request<'a>(name: &[u8], scope: Scope<'a>) -> Option<Place<'a>> {
    let progress = scope.stream?.progress;
    let headers = progress.request_headers();
    let header = |name: &str| headers?.get(name).map(Value::text);
    let path = || headers.map(|headers| headers.get(":path").unwrap_or_default());
    let byte_size = headers.map_or(0, HeaderMap::byte_size) as u64;
    let value = match name {
        b"headers" => return Some(Place::Headers(headers)),
        b"headers_bytes" => int(byte_size),
        b"time" => int(progress.started()),
        b"size" => match header("content-length") {
            Some(Value::Text(length)) => Value::Int(simple_int(&length)?),
            _ => int(progress.bytes_received()),
        },
        b"total_size" => int(progress.bytes_received().saturating_add(byte_size)),
        b"duration" => nanoseconds(progress.duration()?),
        b"protocol" => Value::text(progress.protocol()?),
        b"path" => header(":path")?,
        b"url_path" => {
            let path = path()?;
            Value::text(path.split(|byte| *byte == b'?').next().unwrap_or_default())
        }
        b"host" => header(":authority")?,
        b"scheme" => header(":scheme")?,
        b"method" => header(":method")?,
        b"referer" => header("referer")?,
        b"id" => header("x-request-id")?,
        b"useragent" => header("user-agent")?,
        b"query" => {
            let query = path()?.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default();
            Value::text(query.split(|byte| *byte == b'#').next().unwrap_or_default())
        }
        _ => return None,
    };
    Some(Place::Value(value))
}

fn response<'a>(name: &[u8], scope: Scope<'a>) -> Option<Place<'a>> {
    let progress = scope.stream?.progress;
    let (headers, trailers) = (progress.response_headers(), progress.response_trailers());
    let size = |map: Option<&HeaderMap>| map.map_or(0, HeaderMap::byte_size) as u64;
    let value = match name {
        b"code" => Value::Int(progress.response_code()?.into()),
        b"size" => int(progress.bytes_sent()),
        b"headers" => return Some(Place::Headers(headers)),
        b"headers_bytes" => int(size(headers)),
        b"trailers" => return Some(Place::Headers(trailers)),
        b"flags" => int(progress.response_flags()),
        b"grpc_status" => {
            let written = |map: Option<&HeaderMap>| map?.get("grpc-status").map(written_grpc_status);
            let inferred = || progress.response_code().map(|code| status_of_http(code).into());
            Value::Int(written(trailers).or_else(|| written(headers)).or_else(inferred)?)
        }
        b"total_size" => {
            int(progress.bytes_sent().saturating_add(size(headers)).saturating_add(size(trailers)))
        }
        b"code_details" => Value::text(progress.response_code_details()?),
        b"backend_latency" => nanoseconds(progress.backend_latency()?),
        _ => return None,
    };
    Some(Place::Value(value))
}

fn connection<'a>(name: &[u8], scope: Scope<'a>) -> Option<Place<'a>> {
    let connection = scope.stream?.attributes.connection.as_ref()?;
    let value = match name {
        b"mtls" => Value::Bool(connection.tls.as_ref().is_some_and(|tls| tls.peer.is_some())),
        b"requested_server_name" => Value::text(&connection.requested_server_name),
        b"id" => Value::Uint(connection.id),
        b"termination_details" => Value::text(connection.termination_details.as_ref()?),
        b"transport_failure_reason" => non_empty(&connection.transport_failure_reason)?,
        _ => certificate(name, connection.tls.as_ref()?)?,
    };
    Some(Place::Value(value))
}

fn upstream<'a>(name: &[u8], scope: Scope<'a>) -> Option<Place<'a>> {
    let StreamScope { attributes, progress, .. } = scope.stream?;
    // Before the request goes on, no host has been chosen.
    let upstream = attributes.upstream.as_ref().filter(|_| progress.attempts().is_some());
    let value = match name {
        b"address" => Value::text(upstream?.address.as_ref()?.to_string()),
        b"port" => port(upstream?.address.as_ref()?)?,
        b"local_address" => Value::text(upstream?.local_address.as_ref()?.to_string()),
        b"transport_failure_reason" => Value::text(&upstream?.transport_failure_reason),
        b"cx_pool_ready_duration" => nanoseconds(upstream?.pool_ready?),
        b"request_attempt_count" => Value::Uint(progress.attempts().unwrap_or(0).into()),
        b"num_endpoints" => Value::Uint(attributes.cluster.as_ref()?.endpoints),
        _ => certificate(name, upstream?.tls.as_ref()?)?,
    };
    Some(Place::Value(value))
}

fn source<'a>(name: &[u8], scope: Scope<'a>) -> Option<Place<'a>> {
    peer(name, scope, |connection| &connection.source)
}

fn destination<'a>(name: &[u8], scope: Scope<'a>) -> Option<Place<'a>> {
    peer(name, scope, |connection| &connection.destination)
}

fn peer<'a>(name: &[u8], scope: Scope<'a>, which: fn(&Connection) -> &Address) -> Option<Place<'a>> {
    let address = which(scope.stream?.attributes.connection.as_ref()?);
    let value = match name {
        b"address" => Value::text(address.to_string()),
        b"port" => port(address)?,
        _ => return None,
    };
    Some(Place::Value(value))
}

fn xds<'a>(name: &[u8], scope: Scope<'a>) -> Option<Place<'a>> {
    if name == b"node" {
        return Some(Place::Value(node(&scope.plugin.node)));
    }
    let StreamScope { attributes, progress, .. } = scope.stream?;
    let upstream = attributes.upstream.as_ref().filter(|_| progress.attempts().is_some());
    let (route, cluster) = (attributes.route.as_ref(), attributes.cluster.as_ref());
    let virtual_host = || route?.virtual_host.as_ref();
    let value = match name {
        b"cluster_name" => Value::text(&cluster?.name),
        b"cluster_metadata" => metadata(&cluster?.metadata),
        b"route_name" => Value::text(&route?.name),
        b"route_metadata" => metadata(&route?.metadata),
        b"virtual_host_name" => Value::text(&virtual_host()?.name),
        b"virtual_host_metadata" => metadata(&virtual_host()?.metadata),
        // A host without metadata has an empty pointer there, which cannot be written down.
        b"upstream_host_metadata" => upstream?.metadata.as_ref().map_or(Value::Null, metadata),
        b"filter_chain_name" => Value::text(&attributes.filter_chain_name),
        b"listener_metadata" => metadata(&attributes.listener.as_ref()?.metadata),
        b"listener_direction" => Value::Int(attributes.listener.as_ref()?.direction),
        _ => return None,
    };
    Some(Place::Value(value))
}

/// The names about certificates. The subject of a peer without certificate is there and empty.
fn certificate(name: &[u8], tls: &Tls) -> Option<Value> {
    let none = Certificate::default();
    let peer = tls.peer.as_ref().unwrap_or(&none);
    Some(match name {
        b"tls_version" => Value::text(&tls.version),
        b"subject_local_certificate" => Value::text(&tls.local.subject),
        b"subject_peer_certificate" => Value::text(&peer.subject),
        b"uri_san_local_certificate" => Value::text(tls.local.uri_sans.first()?),
        b"uri_san_peer_certificate" => Value::text(peer.uri_sans.first()?),
        b"dns_san_local_certificate" => Value::text(tls.local.dns_sans.first()?),
        b"dns_san_peer_certificate" => Value::text(peer.dns_sans.first()?),
        b"sha256_peer_certificate_digest" => non_empty(&peer.sha256)?,
        b"peer_certificate" => Value::text(&tls.peer.as_ref()?.url_encoded_pem),
        _ => return None,
    })
}

fn node(node: &Node) -> Value {
    let locality = vec![
        (1, "region", Value::text(&node.region)),
        (2, "zone", Value::text(&node.zone)),
        (3, "sub_zone", Value::text(&node.sub_zone)),
    ];
    Value::Message(vec![
        (1, "id", Value::text(&node.id)),
        (2, "cluster", Value::text(&node.cluster)),
        (3, "metadata", Value::Map(node.metadata.clone())),
        (4, "locality", Value::Message(locality)),
    ])
}

fn metadata(metadata: &Metadata) -> Value {
    let spaces =
        metadata.iter().map(|(name, entries)| (name.clone().into_bytes(), Value::Map(entries.clone())));
    Value::Message(vec![(1, "filter_metadata", Value::MessageMap(spaces.collect()))])
}

/// All headers as one map; repeated ones are joined.
fn all_headers(headers: Option<&HeaderMap>) -> Value {
    let mut entries: Vec<(Vec<u8>, Value)> = Vec::new();
    for (name, _) in headers.into_iter().flat_map(HeaderMap::iter) {
        if entries.iter().all(|(seen, _)| seen != name) {
            let joined = headers.and_then(|headers| headers.joined(name)).unwrap_or_default();
            entries.push((name.to_vec(), Value::Text(joined)));
        }
    }
    Value::Map(entries)
}

/// Whether Envoy takes a text for the name of a header (`HeaderUtility::headerNameIsValid`): a token of RFC 9110, with
/// a colon before it or not.
fn is_header_name(name: &[u8]) -> bool {
    let token = name.strip_prefix(b":").unwrap_or(name);
    !token.is_empty()
        && token.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn port(address: &Address) -> Option<Value> {
    match address {
        Address::Ip(address) => Some(Value::Int(address.port().into())),
        Address::Pipe(_) => None,
    }
}

fn non_empty(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| Value::text(text))
}

fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn nanoseconds(duration: Duration) -> Value {
    Value::Int(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// A number as `absl::SimpleAtoi` reads it: with spaces around it and a sign before it, but nothing else.
fn simple_int(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.trim_ascii().parse().ok()
}

/// What a `grpc-status` says; -1 for what is no status (`Grpc::Common::getGrpcStatus`).
fn written_grpc_status(text: &[u8]) -> i64 {
    simple_int(text).filter(|status| (0..=16).contains(status)).unwrap_or(-1)
}
