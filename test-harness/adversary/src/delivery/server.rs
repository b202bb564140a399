//! A bundle server, what it serves, and what can be seen of a proxy that follows it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bartizan_host::clusters::{Answer, Call};
use bartizan_host::{Builder, LogLevel, Module, Outcome, Proxy, Request};
use serde_json::{Value, json};

use super::{CLUSTER, INTERVAL, VM_ID, WORKERS};
use crate::artifacts::Signed;

/// The type of an artifact.
pub(super) const ARTIFACT: &str = "application/vnd.dsse.envelope.v1+json";

/// A bundle server.
#[derive(Clone)]
pub(super) struct Server(Arc<Mutex<Served>>);

pub(super) enum Served {
    Artifact(Vec<u8>, String),
    Answer(Answer),
}

impl Server {
    pub(super) fn start(proxy: &Proxy, served: Served) -> Self {
        let server = Self(Arc::new(Mutex::new(served)));
        let answers = server.clone();
        proxy.clusters().add(CLUSTER, move |call: &Call| answers.answer(call));
        server
    }

    pub(super) fn serve(&self, served: Served) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = served;
    }

    fn answer(&self, call: &Call) -> Answer {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Served::Answer(answer) => answer.clone(),
            Served::Artifact(_, tag) if call.headers.get("if-none-match") == Some(tag.as_bytes()) => {
                Answer::status(304).header("etag", tag)
            }
            Served::Artifact(bytes, tag) => artifact(bytes.clone()).header("etag", tag),
        }
    }
}

pub(super) fn artifact(bytes: impl Into<Vec<u8>>) -> Answer {
    Answer::status(200).header("content-type", ARTIFACT).body(bytes)
}

/// A release of the bundle `edge` whose answers tell its revision.
pub(super) struct Release {
    pub(super) signed: Signed,
    pub(super) revision: u64,
}

impl Release {
    pub(super) fn new(revision: u64, more: &str) -> Result<Self> {
        Self::named("edge", revision, more)
    }

    pub(super) fn named(name: &str, revision: u64, more: &str) -> Result<Self> {
        let signed = Signed::text(&format!(
            "apiVersion: bartizan/v1\nname: {name}\nrevision: {revision}\n\
             authentication: {{jwt: [{{name: a, issuer: 'https://a.example/', algorithms: [HS256], keys: {{secret: {{env: A}}}}}}]}}\n\
             routes:\n  - {{path: /open, access: public}}\n  - {{path: /closed, access: authenticated}}\n\
             headers: {{response: {{set: {{x-policy: r{revision}}}}}}}\n{more}"
        ))?;
        Ok(Self { signed, revision })
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        Ok(self.signed.artifact(&self.signed.payload, &[0])?.to_string().into_bytes())
    }

    /// With an unsigned change.
    pub(super) fn changed(&self, from: &str, to: &str, signers: &[usize]) -> Result<Vec<u8>> {
        let text = String::from_utf8(self.signed.payload.clone())?;
        ensure!(text.contains(from), "the payload has no {from} any more");
        Ok(self.signed.artifact(text.replace(from, to).as_bytes(), signers)?.to_string().into_bytes())
    }

    pub(super) fn served(&self) -> Result<Served> {
        Ok(Served::Artifact(self.bytes()?, format!("\"{}\"", self.revision)))
    }

    /// A configuration with this bundle as its bootstrap.
    pub(super) fn configuration(&self) -> Result<Value> {
        let mut configuration = source(&self.signed)?;
        set(&mut configuration, "/bundle", serde_json::from_slice(&self.bytes()?)?);
        Ok(configuration)
    }
}

/// A configuration without a bootstrap.
pub(super) fn source(signed: &Signed) -> Result<Value> {
    let http = json!({"cluster": CLUSTER, "authority": "bundles.test", "path": "/edge.bundle"});
    Ok(json!({
        "trust": signed.trust(&[0], 1)?,
        "source": {"http": http, "interval_ms": u64::try_from(INTERVAL.as_millis())?, "timeout_ms": 1000},
        "settings": {"hold_headers": true},
    }))
}

pub(super) fn builder(module: &Module, configuration: &Value) -> Builder {
    let builder = Proxy::builder(module).variable("A", "0123456789abcdef0123456789abcdef").workers(WORKERS);
    let builder =
        builder.vm_id(VM_ID).allow_on_headers_stop_iteration(true).drain_time(Duration::from_secs(5));
    builder.configuration(configuration.to_string())
}

/// What a worker judges by: `r7`, `closed`, or `open` if it judges nothing.
pub(super) fn policy(proxy: &Proxy, number: usize) -> Result<String> {
    let worker = proxy.worker(number);
    if let Some(failure) = worker.failure() {
        bail!("trap in worker {number}: {failure}");
    }
    let open = worker.send(Request::get("/open"));
    ensure!(open.outcome() == Outcome::Complete, "worker {number} leaves requests hanging");
    let by = match (open.status(), open.header("x-policy")) {
        (200, Some(by)) => String::from_utf8_lossy(by).into_owned(),
        (200, None) => "open".to_owned(),
        (503, None) => "closed".to_owned(),
        (status, _) => bail!("worker {number} answers {status}"),
    };
    let closed = worker.send(Request::get("/closed"));
    let through = closed.upstream().is_some();
    ensure!(through == (by == "open"), "BREAK-IN: worker {number} under {by} answers {}", closed.status());
    Ok(by)
}

/// Checks what all workers judge by.
pub(super) fn all(proxy: &Proxy, wanted: &str) -> Result<()> {
    for number in 0..WORKERS {
        let by = policy(proxy, number)?;
        ensure!(by == wanted, "worker {number} judges by {by} and not by {wanted}; the log: {}", log(proxy));
    }
    Ok(())
}

pub(super) fn log(proxy: &Proxy) -> String {
    proxy.log().into_iter().map(|line| line.message).collect::<Vec<_>>().join(" | ")
}

pub(super) fn errors(proxy: &Proxy) -> Vec<String> {
    let lines = proxy.take_log().into_iter().filter(|line| line.level >= LogLevel::Error);
    lines.map(|line| line.message).collect()
}

pub(super) fn counted(proxy: &Proxy, name: &str) -> u64 {
    proxy.metrics().counter(format!("bartizan.bundle.{name}")).unwrap_or(0)
}

pub(super) fn shown(proxy: &Proxy, name: &str) -> Option<u64> {
    proxy.metrics().gauge(format!("bartizan.bundle.{name}"))
}

/// The key of a record.
pub(super) fn key(proxy: &Proxy, end: &str) -> Result<Vec<u8>> {
    let mut keys = proxy.shared_data().keys(VM_ID.as_bytes()).into_iter();
    keys.find(|key| key.starts_with(b"follow.") && key.ends_with(end.as_bytes()))
        .with_context(|| format!("no record ends in {end}"))
}

pub(super) fn lease(proxy: &Proxy, milliseconds: u64) -> Result<()> {
    let now = u64::try_from(proxy.now().as_millis())?;
    let lease = json!({"version": 1, "until": now.saturating_add(milliseconds), "holder": 4711});
    proxy.shared_data().set(VM_ID.as_bytes(), &key(proxy, ".lease")?, lease.to_string().as_bytes(), 0)?;
    Ok(())
}

/// Sets a member, which may be new.
pub(super) fn set(value: &mut Value, pointer: &str, to: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(members) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        members.insert(name.to_owned(), to);
    }
}

/// A time of today for `bundle.yaml`.
pub(super) fn rfc3339(seconds: u64) -> Result<String> {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil from days, by Howard Hinnant.
    let z = i64::try_from(days)? + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    Ok(format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60))
}
