//! Runs cases through the built module in a simulated Envoy.
//!
//! There is a proxy with two workers for each policy and its settings, configured as `envoy/standalone/envoy.yaml`
//! does it. Its clock moves only when told. Which worker gets a request is drawn by a seed, so that a run can be
//! repeated.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bartizan_host::clusters::{self, Call};
use bartizan_host::headers::{HeaderKind, HeaderMap};
use bartizan_host::properties::{Attributes, Certificate, Connection, ConnectionState, Tls};
use bartizan_host::{
    Answer, FailurePolicy, LogLevel, LogLine, Module, Outcome, Protocol, Proxy, Request, Response, Worker,
};

use crate::deployment::{self, Signatures};
use crate::driver::{Broken, Driver};
use crate::edge;
use crate::expand::Target;
use crate::format::{Http, WORKERS};
use crate::native::EPOCH_S;
use crate::remote::{Answered, Servers};
use crate::suite::Prepared;
use crate::wire::{Inside, Observed, Wire};

/// The name space of shared data.
const VM_ID: &str = "bartizan";

/// `request_body_buffer_limit` of the route.
const BUFFER_LIMIT: usize = 16 * 1024 * 1024;

/// Reads and compiles a module, or finds it in the cache of compiled modules.
///
/// # Errors
/// If there is none, or none that Envoy would take; the message has the remedy.
pub fn load(path: &Path) -> Result<Module, String> {
    let wasm = std::fs::read(path)
        .map_err(|e| format!("no module at {}: {}", path.display(), e.to_string().to_lowercase()))?;
    if !wasm.starts_with(b"\0asm") {
        let begin: String =
            wasm.iter().take(4).flat_map(|byte| byte.escape_ascii()).map(char::from).collect();
        return Err(format!(
            "{}: this is no wasm module: it begins with `{begin}` and not with `\\0asm`; give the file that a build for wasm left",
            path.display()
        ));
    }
    // Without a home there is no cache, and the module is compiled each time.
    let module = Module::load_cached(&wasm).or_else(|_| Module::load(&wasm));
    module.map_err(|error| format!("{}: {error}", path.display()))
}

/// What may differ between two proxies with the same policy.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Who checks signatures.
    pub signatures: Signatures,
    /// What clients speak.
    pub http: Http,
    /// What the worker of each request is drawn from.
    pub seed: u64,
}

/// A simulated Envoy with the module and a policy in it.
#[derive(Debug)]
pub struct Simulated {
    builder: bartizan_host::Builder,
    proxy: Proxy,
    settings: Settings,
    /// How many requests there were since the last fresh start.
    sent: u64,
    broken: bool,
    /// What was logged between two requests.
    between: Vec<LogLine>,
    servers: Servers,
}

impl Simulated {
    /// Puts a policy in force.
    ///
    /// # Errors
    /// If the module does not take it: what the module logged.
    pub fn start(module: &Module, prepared: &Prepared, settings: Settings) -> Result<Self, String> {
        let mut builder = Proxy::builder(module)
            .configuration(deployment::configuration(&prepared.plan, settings.signatures))
            .workers(WORKERS)
            .vm_id(VM_ID)
            .plugin_name("bartizan")
            .root_id("bartizan")
            .failure_policy(FailurePolicy::Reload)
            .allow_on_headers_stop_iteration(true)
            .buffer_limit(BUFFER_LIMIT)
            // Says why a request is refused.
            .log_level(LogLevel::Debug)
            .now(Duration::from_secs(EPOCH_S));
        for (name, value) in &prepared.secrets {
            builder = builder.variable(name, value);
        }
        let proxy = builder
            .clone()
            .start()
            .map_err(|refused| said("the policy is not taken", &refused.to_string()))?;
        let servers = prepared.servers.clone();
        let started = Self { builder, proxy, settings, sent: 0, broken: false, between: Vec::new(), servers };
        started.serve();
        Ok(started)
    }

    /// Puts the servers of the suite behind their clusters.
    fn serve(&self) {
        let servers = Arc::new(Mutex::new(self.servers.clone()));
        for cluster in self.servers.clusters() {
            let (servers, name) = (servers.clone(), cluster.to_owned());
            self.proxy.clusters().add(cluster, move |call: &Call| {
                let path = call.headers.get(":path").map(String::from_utf8_lossy).unwrap_or_default();
                let answered = servers.lock().unwrap_or_else(PoisonError::into_inner).ask(&name, &path);
                let Some(Answered { headers, body }) = answered else { return clusters::Answer::never() };
                let headers = HeaderMap::from_pairs(HeaderKind::Response, headers);
                let response = clusters::Step::Response { headers, body, trailers: None };
                clusters::Answer::step(response)
            });
        }
    }

    fn observe(&self, wire: &Wire, answer: &Answer) -> Observed {
        let upstream = answer.upstream().map(|seen| {
            let lines = |map: &bartizan_host::HeaderMap| {
                map.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect::<Vec<_>>()
            };
            let mut forwarded = edge::forwarded(lines(&seen.headers), seen.body.clone(), wire.peer);
            forwarded.trailers = seen.trailers.as_ref().map(lines).unwrap_or_default();
            forwarded
        });
        let note = match answer.outcome() {
            Outcome::Complete => None,
            Outcome::Reset => Some("the stream was reset".to_owned()),
            Outcome::Hangs => {
                Some("the request hangs: the module holds it, and nothing more will come".to_owned())
            }
        };
        let complete = answer.outcome() == Outcome::Complete;
        let headers = answer.headers().into_iter().flat_map(bartizan_host::HeaderMap::iter);
        let headers = headers.filter(|(name, _)| !name.starts_with(b":"));
        Observed {
            status: if complete { answer.status() } else { 0 },
            headers: headers.map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            body: answer.body().to_vec(),
            upstream,
            note,
            ..Observed::default()
        }
    }

    /// What the filter did beside its answer, since these were its counters. What it logged since the request before belongs
    /// to it, for nobody else looks at that.
    fn inside(&mut self, before: &BTreeMap<String, u64>) -> Inside {
        let grown = self.proxy.metrics().counters().into_iter().filter_map(|(name, count)| {
            let by = count.saturating_sub(before.get(&name).copied().unwrap_or(0));
            (by > 0).then_some((name, by))
        });
        // A suite with bad servers has lines about them at any time; what they say is held to in the adversary's scenes.
        let about_servers = |line: &LogLine| {
            let said = [" cannot be fetched: ", " are withdrawn: "];
            !self.servers.is_empty() && said.iter().any(|said| line.message.contains(said))
        };
        let lines = std::mem::take(&mut self.between).into_iter().chain(self.proxy.take_log());
        let lines = lines.filter(|line| !about_servers(line));
        Inside {
            counters: grown.collect(),
            log: lines.map(|line| (line.level >= LogLevel::Warn, line.message)).collect(),
        }
    }
}

impl Driver for Simulated {
    fn target(&self) -> Target {
        Target::Simulated(self.settings.http)
    }

    fn fresh(&mut self) -> Result<(), Broken> {
        if self.broken || !self.servers.is_empty() {
            let now = self.proxy.now();
            let started = self.builder.clone().now(now).start();
            self.proxy =
                started.map_err(|refused| Broken(said("the policy is not taken", &refused.to_string())))?;
            self.broken = false;
            self.serve();
        }
        self.sent = 0;
        // What workers know of budgets lies in shared data, and there alone.
        self.proxy.shared_data().forget(VM_ID.as_bytes());
        self.proxy.faults().clear();
        self.proxy.take_log();
        self.between.clear();
        Ok(())
    }

    fn now(&self) -> Duration {
        self.proxy.now()
    }

    fn wait(&mut self, time: Duration) {
        self.proxy.advance(time);
    }

    fn send(&mut self, wire: &Wire) -> Result<Observed, Broken> {
        let drawn = draw(self.settings.seed, wire.number, self.sent);
        let worker = self.proxy.worker(wire.simulate.worker.unwrap_or(drawn));
        self.sent = self.sent.saturating_add(1);
        let before = self.proxy.metrics().counters();
        self.between = self.proxy.take_log();
        for fault in &wire.simulate.faults {
            let known = match fault.nth {
                Some(nth) => self.proxy.faults().fail_nth(&fault.call, nth.get(), fault.status.into()),
                None => self.proxy.faults().fail(&fault.call, fault.status.into()),
            };
            known.map_err(|unknown| Broken(unknown.to_string()))?;
        }
        let answer = match wire.simulate.disconnect_after {
            Some(pieces) => leave(&worker, wire, self.settings.http, pieces),
            None => worker.send(request(wire, self.settings.http)),
        };
        let idle = self.proxy.faults().idle();
        self.proxy.faults().clear();
        // A worker that did not serve it may have broken before, while time passed.
        let failure = (0..WORKERS).find_map(|number| self.proxy.worker(number).failure());
        if let Some(failure) = failure {
            self.broken = true;
            return Err(Broken(said("the module broke", &failure)));
        }
        if let Some((function, nth)) = idle {
            let often = nth.map(|nth| format!(" {nth} times")).unwrap_or_default();
            let named =
                nth.is_none() && wire.simulate.faults.iter().any(|f| f.call == function && f.nth.is_some());
            let more = if named { " more often than its faults with `nth` say" } else { "" };
            return Err(Broken(format!(
                "the request does not call `{function}`{often}{more}, so that fault shows nothing"
            )));
        }
        let mut observed = self.observe(wire, &answer);
        observed.inside = Some(self.inside(&before));
        let told = observed.inside.iter().flat_map(|inside| &inside.log).find_map(|(_, line)| {
            // By which bundle, if there is one, stands between.
            let (_, told) = line.strip_prefix("bartizan: refused")?.split_once(", ")?;
            let (reason, detail) = told.split_once(": ")?;
            Some((reason.to_owned(), detail.to_owned()))
        });
        (observed.reason, observed.detail) = told.unzip();
        Ok(observed)
    }
}

/// What the host says of a module, without its advice to whoever starts a proxy: nobody chooses the limit here.
fn said(what: &str, why: &str) -> String {
    format!("{what}: {}", why.replace("; raise the limit if it needs more", ""))
}

/// Sends a request whose client goes away after some pieces of the body.
fn leave(worker: &Worker, wire: &Wire, http: Http, pieces: usize) -> Answer {
    let mut stream = worker.open_on(attributes(wire), ConnectionState::default(), protocol(http));
    let body: Vec<&Vec<u8>> = wire.body.iter().flatten().collect();
    stream.request_headers(&edge::arrived(wire, http), body.is_empty() && wire.trailers.is_empty());
    for piece in body.into_iter().take(pieces) {
        stream.request_body(piece.clone(), false);
    }
    stream.reset();
    stream.answer()
}

/// The connection that a request comes on.
fn attributes(wire: &Wire) -> Attributes {
    let (client, server) = (SocketAddr::new(wire.peer, 50_000), SocketAddr::from(([127, 0, 0, 1], 10_000)));
    let mut connection = Connection::new(1, client, server);
    connection.tls = wire.certificate.as_ref().map(|made| Tls {
        version: "TLSv1.3".to_owned(),
        peer: Some(Certificate {
            subject: made.subject.clone(),
            uri_sans: made.uris.clone(),
            dns_sans: made.dns.clone(),
            sha256: made.sha256.clone(),
            url_encoded_pem: made.url_encoded_pem(),
        }),
        ..Tls::default()
    });
    Attributes { connection: Some(connection), ..Attributes::default() }
}

const fn protocol(http: Http) -> Protocol {
    match http {
        Http::V1 => Protocol::Http1,
        Http::V2 => Protocol::Http2,
    }
}

/// The worker for a request: as good as chance, and the same each time.
fn draw(seed: u64, run: u32, request: u64) -> usize {
    // SplitMix64's mixing: each bit of the input changes half of those of the result.
    let mut bits = seed ^ (u64::from(run) << 32) ^ request;
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9_u64), (27, 0x94d0_49bb_1331_11eb)] {
        bits = (bits ^ (bits >> shift)).wrapping_mul(factor);
    }
    usize::try_from((bits ^ (bits >> 31)) & 0xff).unwrap_or_default()
}

fn request(wire: &Wire, http: Http) -> Request {
    let mut request = Request::of(edge::arrived(wire, http))
        .protocol(protocol(http))
        .attributes(attributes(wire))
        .upstream(response(wire));
    // HTTP/1.1 says `content-length: 0` instead of an empty piece.
    let nothing = http == Http::V1 && !wire.chunked && wire.whole_body().is_empty();
    for piece in wire.body.iter().flatten().filter(|_| !nothing) {
        request = request.body(piece.clone());
    }
    for (name, value) in edge::lower(&wire.trailers) {
        request = request.trailer(name, value);
    }
    request
}

fn response(wire: &Wire) -> Response {
    let mut response = Response::new(wire.answer.status);
    for (name, value) in edge::lower(&wire.answer.headers) {
        response = response.header(name, value);
    }
    if !wire.answer.body.is_empty() {
        response = response.body(wire.answer.body.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_proxy_is_configured_as_the_one_that_is_deployed() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../envoy/standalone/envoy.yaml");
        let file: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
        let plugin = format!("{manager}/http_filters/0/typed_config/config");
        let host = format!("{manager}/route_config/virtual_hosts/0");
        for (place, value) in [
            (format!("{plugin}/failure_policy"), json!("FAIL_RELOAD")),
            (format!("{plugin}/allow_on_headers_stop_iteration"), json!(true)),
            (format!("{plugin}/root_id"), json!("bartizan")),
            (format!("{plugin}/vm_config/vm_id"), json!(VM_ID)),
            (format!("{host}/request_body_buffer_limit"), json!(BUFFER_LIMIT)),
            (format!("{host}/request_headers_to_add/0/header/key"), json!("x-forwarded-for")),
            (format!("{manager}/skip_xff_append"), json!(true)),
        ] {
            assert_eq!(file.pointer(&place), Some(&value), "{place}");
        }
    }

    #[test]
    fn a_seed_draws_every_worker_and_draws_them_again() {
        let drawn = |seed| (0..40).map(|request| draw(seed, 7, request) % WORKERS).collect::<Vec<_>>();
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert!((0..WORKERS).all(|worker| drawn(1).contains(&worker)));
    }

    /// A module that warns with each tick, one a second, and logs twice with each request.
    const NOISY: &str = r#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
        (memory (export "memory") 2)
        (global $free (mut i32) (i32.const 65536))
        (data (i32.const 0) "tick")
        (data (i32.const 8) "call")
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
            (local $at i32)
            (local.set $at (global.get $free))
            (global.set $free (i32.add (global.get $free) (local.get $size)))
            (local.get $at))
        (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
            (drop (call $tick (i32.const 1000)))
            (i32.const 1))
        (func (export "proxy_on_tick") (param i32)
            (drop (call $log (i32.const 3) (i32.const 0) (i32.const 4))))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $log (i32.const 2) (i32.const 8) (i32.const 4)))
            (drop (call $log (i32.const 2) (i32.const 8) (i32.const 4)))
            (i32.const 0)))"#;

    /// The module with a policy that it never reads, and a request.
    fn noisy(request: &str) -> (Simulated, Wire) {
        with_module(NOISY, request)
    }

    fn with_module(module: &str, request: &str) -> (Simulated, Wire) {
        let bundle = "{apiVersion: bartizan/v1, name: x, routes: [{path: /, access: public, limits: []}]}";
        let text = format!(
            "bundle: {{text: '{bundle}'}}\ncases: [{{name: a, only: {{run: simulated, because: x}}, request: {request}}}]\n"
        );
        let (suite, runs) = crate::suite::parse(&text, "s").unwrap();
        let step = runs[0].steps[0].clone();
        let (path, file, lines) = ("s".into(), "s".into(), std::collections::BTreeMap::new());
        let prepared = crate::suite::Loaded { path, file, suite, runs, lines }.prepare().unwrap();
        let settings = Settings { signatures: Signatures::Auto, http: Http::V1, seed: 0 };
        let module = Module::load(&wat::parse_str(module).unwrap()).unwrap();
        let mut simulated = Simulated::start(&module, &prepared, settings).unwrap();
        simulated.fresh().unwrap();
        (simulated, step.concrete(1, EPOCH_S, &prepared.mint).unwrap().wire)
    }

    #[test]
    fn each_fault_has_to_strike() {
        let send = |faults: &str| {
            let (mut simulated, wire) = noisy(&format!("{{simulate: {{faults: [{faults}]}}}}"));
            simulated.send(&wire)
        };
        assert!(send("{call: proxy_log, nth: 1}, {call: proxy_log, nth: 2}").is_ok());
        assert!(send("{call: proxy_log}, {call: proxy_log, nth: 2, status: empty}").is_ok());
        let idle = send("{call: proxy_log, nth: 1}, {call: proxy_log, nth: 3}").unwrap_err();
        assert_eq!(idle.0, "the request does not call `proxy_log` 3 times, so that fault shows nothing");
        assert!(send("{call: proxy_done}").is_err());
        let others = "{call: proxy_log, nth: 1}, {call: proxy_log, nth: 2}, {call: proxy_log, status: empty}";
        let idle = send(others).unwrap_err();
        assert!(idle.0.contains("`proxy_log` more often than its faults with `nth` say"), "{idle}");
    }

    #[test]
    fn a_module_that_breaks_while_time_passes_is_broken() {
        let tick = r#"(func (export "proxy_on_tick") (param i32)"#;
        let (mut simulated, wire) = with_module(&NOISY.replace(tick, &format!("{tick} unreachable")), "{}");
        assert!(simulated.send(&wire).is_ok());
        // Long enough for the worker that gets the next request to begin anew: the other one does not.
        simulated.wait(Duration::from_millis(2500));
        assert!(simulated.send(&wire).is_err());
        simulated.fresh().unwrap();
        assert!(simulated.send(&wire).is_ok());
    }

    #[test]
    fn what_is_logged_while_time_passes_is_seen_with_the_next_request() {
        let (mut simulated, wire) = noisy("{}");
        let mut warnings = || {
            let log = simulated.send(&wire).unwrap().inside.unwrap().log;
            simulated.wait(Duration::from_secs(1));
            log.into_iter().filter(|(urgent, line)| *urgent && line.contains("tick")).count()
        };
        // One from each worker and one from the main thread.
        assert_eq!((warnings(), warnings()), (0, WORKERS + 1));
        simulated.fresh().unwrap();
        let log = simulated.send(&wire).unwrap().inside.unwrap().log;
        assert!(log.iter().all(|(urgent, _)| !urgent), "{log:?}");
    }
}
