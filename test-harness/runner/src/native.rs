//! Runs cases in the engine alone, in the order of callbacks that Envoy has.
//!
//! Headers first; then the body piece by piece, all of it so far while it is held; then trailers, if there
//! are any, and then no piece of the body ever said that it was the last. A refusal is a local reply and
//! goes through the response edits like any other answer.

use std::fmt;
use std::time::Duration;

use bartizan_engine::headers::Edit;
use bartizan_engine::host::Now;
use bartizan_engine::host::testing::TestHost;
use bartizan_engine::pipeline::{Engine, Exchange, Haste, Step, Surroundings};
use bartizan_engine::plan::{Plan, PlanError};
use bartizan_engine::refusal::Refusal;
use bartizan_engine::trace::{Consideration, Trace};

use crate::driver::{Broken, Driver};
use crate::edge;
use crate::expand::{Run, Target};
use crate::format::Http;
use crate::mint::Mint;
use crate::patch::Secrets;
use crate::remote::{Servers, TICK_MS};
use crate::suite::Prepared;
use crate::wire::{Lines, Observed, Seen, Wire};

/// When runs begin whose clock moves only when told: a moment that every test agrees on, 2026-11-20T00:00:00Z.
pub const EPOCH_S: u64 = 1_795_132_800;

/// A proxy with one worker, whose clock moves only when told.
#[derive(Debug)]
pub struct Native {
    engine: Engine,
    host: TestHost,
    now_ns: u64,
    traced: Traced,
    /// The servers that are asked, and with what each case begins anew.
    servers: Servers,
    anew: Option<Box<Anew>>,
}

/// What a proxy is made of that has fetched nothing.
#[derive(Debug)]
struct Anew {
    plan: Plan,
    secrets: Secrets,
    servers: Servers,
}

impl Native {
    /// Loads a plan.
    ///
    /// # Errors
    /// If the engine does not take it.
    pub fn new(plan: Plan, secrets: &Secrets) -> Result<Self, PlanError> {
        let engine = load(plan, secrets)?;
        let now_ns = EPOCH_S.saturating_mul(1_000_000_000);
        let (host, traced, servers) = (TestHost::default(), Traced::default(), Servers::default());
        Ok(Self { engine, host, now_ns, traced, servers, anew: None })
    }

    /// Loads what a suite was prepared to be.
    ///
    /// # Errors
    /// If the engine does not take it.
    pub fn of(prepared: &Prepared) -> Result<Self, PlanError> {
        let Prepared { plan, secrets, servers, .. } = prepared.clone();
        let mut native = Self::new(plan.clone(), &secrets)?;
        if !servers.is_empty() {
            native.servers = servers.clone();
            native.anew = Some(Box::new(Anew { plan, secrets, servers }));
        }
        Ok(native)
    }

    /// What the filter does at a tick.
    fn tick(&mut self) {
        self.servers.tick(&mut self.engine, &mut self.host, Now::from_nanos(self.now_ns));
    }

    /// What was considered for the last request.
    #[must_use]
    pub const fn traced(&self) -> &Traced {
        &self.traced
    }

    /// Envoy's side of a request: what it calls and when. Gives the edits of a request that is let through.
    fn judge(
        &mut self,
        wire: &Wire,
        exchange: &mut Exchange,
        head: &Lines,
        trace: &mut Trace,
    ) -> Result<Vec<Edit>, NotSent> {
        self.host.peer = Some(wire.peer);
        self.host.certificate = wire.presented();
        let pairs: Vec<(&[u8], &[u8])> = head.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
        let pieces = wire.body.as_deref().unwrap_or_default();
        let empty = pieces.iter().all(Vec::is_empty);
        let ends = wire.trailers.is_empty() && (wire.body.is_none() || (empty && !wire.chunked));
        let now = Now::from_nanos(self.now_ns);
        let mut step = self.engine.request_head(exchange, &pairs, ends, now, &mut self.host, trace);
        if matches!(step, Step::Wait(_)) {
            self.tick();
            exchange.hurry(Haste::Over);
            step = self.engine.request_head(exchange, &pairs, ends, now, &mut self.host, trace);
        }
        let mut edits = Vec::new();
        let mut held: Vec<u8> = Vec::new();
        let last = pieces.len().saturating_sub(1);
        if !ends {
            for (index, piece) in pieces.iter().enumerate() {
                let end = index == last && wire.trailers.is_empty();
                match step {
                    Step::Refuse(refusal) => return Err(NotSent::Refused(refusal)),
                    Step::Wait(_) => return Err(NotSent::Hangs),
                    Step::Continue => {
                        edits.append(&mut exchange.take_edits());
                        let mut gone = || None;
                        let size = piece.len() as u64;
                        step = self.engine.request_body(exchange, size, end, &mut gone, trace);
                    }
                    Step::Hold => {
                        held.extend_from_slice(piece);
                        let size = held.len() as u64;
                        step =
                            self.engine.request_body(exchange, size, end, &mut || Some(held.clone()), trace);
                    }
                }
            }
            if !wire.trailers.is_empty() && !matches!(step, Step::Refuse(_)) {
                step = self.engine.request_trailers(exchange, &mut || Some(held.clone()), trace);
            }
        }
        match step {
            Step::Refuse(refusal) => Err(NotSent::Refused(refusal)),
            Step::Continue => {
                edits.append(&mut exchange.take_edits());
                Ok(edits)
            }
            Step::Hold | Step::Wait(_) => Err(NotSent::Hangs),
        }
    }
}

impl Driver for Native {
    fn target(&self) -> Target {
        Target::Native
    }

    fn fresh(&mut self) -> Result<(), Broken> {
        self.host = TestHost::default();
        if let Some(anew) = &self.anew {
            let loaded = load(anew.plan.clone(), &anew.secrets);
            self.engine =
                loaded.map_err(|error| Broken(format!("the engine does not take the plan: {error}")))?;
            self.servers = anew.servers.clone();
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.now_ns)
    }

    fn wait(&mut self, time: Duration) {
        const TICK_NS: u64 = TICK_MS * 1_000_000;
        let until = self.now_ns.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        if self.anew.is_some() {
            while self.now_ns.saturating_add(TICK_NS) <= until {
                self.now_ns = self.now_ns.saturating_add(TICK_NS);
                self.tick();
            }
        }
        self.now_ns = until;
    }

    fn send(&mut self, wire: &Wire) -> Result<Observed, Broken> {
        let mut exchange = Exchange::default();
        let mut trace = Trace::on();
        let mut request = edge::arrived(wire, Http::V1);
        let outcome = self.judge(wire, &mut exchange, &request, &mut trace);
        let (status, mut headers, body, upstream) = match &outcome {
            Err(NotSent::Refused(refusal)) => refused(refusal),
            Err(NotSent::Hangs) => {
                self.traced = Traced { considered: trace.into_considered(), refusal: None };
                return Ok(Observed::broken(
                    "the request hangs: the engine holds it, and nothing more will come",
                ));
            }
            Ok(edits) => {
                edits.iter().for_each(|edit| apply(edit.borrowed(), &mut request));
                let answer = &wire.answer;
                let seen = edge::forwarded(request, wire.whole_body(), wire.peer);
                (answer.status, edge::lower(&answer.headers), answer.body.clone(), Some(seen))
            }
        };
        self.engine.response_edits(&exchange, &mut |edit| apply(edit, &mut headers));
        let body = if wire.method == "HEAD" { Vec::new() } else { body };
        let refusal = match outcome {
            Err(NotSent::Refused(refusal)) => Some(*refusal),
            _ => None,
        };
        self.traced = Traced { considered: trace.into_considered(), refusal };
        let refusal = self.traced.refusal.as_ref();
        let reason = refusal.map(|refusal| refusal.reason.code().to_owned());
        let detail = refusal.map(|refusal| refusal.detail.clone());
        Ok(Observed { status, headers, body, upstream, reason, detail, ..Observed::default() })
    }
}

fn load(plan: Plan, secrets: &Secrets) -> Result<Engine, PlanError> {
    let secret = |name: &str| secrets.get(name).map(|value| value.clone().into_bytes());
    Engine::load(
        plan,
        &Surroundings { secret: &secret, seed: [1, 2], peer_appended: false, peer_verified: true },
    )
}

/// Why upstream does not get a request.
enum NotSent {
    Refused(Box<Refusal>),
    /// The engine waits for more, and nothing more comes.
    Hangs,
}

/// What the engine considered when it judged a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traced {
    /// In the order of the rooms.
    pub considered: Vec<Consideration>,
    /// The refusal, if it was one, with the detail that only operators see.
    pub refusal: Option<Refusal>,
}

impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Consideration { room, at, what, .. } in &self.considered {
            let at = if at.is_empty() { String::new() } else { format!("{at}: ") };
            writeln!(f, "{}: {at}{what}", room.name())?;
        }
        match &self.refusal {
            Some(refusal) => write!(f, "refused, {}: {}", refusal.reason.code(), refusal.detail),
            None => f.write_str("let through"),
        }
    }
}

/// Sends the requests of a run natively from this moment on, whatever is expected of them, and says what the engine
/// considered for each. It ends before the first that only a simulated proxy can send, with calls that fail or a client
/// that leaves: here it would reach what it did not reach there, and would spend what it did not spend.
///
/// # Errors
/// If a request cannot be made.
pub fn trace(
    native: &mut Native,
    run: &Run,
    number: u32,
    now: Duration,
    mint: &Mint,
) -> Result<Vec<Traced>, String> {
    native.now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    native.fresh().map_err(|broken| broken.0)?;
    let mut traced = Vec::new();
    for step in &run.steps {
        native.wait(step.wait);
        let concrete = step.concrete(number, native.now().as_secs(), mint)?;
        let simulate = &concrete.wire.simulate;
        if !simulate.faults.is_empty() || simulate.disconnect_after.is_some() {
            break;
        }
        for _ in 0..step.repeat {
            native.send(&concrete.wire).map_err(|broken| broken.0)?;
            traced.push(std::mem::take(&mut native.traced));
        }
    }
    Ok(traced)
}

/// The local reply that the filter sends.
fn refused(refusal: &Refusal) -> (u16, Lines, Vec<u8>, Option<Seen>) {
    let mut headers: Lines = vec![
        (b"content-type".to_vec(), b"application/problem+json".to_vec()),
        (b"cache-control".to_vec(), b"no-store".to_vec()),
    ];
    let own = refusal.headers.iter();
    headers.extend(own.map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes())));
    (refusal.reason.status(), headers, refusal.problem().into_bytes(), None)
}

fn apply(edit: Edit<&str>, lines: &mut Lines) {
    let (Edit::Remove(name) | Edit::Set(name, _) | Edit::Add(name, _)) = edit;
    match edit {
        Edit::Remove(_) => lines.retain(|(n, _)| n != name.as_bytes()),
        Edit::Add(_, value) => lines.push((name.as_bytes().to_vec(), value.as_bytes().to_vec())),
        Edit::Set(_, value) => {
            lines.retain(|(n, _)| n != name.as_bytes());
            lines.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::parse;

    #[test]
    fn what_only_a_simulated_proxy_can_send_is_not_retraced() {
        let bundle = "{apiVersion: bartizan/v1, name: x, routes: [{path: /, access: public, limits: []}]}";
        let only = "only: {run: simulated, because: x}";
        for (simulate, retraced) in
            [("worker: 1", 3), ("disconnect_after: 0", 1), ("faults: [{call: proxy_get_shared_data}]", 1)]
        {
            let text = format!(
                "bundle: {{text: '{bundle}'}}\ncases: [{{name: a, {only}, steps: [{{}}, {{request: {{simulate: {{{simulate}}}}}}}, {{}}]}}]\n"
            );
            let (suite, runs) = parse(&text, "s").unwrap();
            let (path, file, lines) = ("s".into(), "s".into(), std::collections::BTreeMap::new());
            let suite = crate::suite::Loaded { path, file, suite, runs, lines };
            let prepared = suite.prepare().unwrap();
            let mut native = Native::new(prepared.plan, &prepared.secrets).unwrap();
            let now = Duration::from_secs(EPOCH_S);
            let traced = trace(&mut native, &suite.runs[0], 1, now, &prepared.mint).unwrap();
            assert_eq!(traced.len(), retraced, "{simulate}");
        }
    }

    #[test]
    fn a_request_that_hangs_is_no_refusal() {
        let bundle = "{apiVersion: bartizan/v1, name: x, routes: [{path: /, methods: [POST], access: public, limits: [], body: {json: {}}}]}";
        let text = format!(
            "bundle: {{text: '{bundle}'}}\ncases: [{{name: a, request: {{method: POST, body: {{json: 1, framing: chunked}}}}}}]\n"
        );
        let (suite, runs) = parse(&text, "s").unwrap();
        let step = runs[0].steps[0].clone();
        let (path, file, lines) = ("s".into(), "s".into(), std::collections::BTreeMap::new());
        let prepared = crate::suite::Loaded { path, file, suite, runs, lines }.prepare().unwrap();
        let mut native = Native::new(prepared.plan, &prepared.secrets).unwrap();
        let mut wire = step.concrete(1, EPOCH_S, &prepared.mint).unwrap().wire;
        assert_eq!(native.send(&wire).unwrap().status, 200);
        // The body never comes.
        wire.body = Some(Vec::new());
        let observed = native.send(&wire).unwrap();
        assert_eq!((observed.status, &observed.reason, &observed.upstream), (0, &None, &None));
        assert!(observed.note.unwrap().contains("hangs"));
    }
}
