//! Runs cases in the engine alone, in the order of callbacks that Envoy has.
//!
//! Headers first; then the body piece by piece, all of it so far while it is held; then trailers, if there
//! are any, and then no piece of the body ever said that it was the last. A refusal is a local reply and
//! goes through the response edits like any other answer.

use std::time::Duration;

use bartizan_engine::headers::Edit;
use bartizan_engine::host::Now;
use bartizan_engine::host::testing::TestHost;
use bartizan_engine::pipeline::{Engine, Exchange, Step, Surroundings};
use bartizan_engine::plan::{Plan, PlanError};
use bartizan_engine::refusal::Refusal;
use bartizan_engine::trace::Trace;

use crate::expand::{Run, Target};
use crate::judge::judge;
use crate::mint::Mint;
use crate::patch::Secrets;
use crate::wire::{Lines, Observed, Seen, Wire};

/// When native runs begin: a moment that every test agrees on, 2026-11-20T00:00:00Z.
pub const EPOCH_S: u64 = 1_795_132_800;

/// A proxy with one worker, whose clock moves only when told.
#[derive(Debug)]
pub struct Native {
    engine: Engine,
    host: TestHost,
    now_ns: u64,
}

impl Native {
    /// Loads a plan.
    ///
    /// # Errors
    /// If the engine does not take it.
    pub fn new(plan: Plan, secrets: &Secrets) -> Result<Self, PlanError> {
        let secret = |name: &str| secrets.get(name).map(|value| value.clone().into_bytes());
        let engine =
            Engine::load(plan, &Surroundings { secret: &secret, seed: [1, 2], peer_appended: false })?;
        Ok(Self { engine, host: TestHost::default(), now_ns: EPOCH_S.saturating_mul(1_000_000_000) })
    }

    /// The time, in seconds since the epoch.
    #[must_use]
    pub fn now_s(&self) -> u64 {
        self.now_ns / 1_000_000_000
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.now_ns = self.now_ns.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Forgets all budgets, as a proxy does that starts anew.
    pub fn forget(&mut self) {
        self.host = TestHost::default();
    }

    /// Sends a request and answers it as upstream would.
    pub fn send(&mut self, wire: &Wire) -> Observed {
        let mut exchange = Exchange::default();
        let mut trace = Trace::on();
        let mut request = head(wire);
        let outcome = self.judge(wire, &mut exchange, &request, &mut trace);
        let (status, mut headers, body, upstream) = match &outcome {
            Err(refusal) => refused(refusal),
            Ok(edits) => {
                edits.iter().for_each(|edit| apply(edit.borrowed(), &mut request));
                let answer = &wire.answer;
                (answer.status, lower(&answer.headers), answer.body.clone(), Some(seen(request, wire)))
            }
        };
        self.engine.response_edits(&exchange, &mut |edit| apply(edit, &mut headers));
        let body = if wire.method == "HEAD" { Vec::new() } else { body };
        let mut considered: Vec<String> = trace
            .into_considered()
            .iter()
            .map(|c| format!("{}: {} {}", c.room.name(), c.at, c.what))
            .collect();
        considered.extend(outcome.err().map(|refusal| format!("refused: {}", refusal.detail)));
        Observed { status, headers, body, upstream, note: Some(considered.join("\n      ")) }
    }

    /// Envoy's side of a request: what it calls and when. Gives the edits of a request that is let through.
    fn judge(
        &mut self,
        wire: &Wire,
        exchange: &mut Exchange,
        head: &Lines,
        trace: &mut Trace,
    ) -> Result<Vec<Edit>, Refusal> {
        self.host.peer = Some(wire.peer);
        let pairs: Vec<(&[u8], &[u8])> = head.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
        let pieces = wire.body.as_deref().unwrap_or_default();
        let empty = pieces.iter().all(Vec::is_empty);
        let ends = wire.trailers.is_empty() && (wire.body.is_none() || (empty && !wire.chunked));
        let now = Now::from_nanos(self.now_ns);
        let mut step = self.engine.request_head(exchange, &pairs, ends, now, &mut self.host, trace);
        let mut edits = Vec::new();
        let mut held: Vec<u8> = Vec::new();
        let last = pieces.len().saturating_sub(1);
        if !ends {
            for (index, piece) in pieces.iter().enumerate() {
                let end = index == last && wire.trailers.is_empty();
                match step {
                    Step::Refuse(refusal) => return Err(*refusal),
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
            Step::Refuse(refusal) => Err(*refusal),
            Step::Continue => {
                edits.append(&mut exchange.take_edits());
                Ok(edits)
            }
            Step::Hold => Err(Refusal::new(
                bartizan_engine::reason::Reason::NoPolicy,
                "the request hangs: the engine holds it, and nothing more will come",
            )),
        }
    }
}

/// Runs a case from a fresh start and says what is wrong; nothing, if it is empty.
///
/// # Errors
/// If a request cannot be made.
pub fn run(native: &mut Native, run: &Run, number: u32, mint: &Mint) -> Result<Vec<String>, String> {
    native.forget();
    let mut wrong = Vec::new();
    for (index, step) in run.steps.iter().enumerate() {
        native.wait(step.wait);
        let concrete = step.concrete(number, native.now_s(), mint)?;
        for turn in 1..=step.repeat {
            let observed = native.send(&concrete.wire);
            let problems = judge(&concrete, &observed, Target::Native);
            if !problems.is_empty() {
                let place = if run.steps.len() > 1 {
                    format!("step {}, turn {turn}: ", index + 1)
                } else {
                    String::new()
                };
                wrong.extend(problems.into_iter().map(|problem| format!("{place}{problem}")));
                return Ok(wrong);
            }
        }
    }
    Ok(wrong)
}

/// The header map as Envoy hands it over, with what Envoy adds itself.
fn head(wire: &Wire) -> Lines {
    let mut head: Lines = Vec::new();
    if let Some(host) = &wire.host {
        head.push((b":authority".to_vec(), host.clone()));
    }
    head.push((b":path".to_vec(), wire.path.clone()));
    head.push((b":method".to_vec(), wire.method.clone().into_bytes()));
    head.push((b":scheme".to_vec(), wire.scheme.clone().into_bytes()));
    head.append(&mut lower(&wire.headers));
    if wire.chunked {
        head.push((b"transfer-encoding".to_vec(), b"chunked".to_vec()));
    } else if wire.body.is_some() && !head.iter().any(|(name, _)| name == b"content-length") {
        head.push((b"content-length".to_vec(), wire.whole_body().len().to_string().into_bytes()));
    }
    head.push((b"x-forwarded-proto".to_vec(), b"http".to_vec()));
    head.push((b"x-request-id".to_vec(), b"00000000-0000-4000-8000-000000000000".to_vec()));
    head
}

fn lower(lines: &Lines) -> Lines {
    lines.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
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

fn seen(request: Lines, wire: &Wire) -> Seen {
    let mut seen = Seen { body: wire.whole_body(), ..Seen::default() };
    for (name, value) in request {
        match name.as_slice() {
            b":method" => seen.method = String::from_utf8_lossy(&value).into_owned(),
            b":path" => seen.path = value,
            b":authority" => seen.host = value,
            b":scheme" => {}
            _ => seen.headers.push((name, value)),
        }
    }
    seen
}
