//! Policies that change while requests are in flight.
//!
//! Good policies and bad ones come in turn. A stream is judged from begin to end by the policy it began with; a bad one leaves the
//! one before it in force; and what was replaced gives its memory back.

use anyhow::{Context as _, Result, ensure};
use bartizan_cases::chance::Chance;
use bartizan_host::pairs::Pairs;
use bartizan_host::{Module, Outcome, Proxy, Stream};
use serde_json::{Value, json};
use std::time::Duration;

use crate::memory;
use crate::policy::{Policy, anew, usual};
use crate::script::{Frame, step};

/// Workers.
const WORKERS: usize = 3;

/// How many policies there are.
const POLICIES: usize = 7;

/// How many streams are opened between two updates.
const STREAMS: usize = 6;

/// How long a policy that was replaced lives on. The clock moves a second with each update.
const DRAIN: Duration = Duration::from_secs(8);

/// How much more memory there may be in the end than after half of the updates: of each VM, for plans of several sizes
/// do not fill each other's gaps at once, and of the process.
const SLACK: (usize, u64) = (2 * 65_536, 2 << 20);

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Updates that came into force.
    pub good: usize,
    /// Updates that were refused.
    pub bad: usize,
    /// Streams that were judged.
    pub streams: usize,
    /// Those of them under which the policy changed.
    pub outlived: usize,
    /// Streams that were reset because their policy was gone.
    pub drained: usize,
    /// Linear memory of all VMs, the same after half of them and in the end.
    pub linear: usize,
    /// Resident memory of the process after half of them, and in the end.
    pub resident: [u64; 2],
}

impl Tally {
    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let [early, late] = self.resident.map(memory::mib);
        format!(
            "reloads: {} good and {} bad updates, {WORKERS} workers; {} streams, {} of them outlived their policy, {} were drained, each judged by one policy; \
             {} of linear memory, as after half of them; {early} resident after half of them, {late} in the end",
            self.good,
            self.bad,
            self.streams,
            self.outlived,
            self.drained,
            memory::mib(self.linear as u64)
        )
    }
}

/// A policy that accepts bodies with its own mark only, and leaves the mark on whatever goes through.
fn marked(number: usize) -> Result<String> {
    // The policies differ in size, so that memory does not come back by luck.
    let more: String =
        (0..number * 40).map(|n| format!("  - {{path: /more/{n}, access: public}}\n")).collect();
    let bundle = format!(
        "apiVersion: bartizan/v1\nname: p{number}\n\
         headers: {{request: {{set: {{x-policy: p{number}}}}}, response: {{set: {{x-policy: p{number}}}}}}}\n\
         routes:\n  - {{path: /post, methods: [POST], access: public, body: {{json: {{schema: s.json}}}}}}\n{more}"
    );
    let schema = json!({"type": "object", "required": ["mark"], "properties": {"mark": {"const": format!("p{number}")}}});
    Ok(Policy::compile(&bundle, &[("s.json", schema.to_string())])?.configuration(&usual()))
}

/// Configurations that cannot be used, each in its own way.
fn bad(good: &str) -> Result<Vec<String>> {
    let mut all = vec![String::from("{"), r#"{"plan": {"plan_version": 99}}"#.into(), "null".into()];
    let mut spoil = |place: &str, value: Value| -> Result<()> {
        let mut configuration: Value = serde_json::from_str(good)?;
        *configuration.pointer_mut(place).with_context(|| format!("the plan has no {place} any more"))? =
            value;
        all.push(configuration.to_string());
        Ok(())
    };
    spoil("/plan/routes/0/body", json!(999))?;
    spoil("/plan/routes", json!("none"))?;
    spoil("/plan/network/deny", json!([["not a network", "here"]]))?;
    spoil("/settings", json!({"hold_headers": "maybe"}))?;
    Ok(all)
}

/// A stream on its way.
struct Flying {
    stream: Stream,
    frames: Vec<Frame>,
    /// The policy it began with.
    policy: usize,
    /// Whether its body is what that policy wants; if not, it is what another wants.
    good: bool,
    /// The update before which it began.
    begun: usize,
    /// It is left alone until its policy is gone.
    stays: bool,
}

/// Changes the policy so many times.
///
/// # Errors
/// With the first update or stream that goes wrong, or if memory grows.
pub fn run(module: &Module, updates: usize, seed: u64) -> Result<Tally> {
    let good = (0..POLICIES).map(marked).collect::<Result<Vec<_>>>()?;
    let first = good.first().context("there are policies")?;
    let bad = bad(first)?;
    let builder = Proxy::builder(module).allow_on_headers_stop_iteration(true).configuration(first.as_str());
    let proxy = builder.workers(WORKERS).drain_time(DRAIN).start()?;
    let mut chance = Chance::new(seed);
    let mut tally = Tally::default();
    let mut current = 0;
    let mut flying: Vec<Flying> = Vec::new();
    let mut before = Vec::new();
    for update in 0..updates {
        if update == updates / 2 {
            before = proxy.memory();
            tally.resident[0] = memory::resident()?;
        }
        for _ in 0..STREAMS {
            flying.push(begin(&proxy, current, update, &mut chance));
        }
        if chance.below(2) == 0 {
            let other = (current + chance.between(1, POLICIES - 1)) % POLICIES;
            let configuration = good.get(other).context("there is another policy")?;
            proxy.configure(anew(configuration, update)).with_context(|| format!("update {update}"))?;
            current = other;
            tally.good += 1;
        } else {
            let configuration = chance.pick(&bad).context("there are bad ones")?;
            let refused = proxy.configure(anew(configuration, update)).err();
            let refused = refused.with_context(|| format!("update {update}: taken: {configuration:.60}"))?;
            ensure!(!refused.log.is_empty(), "update {update}: refused, and the log does not say why");
            tally.bad += 1;
        }
        proxy.advance(Duration::from_secs(1));
        flying = fly(flying, update, &mut chance, &mut tally).with_context(|| {
            format!("reloads with seed {seed}, update {update}, policy p{current} in force")
        })?;
        for number in 0..WORKERS {
            if let Some(failure) = proxy.worker(number).failure() {
                anyhow::bail!("update {update}: trap: {failure}");
            }
        }
        drop(proxy.take_log());
    }
    memory::check_linear(&before, &proxy.memory(), SLACK.0)?;
    tally.linear = memory::linear(&proxy.memory());
    tally.resident[1] = memory::resident()?;
    let [early, late] = tally.resident;
    ensure!(
        late <= early.saturating_add(SLACK.1),
        "the process has grown from {} to {}",
        memory::mib(early),
        memory::mib(late)
    );
    Ok(tally)
}

/// A new stream that has come some way.
fn begin(proxy: &Proxy, policy: usize, update: usize, chance: &mut Chance) -> Flying {
    let good = chance.below(2) == 0;
    let mark = if good { policy } else { (policy + chance.between(1, POLICIES - 1)) % POLICIES };
    let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let headers: Pairs = vec![
        pair(":authority", "api.example.com"),
        pair(":path", "/post"),
        pair(":method", "POST"),
        pair(":scheme", "http"),
        pair("content-type", "application/json"),
    ];
    let (start, end) = (format!(r#"{{"mark":"p{mark}"#), r#""}"#.to_owned());
    let mut frames = vec![
        Frame::RequestHeaders(headers, false),
        Frame::RequestBody(start.into_bytes(), false),
        Frame::RequestBody(end.into_bytes(), true),
        Frame::ResponseHeaders(vec![pair(":status", "200")], false),
        Frame::ResponseBody(b"hello".to_vec(), true),
    ];
    frames.reverse();
    let stream = proxy.worker(chance.below(WORKERS)).open();
    let mut flying = Flying { stream, frames, policy, good, begun: update, stays: chance.below(40) == 0 };
    // The policy is chosen with the headers and not with the connection.
    advance(&mut flying, chance.between(1, 4));
    flying
}

fn advance(flying: &mut Flying, frames: usize) {
    for _ in 0..frames {
        if let Some(frame) = flying.frames.pop() {
            step(&mut flying.stream, &frame);
        }
    }
}

/// Brings streams further, and judges those that have ended.
fn fly(flying: Vec<Flying>, update: usize, chance: &mut Chance, tally: &mut Tally) -> Result<Vec<Flying>> {
    let mut left = Vec::new();
    for mut one in flying {
        if !one.stays {
            advance(&mut one, chance.between(0, 3));
        }
        if !one.stream.is_over() && !one.frames.is_empty() {
            left.push(one);
            continue;
        }
        tally.streams += 1;
        tally.outlived += usize::from(update > one.begun);
        let answer = one.stream.answer();
        let mark = format!("p{}", one.policy);
        if answer.outcome() == Outcome::Reset {
            ensure!(update - one.begun >= 7, "a stream that began with {mark} was reset before its time");
            ensure!(one.good || answer.upstream().is_none(), "BREAK-IN: upstream saw a bad body's request");
            tally.drained += 1;
            continue;
        }
        let by = answer.header("x-policy").map(String::from_utf8_lossy);
        ensure!(by.as_deref() == Some(&mark), "a stream that began with {mark} was answered by {by:?}");
        let seen = answer.upstream().map(|seen| seen.header("x-policy").map(<[u8]>::to_vec));
        let (status, wanted) =
            if one.good { (200, Some(Some(mark.clone().into_bytes()))) } else { (400, None) };
        ensure!(
            (answer.status(), &seen) == (status, &wanted),
            "a stream that began with {mark} got {} where {status} is right; upstream saw {seen:?}",
            answer.status()
        );
    }
    Ok(left)
}
