//! The simulated Envoy held against the real one: one module makes every host call in both, and each line it logs must be
//! the same, and so must be what client and upstream see.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bartizan_host as host;

use crate::client::{Protocol, send};
use crate::config::{self, Settings};
use crate::envoy::Envoy;
use crate::message::{Body, Request};
use crate::upstream::{Answer, CASE_HEADER, Upstream};

/// What differs, and why that is so. A line stands for the lines whose call begins so, in callbacks whose name begins so.
const KNOWN: &[(&str, &str, &str)] = &[
    ("", "buffer 8 ", "the buffer of call data shows whatever buffer was asked for last in Envoy"),
    (
        "",
        "property xds.node",
        "the node has its version and all extensions in Envoy, and they are not modelled",
    ),
    ("", "foreign expr_create", "there is no CEL"),
    (
        "",
        "map 0 pairs = 0 :method :scheme",
        "the client chooses the order of pseudo-headers, and ours over HTTP/2 another one",
    ),
    (
        "log",
        "map 2 pairs = 0 :status x-reply",
        "the connection manager adds `date` and `connection`, and there is none",
    ),
    ("grpc_initial", "told", ROUTER),
    ("grpc_initial", "map 4 pairs", ROUTER),
    (
        "queue_ready",
        "told",
        "items that the canary enqueues are told to the main thread, whose VM has the same key",
    ),
    ("outside", "client: 200 content-length=10", FRAMING),
    ("outside", "client: no answer", FRAMING),
    ("outside", "upstream: content-length=12", FRAMING),
    (
        "",
        "property upstream.cx_pool_ready_duration",
        "it is known when upstream is connected, here when the request goes on",
    ),
    (
        "outside",
        "upstream: x-probe=one|two",
        "the upstream of this test keeps nothing of a body that breaks off",
    ),
];
const ROUTER: &str =
    "the router's `x-envoy-upstream-service-time` is not on the answers of gRPC, nor what this upstream adds";
const FRAMING: &str = "a body that is longer than its content-length says; framing is not checked";

/// What the module is to do in which callback, and whether the request has a body and trailers.
const SCENES: &[(&str, Shape)] = &[
    ("", Shape::Bare),
    ("", Shape::Body),
    ("", Shape::Trailers),
    ("all=1", Shape::Bare),
    ("all=1", Shape::Body),
    ("all=1", Shape::Trailers),
    ("request_headers=edit,request_body=edit,response_headers=edit,response_body=edit", Shape::Body),
    ("request_headers=edit,request_trailers=edit", Shape::Trailers),
    ("request_headers=reply", Shape::Bare),
    ("request_headers=reply", Shape::Body),
    ("request_headers=reply-bare", Shape::Bare),
    ("request_headers=reply-twice", Shape::Bare),
    ("request_body=reply", Shape::Body),
    ("request_headers=pause,request_body=reply", Shape::Body),
    ("request_trailers=reply", Shape::Trailers),
    ("response_headers=reply", Shape::Bare),
    ("response_body=reply", Shape::Bare),
    ("request_headers=pause", Shape::Body),
    ("request_headers=pause", Shape::Trailers),
    ("request_headers=pause,request_body=pause", Shape::Trailers),
    ("request_headers=resume", Shape::Bare),
    ("request_headers=resume", Shape::Body),
    ("request_headers=pause,request_body=resume", Shape::Body),
    ("request_headers=return-2", Shape::Body),
    ("request_headers=close-request", Shape::Bare),
    ("request_headers=close-response", Shape::Bare),
    ("response_headers=close-response", Shape::Bare),
    ("response_headers=close-request", Shape::Bare),
    // Without a body only: whether the answer of the call or the body comes first is up to the network, and the two orders
    // end differently.
    ("request_headers=http", Shape::Bare),
    ("request_headers=grpc", Shape::Bare),
    ("request_headers=grpc-stream", Shape::Bare),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `GET` over HTTP/1.1.
    Bare,
    /// `POST` over HTTP/1.1 with a body of one piece.
    Body,
    /// `POST` over HTTP/2 with a body and trailers.
    Trailers,
}

/// What was compared.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests.
    pub scenes: usize,
    /// Lines that agree.
    pub lines: usize,
    /// Lines that are known to differ, by the reason.
    pub known: BTreeMap<&'static str, usize>,
}

/// What differs, with the first scene where it does and how often it does.
type Differences = BTreeMap<String, (String, usize)>;

/// Everything that one of the two showed of a request.
#[derive(Debug, Default)]
struct Shown {
    lines: Vec<String>,
    /// What client and upstream saw.
    outside: Vec<String>,
}

/// Runs the module in both and compares.
///
/// # Errors
/// When something differs that is not known to, or no longer differs although it is said to; with all of it.
pub async fn compare() -> Result<Tally> {
    let module = config::root()?.join("dist/probe.wasm");
    let bytes = std::fs::read(&module)
        .with_context(|| format!("no module at {}; run `make host-modules`", module.display()))?;
    let upstream = Upstream::start().await?;
    let mut settings = Settings::new(module, "{}".to_owned(), upstream.address());
    settings.concurrency = 1;
    settings.vm_id = "probe".to_owned();
    let mut configuration = config::standalone(&settings)?;
    // The host has no routes that could add headers.
    let added = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/request_headers_to_add";
    *configuration.pointer_mut(added).context("the routes add no headers any more")? = serde_json::json!([]);
    let mut envoy = Envoy::start_logging(&configuration, 1, &settings.environment, "info").await?;
    let proxy = simulated(&bytes)?;

    let mut tally = Tally::default();
    let mut differences = Differences::new();
    let mut seen = 0;
    let start = ("when it is configured".to_owned(), Shown::default(), Shown::default());
    let mut pairs = vec![start];
    if let Some((_, real, simulated)) = pairs.first_mut() {
        real.lines = quiet_lines(&envoy, &mut seen, "configure: ").await?;
        simulated.lines = simulated_lines(&proxy);
    }
    for (number, (action, shape)) in SCENES.iter().enumerate() {
        let name = format!("`{action}` {shape:?}");
        let real = real_scene(&envoy, &upstream, number, action, *shape, &mut seen)
            .await
            .with_context(|| format!("{name}; envoy's log ends with\n{}", envoy.log_tail()))?;
        pairs.push((name, real, simulated_scene(&proxy, action, *shape)));
    }
    for (name, real, simulated) in pairs {
        ensure!(!real.lines.is_empty(), "{name}: the module told nothing in Envoy");
        tally.scenes += 1;
        settle(&name, &real, &simulated, &mut tally, &mut differences);
    }
    envoy.alive()?;
    envoy.stop().await;
    for (_, call, reason) in KNOWN {
        if !tally.known.contains_key(reason) {
            let text = format!("`{call}` is said to differ ({reason}), and does not any more");
            differences.insert(text, (String::new(), 1));
        }
    }
    if differences.is_empty() {
        return Ok(tally);
    }
    let shown =
        differences.iter().take(1000).map(|(text, (scene, count))| format!("{count} x {text}\n    {scene}"));
    let shown = shown.collect::<Vec<_>>().join("\n");
    bail!("{} differences between Envoy and bartizan-host:\n{shown}", differences.len())
}

/// Puts lines side by side, callback by callback, for what runs between two callbacks may come in any order.
fn settle(name: &str, real: &Shown, simulated: &Shown, tally: &mut Tally, differences: &mut Differences) {
    let callbacks = |lines: &[String]| {
        let mut grouped: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in lines {
            let (callback, call) = line.split_once(": ").unwrap_or(("", line));
            grouped.entry(callback.to_owned()).or_default().push(call.to_owned());
        }
        grouped
    };
    let (mut left, mut right) = (callbacks(&real.lines), callbacks(&simulated.lines));
    left.insert("outside".to_owned(), real.outside.clone());
    right.insert("outside".to_owned(), simulated.outside.clone());
    let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for callback in names {
        let none = Vec::new();
        let (real, simulated) = (left.get(callback).unwrap_or(&none), right.get(callback).unwrap_or(&none));
        for place in 0..real.len().max(simulated.len()) {
            let missing = "(nothing)".to_owned();
            let (one, other) =
                (real.get(place).unwrap_or(&missing), simulated.get(place).unwrap_or(&missing));
            let reason = KNOWN.iter().find(|(at, call, _)| {
                callback.starts_with(at) && (one.starts_with(call) || other.starts_with(call))
            });
            match reason {
                _ if one == other => tally.lines += 1,
                Some((.., reason)) => *tally.known.entry(reason).or_default() += 1,
                None => {
                    let text = format!("{callback}:\n    envoy {one}\n    host  {other}");
                    differences.entry(text).or_insert_with(|| (name.to_owned(), 0)).1 += 1;
                    // Other calls: what follows stands side by side by chance only.
                    if one.split(" = ").next() != other.split(" = ").next() {
                        break;
                    }
                }
            }
        }
    }
}

/// The lines of the module in Envoy's log that have not been read yet.
fn lines(envoy: &Envoy, seen: &mut usize) -> Result<Vec<String>> {
    let log = envoy.log()?;
    let all: Vec<&str> = log.lines().filter(|line| line.contains("wasm log")).collect();
    let told = all.iter().filter_map(|line| Some(line.split_once(": probe ")?.1.to_owned()));
    let new = told.clone().skip(*seen).collect();
    *seen = told.count();
    Ok(new)
}

/// The lines until one that begins so, and what comes behind it: the end is told a moment behind the answer, calls that fail end
/// behind the end, and the log is written every twentieth of a second.
async fn quiet_lines(envoy: &Envoy, seen: &mut usize, last: &str) -> Result<Vec<String>> {
    let (started, mut all, mut quiet) = (Instant::now(), Vec::new(), 0);
    while quiet < 4 || !all.iter().any(|line: &String| line.starts_with(last)) {
        ensure!(started.elapsed() < Duration::from_secs(20), "the module did not tell `{last}`");
        tokio::time::sleep(Duration::from_millis(40)).await;
        let new = lines(envoy, seen)?;
        quiet = if new.is_empty() { quiet + 1 } else { 0 };
        all.extend(new);
    }
    Ok(all)
}

/// Sends a request through Envoy and waits until the module has been told of its end.
async fn real_scene(
    envoy: &Envoy,
    upstream: &Upstream,
    number: usize,
    action: &str,
    shape: Shape,
    seen: &mut usize,
) -> Result<Shown> {
    let case = format!("scene {number}");
    let headers = vec![
        (b"x-up".to_vec(), b"1".to_vec()),
        (b"x-up".to_vec(), b"2".to_vec()),
        (b"date".to_vec(), b"today".to_vec()),
    ];
    upstream.expect(&case, Answer { status: 200, headers: headers.clone(), body: b"the answer".to_vec() });
    upstream.expect("call", Answer { status: 201, headers, body: b"told".to_vec() });
    let method = if shape == Shape::Bare { "GET" } else { "POST" };
    let mut request = Request::new(method, "/probe?a=1&b=2")
        .header("x-do", action)
        .header("x-probe", "one")
        .header("x-probe", "two")
        .header(CASE_HEADER, &case);
    request.body = match shape {
        Shape::Bare => Body::None,
        Shape::Body => Body::Sized(b"the question".to_vec()),
        Shape::Trailers => Body::Pieces {
            pieces: vec![b"the question".to_vec()],
            sized: false,
            trailers: vec![(b"x-trail".to_vec(), b"t".to_vec())],
        },
    };
    let protocol = if shape == Shape::Trailers { Protocol::Http2 } else { Protocol::Http1 };
    let answer = send(envoy.address(), None, protocol, &request).await;
    let mut shown = Shown::default();
    shown.outside.push(match &answer {
        Ok(answer) => client(answer.status, &answer.body, |name| {
            answer
                .headers
                .iter()
                .filter(|(other, _)| other == name.as_bytes())
                .map(|(_, value)| value.clone())
                .collect()
        }),
        Err(_) => "client: no answer".to_owned(),
    });
    shown.lines = quiet_lines(envoy, seen, "delete: end").await?;
    let upstream = upstream.take(&case);
    for seen in upstream {
        shown.outside.push(behind(&seen.body, |name| {
            seen.headers
                .iter()
                .filter(|(other, _)| other == name.as_bytes())
                .map(|(_, value)| value.clone())
                .collect()
        }));
    }
    Ok(shown)
}

/// What a client sees of an answer.
fn client(status: u16, body: &[u8], values: impl Fn(&str) -> Vec<Vec<u8>>) -> String {
    let names = ["content-type", "content-length", "x-up", "x-edited", "x-reply", "x-added"];
    format!("client: {status} {} {}", headers(&names, values), body.escape_ascii())
}

/// What upstream sees of a request.
fn behind(body: &[u8], values: impl Fn(&str) -> Vec<Vec<u8>>) -> String {
    let names = ["content-length", "x-probe", "x-edited", "x-added", "accept"];
    format!("upstream: {} {}", headers(&names, values), body.escape_ascii())
}

fn headers(names: &[&str], values: impl Fn(&str) -> Vec<Vec<u8>>) -> String {
    let one = |name: &&str| {
        let values: Vec<_> = values(name).into_iter().map(|value| value.escape_ascii().to_string()).collect();
        (!values.is_empty()).then(|| format!("{name}={}", values.join("|")))
    };
    names.iter().filter_map(one).collect::<Vec<_>>().join(" ")
}

/// The simulated Envoy with what the real one has around the module.
fn simulated(bytes: &[u8]) -> Result<host::Proxy> {
    use host::properties::{Attributes, Connection, Listener, Route, Upstream, UpstreamCluster, VirtualHost};
    let module = host::Module::load(bytes)?;
    let (client, envoy, upstream) =
        (([127, 0, 0, 1], 50_000).into(), ([127, 0, 0, 1], 10_000).into(), ([127, 0, 0, 1], 20_000).into());
    let attributes = Attributes {
        connection: Some(Connection::new(1, client, envoy)),
        route: Some(Route {
            virtual_host: Some(VirtualHost { name: "everything".to_owned(), ..VirtualHost::default() }),
            ..Route::default()
        }),
        cluster: Some(UpstreamCluster {
            name: "upstream".to_owned(),
            endpoints: 1,
            ..UpstreamCluster::default()
        }),
        upstream: Some(Upstream {
            address: Some(host::properties::Address::Ip(upstream)),
            metadata: Some(BTreeMap::new()),
            pool_ready: Some(Duration::from_millis(1)),
            ..Upstream::default()
        }),
        listener: Some(Listener::default()),
        ..Attributes::default()
    };
    let proxy = host::Proxy::builder(&module)
        .vm_id("probe")
        .plugin_name("bartizan")
        .root_id("bartizan")
        .allow_on_headers_stop_iteration(true)
        .failure_policy(host::FailurePolicy::Reload)
        .buffer_limit(16_777_216)
        .attributes(attributes)
        .configuration("{}")
        .start()?;
    proxy.clusters().add("upstream", |call| {
        use host::clusters::{Answer, CallKind};
        if call.kind == CallKind::Http {
            let answer = Answer::status(201).header("x-up", "1").header("x-up", "2").header("date", "today");
            answer.body("told")
        } else {
            Answer::status(200).header("content-type", "application/json").body("{}")
        }
    });
    Ok(proxy)
}

fn simulated_lines(proxy: &host::Proxy) -> Vec<String> {
    let lines = proxy.take_log().into_iter();
    lines.filter_map(|line| Some(line.message.strip_prefix("probe ")?.to_owned())).collect()
}

fn simulated_scene(proxy: &host::Proxy, action: &str, shape: Shape) -> Shown {
    let response = host::Response::new(200).header("x-up", "1").header("x-up", "2").header("date", "today");
    let response = response.header("content-length", "10").body("the answer");
    let method = if shape == Shape::Bare { "GET" } else { "POST" };
    let request = host::Request::new(method, "/probe?a=1&b=2").header("host", "api.example.com");
    let mut request = request
        .header("x-do", action)
        .header("x-probe", "one")
        .header("x-probe", "two")
        .header(CASE_HEADER, "scene")
        .upstream(response);
    request = match shape {
        Shape::Bare => request,
        Shape::Body => request.header("content-length", "12").body("the question"),
        Shape::Trailers => {
            request.body("the question").trailer("x-trail", "t").protocol(host::Protocol::Http2)
        }
    };
    // What the connection manager adds.
    let request = request
        .header("x-forwarded-proto", "http")
        .header("x-envoy-external-address", "127.0.0.1")
        .header("x-request-id", "00000000-0000-0000-0000-000000000000");
    let answer = proxy.worker(0).send(request);
    let mut shown = Shown { lines: simulated_lines(proxy), outside: Vec::new() };
    let values = |map: Option<&host::HeaderMap>, name: &str| -> Vec<Vec<u8>> {
        map.map(|map| map.values(name).map(<[u8]>::to_vec).collect()).unwrap_or_default()
    };
    shown.outside.push(if answer.outcome() == host::Outcome::Complete {
        client(answer.status(), answer.body(), |name| values(answer.headers(), name))
    } else {
        "client: no answer".to_owned()
    });
    if let Some(seen) = answer.upstream() {
        shown.outside.push(behind(&seen.body, |name| values(Some(&seen.headers), name)));
    }
    shown
}
