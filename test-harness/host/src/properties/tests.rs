use std::time::Duration;

use super::{
    Address, Attributes, Certificate, Connection, ConnectionState, FilterState, LifeSpan, Listener, Plugin,
    Progress, Prototype, Prototypes, Route, Scope, StateType, StreamScope, Tls, Upstream, UpstreamCluster,
    Value, VirtualHost, get,
};
use crate::headers::{HeaderKind, HeaderMap};
use crate::{Status, pairs};

#[derive(Default)]
struct Now {
    request: Option<HeaderMap>,
    response: Option<HeaderMap>,
    trailers: Option<HeaderMap>,
    code: Option<u16>,
    done: Option<Duration>,
    attempts: Option<u32>,
}

impl Progress for Now {
    fn request_headers(&self) -> Option<&HeaderMap> {
        self.request.as_ref()
    }
    fn response_headers(&self) -> Option<&HeaderMap> {
        self.response.as_ref()
    }
    fn response_trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }
    fn started(&self) -> u64 {
        1_700_000_000_000_000_001
    }
    fn duration(&self) -> Option<Duration> {
        self.done
    }
    fn protocol(&self) -> Option<&str> {
        Some("HTTP/1.1")
    }
    fn bytes_received(&self) -> u64 {
        10
    }
    fn bytes_sent(&self) -> u64 {
        20
    }
    fn response_code(&self) -> Option<u16> {
        self.code
    }
    fn response_code_details(&self) -> Option<&str> {
        self.code.map(|_| "via_upstream")
    }
    fn response_flags(&self) -> u64 {
        0
    }
    fn backend_latency(&self) -> Option<Duration> {
        None
    }
    fn attempts(&self) -> Option<u32> {
        self.attempts
    }
}

#[derive(Default)]
struct World {
    plugin: Plugin,
    attributes: Attributes,
    now: Now,
    state: FilterState,
}

impl World {
    fn get(&self, path: &str) -> Result<Vec<u8>, Status> {
        let stream =
            StreamScope { attributes: &self.attributes, progress: &self.now, filter_state: &self.state };
        get(path.replace('/', "\0").as_bytes(), Scope { plugin: &self.plugin, stream: Some(stream) })
    }

    fn text(&self, path: &str) -> Result<String, Status> {
        self.get(path).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    fn root(&self, path: &str) -> Result<Vec<u8>, Status> {
        get(path.replace('/', "\0").as_bytes(), Scope { plugin: &self.plugin, stream: None })
    }

    fn request(headers: &[(&str, &str)]) -> Self {
        let request = HeaderMap::from_pairs(HeaderKind::Request, headers.iter().copied());
        Self { now: Now { request: Some(request), ..Now::default() }, ..Self::default() }
    }
}

fn ok(text: &str) -> Result<String, Status> {
    Ok(text.to_owned())
}

fn int(number: i64) -> Result<Vec<u8>, Status> {
    Ok(number.to_le_bytes().to_vec())
}

#[test]
fn request_attributes_come_from_the_headers() {
    let world = World::request(&[
        (":path", "/a?b=c?d#e"),
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "a.test"),
        ("referer", "r"),
        ("x-request-id", "i"),
        ("user-agent", "u"),
        ("x-many", "1"),
        ("x-many", "2"),
    ]);
    for (path, expected) in [
        ("path", "/a?b=c?d#e"),
        ("url_path", "/a"),
        ("query", "b=c?d"),
        ("method", "GET"),
        ("scheme", "https"),
        ("host", "a.test"),
        ("referer", "r"),
        ("id", "i"),
        ("useragent", "u"),
        ("protocol", "HTTP/1.1"),
        ("headers/X-Many", "1,2"),
        ("headers/:path", "/a?b=c?d#e"),
    ] {
        assert_eq!(world.text(&format!("request/{path}")), ok(expected), "{path}");
    }
    for absent in
        ["headers/none", "headers/a b", "headers//", "nothing", "duration", "path/x", "headers/x-many/0"]
    {
        assert_eq!(world.get(&format!("request/{absent}")), Err(Status::NotFound), "{absent}");
    }
    assert_eq!(world.get("request/time"), int(1_700_000_000_000_000_001));
    assert_eq!(world.get("request/size"), int(10), "bytes received, without a content-length");
    let size = i64::try_from(world.now.request.as_ref().unwrap().byte_size()).unwrap();
    assert_eq!(world.get("request/headers_bytes"), int(size));
    assert_eq!(world.get("request/total_size"), int(size + 10));
}

#[test]
fn a_path_without_query_has_an_empty_one_and_the_size_is_what_the_client_says() {
    let world = World::request(&[(":path", "/a"), ("content-length", "12")]);
    assert_eq!((world.text("request/query"), world.text("request/url_path")), (ok(""), ok("/a")));
    assert_eq!(world.get("request/size"), int(12));
    assert_eq!(World::request(&[("content-length", "x")]).get("request/size"), Err(Status::NotFound));
    assert_eq!(World::request(&[]).get("request/path"), Err(Status::NotFound));
    assert_eq!(World::request(&[]).text("request/url_path"), ok(""));
}

#[test]
fn headers_that_are_not_lent_are_absent() {
    let world = World::default();
    for absent in ["path", "url_path", "query", "method", "headers/a"] {
        assert_eq!(world.get(&format!("request/{absent}")), Err(Status::NotFound), "{absent}");
    }
    assert_eq!(world.get("request/headers_bytes"), int(0));
    assert_eq!(world.get("request/headers"), Ok(vec![0; 4]), "an empty map");
}

#[test]
fn all_headers_are_pairs_and_repeated_ones_are_joined() {
    let world = World::request(&[("a", "1"), ("b", "2"), ("a", "3")]);
    let pairs = pairs::decode(&world.get("request/headers").unwrap());
    assert_eq!(pairs, [(b"a".to_vec(), b"1,3".to_vec()), (b"b".to_vec(), b"2".to_vec())]);
}

#[test]
fn response_attributes_are_absent_until_there_is_a_response() {
    let mut world = World::default();
    for absent in ["code", "code_details", "grpc_status", "backend_latency", "headers/a"] {
        assert_eq!(world.get(&format!("response/{absent}")), Err(Status::NotFound), "{absent}");
    }
    world.now.code = Some(503);
    assert_eq!(world.get("response/code"), int(503));
    assert_eq!(world.text("response/code_details"), ok("via_upstream"));
    assert_eq!((world.get("response/size"), world.get("response/flags")), (int(20), int(0)));
    assert_eq!(world.get("response/grpc_status"), int(14), "inferred");
    world.now.response = Some(HeaderMap::from_pairs(HeaderKind::Response, [("grpc-status", "7")]));
    assert_eq!(world.get("response/grpc_status"), int(7));
    world.now.trailers = Some(HeaderMap::from_pairs(HeaderKind::ResponseTrailers, [("grpc-status", "77")]));
    assert_eq!(world.get("response/grpc_status"), int(-1), "trailers first, and no such status");
    assert_eq!(world.text("response/trailers/grpc-status"), ok("77"));
    assert_eq!(world.get("response/total_size"), int(20 + 12 + 13));
}

#[test]
fn addresses_and_ports_belong_to_the_connection() {
    let mut world = World::default();
    assert_eq!(world.get("source/address"), Err(Status::NotFound));
    assert_eq!(world.get("connection_id"), Err(Status::NotFound));
    let connection =
        Connection::new(7, "192.0.2.1:4000".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap());
    world.attributes.connection = Some(connection);
    assert_eq!(world.text("source/address"), ok("192.0.2.1:4000"));
    assert_eq!(world.get("source/port"), int(4000));
    assert_eq!(world.text("destination/address"), ok("[2001:db8::1]:443"));
    assert_eq!(world.get("connection/id"), Ok(7u64.to_le_bytes().to_vec()));
    assert_eq!(world.get("connection_id"), world.get("connection/id"));
    assert_eq!(world.text("connection/requested_server_name"), ok(""));
    for absent in ["source/name", "connection/termination_details", "connection/transport_failure_reason"] {
        assert_eq!(world.get(absent), Err(Status::NotFound), "{absent}");
    }
    world.attributes.connection.as_mut().unwrap().source = Address::Pipe("/run/x".to_owned());
    assert_eq!(world.text("source/address"), ok("/run/x"));
    assert_eq!(world.get("source/port"), Err(Status::NotFound));
}

#[test]
fn certificates_are_there_as_far_as_tls_is() {
    let mut world = World::default();
    let connection = Connection::new(1, "192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap());
    world.attributes.connection = Some(connection);
    assert_eq!(world.get("connection/mtls"), Ok(vec![0]));
    assert_eq!(world.get("connection/tls_version"), Err(Status::NotFound));
    world.attributes.connection.as_mut().unwrap().tls =
        Some(Tls { version: "TLSv1.3".to_owned(), ..Tls::default() });
    assert_eq!(world.get("connection/mtls"), Ok(vec![0]));
    assert_eq!(world.text("connection/tls_version"), ok("TLSv1.3"));
    assert_eq!(world.text("connection/subject_peer_certificate"), ok(""));
    for absent in [
        "uri_san_peer_certificate",
        "dns_san_peer_certificate",
        "sha256_peer_certificate_digest",
        "peer_certificate",
    ] {
        assert_eq!(world.get(&format!("connection/{absent}")), Err(Status::NotFound), "{absent}");
    }
    let peer = Certificate {
        subject: "CN=c".to_owned(),
        uri_sans: vec!["spiffe://a".to_owned(), "spiffe://b".to_owned()],
        dns_sans: vec!["c.test".to_owned()],
        sha256: "ab".to_owned(),
        url_encoded_pem: "-----BEGIN".to_owned(),
    };
    world.attributes.connection.as_mut().unwrap().tls.as_mut().unwrap().peer = Some(peer);
    assert_eq!(world.get("connection/mtls"), Ok(vec![1]));
    for (name, expected) in [
        ("subject_peer_certificate", "CN=c"),
        ("uri_san_peer_certificate", "spiffe://a"),
        ("dns_san_peer_certificate", "c.test"),
        ("sha256_peer_certificate_digest", "ab"),
        ("peer_certificate", "-----BEGIN"),
    ] {
        assert_eq!(world.text(&format!("connection/{name}")), ok(expected), "{name}");
    }
}

#[test]
fn xds_names_are_under_xds_only() {
    let mut world = World::default();
    for absent in
        ["route_name", "cluster_name", "listener_direction", "virtual_host_name", "upstream_host_metadata"]
    {
        assert_eq!(world.get(&format!("xds/{absent}")), Err(Status::NotFound), "{absent}");
    }
    let numbers = vec![(b"n".to_vec(), Value::Double(1.5)), (b"t".to_vec(), Value::text("x"))];
    let metadata = [("ns".to_owned(), numbers)].into_iter().collect();
    world.attributes.route = Some(Route {
        name: "r".to_owned(),
        metadata,
        virtual_host: Some(VirtualHost { name: "v".to_owned(), ..VirtualHost::default() }),
    });
    world.attributes.cluster =
        Some(UpstreamCluster { name: "c".to_owned(), endpoints: 3, ..UpstreamCluster::default() });
    world.attributes.listener = Some(Listener { direction: 2, ..Listener::default() });
    for (name, expected) in
        [("route_name", "r"), ("cluster_name", "c"), ("virtual_host_name", "v"), ("filter_chain_name", "")]
    {
        assert_eq!(world.text(&format!("xds/{name}")), ok(expected), "{name}");
        assert_eq!(world.get(name), Err(Status::NotFound), "{name} is no longer at the top");
    }
    assert_eq!(world.get("xds/listener_direction"), int(2));
    assert_eq!(world.get("upstream/num_endpoints"), Ok(3u64.to_le_bytes().to_vec()));
    assert_eq!(world.get("xds/route_metadata/filter_metadata/ns/n"), Ok(1.5f64.to_le_bytes().to_vec()));
    assert_eq!(world.text("xds/route_metadata/filter_metadata/ns/t"), ok("x"));
    assert_eq!(world.get("xds/route_metadata/filter_metadata/other"), Err(Status::NotFound));
    let expected = b"\x0a\x20\x0a\x02ns\x12\x1a\
        \x0a\x0e\x0a\x01n\x12\x09\x11\0\0\0\0\0\0\xf8\x3f\
        \x0a\x08\x0a\x01t\x12\x03\x1a\x01x";
    assert_eq!(world.get("xds/route_metadata").unwrap(), expected);
}

#[test]
fn the_plugin_and_its_node_are_there_without_a_stream() {
    let mut world = World::default();
    world.plugin.name = "p".to_owned();
    world.plugin.root_id = "r".to_owned();
    world.plugin.vm_id = "v".to_owned();
    world.plugin.node.id = "n".to_owned();
    world.plugin.node.metadata =
        vec![(b"k".to_vec(), Value::List(vec![Value::text("a"), Value::Bool(true)]))];
    for (path, expected) in
        [("plugin_name", "p"), ("plugin_root_id", "r"), ("plugin_vm_id", "v"), ("xds/node/id", "n")]
    {
        assert_eq!(world.root(path).unwrap(), expected.as_bytes(), "{path}");
    }
    assert_eq!(world.root("xds/node/metadata/k/0").unwrap(), b"a");
    assert_eq!(world.root("xds/node/metadata/k/1").unwrap(), [1]);
    for absent in ["2", "-1", "x"] {
        assert_eq!(world.root(&format!("xds/node/metadata/k/{absent}")), Err(Status::NotFound));
    }
    assert_eq!(world.root("xds/node/cluster").unwrap(), b"", "a field that is not set is empty");
    assert_eq!(world.root("xds/node").unwrap()[..3], *b"\x0a\x01n");
    for absent in
        ["request/path", "source/address", "xds/route_name", "connection_id", "filter_state/x", "mine"]
    {
        assert_eq!(world.root(absent), Err(Status::NotFound), "{absent}");
    }
}

#[test]
fn what_has_no_value_of_its_own_cannot_be_written_down() {
    let world = World::request(&[]);
    for path in ["", "request", "response", "connection", "source", "xds", "filter_state", "upstream"] {
        assert_eq!(world.get(path), Err(Status::SerializationFailure), "{path}");
    }
    assert_eq!(Value::List(vec![Value::Null]).serialise(), Err(Status::SerializationFailure));
}

#[test]
fn a_nul_at_the_end_changes_nothing_and_two_ask_for_a_name_that_is_empty() {
    let world = World::request(&[(":path", "/")]);
    assert_eq!(world.text("request/path/"), ok("/"));
    assert_eq!(world.get("request/path//"), Err(Status::NotFound));
    assert_eq!(world.get("request//path"), Err(Status::NotFound));
    assert_eq!(world.get("/"), Err(Status::NotFound));
}

#[test]
fn a_property_that_was_set_is_found_by_its_name_and_in_the_filter_state() {
    let mut world = World::default();
    let none = Prototypes::default();
    assert_eq!(world.get("mine"), Err(Status::NotFound));
    world.state.set_property(b"mine", b"1", &none).unwrap();
    world.state.set_property(b"mine", b"2", &none).unwrap();
    assert_eq!((world.text("mine"), world.text("filter_state/wasm.mine")), (ok("2"), ok("2")));
    assert_eq!(world.get("mine/part"), Err(Status::NotFound));
    world.state.set_property(b"a\0b", b"lost", &none).unwrap();
    assert_eq!(world.get("a/b"), Err(Status::NotFound), "only the first name is looked up");
    world.state.set_property(b"request", b"hidden", &none).unwrap();
    assert_eq!(world.get("request"), Err(Status::SerializationFailure), "attributes come first");
}

#[test]
fn a_declared_property_keeps_what_was_declared() {
    let mut declared = Prototypes::default();
    let once = Prototype { readonly: true, ..Prototype::default() };
    declared.declare(b"once", once.clone()).unwrap();
    assert_eq!(declared.declare(b"once", once), Err(Status::BadArgument));
    let typed = Prototype { state_type: StateType::Protobuf, ..Prototype::default() };
    declared.declare(b"typed", typed).unwrap();
    let mut world = World::default();
    world.state.set_property(b"once", b"1", &declared).unwrap();
    assert_eq!(world.state.set_property(b"once", b"2", &declared), Err(Status::BadArgument));
    assert_eq!(world.text("once"), ok("1"));
    world.state.set_property(b"typed", b"\x08\x01", &declared).unwrap();
    assert_eq!(world.get("typed").unwrap(), b"\x08\x01");
    assert_eq!(world.get("typed/field"), Err(Status::Unimplemented));
}

#[test]
fn what_lives_as_long_as_the_connection_is_found_by_the_next_stream() {
    let mut declared = Prototypes::default();
    let long = Prototype { life_span: LifeSpan::Connection, ..Prototype::default() };
    declared.declare(b"long", long).unwrap();
    let connection = ConnectionState::default();
    let mut first = World { state: FilterState::new(connection.clone()), ..World::default() };
    first.state.set_property(b"long", b"1", &declared).unwrap();
    first.state.set_property(b"short", b"1", &declared).unwrap();
    let mut next = World { state: FilterState::new(connection), ..World::default() };
    assert_eq!((next.text("long"), next.get("short")), (ok("1"), Err(Status::NotFound)));
    next.state.set_property(b"long", b"2", &declared).unwrap();
    assert_eq!(first.text("long"), ok("2"));
}

#[test]
fn an_object_of_envoy_s_own_needs_a_name_and_a_value_that_envoy_knows() {
    let mut world = World::default();
    let mut set = |name: &str, value: &str| {
        world.state.set_object(name.as_bytes(), value.as_bytes(), LifeSpan::Request)
    };
    assert_eq!(set("envoy.tcp_proxy.cluster", "c"), Ok(()));
    assert_eq!(set("my.own", "c"), Err(Status::NotFound));
    for (name, good, bad) in [
        ("envoy.tcp_proxy.per_connection_idle_timeout_ms", "5", "five"),
        ("envoy.ratelimit.hits_addend", "5", "x"),
        ("envoy.upstream.dynamic_port", "80000", "http"),
        ("envoy.network.transport_socket.original_dst_address", "192.0.2.1:80", "192.0.2.1"),
        ("envoy.network.ip", "192.0.2.1", "192.0.2.1:80"),
    ] {
        assert_eq!((set(name, good), set(name, bad)), (Ok(()), Err(Status::BadArgument)), "{name}");
    }
    for name in ["envoy.tcp_proxy.disable_tunneling", "envoy.network.application_protocols"] {
        assert_eq!(set(name, "whatever"), Ok(()));
    }
    for (name, expected) in [
        ("envoy.upstream.dynamic_port", ok("80000")),
        ("envoy.network.ip", ok("192.0.2.1:0")),
        ("envoy.tcp_proxy.disable_tunneling", ok("false")),
        ("envoy.network.application_protocols", Err(Status::NotFound)),
        ("envoy.network.transport_socket.original_dst_address/ip", ok("192.0.2.1")),
        ("envoy.network.transport_socket.original_dst_address", ok("\0\0\0\0")),
    ] {
        assert_eq!(world.text(&format!("filter_state/{name}")), expected, "{name}");
    }
    assert_eq!(world.get("filter_state/envoy.network.transport_socket.original_dst_address/port"), int(80));
    assert_eq!(world.text("filter_state/envoy.tcp_proxy.cluster"), ok("c"));
    assert_eq!(
        world.get("envoy.tcp_proxy.cluster"),
        Err(Status::NotFound),
        "that is no property of a module"
    );
    world.state.set_object(b"envoy.tcp_proxy.cluster", b"d", LifeSpan::Connection).unwrap();
    assert_eq!(world.text("filter_state/envoy.tcp_proxy.cluster"), ok("c"), "not with another life span");
}

#[test]
fn the_upstream_is_there_once_it_was_chosen() {
    let mut world = World::default();
    assert_eq!(world.get("upstream/address"), Err(Status::NotFound));
    assert_eq!(world.get("upstream/request_attempt_count"), Ok(vec![0; 8]));
    world.attributes.upstream = Some(Upstream {
        address: Some(Address::Ip("192.0.2.9:8080".parse().unwrap())),
        pool_ready: Some(Duration::from_micros(3)),
        ..Upstream::default()
    });
    assert_eq!(
        world.get("upstream/address"),
        Err(Status::NotFound),
        "no host is chosen before the request goes on"
    );
    world.now.attempts = Some(1);
    assert_eq!(
        (world.text("upstream/address"), world.get("upstream/port")),
        (ok("192.0.2.9:8080"), int(8080))
    );
    assert_eq!(world.get("upstream/cx_pool_ready_duration"), int(3000));
    assert_eq!(
        world.get("xds/upstream_host_metadata"),
        Err(Status::SerializationFailure),
        "a host without any"
    );
    assert_eq!(world.text("upstream/transport_failure_reason"), ok(""));
    assert_eq!(world.get("upstream/local_address"), Err(Status::NotFound));
    assert_eq!(world.get("upstream/tls_version"), Err(Status::NotFound));
}
